# SPDX-License-Identifier: Apache-2.0
"""Letting go: what changed is not served again (RFC 9111 4.4, RFC 9875), and what the operator purges."""
import json

import pytest

from support.pages import Pages, ask, page
from support.wait import eventually

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
