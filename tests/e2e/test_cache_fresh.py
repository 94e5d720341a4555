# SPDX-License-Identifier: Apache-2.0
"""How old what is kept is, and what is done with it then (RFC 9111 4.2, 5861).

Nothing waits for minutes: the origin says by Age how old its response already is.
"""
import contextlib
import socket
import time

import pytest

from support.pages import Pages, ask, http_date, page
from support.wait import eventually
from support.wire import Closed


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=["cache"])


def keep(proxy, pages, path, control, age=0, *more):
    """A response of that age is in the cache."""
    pages[path] = page("kept", ("Cache-Control", control), ("Age", str(age)), ("ETag", '"1"'), *more)
    assert ask(proxy, path).cache["stored"]


def test_age_grows(proxy, pages):
    keep(proxy, pages, "/age", "max-age=100", 30)
    assert ask(proxy, "/age").get("age") == "30"
    time.sleep(1.1)
    second = ask(proxy, "/age")
    assert second.get("age") == "31" and second.cache["ttl"] == "68"


def test_the_date_stays_as_it_was(proxy, pages):
    then, later = http_date(-20), http_date(200)
    keep(proxy, pages, "/date", "max-age=100", 0, ("Date", then), ("Expires", later))
    second = ask(proxy, "/date")
    assert (second.get("date"), second.get("expires")) == (then, later)
    assert 20 <= int(second.get("age")) <= 22


def test_a_response_without_date_gets_one(proxy, pages):
    keep(proxy, pages, "/dateless", "max-age=100")
    first = ask(proxy, "/dateless").get("date")
    time.sleep(1.1)
    assert first and ask(proxy, "/dateless").get("date") == first


def test_a_slow_origin_has_made_it_older(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=["cache"])

    def slow(request, before):
        time.sleep(1.2)
        return page("x", ("Cache-Control", "max-age=1"), ("ETag", '"1"'))

    pages["/slow"] = slow
    ask(proxy, "/slow")
    assert ask(proxy, "/slow").cache["fwd"] == "stale"


@pytest.mark.parametrize("control, age", [
    ("max-age=10", "10"), ("max-age=10", "2147483649"), ("max-age=10", "99999999999999999999"),
    ("max-age=10", "50, 0"), ("s-maxage=1, max-age=100", "50"), ("max-age=a10", "0"), ("max-age=10.5", "0"),
    ("max-age=5, max-age=100", "6"), ('x="max-age=100", max-age=1', "2"),
])
def test_stale_at_once(proxy, pages, control, age):
    path = f"/stale/{len(pages)}"
    keep(proxy, pages, path, control, age)
    second = ask(proxy, path)
    assert second.cache["fwd"] == "stale" and pages.last(path).get("if-none-match") == '"1"'


@pytest.mark.parametrize("control, age", [
    ("max-age=10", "abc"), ("max-age=10", "-50"), ("max-age=10", "50.0"), ("max-age=10", "0, 50"),
    ('max-age="10"', "0"), ("max-age=0010", "0"), ("max-age=99999999999999999999", "1000"),
])
def test_still_fresh(proxy, pages, control, age):
    path = f"/fresh/{len(pages)}"
    keep(proxy, pages, path, control, age)
    assert ask(proxy, path).cache["hit"]


def test_no_cache_asks_each_time(proxy, pages):
    keep(proxy, pages, "/each", "max-age=100, no-cache")
    for turn in range(2, 4):
        assert ask(proxy, "/each").cache["detail"] == "no-cache" and pages.asked("/each") == turn


@pytest.mark.parametrize("directive, used", [
    ("no-cache", False), ("max-age=0", False), ("max-age=49", False), ("max-age=60", True),
    ("min-fresh=60", False), ("min-fresh=40", True), ("max-stale", True), ("only-if-cached", True),
])
def test_clients_say_what_they_take(proxy, pages, directive, used):
    path = f"/client/{directive}"
    keep(proxy, pages, path, "max-age=100", 50)
    second = ask(proxy, path, ("Cache-Control", directive))
    assert (second.cache["hit"], pages.asked(path)) == (used, 1 if used else 2)
    assert used or second.cache["fwd"] == "request"


def test_clients_may_take_stale_ones(proxy, pages):
    keep(proxy, pages, "/old", "max-age=100", 150)
    assert ask(proxy, "/old", ("Cache-Control", "max-stale=100")).cache["detail"] == "max-stale"
    assert pages.asked("/old") == 1
    assert not ask(proxy, "/old", ("Cache-Control", "max-stale=20")).cache["hit"]


def test_pragma_is_no_cache(proxy, pages):
    keep(proxy, pages, "/pragma", "max-age=100")
    assert not ask(proxy, "/pragma", ("Pragma", "no-cache")).cache["hit"]


def test_only_if_cached_never_asks(proxy, pages):
    assert ask(proxy, "/never", ("Cache-Control", "only-if-cached")).status == 504
    keep(proxy, pages, "/unused", "max-age=100", 150)
    assert ask(proxy, "/unused", ("Cache-Control", "only-if-cached")).status == 504
    assert pages.asked("/never") == 0 and pages.asked("/unused") == 1


def test_immutable_survives_a_reload(proxy, pages):
    keep(proxy, pages, "/font", "max-age=100, immutable")
    assert ask(proxy, "/font", ("Cache-Control", "max-age=0")).cache["hit"]
    assert not ask(proxy, "/font", ("Cache-Control", "no-cache")).cache["hit"]


def test_stale_while_revalidate(proxy, pages):
    pages["/swr"] = lambda request, before: page(f"turn {before}", (
        "Cache-Control", "max-age=10, stale-while-revalidate=60"), ("Age", "0" if before else "20"))
    ask(proxy, "/swr")
    stale = ask(proxy, "/swr")
    assert stale.cache["hit"] and stale.body == b"turn 0" and int(stale.cache["ttl"]) < 0
    eventually(lambda: ask(proxy, "/swr").body == b"turn 1", what="the new one")
    assert pages.asked("/swr") == 2 and ask(proxy, "/swr").cache["hit"]


def test_stale_while_revalidate_ends(proxy, pages):
    keep(proxy, pages, "/swr-over", "max-age=10, stale-while-revalidate=60", 71)
    assert ask(proxy, "/swr-over").cache["fwd"] == "stale"
    keep(proxy, pages, "/swr-must", "max-age=10, stale-while-revalidate=60, must-revalidate", 20)
    assert ask(proxy, "/swr-must").cache["fwd"] == "stale"


def failing(control, age, status):
    def answer(request, before):
        if before:
            return page("trouble", status=status)
        return page("kept", ("Cache-Control", control), ("Age", str(age)), ("ETag", '"1"'))

    return answer


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_stale_if_error(proxy, pages, status):
    pages[f"/sie/{status}"] = failing("max-age=10, stale-if-error=60", 20, status)
    ask(proxy, f"/sie/{status}")
    second = ask(proxy, f"/sie/{status}")
    assert (second.status, second.body, pages.asked(f"/sie/{status}")) == (200, b"kept", 2)


@pytest.mark.parametrize("control, age, status", [
    ("max-age=10", 20, 503), ("max-age=10, stale-if-error=60", 71, 503),
    ("max-age=10, stale-if-error=60, must-revalidate", 20, 503), ("no-cache, stale-if-error=60", 0, 503),
    ("max-age=10, stale-if-error=60", 20, 404), ("max-age=10, stale-if-error=60", 20, 501),
])
def test_errors_that_are_passed_on(proxy, pages, control, age, status):
    path = f"/error/{len(pages)}"
    pages[path] = failing(control, age, status)
    ask(proxy, path)
    assert ask(proxy, path).status == status


def breaking_off(request, before):
    """A good one, then trouble with one that breaks off after its head in between."""
    if before == 2:
        return page("3\r\nnew\r\nnonsense\r\n", ("Transfer-Encoding", "chunked"), ("Cache-Control", "max-age=60"))
    if before:
        return page("trouble", status=503)
    return page("kept", ("Cache-Control", "max-age=10"), ("Age", "20"), ("ETag", '"1"'))


def test_a_refresh_that_breaks_off_leaves_what_was_kept(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"stale_if_error": "1h"}}])
    pages["/a"] = breaking_off
    assert [ask(proxy, "/a").body for _ in range(2)] == [b"kept"] * 2
    with pytest.raises((Closed, ConnectionResetError)):
        ask(proxy, "/a")
    kept = ask(proxy, "/a")
    assert (kept.status, kept.body, pages.asked("/a")) == (200, b"kept", 4)


def test_a_refresh_behind_that_breaks_off_leaves_what_was_kept(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"stale_if_error": "1h", "stale_while_revalidate": "1h"}}])
    pages["/a"] = breaking_off

    def is_over():
        # Who comes just while it arrives has a part in it.
        with contextlib.suppress(Closed, ConnectionResetError):
            ask(proxy, "/a")
        return pages.asked("/a") >= 5

    eventually(is_over, what="fetches behind")
    kept = ask(proxy, "/a")
    assert (kept.status, kept.body) == (200, b"kept")


def test_an_origin_that_is_gone(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"stale_if_error": "1h"}}])
    keep(proxy, pages, "/a", "max-age=10", 20)
    keep(proxy, pages, "/b", "max-age=10, proxy-revalidate", 20)
    keep(proxy, pages, "/c", "s-maxage=10", 20)
    pages.origin.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", pages.origin.port), 1).close()
    kept = ask(proxy, "/a")
    assert (kept.status, kept.body) == (200, b"kept") and int(kept.get("age")) >= 20
    assert ask(proxy, "/b").status >= 500 and ask(proxy, "/c").status >= 500
