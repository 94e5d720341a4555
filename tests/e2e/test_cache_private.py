# SPDX-License-Identifier: Apache-2.0
"""
Many users at once, pages of all kinds of privacy, two workers: nobody ever sees what was made for another.

The origin writes into each body for whom it is: everybody, those of one language, or one user.  What it says about
keeping it changes from answer to answer, so that fetches which others wait for turn out to be private.
"""
import random
import re
import threading
import time

from support.client import Client, get
from support.load import FULL
from support.pages import Pages, ask, page
from support.wait import volume
from support.wire import Closed

PATHS = 12
SECONDS = 20 if FULL else 4
LANGUAGES = ["de", "en", "-"]

# For whom it is, what the origin says of it: in agreement with each other, as an honest origin's are.
KINDS = [
    ("all", [("Cache-Control", "max-age=60")]),
    ("all", [("Cache-Control", "max-age=0, stale-while-revalidate=60")]),
    ("all", [("Cache-Control", "public, no-cache")]),
    ("all", [("Cache-Control", "s-maxage=1")]),
    ("language", [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")]),
    ("language", [("Cache-Control", "max-age=0"), ("Vary", "X-Other, Accept-Language")]),
    ("user", [("Cache-Control", "private, max-age=60")]),
    ("user", [("Cache-Control", "no-store")]),
    ("user", [("Cache-Control", "max-age=60"), ("Vary", "Cookie, Authorization")]),
    ("user", [("Cache-Control", "public, max-age=60"), ("Vary", "*")]),
    ("user", [("Cache-Control", "max-age=60, private=\"set-cookie\""), ("Vary", "Authorization, Cookie")]),
]


class Origin:
    """Each answer says who asked, as far as it was made for him, and which it is."""

    def __init__(self, stage):
        self.dice = random.Random(11)
        self.turn = 0
        self.origin = stage.origin(self.script)

    def script(self, conn):
        while True:
            request = conn.read_request()
            self.turn += 1
            whom, fields = self.kind_of(request)
            who = re.search("user=(\\w+)", (request.get("cookie") or "") + (request.get("authorization") or ""))
            language = request.get("accept-language") or "-"
            made_for = {"all": "all", "language": language, "user": who[1] if who else "nobody"}[whom]
            if self.dice.random() < 0.3:
                time.sleep(self.dice.random() * 0.02)
            body = f"{whom} {made_for} {request.target} {self.turn} ".encode() * self.dice.choice([1, 50, 5000])
            fields = fields + [("ETag", f'"{self.turn}"')]
            if whom == "user":
                fields.append(("Set-Cookie", f"seen={made_for}"))
            if request.get("if-none-match", '"0"') != '"0"' and whom == "all" and self.dice.random() < 0.5:
                conn.respond(304, [("ETag", request.get("if-none-match")), *fields[:-1]])
            elif self.dice.random() < 0.05:
                conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(body)
                          + body[:len(body) // 2])
                return
            else:
                conn.respond(200, fields, body)

    def kind_of(self, request):
        """Of an honest origin: who has credentials gets his own now and then, and nothing kept for all that is his."""
        who = request.get("cookie") or request.get("authorization")
        return self.dice.choice(KINDS if who else [k for k in KINDS if k[0] != "user"])


class User(threading.Thread):
    """One with a name, or none, who reads what he is given."""

    def __init__(self, proxy, number, end):
        super().__init__(daemon=True)
        self.proxy, self.end, self.dice = proxy, end, random.Random(number)
        self.name = f"u{number}" if number % 4 else None
        self.wrong, self.seen, self.own, self.hits = [], 0, 0, 0

    def run(self):
        while time.monotonic() < self.end:
            try:
                with Client(self.proxy.address, timeout=20) as client:
                    for _ in range(30):
                        self.step(client)
            except (Closed, ConnectionError):
                pass

    def fields(self, language):
        fields = [] if language == "-" else [("Accept-Language", language)]
        if self.name:
            fields.append(self.dice.choice([("Cookie", f"user={self.name}"), ("Authorization", f"user={self.name}")]))
        if self.dice.random() < 0.1:
            fields.append(("Cache-Control", self.dice.choice(["no-cache", "max-stale", "max-age=0", "no-store"])))
        if self.dice.random() < 0.1:
            fields.append(("If-None-Match", '"0"'))
        return fields

    def step(self, client):
        path, language, chance = f"/{self.dice.randrange(PATHS)}", self.dice.choice(LANGUAGES), self.dice.random()
        if chance < 0.02:
            get(self.proxy.address, path, method=self.dice.choice(["PURGE", "POST"]))
        elif chance < 0.05:
            client.request("GET", path, self.fields(language))
            raise Closed("enough")
        else:
            self.look(client.get(path, self.fields(language)), path, language)

    def look(self, answer, path, language):
        if answer.status != 200:
            if answer.status not in (502, 503, 504):
                self.wrong.append((path, answer.start))
            return
        whom, made_for, target, _ = answer.body.split(b" ", 3)
        mine = {b"all": "all", b"language": language, b"user": self.name or "nobody"}[whom]
        cookie = answer.get("set-cookie")
        self.seen += 1
        self.own += whom == b"user"
        self.hits += "; hit" in (answer.get("cache-status") or "")
        if made_for.decode() != mine or target.decode() != path or answer.body.count(b" %s " % made_for) < 1 \
                or set(re.findall(rb"user (\w+) ", answer.body)) - {mine.encode()} \
                or (cookie and cookie != f"seen={self.name or 'nobody'}"):
            self.wrong.append((path, language, self.name, answer.start, answer.fields, answer.body[:60]))


def test_nobody_sees_what_was_made_for_another(stage):
    origin = Origin(stage)
    proxy = stage.proxy(origin.origin, use=[{"cache": {"store": "small", "purge": ["127.0.0.1"], "pass": "50ms"}}],
                        stores={"small": {"memory": "8MiB"}}, log=False)
    users = [User(proxy, n, time.monotonic() + SECONDS) for n in range(volume(24, 12))]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
        assert not user.is_alive() and not user.wrong, user.wrong[:3]
    assert sum(u.own for u in users) > 20 and sum(u.hits for u in users) > 20 and sum(u.seen for u in users) > 200
