# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web: what scripts in browsers send, over HTTP/1.1 and HTTP/2, in front of a real gRPC server."""
import base64
import re
import socket
import time

import pytest

from support.certs import Authority
from support.client import Client, curl
from support.grpc_server import SERVICE, GrpcServer
from support.h2 import DATA, H2, INTERNAL_ERROR
from support.tls import SecureClient
from support.wait import eventually, seconds, volume

WEB, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
USE = ["grpc_web"]
GONE = "127.0.0.1:9"


@pytest.fixture(scope="module")
def web(module_stage):
    server = module_stage.use(GrpcServer("a"))
    proxy = module_stage.proxy(server, upstream={"http": "http2"}, use=USE)
    proxy.server = server
    return proxy


def message(data=b""):
    return b"\0" + len(data).to_bytes(4, "big") + data


def plain(body, kind):
    """Bytes of a body; a text may consist of several runs with padding."""
    if kind == WEB:
        return body
    assert len(body) % 4 == 0
    return b"".join(base64.b64decode(body[i:i + 4], validate=True) for i in range(0, len(body), 4))


def frames(body):
    """Messages, and the fields of the last frame."""
    messages = []
    while body:
        n = int.from_bytes(body[1:5], "big")
        flags, data, body = body[0], body[5:5 + n], body[5 + n:]
        assert len(data) == n, "a frame is cut"
        if flags == 0x80:
            assert not body, "something follows the trailers"
            assert data.endswith(b"\r\n") and not data.endswith(b"\r\n\r\n")
            lines = [line.split(": ", 1) for line in data.decode("latin-1")[:-2].split("\r\n")]
            assert all(name == name.lower() for name, _ in lines)
            return messages, dict(lines)
        messages.append(data)
    raise AssertionError(f"no trailers behind {messages}")


class Answer:
    def __init__(self, status, kind, body, get):
        self.status, self.kind, self.get = status, kind, get
        self.messages, self.trailers = frames(plain(body, kind))


def encoded(data, kind):
    return base64.b64encode(data) if kind == TEXT else data


def by_http1(proxy, method, data=b"", kind=WEB, fields=(), client=None):
    with client or Client(proxy.address) as c:
        c.request("POST", SERVICE + method, [("Content-Type", kind), ("X-Grpc-Web", "1"), *fields],
                  encoded(message(data), kind))
        response = c.response()
    return Answer(response.status, response.get("content-type"), response.body, response.get)


def by_http2(proxy, method, data=b"", kind=WEB, fields=()):
    with H2(proxy.address) as h2:
        h2.request(1, "POST", SERVICE + method, [("content-type", kind), ("x-grpc-web", "1"), *fields],
                   encoded(message(data), kind))
        answer = h2.response(1)
    assert answer.trailers is None
    return Answer(answer.status, answer.get("content-type"), answer.body, answer.get)


everywhere = pytest.mark.parametrize("ask", [by_http1, by_http2])
both = pytest.mark.parametrize("kind", [WEB, TEXT])


# ---------------------------------------------------------------- calls

@everywhere
@both
def test_unary(web, ask, kind):
    answer = ask(web, "Unary", b"hello", kind)
    assert (answer.status, answer.kind, answer.messages) == (200, kind, [b"hello"])
    assert answer.trailers["grpc-status"] == "0" and answer.trailers["behind"] == "a"
    assert base64.b64decode(answer.trailers["bytes-bin"] + "==") == b"\x00\xff\x01"
    assert answer.get("by") == "a"


@everywhere
@both
def test_server_streaming(web, ask, kind):
    answer = ask(web, "Count", b"300 50", kind)
    assert len(answer.messages) == 300 and answer.messages[299] == b"299 ".ljust(50, b".")
    assert answer.trailers["grpc-status"] == "0"


@everywhere
@both
@pytest.mark.parametrize("length", [0, 1, 2, 3, 6143, 6144, 6145])
def test_any_length(web, ask, kind, length):
    data = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert ask(web, "Unary", data, kind).messages == [data]


@both
def test_a_large_message(web, kind):
    data = bytes(range(256)) * (volume(3 << 20) // 256)
    assert by_http1(web, "Unary", data, kind).messages == [data]


def test_curl(web):
    """By another client's word."""
    done = curl("-X", "POST", "-H", f"Content-Type: {TEXT}", "--data-binary",
                base64.b64encode(message(b"curl")).decode(), web.url(SERVICE + "Unary"))
    assert done.status == 200
    assert frames(plain(done.body, TEXT))[0] == [b"curl"]


def test_over_tls(stage):
    ca = Authority(stage.folder())
    certificate = ca.issue("site", ["example.test"])
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream={"http": "http2"}, use=USE, listener={
        "tls": {"certificates": {"certificate": certificate.chain, "key": certificate.key}}})
    assert by_http1(proxy, "Unary", b"x", client=SecureClient(proxy.address)).messages == [b"x"]


def test_what_the_server_gets(web):
    told = by_http1(web, "Metadata", kind=TEXT, fields=[("X-User", "u"), ("grpc-timeout", "5S")]).messages[0].decode()
    assert '["x-user", "u"]' in told and '["x-grpc-web", "1"]' in told


def test_a_request_in_pieces(web):
    """Chunks that cut the letters anywhere, and runs that end with padding."""
    text = base64.b64encode(message(b"pieces")[:7]) + base64.b64encode(message(b"pieces")[7:])
    assert text.count(b"=") > 1
    with Client(web.address) as client:
        client.request("POST", SERVICE + "Unary", [("Content-Type", TEXT), ("Transfer-Encoding", "chunked")])
        for i in range(0, len(text), 3):
            piece = text[i:i + 3]
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.01)
        client.send(b"0\r\n\r\n")
        assert frames(plain(client.response().body, TEXT))[0] == [b"pieces"]


def test_many_on_one_connection(web):
    with Client(web.address) as client:
        for i in range(volume(100)):
            client.request("POST", SERVICE + "Unary", [("Content-Type", WEB)], message(b"%d" % i))
            assert frames(client.response().body)[0] == [b"%d" % i]


# ---------------------------------------------------------------- streams

@both
def test_messages_are_not_held_back_http1(web, kind):
    """The first ones are here while the server still sends; a client that goes away ends the call."""
    before = web.server.cancelled("Forever")
    with Client(web.address) as client:
        client.request("POST", SERVICE + "Forever", [("Content-Type", kind)], encoded(message(), kind))
        want = encoded(message(b"a"), kind)
        client.sock.settimeout(seconds(5))
        got = b""
        while got.count(want) < 3:
            got += client.sock.recv(65536)
        assert b"\r\n0\r\n" not in got
    eventually(lambda: web.server.cancelled("Forever") == before + 1, 5, "the server is told")


@both
def test_messages_are_not_held_back_http2(web, kind):
    with H2(web.address) as h2:
        h2.request(1, "POST", SERVICE + "Forever", [("content-type", kind)], encoded(message(), kind))
        for _ in range(3):
            frame = h2.until(lambda f: f.kind == DATA and f.stream == 1, 5)
            assert frame.payload == encoded(message(b"a"), kind)
        h2.reset(1)
        assert h2.ping()


# ---------------------------------------------------------------- failures

@everywhere
@both
def test_a_status_without_an_answer(web, ask, kind):
    """Trailers-only: what gRPC puts into the head comes as a last frame."""
    answer = ask(web, "Fail", b"9 not %", kind)
    assert (answer.status, answer.kind, answer.messages) == (200, kind, [])
    assert answer.trailers["grpc-status"] == "9" and answer.trailers["grpc-message"] == "not %25"
    assert answer.get("grpc-status") is None and answer.get("content-length") is None


@everywhere
def test_a_status_behind_messages(web, ask):
    answer = ask(web, "FailLate")
    assert answer.messages == [b"one"] and answer.trailers["grpc-status"] == "15"


@everywhere
@both
def test_the_deadline(web, ask, kind):
    began = time.monotonic()
    answer = ask(web, "Sleep", b"10", kind, [("grpc-timeout", "300m")])
    assert answer.trailers["grpc-status"] == "4" and time.monotonic() - began < seconds(3)


@everywhere
@both
def test_no_server(stage, ask, kind):
    proxy = stage.proxy(GONE, upstream={"http": "http2"}, use=USE)
    answer = ask(proxy, "Unary", b"", kind)
    assert (answer.status, answer.messages) == (200, [])
    assert answer.trailers == {"grpc-status": "14", "grpc-message": "the server refused the connection"}
    assert "connection_refused" in answer.get("proxy-status")


@pytest.mark.parametrize("kind", [WEB, TEXT])
def test_a_refusal_in_front_of_it(stage, kind):
    """Without translation the status stands in the head, where clients of gRPC-Web look too."""
    proxy = stage.proxy(GONE, upstream={"http": "http2"},
                        use=[{"ip_filter": {"deny": ["127.0.0.0/8"]}}, "grpc_web"])
    with Client(proxy.address) as client:
        client.request("POST", SERVICE + "Unary", [("Content-Type", kind)], encoded(message(), kind))
        response = client.response()
    assert (response.status, response.get("content-type"), response.get("grpc-status")) == (200, kind, "7")


def test_text_that_is_none(web):
    with Client(web.address) as client:
        client.request("POST", SERVICE + "Unary", [("Content-Type", TEXT)], b"AAAA*AAA")
        response = client.response()
    assert response.status == 200
    messages, trailers = frames(plain(response.body, TEXT))
    assert not messages and trailers["grpc-status"] == "13"


def test_a_server_that_dies(stage):
    """Between two messages: a last frame says so."""
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream={"http": "http2"}, use=USE)
    with H2(proxy.address) as h2:
        h2.request(1, "POST", SERVICE + "Forever", [("content-type", WEB)], message())
        h2.until(lambda f: f.kind == DATA, 5)
        server.kill()
        answer = h2.response(1)
    assert answer.reset is None
    messages, trailers = frames(answer.body)
    assert set(messages) == {b"a"} and trailers["grpc-status"] == "14"


def test_a_request_that_breaks_off(web):
    """Half of its letters, and the end: the server never sees a whole call."""
    before = web.server.calls("Unary")
    host, port = web.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds(5)) as sock:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\nAAAA"
                     % ((SERVICE + "Unary").encode(), TEXT.encode()))
        time.sleep(0.2)
    with H2(web.address) as h2:
        h2.request(1, "POST", SERVICE + "Unary", [("content-type", TEXT)], b"AAAAAA")
        answer = h2.response(1)
    assert answer.reset == INTERNAL_ERROR or frames(plain(answer.body, TEXT))[1]["grpc-status"] == "13"
    assert by_http1(web, "Unary", b"next").messages == [b"next"]
    assert web.server.calls("Unary") == before + 1


# ---------------------------------------------------------------- others

def test_grpc_itself_passes(web):
    with H2(web.address) as h2:
        h2.request(1, "POST", SERVICE + "Unary", [("content-type", "application/grpc"), ("te", "trailers")],
                   message(b"plain"))
        answer = h2.response(1)
    assert answer.body == message(b"plain") and ("grpc-status", "0") in answer.trailers


def test_pages_pass(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=USE)
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Type", WEB)], message())
        response = client.response()
    assert response.status == 200 and not re.match("application/grpc", response.get("content-type") or "")
    assert origin.requests[0].get("content-type") == "application/grpc+proto"
    assert origin.requests[0].get("te") == "trailers"


def test_a_server_that_speaks_http1(stage):
    """Trailers behind the last chunk do as well."""
    def answer(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"7\r\n" + message(b"h1") + b"\r\n0\r\nGrpc-Status: 0\r\n\r\n")

    proxy = stage.proxy(stage.origin(answer), use=USE)
    answered = by_http1(proxy, "Unary")
    assert answered.messages == [b"h1"] and answered.trailers == {"grpc-status": "0"}
