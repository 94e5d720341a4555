# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to servers under limits, with several workers, over reloads, to the end; and servers that others have made."""
import concurrent.futures
import hashlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from support import process
from support.certs import Authority, write
from support.client import Client, curl, get
from support.daemons import Daemon, nginx
from support.h2_front import HTTP2, front, many, reason, serve, statuses
from support.h2_server import INTERNAL, MAX_STREAMS, pattern
from support.maitred import folder, sanitized, site
from support.ports import free_port
from support.wait import eventually, seconds, settled, volume
from support.wire import Closed

MIB = 1 << 20
PRIOR = "--http2-prior-knowledge"


# ---------------------------------------------------------------- limits, several workers, reload, end

def test_few_connections_for_all_workers(stage):
    """Fewer than workers: each gets its turn, nobody waits until it is sent away."""
    server = serve(stage, lambda call: (time.sleep(0.01), call.respond(200)))
    proxy = front(stage, {"address": server, "max_connections": 1}, workers=2,
                  upstream={"queue": {"timeout": "5s"}})
    stop = time.monotonic() + 3
    slowest, found = [], []

    def load(_):
        with Client(proxy.address, timeout=20) as client:
            while time.monotonic() < stop:
                begun = time.monotonic()
                found.append(client.get().status)  # a 503 would tell of one who waited in vain
                slowest.append(time.monotonic() - begun)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(load, range(16)))
    assert set(found) == {200} and max(slowest) < seconds(2)
    assert len(server.alive()) <= 1


def test_as_many_connections_as_workers(stage):
    server = serve(stage, lambda call: (time.sleep(0.02), call.respond(200)))
    proxy = front(stage, {"address": server, "max_connections": 2}, workers=2)
    for _ in range(5):
        assert statuses(many(proxy, 50)) == [200] * 50
    assert len(server.alive()) <= 2


def test_full_connections_and_a_line(stage):
    """max_connections 1 with two streams: the others wait in line and get through one after the other."""
    server = serve(stage, lambda call: (time.sleep(0.02), call.respond(200)), settings={MAX_STREAMS: 2})
    proxy = front(stage, {"address": server, "max_connections": 1})
    assert get(proxy.address).status == 200
    assert statuses(many(proxy, 40)) == [200] * 40
    assert len(server.connections) == 1 and server.connections[0].peak == 2


def test_a_full_line(stage):
    gate = threading.Event()
    server = serve(stage, lambda call: (gate.wait(20), call.respond(200)), settings={MAX_STREAMS: 1})
    proxy = front(stage, {"address": server, "max_connections": 1},
                  upstream={"queue": {"size": 2, "timeout": "500ms"}})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, proxy.address)
        server.wait_calls(1)
        time.sleep(0.1)
        found = many(proxy, 10)
        assert set(statuses(found)) == {503}
        gate.set()
        assert first.result().status == 200
    assert {r["reason"] for r in proxy.log() if r["status"] == 503} <= {"queue_full", "queue_timeout"}


def test_reload_while_streams_run(stage):
    gate = threading.Event()
    server = serve(stage, lambda call: (gate.wait(20) if call.path == "/long" else None, call.respond(200, body=b"x")))
    proxy = front(stage, server)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        found = [pool.submit(get, proxy.address, "/long") for _ in range(5)]
        server.wait_calls(5)
        for _ in range(3):
            proxy.reload()
            assert get(proxy.address, "/short").status == 200
        assert len(server.connections) == 1, "an unchanged upstream keeps its connections"
        gate.set()
        assert [f.result().status for f in found] == [200] * 5


def test_reload_that_takes_the_server_away(stage):
    gate = threading.Event()
    old = serve(stage, lambda call: (gate.wait(20), call.respond(200, body=b"old")))
    new = serve(stage, lambda call: call.respond(200, body=b"new"))
    proxy = front(stage, old)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        found = [pool.submit(get, proxy.address) for _ in range(5)]
        old.wait_calls(5)
        proxy.reload(site(new, upstream=HTTP2))
        assert get(proxy.address).body == b"new"
        gate.set()
        assert [f.result().body for f in found] == [b"old"] * 5
    eventually(lambda: not old.alive(), what="nobody uses it any more")


def test_reload_that_changes_the_protocol(stage):
    server = serve(stage)
    origin = stage.origin()
    proxy = front(stage, server)
    assert get(proxy.address).status == 200
    proxy.reload(site(origin))
    assert get(proxy.address).status == 200 and len(origin.requests) == 1
    proxy.reload(site(server, upstream=HTTP2))
    assert get(proxy.address).status == 200
    eventually(lambda: len(server.alive()) <= 1)


def test_the_end_waits_for_streams(stage):
    server = serve(stage)
    proxy = front(stage, server, workers=2)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = [pool.submit(get, proxy.address, "/slow/0.7") for _ in range(10)]
        server.wait_calls(10)
        proxy.signal(signal.SIGTERM)
        assert [f.result().status for f in found] == [200] * 10
    proxy.finish(5)


def test_the_end_does_not_wait_for_idle_connections(stage):
    proxy = front(stage, serve(stage), workers=2)
    assert get(proxy.address).status == 200
    begun = time.monotonic()
    proxy.signal(signal.SIGTERM)
    proxy.finish(5)
    assert time.monotonic() - begun < seconds(2.5)


def test_the_end_cuts_what_does_not_end(stage):
    server = serve(stage, lambda call: None)
    proxy = front(stage, server, process={"drain": "500ms"})
    with Client(proxy.address) as client:
        client.request()
        server.wait_calls(1)
        proxy.signal(signal.SIGTERM)
        proxy.finish(6)


def test_a_server_that_is_killed_again_and_again_under_load(stage):
    """Reads are tried elsewhere; nothing hangs, and nothing is left behind."""
    shaky, steady = serve(stage), serve(stage)
    proxy = front(stage, shaky, steady, workers=2, upstream={"retries": {"attempts": 3, "budget": "100%"}})
    stop, found = threading.Event(), []

    def load(i):
        while not stop.is_set():
            try:
                found.append(get(proxy.address, "/20000" if i % 2 else "/x").status)
            except (Closed, OSError):
                found.append(0)  # in the middle of the body

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(load, i) for i in range(12)]
        for _ in range(6):
            time.sleep(0.3)
            shaky.stop()
            time.sleep(0.2)
            shaky.start()
        stop.set()
        for future in futures:
            future.result()
    assert found.count(200) >= len(found) * 0.97, {s: found.count(s) for s in set(found)}
    assert set(found) <= {0, 200, 502, 503}


def test_nothing_is_left_behind(stage):
    """Descriptors and memory after many connections that ended in all sorts of ways."""

    def part(call):
        if call.path == "/cut":
            return call.conn.cut()
        if call.path == "/half":
            call.head(200)
            call.data(b"x" * 10000)
            return call.give_up(INTERNAL)
        if call.path == "/goaway":
            call.respond(200)
            return call.conn.goaway(call.stream)
        return call.respond(200, body=b"x" * 1000)

    server = serve(stage, part)
    proxy = front(stage, server, upstream={"retries": 0})

    def round_of_all():
        for path in ("/cut", "/half", "/goaway", "/plain"):
            with Client(proxy.address) as client:
                client.request("GET", path, fields=[("Connection", "close")])
                try:
                    client.read_all()
                except OSError:
                    pass

    for _ in range(volume(40, 10)):
        round_of_all()
    descriptors = settled(lambda: process.descriptors(proxy.worker))
    before = proxy.rss_kib()
    for _ in range(volume(150, 20)):
        round_of_all()
    assert settled(lambda: process.descriptors(proxy.worker)) <= descriptors + 3
    assert sanitized() or proxy.rss_kib() - before < 2048


# ---------------------------------------------------------------- upgrades and agreement

def test_an_upgrade_uses_http1(stage):
    """A server that speaks both on one port, as nghttpx does; here the WebSocket goes to a server of HTTP/1."""
    def script(conn):
        request = conn.read_request()
        assert request.get("upgrade") == "websocket"
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        conn.send(conn.sock.recv(100))

    proxy = front(stage, stage.origin(script))
    with Client(proxy.address) as client:
        client.request(fields=[("Connection", "Upgrade"), ("Upgrade", "websocket")])
        assert client.response().status == 101
        client.send(b"echo")
        assert client.sock.recv(100) == b"echo"


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def certificate(ca):
    return ca.issue("server", ["server.test", "IP:127.0.0.1"])


@pytest.mark.parametrize("speaks, http, version", [
    ("http2", "any", "2"), ("", "any", "1.1"), ("http2", "http2", "2"), ("http2", "http1", "1.1")])
def test_what_nginx_and_we_agree_on(stage, ca, certificate, speaks, http, version):
    server = stage.use(nginx(
        f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};"
        "location / { return 200 \"$server_protocol $ssl_session_reused\"; }", listen=f"ssl {speaks}"))
    proxy = stage.proxy(server, upstream={"http": http, "tls": {"ca": ca.root_path, "name": "server.test"}}, workers=1)
    for _ in range(5):
        assert get(proxy.address).body.split()[0] == f"HTTP/{version}.0".replace("1.1.0", "1.1").encode()


def test_a_server_that_does_not_agree_to_http2(stage, ca, certificate):
    server = stage.use(nginx(
        f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};", listen="ssl"))
    proxy = stage.proxy(server, upstream={**HTTP2, "tls": {"ca": ca.root_path, "name": "server.test"}})
    assert get(proxy.address).status == 502 and reason(proxy) in ("tls_failed", "certificate")


def test_large_files_of_nginx(stage, ca, certificate):
    server = stage.use(nginx(
        f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};", listen="ssl http2"))
    with open(os.path.join(server.dir, "www", "large"), "wb") as file:
        file.write(pattern(20 * MIB))
    proxy = stage.proxy(server, upstream={**HTTP2, "tls": {"ca": ca.root_path, "name": "server.test"}}, workers=2)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        digests = list(pool.map(lambda _: hashlib.sha256(get(proxy.address, "/large").body).digest(), range(12)))
    assert set(digests) == {hashlib.sha256(pattern(20 * MIB)).digest()}


def nghttpd(stage, *options, certificate=None):
    port, path = free_port(), folder()
    os.mkdir(os.path.join(path, "www"))
    write(os.path.join(path, "www", "index.html"), "hello")
    keys = [certificate.key, certificate.chain] if certificate else ["--no-tls"]
    end = keys if certificate else []
    server = stage.use(Daemon(["nghttpd", "-a", "127.0.0.1", "-d", os.path.join(path, "www"), "-m", "100",
                               *options, *([] if certificate else keys), str(port), *end], port, path))
    return server


@pytest.mark.parametrize("secure", [False, True])
def test_nghttpd(stage, ca, certificate, secure):
    server = nghttpd(stage, "--trailer", "x-trailer: 1", certificate=certificate if secure else None)
    with open(os.path.join(server.dir, "www", "large"), "wb") as file:
        file.write(pattern(MIB))
    more = {"tls": {"ca": ca.root_path, "name": "server.test"}} if secure else {}
    proxy = front(stage, server, upstream=more)
    assert get(proxy.address).body == b"hello"
    assert get(proxy.address, "/large").body == pattern(MIB)
    assert get(proxy.address, "/nothing").status == 404
    done = curl(PRIOR, proxy.url("/large"))
    assert done.body == pattern(MIB)


@pytest.mark.parametrize("client", ["--h1", "h2"])
def test_h2load_through_the_proxy(stage, client):
    server = nghttpd(stage, "-n", "1")
    proxy = front(stage, server, workers=2)
    n = volume(20000, 2000)
    done = subprocess.run(["h2load", "-n", str(n), "-c", "20", "-m", "10", *([client] if client == "--h1" else []),
                           proxy.url()], capture_output=True, text=True, timeout=seconds(60))
    assert re.search(rf"{n} succeeded, 0 failed, 0 errored", done.stdout), done.stdout
