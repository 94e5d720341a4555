# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.0 on either side."""
import pytest

from support.client import Client, curl
from support.origin import echoed, serve_forever
from support.wire import chunked, encode


@pytest.fixture(scope="module")
def echo(module_stage):
    return module_stage.proxy(module_stage.origin())


def old(target="/", *fields, method="GET", body=b""):
    return encode(f"{method} {target} HTTP/1.0", fields, body)


def test_answered_and_closed(echo):
    with Client(echo.address) as client:
        client.send(old("/old", ("Host", "h")))
        response = client.response()
        assert response.version == "HTTP/1.1" and echoed(response)["target"] == "/old"
        assert echoed(response)["version"] == "HTTP/1.1"  # the proxy speaks its own version to servers
        assert client.is_closed()


def test_without_host(echo):
    with Client(echo.address) as client:
        client.send(old("/old"))
        assert echoed(client.response())["target"] == "/old"


def test_via_tells_the_version(echo):
    with Client(echo.address) as client:
        client.send(old("/old"))
        assert echoed(client.response())["by_name"]["via"] == ["1.0 maitred"]


def test_keep_alive_when_asked_for(echo):
    with Client(echo.address) as client:
        for _ in range(3):
            client.send(old("/old", ("Host", "h"), ("Connection", "keep-alive")))
            response = client.response()
            assert echoed(response)["target"] == "/old"
            assert "keep-alive" in response.get("connection", "").lower()
        client.send(old("/old", ("Host", "h")))
        assert client.response().status == 200
        assert client.is_closed()


def test_post_with_length(echo):
    with Client(echo.address) as client:
        client.send(old("/old", ("Content-Length", "5"), method="POST", body=b"hello"))
        assert echoed(client.response())["length"] == 5


@pytest.mark.parametrize("keep", [False, True])
def test_no_chunks_for_old_clients(stage, keep):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, _: conn.respond(
        200, [("Transfer-Encoding", "chunked")], chunked(b"abc", b"defg", trailers=[("X-T", "1")])))))
    with Client(proxy.address) as client:
        client.send(old("/", *([("Connection", "keep-alive")] if keep else [])))
        response = client.response()
        assert response.body == b"abcdefg" and not response.has("transfer-encoding")
        if not response.has("content-length"):
            assert client.is_closed()


@pytest.mark.parametrize("head, body", [
    ("HTTP/1.0 200 OK\r\n\r\n", b"until close"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n", b"length"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", b"alive"),
])
def test_old_servers(stage, head, body):
    def script(conn):
        conn.read_request()
        conn.send(head.encode() + body)

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        for _ in range(3):
            response = client.get()
            assert (response.version, response.status, response.body) == ("HTTP/1.1", 200, body)


def test_curl_http10(echo):
    got = curl("--http1.0", echo.url("/curl"))
    assert got.status == 200 and '"/curl"' in got.text
