# SPDX-License-Identifier: Apache-2.0
"""Connections to servers: few for many clients, open beforehand, closed in time, never more than allowed;
and the line in which requests wait for one."""
import contextlib
import json
import re
import subprocess
import threading
import time

import pytest

from support import proxy_protocol as pp
from support.client import Client, get
from support.daemons import nginx
from support.load import FULL, Load, affordable
from support.origin import answer_echo, echoed, serve_forever
from support.wait import SLOW, eventually, seconds, stays, volume


def ok(conn, request):
    conn.respond(200, body=b"ok")


def connections(**options):
    return {"connections": options}


def with_status(stage, *servers, **more):
    """A proxy that tells its status at /status."""
    return stage.proxy(*servers, routes=[{"path": "/status", "use": "status"}, {"to": "app"}], **more)


def status(proxy):
    """The upstream as the status tells it; its only server under "server"."""
    told = json.loads(get(proxy.address, "/status").body)["upstreams"][0]
    return {**told, "server": told["servers"][0]}


def live(origin):
    return [c for c in origin.connections if not c.done]


class Gate:
    """An origin that answers when it is let go, and counts how many wait and waited at most."""

    def __init__(self, stage, **more):
        self.go, self.lock = threading.Event(), threading.Lock()
        self.waiting = self.most = 0
        self.origin = stage.origin(serve_forever(self._answer), **more)

    def _answer(self, conn, request):
        with self.lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        assert self.go.wait(seconds(30))
        with self.lock:
            self.waiting -= 1
        ok(conn, request)

    @property
    def address(self):
        return self.origin.address

    def hold(self, client, target="/held"):
        """Sends a request, and returns when it has arrived."""
        before = len(self.origin.requests)
        client.request(target=target)
        self.origin.wait_requests(before + 1)


# ---------------------------------------------------------------- few for many


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_few_connections_carry_many_clients(stage):
    """Each client asks ten times a second; the issue wants 1,000 of them (MAITRED_FULL=1).  When the machine halts
    for longer than the patience, all ask at once afterwards, rightly on connections of their own: then once more."""
    clients, duration = (1000, 10) if FULL else (250, 4)
    server = stage.use(nginx("location / { return 200 ok; }"))
    for _ in range(4):
        proxy = with_status(stage, server, log=False)
        with Load(proxy.address, connections=clients, rate=affordable(clients * 10)) as work:
            time.sleep(duration)
        told = status(proxy)
        print(work.summary(), "server connections:", told["connections_made"], "ratio:", told["requests_per_connection"])
        assert not work.failed, work.failed[:5]
        assert work.done > clients * duration * 5
        assert told["requests_per_connection"] > 40, told
        if told["connections_made"] <= clients / 2:
            return
    pytest.fail(f"too many connections, each time: {told}")


def test_patience_waits_for_the_connection_of_another(stage):
    """While one is busy, a second request waits for it as long as patience says, then makes its own."""
    gate = Gate(stage)
    proxy = with_status(stage, gate, upstream=connections(patience="10s"), workers=1)
    with Client(proxy.address) as first, Client(proxy.address) as second:
        gate.hold(first, "/1")
        second.request(target="/2")
        assert second.is_silent(0.3) and len(gate.origin.requests) == 1
        gate.go.set()
        assert first.response().status == second.response().status == 200
    assert len(gate.origin.connections) == 1
    assert status(proxy)["waited"] == 1


def test_no_patience(stage):
    gate = Gate(stage)
    proxy = stage.proxy(gate, upstream=connections(patience="0"), workers=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(5)]
        for client in clients:
            gate.hold(client)
        gate.go.set()
        assert all(c.response().status == 200 for c in clients)
    assert len(gate.origin.connections) == 5


def test_patience_ends(stage):
    """A server that is slow holds up nobody else for long."""
    gate = Gate(stage)
    proxy = stage.proxy(gate, workers=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(20)]
        began = time.monotonic()
        for client in clients:
            client.request()
        gate.origin.wait_requests(20)
        assert time.monotonic() - began < seconds(2)
        gate.go.set()
        assert all(c.response().status == 200 for c in clients)


@pytest.mark.parametrize("reuse", [True, False])
def test_an_idle_connection_may_decide(stage, reuse):
    """Of two servers that do nothing, the one to which there is a connection: one is enough for one client."""
    a, b = (stage.origin(serve_forever(ok)) for _ in range(2))
    proxy = stage.proxy(a, b, upstream={"balance": {"two_choices": {"reuse": reuse}}}, workers=1)
    with Client(proxy.address) as client:
        assert all(client.get().status == 200 for _ in range(30))
    assert len(a.connections) + len(b.connections) == (1 if reuse else 2)


# ---------------------------------------------------------------- warm ones


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_are_there_before_the_first_request(stage, workers):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(warm=3), workers=workers)
    eventually(lambda: len(live(origin)) == 3 * workers, 10, "warm connections")
    assert not origin.requests
    for _ in range(10):
        assert get(proxy.address).status == 200
    assert len(origin.connections) == 3 * workers


def test_warm_connections_are_kept(stage):
    """Whether the server closes them or they have been idle for too long."""
    origin = stage.origin(serve_forever(ok))
    stage.proxy(origin, upstream=connections(warm=2, idle_timeout="1s"), workers=1)
    eventually(lambda: len(live(origin)) == 2)
    origin.connections[0].sock.shutdown(2)
    eventually(lambda: len(origin.connections) >= 3 and len(live(origin)) == 2, 5, "the closed one is replaced")
    eventually(lambda: len(origin.connections) >= 5 and len(live(origin)) == 2, 10, "idle ones are replaced")
    assert not origin.requests


def test_a_server_that_was_away_gets_its_warm_connections_again(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(warm=2), workers=1)
    eventually(lambda: len(live(origin)) == 2)
    origin.stop()
    eventually(lambda: not live(origin))
    time.sleep(0.5)
    origin.start()
    eventually(lambda: len(live(origin)) == 2, 15, "warm again")
    assert not origin.requests and get(proxy.address).status == 200


def test_a_server_that_closes_at_once_is_not_hammered(stage):
    origin = stage.origin(lambda conn: None)
    stage.proxy(origin, upstream=connections(warm=2), workers=1)
    eventually(lambda: len(origin.connections) >= 2)
    before = len(origin.connections)
    time.sleep(2)
    assert len(origin.connections) - before <= 40, "warm connections are made over and over"


def test_no_warm_connections_to_who_is_in_maintenance(stage):
    a, b = (stage.origin(serve_forever(ok)) for _ in range(2))
    stage.proxy(a, {"address": b, "state": "maintenance"}, upstream=connections(warm=2), workers=1)
    eventually(lambda: len(live(a)) == 2)
    stays(lambda: not b.connections, 0.3)


# ---------------------------------------------------------------- how long one is used


def test_so_many_requests_and_no_more(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(max_requests=3), workers=1)
    with Client(proxy.address) as client:
        assert all(client.get().status == 200 for _ in range(12))
    assert [c.requests for c in origin.connections] == [3, 3, 3, 3]


def test_an_old_connection_is_not_used_again(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(max_age="1s"), workers=1)
    with Client(proxy.address) as client:
        assert client.get().status == client.get().status == 200
        assert len(origin.connections) == 1
        time.sleep(1.3)
        assert client.get().status == 200
    assert [c.requests for c in origin.connections] == [2, 1]


def test_connections_in_use_grow_old_too(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(max_age="500ms"), workers=1)
    with Client(proxy.address) as client:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert client.get().status == 200
            time.sleep(0.01)
    assert 3 <= len(origin.connections) <= 8


# ---------------------------------------------------------------- idle ones


def closing_idle(after):
    """A server that closes a connection which says nothing for so long, and notes who closed it."""
    def script(conn):
        conn.closed_by = None
        while True:
            conn.timeout = after if conn.requests else 30
            conn.sock.settimeout(conn.timeout)
            try:
                request = conn.read_request()
            except TimeoutError:
                conn.closed_by = "server"
                return
            except Exception:
                conn.closed_by = "proxy"
                raise
            ok(conn, request)
    return script


def idle_rounds(proxy, origin, n):
    """One request, then silence until somebody has closed the connection; n times: who it was."""
    closers = []
    for _ in range(n):
        assert get(proxy.address).status == 200
        eventually(lambda: not live(origin), 10, "the idle connection ends")
        closers.append(origin.connections[-1].closed_by)
    return closers


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_the_time_out_of_a_server_is_learned(stage):
    origin = stage.origin(closing_idle(1.2))
    proxy = with_status(stage, origin, workers=1)
    first = idle_rounds(proxy, origin, 4)
    assert "server" in first
    assert 1000 <= status(proxy)["server"]["learned_idle_ms"] <= 1300
    assert idle_rounds(proxy, origin, 3) == ["proxy"] * 3


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_a_time_out_is_not_learned_when_that_is_switched_off(stage):
    origin = stage.origin(closing_idle(0.8))
    proxy = stage.proxy(origin, upstream=connections(learn_idle=False), workers=1)
    assert idle_rounds(proxy, origin, 5) == ["server"] * 5


@pytest.mark.parametrize("value", ["timeout=2", "timeout=2, max=100", "max=100, timeout=2"])
def test_a_server_that_tells_its_time_out_is_believed(stage, value):
    def answer(conn, request):
        conn.respond(200, [("Keep-Alive", value)], b"ok")

    origin = stage.origin(serve_forever(answer))
    proxy = with_status(stage, origin, workers=1)
    response = get(proxy.address)
    began = time.monotonic()
    assert response.status == 200 and response.get("keep-alive") != value
    assert status(proxy)["server"]["learned_idle_ms"] == 2000
    eventually(lambda: not live(origin), 5, "closed before the server does")
    assert SLOW or 1 < time.monotonic() - began < 2


# ---------------------------------------------------------------- options of sockets


def sockets_to(origin):
    """What ss tells of the proxy's connections to an origin."""
    told = subprocess.run(["ss", "-tnoH", "dst", f"127.0.0.1:{origin.port}"], capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if "ESTAB" in line]


def test_keep_alive_probes(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(keepalive="40s"), workers=1)
    assert get(proxy.address).status == 200
    line, = sockets_to(origin)
    found = re.search(r"timer:\(keepalive,(\d+)sec", line)
    assert found and 30 <= int(found[1]) <= 40, line


def test_no_keep_alive_probes_unless_asked_for(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, workers=1)
    assert get(proxy.address).status == 200
    line, = sockets_to(origin)
    assert "keepalive" not in line


def test_the_address_that_connections_come_from(stage):
    origin = stage.origin(serve_forever(ok))
    proxy = stage.proxy(origin, upstream=connections(source="127.0.0.2", warm=1))
    for _ in range(5):
        assert get(proxy.address).status == 200
    assert {c.peer[0] for c in origin.connections} == {"127.0.0.2"}


def test_an_address_that_is_not_ours(stage):
    proxy = stage.proxy(stage.origin(), upstream=connections(source="192.0.2.1"))
    assert get(proxy.address).status in (502, 503)
    assert proxy.wait_log()["reason"] == "connect_failed"


def test_fast_open(stage):
    """Nothing looks different; a server that is gone is still found out in time."""
    a, b = stage.origin(), stage.origin()
    proxy = stage.proxy(a, b, upstream=connections(fast_open=True))
    for i in range(10):
        response = get(proxy.address, f"/{i}", method="POST", body=b"x" * 3000)
        assert echoed(response)["length"] == 3000
    a.stop()
    for i in range(20):
        assert echoed(get(proxy.address, f"/{i}"))["target"] == f"/{i}"
    targets = [r.target for r in a.requests + b.requests if r.method == "POST"]
    assert len(targets) == len(set(targets)) == 10


# ---------------------------------------------------------------- at most so many


def counting(most, slow=0.0):
    """A server that resets every connection beyond `most` at a time, and tells how many there were."""
    lock, told = threading.Lock(), {"now": 0, "most": 0, "beyond": 0}

    def script(conn):
        with lock:
            told["now"] += 1
            told["most"] = max(told["most"], told["now"])
            beyond = told["now"] > most
            told["beyond"] += beyond
        try:
            if beyond:
                conn.reset()
                return
            while True:
                request = conn.read_request()
                time.sleep(slow)
                answer_echo(conn, request)
        finally:
            with lock:
                told["now"] -= 1

    return script, told


def at_once(proxy, clients, each, source=None):
    """What `clients` at once got, `each` requests long."""
    answers, problems, lock = [], [], threading.Lock()

    def run(number):
        try:
            own = f"127.0.2.{number + 1}" if source else None
            with Client(proxy.address, own, timeout=30) as client:
                for i in range(each):
                    response = client.get(f"/{number}/{i}")
                    with lock:
                        answers.append((number, response))
        except Exception as problem:  # told below
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    return answers


@pytest.mark.parametrize("most", [1, 4])
def test_so_many_connections_and_no_more(stage, most):
    """Of both workers together; who comes when all are busy waits, and gets one of whichever worker."""
    script, told = counting(most, slow=0.002)
    origin = stage.origin(script)
    proxy = with_status(stage, {"address": origin, "max_connections": most}, log=False)
    answers = at_once(proxy, 20, volume(40, 10))
    assert {r.status for _, r in answers} == {200}
    assert told["most"] <= most and told["beyond"] == 0, told
    assert status(proxy)["server"]["connections"] <= most
    assert status(proxy)["waited"] > 0


def test_an_idle_connection_of_another_worker_is_asked_for(stage):
    """The only connection wanders between workers: it is neither closed nor made anew."""
    script, told = counting(1)
    origin = stage.origin(script)
    proxy = stage.proxy({"address": origin, "max_connections": 1})
    for i in range(40):
        assert echoed(get(proxy.address, f"/{i}"))["target"] == f"/{i}"
    assert len(origin.connections) == 1 and told["most"] == 1


def test_warm_connections_count(stage):
    script, told = counting(3)
    origin = stage.origin(script)
    proxy = stage.proxy({"address": origin, "max_connections": 3}, upstream=connections(warm=2))
    eventually(lambda: len(live(origin)) == 3)
    stays(lambda: len(origin.connections) == 3, 0.3)
    assert {r.status for _, r in at_once(proxy, 10, 10)} == {200}
    assert told["most"] <= 3


def test_the_limit_changes_with_a_reload(stage):
    gate = Gate(stage)
    text = """
listeners: [{address: "@listen@"}]
process: {drain: 3s}
upstreams: {app: {servers: [{address: "@app@", max_connections: %d}]}}
routes: [{to: app}]
"""
    proxy = stage.run(text % 1, app=gate)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(3)]
        gate.hold(clients[0])
        clients[1].request()
        assert clients[1].is_silent(0.3) and gate.waiting == 1
        proxy.reload(text % 3)
        clients[2].request()
        eventually(lambda: gate.waiting == 3, 5, "those in line are let in too")
        gate.go.set()
        assert all(c.response().status == 200 for c in clients)


@pytest.mark.parametrize("worker", [1, 2])
def test_a_connection_that_died_while_it_was_handed_over(stage, worker):
    """A server that closes after each answer without a word: nobody in line fails for it."""
    def script(conn):
        request = conn.read_request()
        time.sleep(0.001)
        answer_echo(conn, request)

    origin = stage.origin(script)
    proxy = stage.proxy({"address": origin, "max_connections": 2}, log=False, workers=worker)
    answers = at_once(proxy, 12, volume(30, 10))
    assert {r.status for _, r in answers} == {200}, {(r.status, r.get("proxy-status")) for _, r in answers}


def headed(conn):
    """An echo origin that takes a PROXY header first."""
    header = pp.read(conn)
    while True:
        request = conn.read_request()
        request.fields.append(("x-proxy", repr(header)))
        time.sleep(0.001)
        answer_echo(conn, request)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_line_for_connections_that_are_not_shared(stage, version):
    """With PROXY headers a connection is one client's own: the line hands on places, not connections."""
    origin = stage.origin(headed)
    proxy = stage.proxy({"address": origin, "max_connections": 2}, log=False,
                        upstream={"proxy_protocol": version, **connections(patience="1s")})
    answers = at_once(proxy, 10, volume(20, 5), source=True)
    assert {r.status for _, r in answers} == {200}, {(r.status, r.get("proxy-status")) for _, r in answers}
    for number, response in answers:
        assert f"'127.0.2.{number + 1}'" in echoed(response)["by_name"]["x-proxy"][0]


# ---------------------------------------------------------------- the line


def queue(**options):
    return {"queue": options}


def test_who_waits_too_long_is_told_so(stage):
    gate = Gate(stage)
    proxy = stage.proxy({"address": gate, "max_connections": 1}, upstream=queue(timeout="500ms"))
    with Client(proxy.address) as first, Client(proxy.address) as second:
        gate.hold(first)
        began = time.monotonic()
        second.request(target="/late")
        response = second.response()
        assert 0.4 < time.monotonic() - began < seconds(3)
        assert response.status == 503 and int(response.get("retry-after")) >= 1
        assert "connection_limit_reached" in response.get("proxy-status")
        gate.go.set()
        assert first.response().status == 200
        assert second.get().status == 200
    record = proxy.wait_log(target="/late")
    assert (record["reason"], record["blame"]) == ("queue_timeout", "server")
    assert record["limit"].startswith("queue.timeout at ")
    assert len(gate.origin.connections) == 1


@pytest.mark.parametrize("size", [0, 2])
def test_a_line_that_is_full(stage, size):
    gate = Gate(stage)
    proxy = stage.proxy({"address": gate, "max_connections": 1}, upstream=queue(size=size))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(size + 1)]
        gate.hold(clients[0])
        for client in clients[1:]:
            client.request()
            assert client.is_silent(0.2)
        response = get(proxy.address, "/beyond")
        assert response.status == 503 and int(response.get("retry-after")) >= 1
        gate.go.set()
        assert all(c.response().status == 200 for c in clients)
    record = proxy.wait_log(target="/beyond")
    assert record["reason"] == "queue_full" and record["limit"].startswith("queue.size at ")


def test_who_leaves_makes_room(stage):
    gate = Gate(stage)
    proxy = with_status(stage, {"address": gate, "max_connections": 1}, upstream=queue(size=1))
    with Client(proxy.address) as first:
        gate.hold(first)
        with Client(proxy.address) as impatient:
            impatient.request(target="/gone")
            eventually(lambda: status(proxy)["server"]["waiting"] == 1)
        eventually(lambda: status(proxy)["server"]["waiting"] == 0, 5, "nobody is in line any more")
        with Client(proxy.address) as next_one:
            next_one.request()
            assert next_one.is_silent(0.2)
            gate.go.set()
            assert first.response().status == next_one.response().status == 200
    assert not [r for r in gate.origin.requests if r.target == "/gone"]
    assert proxy.wait_log(target="/gone")["reason"] == "client_gone"


def test_first_come_first_served(stage):
    """Whatever the worker."""
    gate = Gate(stage)
    proxy = with_status(stage, {"address": gate, "max_connections": 1})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(12)]
        gate.hold(clients[0], "/0")
        for i, client in enumerate(clients[1:], 1):
            client.request(target=f"/{i}")
            eventually(lambda i=i: status(proxy)["server"]["waiting"] == i)
        gate.go.set()
        assert all(c.response().status == 200 for c in clients)
    assert [r.target for r in gate.origin.requests] == [f"/{i}" for i in range(12)]


def test_a_free_server_is_better_than_a_line(stage):
    gate, free = Gate(stage), stage.origin(serve_forever(ok), name="free")
    proxy = stage.proxy({"address": gate, "max_connections": 1}, free)
    with Client(proxy.address) as held:
        for _ in range(10):
            held.request()
            eventually(lambda: gate.waiting or held.has_input())
            if gate.waiting:
                break
            assert held.response().status == 200
        assert gate.waiting == 1
        assert all(get(proxy.address).status == 200 for _ in range(10))
        gate.go.set()
        assert held.response().status == 200


def test_the_line_moves_on_when_the_server_fails(stage):
    """The one who holds the only connection loses it: who waits gets the place, and a new connection."""
    arrived = threading.Event()

    def script(conn):
        conn.read_request()
        if conn.number == 0:
            arrived.set()
            time.sleep(0.3)
            conn.reset()
            return
        ok(conn, None)
        conn.wait_end()

    origin = stage.origin(script)
    proxy = stage.proxy({"address": origin, "max_connections": 1}, upstream={"retries": 0})
    with Client(proxy.address) as first, Client(proxy.address) as second:
        first.request("POST", body=b"x")
        assert arrived.wait(seconds(5))
        second.request()
        assert first.response().status == 502
        assert second.response().status == 200


# ---------------------------------------------------------------- what the status tells


def test_the_multiplexing_ratio(stage):
    """Ten clients, five requests each, over as few connections as one worker needs."""
    origin = stage.origin(serve_forever(ok))
    proxy = with_status(stage, origin, workers=1)
    for _ in range(10):
        with Client(proxy.address) as client:
            assert all(client.get().status == 200 for _ in range(5))
    told = status(proxy)
    assert (told["exchanges"], told["connections_made"], told["reused"]) == (50, 1, 49)
    assert told["requests_per_connection"] == 50
    assert (told["clients"], told["clients_per_connection"]) == (10, 10)
    assert (told["server"]["exchanges"], told["server"]["connections"], told["server"]["idle"]) == (50, 1, 1)
