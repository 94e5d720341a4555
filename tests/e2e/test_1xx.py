# SPDX-License-Identifier: Apache-2.0
"""Informational responses pass as they come."""
import threading

from support.client import Client
from support.origin import serve_forever
from support.wait import seconds
from support.wire import Response, encode

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-Hint: 1\r\n\r\n"


def hinting(conn, request):
    conn.send(HINTS + HINTS)
    conn.respond(200, body=b"page")


def test_early_hints_pass(stage):
    proxy = stage.proxy(stage.origin(serve_forever(hinting)))
    with Client(proxy.address) as client:
        for _ in range(2):
            response = client.get()
            assert [(i.status, i.get("link")) for i in response.informational] == [
                (103, "</style.css>; rel=preload")] * 2
            assert (response.status, response.body) == (200, b"page")


def test_they_pass_at_once(stage):
    go = threading.Event()

    def answer(conn, request):
        conn.send(HINTS)
        assert go.wait(seconds(20))
        conn.respond(200, body=b"page")

    proxy = stage.proxy(stage.origin(serve_forever(answer)))
    with Client(proxy.address) as client:
        client.request()
        assert client.read_head(Response).status == 103
        go.set()
        assert client.response().body == b"page"


def test_102_passes(stage):
    def answer(conn, request):
        conn.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        conn.respond(200, body=b"page")

    proxy = stage.proxy(stage.origin(serve_forever(answer)))
    with Client(proxy.address) as client:
        assert client.get().body == b"page"


def test_http10_clients_never_see_one(stage):
    proxy = stage.proxy(stage.origin(serve_forever(hinting)))
    with Client(proxy.address) as client:
        client.send(encode("GET / HTTP/1.0", [("Host", "h")]))
        response = client.response()
        assert (response.status, response.body, response.informational) == (200, b"page", [])


def test_a_server_that_informs_forever_is_given_up(stage):
    """An endless row of 1xx must not keep an exchange alive for ever."""

    def answer(conn, request):
        for _ in range(20000):
            conn.send(HINTS * 50)

    proxy = stage.proxy(stage.origin(serve_forever(answer)), timeouts={"response": "2s", "total": "4s"})
    with Client(proxy.address, timeout=20) as client:
        client.request()
        client.sock.settimeout(seconds(20))
        got, tail = 0, b""
        while b"HTTP/1.1 50" not in tail:
            more = client.sock.recv(65536)
            if not more:
                break
            got, tail = got + len(more), (tail + more)[-70000:]
        assert got < 1 << 30


def test_an_unasked_101_is_refused(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, _: conn.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nEVIL"))))
    with Client(proxy.address) as client:
        response = client.get()
        assert response.status == 502 and b"EVIL" not in response.body
