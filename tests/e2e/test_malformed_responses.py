# SPDX-License-Identifier: Apache-2.0
"""Servers are not trusted: a malformed response becomes a 502 and nothing of it reaches the client."""
import pytest

from support.client import Client, get
from support.origin import serve_forever
from support.wire import Closed, Response

OK = b"HTTP/1.1 200 OK\r\n"
EVIL = b"EVIL"

HEADS = {
    "garbage": b"EVIL EVIL EVIL\r\n\r\n",
    "an SSH server": b"SSH-2.0-EVIL\r\n",
    "HTTP/0.9": b"<html>EVIL</html>",
    "no version": b"200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "ICY": b"ICY 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "HTTP/2": b"HTTP/2 200\r\nContent-Length: 4\r\n\r\nEVIL",
    "version in lower case": b"http/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "space at the start": b" HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "status in words": b"HTTP/1.1 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "two spaces": b"HTTP/1.1  200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "control byte in the reason": b"HTTP/1.1 200 O\x08K\r\nContent-Length: 4\r\n\r\nEVIL",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nEVIL",
    "bare LF in the middle": OK + b"X: a\nY: EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "bare CR": OK + b"X: a\rY: EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "folded line": OK + b"X: a\r\n EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "space before the colon": OK + b"X : EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "no colon": OK + b"EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "no name": OK + b": EVIL\r\nContent-Length: 4\r\n\r\nEVIL",
    "NUL in a value": OK + b"X: EVIL\x00\r\nContent-Length: 4\r\n\r\nEVIL",
    "control byte in a value": OK + b"X: EVIL\x01\r\nContent-Length: 4\r\n\r\nEVIL",
    "different Content-Lengths": OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nEVIL!",
    "repeated Content-Length": OK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nEVIL",
    "listed Content-Length": OK + b"Content-Length: 4, 4\r\n\r\nEVIL",
    "negative Content-Length": OK + b"Content-Length: -4\r\n\r\nEVIL",
    "Content-Length with a plus": OK + b"Content-Length: +4\r\n\r\nEVIL",
    "Content-Length in words": OK + b"Content-Length: four\r\n\r\nEVIL",
    "huge Content-Length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nEVIL",
    "Content-Length with Transfer-Encoding": OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: cow\r\n\r\nEVIL",
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunked, then gzip": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "Transfer-Encoding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "a huge head": OK + b"X: " + b"EVIL" * 500_000 + b"\r\nContent-Length: 4\r\n\r\nEVIL",
    "an endless head": OK + b"X: EVIL\r\n" * 100_000,
    "a malformed 1xx": b"HTTP/1.1 103 Early\r\nX : EVIL\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nX: EVIL\r\n",
    "half a status line": b"HTTP/1.",
    "only a 1xx": b"HTTP/1.1 102 Processing\r\n\r\n",
}


def playing(raw):
    def script(conn):
        conn.read_request()
        conn.send(raw)

    return script


@pytest.mark.parametrize("name", HEADS)
def test_malformed_head(stage, name):
    proxy = stage.proxy(stage.origin(playing(HEADS[name])), upstream={"retries": 0})
    response = get(proxy.address)
    assert response.status == 502
    assert EVIL not in response.raw_head and EVIL not in response.body
    assert response.get("proxy-status").startswith("maitred; error=")
    record = proxy.wait_log(status=502)
    assert record["blame"] == "server"
    if HEADS[name] and not name.startswith(("half", "only", "HTTP/0.9")):
        assert record["reason"] in ("response_malformed", "response_head_too_large"), record


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
BODIES = {
    "chunk size in words": CHUNKED + b"EVIL\r\nhello\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nEVIL\r\n0\r\n\r\n",
    "no CRLF after a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloEVIL\r\n0\r\n\r\n",
    "LF after a chunk size": CHUNKED + b"4\nEVIL\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nEVIL\r\n0\r\n\r\n",
    "folded trailer": CHUNKED + b"0\r\nX: a\r\n EVIL\r\n\r\n",
    "chunked, cut inside a chunk": CHUNKED + b"ff\r\nabc",
    "chunked, cut between chunks": CHUNKED,
    "chunked, cut before the trailers' end": CHUNKED + b"0\r\n",
    "length, cut": OK + b"Content-Length: 100\r\n\r\nhello",
}


@pytest.mark.parametrize("name", BODIES)
def test_malformed_body_ends_visibly_incomplete(stage, name):
    """Either a 502, when nothing had left yet, or a response that any client sees to be cut."""
    proxy = stage.proxy(stage.origin(playing(BODIES[name])), upstream={"retries": 0})
    with Client(proxy.address) as client:
        client.request(fields=[("TE", "trailers"), ("Connection", "TE")])
        head = client.read_head(Response)
        if head.status == 502:
            return
        assert head.status == 200
        body = b""
        with pytest.raises((Closed, ConnectionResetError)):
            for piece in client.pieces(head):
                body += piece
        assert body in (b"", b"hello", b"helloabc")
    record = proxy.wait_log()
    assert record["reason"] in ("response_malformed", "response_incomplete") and record["blame"] == "server"


LATE = ["Content-Length: 4", "Transfer-Encoding: chunked", "Set-Cookie: a=b", "Cache-Control: no-store",
        "Content-Encoding: gzip", "Connection: close"]


@pytest.mark.parametrize("field", LATE)
def test_what_must_not_be_in_trailers_is_left_out(stage, field):
    """RFC 9112 7.1.2: the answer is whole.  Such a field frames nothing: what follows it is not its body."""
    def answer(conn, request):
        late = f"{field}\r\nX-Sum: 1\r\n\r\n".encode()
        conn.send(CHUNKED + b"0\r\n" + late + (b"EVIL" if request.target == "/more" else b""))

    proxy = stage.proxy(stage.origin(serve_forever(answer)), upstream={"retries": 0}, workers=1)
    with Client(proxy.address) as client:
        for target in ("/", "/more", "/", "/"):
            response = client.get(target, [("TE", "trailers"), ("Connection", "TE")])
            assert (response.status, response.body, response.trailers) == (200, b"hello", [("X-Sum", "1")])


def test_a_broken_server_does_not_spoil_the_connection_of_the_client(stage):
    def answer(conn, request):
        if request.target == "/bad":
            conn.send(b"nonsense\r\n\r\n")
            conn.close()
        else:
            conn.respond(200, body=b"good")

    proxy = stage.proxy(stage.origin(serve_forever(answer)), workers=1)
    with Client(proxy.address) as client:
        for _ in range(5):
            assert client.get("/bad").status == 502
            assert client.get("/good").body == b"good"


def test_odd_but_proper_responses(stage):
    fine = {
        "/no-reason": b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\ngood",
        "/no-reason-no-space": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood",
        "/high-bytes": b"HTTP/1.1 200 \xc3\xa4\r\nX: \xff\r\nContent-Length: 4\r\n\r\ngood",
        "/lower": b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\ngood",
        "/coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding:Chunked\r\n\r\n04\r\ngood\r\n0\r\n\r\n",
        "/999": b"HTTP/1.1 599 Odd\r\nContent-Length: 4\r\n\r\ngood",
    }
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.send(fine[request.target]))))
    with Client(proxy.address) as client:
        for target in fine:
            assert client.get(target).body == b"good", target
