# SPDX-License-Identifier: Apache-2.0
"""What an attacker sends so that others get something wrong from the cache."""
import threading
import time

import pytest

from support.client import Client
from support.pages import Pages, ask, page

MINUTE = ("Cache-Control", "max-age=60")
PUBLIC = ("Cache-Control", "public, max-age=60")


@pytest.fixture
def pages(stage):
    return Pages(stage)


@pytest.fixture
def proxy(stage, pages):
    return stage.proxy(pages.origin, use=["cache"])


@pytest.mark.parametrize("name, value, status", [
    ("If-Match", '"other"', 412), ("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT", 412),
    ("Range", "bytes=9999-", 416), ("Range", "bytes=0-1", 206), ("Expect", "100-continue", 417),
])
def test_what_is_about_one_request_is_not_kept(pages, proxy, name, value, status):
    """Whose requests are not shared (Authorization) go to the origin as they are."""
    pages["/"] = lambda request, before: page("no", PUBLIC, status=status) if request.get(name) else page("good", PUBLIC)
    ask(proxy, "/", ("Authorization", "me"), (name, value))
    assert ask(proxy, "/").body == b"good"


def test_one_whose_fields_are_too_long_for_a_key_stays_alone(pages, proxy):
    names = "Cookie, Forwarded, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Port, Host"
    pages["/"] = lambda request, before: page(request.get("cookie", "-")[:8], MINUTE, ("Vary", names))
    host = ("Host", ".".join("abcd"[i] * 60 for i in range(4)))
    ask(proxy, "/", host, ("Cookie", "user=one"))
    ask(proxy, "/", host, ("Cookie", "victim=1" + "x" * 15970))
    assert ask(proxy, "/", host, ("Cookie", "user=two")).body == b"user=two"
    assert ask(proxy, "/", host).body == b"-"


@pytest.mark.parametrize("control", ["private, max-age=60", "no-store, max-age=60"])
def test_confirmed_but_for_one_only(pages, proxy, control):
    pages["/"] = lambda request, before: page("", ("ETag", '"1"'), ("Cache-Control", control), status=304) \
        if request.get("if-none-match") else page("old", ("ETag", '"1"'), ("Cache-Control", "max-age=0"))
    ask(proxy, "/")
    assert ask(proxy, "/", ("Cookie", "user=one")).status == 200
    assert not ask(proxy, "/").cache["hit"]


def test_routes_do_not_share_what_they_fetch(stage, pages):
    """The same URI, but another route: other servers, other fields."""
    pages["/"] = lambda request, before: page(request.get("x-role", "public"), MINUTE)
    admin = {"headers": {"request": {"set": {"X-Role": "admin"}}}}
    proxy = stage.proxy(routes=[{"when": "header('x-key') == 'secret'", "use": ["cache", admin], "to": "app"},
                                {"use": ["cache"], "to": "app"}],
                        upstreams={"app": {"servers": [pages.origin.address]}})
    assert ask(proxy, "/", ("X-Key", "secret")).body == b"admin"
    assert ask(proxy, "/").body == b"public"


@pytest.mark.parametrize("host", ["GOOD.example", "good.example."])
def test_hosts_that_are_the_same_and_are_not_sent_so(pages, proxy, host):
    pages["/"] = lambda request, before: page(f"http://{request.get('host')}/link", MINUTE)
    ask(proxy, "/", ("Host", host))
    assert ask(proxy, "/", ("Host", "good.example")).body == b"http://good.example/link"


@pytest.mark.parametrize("host", ["GOOD.example", "good.example.", "Good.Example:80"])
def test_an_odd_host_changes_nothing_for_others(stage, pages, host):
    """It is served what the host has, and what is fetched for it is its own: no page, no fields of a 304."""
    proxy = stage.proxy(pages.origin, use=["cache"])
    pages["/fresh"] = lambda request, before: page(request.get("host"), MINUTE)
    pages["/stale"] = lambda request, before: page("", ("Cache-Control", "max-age=60"), ("X-Host", request.get("host")),
                                                   status=304) if request.get("if-none-match") \
        else page(request.get("host"), ("Cache-Control", "max-age=0"), ("ETag", '"1"'))
    pages["/behind"] = lambda request, before: page(request.get("host"), ("Cache-Control", "max-age=0, stale-while-revalidate=60"))
    first = ask(proxy, "/fresh", host=host)
    assert first.body == host.encode() and first.cache["detail"] == "unkeyed-field" and not first.cache["stored"]
    for path in ("/fresh", "/stale", "/behind"):
        assert ask(proxy, path, host="good.example").body == b"good.example"
    assert ask(proxy, "/fresh", host=host).cache["hit"]
    assert ask(proxy, "/stale", host=host).body == host.encode()
    assert ask(proxy, "/behind", host=host).body == b"good.example" and pages.asked("/behind") == 1
    confirmed = ask(proxy, "/stale", host="good.example")
    assert confirmed.cache["fwd"] == "stale" and confirmed.get("x-host") == "good.example"


@pytest.mark.parametrize("name", [
    "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-Uri", "X-Forwarded-Ssl", "X-Original-URI", "X-Url-Scheme",
    "Front-End-Https", "X-HTTP-Host-Override", "X-Middleware-Rewrite", "X-Middleware-Prefetch", "X-Invoke-Path",
    "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-For", "X-Real-IP", "Forwarded",
])
def test_fields_by_which_frameworks_answer_something_else(pages, proxy, name):
    pages["/"] = lambda request, before: page("evil" if "evil" in request.get(name, "") else "good", MINUTE)
    ask(proxy, "/", (name, "evil.example"))
    assert ask(proxy, "/").body == b"good"


def test_confirmed_responses_keep_their_tags(stage, pages):
    """A 304 says nothing of tags: those that are kept still count."""
    proxy = stage.proxy(pages.origin, use=[{"cache": {"purge": ["127.0.0.1"]}}])
    fields = ("ETag", '"1"'), ("Cache-Control", "max-age=60")
    pages["/"] = lambda request, before: page("", *fields, status=304) if request.get("if-none-match") \
        else page("old", ("ETag", '"1"'), ("Cache-Control", "max-age=0"), ("Cache-Tag", "news"))
    ask(proxy, "/")
    ask(proxy, "/")
    assert ask(proxy, "/").cache["hit"]
    assert ask(proxy, "/", ("Cache-Tag", "news"), method="PURGE").status == 200
    assert not ask(proxy, "/").cache["hit"]


def test_refreshes_behind_do_not_pile_up(stage, pages):
    """Each stale page that is asked for may be fetched anew behind its answer, but not thousands at a time."""
    held = threading.Event()
    proxy = stage.proxy(pages.origin, use=["cache"], log=False)

    def answer(request, before):
        if before:
            held.wait(20)
        return page("x", ("Cache-Control", "max-age=0, stale-while-revalidate=60"))

    for n in range(400):
        pages[f"/{n}"] = answer
    try:
        with Client(proxy.address) as client:
            assert {client.get(f"/{n % 400}").status for n in range(800)} == {200}
        time.sleep(0.5)
        assert 0 < len(pages.requests) - 400 <= 2 * 128
    finally:
        held.set()


def test_variants_whose_names_are_gone_do_not_come_back(stage, pages):
    """Between a change of Vary and the next fetch, nothing says that there are variants: a purge takes them still."""
    proxy = stage.proxy(pages.origin, use=[{"cache": {"purge": ["127.0.0.1"]}}])
    vary = ["X-A"]
    pages["/"] = lambda request, before: page(str(before), MINUTE, ("Vary", vary[0]))
    ask(proxy, "/", ("X-A", "1"))
    vary[0] = "X-B"
    ask(proxy, "/", ("X-A", "2"))
    assert ask(proxy, "/", method="PURGE").status == 200
    vary[0] = "X-A"
    ask(proxy, "/", ("X-A", "3"))
    assert not ask(proxy, "/", ("X-A", "1")).cache["hit"]
