# SPDX-License-Identifier: Apache-2.0
"""Letting go: what changed is not served again (RFC 9111 4.4, RFC 9875), and what the operator purges."""
import json
import threading
import time

import pytest

from support.client import Client
from support.origin import serve_forever
from support.pages import Pages, ask, page
from support.wait import eventually, seconds
from support.wire import encode

MINUTE = ("Cache-Control", "max-age=60")


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=[{"cache": {"purge": ["127.0.0.0/8"]}}])


def keep(proxy, pages, path, *fields, request=()):
    """The page is in the cache, and is served from there."""
    pages[path] = lambda asked, before: page(f"{asked.method} {before}", MINUTE, ("ETag", '"1"'), *fields)
    ask(proxy, path, *request)
    assert ask(proxy, path, *request).cache["hit"], path


def is_kept(proxy, path, *request):
    return ask(proxy, path, *request).cache["hit"]


# ---------------------------------------------------------------- unsafe methods


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FROB"])
def test_what_an_unsafe_method_changed(proxy, pages, method):
    path = f"/changed/{method}"
    keep(proxy, pages, path)
    assert ask(proxy, path, method=method).status == 200
    assert not is_kept(proxy, path)


@pytest.mark.parametrize("option", ["stale_while_revalidate", "stale_if_error"])
def test_who_wrote_is_not_given_what_was_there_before(stage, option):
    """RFC 9111 4.4: without validation it must not be used, stale or not."""
    pages = Pages(stage)
    pages["/"] = lambda asked, before: page(f"{asked.method} {before}", MINUTE)
    proxy = stage.proxy(pages.origin, use=[{"cache": {option: "1h"}}])
    old = ask(proxy, "/").body
    assert ask(proxy, "/").body == old
    ask(proxy, "/", method="POST")
    if option == "stale_if_error":
        pages["/"] = page("in trouble", status=503)
    assert ask(proxy, "/").body != old


@pytest.mark.parametrize("method", ["POST", "PURGE"])
@pytest.mark.parametrize("kept, named", [("x.example", "X.example"), ("X.example.", "x.example"), ("X.EXAMPLE", "x.example.")])
def test_a_host_is_the_same_however_it_is_spelt(proxy, pages, method, kept, named):
    """RFC 3986 3.2.2: whoever asks next gets nothing that was there before."""
    path = f"/spelt/{method}/{kept}"
    pages[path] = lambda asked, before: page(f"{asked.method} {before}", MINUTE)
    for host in (kept, "x.example"):
        ask(proxy, path, host=host)
    assert ask(proxy, path, host=kept).cache["hit"]
    ask(proxy, path, method=method, host=named)
    assert not ask(proxy, path, host=kept).cache["hit"]


def test_a_failed_change_changes_nothing(proxy, pages):
    keep(proxy, pages, "/refused")
    kept, pages["/refused"] = pages["/refused"], page("no", status=403)
    assert ask(proxy, "/refused", method="DELETE").status == 403
    pages["/refused"] = kept
    assert is_kept(proxy, "/refused")


def test_safe_methods_change_nothing(proxy, pages):
    keep(proxy, pages, "/safe")
    ask(proxy, "/safe", method="OPTIONS")
    assert is_kept(proxy, "/safe")


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_what_the_answer_names(proxy, pages, name):
    path = f"/names/{name.lower()}"
    for other in ("/list?page=1", f"{path}/item", "/elsewhere"):
        keep(proxy, pages, other)
    for reference, gone in [("/list?page=1", "/list?page=1"), (f"{name.lower()}/item", f"{path}/item")]:
        pages[path] = page("done", (name, reference), status=201)
        ask(proxy, path, method="POST")
        assert not is_kept(proxy, gone)
    keep(proxy, pages, "/list?page=1")
    pages[path] = page("done", (name, f"http://{proxy.address}/list?page=1"), status=201)
    ask(proxy, path, method="POST")
    assert not is_kept(proxy, "/list?page=1") and is_kept(proxy, "/elsewhere")


@pytest.mark.parametrize("reference", ["http://other.example/victim", "//other.example/victim", "mailto:victim"])
def test_others_cannot_be_made_to_forget(proxy, pages, reference):
    keep(proxy, pages, "/victim")
    pages["/attack"] = page("done", ("Location", reference), status=201)
    ask(proxy, "/attack", method="POST")
    assert is_kept(proxy, "/victim")


def test_all_variants_are_changed(proxy, pages):
    values = [("Foo", "1"), ("Foo", "2")]
    for value in values:
        keep(proxy, pages, "/variants", ("Vary", "Foo"), request=[value])
    ask(proxy, "/variants", method="POST")
    assert [is_kept(proxy, "/variants", value) for value in values] == [False, False]


def test_groups_go_together(proxy, pages):
    keep(proxy, pages, "/g/1", ("Cache-Groups", '"news", "sports"'))
    keep(proxy, pages, "/g/2", ("Cache-Groups", '"news"'))
    keep(proxy, pages, "/g/3", ("Cache-Groups", '"weather"'))
    pages["/g/edit"] = page("done", ("Cache-Group-Invalidation", '"news";x=1'))
    ask(proxy, "/g/edit", method="POST")
    assert [is_kept(proxy, f"/g/{n}") for n in (1, 2, 3)] == [False, False, True]
    ask(proxy, "/g/edit")
    assert is_kept(proxy, "/g/3")


def test_groups_belong_to_their_host(proxy, pages):
    keep(proxy, pages, "/own", ("Cache-Groups", '"all"'))
    pages["/own/edit"] = page("done", ("Cache-Group-Invalidation", '"all"'))
    ask(proxy, "/own/edit", method="POST", host="other.example")
    assert is_kept(proxy, "/own")


# ---------------------------------------------------------------- PURGE


def purge(proxy, path, *fields, **more):
    answer = ask(proxy, path, *fields, method="PURGE", **more)
    assert answer.status == 200, (answer.status, answer.body)
    return json.loads(answer.body)


def test_purge_a_uri(proxy, pages):
    keep(proxy, pages, "/p/1")
    keep(proxy, pages, "/p/1?a=b")
    assert purge(proxy, "/p/1") == {"purged": "uri", "soft": False}
    second = ask(proxy, "/p/1")
    assert second.cache["fwd"] == "uri-miss" and not pages.last("/p/1").has("if-none-match")
    assert is_kept(proxy, "/p/1?a=b") and "PURGE" not in [r.method for r in pages.requests]


def test_purge_softly(proxy, pages):
    keep(proxy, pages, "/p/soft")
    assert purge(proxy, "/p/soft", ("Cache-Purge", "soft"))["soft"]
    assert ask(proxy, "/p/soft").cache["fwd"] == "stale"
    assert pages.last("/p/soft").get("if-none-match") == '"1"'


@pytest.mark.parametrize("how", [[], [("Cache-Purge", "soft")]])
def test_purge_all_variants(proxy, pages, how):
    values = [("Foo", "1"), ("Foo", "2"), ("Foo", "3")]
    path = f"/p/vary/{len(how)}"
    for value in values:
        keep(proxy, pages, path, ("Vary", "Foo"), request=[value])
    purge(proxy, path, *how)
    assert [is_kept(proxy, path, value) for value in values] == [False, False, False]


def test_purge_a_prefix(proxy, pages):
    for path in ("/pre/a", "/pre/b/c?d", "/prefix", "/other"):
        keep(proxy, pages, path)
    assert purge(proxy, "/pre/", ("Cache-Purge", "prefix"))["purged"] == "prefix"
    assert [is_kept(proxy, p) for p in ("/pre/a", "/pre/b/c?d", "/prefix", "/other")] == [False, False, True, True]


def test_purge_tags(proxy, pages):
    keep(proxy, pages, "/t/1", ("Cache-Tag", "red, big one"))
    keep(proxy, pages, "/t/2", ("Surrogate-Key", "blue red"))
    keep(proxy, pages, "/t/3", ("Cache-Tag", "blue"), ("Cache-Tag", "green"))
    assert purge(proxy, "/", ("Cache-Tag", "red"))["purged"] == "tags"
    assert [is_kept(proxy, f"/t/{n}") for n in (1, 2, 3)] == [False, False, True]
    purge(proxy, "/", ("Cache-Tag", "big one, green"))
    assert [is_kept(proxy, f"/t/{n}") for n in (1, 2, 3)] == [False, True, False]


def test_tags_of_a_confirmed_response(proxy, pages):
    def answer(request, before):
        if before:
            return page("", MINUTE, ("Cache-Tag", "new"), status=304)
        return page("kept", ("Cache-Control", "max-age=10"), ("Age", "20"), ("ETag", '"1"'), ("Cache-Tag", "old"))

    pages["/t/304"] = answer
    ask(proxy, "/t/304"), ask(proxy, "/t/304")
    purge(proxy, "/", ("Cache-Tag", "old"))
    assert is_kept(proxy, "/t/304")
    purge(proxy, "/", ("Cache-Tag", "new"))
    assert ask(proxy, "/t/304").status == 502 or pages.asked("/t/304") == 3


def test_purge_a_host_and_everything(proxy, pages):
    keep(proxy, pages, "/h")
    ask(proxy, "/h", host="other.example")
    assert purge(proxy, "/", ("Cache-Purge", "host"), host="other.example")["purged"] == "host"
    assert is_kept(proxy, "/h") and not ask(proxy, "/h", host="other.example").cache["hit"]
    assert purge(proxy, "/", ("Cache-Purge", "all"))["purged"] == "all"
    assert not is_kept(proxy, "/h") and not ask(proxy, "/h", host="other.example").cache["hit"]


def test_purge_as_many_tags_as_may_be(proxy, pages):
    keep(proxy, pages, "/t/last", ("Cache-Tag", "last"))
    purge(proxy, "/", ("Cache-Tag", ",".join(f"t{n}" for n in range(254)) + ",last"))
    assert not is_kept(proxy, "/t/last")


def test_purge_tags_by_either_field(proxy, pages):
    for n, name in enumerate(("Cache-Tag", "Surrogate-Key")):
        keep(proxy, pages, f"/either/{n}", ("Cache-Tag", "either"))
        assert purge(proxy, "/", (name, "either"), ("Cache-Purge", "SOFT")) == {"purged": "tags", "soft": True}
        assert ask(proxy, f"/either/{n}").cache["fwd"] == "stale"


@pytest.mark.parametrize("fields, said", [
    ([("Cache-Purge", "prefx")], "no word `prefx`"), ([("Cache-Purge", "prefix; soft")], "no word `prefix; soft`"),
    ([("Cache-Purge", "soft"), ("Cache-Purge", "hosts")], "no word `hosts`"), ([("Cache-Purge", "")], "empty"),
    ([("Cache-Purge", "prefix, host")], "one of them"), ([("Cache-Purge", "all"), ("Cache-Purge", "host")], "one of them"),
    ([("Cache-Groups", "news")], "with the quotes"), ([("Cache-Groups", "")], "with the quotes"),
    ([("Cache-Tag", "")], "no tag"), ([("Cache-Tag", " , ,")], "no tag"), ([("Surrogate-Key", "")], "no tag"),
    ([("Cache-Tag", ",".join(f"t{n}" for n in range(256)) + ",red")], "255 at most"),
    ([("Cache-Tag", "red"), ("Cache-Purge", "prefix")], "leave `prefix`"),
    ([("Surrogate-Key", "red"), ("Cache-Purge", "soft, all")], "leave `prefix`"),
    ([("Cache-Groups", '"news"'), ("Cache-Purge", "host")], "leave `prefix`"),
])
def test_a_purge_that_is_not_understood_purges_nothing(proxy, pages, fields, said):
    keep(proxy, pages, "/whole", ("Cache-Tag", "red"), ("Cache-Groups", '"news"'))
    refused = ask(proxy, "/whole", *fields, method="PURGE")
    assert refused.status == 400 and said in refused.body.decode(), refused.body
    assert is_kept(proxy, "/whole")
    eventually(lambda: any(said in r.get("detail", "") for r in proxy.log() if r.get("reason") == "bad_request"))


def test_only_who_may(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"purge": ["192.0.2.0/24"]}}])
    keep(proxy, pages, "/a")
    assert ask(proxy, "/a", method="PURGE").status == 403
    assert is_kept(proxy, "/a") and "PURGE" not in [r.method for r in pages.requests]


def test_nobody_by_default(stage):
    """Without the option it is a method like others: the origin answers it."""
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=["cache"])
    pages["/a"] = page("x", MINUTE, status=405)
    assert ask(proxy, "/a", method="PURGE").status == 405


# ---------------------------------------------------------------- while it is being fetched


class Slow:
    """An origin whose first response (or second, after one that is stale at once) comes when the test says so, in two
    steps; what is asked for later is new."""

    def __init__(self, stage, *fields, stale=False):
        self.fields = [MINUTE, ("Content-Length", "6"), *fields]
        self.stale = stale
        self.head, self.body = threading.Event(), threading.Event()
        self.asked = 0
        self.origin = stage.origin(serve_forever(self.answer))

    def answer(self, conn, request):
        if request.method != "GET":
            conn.respond(204)
            return
        self.asked += 1
        if self.stale and self.asked == 1:
            conn.respond(200, [*self.fields[2:], ("Cache-Control", "max-age=10"), ("Age", "20")], b"stale")
            return
        if self.asked > 1 + self.stale:
            conn.send(encode("HTTP/1.1 200 OK", self.fields, b"newnew"))
            return
        assert self.head.wait(seconds(15))
        conn.send(encode("HTTP/1.1 200 OK", self.fields, b"old"))
        assert self.body.wait(seconds(15))
        conn.send(b"old")

    def release(self):
        self.head.set()
        self.body.set()


HOW = {
    "POST": ("POST", []),
    "uri": ("PURGE", []),
    "soft uri": ("PURGE", [("Cache-Purge", "soft")]),
    "tag": ("PURGE", [("Cache-Tag", "red")]),
    "soft tag": ("PURGE", [("Cache-Tag", "red"), ("Cache-Purge", "soft")]),
    "prefix": ("PURGE", [("Cache-Purge", "prefix")]),
    "soft prefix": ("PURGE", [("Cache-Purge", "prefix, soft")]),
    "all": ("PURGE", [("Cache-Purge", "all")]),
    "soft all": ("PURGE", [("Cache-Purge", "all, soft")]),
}


def begin_slowly(stage, *fields):
    """The origin, the proxy, and a client that has asked for /a and waits."""
    slow = Slow(stage, ("Cache-Tag", "red"), *fields)
    proxy = stage.proxy(slow.origin, use=[{"cache": {"purge": ["127.0.0.0/8"]}}])
    first = stage.use(Client(proxy.address, timeout=20))
    first.request("GET", "/a")
    eventually(lambda: slow.asked == 1, what="the fetch")
    return slow, proxy, first


def change(proxy, how):
    method, fields = HOW[how]
    assert ask(proxy, "/a", *fields, method=method).status in (200, 204)


@pytest.mark.parametrize("arriving", [False, True])
@pytest.mark.parametrize("how", HOW)
def test_who_comes_after_a_purge_has_no_part_in_what_was_asked_for_before(stage, how, arriving):
    slow, proxy, first = begin_slowly(stage)
    second = stage.use(Client(proxy.address, timeout=20))
    if arriving:
        slow.head.set()
        second.request("GET", "/a")
        assert b"200" in first.read_until(b"\r\n\r\n") and b"200" in second.read_until(b"\r\n\r\n")
    change(proxy, how)
    after = stage.use(Client(proxy.address, timeout=20))
    after.request("GET", "/a")
    time.sleep(0.1)    # for it to find what is being fetched
    slow.release()
    assert after.response().body == b"newnew"
    if arriving:
        assert [c.read_exact(6) for c in (first, second)] == [b"oldold"] * 2
    else:
        assert first.response().body == b"oldold"
    last = ask(proxy, "/a")
    assert (last.body, last.cache["hit"], slow.asked) == (b"newnew", True, 2)


@pytest.mark.parametrize("how", HOW)
def test_nor_in_a_refresh_that_began_before(stage, how):
    slow = Slow(stage, ("Cache-Tag", "red"), stale=True)
    proxy = stage.proxy(slow.origin, use=[{"cache": {"purge": ["127.0.0.0/8"]}}])
    assert ask(proxy, "/a").body == b"stale"
    first, after = (stage.use(Client(proxy.address, timeout=20)) for _ in range(2))
    first.request("GET", "/a")
    eventually(lambda: slow.asked == 2, what="the refresh")
    change(proxy, how)
    after.request("GET", "/a")
    time.sleep(0.1)
    slow.release()
    assert [c.response().body for c in (first, after)] == [b"oldold", b"newnew"]
    assert ask(proxy, "/a").body == b"newnew" and ask(proxy, "/a").cache["hit"]


@pytest.mark.parametrize("fields", [[], [("Vary", "Foo")]])
@pytest.mark.parametrize("how", HOW)
def test_what_was_asked_for_before_a_purge_is_not_fresh(stage, how, fields):
    slow, proxy, first = begin_slowly(stage, *fields)
    change(proxy, how)
    slow.release()
    assert first.response().body == b"oldold"
    assert [ask(proxy, "/a").body for _ in range(2)] == [b"newnew"] * 2
    assert slow.asked == 2


@pytest.mark.parametrize("how", [None, *HOW])
def test_nor_is_what_nobody_could_wait_for(stage, how):
    """What a client with credentials is answered is kept too, if it is for all."""
    slow = Slow(stage, ("Cache-Tag", "red"), ("Cache-Control", "public"))
    proxy = stage.proxy(slow.origin, use=[{"cache": {"purge": ["127.0.0.0/8"]}}])
    first = stage.use(Client(proxy.address, timeout=20))
    first.request("GET", "/a", [("Authorization", "Basic eDp5")])
    eventually(lambda: slow.asked == 1, what="the fetch")
    if how:
        change(proxy, how)
    slow.release()
    assert first.response().body == b"oldold"
    assert ask(proxy, "/a").body == (b"newnew" if how else b"oldold")


def test_what_has_another_tag_is_shared_all_the_same(stage):
    slow, proxy, first = begin_slowly(stage)
    purge(proxy, "/a", ("Cache-Tag", "blue"))
    after = stage.use(Client(proxy.address, timeout=20))
    after.request("GET", "/a")
    time.sleep(0.1)
    slow.release()
    assert [c.response().body for c in (first, after)] == [b"oldold"] * 2
    assert slow.asked == 1
