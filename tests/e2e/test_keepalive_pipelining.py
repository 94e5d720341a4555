# SPDX-License-Identifier: Apache-2.0
"""Many requests over one connection, one after the other and all at once."""
import threading
import time

import pytest

from support.client import Client
from support.maitred import sanitized
from support.origin import echoed, serve_forever
from support.wait import seconds, settled, volume
from support.wire import chunked, encode


@pytest.fixture(scope="module")
def echo(module_stage):
    return module_stage.proxy(module_stage.origin())


def request(target, *fields, method="GET", body=b"", version="HTTP/1.1"):
    head = [("Host", "h"), *fields]
    if body:
        head.append(("Content-Length", str(len(body))))
    return encode(f"{method} {target} {version}", head, body)


def test_many_requests_over_one_connection(echo):
    with Client(echo.address) as client:
        for number in range(200):
            assert echoed(client.get(f"/{number}"))["target"] == f"/{number}"


def test_server_connections_are_reused(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, workers=1)
    for number in range(20):
        with Client(proxy.address) as client:
            assert client.get(f"/{number}").status == 200
    assert len(origin.connections) == 1


def test_reuse_is_told_in_the_log(stage):
    proxy = stage.proxy(stage.origin(), workers=1)
    with Client(proxy.address) as client:
        client.get("/first")
        client.get("/second")
    assert proxy.wait_log(target="/first")["reused"] is False
    assert proxy.wait_log(target="/second")["reused"] is True


def test_pipelined_requests_are_answered_in_order(echo):
    with Client(echo.address) as client:
        client.send(b"".join(request(f"/{n}") for n in range(50)))
        for number in range(50):
            assert echoed(client.response())["target"] == f"/{number}"


def test_pipelined_behind_a_slow_one(stage):
    go = threading.Event()

    def answer(conn, asked):
        if asked.target == "/slow":
            assert go.wait(seconds(20))
        conn.respond(200, body=asked.target.encode())

    proxy = stage.proxy(stage.origin(serve_forever(answer)))
    with Client(proxy.address) as client:
        client.send(request("/slow") + request("/fast"))
        assert client.is_silent(0.3)
        go.set()
        assert client.response().body == b"/slow"
        assert client.response().body == b"/fast"


def test_pipelined_requests_with_bodies(echo):
    with Client(echo.address) as client:
        client.send(request("/1", method="POST", body=b"x" * 100000)
                    + encode("POST /2 HTTP/1.1", [("Host", "h"), ("Transfer-Encoding", "chunked")],
                             chunked(b"a" * 10, b"b" * 5000))
                    + request("/3") + request("/4", method="PUT", body=b"end"))
        told = [echoed(client.response()) for _ in range(4)]
    assert [(t["target"], t["length"]) for t in told] == [("/1", 100000), ("/2", 5010), ("/3", 0), ("/4", 3)]


@pytest.mark.parametrize("piece", [1, 2, 7, 64])
def test_a_head_that_comes_in_pieces(echo, piece):
    whole = request("/pieces", ("X-Long", "v" * 40), method="POST", body=b"0123456789") + request("/next")
    with Client(echo.address) as client:
        for at in range(0, len(whole), piece):
            client.send(whole[at:at + piece])
        told = echoed(client.response())
        assert (told["target"], told["length"]) == ("/pieces", 10)
        assert echoed(client.response())["target"] == "/next"


def test_connection_close_is_honoured(echo):
    with Client(echo.address) as client:
        client.send(request("/last", ("Connection", "close")) + request("/never"))
        response = client.response()
        assert echoed(response)["target"] == "/last"
        assert response.get("connection").lower() == "close"
        assert client.is_closed()


def test_a_server_that_closes_does_not_close_the_client(stage):
    def once(conn):
        conn.read_request()
        conn.respond(200, [("Connection", "close")], b"bye")

    proxy = stage.proxy(stage.origin(once))
    with Client(proxy.address) as client:
        for _ in range(3):
            response = client.get()
            assert response.body == b"bye" and not response.has("connection")


def test_requests_per_connection_are_limited(stage):
    proxy = stage.proxy(stage.origin(), listener={"requests": 3})
    with Client(proxy.address) as client:
        first = [client.get(f"/{n}") for n in range(3)]
        assert [r.get("connection") for r in first] == [None, None, "close"]
        assert client.is_closed()


def test_idle_connections_are_closed_without_a_word(stage):
    proxy = stage.proxy(stage.origin(), listener={"idle_timeout": "1s", "head_timeout": "1s"})
    with Client(proxy.address) as client:
        client.get()
        begun = time.monotonic()
        assert client.is_closed(10)
        assert time.monotonic() - begun > 0.7
    with Client(proxy.address) as client:  # one that never asks for anything
        assert client.is_closed(10)


def test_idle_timeout_starts_anew_with_each_request(stage):
    proxy = stage.proxy(stage.origin(), listener={"idle_timeout": "2s"})
    with Client(proxy.address) as client:
        for _ in range(4):
            assert client.get().status == 200
            assert client.is_silent(0.7)


def test_one_empty_line_before_a_request_is_skipped(echo):
    with Client(echo.address) as client:
        client.send(b"\r\n" + request("/1"))
        assert echoed(client.response())["target"] == "/1"
        client.send(b"\r\n" + request("/2"))
        assert echoed(client.response())["target"] == "/2"


def test_a_body_nobody_reads_does_not_become_a_request(stage):
    """Routes that answer by themselves must still take the body off the connection, or close it."""
    proxy = stage.run("listeners: [{address: '@listen@'}]\nroutes: []\n")
    with Client(proxy.address) as client:
        client.send(request("/1", method="POST", body=b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"))
        assert client.response().status == 404
        try:
            client.send(request("/2", ("Connection", "close")))
        except ConnectionError:
            return
        rest = client.read_all()
    assert rest.count(b"HTTP/1.1 ") <= 1


def test_parked_connections_cost_little(stage):
    """Thousands of idle connections: the worker's memory hardly grows."""
    proxy = stage.proxy(stage.origin(), workers=1, log=False)
    with Client(proxy.address) as warm:
        warm.get()
    before = proxy.rss_kib()
    clients = [Client(proxy.address) for _ in range(volume(2000, 200))]
    try:
        for client in clients:
            client.request()
        for client in clients:
            assert client.response().status == 200
        rss = settled(proxy.rss_kib)
        if not sanitized():
            assert rss - before < 16 * 1024, f"{(rss - before) / len(clients):.1f} KiB a connection"
        for client in (clients[0], clients[-1]):
            assert client.get().status == 200
    finally:
        for client in clients:
            client.close()
