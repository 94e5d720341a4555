# SPDX-License-Identifier: Apache-2.0
"""Who holds what when clients, fetches and kept responses go at awkward moments.

Each of these is short; what makes them worth it is the sanitizers' builds, and that the proxy still
answers rightly afterwards."""
import os
import re
import threading
import time

import pytest

from support.client import Client
from support.origin import serve_forever
from support.pages import ask
from support.wait import eventually, seconds
from support.wire import Closed, encode

MINUTE = ("Cache-Control", "max-age=60")
PURGERS = {"cache": {"purge": ["127.0.0.1"]}}
SIZE = 200000


class Slow:
    """An origin whose first answer comes in two halves, the second when the test says so."""

    def __init__(self, stage, fields=(MINUTE,), dies=False, ranges=True):
        self.body, self.fields, self.dies, self.ranges = os.urandom(SIZE), list(fields), dies, ranges
        self.half, self.go = threading.Event(), threading.Event()
        self.asked, self.later = [], []
        self.origin = stage.origin(serve_forever(self.answer))

    def answer(self, conn, request):
        self.asked.append(request)
        fields = [*self.fields, ("ETag", '"1"')]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.get("range") or "")
        if len(self.asked) == 1:
            self.begin(conn, fields)
        elif self.later:
            conn.respond(200, self.later[0], self.later[1])
        elif request.get("if-none-match") == '"1"':
            conn.respond(304, fields)
        elif request.method == "HEAD":
            conn.respond(200, [*fields, ("Content-Length", str(SIZE))])
        elif found and self.ranges:
            first, end = int(found[1]), int(found[2] or SIZE - 1) + 1
            conn.respond(206, [*fields, ("Content-Range", f"bytes {first}-{end - 1}/{SIZE}")], self.body[first:end])
        else:
            conn.respond(200, fields, self.body)

    def begin(self, conn, fields):
        conn.send(encode("HTTP/1.1 200 OK", [*fields, ("Content-Length", str(SIZE))], self.body[:SIZE // 2]))
        self.half.set()
        self.go.wait(seconds(15))
        if self.dies:
            conn.sock.shutdown(2)
            raise Closed("as the test wants it")
        conn.send(self.body[SIZE // 2:])


def begin(stage, slow, *use, **more):
    """A proxy, and its first client, which has the head and waits for the second half."""
    proxy = stage.proxy(slow.origin, use=list(use) or [PURGERS], **more)
    client = stage.use(Client(proxy.address))
    client.request("GET", "/")
    client.read_until(b"\r\n\r\n")
    assert slow.half.wait(seconds(10))
    return proxy, client


def asking(stage, proxy, *fields, method="GET"):
    client = stage.use(Client(proxy.address))
    client.request(method, "/", list(fields))
    return client


def test_asked_about_while_it_still_arrives(stage):
    """no-cache: the second client has it confirmed when the first one has only half of it."""
    slow = Slow(stage, [("Cache-Control", "no-cache")])
    proxy, first = begin(stage, slow)
    second = asking(stage, proxy)
    eventually(lambda: len(slow.asked) >= 2)
    slow.go.set()
    assert second.response().body == slow.body and first.read_exact(SIZE) == slow.body
    assert ask(proxy).body == slow.body


@pytest.mark.parametrize("how", [(), (("Cache-Purge", "soft"),), (("Cache-Purge", "all"),)])
def test_purged_while_it_arrives(stage, how):
    """Who reads it gets all of it; who comes later gets the new one, whichever is complete first."""
    slow = Slow(stage)
    proxy, first = begin(stage, slow)
    slow.later = ([MINUTE, ("ETag", '"2"')], b"new")
    assert ask(proxy, "/", *how, method="PURGE").status == 200
    if not how or how[0][1] == "all":
        assert ask(proxy).body == b"new"
    slow.go.set()
    assert first.read_exact(SIZE) == slow.body
    assert ask(proxy).body == b"new" and ask(proxy).cache["hit"]


def test_a_refill_that_is_purged(stage):
    """A background fetch that was begun before a purge must not bring back the old one."""
    versions, gate, begun = [b"one", b"two", b"three"], threading.Event(), threading.Event()

    def answer(conn, request):
        number = min(len(origin.requests), 3) - 1
        if number == 1:
            begun.set()
            gate.wait(seconds(10))
        conn.respond(200, [("Cache-Control", "max-age=0, stale-while-revalidate=60" if number == 0 else "max-age=60"),
                           ("ETag", f'"{number}"')], versions[number])

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, use=[PURGERS])
    assert ask(proxy).body == b"one" and ask(proxy).body == b"one"
    assert begun.wait(seconds(10))
    assert ask(proxy, method="PURGE").status == 200
    assert ask(proxy).body == b"three"
    gate.set()
    for _ in range(5):
        assert ask(proxy).body == b"three"


def test_head_while_it_arrives(stage):
    slow = Slow(stage)
    proxy, first = begin(stage, slow)
    head = ask(proxy, method="HEAD")
    assert head.status == 200 and head.get("content-length") == str(SIZE) and head.body == b""
    slow.go.set()
    assert first.read_exact(SIZE) == slow.body and len(slow.asked) == 1


def test_a_head_that_asks_about_what_still_arrives(stage):
    """Its answer agrees with what is kept: that stays."""
    slow = Slow(stage, [("Cache-Control", "no-cache")])
    proxy, first = begin(stage, slow)
    head = asking(stage, proxy, method="HEAD")
    assert b" 200 " in head.read_until(b"\r\n\r\n")
    slow.go.set()
    assert first.read_exact(SIZE) == slow.body
    assert ask(proxy).body == slow.body and slow.asked[-1].get("if-none-match") == '"1"'


@pytest.mark.parametrize("leave", ["first", "second", "both"])
def test_clients_leave_amid_a_fetch(stage, leave):
    slow = Slow(stage)
    proxy, first = begin(stage, slow)
    second = asking(stage, proxy)
    second.read_until(b"\r\n\r\n")
    for client in {"first": [first], "second": [second], "both": [first, second]}[leave]:
        client.sock.close()
    slow.go.set()
    for client in {"first": [second], "second": [first], "both": []}[leave]:
        assert client.read_exact(SIZE) == slow.body
    assert ask(proxy).body == slow.body and len(slow.asked) == 1


def test_a_client_leaves_when_it_has_what_it_wanted(stage):
    """Its answer was complete before the fetch was: that goes on."""
    slow = Slow(stage)
    proxy = stage.proxy(slow.origin, use=[PURGERS])
    client = stage.use(Client(proxy.address))
    client.request("GET", "/", [("Range", "bytes=0-9")])
    assert client.response().body == slow.body[:10]
    client.sock.close()
    time.sleep(0.3)  # it has been noticed by then
    other = asking(stage, proxy)
    other.read_until(b"\r\n\r\n")
    assert other.read_exact(SIZE // 2) == slow.body[:SIZE // 2]
    slow.go.set()
    assert other.read_exact(SIZE // 2) == slow.body[SIZE // 2:]
    eventually(lambda: ask(proxy).cache["hit"])
    assert len(slow.asked) == 1


@pytest.mark.parametrize("asked", [("bytes=0-9",), ("bytes=150000-150009",), ("bytes=0-9,120000-120009,190000-",)])
def test_ranges_of_what_still_arrives(stage, asked):
    slow = Slow(stage)
    proxy, first = begin(stage, slow)
    client = asking(stage, proxy, ("Range", asked[0]))
    client.read_until(b"\r\n\r\n")
    slow.go.set()
    assert first.read_exact(SIZE) == slow.body
    again = ask(proxy, "/", ("Range", asked[0]))
    for first_byte, last in re.findall(r"(\d+)-(\d*)", asked[0]):
        assert slow.body[int(first_byte):int(last or SIZE - 1) + 1] in again.body
    assert len(slow.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_several_ranges_of_a_fetch_that_dies(stage, ranges):
    """Each part is asked for where it begins, not where the one before ended."""
    slow = Slow(stage, dies=True, ranges=ranges)
    proxy = stage.proxy(slow.origin, use=[PURGERS])
    first = stage.use(Client(proxy.address))
    first.request("GET", "/")
    first.read_until(b"\r\n\r\n")
    assert slow.half.wait(seconds(10))
    client = asking(stage, proxy, ("Range", "bytes=10-19,120000-120009,150000-150009,190000-199999"))
    head = client.read_until(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    slow.go.set()
    body = client.read_exact(length)
    for start, end in ((10, 20), (120000, 120010), (150000, 150010), (190000, 200000)):
        mark = f"bytes {start}-{end - 1}/{SIZE}".encode()
        at = body.index(mark)
        assert body[body.index(b"\r\n\r\n", at) + 4:][:end - start] == slow.body[start:end], mark


def test_ranges_when_there_is_no_memory_left(stage):
    """Eight fetches at once, more than the store holds: each client gets the bytes it asked for."""
    bodies = {f"/{n}": os.urandom(400000) for n in range(8)}
    gate, begun = threading.Event(), []

    def answer(conn, request):
        body = bodies[request.target]
        conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("ETag", '"1"'), ("Content-Length", str(len(body)))], body[:1000]))
        begun.append(request.target)
        gate.wait(seconds(10))
        for at in range(1000, len(body), 30000):
            conn.send(body[at:at + 30000])

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "1MiB", "max_object": "512KiB"}})
    clients = {}
    for path in bodies:
        clients[path] = stage.use(Client(proxy.address))
        clients[path].request("GET", path, [("Range", "bytes=390000-390099")])
    eventually(lambda: len(begun) == len(bodies), what="all fetches")
    gate.set()
    for path, client in clients.items():
        answer = client.response()
        assert answer.status == 206 and answer.body == bodies[path][390000:390100], path


def test_a_304_after_the_kept_one_was_purged(stage):
    """The question is under way when what it is about is let go."""
    gate, begun = threading.Event(), threading.Event()

    def answer(conn, request):
        if request.get("if-none-match"):
            begun.set()
            gate.wait(seconds(10))
            conn.respond(304, [MINUTE, ("ETag", '"1"')])
        else:
            conn.respond(200, [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"body")

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, use=[PURGERS])
    ask(proxy)
    client = asking(stage, proxy)
    assert begun.wait(seconds(10))
    assert ask(proxy, method="PURGE").status == 200
    gate.set()
    assert client.response().body == b"body"
    assert ask(proxy).body == b"body" and len(origin.requests) >= 3


def test_a_304_when_there_is_no_memory_left(stage):
    """What is kept is right, though its new head has no room: it is served, and nothing else happens."""
    gate, full, begun = threading.Event(), threading.Event(), []

    def answer(conn, request):
        if request.get("if-none-match"):
            begun.append(request.target)
            full.wait(seconds(10))
            conn.respond(304, [("Cache-Control", "no-cache"), ("ETag", '"1"'), ("X-Large", "x" * 15000)])
        elif request.target == "/":
            conn.respond(200, [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"body")
        else:
            conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("Content-Length", "500000")], b"x" * 1000))
            for at in range(1000, 499000, 1000):
                conn.send(b"x" * 1000)
            begun.append(request.target)
            gate.wait(seconds(10))
            conn.send(b"x" * 1000)

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "1MiB", "max_object": "512KiB"}})
    assert ask(proxy).body == b"body"
    question = asking(stage, proxy)
    eventually(lambda: begun, what="the question")
    clients = [stage.use(Client(proxy.address)) for _ in range(4)]
    for n, client in enumerate(clients):
        client.request("GET", f"/{n}")
    eventually(lambda: len(begun) == len(clients) + 1, what="the fetches")
    full.set()
    assert question.response().body == b"body"
    gate.set()
    assert all(c.response().body == b"x" * 500000 for c in clients)
