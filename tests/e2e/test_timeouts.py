# SPDX-License-Identifier: Apache-2.0
"""
Deadlines: each has its status, its reason in the log and in Proxy-Status, and the log names the option
that fired and where it is set.
"""
import threading
import time

import pytest

from support.client import Client, status_of
from support.origin import serve_forever
from support.wait import eventually, seconds
from support.wire import Closed, Response, encode


def place(proxy, option):
    """"site.yaml:LINE:" of the line that sets an option."""
    with open(proxy.config) as file:
        line = next(n for n, text in enumerate(file, 1) if text.strip(" -").startswith(option + ":"))
    return f"site.yaml:{line}:"


def check_record(proxy, reason, option, **wanted):
    record = proxy.wait_log(reason=reason, **wanted)
    assert record["limit"].split(" at ")[0].endswith(option), record["limit"]
    assert place(proxy, option.split(".")[-1]) in record["limit"], record["limit"]
    return record


def proxy_status(response):
    name, *parameters = [part.strip() for part in response.get("proxy-status").split(";")]
    assert name == "maitred"
    return dict(p.split("=", 1) for p in parameters)


@pytest.mark.parametrize("begin", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n", b"\r\n"])
def test_slow_head(stage, begin):
    proxy = stage.proxy(stage.origin(), listener={"head_timeout": "1s"})
    with Client(proxy.address) as client:
        client.send(begin)
        begun = time.monotonic()
        answer = client.read_all()
        assert time.monotonic() - begun > 0.7
    if begin == b"\r\n":  # nothing of a request has come: a silent end will do
        assert answer == b"" or status_of(answer) == 408
        return
    assert status_of(answer) == 408 and b"\r\nconnection: close" in answer.lower()
    assert proxy_status(Response(answer.split(b"\r\n\r\n")[0]))["error"] == "http_request_error"
    record = check_record(proxy, "head_timeout", "head_timeout", status=408)
    assert record["blame"] == "client"


def test_a_head_that_drips_does_not_win_time(stage):
    """head_timeout counts from the first byte, however many follow."""
    proxy = stage.proxy(stage.origin(), listener={"head_timeout": "1s"})
    with Client(proxy.address) as client:
        begun = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nX: ")
        answer = b""
        while not answer and time.monotonic() - begun < seconds(10):
            try:
                client.send(b"x")
                client.fill(time.monotonic() + 0.2)
                answer = client.buffer
            except TimeoutError:
                pass
        assert status_of(answer) == 408


def test_slow_body(stage):
    proxy = stage.proxy(stage.origin(), timeouts={"body": "1s"})
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "10")], b"")
        client.send(b"12345")
        response = client.response()
        assert response.status == 408 and response.get("connection") == "close"
        assert proxy_status(response)["error"] == "http_request_error"
        assert client.is_closed()
    assert check_record(proxy, "body_timeout", "timeouts.body", status=408)["blame"] == "client"


def test_slow_chunked_body(stage):
    proxy = stage.proxy(stage.origin(), timeouts={"body": "1s"})
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Transfer-Encoding", "chunked")], b"")
        client.send(b"5\r\nhello\r\n")
        assert client.response().status == 408
    check_record(proxy, "body_timeout", "timeouts.body")


def test_slow_server(stage):
    origin = stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20)))
    proxy = stage.proxy(origin, timeouts={"response": "1s"})
    with Client(proxy.address) as client:
        begun = time.monotonic()
        response = client.get("/slow")
        assert response.status == 504 and time.monotonic() - begun > 0.7
        assert proxy_status(response)["error"] == "http_response_timeout"
        assert client.get("/again").status == 504  # the client's connection is still good
    record = check_record(proxy, "response_timeout", "timeouts.response", status=504)
    assert (record["blame"], record["upstream"], record["server"]) == ("server", "app", origin.address)
    assert eventually(lambda: origin.connections[0].ended)  # and the server's connection is not


def test_a_server_that_stalls_in_its_head(stage):
    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-")
        conn.wait_end(20)

    proxy = stage.proxy(stage.origin(script), timeouts={"response": "1s"})
    with Client(proxy.address) as client:
        assert client.get().status == 504
    check_record(proxy, "response_timeout", "timeouts.response")


def test_a_server_that_stalls_in_its_body(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", "10")], b"12345"))
        conn.wait_end(20)

    proxy = stage.proxy(stage.origin(script), timeouts={"response": "1s"})
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        assert head.status == 200
        with pytest.raises((Closed, ConnectionResetError)):
            list(client.pieces(head))
    check_record(proxy, "response_timeout", "timeouts.response", status=200)


def test_progress_counts_not_the_total(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", "8")]))
        for _ in range(8):
            time.sleep(0.5)
            conn.send(b"x")

    proxy = stage.proxy(stage.origin(script), timeouts={"response": "2s"})
    with Client(proxy.address) as client:
        assert client.get().body == b"x" * 8


def test_progress_of_the_upload_counts(stage):
    """The server's time starts when the request is complete, not when it begins."""
    proxy = stage.proxy(stage.origin(), timeouts={"response": "1500ms", "body": "2s"})
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "8")], b"")
        for _ in range(8):
            time.sleep(0.4)
            client.send(b"x")
        assert client.response().status == 200


def test_connect_timeout(stage, deaf):
    proxy = stage.proxy(deaf, timeouts={"connect": "1s"}, upstream={"retries": 0})
    with Client(proxy.address) as client:
        response = client.get()
        assert response.status == 504
        assert proxy_status(response)["error"] == "connection_timeout"
    record = check_record(proxy, "connect_timeout", "timeouts.connect", status=504)
    assert (record["blame"], record["server"]) == ("server", deaf)


def test_connect_timeout_goes_on_to_another_server(stage, deaf):
    proxy = stage.proxy(deaf, stage.origin(), timeouts={"connect": "500ms"})
    with Client(proxy.address) as client:
        assert [client.get().status for _ in range(4)] == [200] * 4
        client.request("POST", body=b"hello")  # nothing was sent to the deaf one
        assert client.response().status == 200


def test_a_client_that_stops_reading(stage):
    size = 128 << 20

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(size))]))
        for _ in range(128):
            conn.send(bytes(1 << 20))

    origin = stage.origin(script)
    proxy = stage.proxy(origin, timeouts={"send": "1s"})
    with Client(proxy.address) as client:
        client.request()
        check_record(proxy, "client_stalled", "timeouts.send", status=200)
        eventually(lambda: origin.connections[0].done, what="the server is let go")


def test_a_server_that_stops_reading(stage):
    stop = threading.Event()

    def script(conn):
        conn.read_request(body=False)
        stop.wait(seconds(30))

    proxy = stage.proxy(stage.origin(script), timeouts={"send": "1s"}, upstream={"retries": 0})
    try:
        with Client(proxy.address, timeout=20) as client:
            client.request("POST", "/", [("Content-Length", str(128 << 20))], b"")

            def pour():
                try:
                    client.sock.sendall(bytes(128 << 20))
                except OSError:
                    pass

            pourer = threading.Thread(target=pour, daemon=True)
            pourer.start()
            record = proxy.wait_log()
            assert record["status"] in (502, 504) and record["blame"] == "server", record
    finally:
        stop.set()


def test_total(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", "1000")]))
        while True:
            time.sleep(0.2)
            conn.send(b"x")

    proxy = stage.proxy(stage.origin(script), timeouts={"total": "1500ms"})
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        with pytest.raises((Closed, ConnectionResetError)):
            list(client.pieces(head))
    check_record(proxy, "total_timeout", "timeouts.total")


def test_total_before_the_answer(stage):
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20))),
                        timeouts={"total": "1s"})
    with Client(proxy.address) as client:
        response = client.get()
        assert response.status == 504 and proxy_status(response)["error"]
    check_record(proxy, "total_timeout", "timeouts.total", status=504)


def test_a_limit_by_default_says_so(stage):
    """A limit that nobody set is told as such: here the listener's 16 KiB of head."""
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.request(fields=[("X", "x" * 30000)])
        assert client.response().status == 431
    assert proxy.wait_log(status=431)["limit"].endswith("max_head (default)")


def test_timings_in_the_log(stage):
    def answer(conn, request):
        time.sleep(0.3)
        conn.respond(200, body=b"slow")

    proxy = stage.proxy(stage.origin(serve_forever(answer)))
    with Client(proxy.address) as client:
        client.get()
    record = proxy.wait_log(status=200)
    names = ["received_us", "queued_us", "connected_us", "first_byte_us", "total_us"]
    times = [record[n] for n in names]
    assert all(isinstance(t, int) and 0 <= t < 60_000_000 for t in times), record
    assert record["first_byte_us"] >= 290_000 and record["total_us"] >= record["first_byte_us"]
    assert record["connected_us"] < 290_000
