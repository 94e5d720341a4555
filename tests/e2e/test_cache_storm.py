# SPDX-License-Identifier: Apache-2.0
"""
Everything at once on a store that is too small: fills, evictions, refreshes, purges, changes, fetches that break off,
clients that leave.  Whatever is served must be a whole body that the origin has sent for that path and that client.
"""
import random
import threading
import time
import zlib

from support.client import Client, get
from support.load import FULL
from support.pages import Pages, page
from support.wait import volume
from support.wire import Closed, encode

PATHS = 40
SECONDS = 30 if FULL else 4
CONTROLS = ["max-age=60", "max-age=60", "max-age=0", "max-age=0, stale-while-revalidate=60", "private", "no-cache"]


def body_of(path, who, turn):
    """Says what it is, as often as its length allows, and ends with a sum over itself."""
    length = 1 << zlib.crc32(path.encode()) % 19
    text = f"{path} {who} {turn} ".encode()
    text = (text * (length // len(text) + 1))
    return text + b"%08x" % zlib.crc32(text)


def is_whole(body, path, who):
    text, total = body[:-8], body[-8:]
    return text.startswith(f"{path} {who} ".encode()) and total == b"%08x" % zlib.crc32(text)


class Origin:
    """Answers by chance, the same chances each time."""

    def __init__(self, stage):
        self.dice = random.Random(4)
        self.turn = 0
        self.origin = stage.origin(self.script)

    def script(self, conn):
        while True:
            request = conn.read_request()
            self.turn += 1
            if not self.answer(conn, request, self.turn, self.dice.random()):
                return

    def answer(self, conn, request, turn, chance):
        who = request.get("x-who") or "-"
        body = body_of(request.target, who, turn)
        control = self.dice.choice(CONTROLS)
        fields = [("Vary", "X-Who"), ("ETag", f'"{turn}"'), ("Cache-Tag", f"t{turn % 5}"), ("Cache-Control", control)]
        if chance < 0.05:
            conn.send(encode("HTTP/1.1 200 OK", fields + [("Content-Length", str(len(body)))], body[:len(body) // 2]))
            return False
        if chance < 0.10:
            conn.respond(503, [], b"busy")
            return True
        if chance < 0.3:
            conn.send(encode("HTTP/1.1 200 OK", fields + [("Transfer-Encoding", "chunked")], b""))
            for at in range(0, len(body), 50000):
                conn.send(b"%x\r\n%s\r\n" % (len(body[at:at + 50000]), body[at:at + 50000]))
            conn.send(b"0\r\n\r\n")
            return True
        conn.respond(200, fields, body)
        return True


class Visitor(threading.Thread):
    """Asks, looks, and now and then leaves, purges or posts."""

    def __init__(self, proxy, seed, end):
        super().__init__(daemon=True)
        self.proxy, self.dice, self.end = proxy, random.Random(seed), end
        self.whole = self.broken = self.hits = 0
        self.wrong = []

    def run(self):
        while time.monotonic() < self.end:
            try:
                with Client(self.proxy.address, timeout=20) as client:
                    for _ in range(20):
                        self.step(client)
            except (Closed, ConnectionError):
                self.broken += 1

    def step(self, client):
        path, who, chance = f"/{self.dice.randrange(PATHS)}", self.dice.choice("ab-"), self.dice.random()
        fields = [] if who == "-" else [("X-Who", who)]
        if chance < 0.02:
            get(self.proxy.address, path, method="POST")
        elif chance < 0.04:
            get(self.proxy.address, path, [("Cache-Tag", f"t{self.dice.randrange(5)}")], method="PURGE")
        elif chance < 0.07:
            client.request("GET", path, fields)
            raise Closed("enough")
        else:
            self.look(client.get(path, fields), path, who)

    def look(self, answer, path, who):
        if answer.status == 200 and is_whole(answer.body, path, who):
            self.whole += 1
            self.hits += "; hit" in (answer.get("cache-status") or "")
        elif answer.status not in (502, 503):
            self.wrong.append((path, who, answer.start, len(answer.body), answer.body[:30], answer.body[-30:],
                               answer.fields))


def test_whatever_is_served_is_whole(stage):
    origin = Origin(stage)
    proxy = stage.proxy(origin.origin, use=[{"cache": {"store": "small", "purge": ["127.0.0.1"]}}],
                        stores={"small": {"memory": "4MiB"}}, log=False)
    end = time.monotonic() + SECONDS
    visitors = [Visitor(proxy, seed, end) for seed in range(volume(8, 4))]
    for visitor in visitors:
        visitor.start()
    for _ in range(3):
        time.sleep(SECONDS / 4)
        proxy.reload()
    for visitor in visitors:
        visitor.join(60)
        assert not visitor.is_alive() and not visitor.wrong, visitor.wrong[:3]
    assert sum(v.whole for v in visitors) > 100 and sum(v.hits for v in visitors) > 20


def test_it_still_works_afterwards(stage):
    """The same store, after a crowd that all left in the middle, serves as ever."""
    pages = Pages(stage)
    body = "x" * (2 << 20)
    for n in range(20):
        pages[f"/{n}"] = page(body, ("Cache-Control", "max-age=60"))
    proxy = stage.proxy(pages.origin, use=[{"cache": {"store": "small"}}], stores={"small": "16MiB"})
    for n in range(20):
        with Client(proxy.address) as client:
            client.request("GET", f"/{n}")
            client.read_exact(1000)
    assert get(proxy.address, "/3").body == body.encode()
    assert "; hit" in get(proxy.address, "/3").get("cache-status")
