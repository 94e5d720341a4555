# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to servers that refuse, break off, or break the rules."""
import concurrent.futures
import struct
import threading
import time

import pytest

from support.client import Client, get
from support.h2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS
from support.h2_front import HTTP2, front, many, reason, serve, statuses
from support.h2_server import CANCEL, INTERNAL, MAX_STREAMS, REFUSED, answer
from support.maitred import sanitized, site
from support.ports import free_port
from support.wait import eventually, seconds


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
    for target in ("/bad", "/waits"):
        assert proxy.wait_log(target=target)["reason"] == "response_malformed"
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
