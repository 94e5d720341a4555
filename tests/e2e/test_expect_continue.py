# SPDX-License-Identifier: Apache-2.0
"""Expect: 100-continue, end to end."""

from support.client import Client, curl
from support.origin import echoed
from support.wire import Response, encode

EXPECT = [("Expect", "100-continue")]


def polite(conn):
    """A server that says 100 before it reads a body."""
    while True:
        request = conn.read_request(body=False)
        if request.has("expect"):
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.read_body(request)
        conn.respond(200, body=b"got %d" % request.length)


def test_the_client_is_told_to_continue(stage):
    proxy = stage.proxy(stage.origin(polite))
    with Client(proxy.address) as client:
        for size in (5, 70000):
            client.request("POST", "/", EXPECT + [("Content-Length", str(size))], b"")
            assert client.read_head(Response).status == 100
            client.send(b"x" * size)
            response = client.response()
            assert (response.status, response.body) == (200, b"got %d" % size)
            assert response.informational == []


def test_chunked(stage):
    proxy = stage.proxy(stage.origin(polite))
    with Client(proxy.address) as client:
        client.request("POST", "/", EXPECT + [("Transfer-Encoding", "chunked")], b"")
        assert client.read_head(Response).status == 100
        client.send(b"3\r\nabc\r\n0\r\n\r\n")
        assert client.response().body == b"got 3"


def test_a_client_that_does_not_wait(stage):
    proxy = stage.proxy(stage.origin(polite))
    with Client(proxy.address) as client:
        client.request("POST", "/", EXPECT, b"hello")
        assert client.response().body == b"got 5"
        assert client.get("/next").status == 200


def test_a_server_that_never_says_100(stage):
    """The client loses patience and sends; the body must still get through."""
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.request("POST", "/", EXPECT + [("Content-Length", "5")], b"")
        client.is_silent(0.5)  # a 100 of ours may come, or not
        client.send(b"hello")
        assert echoed(client.response())["length"] == 5


def test_a_server_that_refuses_without_reading(stage):
    """The refusal comes through, and no 100 before it; nothing of the body is needed."""

    def script(conn):
        conn.read_request(body=False)
        conn.respond(401, body=b"who are you?")
        conn.wait_end(5)

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request("POST", "/", EXPECT + [("Content-Length", "1000000")], b"")
        response = client.response()
    assert (response.status, response.body) == (401, b"who are you?")
    assert response.informational == []


def test_a_refusal_of_our_own_comes_at_once(stage):
    proxy = stage.proxy(stage.origin(polite), use=[{"body_limit": {"max": "1KiB"}}])
    with Client(proxy.address) as client:
        client.request("POST", "/", EXPECT + [("Content-Length", "2000")], b"")
        response = client.response()
    assert response.status == 413 and response.informational == []


def test_http10_expectations_are_ignored(stage):
    proxy = stage.proxy(stage.origin(polite))
    with Client(proxy.address) as client:
        client.send(encode("POST / HTTP/1.0", [("Host", "h"), *EXPECT, ("Content-Length", "2")], b"ab"))
        response = client.response()
    assert response.body == b"got 2" and response.informational == []


def test_another_expectation(stage):
    """RFC 9110 10.1.1: 417 is an answer to an expectation nobody knows; passing it on is another."""
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Expect", "miracles")], b"x")
        assert client.response().status in (200, 417)


def test_curl_expects(stage, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(b"z" * 2_000_000)
    proxy = stage.proxy(stage.origin(polite))
    got = curl("-H", "Expect: 100-continue", "--expect100-timeout", "10", "-T", str(file), proxy.url())
    assert got.status == 200 and got.text == "got 2000000"
