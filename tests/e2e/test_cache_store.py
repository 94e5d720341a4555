# SPDX-License-Identifier: Apache-2.0
"""What a cache keeps for others, and what it must not (RFC 9111 3)."""
import pytest

from support.pages import Pages, ask, http_date, page
from support.wire import Closed

MINUTE = ("Cache-Control", "max-age=60")


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=["cache"])


def twice(proxy, path, *fields):
    """The answer to the first request for a page that is not kept yet, and to the second."""
    return ask(proxy, path, *fields), ask(proxy, path)


def test_a_fresh_response_is_served_again(proxy, pages):
    pages["/a"] = page("hello", MINUTE, ("Content-Type", "text/plain"), ("X-Mine", "1"), ("X-Mine", "2"))
    first, second = twice(proxy, "/a")
    assert first.body == second.body == b"hello" and pages.asked("/a") == 1
    assert second.all("x-mine") == ["1", "2"] and second.get("content-type") == "text/plain"
    assert first.cache["fwd"] == "uri-miss" and first.cache["stored"] and first.cache["fwd-status"] == "200"
    assert second.cache["hit"] and 58 <= int(second.cache["ttl"]) <= 60
    assert second.get("content-length") == "5" and second.get("age") == "0"


@pytest.mark.parametrize("name, fields, status", [
    ("expires", [("Expires", http_date(60)), ("Date", http_date())], 200),
    ("expires-case", [("Expires", http_date(60).upper()), ("Date", http_date())], 200),
    ("s-maxage", [("Cache-Control", "max-age=0, s-maxage=60")], 200),
    ("modified", [("Last-Modified", http_date(-86400)), ("Date", http_date())], 200),
    ("no-store-for-others", [("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=60")], 200),
    ("must-understand", [("Cache-Control", "max-age=60, no-store, must-understand")], 200),
    ("cookie-for-all", [("Cache-Control", "public, max-age=60"), ("Set-Cookie", "lang=en")], 200),
    ("redirect", [MINUTE, ("Location", "/x")], 302),
    ("missing", [MINUTE], 404),
    ("unknown", [MINUTE], 599),
    ("empty", [MINUTE], 204),
])
def test_what_is_kept(proxy, pages, name, fields, status):
    pages[f"/yes/{name}"] = page("" if status == 204 else "hello", *fields, status=status)
    first, second = twice(proxy, f"/yes/{name}")
    assert first.status == second.status == status
    assert second.cache["hit"] and second.body == first.body and pages.asked(f"/yes/{name}") == 1


@pytest.mark.parametrize("why, fields", [
    ("no-store", [("Cache-Control", "max-age=60, No-Store")]),
    ("no-store", [MINUTE, ("CDN-Cache-Control", "no-store")]),
    ("private", [("Cache-Control", "max-age=60"), ("Cache-Control", "private")]),
    ("set-cookie", [MINUTE, ("Set-Cookie", "session=1")]),
    ("vary-star", [MINUTE, ("Vary", "Accept, *")]),
    ("no-lifetime", []),
    ("no-lifetime", [("Cache-Control", "max-age=0")]),
    ("no-lifetime", [("Cache-Control", "max-age='60'")]),
    ("no-lifetime", [("Cache-Control", "max-age=60, max-age=-1")]),
    ("no-lifetime", [("Expires", "0"), ("Date", http_date())]),
])
def test_what_is_not_kept(proxy, pages, why, fields):
    path = f"/no/{why}/{len(pages)}"
    pages[path] = page("hello", *fields)
    first, second = twice(proxy, path)
    assert (first.cache["detail"], second.cache["hit"], pages.asked(path)) == (why, False, 2)
    assert not first.cache["stored"] and second.body == b"hello"


@pytest.mark.parametrize("status, fields, why", [
    (206, [MINUTE, ("Content-Range", "bytes 0-4/10")], "partial"),
    (599, [("Cache-Control", "max-age=60, must-understand")], "status"),
    (403, [("ETag", '"1"')], "status"),
])
def test_statuses_that_are_not_kept(proxy, pages, status, fields, why):
    path = f"/status/{status}/{why}"
    pages[path] = page("hello", *fields, status=status)
    first, second = twice(proxy, path)
    assert (first.status, first.cache["detail"], second.cache["hit"]) == (status, why, False)


def test_authorized_answers_are_for_one(proxy, pages):
    pages["/mine"] = page("mine", MINUTE)
    first, second = twice(proxy, "/mine", ("Authorization", "Basic eDp5"))
    assert not second.cache["hit"] and pages.asked("/mine") == 2
    assert ask(proxy, "/mine").cache["hit"]  # what nobody had to prove who he is for


@pytest.mark.parametrize("directive", ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"])
def test_authorized_answers_may_be_for_all(proxy, pages, directive):
    path = f"/all/{directive.replace(' ', '')}"
    pages[path] = page("all", ("Cache-Control", directive))
    first, second = twice(proxy, path, ("Authorization", "Basic eDp5"))
    assert second.cache["hit"] and pages.asked(path) == 1


def test_a_guess_is_not_enough_for_who_sends_cookies(proxy, pages):
    pages["/guess"] = page("x", ("Last-Modified", http_date(-86400)), ("Date", http_date()))
    first, second = twice(proxy, "/guess", ("Cookie", "session=1"))
    assert first.cache["detail"] == "cookie" and not second.cache["hit"]
    assert ask(proxy, "/guess", ("Cookie", "session=1")).cache["hit"]


def test_fields_that_are_for_one_are_not_kept(proxy, pages):
    pages["/part"] = page("x", ("Cache-Control", 'max-age=60, private="x-user, Set-Cookie", no-cache=x-turn'),
                          ("X-User", "me"), ("Set-Cookie", "a=b"), ("X-Turn", "7"), ("X-All", "yes"))
    first, second = twice(proxy, "/part")
    assert second.cache["hit"] and second.get("x-all") == "yes"
    assert not second.has("x-user") and not second.has("set-cookie") and not second.has("x-turn")
    assert first.get("x-user") == "me" and first.get("set-cookie") == "a=b" and first.get("x-turn") == "7"


def test_the_client_may_ask_that_nothing_be_kept(proxy, pages):
    pages["/quiet"] = page("x", MINUTE)
    first, second = twice(proxy, "/quiet", ("Cache-Control", "no-store"))
    assert not second.cache["hit"] and ask(proxy, "/quiet").cache["hit"]


def test_other_methods_pass(proxy, pages):
    pages["/m"] = page("x", MINUTE)
    assert ask(proxy, "/m", method="POST").cache["fwd"] == "method"
    assert ask(proxy, "/m", method="OPTIONS").cache["fwd"] == "method"
    assert ask(proxy, "/m").cache["fwd"] == "uri-miss"


def test_a_get_with_a_body_passes(proxy, pages):
    pages["/body"] = page("x", MINUTE)
    assert ask(proxy, "/body").cache["stored"]
    assert not ask(proxy, "/body", body=b"q=1").cache["hit"]
    assert pages.last("/body").body == b"q=1"


def test_a_get_with_a_body_of_no_bytes_has_none(proxy, pages):
    pages["/empty-body"] = page("x", MINUTE)
    first, second = twice(proxy, "/empty-body", ("Content-Length", "0"))
    assert first.cache["stored"] and second.cache["hit"]
    assert ask(proxy, "/empty-body", ("Content-Length", "0")).cache["hit"] and pages.asked("/empty-body") == 1


def test_the_query_and_the_host_are_in_the_key(proxy, pages):
    for path in ("/q?a=1", "/q?a=2", "/q", "/q?"):
        pages[path] = page(path, MINUTE)
        assert ask(proxy, path).body == path.encode()
    for path in ("/q?a=1", "/q?a=2", "/q", "/q?"):
        assert ask(proxy, path).cache["hit"] and ask(proxy, path).body == path.encode()
    assert not ask(proxy, "/q", host="other.example").cache["hit"]


def test_a_response_that_breaks_off_is_not_kept(stage):
    def script(conn):
        conn.read_request()
        if len(origin.requests) == 1:
            conn.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf")
        else:
            conn.respond(200, [MINUTE], b"0123456789")

    origin = stage.origin(script)
    proxy = stage.proxy(origin, use=["cache"])
    with pytest.raises((Closed, ConnectionResetError)):
        ask(proxy, "/")
    assert ask(proxy, "/").body == b"0123456789"
    assert ask(proxy, "/").cache["hit"] and len(origin.requests) == 2


def test_configured_lifetimes(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"ttl": {200: "1m", "4xx": "10s"}, "cache_status": True}}])
    pages["/plain"] = page("x")
    pages["/gone"] = page("x", status=410)
    pages["/said"] = page("x", ("Cache-Control", "max-age=0"))
    assert twice(proxy, "/plain")[1].cache["hit"]
    assert 8 <= int(twice(proxy, "/gone")[1].cache["ttl"]) <= 10
    assert not twice(proxy, "/said")[1].cache["hit"]


def test_cookies_and_clients_as_configured(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"share_cookies": True, "ignore_requests": True}}])
    pages["/a"] = page("x", MINUTE, ("Set-Cookie", "a=b"))
    assert twice(proxy, "/a", ("Cache-Control", "no-store"))[1].cache["hit"]
    assert ask(proxy, "/a", ("Cache-Control", "no-cache")).cache["hit"]
    assert ask(proxy, "/b", ("Cache-Control", "only-if-cached")).status == 404


def test_nothing_is_said_where_that_is_wanted(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"cache_status": False}}])
    pages["/a"] = page("x", MINUTE)
    assert [r.cache for r in twice(proxy, "/a")] == [None, None]
    assert pages.asked("/a") == 1
