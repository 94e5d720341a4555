# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to clients: what is asked for gets there, and what is answered comes back."""
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from support.client import Client, curl, get
from support.h2 import (CANCEL, DATA, END_STREAM, H2, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, NO_ERROR,
                        PREFACE, PRIORITY_UPDATE, RST_STREAM, WINDOW_UPDATE)
from support.maitred import site
from support.origin import answer_echo, echoed, serve_forever
from support.wait import eventually, seconds, stays, volume

MIB = 1 << 20
PRIOR = "--http2-prior-knowledge"


@pytest.fixture(scope="module")
def echo(module_stage):
    origin = module_stage.origin(serve_forever(answer_echo))
    proxy = module_stage.proxy(origin)
    proxy.origin = origin
    return proxy


def pattern(n):
    return bytes(hashlib.sha256(b"%d" % (i // 32)).digest()[i % 32] for i in range(0, min(n, 4096))) * (n // 4096 + 1)


def sized(conn, request):
    """Answers GET /N with N bytes, in chunks for /chunked/N."""
    n = int(request.target.rsplit("/", 1)[1])
    body = pattern(n)[:n]
    if "chunked" not in request.target:
        return conn.respond(200, body=body)
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for at in range(0, n, 50000):
        piece = body[at:at + 50000]
        conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    conn.send(b"0\r\n\r\n")


# ---------------------------------------------------------------- requests

def test_curl_gets_a_page(echo):
    done = curl(PRIOR, echo.url("/a/b?c=d"))
    told = echoed(done)
    assert done.message.start.startswith("HTTP/2 200")
    assert (told["method"], told["target"], told["version"]) == ("GET", "/a/b?c=d", "HTTP/1.1")


def test_fields_arrive_as_those_of_http1(echo):
    with H2(echo.address) as h2:
        h2.request(1, path="/", authority="example.com:8", fields=[("x-one", "1"), ("x-one", "2"), ("user-agent", "t"),
                                                                   ("te", "trailers")])
        told = echoed(h2.response(1))
    names = told["by_name"]
    assert names["host"] == ["example.com:8"] and names["x-one"] == ["1", "2"] and names["user-agent"] == ["t"]
    assert names["via"] == ["2.0 maitred"] and names["te"] == ["trailers"]
    assert names["x-forwarded-host"] == ["example.com:8"] and names["x-forwarded-for"] == ["127.0.0.1"]
    assert "content-length" not in names and "transfer-encoding" not in names


def test_crumbs_of_cookies_become_one_field(echo):
    """RFC 9113 8.2.3."""
    with H2(echo.address) as h2:
        h2.request(1, fields=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3"), ("cookie", "d=4")])
        assert echoed(h2.response(1))["by_name"]["cookie"] == ["a=1; b=2; c=3; d=4"]


def test_log_record(echo):
    with H2(echo.address) as h2:
        h2.request(1, method="POST", path="/logged?x", body=b"12345", authority="log.test")
        assert h2.response(1).status == 200
    record = echo.wait_log(target="/logged?x")
    assert record["version"] == "2" and record["status"] == 200 and record["request_bytes"] == 5
    assert record["host"] == "log.test" and record["upstream"] == "app"


def test_http1_on_the_same_listener(echo):
    assert get(echo.address, "/").status == 200


def test_it_can_be_switched_off(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"http2": False})
    with Client(proxy.address) as client:
        client.send(PREFACE)
        assert client.response().status in (400, 505)


def test_own_answers(stage):
    proxy = stage.run(site(
        routes=[{"path": "/r", "use": [{"respond": {"status": 200, "text": "hello"}}]},
                {"path": "/m", "use": [{"redirect": {"to": "https://x.test/"}}]}]))
    with H2(proxy.address) as h2:
        h2.request(1, path="/r")
        h2.request(3, path="/m")
        h2.request(5, path="/none")
        h2.request(7, "HEAD", path="/r")
        first = h2.response(1)
        assert (first.status, first.body, first.get("content-length")) == (200, b"hello", "5")
        assert h2.response(3).get("location") == "https://x.test/"
        assert h2.response(5).status == 404 and b"no_route" in h2.response(5).body
        assert h2.response(7).get("content-length") == "5" and h2.response(7).body == b""


# ---------------------------------------------------------------- bodies

@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 65536, MIB])
@pytest.mark.parametrize("announced", [True, False])
def test_request_body(echo, length, announced):
    body = pattern(length)[:length]
    with H2(echo.address) as h2:
        h2.ready()
        fields = [("content-length", str(length))] if announced else []
        h2.request(1, "POST", fields=fields, end=False)
        send_body(h2, 1, body)
        told = echoed(h2.response(1))
    assert told["length"] == length and told["sha256"] == hashlib.sha256(body).hexdigest()


def send_body(h2, stream, body):
    """As the windows allow, which the proxy opens as the server takes it."""
    room = {0: 65535, stream: h2.settings[INITIAL_WINDOW_SIZE]}
    seen = 0

    def look():
        nonlocal seen
        for f in h2.frames[seen:]:
            if f.kind == WINDOW_UPDATE and f.stream in room:
                room[f.stream] += struct.unpack(">I", f.payload)[0]
        seen = len(h2.frames)

    look()
    at = 0
    while at < len(body):
        n = min(len(body) - at, 16384, *room.values())
        if n <= 0:
            assert h2.read_frame(), "the connection ended"
            look()
            continue
        h2.data(stream, body[at:at + n])
        for key in room:
            room[key] -= n
        at += n
    h2.data(stream, b"", end=True)


@pytest.mark.parametrize("target", ["/0", "/1", "/4096", "/4097", "/16384", "/70000", f"/{MIB}", f"/{20 * MIB}",
                                    "/chunked/0", "/chunked/10", f"/chunked/{MIB}"])
def test_response_body(stage, target):
    proxy = stage.proxy(stage.origin(serve_forever(sized)))
    done = curl(PRIOR, proxy.url(target))
    n = int(target.rsplit("/", 1)[1])
    assert done.status == 200 and len(done.body) == n and done.body == pattern(n)[:n]
    assert done.get("content-length") == (None if "chunked" in target and n else str(n)) or "chunked" in target


def test_head_has_the_length_of_get(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"))))
    with H2(proxy.address) as h2:
        h2.request(1, "HEAD")
        answer = h2.response(1)
    assert answer.get("content-length") == "12345" and answer.body == b"" and answer.ended


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(stage, status):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(status))))
    with H2(proxy.address) as h2:
        h2.request(1)
        answer = h2.response(1)
    assert (answer.status, answer.body, answer.ended) == (status, b"", True)


def test_nothing_of_the_servers_connection_comes_through(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.send(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Stays: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))))
    with H2(proxy.address) as h2:
        h2.request(1)
        answer = h2.response(1)
    names = {n for n, v in answer.head}
    assert answer.body == b"hi" and answer.get("x-stays") == "1" and answer.get("via") == "1.1 maitred"
    assert not names & {"connection", "keep-alive", "transfer-encoding", "x-hop", "upgrade"}


def test_large_head_of_a_response(stage):
    head = b"".join(b"X-Field-%03d: %s\r\n" % (i, b"v" * 1400) for i in range(11))
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok" % head))))
    done = curl(PRIOR, proxy.url("/"))
    assert done.status == 200 and done.body == b"ok" and done.get("x-field-010") == "v" * 1400


def test_trailers_both_ways(stage):
    def script(conn, request):
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"4\r\nbody\r\n0\r\nX-Sum: %s\r\n\r\n" % dict(request.trailers)["x-up"].encode())

    proxy = stage.proxy(stage.origin(serve_forever(script)))
    with H2(proxy.address) as h2:
        h2.request(1, "POST", end=False, body=b"abc")
        h2.headers(1, [("x-up", "seven")])
        answer = h2.response(1)
    assert answer.body == b"body" and answer.trailers == [("x-sum", "seven")]


def test_trailers_only(stage):
    """No body, but trailers: as gRPC does it."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 5\r\n\r\n"))))
    with H2(proxy.address) as h2:
        h2.request(1)
        answer = h2.response(1)
    assert answer.trailers == [("grpc-status", "5")] and answer.body == b""


@pytest.mark.parametrize("name", ["content-length", "host", "authorization", "transfer-encoding"])
def test_fields_that_must_not_trail(echo, name):
    with H2(echo.address) as h2:
        h2.request(1, "POST", end=False, body=b"abc")
        h2.headers(1, [(name, "1")])
        answer = h2.response(1)
        assert answer.reset == 1 or answer.status == 400
        assert h2.ping()


def test_informational_responses(stage):
    def script(conn, request):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\n")
        conn.respond(200, body=b"x")

    proxy = stage.proxy(stage.origin(serve_forever(script)))
    with H2(proxy.address) as h2:
        h2.request(1)
        answer = h2.response(1)
    assert [dict(h)[":status"] for h in answer.heads] == ["103", "200"]
    assert dict(answer.heads[0])["link"] == "</x.css>"


def test_expect_continue(stage):
    def script(conn):
        request = conn.read_request(body=False)
        assert request.has("expect")
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.read_body(request)
        answer_echo(conn, request)

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address) as h2:
        h2.request(1, "POST", fields=[("expect", "100-continue"), ("content-length", "4")], end=False)
        h2.until(lambda f: f.kind == HEADERS)
        assert h2.answers[1].status == 100
        h2.data(1, b"body", end=True)
        assert echoed(h2.response(1))["length"] == 4


def test_response_that_breaks_off_is_seen_to(stage):
    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address) as h2:
        h2.request(1)
        answer = h2.response(1)
        assert answer.body == b"half" and not answer.ended and answer.reset == INTERNAL_ERROR
        assert h2.ping()


def test_answer_before_the_request_is_complete(stage):
    """RFC 9113 8.1: NO_ERROR tells the client that it may stop sending."""
    proxy = stage.run(site(
        routes=[{"use": [{"respond": {"status": 403, "text": "no"}}]}]))
    with H2(proxy.address) as h2:
        h2.request(1, "POST", end=False, body=b"part")
        answer = h2.response(1)
        h2.until(lambda f: f.kind == RST_STREAM)
        assert answer.status == 403 and answer.body == b"no" and answer.ended and answer.reset == NO_ERROR
        h2.data(1, b"more")  # on its way while the reset was
        assert h2.ping()


# ---------------------------------------------------------------- many at once

def test_streams_do_not_wait_for_each_other(stage):
    gate = threading.Event()

    def script(conn, request):
        if request.target == "/slow":
            gate.wait(seconds(10))
        conn.respond(200, body=request.target.encode())

    proxy = stage.proxy(stage.origin(serve_forever(script)))
    with H2(proxy.address) as h2:
        h2.request(1, path="/slow")
        for i in range(1, 51):
            h2.request(1 + 2 * i, path=f"/{i}")
        for i in range(1, 51):
            assert h2.response(1 + 2 * i).body == b"/%d" % i
        assert not h2.answers.get(1)
        gate.set()
        assert h2.response(1).body == b"/slow"


def test_h2load(echo):
    n = volume(4000)
    done = subprocess.run(["h2load", "-n", str(n), "-c", "8", "-m", "32", echo.url("/x")], capture_output=True,
                          text=True, timeout=seconds(60))
    assert f"{n} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_nghttp_uploads_and_downloads(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)))
    path = os.path.join(stage.folder(), "body")
    with open(path, "wb") as file:
        file.write(pattern(3 * MIB)[:3 * MIB])
    done = subprocess.run(["nghttp", "-d", path, "-H", ":method: PUT", proxy.url("/up")], capture_output=True,
                          text=True, timeout=seconds(30))
    assert f'"length": {3 * MIB}' in done.stdout, (done.stdout, done.stderr)


def test_streams_are_requests_of_one_client(stage):
    """What is told apart by "the first of its connection" is: only the first stream is."""
    origin = stage.origin(serve_forever(answer_echo))
    proxy = stage.run(site(origin, routes=[{"path": "/status", "use": [{"status": {}}]}, {"to": "app"}]), workers=1)
    for _ in range(3):
        with H2(proxy.address) as h2:
            for i in range(10):
                h2.request(1 + 2 * i)
            assert all(h2.response(1 + 2 * i).status == 200 for i in range(10))
    told = json.loads(get(proxy.address, "/status").body)["upstreams"][0]
    assert (told["exchanges"], told["clients"], told["clients_per_connection"] > 0) == (30, 3, True)


# ---------------------------------------------------------------- flow control

def test_tiny_windows(stage):
    """The client lets one byte through at a time: nothing is lost, and nothing more is sent."""
    proxy = stage.proxy(stage.origin(serve_forever(sized)))
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, 1), windows=False) as h2:
        h2.request(1, path="/100")
        h2.until(lambda f: f.kind == DATA)
        for i in range(1, 100):
            assert len(h2.answers[1].body) == i
            h2.window(1, 1)
            h2.until(lambda f: f.kind == DATA)
        assert h2.response(1).body == pattern(100)[:100]


def test_client_that_does_not_read_holds_nobody_up(stage):
    """A stream whose window is closed stops its server, not the others on the connection."""
    proxy = stage.proxy(stage.origin(serve_forever(sized)))
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, 1000), windows=False) as h2:
        h2.request(1, path=f"/{8 * MIB}")
        h2.until(lambda f: f.kind == DATA)
        for i in range(1, 20):
            h2.request(1 + 2 * i, path="/500")
            assert len(h2.response(1 + 2 * i).body) == 500
        assert len(h2.answers[1].body) == 1000


def test_server_that_does_not_read_stops_the_client(stage):
    """The body waits with the client, but for the windows: the proxy keeps no more than these."""
    gate = threading.Event()

    def script(conn):
        request = conn.read_request(body=False)
        gate.wait(seconds(20))
        conn.read_body(request)
        answer_echo(conn, request)

    proxy = stage.proxy(stage.origin(script))
    body = pattern(32 * MIB)[:32 * MIB]
    with H2(proxy.address).ready() as h2:
        h2.request(1, "POST", end=False)
        before = proxy.rss_kib()
        sender = threading.Thread(target=send_body, args=(h2, 1, body), daemon=True)
        sender.start()
        time.sleep(0.5)
        assert sender.is_alive() and proxy.rss_kib() < before + 8 * 1024
        gate.set()
        sender.join(seconds(20))
        assert echoed(h2.response(1))["length"] == len(body)


def test_stalled_client_is_given_up(stage):
    proxy = stage.proxy(stage.origin(serve_forever(sized)), timeouts={"send": "400ms"})
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, 10), windows=False) as h2:
        h2.request(1, path="/1000")
        answer = h2.response(1)
        assert answer.reset == CANCEL and len(answer.body) == 10
        assert h2.ping()
    assert proxy.wait_log(target="/1000")["reason"] == "client_stalled"


def test_stalled_upload_is_given_up(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), timeouts={"body": "300ms"})
    with H2(proxy.address) as h2:
        h2.request(1, "POST", end=False, body=b"some")
        assert h2.response(1).status == 408
        assert h2.ping()


# ---------------------------------------------------------------- giving up

def test_reset_cancels_the_request_at_the_server(stage):
    gone = threading.Event()

    def script(conn):
        conn.read_request()
        conn.wait_end()
        gone.set()

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address) as h2:
        h2.request(1, path="/never")
        time.sleep(0.2)
        h2.reset(1)
        assert gone.wait(seconds(5))
        assert h2.ping()
    assert proxy.wait_log(target="/never")["reason"] == "client_gone"


def test_lost_connection_cancels_all(stage):
    gone = []

    def script(conn):
        conn.read_request()
        conn.wait_end()
        gone.append(1)

    proxy = stage.proxy(stage.origin(script))
    h2 = H2(proxy.address)
    for i in range(10):
        h2.request(1 + 2 * i, path="/never")
    h2.ping()
    time.sleep(0.2)
    h2.close()
    eventually(lambda: len(gone) == 10)


def test_reset_in_the_middle_of_both_bodies(stage):
    proxy = stage.proxy(stage.origin(serve_forever(sized)))
    with H2(proxy.address, windows=False) as h2:
        for i in range(50):
            h2.request(1 + 2 * i, "POST" if i % 2 else "GET", path=f"/{MIB}", end=i % 2 == 0)
            if i % 6 == 0:
                h2.until(lambda f: f.kind == DATA)
            h2.reset(1 + 2 * i)
            h2.window(0, 100000)
        assert h2.ping()


# ---------------------------------------------------------------- the end

def test_idle_connection_ends(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"idle_timeout": "300ms"})
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        h2.expect_goaway(NO_ERROR)


def test_busy_connection_is_not_idle(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: (time.sleep(1), conn.respond(200)))),
                        listener={"idle_timeout": "200ms", "head_timeout": "200ms"})
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).status == 200


def test_requests_per_connection(stage):
    """A gentle GOAWAY: what is on its way is still answered."""
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"requests": 3})
    with H2(proxy.address) as h2:
        for i in range(4):
            h2.request(1 + 2 * i)
            assert h2.response(1 + 2 * i).status == 200
        h2.expect_goaway(NO_ERROR)
        first = next(f for f in h2.frames if f.kind == 7)
        assert struct.unpack(">I", first.payload[:4])[0] == 0x7fffffff
        assert struct.unpack(">I", h2.goaway.payload[:4])[0] == 7


def test_draining_lets_requests_end(stage):
    gate = threading.Event()

    def script(conn, request):
        gate.wait(seconds(10))
        conn.respond(200, body=b"late")

    proxy = stage.proxy(stage.origin(serve_forever(script)), process={"drain": "10s"})
    with H2(proxy.address) as h2:
        h2.request(1)
        h2.ping()
        proxy.signal(signal.SIGTERM)
        h2.until(lambda f: f.kind == 7)
        h2.until(lambda f: f.kind == 7)
        gate.set()
        assert h2.response(1).body == b"late"
        while h2.read_frame() is not None:
            pass
    proxy.finish()


def test_cut_after_draining(stage):
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20))), process={"drain": "1s"})
    with H2(proxy.address) as h2:
        h2.request(1)
        h2.ping()
        proxy.signal(signal.SIGTERM)
        proxy.finish()


def test_reload_keeps_the_connection(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)))
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        proxy.reload()
        h2.request(3)
        assert h2.response(3).status == 200


# ---------------------------------------------------------------- priorities (RFC 9218)

def order_of(frames, count):
    ends = [f.stream for f in frames if f.kind == DATA and f.flags & END_STREAM]
    assert len(ends) == count
    return ends


def all_waiting(stage, fields, updates=()):
    """Requests whose answers are all there while the window is closed; then it opens."""
    proxy = stage.proxy(stage.origin(serve_forever(sized)))
    h2 = stage.use(H2(proxy.address, (INITIAL_WINDOW_SIZE, 0), windows=False))
    for i, priority in enumerate(fields):
        h2.request(1 + 2 * i, path="/400000", fields=[("priority", priority)] if priority else [])
    for i in range(len(fields)):
        h2.head(1 + 2 * i)
    for stream, value in updates:
        h2.frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + value)
    time.sleep(0.2)
    # The streams' windows first, the connection's last: from then on the proxy chooses.
    h2.frame(4, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, MIB))
    h2.ping()
    before = len(h2.frames)
    h2.window(0, 4 * MIB)
    for i in range(len(fields)):
        assert len(h2.response(1 + 2 * i).body) == 400000
    return h2, before


def test_urgency_decides_who_is_sent_first(stage):
    h2, _ = all_waiting(stage, ["u=7", "u=5", "u=3", "u=0"])
    assert order_of(h2.frames, 4)[1:] == [5, 3, 1] and order_of(h2.frames, 4)[0] == 7


def test_priority_update_changes_it(stage):
    h2, _ = all_waiting(stage, ["u=1", "u=2", "u=3"], updates=[(5, b"u=0")])
    assert order_of(h2.frames, 3) == [5, 1, 3]


def test_incremental_ones_share(stage):
    h2, before = all_waiting(stage, ["u=3, i", "u=3, i", "u=3, i"])
    streams = [f.stream for f in h2.frames[before:] if f.kind == DATA and f.payload]
    changes = sum(1 for a, b in zip(streams, streams[1:]) if a != b)
    assert changes >= 4, streams


def test_others_go_one_after_the_other(stage):
    h2, before = all_waiting(stage, ["u=3", "u=3", "u=3"])
    streams = [f.stream for f in h2.frames[before:] if f.kind == DATA and f.payload]
    assert streams == sorted(streams) and streams[-1] == 5, streams
