# SPDX-License-Identifier: Apache-2.0
"""Active health: servers are asked how they are, and what follows for those who want something of them."""
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest

from support.client import get
from support.maitred import address_of, command, folder, site
from support.origin import serve_forever
from support.ports import free_port
from support.wait import SLOW, eventually, seconds, stays

EVERY = 0.1
CHECK = {"path": "/healthz", "every": "100ms", "timeout": "80ms", "jitter": "0%", "rise": 2, "fall": 3}
if SLOW:
    CHECK["timeout"] = "1s"


class Patient:
    """A server whose health is as a test wants it, and what it was asked."""

    def __init__(self, stage, name):
        self.name, self.answer = name, self.well
        self.probes, self.served = [], 0
        self.origin = stage.origin(serve_forever(self._answer), name=name)

    def _answer(self, conn, request):
        if request.target.startswith("/healthz"):
            self.probes.append(time.monotonic())
            self.answer(conn)
        else:
            self.served += 1
            conn.respond(200, [("X-Origin", self.name)], b"served")

    @property
    def address(self):
        return self.origin.address

    @staticmethod
    def well(conn):
        conn.respond(200, body=b"all is well")

    @staticmethod
    def ill(conn):
        conn.respond(503, body=b"all is ill")

    @staticmethod
    def hang(conn):
        conn.wait_end()

    @staticmethod
    def half(conn):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        conn.wait_end()

    @staticmethod
    def endless(conn):
        conn.send(b"HTTP/1.1 503 No\r\n\r\n")
        for _ in range(10000):
            conn.send(b"x" * 65536)


class Speaker:
    """Says one line to whoever connects; None: hangs."""

    def __init__(self, line):
        self.line, self.asked, self._held = line, 0, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            if self.line is None:
                self._held.append(conn)
                continue
            try:
                conn.sendall(self.line)
                conn.shutdown(socket.SHUT_WR)
                conn.settimeout(5)
                while conn.recv(4096):
                    pass
            except OSError:
                pass
            conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._listener.close()
        for conn in self._held:
            conn.close()


def said(proxy, word, address):
    """How often the log says that the server is `down` or `up`."""
    return len(re.findall(rf"server is {word} upstream=app server={re.escape(address_of(address))} ", proxy.stderr))


def wait_said(proxy, word, address, times=1):
    eventually(lambda: said(proxy, word, address) >= times, 15, f"{address_of(address)} {word}")


def served_by(proxy, n=20):
    """Who answers n requests, each over a connection of its own: all workers get some."""
    return Counter(get(proxy.address).get("x-origin") for _ in range(n))


@pytest.fixture
def pair(stage):
    return Patient(stage, "a"), Patient(stage, "b")


# ---------------------------------------------------------------- down and up


@pytest.mark.parametrize("illness", ["ill", "hang", "half", "endless"])
def test_a_failing_server_gets_no_traffic(stage, pair, illness):
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": CHECK})
    assert set(served_by(proxy)) == {"a", "b"}
    b.answer = getattr(b, illness)
    wait_said(proxy, "down", b)
    before = b.served
    assert served_by(proxy, 40) == {"a": 40}
    assert b.served == before
    b.answer = b.well
    wait_said(proxy, "up", b)
    eventually(lambda: served_by(proxy, 4)["b"] > 0, 5, "b serves again")
    assert said(proxy, "down", b) == said(proxy, "up", b) == 1
    assert said(proxy, "down", a) == 0


def test_fall_and_rise_are_counted(stage, pair):
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": {**CHECK, "fall": 4, "rise": 5}})
    eventually(lambda: len(b.probes) >= 2)
    outcome = []

    def failing(conn):
        outcome.append("-")
        b.ill(conn)

    def passing(conn):
        outcome.append("+")
        b.well(conn)

    b.answer = failing
    wait_said(proxy, "down", b)
    assert 4 <= len(outcome) <= 5  # the log is a moment late
    del outcome[:]
    b.answer = passing
    wait_said(proxy, "up", b)
    assert 5 <= outcome.count("+") <= 6 and outcome.count("-") <= 1


def test_a_dead_server_is_found_out_at_the_start(stage, pair):
    """The very first answer decides: not three intervals, but one."""
    a, b = pair
    b.answer = b.ill
    proxy = stage.proxy(a, b, upstream={"health": {**CHECK, "fall": 1000}})
    wait_said(proxy, "down", b)
    assert len(b.probes) <= 2


def test_both_workers_know_at_once(stage, pair):
    """What is known of a server is shared: once it is said, no worker uses it any more."""
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": CHECK}, workers=2)
    for times in (1, 2):
        b.answer = b.ill
        wait_said(proxy, "down", b, times)
        assert served_by(proxy, 30) == {"a": 30}
        b.answer = b.well
        wait_said(proxy, "up", b, times)


def test_a_dead_process_and_a_new_one(stage, pair):
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": CHECK})
    b.origin.stop()
    wait_said(proxy, "down", b)
    assert "connecting: the peer refused the connection" in proxy.stderr
    b.origin.start()
    wait_said(proxy, "up", b)


def test_a_newcomer_proves_itself_first(stage, pair):
    a, b = pair
    c = Patient(stage, "c")
    c.answer = c.ill
    proxy = stage.proxy(a, b, upstream={"health": CHECK})
    served_by(proxy, 4)
    proxy.reload(site(a, b, c, upstream={"health": CHECK}))
    assert "c" not in served_by(proxy, 30)
    wait_said(proxy, "down", c)
    assert "c" not in served_by(proxy, 30)
    c.answer = c.well
    wait_said(proxy, "up", c)
    eventually(lambda: served_by(proxy, 6)["c"] > 0, 5, "c serves")


def test_a_newcomer_need_not_wait_for_the_interval(stage, pair):
    a, b = pair
    slowly = {"health": {**CHECK, "every": "1h", "timeout": "2s"}}
    proxy = stage.proxy(a, upstream=slowly)
    proxy.reload(site(a, b, upstream=slowly))
    eventually(lambda: served_by(proxy, 4)["b"] > 0, 3, "b serves")


# ---------------------------------------------------------------- everybody


def test_all_down(stage, pair):
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": CHECK})
    a.answer = b.answer = a.ill
    wait_said(proxy, "down", a)
    wait_said(proxy, "down", b)
    refused = get(proxy.address)
    assert refused.status == 503
    assert int(refused.get("retry-after")) >= 1
    assert proxy.wait_log(status=503)["reason"] == "no_server"
    a.answer = b.answer = a.well
    wait_said(proxy, "up", a)
    assert get(proxy.address).status == 200


def test_panic(stage, pair):
    """So many at once cannot all be ill: rather the checks are wrong."""
    a, b = pair
    proxy = stage.proxy(a, b, upstream={"health": CHECK, "panic": "60%"})
    b.answer = b.ill
    wait_said(proxy, "down", b)
    assert set(served_by(proxy)) == {"a", "b"}
    a.answer = a.ill
    wait_said(proxy, "down", a)
    assert set(served_by(proxy)) == {"a", "b"}


# ---------------------------------------------------------------- reloads


def test_health_survives_a_reload(stage, pair):
    a, b = pair
    b.answer = b.ill
    text = site(a, b, upstream={"health": CHECK})
    proxy = stage.run(text)
    wait_said(proxy, "down", b)
    began, probes = time.monotonic(), len(a.probes) + len(b.probes)
    for i in range(10):
        proxy.reload(text.replace("drain: 3s", f"drain: {4 + i}s"))
        assert served_by(proxy, 4) == {"a": 4}
    took = time.monotonic() - began
    assert said(proxy, "down", b) == 1 and said(proxy, "up", b) == 0
    # No storm: each reload leaves the rhythm alone.
    assert len(a.probes) + len(b.probes) - probes <= 2 * (took / EVERY + 2)
    # Other options count at once, and what is known stays.
    proxy.reload(site(a, b, upstream={"health": {**CHECK, "rise": 1, "path": "/healthz/other"}}))
    assert served_by(proxy, 4) == {"a": 4}
    b.answer = b.well
    wait_said(proxy, "up", b)


def test_without_checks_nobody_is_down(stage, pair):
    a, b = pair
    b.answer = b.ill
    proxy = stage.run(site(a, b, upstream={"health": CHECK}))
    wait_said(proxy, "down", b)
    proxy.reload(site(a, b))
    assert set(served_by(proxy)) == {"a", "b"}
    asked = len(b.probes)
    stays(lambda: len(b.probes) <= asked + 1, 5 * EVERY, "nobody asks any more")


def test_the_end_does_not_wait_for_probes(stage):
    with Speaker(None) as silent:
        proxy = stage.proxy(silent, upstream={"health": {"every": "10ms", "timeout": "1h"}})
        eventually(lambda: silent.asked == 1)
        began = time.monotonic()
        proxy.stop()
        assert time.monotonic() - began < seconds(3)


# ---------------------------------------------------------------- http


def passes(stage, check, server, within=15):
    """Whether the check of a newcomer passes: the log says so either way."""
    good = stage.origin()
    proxy = stage.proxy(good, upstream={"health": {"probe": "tcp", **{k: CHECK[k] for k in ("every", "timeout")}}})
    options = {"every": "50ms", "timeout": "1s", **check}
    proxy.reload(site(server, upstream={"health": options}))
    return eventually(lambda: (said(proxy, "up", server) and "up") or (said(proxy, "down", server) and "down"),
                      within) == "up", proxy


@pytest.mark.parametrize("answer, check, good", [
    ((204, b""), {}, True),
    ((302, b""), {}, True),
    ((404, b""), {}, False),
    ((302, b""), {"status": "200-299"}, False),
    ((503, b""), {"status": [200, "500-503"]}, True),
    ((200, b"status: GREEN, really"), {"body": "status: (GREEN|YELLOW)"}, True),
    ((200, b"status: RED"), {"body": "status: (GREEN|YELLOW)"}, False),
    ((200, b"x" * 60000 + b"needle"), {"body": "needle"}, True),
    ((200, b"x" * 70000 + b"needle"), {"body": "needle"}, False),
])
def test_what_http_answers_pass(stage, answer, check, good):
    def script(conn, request):
        conn.respond(answer[0], [("Content-Length", str(len(answer[1])))] if answer[0] != 204 else [], answer[1])

    server = stage.origin(serve_forever(script))
    assert passes(stage, {"path": "/", **check}, server)[0] == good


def test_what_is_asked(stage):
    origin = stage.origin()
    ok, _ = passes(stage, {"path": "/healthz?deep=1", "host": "app.example", "method": "OPTIONS"}, origin)
    assert ok
    request = origin.requests[0]
    assert (request.method, request.target, request.version) == ("OPTIONS", "/healthz?deep=1", "HTTP/1.1")
    assert request.get("host") == "app.example"
    assert request.get("user-agent") == "maitred"
    assert request.get("connection") == "close"
    # It leaves in good order: no reset.
    conn = origin.connections[0]
    eventually(lambda: conn.done)
    assert conn.ended in (None, "end")


def test_another_port_of_the_server(stage):
    origin = stage.origin()
    with Speaker(b"hello") as side:
        ok, _ = passes(stage, {"probe": "tcp", "port": side.port, "expect": "^hello"}, origin)
    assert ok and not origin.connections


def test_unix_sockets_are_checked(stage):
    path = os.path.join(stage.folder(), "app.sock")
    origin = stage.origin(path=path)
    assert passes(stage, {"path": "/"}, origin)[0]
    assert origin.requests[0].get("host") == "localhost"


# ---------------------------------------------------------------- tcp and ftp


@pytest.mark.parametrize("line, check, good", [
    (b"+PONG\r\n", {"send": "PING\r\n", "expect": "^[+]PONG"}, True),
    (b"-ERR\r\n", {"send": "PING\r\n", "expect": "^[+]PONG"}, False),
    (None, {"expect": "^[+]PONG"}, False),
    (None, {}, True),
])
def test_tcp(stage, line, check, good):
    with Speaker(line) as server:
        assert passes(stage, {"probe": "tcp", "timeout": "300ms", **check}, server)[0] == good


@pytest.mark.parametrize("greeting, check, good", [
    (b"220 ready\r\n", {}, True),
    (b"220-hello\r\n 221 no\r\n220 ready\r\n", {}, True),
    (b"421 too many\r\n", {}, False),
    (b"220 ProFTPD\r\n", {"expect": "vsFTPd"}, False),
    (None, {}, False),
])
def test_ftp_greetings(stage, greeting, check, good):
    with Speaker(greeting) as server:
        assert passes(stage, {"probe": "ftp", "timeout": "300ms", **check}, server)[0] == good


@pytest.mark.skipif(not shutil.which("vsftpd", path="/usr/sbin:/usr/bin"), reason="vsftpd is not installed")
def test_vsftpd(stage):
    port, path = free_port(), folder()
    config = os.path.join(path, "vsftpd.conf")
    with open(config, "w") as file:
        file.write(f"listen=YES\nbackground=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nrun_as_launching_user=YES\n"
                   "anonymous_enable=YES\nlocal_enable=NO\nxferlog_enable=NO\nseccomp_sandbox=NO\n")
    ftp = subprocess.Popen([shutil.which("vsftpd", path="/usr/sbin:/usr/bin"), config], stdin=subprocess.DEVNULL)
    try:
        ok, _ = passes(stage, {"probe": "ftp", "expect": "^220 .*vsFTPd", "timeout": "2s"}, f"127.0.0.1:{port}")
        assert ok and ftp.poll() is None
    finally:
        ftp.kill()
        ftp.wait()
        shutil.rmtree(path)


# ---------------------------------------------------------------- command


def test_commands_pass_and_fail(stage, pair):
    a, b = pair
    path = stage.folder()
    script = os.path.join(path, "check")
    with open(script, "w") as file:
        file.write('#!/bin/sh\ntest "$MAITRED_UPSTREAM" = app || exit 9\n'
                   f'test ! -e {path}/ill-$MAITRED_SERVER || {{ echo "$1 is ill"; exit 1; }}\n')
    os.chmod(script, 0o755)
    check = {"probe": "command", "command": [script, "patient"], "every": "100ms", "timeout": "5s"}
    proxy = stage.proxy(a, b, upstream={"health": check})
    ill = os.path.join(path, f"ill-{b.address}")
    with open(ill, "w"):
        pass
    wait_said(proxy, "down", b)
    assert 'why="patient is ill"' in proxy.stderr
    assert served_by(proxy, 10) == {"a": 10}
    os.unlink(ill)
    wait_said(proxy, "up", b)
    # All of them are buried: no zombies but those of this very moment.
    eventually(lambda: len(zombies(proxy.worker)) <= 2, 5, "no zombies")


def zombies(parent):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and int(fields[1]) == parent:
            found.append(int(pid))
    return found


def running(mark):
    """How many processes have this among their arguments."""
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += mark.encode() in file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def states(proxy):
    """What each server of `app` is, by its address."""
    told = json.loads(get(proxy.address, "/status").body)
    return {s["address"]: s["state"] for u in told["upstreams"] if u["name"] == "app" for s in u["servers"]}


def test_commands_that_hang(stage):
    """They are killed at their time-out, do not wait for each other, and are not left over."""
    mark = f"86399.{free_port()}"
    check = {"probe": "command", "command": ["/bin/sh", "-c", f"sleep {mark} & sleep {mark}"],
             "every": "100ms", "timeout": "400ms"}
    servers = [f"127.0.0.{n}:{free_port()}" for n in range(2, 42)]
    began = time.monotonic()
    proxy = stage.proxy(*servers, upstream={"health": check},
                        routes=[{"path": "/status", "use": "status"}, {"to": "app"}])
    eventually(lambda: set(states(proxy).values()) == {"down"}, 10, "all are down")
    if not SLOW:  # one after the other they would need 16 s
        assert time.monotonic() - began < 5
    eventually(lambda: running(mark) > 0)
    proxy.stop()
    eventually(lambda: running(mark) == 0, 5, "nothing is left over")


# ---------------------------------------------------------------- agents


def test_agents(stage, pair):
    a, b = pair
    with Speaker(b"up 100%\n") as agent:
        check = {"probe": "agent", "port": agent.port, "every": "50ms", "timeout": "1s"}
        # The agent speaks for b only: a has another address, where nobody listens.
        upstream = {"health": [check]}
        lonely = {"address": f"127.0.0.2:{free_port()}"}
        other = stage.origin(serve_forever(lambda conn, request: conn.respond(200, [("X-Origin", "other")])),
                             host="127.0.0.2", port=int(lonely["address"].rsplit(":", 1)[1]))
        proxy = stage.proxy(other, b, upstream=upstream, workers=1)
        assert set(served_by(proxy)) == {"other", "b"}

        agent.line = b"drain # going home\n"
        eventually(lambda: "server wants to be draining" in proxy.stderr)
        assert served_by(proxy) == {"other": 20}
        agent.line = b"up\n"  # not enough, as with HAProxy
        asked = agent.asked
        eventually(lambda: agent.asked > asked + 2)
        assert served_by(proxy) == {"other": 20}
        agent.line = b"ready up 20%\n"
        eventually(lambda: "server wants to be ready" in proxy.stderr)
        eventually(lambda: served_by(proxy, 10)["b"] > 0)
        shares = served_by(proxy, 200)
        assert 5 <= shares["b"] <= 65, shares

        agent.line = b"down # tired\n"
        wait_said(proxy, "down", b)
        assert 'why="the agent says down: tired"' in proxy.stderr
        assert served_by(proxy) == {"other": 20}
        agent.line = b"100% up\n"
        wait_said(proxy, "up", b)
        assert served_by(proxy)["b"] > 0
        # Operators' reloads do not undo what the agent wants.
        agent.line = b"maint\n"
        eventually(lambda: "server wants to be maintenance" in proxy.stderr)
        proxy.reload()
        assert served_by(proxy) == {"other": 20}
    # Without its agent the server stays as it is.
    stays(lambda: said(proxy, "down", b) == 1, 0.3)


# ---------------------------------------------------------------- many


class Field:
    """One port on very many loopback addresses; notes when each was asked, and answers 204."""

    def __init__(self):
        self.port, self.seen, self._ending = free_port(), [], False
        self._listener = socket.create_server(("0.0.0.0", self.port), backlog=1024)
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._ending:
                for key, _ in ready.select(0.1):
                    if key.fileobj is self._listener:
                        self._accept(ready)
                    else:
                        self._answer(ready, key.fileobj)

    def _accept(self, ready):
        try:
            conn, _ = self._listener.accept()
        except BlockingIOError:
            return
        self.seen.append((time.monotonic(), conn.getsockname()[0]))
        ready.register(conn, selectors.EVENT_READ)

    @staticmethod
    def _answer(ready, conn):
        if conn.recv(4096):
            conn.send(b"HTTP/1.1 204 Well\r\n\r\n")
        else:
            ready.unregister(conn)
            conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._ending = True
        self._thread.join()
        self._listener.close()


def test_checks_are_spread_over_the_interval(stage):
    """Three hundred servers in thirty upstreams are asked evenly, from the first interval on."""
    every, n = 3, 300
    with Field() as field:
        servers = [f"127.0.{1 + i // 200}.{1 + i % 200}:{field.port}" for i in range(n)]
        upstreams = {f"u{i}": {"servers": servers[i::30], "health": {"every": f"{every}s", "jitter": "0%"}}
                     for i in range(30)}
        routes = [{"path": f"/{name}/", "to": name} for name in upstreams]
        began = time.monotonic()
        proxy = stage.run(site(routes=routes, upstreams=upstreams))
        eventually(lambda: len(field.seen) >= 2 * n, 3 * every, f"{2 * n} probes")
        proxy.stop()
    assert len({address for _, address in field.seen[:n]}) == n  # each once before any twice
    first = field.seen[0][0]
    assert first - began < seconds(2)
    tenths = Counter(int((at - first) / every * 10) for at, _ in field.seen[:2 * n])
    assert all(15 <= tenths[i] <= 45 for i in range(20)), sorted(tenths.items())


# ---------------------------------------------------------------- configuration


def test_what_does_not_fit_is_refused(stage):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write("listeners: [127.0.0.1:1]\nupstreams:\n  app:\n    servers: [127.0.0.1:2]\n"
                   "    health:\n      - probe: tcp\n        path: /healthz\nroutes: [{to: app}]\n")
    done = command("check", "-c", path)
    assert done.returncode != 0
    assert "site.yaml:7:15: error: a check by `tcp` has no `path`" in done.stdout + done.stderr
