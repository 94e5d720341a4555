# SPDX-License-Identifier: Apache-2.0
"""Who asks for a part, or under a condition, does not wait for the whole; that arrives behind it."""
import signal
import threading
import time

import pytest

from support.client import Client
from support.gate import MINUTE, Gate
from support.pages import Pages, ask, page
from support.ports import free_port
from support.wait import eventually, seconds
from support.wire import chunked, encode

TAG = ("ETag", '"one"')
BODY = bytes(range(250)) * 40


def cold(stage, *fields, total=len(BODY), **options):
    """A proxy with nothing in its cache, a client that has asked with those fields, and the gate."""
    gate = Gate(stage, fields=(MINUTE, TAG), total=total)
    proxy = stage.proxy(gate.origin, use=[{"cache": options}] if options else ["cache"])
    client = stage.use(Client(proxy.address))
    client.request("GET", "/", list(fields))
    eventually(lambda: gate.asked == 1, what="the fetch")
    gate.head()
    return gate, proxy, client


def finish(gate, proxy, *pieces):
    """The rest arrives, and is kept: one fetch was enough."""
    gate.send(*pieces)
    eventually(lambda: ask(proxy).cache["hit"], what="a complete object")
    whole = ask(proxy)
    assert whole.body == BODY and whole.cache["hit"] and gate.asked == 1


@pytest.mark.parametrize("condition, status", [
    (("If-None-Match", '"one"'), 304),
    (("If-None-Match", 'W/"one"'), 304),
    (("If-Match", '"other"'), 412),
    (("Range", "bytes=10000-"), 416),
])
def test_an_answer_without_the_body_waits_for_none_of_it(stage, condition, status):
    gate, proxy, client = cold(stage, condition)
    assert client.response().status == status
    client.request("GET", "/", [condition])
    assert client.response().status == status, "and nor does the next one of that connection"
    finish(gate, proxy, BODY)


def test_a_part_is_sent_when_it_has_arrived(stage):
    gate, proxy, client = cold(stage, ("Range", "bytes=500-1499"))
    gate.send(BODY[:1000])
    head = client.read_until(b"\r\n\r\n")
    assert b" 206 " in head and b"bytes 500-1499/10000" in head
    assert client.read_exact(500) == BODY[500:1000]
    gate.send(BODY[1000:1500])
    assert client.read_exact(500) == BODY[1000:1500]
    client.request("GET", "/", [("Range", "bytes=0-9")])
    assert client.response().body == BODY[:10], "the connection is not busy with the rest"
    finish(gate, proxy, BODY[1500:])


def test_several_parts(stage):
    gate, proxy, client = cold(stage, ("Range", "bytes=0-9,900-909"))
    gate.send(BODY[:1000])
    answer = client.response()
    assert answer.status == 206 and BODY[:10] in answer.body and BODY[900:910] in answer.body
    finish(gate, proxy, BODY[1000:])


def test_the_whole_under_a_condition_that_holds(stage):
    gate, proxy, client = cold(stage, ("If-None-Match", '"other"'))
    gate.send(BODY[:5000])
    client.read_until(b"\r\n\r\n")
    assert client.read_exact(5000) == BODY[:5000]
    gate.send(BODY[5000:])
    assert client.read_exact(5000) == BODY[5000:]
    finish(gate, proxy)


def test_the_client_may_leave(stage):
    gate, proxy, client = cold(stage, ("Range", "bytes=0-99"))
    gate.send(BODY[:50])
    client.read_until(b"\r\n\r\n")
    client.sock.close()
    finish(gate, proxy, BODY[50:])


def test_a_client_that_leaves_before_the_head(stage):
    """Somebody else who waits fetches it then."""
    gate = Gate(stage, fields=(MINUTE, TAG), total=len(BODY))
    proxy = stage.proxy(gate.origin, use=["cache"])
    client = Client(proxy.address)
    client.request("GET", "/", [("Range", "bytes=0-99")])
    eventually(lambda: gate.asked == 1)
    other = stage.use(Client(proxy.address))
    other.request("GET", "/", [("Range", "bytes=100-199")])
    client.sock.close()
    eventually(lambda: gate.asked == 2, what="a second fetch")
    gate.head()
    gate.send(BODY)
    assert other.response().body == BODY[100:200]


def test_what_breaks_off_is_not_kept(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [MINUTE, TAG, ("Content-Length", "10000")], BODY[:100]))
        cut.wait(seconds(10))

    cut = threading.Event()
    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=["cache"])
    condition = ("If-None-Match", '"one"')
    assert ask(proxy, "/", condition).status == 304 and ask(proxy, "/", condition).status == 304
    assert len(origin.requests) == 1
    cut.set()
    eventually(lambda: ask(proxy, "/", condition) and len(origin.requests) > 1, what="a fetch that begins anew")


def test_what_is_not_for_the_cache_is_fetched_once(stage):
    """The client takes over what was fetched for it: nobody is asked again."""
    pages = Pages(stage)
    pages["/"] = page("mine alone", ("Cache-Control", "private"), ("Set-Cookie", "a=b"), TAG)
    proxy = stage.proxy(pages.origin, use=["cache"])
    first = ask(proxy, "/", ("If-None-Match", '"other"'))
    assert (first.status, first.body, first.get("set-cookie")) == (200, b"mine alone", "a=b")
    assert first.cache["detail"] == "private" and pages.asked("/") == 1


def test_errors_are_the_origins(stage):
    pages = Pages(stage)
    pages["/"] = page("no", status=403)
    proxy = stage.proxy(pages.origin, use=["cache"])
    answer = ask(proxy, "/", ("Range", "bytes=0-1"))
    assert (answer.status, answer.body) == (403, b"no") and pages.asked("/") == 1


def test_an_origin_that_cannot_be_reached(stage):
    proxy = stage.proxy(f"127.0.0.1:{free_port()}", use=["cache"])
    assert ask(proxy, "/", ("If-None-Match", '"one"')).status == 502
    line = proxy.wait_log(1)
    assert line["reason"] == "connect_refused" and line["upstream"] == "app"


def test_trailers_come_along(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Cache-Control", "no-store"), ("Transfer-Encoding", "chunked"),
                                             ("Trailer", "X-Sum")]))
        conn.send(chunked(b"some", b"thing", trailers=[("X-Sum", "9")]))

    proxy = stage.proxy(stage.origin(script), use=["cache"])
    client = stage.use(Client(proxy.address))
    client.request("GET", "/", [("If-None-Match", '"one"'), ("TE", "trailers"), ("Connection", "TE")])
    answer = client.response()
    assert answer.body == b"something" and answer.trailers == [("X-Sum", "9")]


def test_a_whole_of_unknown_length(stage):
    """It is sent as a whole, also where the store does not take all of it."""
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("Transfer-Encoding", "chunked")]))
        for _ in range(40):
            conn.send(chunked(BODY * 10)[:-5])
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script), use=["cache"], stores={"default": {
        "memory": "2MiB", "max_object": "1MiB"}})
    answer = ask(proxy, "/", ("If-None-Match", '"one"'))
    assert answer.status == 200 and answer.body == BODY * 400


def test_one_fetch_for_all_kinds_of_requests(stage):
    gate = Gate(stage, fields=(MINUTE, TAG), total=len(BODY))
    proxy = stage.proxy(gate.origin, use=["cache"])
    kinds = [[], [("Range", "bytes=0-99")], [("If-None-Match", '"one"')], [("Range", "bytes=9000-")]] * 20
    clients = [stage.use(Client(proxy.address, timeout=20)) for _ in kinds]
    order = threading.Barrier(len(kinds))

    def go(client, fields):
        order.wait(seconds(10))
        client.request("GET", "/", fields)

    threads = [threading.Thread(target=go, args=pair) for pair in zip(clients, kinds)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    gate.head()
    gate.send(BODY)
    expected = [(200, BODY), (206, BODY[:100]), (304, b""), (206, BODY[9000:])] * 20
    got = [c.response() for c in clients]
    assert [(r.status, r.body) for r in got] == expected and gate.asked == 1


# ---------------------------------------------------------------- the end of the process

def ends_soon(proxy):
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    proxy.finish(within=seconds(10))
    return time.monotonic() - began < seconds(2)


@pytest.fixture
def stuck(stage):
    """An origin whose answers after the first break off in the middle, and do not end."""
    def script(conn):
        while True:
            conn.read_request()
            if len(origin.requests) == 1:
                conn.respond(200, [("Cache-Control", "max-age=0, stale-while-revalidate=100"), TAG], b"old")
                continue
            if partly.is_set():
                conn.send(encode("HTTP/1.1 200 OK", [MINUTE, TAG, ("Content-Length", "10000")], BODY[:100]))
            released.wait(seconds(20))
            return

    partly, released = threading.Event(), threading.Event()
    origin = stage.origin(script)
    origin.partly = partly
    yield origin
    released.set()


@pytest.mark.parametrize("partly", [False, True])
def test_the_end_does_not_wait_for_a_refresh(stage, stuck, partly):
    proxy = stage.proxy(stuck, use=["cache"])
    if partly:
        stuck.partly.set()
    assert ask(proxy).body == b"old" and ask(proxy).body == b"old"
    eventually(lambda: len(stuck.requests) == 2, what="a refresh")
    assert ends_soon(proxy)


def test_the_end_does_not_wait_for_a_body_without_a_client(stage, stuck):
    proxy = stage.proxy(stuck, use=["cache"])
    ask(proxy)
    stuck.partly.set()
    assert ask(proxy, "/other", ("Range", "bytes=0-9")).body == BODY[:10]
    assert ends_soon(proxy)


def test_the_end_does_not_wait_for_a_piece_ahead(stage):
    def script(conn):
        while True:
            request = conn.read_request()
            if request.get("range") != "bytes=0-999":
                released.wait(seconds(20))
                return
            conn.send(encode("HTTP/1.1 206 Partial Content", [
                MINUTE, TAG, ("Content-Range", "bytes 0-999/10000"), ("Content-Length", "1000")], BODY[:1000]))

    released = threading.Event()
    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=[{"cache": {"slice": 1000}}])
    client = Client(proxy.address)
    client.request("GET", "/")
    client.read_until(b"\r\n\r\n")
    assert client.read_exact(1000) == BODY[:1000]
    client.sock.close()
    eventually(lambda: len(origin.requests) > 1, what="a piece ahead")
    assert ends_soon(proxy)
    released.set()
