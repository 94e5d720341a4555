# SPDX-License-Identifier: Apache-2.0
"""Buffering: servers are free before their clients have read, and asked only when the request is here."""
import hashlib
import os
import random
import resource
import signal
import socket
import threading
import time

import pytest

from support.client import Client, curl, get
from support.h2 import H2
from support.h2_front import front, serve
from support.load import FULL
from support.maitred import command, sanitized
from support.origin import echoed
from support.slow_readers import LeanKernel, SlowReaders, can_be_lean
from support.wait import eventually, seconds, stays, volume
from support.wire import Closed, Response, chunked, connect, encode

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 16384, 65536, 65537, 300_001, 5_000_001]
SMALL = {"memory": "64KiB", "file": "64MiB"}  # so that most goes through the file


def pattern(size):
    block = hashlib.sha256(str(size).encode()).digest() * 128
    return (block * (size // len(block) + 1))[:size]


def framed(body, framing, piece=7000):
    """A whole response."""
    if framing == "length":
        return encode("HTTP/1.1 200 OK", [("Content-Length", str(len(body)))], body)
    pieces = [body[at:at + piece] for at in range(0, len(body), piece)]
    return encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")],
                  chunked(*pieces, trailers=[("X-End", "yes")]))


def sends(body, framing="length"):
    """A script: the response to each request, as fast as it is taken; conn.done once it is out."""

    def script(conn):
        while True:
            conn.read_request()
            conn.send(framed(body, framing))

    return script


def slow_client(address, receive_bytes=4096, timeout=30):
    """A client whose kernel takes hardly anything for it; it cannot be fast, either."""
    client = Client.__new__(Client)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    host, port = address.rsplit(":", 1)
    sock.connect((host, int(port)))
    super(Client, client).__init__(sock, timeout)
    client.host = address
    return client


def temporary_files(proxy):
    """Files without a name that the worker has open."""
    folder = f"/proc/{proxy.worker}/fd"
    names = []
    for fd in os.listdir(folder):
        try:
            names.append(os.readlink(f"{folder}/{fd}"))
        except FileNotFoundError:
            pass
    return [name for name in names if name.endswith("(deleted)") and "/maitred" not in os.path.basename(name)]


# ---------------------------------------------------------------- responses

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_responses_arrive_as_they_were_sent(stage, size, framing):
    body = pattern(size)
    proxy = stage.proxy(stage.origin(sends(body, framing)), use=[{"buffer": SMALL}])
    with slow_client(proxy.address) as client:
        for _ in range(2):
            answer = client.get()
            assert (len(answer.body), hashlib.sha256(answer.body).hexdigest()) == \
                (size, hashlib.sha256(body).hexdigest())
            assert answer.has("transfer-encoding") == (framing == "chunked")
    assert proxy.wait_log()["response_bytes"] == size
    assert "reason" not in proxy.wait_log(2)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_server_is_free_before_the_client_has_read(stage, framing):
    """One connection to the server: the second client gets it while the first has not read a byte."""
    body = pattern(20 * MIB)
    served = []

    def script(conn):
        while True:
            request = conn.read_request()
            conn.send(framed(body if request.target == "/large" else b"small", framing))
            served.append(request.target)

    proxy = stage.proxy({"address": stage.origin(script).address, "max_connections": 1},
                        use=[{"buffer": SMALL}], workers=1)
    with slow_client(proxy.address) as lazy:
        lazy.request(target="/large")
        eventually(lambda: served == ["/large"], what="the server has sent it all")
        assert get(proxy.address, "/other").body == b"small"
        assert len(temporary_files(proxy)) == 1
        assert lazy.response().body == body
    eventually(lambda: not temporary_files(proxy), what="the temporary file is gone")


def test_without_buffer_the_server_waits_for_its_client(stage):
    """What the test before would see of a proxy that does not buffer."""
    served = []

    def script(conn):
        while True:
            conn.read_request()
            conn.send(framed(bytes(20 * MIB), "length"))
            served.append(1)

    proxy = stage.proxy(stage.origin(script))
    with slow_client(proxy.address) as lazy:
        lazy.request()
        stays(lambda: not served, during=1)


def test_without_room_the_server_waits(stage):
    """Memory is bounded, the bytes are right, and nobody gets an error."""
    body = pattern(24 * MIB)
    origin = stage.origin(sends(body))
    proxy = stage.proxy(origin, use=[{"buffer": {"memory": "128KiB", "file": "1MiB"}}], workers=1)
    get(proxy.address)
    before = proxy.peak_kib()
    with slow_client(proxy.address) as lazy:
        lazy.request()
        time.sleep(0.5)
        assert lazy.response().body == body
    if not sanitized():
        assert proxy.peak_kib() - before < 8 * 1024


def test_budgets_of_route_and_process(stage):
    """What is beyond them passes with backpressure; what is within is buffered."""
    body = pattern(24 * MIB)
    served = []

    def script(conn):
        """A connection each: the window of one that was read fast before would take the second's as well."""
        conn.read_request()
        conn.send(framed(body, "length"))
        served.append(1)

    for budget in ({"route": {"file": "25MiB"}}, {"total": {"file": "25MiB"}}):
        served.clear()
        proxy = stage.proxy(stage.origin(script), use=[{"buffer": {**SMALL, **budget}}], workers=2)
        with slow_client(proxy.address, 65536) as one, slow_client(proxy.address, 65536) as two:
            one.request()
            eventually(lambda: served == [1])
            two.request()
            stays(lambda: served == [1], during=0.5, what="the second waits for its client")
            assert one.response().body == body
            eventually(lambda: served == [1, 1], what="what the first had is the second's now")
            assert two.response().body == body
        proxy.stop()


def test_a_stream_is_not_delayed(stage):
    """Each piece of a response without a length is there before the server sends the next."""
    go = threading.Semaphore(0)

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]))
        for number in range(20):
            conn.send(chunked(b"event %02d\n" % number)[:-5])
            assert go.acquire(timeout=10)
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script), use=["buffer"])
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        pieces = client.pieces(head)
        for number in range(20):
            assert next(pieces) == b"event %02d\n" % number
            go.release()
        assert b"".join(pieces) == b""


@pytest.mark.parametrize("field", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
def test_streams_keep_their_backpressure(stage, field):
    served = []

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [field, ("Content-Length", str(20 * MIB))]))
        conn.send(bytes(20 * MIB))
        served.append(1)

    proxy = stage.proxy(stage.origin(script), use=["buffer"])
    with slow_client(proxy.address) as lazy:
        lazy.request()
        stays(lambda: not served, during=0.5)
        assert len(lazy.response().body) == 20 * MIB


def test_trailers_are_kept(stage):
    proxy = stage.proxy(stage.origin(sends(pattern(400_000), "chunked")), use=[{"buffer": SMALL}])
    with H2(proxy.address) as h2:
        h2.request(1, fields=[("te", "trailers")])
        answer = h2.response(1)
        assert answer.status == 200 and len(answer.body) == 400_000
        assert ("x-end", "yes") in answer.trailers


def test_http2_clients_with_closed_windows(stage):
    """The client's window is what is slow here."""
    served = []

    def script(conn):
        while True:
            conn.read_request()
            conn.send(framed(pattern(3 * MIB), "length"))
            served.append(1)

    proxy = stage.proxy(stage.origin(script), use=[{"buffer": SMALL}])
    with H2(proxy.address, windows=False) as h2:
        h2.request(1)
        eventually(lambda: served == [1], what="the server is free")
        h2.windows = True
        h2.window(0, 4 * MIB)
        h2.window(1, 4 * MIB)
        assert h2.response(1).body == pattern(3 * MIB)


def test_a_client_that_leaves_stops_the_server(stage):
    origin = stage.origin(lambda conn: (conn.read_request(),
                                        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(MIB))], b"x" * KIB)),
                                        conn.wait_end()))
    proxy = stage.proxy(origin, use=["buffer"])
    with Client(proxy.address) as client:
        client.request()
        client.read_head(Response)
    eventually(lambda: origin.connections[0].ended, what="the server's connection ends")
    assert proxy.wait_log()["reason"] == "client_gone"


def test_a_server_that_breaks_off(stage):
    """The client gets what was there, and then the break."""

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(2 * MIB))], pattern(MIB)))
        conn.reset()

    proxy = stage.proxy(stage.origin(script), use=[{"buffer": SMALL}])
    with slow_client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        got = b""
        with pytest.raises((Closed, ConnectionResetError)):
            for piece in client.pieces(head):
                got += piece
        # The kernel drops what a reset overtakes, on either side; but what we have is right.
        assert got == pattern(MIB)[:len(got)] and got
    assert proxy.wait_log()["reason"] == "response_incomplete"


def test_servers_of_http2_are_free_too(stage):
    """A stream ends before its client has read, with its trailers."""
    body, ended = pattern(12 * MIB), []

    def script(call):
        call.wait_body()
        call.head(200)
        for at in range(0, len(body), 60_000):
            call.data(body[at:at + 60_000])
        call.end([("x-sum", "1")])
        ended.append(1)

    server = serve(stage, script)
    proxy = front(stage, server, use=[{"buffer": SMALL}])
    with slow_client(proxy.address) as lazy:
        lazy.request()
        eventually(lambda: ended, what="the stream has ended")
        assert lazy.response().body == body
    upload = get(proxy.address, method="POST", body=chunked(pattern(100_000)), fields=[("Transfer-Encoding", "chunked")])
    assert upload.body == body and server.calls[-1].get("content-length") == "100000"


def test_clients_and_servers_that_come_and_go(stage):
    """Whoever leaves when, on either side: each byte that arrives is right, and nothing is left over."""
    body = pattern(3 * MIB)

    def script(conn):
        dice = random.Random(conn.number)
        while True:
            request = conn.read_request()
            size = int(request.target.rsplit("/", 1)[1])
            answer = framed(body[:size], dice.choice(["length", "chunked"]), 1 + dice.randrange(100_000))
            if dice.random() < 0.2:
                conn.send(answer[:dice.randrange(len(answer))])
                return conn.reset() if dice.random() < 0.5 else None
            conn.send(answer)

    proxy = stage.proxy(stage.origin(script), use=[{"buffer": {"memory": "64KiB", "file": "1MiB", "total": {"file": "8MiB"}}}],
                        upstream={"retries": 0})
    end = time.monotonic() + volume(4, 4)
    whole, wrong = [], []

    def client(number):
        dice = random.Random(number)
        while time.monotonic() < end:
            size, leave = dice.randrange(3 * MIB), dice.random() < 0.5
            with slow_client(proxy.address, dice.choice([4096, 65536, MIB])) as one:
                got, head = b"", None
                try:
                    one.request("POST", f"/{size}", body=body[:dice.choice([0, 100, 300_000])])
                    head = one.read_head(Response)
                    for piece in one.pieces(head):
                        got += piece
                        if leave and len(got) > size * dice.random():
                            break
                    else:
                        whole.append(size)
                except (Closed, ConnectionError, BrokenPipeError):
                    pass
                if head and head.status == 200 and got != body[:len(got)]:
                    wrong.append((size, len(got)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(whole) > 10
    eventually(lambda: not temporary_files(proxy), what="no temporary file is left")
    assert not [line for line in proxy.log() if "temporary file" in line.get("detail", "")]


def test_head_and_bodiless_answers(stage):
    def script(conn):
        while True:
            request = conn.read_request()
            if request.method == "HEAD":
                conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", "12345")]))
            else:
                conn.respond(204)

    proxy = stage.proxy(stage.origin(script), use=["buffer"])
    with Client(proxy.address) as client:
        client.request("HEAD")
        assert client.response("HEAD").get("content-length") == "12345"
        assert client.get().status == 204


# ---------------------------------------------------------------- requests

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_requests_arrive_as_they_were_sent(stage, size, framing):
    body = pattern(size)
    proxy = stage.proxy(stage.origin(), use=[{"buffer": SMALL}])
    fields, sent = [], body
    if framing == "chunked":
        fields = [("Transfer-Encoding", "chunked")]
        sent = chunked(*[body[at:at + 9000] for at in range(0, size, 9000)])
    told = echoed(get(proxy.address, method="POST", fields=fields, body=sent))
    assert (told["length"], told["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert told["by_name"]["content-length"] == [str(size)] and "transfer-encoding" not in told["by_name"]


def test_trailers_of_a_request_are_kept(stage):
    proxy = stage.proxy(stage.origin(), use=["buffer"])
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Transfer-Encoding", "chunked"), ("TE", "trailers")], b"")
        client.send(b"5\r\nhello\r\n")
        client.send(b"0\r\nX-Sum: 1\r\n\r\n")
        told = echoed(client.response())
    assert told["length"] == 5 and ["X-Sum", "1"] in [list(pair) for pair in told["trailers"]]


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_slow_upload_troubles_no_server_until_it_is_here(stage, size):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=[{"buffer": SMALL}])
    body = pattern(size)
    with Client(proxy.address) as client:
        client.request("PUT", "/", [("Content-Length", str(size))], b"")
        client.send(body[:size // 2])
        stays(lambda: not origin.connections, during=0.3, what="the server hears nothing")
        client.send(body[size // 2:])
        told = echoed(client.response())
    assert (told["length"], told["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_an_upload_that_breaks_off_never_reaches_a_server(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=["buffer"])
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "1000")], b"")
        client.send(b"half")
    assert proxy.wait_log()["reason"] == "client_gone"
    assert not origin.connections


def test_an_upload_that_stalls_is_timed_out(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=[{"timeouts": {"body": "300ms"}}, "buffer"])
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "1000")], b"")
        client.send(b"half")
        assert client.response().status == 408
    assert proxy.wait_log()["reason"] == "body_timeout"
    assert not origin.connections


def test_an_upload_that_trickles_is_bounded_by_the_total(stage):
    proxy = stage.proxy(stage.origin(), use=[{"timeouts": {"total": "500ms"}}, "buffer"])
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "1000")], b"")
        for _ in range(12):
            client.send(b"x")
            time.sleep(0.05)
        assert client.response().status == 408
    assert proxy.wait_log()["reason"] == "total_timeout"


def test_expect_100_continue(stage):
    """The proxy wants the body itself; the server is not asked first."""
    proxy = stage.proxy(stage.origin(), use=["buffer"])
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "300000"), ("Expect", "100-continue")], b"")
        assert client.read_head(Response).status == 100
        client.send(pattern(300000))
        told = echoed(client.response())
    assert told["length"] == 300000 and "expect" not in told["by_name"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_with_body_limit_too_much_is_413(stage, framing):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=[{"body_limit": "100KiB"}, "buffer"])
    body = pattern(150 * KIB)
    fields = [("Transfer-Encoding", "chunked")] if framing == "chunked" else []
    answer = get(proxy.address, method="POST", fields=fields,
                 body=chunked(body[:75000], body[75000:]) if framing == "chunked" else body)
    assert answer.status == 413
    assert not origin.connections


def test_without_room_an_upload_passes(stage):
    """The budget is used up by the first half; the second follows as the server takes it."""
    body = pattern(2 * MIB)
    proxy = stage.proxy(stage.origin(), use=[{"buffer": {"memory": "64KiB", "file": "512KiB"}}])
    told = echoed(get(proxy.address, method="POST", body=body))
    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    chunks = [body[at:at + 5000] for at in range(0, len(body), 5000)]
    told = echoed(get(proxy.address, method="POST", body=chunked(*chunks), fields=[("Transfer-Encoding", "chunked")]))
    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_a_buffered_upload_can_be_sent_again(stage):
    """A slow PUT comes in many pieces; the first server breaks, the second gets all of it."""

    def breaks(conn):
        conn.read_request()
        conn.reset()

    good = stage.origin(name="good")
    proxy = stage.proxy(stage.origin(breaks), good, use=["buffer"], workers=1)
    body = pattern(200_000)
    for _ in range(2):  # one of them began with the broken server
        with Client(proxy.address) as client:
            client.request("PUT", "/", [("Content-Length", str(len(body)))], b"")
            for at in range(0, len(body), 50_000):
                client.send(body[at:at + 50_000])
                time.sleep(0.02)
            told = echoed(client.response())
        assert (told["origin"], told["sha256"]) == ("good", hashlib.sha256(body).hexdigest())


def test_websockets_pass(stage):
    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        conn.send(conn.read_exact(5))

    proxy = stage.proxy(stage.origin(script), use=["buffer", {"shape": "1KiB/s"}])
    with Client(proxy.address) as client:
        client.request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "echo")])
        assert client.read_head(Response).status == 101
        client.send(b"hello")
        assert client.read_exact(5) == b"hello"


# ---------------------------------------------------------------- trouble with the disk

def limit_file_size():
    """The worker's disk is as good as full after 2 MiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))


def test_a_full_disk(stage):
    body = pattern(12 * MIB)
    proxy = stage.proxy(stage.origin(sends(body)), use=[{"buffer": SMALL}], before=limit_file_size)
    with slow_client(proxy.address) as one, slow_client(proxy.address) as two:
        one.request()
        eventually(lambda: "no space is left" in proxy.stderr, what="it says so")
        two.request()
        assert one.response().body == body and two.response().body == body
    upload = get(proxy.address, method="POST", body=body)
    assert upload.status == 200


def test_a_folder_that_is_gone(stage):
    folder = stage.folder()
    body = pattern(4 * MIB)
    proxy = stage.proxy(stage.origin(sends(body)), use=[{"buffer": {**SMALL, "folder": f"{folder}/gone"}}])
    assert "there is no folder" in proxy.stderr
    with slow_client(proxy.address) as client:
        client.request()
        eventually(lambda: "buffering without temporary files" in proxy.stderr)
        assert client.response().body == body


def test_one_folder_in_trouble_stops_no_other(stage):
    body = pattern(8 * MIB)
    bad = {**SMALL, "folder": f"{stage.folder()}/gone"}
    origin = stage.origin(sends(body))
    proxy = stage.proxy(origin, routes=[{"path": "/bad", "use": [{"buffer": bad}], "to": "app"},
                                        {"use": [{"buffer": SMALL}], "to": "app"}])
    with slow_client(proxy.address) as one, slow_client(proxy.address) as two:
        one.request(target="/bad")
        eventually(lambda: "buffering without temporary files" in proxy.stderr)
        two.request()
        eventually(lambda: temporary_files(proxy), within=5, what="the good folder has a file")
        assert one.response().body == body and two.response().body == body


def test_temporary_files_have_no_name(stage):
    folder = stage.folder()
    os.chmod(folder, 0o777)
    body = pattern(8 * MIB)
    proxy = stage.proxy(stage.origin(sends(body)), use=[{"buffer": {**SMALL, "folder": folder}}])
    with slow_client(proxy.address) as client:
        client.request()
        eventually(lambda: temporary_files(proxy))
        assert os.listdir(folder) == []
        assert client.response().body == body


# ---------------------------------------------------------------- configuration

def test_explain_and_mistakes(stage):
    folder = stage.folder()
    path = os.path.join(folder, "site.yaml")
    with open(path, "w") as file:
        file.write("listeners: [':1']\nroutes:\n  - {use: [{buffer: {memory: 1KiB}}], to: 'http://127.0.0.1:1'}\n")
    told = command("explain", "-c", path, "GET", "http://h/")
    assert "reads the response ahead: 1024 bytes in memory" in told.stdout, told.stdout + told.stderr
    with open(path, "w") as file:
        file.write("listeners: [':1']\nroutes:\n  - {use: [{buffer: {request: off, response: off}}], to: 'http://127.0.0.1:1'}\n")
    told = command("check", "-c", path)
    assert told.returncode != 0 and "this would buffer nothing" in told.stdout + told.stderr


# ---------------------------------------------------------------- figures

def test_curl_at_its_own_pace(stage):
    """An independent client that limits itself."""
    body = pattern(MIB)
    proxy = stage.proxy(stage.origin(sends(body)), use=[{"buffer": SMALL}])
    answer = curl("--limit-rate", "1M", proxy.url())
    assert answer.status == 200 and answer.body == body


def own_time(address, clients):
    """How long the server needs for as many clients as fast as can be, ten at a time."""

    def ask():
        with Client(address, timeout=60) as client:
            for _ in range(clients // 10):
                client.request()
                head = client.read_head(Response)
                assert sum(len(piece) for piece in client.pieces(head)) == MIB

    threads = [threading.Thread(target=ask) for _ in range(10)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


@pytest.mark.skipif(not can_be_lean(), reason="a network of our own needs root")
def test_a_thousand_slow_clients(stage):
    """
    The server has ten connections and needs its own time for each answer: it is done in 1.2 times of
    what that comes to, though all its clients are slow.  In small unless MAITRED_FULL=1.
    """
    clients, rate = (1000, 50 * KIB) if FULL else (100, 250 * KIB)
    body, head = bytes(MIB), encode("HTTP/1.1 200 OK", [("Content-Length", str(MIB))])
    times, lock = [], threading.Lock()

    def script(conn):
        while True:
            conn.read_request()
            began = time.monotonic()
            time.sleep(0.05)
            conn.send(head)
            conn.send(body)
            with lock:
                times.append((began, time.monotonic()))

    stage.use(LeanKernel())
    address = stage.origin(script).address
    own = own_time(address, clients)
    eventually(lambda: len(times) == clients)  # the server notes its last answer after the client has it
    times.clear()
    proxy = stage.proxy({"address": address, "max_connections": 10}, use=["buffer"],
                        upstream={"queue": {"size": clients, "timeout": "60s"}})
    with SlowReaders(proxy.address, clients, rate) as readers:
        seen = readers.finish()
    assert len(times) == clients
    assert seen["broken"] == 0 and min(seen["bytes"]) > MIB
    busy = max(end for _, end in times) - min(begin for begin, _ in times)
    longest = max(seen["took"])
    print(f"{clients} clients at {rate // KIB} KiB/s: server busy {busy:.2f} s, its own time {own:.2f} s "
          f"({busy / own:.2f} x), the last client {longest:.1f} s, peak {proxy.peak_kib() // KIB} MiB")
    assert longest > 0.9 * MIB / rate, "the clients were not slow"
    if not sanitized():
        assert busy < own * 1.2 + (0 if FULL else 0.5)
