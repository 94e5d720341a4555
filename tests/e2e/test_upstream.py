# SPDX-License-Identifier: Apache-2.0
"""Upstreams: which server, over which connection, and what happens when one fails."""
import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.maitred import Maitred, site
from support.origin import Origin, answer_echo, echoed, serve_forever
from support.ports import free_port
from support.wait import SLOW, eventually, seconds, volume


def named(conn, request):
    conn.respond(200, [("X-Origin", conn.origin.name)], b"ok")


def served_by(proxy, n, **more):
    """Names of the origins that answer n requests over one connection."""
    with Client(proxy.address) as client:
        out = []
        for _ in range(n):
            response = client.get(**more)
            assert response.status == 200, (response.status, response.body)
            out.append(response.get("x-origin"))
        return out


@pytest.fixture
def three(stage):
    return [stage.origin(serve_forever(named), name=n) for n in "abc"]


# ---------------------------------------------------------------- which one


def test_round_robin(stage, three):
    proxy = stage.proxy(*three, workers=1)
    names = served_by(proxy, 30)
    assert Counter(names) == {"a": 10, "b": 10, "c": 10}
    assert all(set(names[i:i + 3]) == set("abc") for i in range(0, 30, 3))


def test_weights_are_kept_smoothly(stage, three):
    proxy = stage.proxy({"address": three[0], "weight": 4}, three[1], three[2], workers=1)
    names = served_by(proxy, 60)
    assert Counter(names) == {"a": 40, "b": 10, "c": 10}
    assert all(Counter(names[i:i + 6])["a"] == 4 for i in range(0, 60, 6))
    assert "aaaaa" not in "".join(names)


def test_round_robin_over_workers(stage, three):
    """Each worker has its own turn; together they still spread the load."""
    proxy = stage.proxy(*three)
    names = []
    for _ in range(30):
        names += served_by(proxy, 3)
    assert all(20 <= n <= 40 for n in Counter(names).values()), Counter(names)


def test_least_connections(stage):
    go = threading.Event()

    def slow(conn, request):
        assert go.wait(seconds(30))
        named(conn, request)

    a = stage.origin(serve_forever(slow), name="a")
    b = stage.origin(serve_forever(named), name="b")
    proxy = stage.proxy(a, b, upstream={"balance": "least_connections"}, workers=1)
    with Client(proxy.address) as held:
        for _ in range(64):  # sooner or later it meets the slow server
            held.request()
            eventually(lambda: a.requests or held.has_input())
            if a.requests:
                break
            assert held.response().status == 200
        assert served_by(proxy, 20) == ["b"] * 20
        go.set()
        assert held.response().status == 200


def test_least_connections_counts_those_that_are_being_made(stage, deaf):
    """A server that does not even accept must not look like an idle one."""
    good = stage.origin(serve_forever(named), name="good")
    proxy = stage.proxy(deaf, good, upstream={"balance": "least_connections"}, timeouts={"connect": "30s"}, workers=1)
    with Client(proxy.address) as held:
        for _ in range(64):  # sooner or later it meets the deaf server
            held.request()
            if held.is_silent(0.5):
                break
            assert held.response().status == 200
        assert served_by(proxy, 20) == ["good"] * 20


def test_random(stage, three):
    counts = Counter(served_by(stage.proxy(*three, upstream={"balance": "random"}), 150))
    assert set(counts) == set("abc") and min(counts.values()) >= 15, counts


# ---------------------------------------------------------------- failures


@pytest.fixture
def refusing():
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_goes_to_another_server(stage, refusing, method):
    origin = stage.origin()
    proxy = stage.proxy(refusing, origin)
    with Client(proxy.address) as client:
        for _ in range(10):
            client.request(method, "/r", body=b"hello" if method == "POST" else None)
            told = echoed(client.response())
            assert told["length"] == (5 if method == "POST" else 0)
    assert len(origin.requests) == 10
    record = proxy.wait_log(attempts=2)
    assert (record["status"], record["server"]) == (200, origin.address) and "reason" not in record


def test_a_refusing_server_is_left_alone_for_a_while(stage, refusing):
    proxy = stage.proxy(refusing, stage.origin(serve_forever(named), name="b"), workers=1)
    served_by(proxy, 50)
    proxy.wait_log(50)
    assert sum(r["attempts"] > 1 for r in proxy.log()) < 25


def test_nobody_listens(stage, refusing):
    proxy = stage.proxy(refusing)
    response = get(proxy.address)
    assert response.status in (502, 503)
    assert response.get("proxy-status").startswith("maitred; error=connection_refused")
    record = proxy.wait_log()
    assert (record["reason"], record["blame"], record["server"]) == ("connect_refused", "server", refusing)


def breaking(how):
    """A server that reads a request and then breaks off."""

    def script(conn):
        conn.read_request()
        if how == "reset":
            conn.reset()

    return script


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"])
def test_idempotent_requests_are_tried_elsewhere(stage, how, method):
    bad, good = stage.origin(breaking(how)), stage.origin()
    proxy = stage.proxy(bad, good, workers=1)
    with Client(proxy.address) as client:
        for _ in range(6):
            client.request(method, "/i")
            assert client.response(method).status == 200
    assert len(good.requests) == 6 and len(bad.requests) >= 1


@pytest.mark.parametrize("size", [5, 5000, 2_000_000])
def test_a_body_is_repeated_whole_or_not_at_all(stage, size):
    bad, good = stage.origin(breaking("close")), stage.origin()
    proxy = stage.proxy(bad, good, workers=1)
    for _ in range(4):
        response = get(proxy.address, method="PUT", body=b"x" * size)
        assert response.status in ((200,) if size < 4096 else (200, 502))
        if response.status == 200:
            assert echoed(response)["length"] == size
    assert all(hasattr(r, "length") for r in good.requests)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_post_is_not_repeated_once_sent(stage, how):
    bad, good = stage.origin(breaking(how)), stage.origin()
    proxy = stage.proxy(bad, good, workers=1)
    statuses = []
    for number in range(6):
        response = get(proxy.address, f"/{number}", method="POST", body=b"order one pizza")
        statuses.append(response.status)
        if response.status == 502:
            assert response.get("proxy-status").startswith("maitred; error=connection_terminated")
    assert 502 in statuses and set(statuses) <= {200, 502}
    targets = [r.target for r in bad.requests + good.requests]
    assert len(targets) == len(set(targets)) == 6  # nobody saw an order twice
    assert proxy.wait_log(status=502)["reason"] == "server_reset"


def test_retries_are_limited(stage):
    origins = [stage.origin(breaking("close")) for _ in range(6)]
    proxy = stage.proxy(*origins, upstream={"retries": 2})
    assert get(proxy.address).status == 502
    assert sum(len(o.requests) for o in origins) == 3
    assert proxy.wait_log()["attempts"] == 3


def test_no_retries(stage):
    origins = [stage.origin(breaking("close")) for _ in range(3)]
    proxy = stage.proxy(*origins, upstream={"retries": 0})
    assert get(proxy.address).status == 502
    assert sum(len(o.requests) for o in origins) == 1


def test_an_answer_is_never_repeated(stage):
    """Once a server has begun to answer, its answer is the answer, 503 or not."""
    a, b = (stage.origin(serve_forever(lambda conn, _: conn.respond(503, body=b"busy"))) for _ in range(2))
    proxy = stage.proxy(a, b)
    assert get(proxy.address).body == b"busy"
    assert len(a.requests) + len(b.requests) == 1


def test_a_server_that_comes_back_is_used_again(stage):
    a, b = (stage.origin(serve_forever(named), name=n) for n in "ab")
    proxy = stage.proxy(a, b, workers=1)
    assert set(served_by(proxy, 4)) == {"a", "b"}
    a.stop()
    assert set(served_by(proxy, 6)) == {"b"}
    a.start()
    eventually(lambda: "a" in served_by(proxy, 2), 30, "a gets requests again")


def test_all_down_and_up_again(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin)
    assert get(proxy.address).status == 200
    origin.stop()
    assert get(proxy.address).status in (502, 503)
    origin.start()
    eventually(lambda: get(proxy.address).status == 200, 30, "served again")


# ---------------------------------------------------------------- pooled connections


def test_stale_connections_never_show(stage):
    """A server that closes its keep-alive connections at random, under load: not one request fails."""
    dice = random.Random(1)

    def script(conn):
        for _ in range(dice.randint(1, 5)):
            conn.read_request()
            conn.respond(200, body=b"ok")
        if dice.random() < 0.5:
            time.sleep(dice.random() * 0.004)
        if dice.random() < 0.3:
            conn.reset()

    proxy = stage.proxy(stage.origin(script), log=False)
    bad = []

    def load():
        with Client(proxy.address, timeout=30) as client:
            for number in range(volume(400)):
                response = client.get(f"/{number}")
                if response.status != 200:
                    bad.append((response.status, response.body))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_the_server_has_closed_is_not_used(stage, method):
    def script(conn):
        conn.read_request()
        conn.respond(200, body=b"ok")  # without a word about closing

    origin = stage.origin(script)
    proxy = stage.proxy(origin, workers=1)
    with Client(proxy.address) as client:
        for number in range(20):
            client.request(method, f"/{number}", body=b"x" if method == "POST" else None)
            assert client.response().body == b"ok"
            eventually(lambda: origin.connections[number].done)
    assert len(origin.requests) == 20


def test_idle_connections_are_closed_in_time(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, upstream={"connections": {"idle_timeout": "1s"}}, workers=1)
    assert get(proxy.address).status == 200
    eventually(lambda: origin.connections[0].ended, 10, "the idle connection is closed")
    assert get(proxy.address).status == 200 and len(origin.connections) == 2


def test_idle_connections_are_limited(stage):
    go = threading.Event()

    def answer(conn, request):
        assert go.wait(seconds(20))
        conn.respond(200, body=b"ok")

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, upstream={"connections": {"max_idle": 2}}, workers=1)
    clients = [Client(proxy.address) for _ in range(8)]
    for client in clients:
        client.request()
    origin.wait_requests(8)
    go.set()
    for client in clients:
        assert client.response().status == 200
        client.close()
    eventually(lambda: sum(c.ended is not None for c in origin.connections) == 6, what="six of eight are closed")


# ---------------------------------------------------------------- names


def test_a_name_that_does_not_resolve_stops_nothing(stage):
    origin = stage.origin(serve_forever(named), name="a")
    proxy = stage.proxy("no-such-server.invalid:80", origin)
    eventually(lambda: get(proxy.address).status == 200, 30)
    assert served_by(proxy, 6) == ["a"] * 6


def test_only_names_that_do_not_resolve(stage):
    proxy = stage.proxy("no-such-server.invalid:80")
    with Client(proxy.address, timeout=40) as client:
        response = client.get()
    assert response.status in (502, 503)
    record = proxy.wait_log()
    assert record["reason"] in ("name_unresolved", "no_server") and record["blame"] == "server"


def test_localhost(stage):
    origin = stage.origin(serve_forever(named), name="a")
    proxy = stage.proxy(f"localhost:{origin.port}")
    eventually(lambda: get(proxy.address).status == 200, 30)
    assert served_by(proxy, 10) == ["a"] * 10


class NameServer:
    """A small DNS server on an own loopback address, port 53: A records with a TTL of one second."""

    def __init__(self):
        self.records, self.asked = {}, Counter()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
        self.sock.bind((self.host, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.sock.sendto(self._answer(query), peer)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        self.asked[name] += 1
        known = name in self.records
        hosts = self.records.get(name, []) if kind == 1 else []
        answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(h) for h in hosts)
        flags = 0x8180 if known else 0x8183
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(hosts), 0, 0) + question + answers

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()


def can_unshare():
    return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="a resolv.conf of our own needs root")
def test_names_are_resolved_again(stage):
    """The proxy runs with its own /etc/resolv.conf, which leads to a name server of ours."""
    names = stage.use(NameServer())
    port = free_port()
    a = stage.origin(serve_forever(named), name="a", host="127.0.0.71", port=port)
    b = stage.origin(serve_forever(named), name="b", host="127.0.0.72", port=port)
    c = stage.origin(serve_forever(named), name="c", host="127.0.0.73", port=port)
    assert a and b and c
    path = f"{stage.folder()}/resolv.conf"
    with open(path, "w") as file:
        file.write(f"nameserver {names.host}\noptions timeout:1 attempts:2\n")
    names.records["app.test"] = ["127.0.0.71"]
    wrap = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', path]
    proxy = stage.proxy(f"app.test:{port}", wrap=wrap)

    def who():
        return {get(proxy.address).get("x-origin") for _ in range(8)}

    eventually(lambda: who() == {"a"}, 15, "a alone")
    names.records["app.test"] = ["127.0.0.72", "127.0.0.73"]
    eventually(lambda: who() == {"b", "c"}, 20, "b and c, by the TTL")
    del names.records["app.test"]
    count = names.asked["app.test"]
    eventually(lambda: names.asked["app.test"] > count + 1, 20, "asked again")
    assert get(proxy.address).status in (200, 502, 503)  # down or last known; the process goes on
    names.records["app.test"] = ["127.0.0.71"]
    eventually(lambda: who() == {"a"}, 30, "a again")


@pytest.mark.skipif(SLOW, reason="a matter of spread, not of memory")
def test_load_is_spread_under_concurrency(stage):
    origins = [stage.origin(serve_forever(answer_echo), name=n) for n in "ab"]
    proxy = stage.proxy(*origins, log=False)

    def load():
        with Client(proxy.address) as client:
            for _ in range(100):
                assert client.get().status == 200

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [len(o.requests) for o in origins]
    assert sum(counts) == 400 and min(counts) >= 150, counts


def test_a_url_as_the_target_of_a_route(stage):
    origin = stage.origin(serve_forever(named), name="a")
    proxy = stage.run("listeners: [{address: '@listen@'}]\nroutes: [{to: 'http://@app@'}]\n", app=origin)
    assert served_by(proxy, 3) == ["a"] * 3


def test_server_connections_are_closed_at_the_end():
    with Origin() as origin:
        with Maitred(site(origin)) as proxy:
            assert get(proxy.address).status == 200
        eventually(lambda: origin.connections[0].ended == "end", what="the server sees the end")
