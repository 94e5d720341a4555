# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to servers: what is asked for and answered, on few connections, whoever is slow."""
import concurrent.futures
import hashlib
import subprocess
import threading
import time

import pytest

from support.client import Client, curl, get
from support.h2_front import front, many, reason, serve, statuses
from support.h2_server import MAX_STREAMS, NO_ERROR, WINDOW, answer, pattern
from support.maitred import sanitized
from support.wait import eventually, seconds, settled, stays, volume
from support.wire import Response

MIB = 1 << 20
PRIOR = "--http2-prior-knowledge"


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
        pieces = [body[at:at + 50000] for at in range(0, n, 50000)] + [b""]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
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
        time.sleep(0.002)
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


@pytest.mark.parametrize("late", [("content-length", "4"), ("set-cookie", "a=b"), ("cache-control", "no-store")])
def test_what_must_not_be_in_trailers_is_left_out(stage, late):
    """RFC 9110 6.5.1: the answer is whole without it."""
    def part(call):
        call.head(200)
        call.data(b"body")
        call.end([late, ("x-sum", "1")])

    proxy = front(stage, serve(stage, part))
    with Client(proxy.address) as client:
        client.request(fields=[("TE", "trailers"), ("Connection", "TE")])
        response = client.response()
    assert response.body == b"body" and [(n.lower(), v) for n, v in response.trailers] == [("x-sum", "1")]
    assert "reason" not in proxy.wait_log()


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
    """Once they are agreed: h2 does not open a window again that its settings made negative."""
    server = serve(stage, settings={WINDOW: 100})
    proxy = front(stage, server)
    assert get(proxy.address).status == 200
    eventually(lambda: server.connections[0].acknowledged == 2, what="both SETTINGS are acknowledged")
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
