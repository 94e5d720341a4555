# SPDX-License-Identifier: Apache-2.0
"""Everything runs out or breaks sometimes: the proxy sheds what it must, and what runs finishes."""
import os
import resource
import threading

import pytest

from support import process
from support.client import Client, curl, get
from support.maitred import Maitred, sanitized, site
from support.origin import serve_forever
from support.wait import eventually, seconds, volume
from support.wire import Closed, Response, chunked, encode


def limited(descriptors):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


def test_descriptors_run_out(stage):
    """More clients than descriptors: some are told 503 or wait, those that are in are served, all is well after."""
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=b"ok")))
    proxy = stage.proxy(origin, before=limited(96), workers=2)
    early = [Client(proxy.address) for _ in range(5)]
    for client in early:
        assert client.get().status == 200
    crowd = []
    for _ in range(200):
        crowd.append(Client(proxy.address, timeout=3))
    try:
        for client in early:  # those that were there are served as before
            response = client.get()
            assert response.status in (200, 503)
        assert process.alive(proxy.worker)
        refused = 0
        for client in crowd:
            try:
                client.request()
                refused += client.response().status == 503
            except (Closed, ConnectionError):
                refused += 1
            except TimeoutError:
                break  # still in the backlog: it waits until somebody leaves
            client.close()
        assert process.alive(proxy.worker)
    finally:
        for client in crowd:
            client.close()
    eventually(lambda: get(proxy.address).status == 200, 15, "served again")
    assert all(client.get().status == 200 for client in early)
    for client in early:
        client.close()


def test_descriptors_for_servers_run_out(stage):
    """Every exchange needs a second descriptor; those that get none are told so."""
    go = threading.Event()

    def answer(conn, request):
        assert go.wait(seconds(60))
        conn.respond(200, body=b"ok")

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, before=limited(120), workers=1)
    clients = [Client(proxy.address, timeout=20) for _ in range(70)]
    for client in clients:
        client.request()
    eventually(lambda: len(origin.requests) >= 15, what="some are at the server")
    eventually(lambda: any(c.has_input() for c in clients), 20, "somebody is refused")
    go.set()
    counts = {}
    for client in clients:
        try:
            status = client.response().status
        except (Closed, ConnectionError):
            status = "closed"
        counts[status] = counts.get(status, 0) + 1
        client.close()
    assert set(counts) <= {200, 503, "closed"} and counts[200] >= 15 and counts.get(503, 0) + counts.get("closed", 0), counts
    assert eventually(lambda: get(proxy.address).status == 200, 15)
    assert {r["reason"] for r in proxy.log() if r.get("status") == 503} <= {"out_of_descriptors", "overloaded"}


def test_connections_are_limited(stage):
    proxy = stage.proxy(stage.origin(), process={"max_connections": 10})
    inside = [Client(proxy.address) for _ in range(10)]
    for client in inside:
        assert client.get().status == 200
    with Client(proxy.address) as one_more:
        one_more.request()
        response = one_more.response()
        assert response.status == 503 and response.get("connection") == "close"
        assert response.get("proxy-status").startswith("maitred; error=connection_limit_reached")
    for client in inside:
        assert client.get().status == 200
        client.close()
    eventually(lambda: get(proxy.address).status == 200)


@pytest.mark.skipif(sanitized(), reason="sanitizers need their address space")
def test_memory_runs_out(stage):
    """The proxy may hardly grow any more: exchanges are refused, the process lives, and recovers."""
    go = threading.Event()

    def answer(conn, request):
        if request.target == "/slow":
            assert go.wait(seconds(60))
        conn.respond(200, body=b"ok")

    origin = stage.origin(serve_forever(answer), backlog=1024)
    with Maitred(site(origin), workers=1) as usual:
        assert get(usual.address).status == 200
        room = (process.kib(usual.worker, "VmData") + 1024) * 1024
    proxy = stage.proxy(origin, workers=1, before=lambda: resource.setrlimit(resource.RLIMIT_DATA, (room, room)))
    assert get(proxy.address).status == 200
    clients = []
    for _ in range(volume(400, 200)):
        client = Client(proxy.address, timeout=20)
        client.request("GET", "/slow", [("X-Large", "x" * 12000)])
        clients.append(client)
    go.set()
    counts = {}
    for client in clients:
        try:
            status = client.response().status
        except (Closed, ConnectionError):
            status = "closed"
        counts[status] = counts.get(status, 0) + 1
        client.close()
    assert proxy.worker_pid() == proxy.worker
    assert set(counts) <= {200, 502, 503, "closed"} and counts.keys() - {200}, counts
    eventually(lambda: get(proxy.address).status == 200)


# ---------------------------------------------------------------- servers that break off


CUT = {
    "length": encode("HTTP/1.1 200 OK", [("Content-Length", "100")], b"x" * 50),
    "chunked": encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")], b"32\r\n" + b"x" * 50 + b"\r\n"),
    "inside a chunk": encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")], b"ff\r\n" + b"x" * 50),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", CUT)
def test_a_server_that_dies_in_the_middle(stage, framing, how):
    met = threading.Event()

    def script(conn):
        conn.read_request()
        conn.send(CUT[framing])
        assert met.wait(seconds(20))  # the client has seen the beginning
        if how == "reset":
            conn.reset()

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        assert head.status == 200
        met.set()
        with pytest.raises((Closed, ConnectionResetError)):
            list(client.pieces(head))
    record = proxy.wait_log(status=200)
    assert (record["reason"], record["blame"]) == ("response_incomplete", "server")


def test_curl_notices(stage):
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(), conn.send(CUT["length"]))))
    assert curl(proxy.url()).exit in (18, 56)
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(), conn.send(CUT["chunked"]))))
    assert curl(proxy.url()).exit in (18, 56)


def test_a_cut_response_without_framing_is_passed_as_such(stage):
    """Without Content-Length or chunks nobody can tell a cut from the end; a reset can be told."""
    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50)
        eventually(lambda: got)
        conn.reset()

    got = []
    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        got.append(head)
        with pytest.raises((Closed, ConnectionResetError)):
            list(client.pieces(head))


# ---------------------------------------------------------------- clients that go away


def test_a_client_that_leaves_while_the_server_thinks(stage):
    origin = stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20)))
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request()
    origin.wait_requests(1)
    client.close()
    eventually(lambda: origin.connections[0].ended, 10, "the server is told")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_a_download(stage, how):
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=bytes(256 << 20))))
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request()
    assert client.read_head(Response).status == 200
    client.read_exact(1 << 20)
    getattr(client, how)()
    eventually(lambda: origin.connections[0].done, 15, "the server is let go")
    record = proxy.wait_log(status=200)
    assert record.get("reason") == "client_gone" and record["response_bytes"] < 256 << 20, str(record)


def test_a_client_that_leaves_in_an_upload(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request("POST", "/", [("Content-Length", "1000")], b"")
    client.send(b"x" * 500)
    origin.wait_requests(1)
    client.close()
    eventually(lambda: origin.connections[0].ended, 10, "the server is told")
    assert not hasattr(origin.requests[0], "length")  # it never saw a complete body
    assert proxy.wait_log()["reason"] == "client_gone"


def test_a_chunked_upload_that_is_cut_is_not_completed(stage):
    """The proxy must not end the chunked body that the client did not end."""
    origin = stage.origin()
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request("POST", "/", [("Transfer-Encoding", "chunked")], b"")
    client.send(chunked(b"delete everything but", b"")[:-5])
    origin.wait_requests(1)
    client.close()
    eventually(lambda: origin.connections[0].ended, 10, "the server is told")
    assert b"0\r\n\r\n" not in bytes(origin.connections[0].bytes) and not hasattr(origin.requests[0], "length")


def test_descriptors_do_not_leak(stage):
    """After a storm of every kind of end, the worker holds no more descriptors than before."""
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=bytes(300000))))
    proxy = stage.proxy(origin, upstream={"connections": {"idle_timeout": "1s"}}, workers=1)
    assert get(proxy.address).status == 200
    before = process.descriptors(proxy.worker)
    for number in range(volume(200, 60)):
        client = Client(proxy.address)
        kind = number % 5
        if kind == 0:
            client.close()
        elif kind == 1:
            client.send(b"GET / HT")
            client.reset()
        elif kind == 2:
            client.request()
            client.reset()
        elif kind == 3:
            client.request()
            client.read_exact(1000)
            client.close()
        else:
            client.send(b"bad\r\n\r\n")
            client.read_all()
            client.close()
    eventually(lambda: process.descriptors(proxy.worker) <= before, 20, "descriptors are given back")
    assert get(proxy.address).status == 200


def test_no_route_at_all(stage):
    proxy = stage.run("listeners: [{address: '@listen@'}]\n")
    assert get(proxy.address).status == 404


def test_a_loop_ends(stage):
    """A proxy in front of itself: somebody notices before descriptors run out."""
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
routes: [{to: loop}]
upstreams: {loop: {servers: ["@listen@"], connections: {idle_timeout: 1s}}}
access_log: "@dir@/access.json"
""", before=limited(256))
    with Client(proxy.address, timeout=30) as client:
        client.request()
        assert client.response().status in (400, 431, 500, 502, 503, 504, 508)
    assert os.path.exists(f"/proc/{proxy.worker}")
    eventually(lambda: process.descriptors(proxy.worker) < 60, 30, "the loop is undone")
