# SPDX-License-Identifier: Apache-2.0
"""Asking the origin again, and answering conditions, ranges and HEAD from what is kept (RFC 9111 4.3)."""
import time

import pytest

from support.pages import Pages, ask, http_date, page
from support.wait import eventually

MINUTE = ("Cache-Control", "max-age=60")


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=["cache"])


def confirmed(*fields, kept=()):
    """Stale at first, and confirmed with these fields when asked again."""

    def answer(request, before):
        if before and (request.has("if-none-match") or request.has("if-modified-since")):
            return page("", *fields, status=304)
        return page("kept", ("Cache-Control", "max-age=10"), ("Age", "20"), *kept)

    return answer


def test_confirmed_by_etag(proxy, pages):
    pages["/etag"] = confirmed(MINUTE, ("X-New", "2"), ("Content-Type", "b/c"), kept=[
        ("ETag", 'W/"1"'), ("X-New", "1"), ("X-New", "1b"), ("X-Old", "1"), ("Content-Type", "text/plain")])
    ask(proxy, "/etag")
    second, third = ask(proxy, "/etag"), ask(proxy, "/etag")
    assert pages.last("/etag").get("if-none-match") == 'W/"1"'
    assert second.cache["fwd"] == "stale" and second.cache["fwd-status"] == "304"
    for answer in (second, third):
        assert (answer.status, answer.body, answer.all("x-new")) == (200, b"kept", ["2"])
        assert answer.get("content-type") == "text/plain" and answer.get("x-old") == "1"
    assert third.cache["hit"] and third.get("age") == "0" and pages.asked("/etag") == 2


def test_confirmed_by_date(proxy, pages):
    then = http_date(-1000)
    pages["/modified"] = confirmed(MINUTE, kept=[("Last-Modified", then)])
    ask(proxy, "/modified")
    assert ask(proxy, "/modified").body == b"kept"
    assert pages.last("/modified").get("if-modified-since") == then
    assert ask(proxy, "/modified").cache["hit"]


def test_replaced(proxy, pages):
    pages["/new"] = lambda request, before: page(
        f"turn {before}", ("Cache-Control", "max-age=60"), ("Age", "0" if before else "70"),
        ("ETag", f'"{before}"'))
    ask(proxy, "/new")
    assert ask(proxy, "/new").body == b"turn 1"
    third = ask(proxy, "/new")
    assert third.cache["hit"] and third.body == b"turn 1" and third.get("etag") == '"1"'


def test_confirmed_something_else(proxy, pages):
    """A 304 about another thing confirms nothing: the whole is fetched (RFC 9111 4.3.4)."""

    def answer(request, before):
        if request.has("if-none-match"):
            return page("", MINUTE, ("ETag", '"2"'), status=304)
        return page(f"turn {before}", ("Cache-Control", "max-age=10"), ("Age", "20"), ("ETag", '"1"'))

    pages["/else"] = answer
    ask(proxy, "/else")
    assert ask(proxy, "/else").body == b"turn 2"


def test_cookies_of_a_304_reach_only_who_made_us_ask(proxy, pages):
    pages["/cookie"] = confirmed(MINUTE, ("Set-Cookie", "a=b"), kept=[("ETag", '"1"')])
    ask(proxy, "/cookie")
    assert ask(proxy, "/cookie").get("set-cookie") == "a=b"
    third = ask(proxy, "/cookie")
    assert third.cache["hit"] and not third.has("set-cookie")


def test_conditions_of_clients_are_answered_here(proxy, pages):
    then = http_date(-1000)
    pages["/cond"] = page("kept", MINUTE, ("ETag", '"1"'), ("Last-Modified", then), ("X-Mine", "1"))
    first = ask(proxy, "/cond", ("If-None-Match", '"0"'))
    assert first.status == 200 and not pages.last("/cond").has("if-none-match")
    for condition in [("If-None-Match", '"0", W/"1"'), ("If-None-Match", "*"), ("If-Modified-Since", then)]:
        answer = ask(proxy, "/cond", condition)
        assert (answer.status, answer.body) == (304, b"") and answer.cache["hit"], condition
        assert answer.get("etag") == '"1"' and answer.has("date") and answer.get("cache-control") == "max-age=60"
    for condition in [("If-None-Match", '"2"'), ("If-Modified-Since", http_date(-2000))]:
        assert ask(proxy, "/cond", condition).status == 200
    failed = ask(proxy, "/cond", ("If-Match", '"2"'))
    assert failed.status == 412 and failed.cache["hit"] and failed.all("cache-status") == [failed.get("cache-status")]
    assert pages.asked("/cond") == 1


def test_a_condition_at_a_miss_may_be_met_at_once(proxy, pages):
    pages["/met"] = page("kept", MINUTE, ("ETag", '"1"'))
    assert ask(proxy, "/met", ("If-None-Match", '"1"')).status == 304
    second = eventually(lambda: (found := ask(proxy, "/met")).cache["hit"] and found)  # it is kept meanwhile
    assert second.body == b"kept" and pages.asked("/met") == 1


@pytest.mark.parametrize("asked, status, content_range, body", [
    ("bytes=0-3", 206, "bytes 0-3/10", b"0123"), ("bytes=4-", 206, "bytes 4-9/10", b"456789"),
    ("bytes=-2", 206, "bytes 8-9/10", b"89"), ("bytes=10-", 416, "bytes */10", None),
    ("pages=1", 200, None, b"0123456789"),
])
def test_ranges_are_cut_from_the_whole(proxy, pages, asked, status, content_range, body):
    path = f"/range/{asked}"
    pages[path] = page("0123456789", MINUTE, ("ETag", '"1"'))
    for turn in range(2):
        answer = ask(proxy, path, ("Range", asked))
        assert (answer.status, answer.get("content-range")) == (status, content_range), turn
        assert answer.cache["hit"] == bool(turn) and answer.cache["fwd"] == (None if turn else "uri-miss")
        assert body is None or answer.body == body
    assert pages.asked(path) == 1 and not pages.last(path).has("range")


def test_if_range(proxy, pages):
    pages["/if-range"] = page("0123456789", MINUTE, ("ETag", '"1"'))
    ask(proxy, "/if-range")
    assert ask(proxy, "/if-range", ("Range", "bytes=0-1"), ("If-Range", '"1"')).body == b"01"
    assert ask(proxy, "/if-range", ("Range", "bytes=0-1"), ("If-Range", '"2"')).body == b"0123456789"


def test_head_is_answered_from_get(proxy, pages):
    pages["/head"] = page("0123456789", MINUTE, ("X-Mine", "1"))
    ask(proxy, "/head")
    answer = ask(proxy, "/head", method="HEAD")
    assert (answer.status, answer.get("content-length"), answer.get("x-mine")) == (200, "10", "1")
    assert answer.cache["hit"] and pages.asked("/head") == 1


def test_head_alone_is_not_kept(proxy, pages):
    pages["/head-only"] = page("0123456789", MINUTE)
    ask(proxy, "/head-only", method="HEAD")
    answer = ask(proxy, "/head-only")
    assert not answer.cache["hit"] and answer.body == b"0123456789"


def test_head_that_disagrees_makes_stale(proxy, pages):
    pages["/head-new"] = page("0123456789", ("Cache-Control", "max-age=60"), ("ETag", '"1"'))
    ask(proxy, "/head-new")
    pages["/head-new"] = page("01234567890", ("Cache-Control", "max-age=60"), ("ETag", '"2"'))
    ask(proxy, "/head-new", ("Cache-Control", "no-cache"), method="HEAD")
    answer = ask(proxy, "/head-new")
    assert answer.cache["fwd"] == "stale" and answer.get("etag") == '"2"'


def test_time_passes_and_it_is_asked(proxy, pages):
    pages["/soon"] = page("x", ("Cache-Control", "max-age=1"), ("ETag", '"1"'))
    ask(proxy, "/soon")
    assert ask(proxy, "/soon").cache["hit"]
    time.sleep(1.1)
    assert ask(proxy, "/soon").cache["fwd"] == "stale" and pages.asked("/soon") == 2
