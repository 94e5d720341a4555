# SPDX-License-Identifier: Apache-2.0
"""What goes over TLS once it stands: the same as without, and what https adds."""
import asyncio
import os
import socket
import ssl
import time

import pytest
import websockets

from support.certs import Authority
from support.client import get
from support.maitred import sanitized, site
from support.origin import echoed
from support.tls import HTTP1, SecureClient, context, curl
from support.wait import eventually, volume
from support.wire import Request
from support.wire import connect as connect_plain

from test_upgrade import WebSocketServer


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def secure(ca):
    certificate = ca.issue("site", ["example.test"])
    return {"tls": {"certificates": {"certificate": certificate.chain, "key": certificate.key}}, **HTTP1}


@pytest.fixture
def proxy(stage, secure):
    return stage.proxy(stage.origin(), listener=secure)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bodies_both_ways(stage, secure, version):
    body = os.urandom(volume(3 << 20) + 12345)

    def echo(conn):
        request = conn.read_head(Request)
        got = b"".join(conn.pieces(request))
        conn.respond(200, body=got)

    proxy = stage.proxy(stage.origin(echo), listener=secure)
    with SecureClient(proxy.address, ctx=context(version=version), timeout=30) as client:
        client.request("POST", "/", body=body)
        assert client.response().body == body


def test_keep_alive_and_pipelining(proxy):
    with SecureClient(proxy.address) as client:
        for at in range(5):
            assert client.get(f"/{at}").status == 200
        client.send(b"".join(b"GET /p%d HTTP/1.1\r\nHost: example.test\r\n\r\n" % at for at in range(10)))
        for at in range(10):
            assert echoed(client.response())["target"] == f"/p{at}"


def test_a_request_that_dribbles_in_by_records(proxy):
    """Each byte a record of its own, with parking and waking in between."""
    with SecureClient(proxy.address) as client:
        for byte in b"GET /slow HTTP/1.1\r\nHost: example.test\r\n\r\n":
            client.send(bytes([byte]))
        assert echoed(client.response())["target"] == "/slow"


def test_half_a_record_does_not_keep_a_connection_for_ever(stage, secure):
    proxy = stage.proxy(stage.origin(), listener={**secure, "idle_timeout": "500ms"})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="example.test")
    with connect_plain(proxy.address) as sock:

        def step(what):
            while True:
                try:
                    return what()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))

        step(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        sock.sendall(outgoing.read())
        assert step(lambda: tls.read(65536)).startswith(b"HTTP/1.1 200")
        tls.write(b"GET /never HTTP/1.1\r\n")
        record = outgoing.read()
        started = time.monotonic()
        for byte in record[:-1]:  # each wakes the connection, none is a request
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.05)
        sock.settimeout(10)
        try:
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
        assert time.monotonic() - started < 5


def test_a_slow_reader_gets_everything(stage, secure):
    body = os.urandom(volume(8 << 20))
    proxy = stage.proxy(stage.origin(lambda conn: conn.read_request() and conn.respond(200, body=body)), listener=secure)
    with SecureClient(proxy.address, timeout=60) as client:
        client.request()
        time.sleep(0.5)  # both sides' buffers are full now
        assert client.response().body == body


def test_websocket(stage, secure):
    server = stage.use(WebSocketServer())
    proxy = stage.proxy(server.address, listener=secure)

    async def talk():
        async with websockets.connect(f"wss://{proxy.address}/", ssl=context(alpn=None), server_hostname="example.test",
                                      max_size=1 << 26) as ws:
            for size in (1, 125, 70000, volume(3 << 20)):
                message = os.urandom(size)
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send("bye")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.code == 4001

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_raw_tunnel_with_early_bytes_and_half_close(stage, secure):
    def upgrade(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nearly")
        data = conn.read_all()
        conn.send(data[::-1])

    proxy = stage.proxy(stage.origin(upgrade), listener=secure)
    with SecureClient(proxy.address) as client:
        client.request(fields=[("Connection", "Upgrade"), ("Upgrade", "raw")])
        assert client.response().status == 101
        assert client.read_exact(5) == b"early"
        client.send(b"abc" * 100000)
        socket.socket.shutdown(client.sock, socket.SHUT_WR)  # around the TLS library: TCP's half-close
        assert client.read_exact(300000) == b"cba" * 100000


def test_an_idle_connection_is_parked_and_closed_politely(stage, secure):
    proxy = stage.proxy(stage.origin(), listener={**secure, "idle_timeout": "300ms"})
    with SecureClient(proxy.address) as client:
        assert client.get().status == 200
        assert client.sock.recv(1) == b""


def test_memory_of_idle_connections(stage, secure):
    proxy = stage.proxy(stage.origin(), listener=secure, workers=1)
    ctx = context()
    # More than keep their buffers for a while (layer.c): what those take is not counted.
    clients = [SecureClient(proxy.address, ctx=ctx) for _ in range(100)]
    for client in clients:
        assert client.get().status == 200
    before = proxy.rss_kib()
    more = [SecureClient(proxy.address, ctx=ctx) for _ in range(volume(400, 50))]
    for client in more:
        assert client.get().status == 200

    def each():
        return (proxy.rss_kib() - before) / len(more)

    try:
        # Buffers go back a while after a burst.
        assert sanitized() or eventually(lambda: each() < 16, what=f"16 KiB an idle connection; {each():.1f}")
    finally:
        for client in clients + more:
            client.close()


def test_draining_says_goodbye(stage, secure):
    proxy = stage.proxy(stage.origin(), listener=secure)
    with SecureClient(proxy.address) as client:
        assert client.get().status == 200
        proxy.stop()
        assert client.sock.recv(1) == b""


def test_a_broken_answer_does_not_look_whole(stage, secure):
    """No close_notify after an answer that broke off: a body that ends with the connection must not seem complete."""
    def break_off(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        time.sleep(0.2)
        conn.reset()

    proxy = stage.proxy(stage.origin(break_off), listener=secure)
    with SecureClient(proxy.address) as client:
        client.request(version="HTTP/1.0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while client.sock.recv(65536):
                pass


# ------------------------------------------------------------------ https


def test_hsts(stage, secure):
    theirs = [("Strict-Transport-Security", "max-age=5")]

    def answer(conn):
        while True:
            request = conn.read_request()
            conn.respond(200, theirs if request.target == "/own" else [], body=b"x")

    proxy = stage.proxy(stage.origin(answer), listener=secure)
    with SecureClient(proxy.address) as client:
        assert client.get("/").all("Strict-Transport-Security") == ["max-age=15552000"]
        assert client.get("/own").all("Strict-Transport-Security") == ["max-age=5"]


def test_hsts_can_be_set_and_turned_off(stage, secure):
    for value, sent in (("1h", ["max-age=3600"]), ("0", [])):
        proxy = stage.proxy(stage.origin(), listener={**secure, "tls": {**secure["tls"], "hsts": value}})
        with SecureClient(proxy.address) as client:
            assert client.get("/").all("Strict-Transport-Security") == sent


def test_redirect_from_the_plain_listener(stage, secure):
    text = site(stage.origin(), listeners=[{"address": "@listen@", "redirect": "https"},
                                           {"address": "@listen2@", **secure}])
    proxy = stage.run(text)
    answer = get(proxy.address, "/a//b/../c?x=%20y", host="example.test:8080", method="POST", body=b"kept")
    assert answer.status == 308
    assert answer.get("Location") == "https://example.test/a//b/../c?x=%20y"
    assert not answer.has("Strict-Transport-Security")
    assert get(proxy.address, "/.well-known/acme-challenge/token").status == 200
    assert curl("https://example.test/", address=proxy.names["listen2"])[0] == 0


def test_the_origin_hears_https(proxy):
    with SecureClient(proxy.address) as client:
        fields = dict((n.lower(), v) for n, v in echoed(client.get("/"))["fields"])
    assert fields["x-forwarded-proto"] == "https"
