# SPDX-License-Identifier: Apache-2.0
"""Large responses in pieces (`slice`), and ranges of what is not there (`far`)."""
import os
import re
import threading

import pytest

from support.client import Client, get
from support.load import FULL
from support.maitred import command, site
from support.origin import serve_forever
from support.pages import Pages, ask, http_date, page
from support.wait import eventually, seconds, volume
from support.wire import Closed, encode

KIB = 1024
PIECE = 64 * KIB
MINUTE = ("Cache-Control", "max-age=60")
SLICED = {"slice": "64KiB", "purge": ["127.0.0.1"]}


class Versions:
    """An origin with one file that has ranges, as nginx would serve it, and changes when told."""

    def __init__(self, stage, size=5 * PIECE + 100, fields=(MINUTE,), tag='"v1"', more=()):
        self.body, self.tag, self.fields, self.more = os.urandom(size), tag, list(fields), list(more)
        self.ranges, self.before = True, None
        self.asked = []  # the Range of each request, None for the whole
        self.sent = 0
        self.origin = stage.origin(serve_forever(self.answer))

    def change(self, tag, size=None):
        self.body, self.tag = os.urandom(size or len(self.body)), tag

    def range_of(self, request):
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.get("range") or "")
        if not found or not self.ranges or (request.get("if-range") or self.tag) != self.tag:
            return None
        if not found[1]:
            return max(len(self.body) - int(found[2]), 0), len(self.body)
        return int(found[1]), min(int(found[2] or len(self.body)) + 1, len(self.body))

    def answer(self, conn, request):
        self.asked.append(request.get("range"))
        if self.before and self.before(conn, request, len(self.asked)):
            return
        fields = [*self.fields, *self.more, ("Accept-Ranges", "bytes")]
        if self.tag:
            fields.append(("ETag", self.tag))
        if self.tag and request.get("if-none-match") == self.tag:
            conn.respond(304, fields)
            return
        part = self.range_of(request)
        if request.method == "HEAD":
            conn.respond(200, [*fields, ("Content-Length", str(len(self.body)))])
        elif part is None:
            self.sent += len(self.body)
            conn.respond(200, fields, self.body)
        elif part[0] >= len(self.body):
            conn.respond(416, [*fields, ("Content-Range", f"bytes */{len(self.body)}")])
        else:
            body = self.body[part[0]:part[1]]
            self.sent += len(body)
            conn.respond(206, [*fields, ("Content-Range", f"bytes {part[0]}-{part[1] - 1}/{len(self.body)}")], body)


def sliced(stage, origin, more=None, **options):
    return stage.proxy(origin, use=[{"cache": {**SLICED, **(more or {})}}], **options)


def numbers(file):
    """Which pieces were asked for, as numbers."""
    return [int(r[len("bytes="):].split("-")[0]) // PIECE for r in file.asked if r]


def is_kept(answer):
    """Nobody was asked for it again; what it is part of may still be arriving."""
    return answer.cache["hit"] or answer.cache["collapsed"]


def bytes_of(first, last=""):
    return ("Range", f"bytes={first}-{last}")


# ------------------------------------------------------------------ what is fetched

def test_the_whole_out_of_pieces(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    answer = ask(proxy)
    assert answer.status == 200 and answer.body == file.body and answer.get("etag") == '"v1"'
    assert answer.get("content-length") == str(len(file.body)) and not answer.get("content-range")
    assert numbers(file) == [0, 1, 2, 3, 4, 5] and answer.cache["stored"]
    again = ask(proxy)
    assert again.body == file.body and again.cache["hit"] and len(file.asked) == 6
    assert file.asked[-1] == f"bytes={5 * PIECE}-{5 * PIECE + 99}"


@pytest.mark.parametrize("wanted", [(0, 9), (PIECE - 1, PIECE), (3 * PIECE + 5, 3 * PIECE + 9),
                                    (2 * PIECE, 4 * PIECE - 1), (5 * PIECE + 99, ""), ("", 50)])
def test_only_what_a_range_needs(stage, wanted):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    first, last = wanted
    expected = file.body[-last:] if first == "" else file.body[first:] if last == "" else file.body[first:last + 1]
    for _ in range(2):
        answer = ask(proxy, "/", bytes_of(first, last))
        assert answer.status == 206 and answer.body == expected
        start = len(file.body) - 50 if first == "" else first
        assert answer.get("content-range") == f"bytes {start}-{start + len(expected) - 1}/{len(file.body)}"
    needed = {0} | set(range(start // PIECE, (start + len(expected) - 1) // PIECE + 1))
    assert set(numbers(file)) == needed and len(file.asked) == len(needed)
    whole = ask(proxy)
    assert whole.body == file.body and sorted(numbers(file)) == [0, 1, 2, 3, 4, 5]


def test_several_ranges(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    answer = ask(proxy, "/", ("Range", f"bytes=0-9,{2 * PIECE - 5}-{2 * PIECE + 4},{5 * PIECE}-"))
    assert answer.status == 206 and "multipart/byteranges" in answer.get("content-type")
    for part in (file.body[:10], file.body[2 * PIECE - 5:2 * PIECE + 5], file.body[5 * PIECE:]):
        assert part in answer.body
    assert sorted(numbers(file)) == [0, 1, 2, 5]


def test_behind_the_end(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    answer = ask(proxy, "/", bytes_of(10 ** 9))
    assert answer.status == 416 and answer.get("content-range") == f"bytes */{len(file.body)}"


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE])
def test_what_fits_in_one_piece_is_a_whole(stage, size):
    file = Versions(stage, size)
    proxy = sliced(stage, file.origin)
    answer = ask(proxy)
    assert answer.status == 200 and answer.body == file.body and not answer.get("content-range")
    assert ask(proxy, "/", bytes_of(0, 0)).body == file.body[:1] and len(file.asked) == 1


def test_nothing_at_all(stage):
    """An empty file has no range: 416, and the whole is asked for then."""
    file = Versions(stage)
    file.body = b""
    proxy = sliced(stage, file.origin)
    assert ask(proxy).status == 200 and file.asked == [f"bytes=0-{PIECE - 1}", None]
    assert ask(proxy).cache["hit"]


def test_an_origin_without_ranges(stage):
    file = Versions(stage)
    file.ranges = False
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body and len(file.asked) == 1
    part = ask(proxy, "/", bytes_of(PIECE, PIECE + 9))
    assert part.body == file.body[PIECE:PIECE + 10] and part.cache["hit"] and len(file.asked) == 1


@pytest.mark.parametrize("tag", ['W/"v1"', None])
def test_without_a_strong_validator_it_stays_whole(stage, tag):
    file = Versions(stage, tag=tag)
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body and file.asked == [f"bytes=0-{PIECE - 1}", None]
    assert ask(proxy).cache["hit"] and len(file.asked) == 2


def test_a_date_that_is_strong_enough(stage):
    file = Versions(stage, tag=None, more=[("Last-Modified", http_date(-3600)), ("Date", http_date())])
    file.range_of_plain, file.range_of = file.range_of, lambda r: part_by_date(file, r)
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body and numbers(file) == [0, 1, 2, 3, 4, 5]


def part_by_date(file, request):
    date = request.get("if-range")
    assert date in (None, dict(file.more)["Last-Modified"])
    request.fields = [f for f in request.fields if f[0].lower() != "if-range"]
    return file.range_of_plain(request)


@pytest.mark.parametrize("said", ["private", "no-store"])
def test_what_is_not_to_be_kept(stage, said):
    """The client gets what it asked for, whole or in part, and from then on without detours."""
    file = Versions(stage, fields=[("Cache-Control", said)])
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    assert file.asked == [f"bytes=0-{PIECE - 1}", None]
    answer = ask(proxy, "/", bytes_of(PIECE, PIECE + 9))
    assert answer.status == 206 and answer.body == file.body[PIECE:PIECE + 10] and len(file.asked) == 3


def test_conditions_and_head(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    answer = ask(proxy, "/", ("If-None-Match", '"v1"'))
    assert answer.status == 304 and numbers(file) == [0]
    head = ask(proxy, method="HEAD")
    assert head.status == 200 and head.get("content-length") == str(len(file.body)) and is_kept(head)
    assert ask(proxy, "/", ("If-Match", '"v2"')).status == 412
    assert ask(proxy, "/", bytes_of(5), ("If-Range", '"v0"')).body == file.body


def test_each_variant_has_its_own_pieces(stage):
    file = Versions(stage, more=[("Vary", "X-Kind")])
    bodies = {"a": os.urandom(3 * PIECE), "b": os.urandom(3 * PIECE)}

    def choose(conn, request, number):
        kind = request.get("x-kind")
        file.body, file.tag = bodies[kind], f'"{kind}"'

    file.before = choose
    proxy = sliced(stage, file.origin)
    for _ in range(2):
        for kind, body in bodies.items():
            assert ask(proxy, "/", ("X-Kind", kind)).body == body
    assert len(file.asked) == 6


# ------------------------------------------------------------------ one fetch for all

def test_pieces_are_shared(stage):
    """A crowd, on two workers: each piece is fetched once."""
    n = 1000 if FULL else volume(100)
    gate = threading.Event()
    file = Versions(stage, 3 * PIECE)
    file.before = lambda *_: gate.wait(seconds(15)) and None
    proxy = sliced(stage, file.origin)
    clients = [stage.use(Client(proxy.address, timeout=20)) for _ in range(n)]
    for client in clients:
        client.request("GET", "/")
    gate.set()
    assert all(c.response().body == file.body for c in clients) and sorted(numbers(file)) == [0, 1, 2]


def test_no_further_than_somebody_reads(stage):
    """A client that does not read keeps us from fetching what it may never want."""
    file = Versions(stage, 64 << 20)
    proxy = sliced(stage, file.origin, {"slice": "1MiB"})
    client = stage.use(Client(proxy.address))
    client.request("GET", "/")
    client.read_until(b"\r\n\r\n")
    eventually(lambda: len(file.asked) >= 2)
    client.sock.close()
    assert len(file.asked) < 40 and file.sent < 40 << 20


def test_the_first_client_leaves_amid_a_piece(stage):
    """Who shares the piece gets it all the same, and it is kept."""
    file = Versions(stage, 3 * PIECE)
    gate, half = threading.Event(), threading.Event()

    def hold(conn, request, number):
        if not request.get("range", "").startswith(f"bytes={PIECE}-"):
            return False
        body = file.body[PIECE:2 * PIECE]
        conn.send(encode("HTTP/1.1 206 OK", [MINUTE, ("ETag", '"v1"'), ("Content-Length", str(PIECE)),
                                            ("Content-Range", f"bytes {PIECE}-{2 * PIECE - 1}/{3 * PIECE}")], body[:100]))
        half.set()
        gate.wait(seconds(10))
        conn.send(body[100:])
        return True

    file.before = hold
    proxy = sliced(stage, file.origin)
    first = Client(proxy.address)
    first.request("GET", "/")
    assert half.wait(seconds(10))
    other = stage.use(Client(proxy.address))
    other.request("GET", "/", [bytes_of(PIECE, 3 * PIECE)])
    other.read_until(b"\r\n\r\n")
    first.sock.close()
    gate.set()
    assert other.read_exact(2 * PIECE) == file.body[PIECE:]
    assert ask(proxy).body == file.body and sorted(numbers(file)) == [0, 1, 2]


# ------------------------------------------------------------------ versions

def test_never_bytes_of_two_versions(stage):
    """It changes while a client reads: that one is cut off, the next one gets the new version."""
    file = Versions(stage)
    old = file.body

    def change(conn, request, number):
        if number == 3:
            file.change('"v2"')

    file.before = change
    proxy = sliced(stage, file.origin)
    client = stage.use(Client(proxy.address))
    client.request("GET", "/")
    with pytest.raises((Closed, ConnectionResetError)):
        body = client.response().body
        assert body == old, "a mixture"
    assert ask(proxy).body == file.body
    assert ask(proxy).cache["hit"]


def test_a_range_of_what_has_changed_begins_anew(stage):
    """Nothing has been sent yet: the client gets the new version, as if nothing had been kept."""
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    assert ask(proxy, "/", bytes_of(0, 9)).body == file.body[:10]
    file.change('"v2"', 4 * PIECE + 7)
    answer = ask(proxy, "/", bytes_of(3 * PIECE, 3 * PIECE + 9))
    assert answer.status == 206 and answer.body == file.body[3 * PIECE:3 * PIECE + 10]
    assert answer.get("etag") == '"v2"' and answer.get("content-range").endswith(f"/{len(file.body)}")
    assert ask(proxy).body == file.body


def test_it_shrinks_to_one_piece(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    ask(proxy, "/", bytes_of(0, 9))
    file.change('"v2"', 100)
    answer = ask(proxy, "/", bytes_of(3 * PIECE, 3 * PIECE + 9))
    assert answer.status == 416 and answer.get("content-range") == "bytes */100"
    assert ask(proxy).body == file.body


def test_stale_pieces_are_made_fresh_by_one_question(stage):
    file = Versions(stage, fields=[("Cache-Control", "max-age=60, no-cache")])
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    before = len(file.asked)
    answer = ask(proxy)
    assert answer.body == file.body and len(file.asked) == before + 1 and answer.cache["fwd-status"] == "304"
    old = file.body
    file.change('"v2"')
    answer = ask(proxy)
    assert answer.body == file.body != old and len(file.asked) == before + 1 + 6


def test_it_grows_out_of_one_piece(stage):
    file = Versions(stage, 100, fields=[("Cache-Control", "no-cache")])
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    file.change('"v2"', 3 * PIECE)
    assert ask(proxy).body == file.body and numbers(file) == [0, 0, 1, 2]


def test_served_stale_while_a_new_one_is_fetched(stage):
    file = Versions(stage, fields=[("Cache-Control", "max-age=0, stale-while-revalidate=60")])
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    old = file.body
    file.change('"v2"')
    assert ask(proxy).body == old
    eventually(lambda: ask(proxy, "/", bytes_of(0, 9)).body == file.body[:10], what="the new version")
    assert ask(proxy).body == file.body


@pytest.mark.parametrize("purge", [(), (("Cache-Purge", "prefix"),), (("Cache-Tag", "film"),), (("Cache-Purge", "all"),)])
def test_a_purge_takes_all_pieces(stage, purge):
    """Even when the origin still calls it by the same name."""
    file = Versions(stage, more=[("Cache-Tag", "film")])
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    file.body = os.urandom(len(file.body))
    assert ask(proxy, "/", *purge, method="PURGE").status == 200
    assert ask(proxy).body == file.body and len(file.asked) == 12


def test_a_soft_purge_asks_about_them(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    ask(proxy)
    assert ask(proxy, "/", ("Cache-Purge", "soft"), method="PURGE").status == 200
    assert ask(proxy).body == file.body and len(file.asked) == 7


# ------------------------------------------------------------------ trouble

def test_a_piece_that_breaks_off_is_fetched_again(stage):
    file = Versions(stage, 3 * PIECE)

    def cut(conn, request, number):
        if number != 2:
            return False
        conn.send(encode("HTTP/1.1 206 OK", [MINUTE, ("ETag", '"v1"'), ("Content-Length", str(PIECE)),
                                            ("Content-Range", f"bytes {PIECE}-{2 * PIECE - 1}/{3 * PIECE}")],
                         file.body[PIECE:PIECE + 100]))
        conn.sock.shutdown(2)
        return True

    file.before = cut
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body
    assert ask(proxy).body == file.body


def test_errors_before_anything_was_sent(stage):
    file = Versions(stage)
    proxy = sliced(stage, file.origin)
    assert ask(proxy, "/", bytes_of(0, 9)).status == 206
    file.before = lambda conn, request, number: conn.respond(500, body=b"no") or True
    assert ask(proxy, "/", bytes_of(3 * PIECE, 3 * PIECE + 9)).status >= 500
    file.before = None
    assert ask(proxy).body == file.body


def test_a_liar_about_the_range(stage):
    """206 of something else than was asked for: nothing of it is used."""
    file = Versions(stage, 3 * PIECE)

    def lie(conn, request, number):
        if number != 1:
            return False
        conn.respond(206, [MINUTE, ("ETag", '"v1"'), ("Content-Range", f"bytes 5-104/{3 * PIECE}")], b"x" * 100)
        return True

    file.before = lie
    proxy = sliced(stage, file.origin)
    assert ask(proxy).body == file.body and file.asked == [f"bytes=0-{PIECE - 1}", None]


def test_more_pieces_than_memory(stage):
    """They drive each other out, and are fetched again; every byte is the right one."""
    file = Versions(stage, 12 << 20)
    proxy = sliced(stage, file.origin, {"store": "small"}, stores={"small": "2MiB"})
    for _ in range(3):
        assert ask(proxy).body == file.body
    assert ask(proxy, "/", bytes_of(10 << 20, (10 << 20) + 99)).body == file.body[10 << 20:(10 << 20) + 100]


def test_pieces_that_the_store_would_not_keep(stage):
    """Said at once, rather than fetched twice for ever."""
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(site("127.0.0.1:1", use=[{"cache": {"slice": "8MiB"}}], stores={"default": "16MiB"},
                        listener={"address": "127.0.0.1:1"}, log=False))
    told = command("check", "-c", path)
    assert told.returncode != 0 and "4194304" in told.stderr


# ------------------------------------------------------------------ ranges without pieces

MIB = 1 << 20


def far_pieces(file):
    return sorted(int(r[len("bytes="):].split("-")[0]) // MIB for r in file.asked if r)


def test_a_range_far_behind_is_fetched_and_kept(stage):
    """What it needs and the head, but not what lies between; all of that is combined with what comes later."""
    file = Versions(stage, 5 * MIB + 100)
    proxy = stage.proxy(file.origin, use=["cache"])
    for _ in range(2):
        answer = ask(proxy, "/", bytes_of(3 * MIB, 3 * MIB + 9))
        assert answer.status == 206 and answer.body == file.body[3 * MIB:3 * MIB + 10]
        assert answer.get("content-range") == f"bytes {3 * MIB}-{3 * MIB + 9}/{len(file.body)}"
    assert is_kept(answer) and far_pieces(file) == [0, 3]
    inside = ask(proxy, "/", bytes_of(4 * MIB - 1000, 4 * MIB - 1))
    assert inside.body == file.body[4 * MIB - 1000:4 * MIB] and is_kept(inside)
    beyond = ask(proxy, "/", bytes_of(3 * MIB + 5, 4 * MIB + 5))
    assert beyond.body == file.body[3 * MIB + 5:4 * MIB + 6] and far_pieces(file) == [0, 3, 4]
    assert ask(proxy, "/", bytes_of("", 50)).body == file.body[-50:]
    whole = ask(proxy)
    assert whole.status == 200 and whole.body == file.body and far_pieces(file) == [0, 1, 2, 3, 4, 5]
    assert ask(proxy).body == file.body and len(file.asked) == 6


def test_far_pieces_of_another_version_do_not_come_together(stage):
    file = Versions(stage, 5 * MIB)
    proxy = stage.proxy(file.origin, use=["cache"])
    ask(proxy, "/", bytes_of(3 * MIB, 3 * MIB + 9))
    file.change('"v2"')
    answer = ask(proxy, "/", bytes_of(4 * MIB, 4 * MIB + 9))
    assert answer.body == file.body[4 * MIB:4 * MIB + 10] and answer.get("etag") == '"v2"'
    assert ask(proxy, "/", bytes_of(3 * MIB, 3 * MIB + 9)).body == file.body[3 * MIB:3 * MIB + 10]


@pytest.mark.parametrize("tag", ['W/"v1"', None])
def test_without_a_strong_validator_it_is_passed_on(stage, tag):
    """Bytes of two answers could be of two versions; the origin is asked in vain only once."""
    file = Versions(stage, 4 * MIB, tag=tag)
    proxy = stage.proxy(file.origin, use=["cache"])
    wanted = bytes_of(3 * MIB, 3 * MIB + 9)
    for i in range(3):
        answer = ask(proxy, "/", wanted)
        assert answer.status == 206 and answer.body == file.body[3 * MIB:3 * MIB + 10]
        assert file.asked == [f"bytes=0-{MIB - 1}"] + [wanted[1]] * (i + 1)
    assert ask(proxy).body == file.body and file.asked[-1] is None
    assert ask(proxy, "/", wanted).cache["hit"]


def test_a_far_range_that_may_not_be_kept(stage):
    file = Versions(stage, 4 * MIB, fields=[("Cache-Control", "private")])
    proxy = stage.proxy(file.origin, use=["cache"])
    wanted = bytes_of(3 * MIB, 3 * MIB + 9)
    for _ in range(3):
        assert ask(proxy, "/", wanted).body == file.body[3 * MIB:3 * MIB + 10]
    assert file.asked == [f"bytes=0-{MIB - 1}"] + [wanted[1]] * 3


def test_a_far_range_of_an_origin_without_ranges(stage):
    file = Versions(stage, 4 * MIB)
    file.ranges = False
    proxy = stage.proxy(file.origin, use=["cache"])
    for _ in range(2):
        answer = ask(proxy, "/", bytes_of(3 * MIB, 3 * MIB + 9))
        assert answer.status == 206 and answer.body == file.body[3 * MIB:3 * MIB + 10]
    assert is_kept(answer) and len(file.asked) == 1


def test_a_part_whose_bytes_are_not_what_it_says(stage):
    """A 206 that lies about its length is of no use to anybody but who asked for it."""
    def lies(conn, request, number):
        conn.respond(206, [MINUTE, ("ETag", '"v1"'), ("Content-Range", f"bytes {3 * MIB}-{3 * MIB + 9}/{4 * MIB}")],
                     b"01234")
        return True

    file = Versions(stage, 4 * MIB)
    file.before = lies
    proxy = stage.proxy(file.origin, use=["cache"])
    for _ in range(2):
        assert ask(proxy, "/", bytes_of(3 * MIB, 3 * MIB + 9)).body == b"01234"
    assert len(file.asked) == 3


def test_many_at_once_far_behind(stage):
    file = Versions(stage, 4 * MIB)
    proxy = stage.proxy(file.origin, use=["cache"])
    clients = [stage.use(Client(proxy.address)) for _ in range(30)]
    for client in clients:
        client.request("GET", "/", [bytes_of(3 * MIB, 3 * MIB + 9)])
    assert all(c.response().body == file.body[3 * MIB:3 * MIB + 10] for c in clients)
    assert far_pieces(file) == [0, 3]


def test_the_end_of_something_large(stage):
    """Its length is known once it is being fetched: the end does not come last then."""
    file = Versions(stage, 4 << 20)
    gate = threading.Event()
    file.before = lambda conn, request, number: slowly(file, conn, gate) if number == 1 else False
    proxy = stage.proxy(file.origin, use=["cache"])
    answer = stage.use(Client(proxy.address))
    answer.request("GET", "/", [("Range", "bytes=-10")])
    assert b" 206 " in answer.read_until(b"\r\n\r\n") and answer.read_exact(10) == file.body[-10:]
    assert file.asked == [None, f"bytes={len(file.body) - 10}-"]
    gate.set()
    assert ask(proxy).body == file.body and len(file.asked) == 2


def test_a_part_of_what_is_too_large_to_be_kept(stage):
    """Nobody who wants ten bytes is sent all of it."""
    file = Versions(stage, 4 << 20)
    proxy = stage.proxy(file.origin, use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "8MiB", "max_object": "1MiB"}})
    answer = ask(proxy, "/", ("Range", "bytes=-10"))
    assert answer.status == 206 and answer.body == file.body[-10:]
    assert file.asked == [None, "bytes=-10"]


def slowly(file, conn, gate):
    conn.send(encode("HTTP/1.1 200 OK", [MINUTE, ("ETag", '"v1"'), ("Content-Length", str(len(file.body)))],
                     file.body[:KIB]))
    gate.wait(seconds(10))
    conn.send(file.body[KIB:])
    return True


def test_a_range_far_ahead_of_a_fetch_is_passed_on(stage):
    file = Versions(stage, 4 << 20)
    gate = threading.Event()
    file.before = lambda conn, request, number: slowly(file, conn, gate) if number == 1 else False
    proxy = stage.proxy(file.origin, use=["cache"])
    first = stage.use(Client(proxy.address))
    first.request("GET", "/")
    first.read_until(b"\r\n\r\n")
    assert ask(proxy, "/", bytes_of(3 << 20, (3 << 20) + 9)).body == file.body[3 << 20:(3 << 20) + 10]
    near = stage.use(Client(proxy.address))
    near.request("GET", "/", [bytes_of(2 * KIB, 2 * KIB + 9)])
    near.read_until(b"\r\n\r\n")
    gate.set()
    assert near.read_exact(10) == file.body[2 * KIB:2 * KIB + 10]
    assert first.read_exact(len(file.body)) == file.body and len(file.asked) == 2
