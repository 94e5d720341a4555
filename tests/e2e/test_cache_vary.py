# SPDX-License-Identifier: Apache-2.0
"""Responses that depend on fields of the request (RFC 9111 4.1)."""
import pytest

from support.pages import Pages, ask, page

MINUTE = ("Cache-Control", "max-age=60")


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=["cache"])


def varying(*names):
    """A page that says what the request had for those fields."""

    def answer(request, before):
        told = "|".join(",".join(request.all(n)) for n in ", ".join(names).split(", "))
        return page(told, MINUTE, *[("Vary", n) for n in names])

    return answer


def test_each_variant_is_kept(proxy, pages):
    pages["/two"] = varying("Foo")
    for value in ("1", "2"):
        answer = ask(proxy, "/two", ("Foo", value))
        assert answer.body == value.encode() and answer.cache["stored"]
    assert ask(proxy, "/two").cache["fwd"] == "vary-miss"
    for fields, body in [([("foo", "1")], b"1"), ([("FOO", "2"), ("Other", "x")], b"2"), ([], b"")]:
        answer = ask(proxy, "/two", *fields)
        assert answer.cache["hit"] and answer.body == body
    assert pages.asked("/two") == 3


def test_several_names(proxy, pages):
    pages["/more"] = varying("Foo, Bar", "Baz")
    ask(proxy, "/more", ("Foo", "1"), ("Bar", "2"))
    assert ask(proxy, "/more", ("Bar", "2"), ("Foo", "1")).cache["hit"]
    assert not ask(proxy, "/more", ("Bar", "1"), ("Foo", "2")).cache["hit"]
    assert not ask(proxy, "/more", ("Foo", "1"), ("Bar", "2"), ("Baz", "")).cache["hit"]


@pytest.mark.parametrize("name, values", [
    ("Accept-Encoding", ["gzip, br;q=0.9", "br,gzip", "BR , x-gzip;q=0.1, identity", "br, deflate;q=0, gzip"]),
    ("Accept-Language", ["en, de;q=0.5", "DE;q=0.5,en", "en;q=1.0 , de;q=0.50"]),
    ("Accept-Language", ["en, de", "de, En"]),
    ("Foo", ["a, b", "a,b", " a ,\tb"]),
])
def test_values_that_mean_the_same(proxy, pages, name, values):
    path = f"/same/{len(pages)}"
    pages[path] = varying(name)
    for value in values:
        ask(proxy, path, (name, value))
    assert pages.asked(path) == 1


@pytest.mark.parametrize("name, values", [
    ("Accept-Encoding", ["gzip", "gzip;q=0", "gzip, br", "gzip, *", "gzip, identity;q=0"]),
    ("Accept-Language", ["en, de", "en, de;q=0.5", "en", "de, en;q=0.5", "en, de;q=0"]),
    ("Foo", ["a, b", "b, a", "a", "A", '"a, b"', '"a,b"']),
    ("User-Agent", ["x (a, b)", "x (a,b)", "X (a, b)"]),
])
def test_values_that_do_not(proxy, pages, name, values):
    path = f"/other/{len(pages)}"
    pages[path] = varying(name)
    for value in values:
        assert ask(proxy, path, (name, value)).body.decode() == value
    for value in values:
        answer = ask(proxy, path, (name, value))
        assert answer.cache["hit"] and answer.body.decode() == value
    assert pages.asked(path) == len(values)


def test_lines_are_one_value(proxy, pages):
    pages["/lines"] = varying("Foo")
    ask(proxy, "/lines", ("Foo", "1, 2"))
    assert ask(proxy, "/lines", ("Foo", "1"), ("Foo", "2")).cache["hit"]


def test_an_origin_that_begins_to_vary(proxy, pages):
    pages["/begins"] = lambda request, before: page(
        f"turn {before}", ("Cache-Control", "max-age=10"), ("Age", "0" if before else "20"), ("ETag", f'"{before}"'),
        *([("Vary", "Foo")] if before else []))
    ask(proxy, "/begins", ("Foo", "1"))
    assert ask(proxy, "/begins", ("Foo", "1")).body == b"turn 1"
    assert ask(proxy, "/begins", ("Foo", "1")).cache["hit"]
    assert not ask(proxy, "/begins", ("Foo", "2")).cache["hit"]


def test_many_names_are_as_good_as_a_star(proxy, pages):
    pages["/many"] = page("x", MINUTE, ("Vary", ", ".join(f"X-{n}" for n in range(20))))
    assert ask(proxy, "/many").cache["detail"] == "vary-star"
    assert not ask(proxy, "/many").cache["hit"]
