# SPDX-License-Identifier: Apache-2.0
"""One fetch for all who ask: shared while it arrives, and let go when it is not for all."""
import os
import signal
import threading

import pytest

from support.client import Client, get
from support.gate import MINUTE, Gate
from support.load import FULL
from support.pages import Pages, ask, page, read_cache_status
from support.wait import eventually, seconds, volume
from support.wire import Closed, encode

CLIENTS = 1000 if FULL else volume(200)


def crowd(stage, proxy, n, path="/"):
    """Clients that have sent a request and wait."""
    clients = [stage.use(Client(proxy.address, timeout=20)) for _ in range(n)]
    for client in clients:
        client.request("GET", path)
    return clients


def test_one_fetch_for_a_thousand(stage):
    gate = Gate(stage, total=10)
    proxy = stage.proxy(gate.origin, use=["cache"])
    clients = crowd(stage, proxy, CLIENTS)
    eventually(lambda: gate.asked == 1, what="the fetch")
    gate.head()
    gate.send(b"0123456789")
    answers = [client.response() for client in clients]
    assert all(a.body == b"0123456789" for a in answers) and gate.asked == 1
    said = [read_cache_status(a.get("cache-status")) for a in answers]
    assert sum(s["fwd"] == "uri-miss" and s["stored"] for s in said) == 1
    assert all(s["stored"] or s["collapsed"] or s["hit"] for s in said)


def test_all_see_it_while_it_arrives(stage):
    gate = Gate(stage, total=10)
    proxy = stage.proxy(gate.origin, use=["cache"])
    clients = crowd(stage, proxy, 4)
    gate.head()
    gate.send(b"01234")
    heads = [c.read_until(b"\r\n\r\n") for c in clients]
    assert all(b"200" in h for h in heads)
    assert [c.read_exact(5) for c in clients] == [b"01234"] * 4
    late = stage.use(Client(proxy.address))
    late.request("GET", "/")
    late.read_until(b"\r\n\r\n")
    assert late.read_exact(5) == b"01234"
    gate.send(b"56789")
    assert [c.read_exact(5) for c in [*clients, late]] == [b"56789"] * 5
    assert gate.asked == 1


def test_the_first_client_may_leave(stage):
    gate = Gate(stage, total=10)
    proxy = stage.proxy(gate.origin, use=["cache"])
    first = Client(proxy.address)
    first.request("GET", "/")
    eventually(lambda: gate.asked == 1)
    others = crowd(stage, proxy, 3)
    gate.head()
    gate.send(b"01234")
    assert [c.read_until(b"\r\n\r\n")[:12] for c in others] == [b"HTTP/1.1 200"] * 3
    first.sock.close()
    gate.send(b"56789")
    assert [c.read_exact(10) for c in others] == [b"0123456789"] * 3
    assert gate.asked == 1 and ask(proxy, "/").cache["hit"]


def test_a_slow_client_holds_nobody_up(stage):
    """What is larger than all socket buffers is for the others while one does not read."""
    body = os.urandom(8 << 20)
    gate = Gate(stage, total=len(body))
    proxy = stage.proxy(gate.origin, use=["cache"])
    slow = crowd(stage, proxy, 1)[0]
    eventually(lambda: gate.asked == 1)
    quick = crowd(stage, proxy, 1)[0]
    gate.head()
    gate.send(body)
    assert quick.response().body == body
    assert slow.response().body == body and gate.asked == 1


def test_what_is_private_is_fetched_by_each(stage):
    """The first answer shows that it is not for all: those who waited go on by themselves."""
    release = threading.Event()

    def answer(request, before):
        if before == 0:
            release.wait(seconds(10))
        return page(f"for {before}", ("Cache-Control", "private"))

    pages = Pages(stage)
    pages["/"] = answer
    proxy = stage.proxy(pages.origin, use=["cache"])
    clients = crowd(stage, proxy, 10)
    eventually(lambda: pages.asked("/") >= 1)
    release.set()
    assert len({c.response().body for c in clients}) == 10 and pages.asked("/") == 10


def test_nobody_waits_for_what_is_known_to_be_private(stage):
    gate = threading.Event()
    pages = Pages(stage)

    def answer(request, before):
        if before == 1:
            gate.wait(seconds(10))
        return page("mine", ("Cache-Control", "private"))

    pages["/"] = answer
    proxy = stage.proxy(pages.origin, use=["cache"])
    ask(proxy, "/")
    held = crowd(stage, proxy, 1)[0]
    eventually(lambda: pages.asked("/") == 2)
    assert ask(proxy, "/").body == b"mine"
    gate.set()
    assert held.response().status == 200 and pages.asked("/") == 3


def test_a_fetch_that_dies_before_its_head(stage):
    """Those who waited go on by themselves: nobody gets what was the first one's bad luck."""
    arrived, release = threading.Event(), threading.Event()

    def script(conn):
        conn.read_request()
        if len(origin.requests) == 1:
            arrived.set()
            release.wait(seconds(10))
            return
        conn.respond(200, [MINUTE], b"at last")

    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=["cache"])
    clients = crowd(stage, proxy, 5)
    assert arrived.wait(seconds(10))
    release.set()
    answers = [c.response() for c in clients]
    assert all(a.status in (200, 502) for a in answers)
    assert sum(a.body == b"at last" for a in answers) >= 4 and len(origin.requests) <= 6


def test_a_fetch_that_breaks_off(stage):
    """Who has a part of it must see that it is not the whole; nothing of it is served later."""
    def script(conn):
        conn.read_request()
        if len(origin.requests) == 1:
            conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10")], b"01234"))
            cut.wait(seconds(10))
            return
        conn.respond(200, [MINUTE], b"abcdefghij")

    cut = threading.Event()
    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=["cache"])
    clients = crowd(stage, proxy, 3)
    for client in clients:
        client.read_until(b"\r\n\r\n")
        assert client.read_exact(5) == b"01234"
    cut.set()
    for client in clients:
        with pytest.raises((Closed, ConnectionResetError)):
            client.read_exact(5)
    assert ask(proxy, "/").body == b"abcdefghij" and ask(proxy, "/").cache["hit"]


@pytest.mark.parametrize("again, whole", [
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10")], b"0123456789"), True),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "11")], b"0123456789a"), False),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Transfer-Encoding", "chunked")], b"a\r\n0123456789\r\n0\r\n\r\n"), False),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10"), ("Content-Type", "x/y")], b"0123456789"), False),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10"), ("ETag", 'W/"b"')], b"0123456789"), False),
    (encode("HTTP/1.1 404 Not Found", [MINUTE, ("Content-Length", "10")], b"0123456789"), False),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10")], b"0123x56789"), False),
    (encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10")], b"012"), False),
], ids=["the same", "longer", "of unknown length", "another type", "another version", "an error", "other bytes", "breaks off"])
def test_without_a_validator_the_bytes_must_be_the_same(stage, again, whole):
    def script(conn):
        conn.read_request()
        if len(origin.requests) == 1:
            conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "10")], b"01234"))
            cut.wait(seconds(10))
            return
        conn.send(again)

    cut = threading.Event()
    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=["cache"])
    clients = crowd(stage, proxy, 3)
    for client in clients:
        client.read_until(b"\r\n\r\n")
        assert client.read_exact(5) == b"01234"
    cut.set()

    def rest(client):
        try:
            return client.read_exact(5)
        except (Closed, ConnectionResetError):
            return None

    # Who was first has nobody to turn to.
    assert sorted((rest(c) for c in clients), key=bool) == ([None, b"56789", b"56789"] if whole else [None] * 3)


@pytest.mark.parametrize("fields", [[], [("ETag", 'W/"a"')], [("ETag", '"a"')]], ids=["none", "weak", "strong"])
def test_what_outgrows_the_store_reaches_all_who_share_it(stage, fields):
    piece, pieces = b"0123456789abcdef" * 4096, 40

    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [MINUTE, *fields, ("Transfer-Encoding", "chunked")], b""))
        for _ in range(pieces):
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(script), use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "4MiB", "max_object": "1MiB"}})
    for client in crowd(stage, proxy, 4):
        assert client.response().body == piece * pieces


def test_workers_share_what_is_kept(stage):
    pages = Pages(stage)
    pages["/"] = page("x" * 100000, MINUTE)
    proxy = stage.proxy(pages.origin, use=["cache"], workers=4)
    ask(proxy, "/")
    for _ in range(20):
        answer = ask(proxy, "/")
        assert answer.cache["hit"] and len(answer.body) == 100000
    assert pages.asked("/") == 1


def test_a_reload_forgets_nothing(stage):
    pages = Pages(stage)
    pages["/"] = page("kept", MINUTE)
    proxy = stage.proxy(pages.origin, use=["cache"])
    ask(proxy, "/")
    proxy.reload()
    assert ask(proxy, "/").cache["hit"]


def test_routes_share_a_store_by_its_name(stage):
    pages = Pages(stage)
    pages["/"] = page("kept", MINUTE)
    routes = [{"host": "a.example", "use": [{"cache": {"store": "one", "key": "${path}"}}], "to": "app"},
              {"host": "b.example", "use": [{"cache": {"store": "one", "key": "${path}"}}], "to": "app"},
              {"use": [{"cache": {"store": "two", "key": "${path}"}}], "to": "app"}]
    proxy = stage.proxy(pages.origin, routes=routes, stores={"one": "4MiB", "two": {"memory": "4MiB"}})
    ask(proxy, "/", host="a.example")
    assert ask(proxy, "/", host="b.example").cache["hit"]
    assert not ask(proxy, "/", host="c.example").cache["hit"]


def test_what_is_too_large_passes(stage):
    pages = Pages(stage)
    body = "x" * (3 << 20)
    pages["/"] = page(body, MINUTE)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "4MiB", "max_object": "1MiB"}})
    for _ in range(2):
        answer = ask(proxy, "/")
        assert answer.body == body.encode() and not answer.cache["hit"]


def test_more_than_memory_holds(stage):
    """Things are evicted and fetched again; every byte is the right one."""
    pages = Pages(stage)
    for n in range(60):
        pages[f"/{n}"] = page(f"{n:04}" * 50000, MINUTE)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"store": "small"}}], stores={"small": "4MiB"})
    for turn in range(2):
        for n in range(60):
            assert get(proxy.address, f"/{n}").body == b"%04d" % n * 50000
    assert ask(proxy, "/59").status == 200 and pages.asked("/59") <= 3


def test_a_client_that_gives_up_waiting(stage):
    gate = Gate(stage, total=2)
    proxy = stage.proxy(gate.origin, use=["cache"])
    first = crowd(stage, proxy, 1)[0]
    eventually(lambda: gate.asked == 1)
    gone = Client(proxy.address)
    gone.request("GET", "/")
    gone.sock.close()
    proxy.signal(signal.SIGHUP)
    gate.head()
    gate.send(b"ok")
    assert first.response().body == b"ok" and gate.asked == 1
