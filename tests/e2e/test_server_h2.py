# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to servers: many exchanges on one connection, whatever a server does with them."""
import concurrent.futures
import hashlib
import os
import re
import signal
import struct
import subprocess
import threading
import time

import pytest

from support import process
from support.certs import Authority, write
from support.client import Client, curl, get
from support.daemons import Daemon, nginx
from support.h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
                        SETTINGS)
from support.h2_server import (CANCEL, INTERNAL, MAX_STREAMS, NO_ERROR, REFUSED, WINDOW, H2Server, answer,
                               pattern)
from support.maitred import folder, sanitized, site
from support.ports import free_port
from support.wait import eventually, seconds, settled, stays, volume
from support.wire import Closed, Response

MIB = 1 << 20
PRIOR = "--http2-prior-knowledge"
HTTP2 = {"http": "http2"}


def front(stage, *servers, upstream=None, workers=1, **more):
    return stage.proxy(*servers, upstream={**HTTP2, **(upstream or {})}, workers=workers, **more)


def serve(stage, part=None, **more):
    return stage.use(H2Server(part, **more))


def many(proxy, n, target="/", **more):
    """n requests at once, each from a client of its own."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: get(proxy.address, target.replace("@", str(i)), **more), range(n)))


def statuses(responses):
    return sorted(r.status for r in responses)


def reason(proxy, n=1, **wanted):
    return proxy.wait_log(n, **wanted).get("reason")


# ---------------------------------------------------------------- what gets there and comes back

@pytest.fixture(scope="module")
def plain(module_stage):
    server = serve(module_stage)
    proxy = front(module_stage, server)
    proxy.server = server
    return proxy


def test_a_request_arrives_as_http2(plain):
    found = get(plain.address, "/a/b?c=d", fields=[("X-Mixed-Case", "v"), ("Accept", "*/*")], host="example.test")
    call = plain.server.calls[-1]
    assert found.status == 200 and found.body == b"hello"
    assert call.fields[:4] == [(":method", "GET"), (":scheme", "http"), (":authority", "example.test"),
                               (":path", "/a/b?c=d")]
    assert call.get("x-mixed-case") == "v" and call.get("via") == "1.1 maitred"
    assert not {"host", "connection", "transfer-encoding", "keep-alive", "upgrade", "te"} & {n for n, _ in call.fields}


def test_fields_of_the_connection_stay_behind(plain):
    with Client(plain.address) as client:
        client.request(fields=[("Connection", "keep-alive, X-Mine"), ("X-Mine", "1"), ("Keep-Alive", "timeout=5"),
                               ("X-Mine-Too", "2")])
        assert client.response().status == 200
    call = plain.server.calls[-1]
    assert call.get("x-mine-too") == "2" and call.get("x-mine") is None and call.get("te") is None


def test_trailers_are_wanted_by_the_server_if_they_are_by_the_client(plain):
    with Client(plain.address) as client:
        client.request(fields=[("Connection", "TE"), ("TE", "trailers")])
        assert client.response().status == 200
    assert plain.server.calls[-1].get("te") == "trailers"


def test_fields_of_the_answer_keep_their_order_and_number(stage):
    fields = [("set-cookie", "a=1"), ("x-one", "1"), ("set-cookie", "b=2"), ("x-empty", "")]
    proxy = front(stage, serve(stage, lambda call: call.respond(200, fields, b"x")))
    found = get(proxy.address)
    assert [(n.lower(), v) for n, v in found.fields][:4] == fields


@pytest.mark.parametrize("n", [0, 1, 100, 65536, 3 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_requests(plain, n, chunked):
    body = pattern(n)
    fields = [("Transfer-Encoding", "chunked")] if chunked else ()
    if chunked:
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i:i + 50000] for i in range(0, n, 50000))) + b"0\r\n\r\n"
    found = get(plain.address, "/told", method="POST", fields=fields, body=body)
    assert found.status == 200 and int(found.get("x-length")) == n
    assert found.get("x-sha256") == hashlib.sha256(pattern(n)).hexdigest()
    assert plain.server.calls[-1].get("content-length") == (None if chunked else str(n))


@pytest.mark.parametrize("n", [1, 16384, 65535, 65536, 5 * MIB])
def test_bodies_of_answers(plain, n):
    found = get(plain.address, f"/{n}")
    assert found.status == 200 and found.body == pattern(n)


def test_large_bodies_both_ways_at_once(plain):
    def echo(i):
        body = pattern(MIB + i)
        found = get(plain.address, f"/{MIB}", method="PUT", body=body)
        return found.body == pattern(MIB)

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert all(pool.map(echo, range(10)))


def test_a_client_of_http2_all_the_way(plain):
    done = curl(PRIOR, plain.url(f"/{MIB}"))
    assert done.message.start.startswith("HTTP/2 200") and done.body == pattern(MIB)
    done = curl(PRIOR, "--data-binary", "x" * 100000, plain.url("/told"))
    assert done.status == 200 and done.get("x-length") == "100000"


def test_the_log_and_via_know(plain):
    found = get(plain.address, "/logged")
    record = plain.wait_log(target="/logged")
    assert record["status"] == 200 and record["server"] == plain.server.address
    assert found.get("via") == "2.0 maitred"


@pytest.mark.parametrize("target, path", [
    ("*", "*"), ("/?", "/?"), ("/a%2Fb//c/", "/a%2Fb//c/"), ("http://absolute.test/x?y", "/x?y"), ("/\u00e9", "/\u00e9")])
def test_targets(plain, target, path):
    with Client(plain.address) as client:
        client.request("OPTIONS", target, host="absolute.test")
        assert client.response().status == 200
    assert plain.server.calls[-1].path == path


def test_a_client_of_http10_without_host(plain):
    with Client(plain.address) as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
    assert plain.server.calls[-1].get(":authority") == plain.server.address


def test_an_obsolete_offer_of_http2_is_not_passed_on(plain):
    done = curl("--http2", plain.url("/offered"))
    assert done.status == 200
    call = plain.server.calls[-1]
    assert call.path == "/offered" and call.get("http2-settings") is None


def test_a_large_head(stage):
    """As large as clients may send one: about as much as fits a frame."""
    fields = [(f"x-field-{i:02}", f"{i:02}~" * 50) for i in range(95)]
    server = serve(stage)
    proxy = front(stage, server, listener={"max_head": "16KiB"})
    assert get(proxy.address, fields=fields).status == 200
    assert [f for f in server.calls[0].fields if f[0].startswith("x-field-")] == fields


def test_secrets_stay_out_of_shared_tables(plain):
    """Authorization is sent as a literal that is never indexed (RFC 7541 7.1.3), and arrives all the same."""
    for _ in range(3):
        assert get(plain.address, fields=[("Authorization", "Basic c2VjcmV0"), ("Cookie", "a=b; c=d")]).status == 200
    call = plain.server.calls[-1]
    assert call.get("authorization") == "Basic c2VjcmV0" and "; ".join(call.all("cookie")) == "a=b; c=d"
    table = call.conn.h2.decoder.header_table.dynamic_entries
    assert not any(name == b"authorization" for name, _ in table) and table


# ---------------------------------------------------------------- heads without bodies

@pytest.mark.parametrize("end_in", ["head", "data", "data, later"])
@pytest.mark.parametrize("method, status, fields", [
    ("GET", 204, []), ("GET", 304, [("etag", '"x"')]), ("HEAD", 200, []), ("HEAD", 200, [("content-length", "7")]),
    ("GET", 200, [("content-length", "0")]), ("GET", 200, [])])
def test_answers_without_a_body(stage, method, status, fields, end_in):
    """Whether the stream ends with the head or with an empty DATA frame behind it."""

    def part(call):
        if end_in == "data":
            return call.conn.do(lambda h2: (h2.send_headers(call.stream, [(":status", str(status)), *fields]),
                                            h2.send_data(call.stream, b"", end_stream=True)))
        call.head(status, fields, end=end_in == "head")
        if end_in != "head":
            time.sleep(0.05)
            call.data(b"", end=True)
        return None

    server = serve(stage, part)
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        for _ in range(3):
            client.request(method)
            found = client.response(method)
            assert found.status == status and found.body == b""
            assert found.get("transfer-encoding") is None or (status == 200 and not fields)
    assert len(server.connections) == 1
    assert not any(r.get("reason") for r in (proxy.wait_log(3), *proxy.log()))
    assert end_in == "data, later" or [c.reset for c in server.calls] == [None] * 3


def test_a_body_that_ends_in_an_empty_frame(stage):
    def part(call):
        call.head(200, [("content-length", "5")])
        call.data(b"hello")
        time.sleep(0.1)
        call.data(b"", end=True)

    server = serve(stage, part)
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        for _ in range(3):
            assert client.get().body == b"hello"
    assert [c.reset for c in server.calls] == [None] * 3 and len(server.connections) == 1


def test_empty_frames_in_between(stage):
    def part(call):
        call.head(200)
        for _ in range(50):
            call.data(b"")
            call.data(b"x")
        call.data(b"", end=True)

    proxy = front(stage, serve(stage, part))
    assert get(proxy.address).body == b"x" * 50


def test_a_padded_answer(stage):
    def part(call):
        call.head(200)
        for _ in range(100):
            call.conn.do(lambda h2: h2.send_data(call.stream, b"x" * 100, pad_length=255))
        call.data(b"", end=True)

    proxy = front(stage, serve(stage, part))
    for _ in range(volume(10)):
        assert get(proxy.address).body == b"x" * 10000


# ---------------------------------------------------------------- 1xx, trailers, Expect

def test_early_hints(stage):
    def part(call):
        call.head(103, [("link", "</a.css>; rel=preload")])
        time.sleep(0.05)
        call.head(103, [("link", "</b.css>; rel=preload")])
        time.sleep(0.05)
        call.respond(200, [("x-final", "1")], b"page")

    proxy = front(stage, serve(stage, part))
    found = get(proxy.address)
    assert found.status == 200 and found.body == b"page" and found.get("x-final") == "1"
    assert [(i.status, i.get("link")) for i in found.informational] == [
        (103, "</a.css>; rel=preload"), (103, "</b.css>; rel=preload")]


def test_a_flood_of_hints_is_malformed(stage):
    def part(call):
        for _ in range(100):
            call.head(103, [("link", "<" + "x" * 1000 + ">")])
        call.respond(200)

    proxy = front(stage, serve(stage, part), upstream={"retries": 0})
    assert get(proxy.address).status == 502
    assert reason(proxy) == "response_malformed"


@pytest.mark.parametrize("client", ["http1", "http2"])
def test_trailers_of_answers(stage, client):
    def part(call):
        call.head(200)
        call.data(b"body")
        call.end([("x-checksum", "abc"), ("grpc-status", "0")])

    proxy = front(stage, serve(stage, part))
    if client == "http1":
        with Client(proxy.address) as c:
            c.request(fields=[("TE", "trailers"), ("Connection", "TE")])
            found = c.response()
        assert found.body == b"body" and ("x-checksum", "abc") in [(n.lower(), v) for n, v in found.trailers]
    else:
        done = subprocess.run(["nghttp", "-v", proxy.url()], capture_output=True, text=True, timeout=20)
        assert "x-checksum: abc" in done.stdout and "grpc-status: 0" in done.stdout


def test_trailers_only(stage):
    """gRPC's shortest answer: one HEADERS frame that ends the stream."""
    proxy = front(stage, serve(stage, lambda call: call.head(200, [("grpc-status", "5")], end=True)))
    found = get(proxy.address)
    assert found.status == 200 and found.get("grpc-status") == "5" and found.body == b""


def test_trailers_of_requests(stage):
    server = serve(stage)
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Transfer-Encoding", "chunked"), ("Trailer", "x-sum")],
                       body=b"4\r\nbody\r\n0\r\nX-Sum: 12\r\n\r\n")
        assert client.response().status == 200
    assert server.calls[0].kept == b"body" and server.calls[0].trailers == [("x-sum", "12")]


def test_forbidden_trailers(stage):
    def part(call):
        call.head(200)
        call.data(b"body")
        call.end([("content-length", "4")])

    proxy = front(stage, serve(stage, part))
    with Client(proxy.address) as client:
        client.request()
        with pytest.raises(Exception):
            client.response()
    assert reason(proxy) == "response_malformed"


def test_expect_continue_is_answered_by_the_server(stage):
    def part(call):
        call.head(100)
        call.wait_body()
        call.respond(200, [("x-length", str(call.length))])

    proxy = front(stage, serve(stage, part))
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Expect", "100-continue"), ("Content-Length", "5")])
        begun = time.monotonic()
        assert client.read_head(Response).status == 100
        assert time.monotonic() - begun < 0.9, "that was our own patience, not the server's word"
        client.send(b"12345")
        assert client.response().get("x-length") == "5"


def test_expect_continue_may_be_refused(stage):
    server = serve(stage, lambda call: call.respond(417))
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Expect", "100-continue"), ("Content-Length", "5")])
        assert client.response().status == 417


# ---------------------------------------------------------------- answers before the request has ended

def test_an_answer_before_the_body_has_ended(stage):
    """The server has seen enough, and says that it wants no more."""

    def part(call):
        call.head(413)
        call.data(b"enough", end=True)
        call.give_up(NO_ERROR)

    server = serve(stage, part)
    proxy = front(stage, server)
    for _ in range(3):
        with Client(proxy.address) as client:
            client.request("POST", fields=[("Content-Length", str(MIB))], body=b"x" * 1000)
            found = client.response()
            assert found.status == 413 and found.body == b"enough"
    assert get(proxy.address).status == 413 and len(server.connections) == 1


def test_both_ways_at_once(stage):
    """A conversation: each piece is answered before the next is sent."""

    def part(call):
        call.head(200)
        for i in range(1, 6):
            call.conn.wait(lambda: call.length >= i * 4, call, 10)
            call.data(b"<%d>" % i)
        call.wait_body()
        call.data(b"end", end=True)

    proxy = front(stage, serve(stage, part))
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Transfer-Encoding", "chunked")])
        client.send(b"4\r\nping\r\n")
        pieces = client.pieces(client.read_head(Response))
        for i in range(1, 6):
            assert next(pieces) == b"<%d>" % i
            client.send(b"4\r\nping\r\n" if i < 5 else b"0\r\n\r\n")
        assert b"".join(pieces) == b"end"


# ---------------------------------------------------------------- one connection for many

def test_one_connection_carries_a_hundred_at_once(stage):
    gate = threading.Event()

    def part(call):
        gate.wait(20)
        call.respond(200, body=call.path.encode())

    server = serve(stage, part)
    proxy = front(stage, server)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        found = [pool.submit(get, proxy.address, f"/{i}") for i in range(100)]
        server.wait_calls(100)
        gate.set()
        assert [f.result().body for f in found] == [b"/%d" % i for i in range(100)]
    assert len(server.connections) == 1 and server.connections[0].peak == 100


def test_as_many_as_are_configured(stage):
    gate = threading.Event()

    def part(call):
        gate.wait(20)
        call.respond(200)

    server = serve(stage, part)
    proxy = front(stage, server, upstream={"connections": {"streams": 10}})
    with concurrent.futures.ThreadPoolExecutor(35) as pool:
        found = [pool.submit(get, proxy.address) for i in range(35)]
        server.wait_calls(35)
        gate.set()
        assert all(f.result().status == 200 for f in found)
    assert [c.peak for c in server.connections] == [10, 10, 10, 5]


def test_as_many_as_the_server_wants(stage):
    """The limit is known only with the server's SETTINGS; what goes beyond it until then may be refused."""
    server = serve(stage, lambda call: (time.sleep(0.05), call.respond(200)), settings={MAX_STREAMS: 5})
    proxy = front(stage, server)
    assert get(proxy.address).status == 200
    assert statuses(many(proxy, 30)) == [200] * 30
    assert max(c.peak for c in server.connections) <= 5 and len(server.connections) <= 7


def test_a_crowd_and_a_server_that_thinks_better_of_it(stage):
    """It says that it takes a hundred, and then that it takes three; who was promised room waits again."""

    def opening(conn):
        conn.h2.initiate_connection()
        conn.h2.update_settings({MAX_STREAMS: 100})
        conn.h2.update_settings({MAX_STREAMS: 3})

    server = serve(stage, lambda call: (time.sleep(0.1), call.respond(200)), settings={MAX_STREAMS: 3}, opening=opening)
    proxy = front(stage, server)
    assert statuses(many(proxy, 30)) == [200] * 30
    assert max(c.peak for c in server.connections) <= 3 and len(server.connections) <= 16


def test_a_crowd_and_a_connection_that_ends_at_once(stage):
    """It is taken back before anything was done on it: all go to the next one, and nobody storms the server."""

    def opening(conn):
        conn.h2.initiate_connection()
        conn.raw(conn.h2.data_to_send())
        if conn.number == 0:
            conn.goaway(0)

    server = serve(stage, lambda call: answer(call) if call.conn.number else None, opening=opening)
    proxy = front(stage, server)
    assert statuses(many(proxy, 40, method="POST", body=b"x")) == [200] * 40
    assert len(server.connections) <= 5


@pytest.mark.parametrize("most", [1, 3])
def test_a_crowd_at_the_start_at_a_server_that_wants_few(stage, most):
    """Nobody knows yet that it does."""
    server = serve(stage, lambda call: (time.sleep(0.02), call.respond(200)), settings={MAX_STREAMS: most})
    proxy = front(stage, server)
    found = many(proxy, 40, method="POST", body=b"x")
    assert statuses(found) == [200] * 40


def test_the_limit_is_changed_while_streams_run(stage):
    gates = {"/a": threading.Event(), "/b": threading.Event()}

    def part(call):
        gates.get(call.path, gates["/b"]).wait(20)
        call.respond(200)

    server = serve(stage, part)
    proxy = front(stage, server)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        first = [pool.submit(get, proxy.address, "/a") for _ in range(8)]
        server.wait_calls(8)
        server.connections[0].settings({MAX_STREAMS: 4})
        more = [pool.submit(get, proxy.address, "/b") for _ in range(4)]
        server.wait_calls(12)
        assert len(server.connections) == 2, "the first is over its limit"
        gates["/a"].set()
        assert [f.result().status for f in first] == [200] * 8
        gates["/b"].set()
        assert [f.result().status for f in more] == [200] * 4


def test_a_limit_of_nothing_and_then_some(stage):
    """A server that takes no streams for a while."""
    server = serve(stage, settings={MAX_STREAMS: 0})
    proxy = front(stage, server, timeouts={"connect": "1s", "response": "2s"}, upstream={"retries": 0})
    begun = time.monotonic()
    assert get(proxy.address).status in (502, 504), "refused, or not sent at all"
    assert time.monotonic() - begun < seconds(8)
    server.settings[MAX_STREAMS] = 10  # of connections to come
    assert get(proxy.address).status == 200
    assert len(server.calls) == 1, "what was given up is not sent later"


def test_ids_grow_and_connections_stay(stage):
    server = serve(stage)
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        for _ in range(200):
            assert client.get().status == 200
    assert len(server.connections) == 1 and server.calls[-1].stream == 399


def test_max_requests(stage):
    server = serve(stage)
    proxy = front(stage, server, upstream={"connections": {"max_requests": 10}})
    with Client(proxy.address) as client:
        for _ in range(35):
            assert client.get().status == 200
    assert len(server.connections) == 4
    eventually(lambda: len(server.alive()) == 1, what="the old ones end")
    assert all(c.goaways == 1 for c in server.connections[:3])


def test_max_age(stage):
    server = serve(stage)
    proxy = front(stage, server, upstream={"connections": {"max_age": "1s"}})
    assert get(proxy.address).status == 200
    time.sleep(1.1)
    assert get(proxy.address).status == 200
    assert len(server.connections) == 2
    eventually(lambda: len(server.alive()) <= 1)


def test_idle_connections_end(stage):
    server = serve(stage)
    proxy = front(stage, server, upstream={"connections": {"idle_timeout": "500ms"}})
    assert get(proxy.address).status == 200
    stays(lambda: server.alive(), 0.3)
    eventually(lambda: not server.alive(), 3)
    assert server.connections[0].goaways == 1, "without a goodbye"
    assert get(proxy.address).status == 200


def test_a_connection_with_a_long_stream_is_not_idle(stage):
    server = serve(stage)
    proxy = front(stage, server, upstream={"connections": {"idle_timeout": "200ms"}})
    assert get(proxy.address, "/slow/1").status == 200
    assert len(server.connections) == 1


# ---------------------------------------------------------------- windows

def test_a_slow_client_holds_up_nobody_else(stage):
    """It reads nothing of its large answer; others on the connection get theirs."""
    server = serve(stage)
    proxy = front(stage, server)
    with Client(proxy.address) as slow:
        slow.request("GET", f"/{50 * MIB}")
        server.wait_calls(1)
        settled(lambda: server.connections[0].h2.local_flow_control_window(1), 0.3)
        begun = time.monotonic()
        for _ in range(20):
            assert len(get(proxy.address, f"/{MIB}").body) == MIB
        assert time.monotonic() - begun < seconds(5)
    assert len(server.connections) == 1
    eventually(lambda: server.calls[0].reset is not None, what="the slow one is given up when its client has left")
    assert get(proxy.address).status == 200


def test_many_slow_clients_hold_up_nobody_else(stage):
    server = serve(stage)
    proxy = front(stage, server)
    slow = [stage.use(Client(proxy.address)) for _ in range(60)]
    for client in slow:
        client.request("GET", f"/{20 * MIB}")
    server.wait_calls(60)
    time.sleep(1)
    assert len(get(proxy.address, f"/{MIB}").body) == MIB
    assert len(server.connections) == 1


def test_memory_of_slow_clients_is_bounded(stage):
    if sanitized():
        pytest.skip("a sanitizer's memory means nothing")
    server = serve(stage)
    proxy = front(stage, server)
    assert get(proxy.address, f"/{MIB}").status == 200
    before = proxy.rss_kib()
    slow = [stage.use(Client(proxy.address)) for _ in range(50)]
    for client in slow:
        client.request("GET", f"/{20 * MIB}")
    server.wait_calls(50)
    time.sleep(1.5)
    assert proxy.rss_kib() - before < 50 * 600, "a window of 128 KiB each, and what the way to the client holds"


def test_small_windows_of_the_server(stage):
    server = serve(stage, settings={WINDOW: 100})
    proxy = front(stage, server)
    found = get(proxy.address, "/told", method="POST", body=pattern(20000))
    assert found.get("x-sha256") == hashlib.sha256(pattern(20000)).hexdigest()


def test_a_window_that_stays_closed(stage):
    """The request cannot be sent: a time-out says so; others are not held up by it."""
    server = serve(stage, lambda call: call.wait_body(30) and call.respond(200), windows=False)
    proxy = front(stage, server, timeouts={"send": "1s", "response": "1s"})
    begun = time.monotonic()
    found = get(proxy.address, method="POST", body=pattern(MIB))
    assert found.status == 504 and time.monotonic() - begun < seconds(5)
    assert server.calls[0].length == 65535
    eventually(lambda: server.calls[0].reset is not None)


def test_a_window_that_opens_late(stage):
    def part(call):
        while not call.ended:
            call.conn.wait(lambda: call.unacknowledged or call.ended, call, 10)
            time.sleep(0.05)
            call.conn.acknowledge(call)
        call.respond(200, [("x-sha256", call.sha256)])

    proxy = front(stage, serve(stage, part, windows=False), timeouts={"send": "1s", "response": "1s"})
    found = get(proxy.address, method="POST", body=pattern(MIB))
    assert found.status == 200 and found.get("x-sha256") == hashlib.sha256(pattern(MIB)).hexdigest()


def test_a_server_that_reads_nothing(stage):
    """Its kernel's buffers are full: the requests on it time out, other servers answer."""
    def opening(conn):
        conn.h2.initiate_connection()
        conn.reading.clear()

    server = serve(stage, opening=opening)
    proxy = front(stage, server, timeouts={"send": "1s", "response": "1s"}, upstream={"retries": 0})
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Content-Length", str(20 * MIB))])
        try:
            client.send(pattern(20 * MIB))
        except OSError:
            pass
        assert proxy.wait_log()["status"] == 504
    for conn in server.connections:
        conn.reading.set()


# ---------------------------------------------------------------- refused and told to go

@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_tried_again(stage, method):
    """REFUSED_STREAM says that nothing was done (RFC 9113 8.7): an order may be given again too."""

    def part(call):
        if call.number == 0:
            return call.give_up(REFUSED)
        return answer(call)

    server = serve(stage, part)
    proxy = front(stage, server)
    found = get(proxy.address, method=method, body=b"order" if method == "POST" else None)
    assert found.status == 200 and len(server.calls) == 2
    assert server.calls[1].kept == (b"order" if method == "POST" else b"")


def test_a_server_that_refuses_everything(stage):
    good, bad = serve(stage), serve(stage, lambda call: call.give_up(REFUSED))
    proxy = front(stage, bad, good)
    for _ in range(20):
        assert get(proxy.address, method="POST", body=b"x").status == 200
    alone = front(stage, bad)
    assert get(alone.address).status == 502
    assert reason(alone) == "server_reset"


def test_goaway_before_anything_was_done(stage):
    """The server leaves, and has not looked at what came: other connections, the same server."""

    def part(call):
        if call.conn.number == 0:
            call.conn.goaway(0)
            time.sleep(0.05)
            return call.conn.close()
        return answer(call)

    server = serve(stage, part)
    proxy = front(stage, server)
    found = get(proxy.address, "/order", method="POST", body=b"order")
    assert found.status == 200 and len(server.connections) == 2


def test_goaway_lets_streams_end_that_it_names(stage):
    gate = threading.Event()

    def part(call):
        if call.path == "/last":
            gate.wait(20)
        call.respond(200, body=b"%d" % call.conn.number)

    server = serve(stage, part)
    proxy = front(stage, server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(get, proxy.address, "/last")
        server.wait_calls(1)
        server.connections[0].goaway(server.calls[0].stream)
        time.sleep(0.1)
        assert get(proxy.address, "/next").body == b"1", "nobody joins a connection that is told to go"
        gate.set()
        assert last.result().body == b"0"
    eventually(lambda: len(server.alive()) == 1, what="the first ends with its last stream")


def test_goaway_in_two_steps(stage):
    """As nginx and Go do it: first a warning (2^31-1), then the last stream."""

    def part(call):
        if call.number == 20:
            call.conn.goaway(2**31 - 1)
            call.respond(200)
            time.sleep(0.05)
            call.conn.goaway(call.stream)
            time.sleep(0.05)
            return call.conn.close()
        return call.respond(200)

    server = serve(stage, part)
    proxy = front(stage, server)
    for _ in range(60):
        assert get(proxy.address, method="POST", body=b"x").status == 200
    assert len(server.connections) == 2 and len(server.calls) == 60


def test_goaway_after_n_streams_under_load(stage):
    """A server that lets go of each connection after 20 streams: no request is lost, none is done twice."""
    lock = threading.Lock()
    seen = {}

    def part(call):
        with lock:
            n = seen[call.conn] = seen.get(call.conn, 0) + 1
            if n == 20:
                call.conn.goaway(max(call.conn.calls))
        if n > 0:
            call.wait_body()
            call.respond(200)

    server = serve(stage, part)
    proxy = front(stage, server)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: get(proxy.address, f"/{i}", method="POST", body=b"x").status, range(400)))
    assert found == [200] * 400
    answered = [c.path for c in server.calls]
    assert len(set(answered)) == 400


def test_a_connection_that_was_closed_while_idle(stage):
    """Without a goodbye, just when an order is sent: it cannot have been seen, so it is given again."""
    server = serve(stage, settings={MAX_STREAMS: 100})
    proxy = front(stage, server)
    for i in range(20):
        found = get(proxy.address, method="POST", body=b"order")
        assert found.status == 200
        server.connections[-1].close()
    assert len(server.calls) == 20


def test_the_slower_of_two_is_given_up(stage):
    slow, fast = serve(stage, lambda call: None), serve(stage)
    proxy = front(stage, {"address": slow}, {"address": fast, "tier": 1}, upstream={"hedge": "50ms", "retries": {
        "attempts": 2, "budget": "100%"}})
    for _ in range(5):
        assert get(proxy.address).status == 200
    eventually(lambda: slow.calls and all(c.reset == CANCEL for c in slow.calls), what="the slow ones are reset")


def test_warm_connections(stage):
    server = serve(stage)
    proxy = front(stage, server, upstream={"connections": {"warm": 2}})
    eventually(lambda: len(server.connections) == 2, what="two connections beforehand")
    assert statuses(many(proxy, 30)) == [200] * 30
    assert len(server.connections) == 2
    server.connections[0].goaway(0)
    eventually(lambda: len(server.connections) == 3, what="the one that left is replaced")


# ---------------------------------------------------------------- what breaks

@pytest.mark.parametrize("method, tries", [("GET", 2), ("POST", 1)])
@pytest.mark.parametrize("how", ["reset", "cut", "close"])
def test_an_answer_that_never_begins(stage, method, tries, how):
    """What may have been done is done again only where that does no harm."""

    def part(call):
        call.wait_body()
        if how == "reset":
            call.give_up(INTERNAL)
        else:
            getattr(call.conn, how)()

    servers = [serve(stage, part), serve(stage, part)]
    proxy = front(stage, *servers)
    found = get(proxy.address, method=method, body=b"order" if method == "POST" else None)
    assert found.status == 502 and reason(proxy) == "server_reset"
    assert sum(len(s.calls) for s in servers) == tries


@pytest.mark.parametrize("how", ["reset", "cut", "close", "goaway"])
@pytest.mark.parametrize("length", [True, False])
def test_an_answer_that_breaks_off(stage, how, length):
    def part(call):
        call.head(200, [("content-length", "100000")] if length else [])
        call.data(b"x" * 50000)
        time.sleep(0.1)
        if how == "reset":
            call.give_up(INTERNAL)
        elif how == "goaway":
            call.conn.goaway(0, INTERNAL)
        else:
            getattr(call.conn, how)()

    proxy = front(stage, serve(stage, part))
    with Client(proxy.address) as client:
        client.request()
        data = client.read_all()
    assert data.startswith(b"HTTP/1.1 200") and b"x" * 1000 in data and not data.endswith(b"0\r\n\r\n")
    assert reason(proxy) == "response_incomplete"


def test_others_on_the_connection_do_not_mind_a_reset(stage):
    gate = threading.Event()

    def part(call):
        if call.path == "/bad":
            return call.give_up(INTERNAL)
        gate.wait(10)
        return call.respond(200, body=b"fine")

    server = serve(stage, part)
    proxy = front(stage, server, upstream={"retries": 0})
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = [pool.submit(get, proxy.address, "/good") for _ in range(10)]
        server.wait_calls(10)
        assert get(proxy.address, "/bad").status == 502
        gate.set()
        assert [f.result().body for f in found] == [b"fine"] * 10
    assert len(server.connections) == 1


def test_everybody_on_a_connection_that_breaks_hears_of_it(stage):
    """At once, not by a time-out; reads are tried again."""
    others = serve(stage, lambda call: call.respond(200, body=b"other"))
    server = serve(stage, lambda call: None)
    proxy = front(stage, {"address": server}, {"address": others, "tier": 1})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        reads = [pool.submit(get, proxy.address, "/read") for _ in range(10)]
        orders = [pool.submit(get, proxy.address, "/order", method="POST", body=b"x") for _ in range(10)]
        server.wait_calls(20)
        begun = time.monotonic()
        server.stop()
        assert statuses(f.result() for f in orders) == [502] * 10
        assert [f.result().body for f in reads] == [b"other"] * 10
        assert time.monotonic() - begun < seconds(3)


def test_a_server_that_never_answers(stage):
    server = serve(stage, lambda call: None)
    proxy = front(stage, server, timeouts={"response": "500ms"}, upstream={"retries": 0})
    begun = time.monotonic()
    found = get(proxy.address)
    assert found.status == 504 and 0.4 < time.monotonic() - begun < seconds(3)
    assert reason(proxy) == "response_timeout"
    eventually(lambda: server.calls[0].reset == CANCEL, what="the stream is given up")


def test_a_connection_on_which_nothing_comes_is_left(stage):
    """It may be dead: after a time-out in complete silence the next request takes another."""

    def part(call):
        if call.conn.number == 0 and call.stream > 1:
            return call.conn.reading.clear()
        return answer(call)

    server = serve(stage, part)
    proxy = front(stage, server, timeouts={"response": "500ms"}, upstream={"retries": 0})
    assert [get(proxy.address).status for _ in range(3)] == [200, 504, 200]
    assert len(server.connections) == 2
    server.connections[0].reading.set()


def test_a_server_without_settings(stage):
    """It accepts and says nothing at all."""
    server = serve(stage, lambda call: None, opening=lambda conn: conn.reading.clear(), endings=range(14))
    proxy = front(stage, server, timeouts={"response": "500ms"}, upstream={"retries": 0})
    assert get(proxy.address).status == 504
    for conn in server.connections:
        conn.reading.set()


def test_a_server_whose_first_frame_is_another(stage):
    server = serve(stage, opening=lambda conn: conn.frame(PING, 0, 0, b"12345678"), endings=range(14))
    proxy = front(stage, server, upstream={"retries": 0})
    assert get(proxy.address).status == 502 and reason(proxy) == "response_malformed"


def test_a_server_that_speaks_http1(stage):
    """With prior knowledge, which is wrong."""
    def script(conn):
        conn.fill()
        conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        conn.wait_end()

    proxy = front(stage, stage.origin(script), upstream={"retries": 0})
    begun = time.monotonic()
    assert get(proxy.address).status == 502
    assert time.monotonic() - begun < seconds(3)
    assert reason(proxy) == "response_malformed"


def test_nobody_listens(stage):
    proxy = front(stage, f"127.0.0.1:{free_port()}")
    assert get(proxy.address).status == 502 and reason(proxy) == "connect_refused"


def test_the_client_leaves(stage):
    server = serve(stage, lambda call: None)
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        client.request()
        server.wait_calls(1)
    eventually(lambda: server.calls[0].reset == CANCEL, what="RST_STREAM CANCEL")
    assert len(server.alive()) == 1


def test_the_client_leaves_in_the_middle_of_its_request(stage):
    server = serve(stage, lambda call: call.wait_body())
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        client.request("POST", fields=[("Content-Length", "100000")], body=b"x" * 5000)
        eventually(lambda: server.calls and server.calls[0].length == 5000)
    eventually(lambda: server.calls[0].reset is not None)
    assert not server.calls[0].ended and len(server.alive()) == 1


def test_clients_that_leave_while_they_wait_for_a_stream(stage):
    """More than the server takes: those beyond leave again before their requests were sent."""
    gate = threading.Event()
    server = serve(stage, lambda call: (gate.wait(20), call.respond(200)), settings={MAX_STREAMS: 1})
    proxy = front(stage, {"address": server, "max_connections": 1})
    first = stage.use(Client(proxy.address))
    first.request()
    server.wait_calls(1)
    for _ in range(5):
        crowd = [Client(proxy.address) for _ in range(20)]
        for client in crowd:
            client.request("GET", "/gone")
        time.sleep(0.1)
        for client in crowd:
            client.close()
    gate.set()
    assert first.response().status == 200
    assert get(proxy.address, "/later").status == 200


# ---------------------------------------------------------------- malformed

def bad_head(fields):
    def part(call):
        call.conn.frame(HEADERS, END_HEADERS | END_STREAM, call.stream, call.conn.block(fields))
    return part


@pytest.mark.parametrize("fields", [
    [],
    [("x-no-status", "1")],
    [(":status", "abc")],
    [(":status", "20")],
    [(":status", "200"), (":status", "200")],
    [(":status", "200"), (":path", "/")],
    [("x-first", "1"), (":status", "200")],
    [(":status", "101")],
    [(":status", "200"), ("X-Upper", "1")],
    [(":status", "200"), ("connection", "close")],
    [(":status", "200"), ("transfer-encoding", "chunked")],
    [(":status", "200"), ("content-length", "1")],
    [(":status", "200"), ("content-length", "0"), ("content-length", "0")],
    [(":status", "200"), ("content-length", "x")],
    [(":status", "200"), ("x-line", "a\r\nb: c")],
    [(":status", "200"), ("x-zero", "a\0b")],
    [(":status", "200"), ("", "empty")],
    [(":status", "103")],
])
def test_a_malformed_head(stage, fields):
    server = serve(stage, bad_head(fields), endings=(0, 1))
    proxy = front(stage, server, upstream={"retries": 0})
    assert get(proxy.address).status == 502
    assert reason(proxy) == "response_malformed"


@pytest.mark.parametrize("length, body", [(10, b"12345"), (5, b"1234567890"), (1, b"")])
def test_a_length_that_is_not_true(stage, length, body):
    def part(call):
        call.conn.frame(HEADERS, END_HEADERS, call.stream,
                        call.conn.block([(":status", "200"), ("content-length", str(length))]))
        time.sleep(0.05)
        call.conn.frame(DATA, END_STREAM, call.stream, body)

    server = serve(stage, part, endings=(0, 1))
    proxy = front(stage, server)
    with Client(proxy.address) as client:
        client.request()
        data = client.read_all()
    assert len(data.partition(b"\r\n\r\n")[2]) <= length
    assert reason(proxy) in ("response_malformed", "response_incomplete")


FRAMES = {
    "data on stream 0": lambda c: c.conn.frame(DATA, 0, 0, b"x"),
    "data before the head": lambda c: c.conn.frame(DATA, 0, c.stream, b"x"),
    "headers on stream 0": lambda c: c.conn.frame(HEADERS, END_HEADERS, 0, c.conn.block([(":status", "200")])),
    "headers on an idle stream": lambda c: c.conn.frame(HEADERS, END_HEADERS, 99, c.conn.block([(":status", "200")])),
    "an even stream": lambda c: c.conn.frame(HEADERS, END_HEADERS, 2, c.conn.block([(":status", "200")])),
    "broken HPACK": lambda c: c.conn.frame(HEADERS, END_HEADERS, c.stream, b"\xff\xff\xff\xff\xff"),
    "continuation without headers": lambda c: c.conn.frame(CONTINUATION, END_HEADERS, c.stream, b""),
    "a frame in the middle of headers": lambda c: (c.conn.frame(HEADERS, 0, c.stream, b""),
                                                   c.conn.frame(PING, 0, 0, b"12345678")),
    "a window of zero more": lambda c: c.conn.frame(8, 0, 0, struct.pack(">I", 0)),
    "a window that overflows": lambda c: c.conn.frame(8, 0, 0, struct.pack(">I", 2**31 - 1)),
    "settings of a wrong size": lambda c: c.conn.frame(SETTINGS, 0, 0, b"12345"),
    "settings with a bad value": lambda c: c.conn.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31)),
    "a ping of a wrong size": lambda c: c.conn.frame(PING, 0, 0, b"1"),
    "a reset of an idle stream": lambda c: c.conn.frame(RST_STREAM, 0, 99, struct.pack(">I", 1)),
    "a frame that is too large": lambda c: c.conn.raw(b"\xff\xff\xff\x00\x00" + struct.pack(">I", c.stream)),
    "a push": lambda c: c.conn.frame(PUSH_PROMISE, END_HEADERS, c.stream, struct.pack(">I", 2) + c.conn.block(
        [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")])),
    "rubbish": lambda c: c.conn.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 3),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_malformed_frame(stage, name):
    """A connection error: all on it fail at once, with the reason; the next request takes another connection."""

    def part(call):
        if call.path == "/bad":
            return FRAMES[name](call)
        if call.path == "/waits":
            return None
        return call.respond(200)

    server = serve(stage, part, endings=range(14))
    proxy = front(stage, server, upstream={"retries": 0})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        begun = time.monotonic()
        waits = pool.submit(get, proxy.address, "/waits")
        server.wait_calls(1)
        bad = pool.submit(get, proxy.address, "/bad").result()
        if name == "a window of zero more" or bad.status == 502:
            assert bad.status == 502
        assert waits.result().status == 502
        assert time.monotonic() - begun < seconds(3), "found by a time-out"
    assert {r["reason"] for r in (proxy.wait_log(target="/bad"), proxy.wait_log(target="/waits"))} == {"response_malformed"}
    assert get(proxy.address, "/good").status == 200
    eventually(lambda: server.connections[0].closed)


def test_a_push_before_settings_are_acknowledged(stage):
    """Push is switched off by our first frame; a server that is faster than that must not confuse anybody."""

    def opening(conn):
        conn.h2.initiate_connection()

    def part(call):
        push = struct.pack(">I", 2) + call.conn.block([(":method", "GET"), (":scheme", "http"), (":authority", "x"),
                                                       (":path", "/")])
        call.conn.frame(PUSH_PROMISE, END_HEADERS, call.stream, push)
        call.conn.frame(HEADERS, END_HEADERS | END_STREAM, 2, call.conn.block([(":status", "200")]))
        call.respond(200)

    server = serve(stage, part, opening=opening, endings=range(14))
    proxy = front(stage, server, upstream={"retries": 0})
    for _ in range(3):
        assert get(proxy.address).status == 502


@pytest.mark.parametrize("where", ["head", "trailers"])
@pytest.mark.parametrize("kind", ["bytes", "number"])
def test_fields_without_end(stage, where, kind):
    fields = [(f"x-{i}", "v" * 900) for i in range(40)] if kind == "bytes" else [(f"x-{i}", "v") for i in range(400)]

    def part(call):
        if call.path == "/good":
            return call.respond(200)
        call.head(200, fields if where == "head" else [])
        if where == "trailers":
            call.data(b"body")
            time.sleep(0.1)
            call.end(fields)
        return None

    server = serve(stage, part)
    proxy = front(stage, server, upstream={"retries": 0})
    if where == "head":
        assert get(proxy.address).status == 502
        assert reason(proxy) == "response_head_too_large"
    else:
        with Client(proxy.address) as client:
            client.request()
            assert not client.read_all().endswith(b"0\r\n\r\n")
        assert reason(proxy) in ("response_malformed", "response_head_too_large")
    assert get(proxy.address, "/good").status == 200
    assert len(server.connections) == 1, "only the stream is at fault"


def test_a_bomb_of_fields(stage):
    """Each costs the server a byte, and us a kilobyte: given up in time, and nothing kept."""

    def part(call):
        block = call.conn.block([(":status", "200"), ("x-bomb", "v" * 3900)]) + b"\xbe" * 15000
        call.conn.frame(HEADERS, END_HEADERS, call.stream, block)

    server = serve(stage, part, endings=range(14))
    proxy = front(stage, server, upstream={"retries": 0})
    before = proxy.peak_kib()
    for _ in range(5):
        assert get(proxy.address).status == 502
    assert sanitized() or proxy.peak_kib() - before < 16 * 1024


def test_continuation_without_end(stage):
    def part(call):
        call.conn.frame(HEADERS, 0, call.stream, call.conn.block([(":status", "200")]))
        for _ in range(10000):
            call.conn.frame(CONTINUATION, 0, call.stream, b"")
        for _ in range(2000):
            call.conn.frame(CONTINUATION, 0, call.stream, b"\x00\x01a" + b"\x7f\x81\x06" + b"v" * 256)

    server = serve(stage, part, endings=range(14))
    proxy = front(stage, server, upstream={"retries": 0}, timeouts={"response": "2s"})
    begun = time.monotonic()
    assert get(proxy.address).status in (502, 504)
    assert time.monotonic() - begun < seconds(5)


def test_a_flood_of_pings(stage):
    """They are answered, and do not keep others from their turn."""
    flood = (b"\x00\x00\x08\x06\x00" + b"\0" * 4 + b"12345678") * 2000
    stop = threading.Event()

    def part(call):
        if call.path == "/flood":
            while not stop.is_set():
                call.conn.raw(flood)
            call.respond(200)
        else:
            call.respond(200)

    server, other = serve(stage, part, endings=range(14)), serve(stage)
    routes = [{"path": "/flood", "to": "app"}, {"to": "other"}]
    proxy = stage.run(site(server, upstream=HTTP2, routes=routes).replace(
        "upstreams:\n", f"upstreams:\n  other:\n    servers: ['{other.address}']\n    http: http2\n"), workers=1)
    with Client(proxy.address) as client:
        client.request("GET", "/flood")
        server.wait_calls(1)
        times = []
        for _ in range(20):
            begun = time.monotonic()
            assert get(proxy.address).status == 200
            times.append(time.monotonic() - begun)
        stop.set()
    assert sorted(times)[10] < seconds(0.5), times


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
