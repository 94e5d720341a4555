# SPDX-License-Identifier: Apache-2.0
"""Responses without a body, and what must not be read into them."""
import pytest

from support.client import Client, curl
from support.origin import serve_forever


@pytest.fixture(scope="module")
def proxy(module_stage):
    def answer(conn, request):
        kind = request.target
        if kind == "/length":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            conn.send(head + (b"" if request.method == "HEAD" else b"hello"))
        elif kind == "/chunked":
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            conn.send(head + (b"" if request.method == "HEAD" else b"5\r\nhello\r\n0\r\n\r\n"))
        elif kind == "/neither":
            conn.send(b"HTTP/1.1 200 OK\r\nX-N: 1\r\n\r\n")
            if request.method != "HEAD":
                conn.close()
        elif kind == "/204":
            conn.send(b"HTTP/1.1 204 No Content\r\nX-N: 1\r\n\r\n")
        elif kind == "/304":
            conn.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")
        elif kind == "/304-length":
            conn.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n")

    return module_stage.proxy(module_stage.origin(serve_forever(answer)))


@pytest.mark.parametrize("target", ["/length", "/chunked", "/neither"])
def test_head(proxy, target):
    with Client(proxy.address) as client:
        for _ in range(3):
            client.request("HEAD", target)
            response = client.response("HEAD")
            assert response.status == 200
            assert response.get("content-length") == ("5" if target == "/length" else None)
        assert client.get("/length").body == b"hello"  # the connection is still in step


@pytest.mark.parametrize("target, status", [("/204", 204), ("/304", 304), ("/304-length", 304)])
def test_no_body_by_status(proxy, target, status):
    with Client(proxy.address) as client:
        for _ in range(3):
            response = client.get(target)
            assert response.status == status and not response.has("transfer-encoding")
            if status == 204:
                assert not response.has("content-length")
        assert client.get("/length").body == b"hello"


def test_304_may_tell_a_length(proxy):
    with Client(proxy.address) as client:
        assert client.get("/304-length").get("content-length") in ("1000", None)
        assert client.get("/304-length").get("etag") == '"x"'


def test_head_of_our_own_pages(stage):
    proxy = stage.run("listeners: [{address: '@listen@'}]\nroutes: []\n")
    with Client(proxy.address) as client:
        client.request("HEAD", "/none")
        response = client.response("HEAD")
        assert response.status == 404
        same = client.get("/none")
        assert same.status == 404 and response.get("content-length") == str(len(same.body))


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nEVIL",
    b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEVIL",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL",
])
def test_stray_bytes_never_reach_anybody(stage, raw):
    """What a server sends beyond its response ends its connection, not up in the next response."""
    proxy = stage.proxy(stage.origin(serve_forever(
        lambda conn, request: conn.send(raw) if request.target == "/bad" else conn.respond(200, body=b"good"))),
        workers=1)
    with Client(proxy.address) as client:
        for _ in range(5):
            bad = client.get("/bad")
            assert bad.status in (200, 204, 304, 502) and b"EVIL" not in bad.body
            good = client.get("/good")
            assert (good.status, good.body) == (200, b"good")


def test_stray_bytes_after_head(stage):
    """A server that sends a body to HEAD."""
    proxy = stage.proxy(stage.origin(serve_forever(
        lambda conn, request: conn.respond(200, body=b"EVIL" if request.target == "/bad" else b"good"))), workers=1)
    with Client(proxy.address) as client:
        for _ in range(5):
            client.request("HEAD", "/bad")
            assert client.response("HEAD").status == 200
            assert client.get("/good").body == b"good"


def test_curl_head(proxy):
    got = curl("-I", proxy.url("/length"))
    assert got.exit == 0 and got.status == 200 and got.get("content-length") == "5"
