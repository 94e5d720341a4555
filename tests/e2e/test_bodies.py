# SPDX-License-Identifier: Apache-2.0
"""Bodies: every framing both ways, trailers, streams that last, and memory that does not grow."""
import hashlib
import os
import threading
import time

import pytest

from support.client import Client, curl, get
from support.maitred import sanitized
from support.origin import echoed, serve_forever
from support.wait import eventually, seconds, settled, volume
from support.wire import Closed, Response, chunked, encode

MIB = 1 << 20
SIZES = [0, 1, 100, 4095, 4096, 16384, 65536, 65537, 1 << 20, 5_000_001]


@pytest.fixture(scope="module")
def echo(module_stage):
    return module_stage.proxy(module_stage.origin())


def pattern(size):
    block = hashlib.sha256(str(size).encode()).digest() * 128
    return (block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_upload_with_length(echo, size):
    body = pattern(size)
    told = echoed(get(echo.address, method="POST", body=body))
    assert (told["length"], told["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert told["by_name"]["content-length"] == [str(size)] and "transfer-encoding" not in told["by_name"]


@pytest.mark.parametrize("piece", [1, 13, 4096, 70000])
def test_upload_chunked(echo, piece):
    body = pattern(piece * 37)
    pieces = [body[at:at + piece] for at in range(0, len(body), piece)]
    told = echoed(get(echo.address, method="POST", body=chunked(*pieces), fields=[("Transfer-Encoding", "chunked")]))
    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert told["by_name"]["transfer-encoding"] == ["chunked"]


def test_upload_of_an_empty_chunked_body(echo):
    told = echoed(get(echo.address, method="POST", body=b"0\r\n\r\n", fields=[("Transfer-Encoding", "chunked")]))
    assert told["length"] == 0


@pytest.mark.parametrize("coding", [b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b'5;q="a;b"\r\nhello\r\n000\r\n\r\n',
                                    b"00005\r\nhello\r\n0\r\n\r\n", b"A\r\nhellohello\r\n0\r\n\r\n"])
def test_odd_but_proper_chunks(echo, coding):
    told = echoed(get(echo.address, method="POST", body=coding, fields=[("Transfer-Encoding", "Chunked")]))
    assert told["length"] in (5, 10)


def test_upload_chunk_by_chunk_one_byte_a_segment(echo):
    coding = chunked(b"hello", b"world!", trailers=[("X-T", "v")])
    with Client(echo.address) as client:
        client.request("POST", "/", [("Transfer-Encoding", "chunked")], b"")
        for at in range(len(coding)):
            client.send(coding[at:at + 1])
        told = echoed(client.response())
        assert told["length"] == 11
        assert client.get("/after").status == 200


def test_trailers_of_the_request(echo):
    body = chunked(b"abc", trailers=[("X-Sum", "1"), ("X-More", "two")])
    told = echoed(get(echo.address, method="POST", body=body,
                      fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, X-More")]))
    assert [(n.lower(), v) for n, v in told["trailers"]] == [("x-sum", "1"), ("x-more", "two")]


def answer_bytes(raw):
    return serve_forever(lambda conn, _: conn.send(raw))


def test_trailers_of_the_response(stage):
    raw = encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
                 chunked(b"abc", b"def", trailers=[("X-Sum", "42")]))
    proxy = stage.proxy(stage.origin(answer_bytes(raw)))
    with Client(proxy.address) as client:
        response = client.get(fields=[("TE", "trailers"), ("Connection", "TE")])
        assert response.body == b"abcdef" and response.trailers == [("X-Sum", "42")]
        assert client.get().body == b"abcdef"  # one that does not ask for trailers


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_download(stage, size, framing):
    body = pattern(size)

    def script(conn):
        while True:
            conn.read_request()
            if framing == "length":
                conn.respond(200, body=body)
            elif framing == "chunked":
                pieces = [body[at:at + 50000] for at in range(0, size, 50000)]
                conn.respond(200, [("Transfer-Encoding", "chunked")], chunked(*pieces))
            else:
                conn.send(encode("HTTP/1.1 200 OK", [("Connection", "close")], body))
                return

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        for _ in range(2):  # the second time over the same connection, whatever the server did
            response = client.get()
            assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()
            if framing == "length":
                assert response.get("content-length") == str(size)


def test_simultaneous_both_ways(stage):
    """The server answers while it reads: each piece comes back before the next one is sent."""

    def script(conn):
        request = conn.read_request(body=False)
        conn.send(encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]))
        for piece in conn.pieces(request):
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Transfer-Encoding", "chunked")], b"")
        client.send(b"3\r\none\r\n")
        head = client.read_head(Response)
        assert head.status == 200
        back = client.pieces(head)
        for number in range(20):
            piece = b"piece %d" % number if number else b"one"
            if number:
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            got = b""
            while len(got) < len(piece):
                got += next(back)
            assert got == piece
        client.send(b"0\r\n\r\n")
        assert list(back) == []


def test_large_both_ways_at_once(stage):
    """Neither direction waits for the other: an echo of more than all buffers together hold."""
    size = volume(48) * MIB

    def script(conn):
        request = conn.read_request(body=False)
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(size))]))
        for piece in conn.pieces(request):
            conn.send(piece)

    proxy = stage.proxy(stage.origin(script))
    block = os.urandom(MIB)
    with Client(proxy.address, timeout=60) as client:
        client.request("POST", "/", [("Content-Length", str(size))], b"")
        sender = threading.Thread(target=lambda: [client.sock.sendall(block) for _ in range(size // MIB)])
        head_and_body = hashlib.sha256()
        sender.start()
        head = client.read_head(Response)
        for piece in client.pieces(head):
            head_and_body.update(piece)
        sender.join(seconds(30))
        assert not sender.is_alive()
    want = hashlib.sha256()
    for _ in range(size // MIB):
        want.update(block)
    assert head_and_body.hexdigest() == want.hexdigest()


def test_events_arrive_undelayed(stage):
    """Server-sent events: each one reaches the client before the next one is made."""
    step = threading.Semaphore(0)

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]))
        for number in range(10):
            assert step.acquire(timeout=seconds(20))
            event = b"data: %d\n\n" % number
            conn.send(b"%x\r\n%s\r\n" % (len(event), event))
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request("GET", "/events", [("Accept", "text/event-stream")])
        head = client.read_head(Response)  # before the first event
        for number in range(10):
            step.release()
            assert client.read_chunk() == b"data: %d\n\n" % number
        assert head.get("content-type") == "text/event-stream"
        assert client.read_chunk() == b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_pieces_arrive_undelayed(stage, framing):
    """A slow upload reaches the server piece by piece, not once it is whole."""
    came = []

    def script(conn):
        request = conn.read_request(body=False)
        for piece in conn.pieces(request):
            came.append(piece)
        conn.respond(200, body=b"done")

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        field = ("Content-Length", "30") if framing == "length" else ("Transfer-Encoding", "chunked")
        client.request("POST", "/", [field], b"")
        for number in range(3):
            client.send(b"0123456789" if framing == "length" else b"a\r\n0123456789\r\n")
            eventually(lambda: b"".join(came) == b"0123456789" * (number + 1), what="the piece at the server")
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.response().body == b"done"


def steady(proxy, before_kib, limit_mib=24):
    """The worker's peak has hardly grown since before_kib."""
    if not sanitized():
        grown = proxy.peak_kib() - before_kib
        assert grown < limit_mib * 1024, f"the worker grew by {grown} KiB"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_download_at_constant_memory(stage, framing):
    size, block = volume(256) * MIB, bytes(MIB)

    def script(conn):
        conn.read_request()
        head = {"length": ("Content-Length", str(size)), "chunked": ("Transfer-Encoding", "chunked"),
                "close": ("Connection", "close")}[framing]
        conn.send(encode("HTTP/1.1 200 OK", [head]))
        for _ in range(size // MIB):
            conn.send(b"100000\r\n" + block + b"\r\n" if framing == "chunked" else block)
        if framing == "chunked":
            conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script), workers=1)
    get_small = Client(proxy.address)
    get_small.close()
    before = proxy.peak_kib()
    got = 0
    with Client(proxy.address, timeout=60) as client:
        client.request()
        head = client.read_head(Response)
        for piece in client.pieces(head, until_close=True):
            got += len(piece)
    assert got == size
    steady(proxy, before)
    assert proxy.wait_log()["response_bytes"] == size


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_upload_at_constant_memory(stage, framing):
    size, block = volume(256) * MIB, bytes(MIB)
    came = []

    def script(conn):
        request = conn.read_request(body=False)
        came.append(sum(len(piece) for piece in conn.pieces(request)))
        conn.respond(200, body=b"thanks")

    proxy = stage.proxy(stage.origin(script), workers=1)
    before = proxy.peak_kib()
    with Client(proxy.address, timeout=60) as client:
        field = ("Content-Length", str(size)) if framing == "length" else ("Transfer-Encoding", "chunked")
        client.request("POST", "/", [field], b"")
        for _ in range(size // MIB):
            client.send(block if framing == "length" else b"100000\r\n" + block + b"\r\n")
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.response().body == b"thanks"
    assert came == [size]
    steady(proxy, before)
    assert proxy.wait_log()["request_bytes"] == size


def test_a_client_that_does_not_read_stops_the_server(stage):
    """Backpressure: what nobody pulls is not read from the server either, and costs no memory."""
    size = 256 * MIB

    def script(conn):
        conn.read_request()
        conn.sock.settimeout(seconds(60))
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(size))]))
        view, left = memoryview(bytes(MIB)), size
        while left:
            n = conn.sock.send(view[:min(left, MIB)])
            conn.sent += n
            left -= n

    origin = stage.origin(script)
    proxy = stage.proxy(origin, workers=1)
    before = proxy.peak_kib()
    with Client(proxy.address, timeout=60) as client:
        client.request()
        origin.wait_connections(1)
        taken = settled(lambda: origin.connections[0].sent, quiet=1)
        assert 0 < taken < 64 * MIB, taken
        steady(proxy, before)
        head = client.read_head(Response)
        assert len(client.read_exact(8 * MIB)) == 8 * MIB and head.status == 200  # and it goes on


def test_a_server_that_does_not_read_stops_the_client(stage):
    stop = threading.Event()

    def script(conn):
        conn.read_request(body=False)
        stop.wait(seconds(60))

    proxy = stage.proxy(stage.origin(script), workers=1)
    before = proxy.peak_kib()
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", str(256 * MIB))], b"")
        client.sock.settimeout(1.0)
        sent, block = 0, memoryview(bytes(MIB))
        end = time.monotonic() + seconds(20)
        try:
            while time.monotonic() < end:
                sent += client.sock.send(block)
        except TimeoutError:
            pass
        assert sent < 64 * MIB, sent
        steady(proxy, before)
    stop.set()


def test_an_answer_before_the_upload_ends(stage):
    """A server may refuse an upload in the middle; the client hears of it."""

    def script(conn):
        conn.read_request(body=False)
        conn.read_exact(10)
        conn.respond(413, [("Connection", "close")], b"too much")
        conn.wait_end(5)

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "100000000")], b"")
        client.send(b"0123456789" * 100)
        response = client.response()
        assert (response.status, response.body) == (413, b"too much")


@pytest.mark.parametrize("pause", [0, 0.2])
@pytest.mark.parametrize("field, part, rest", [
    (("Content-Length", "10"), b"12345", b"67890"),
    (("Transfer-Encoding", "chunked"), b"5\r\nhel", b"lo\r\n0\r\n\r\n"),
    (("Transfer-Encoding", "chunked"), b"5\r\nhello\r\n", b"0\r\n\r\n"),
], ids=["length", "inside a chunk", "between chunks"])
def test_an_early_answer_and_then_the_rest(stage, field, part, rest, pause):
    """A server that answers without waiting for the body: the connection goes on in step, or ends in good order."""

    def script(conn):
        while True:
            request = conn.read_request(body=False)
            conn.respond(200, body=b"early" if request.method == "POST" else b"next")
            if request.method == "POST":
                conn.read_body(request)

    proxy = stage.proxy(stage.origin(script))
    for _ in range(3):
        with Client(proxy.address) as client:
            client.request("POST", "/", [field], b"")
            client.send(part)
            response = client.response()
            assert (response.status, response.body) == (200, b"early")
            time.sleep(pause)
            try:
                client.send(rest)
                client.request("GET", "/next")
                after = client.read_until(b"next")
                assert after.startswith(b"HTTP/1.1 200 ")
            except (Closed, ConnectionError):
                assert client.buffer == b""


def test_many_downloads_at_once(stage):
    bodies = {f"/{n}": pattern(n * 30011 + 1) for n in range(32)}
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, r: conn.respond(200, body=bodies[r.target]))))
    clients = {target: Client(proxy.address, timeout=30) for target in bodies}
    for target, client in clients.items():
        client.request("GET", target)
    for target, client in clients.items():
        assert client.response().body == bodies[target]
        client.close()


def test_curl_uploads_and_downloads(echo, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(pattern(3_000_000))
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        got = curl("-T", str(file), *more, echo.url("/up"))
        assert got.status == 200 and hashlib.sha256(file.read_bytes()).hexdigest() in got.text
