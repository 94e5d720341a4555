# SPDX-License-Identifier: Apache-2.0
"""Attackers who want something kept for everybody that is not for everybody."""
import pytest

from support.pages import Pages, ask, page

MINUTE = ("Cache-Control", "max-age=60")
HTML = ("Content-Type", "text/html; charset=utf-8")


@pytest.fixture(scope="module")
def pages(module_stage):
    return Pages(module_stage)


@pytest.fixture(scope="module")
def proxy(module_stage, pages):
    return module_stage.proxy(pages.origin, use=["cache"])


@pytest.mark.parametrize("path, why", [
    ("/account/x.css", "type-mismatch"), ("/account/x.JS?v=1", "type-mismatch"), ("/account%2Fx.css", "path"),
    ("/account;x.css", "path"), ("/account%3Bx.png", "path"), ("/account%3Fx.css", "path"),
    ("/account%23x.css", "path"), ("/account%0Ax.css", "path"), ("/account%5Cx.css", "path"),
    ("/account%252Fx.css", "path"),
])
def test_deception(proxy, pages, path, why):
    """A victim opens it, the origin serves the account, and says that files like this are for all."""
    pages[path] = page("your account", MINUTE, HTML)
    first = ask(proxy, path, ("Cookie", "session=victim"))
    assert first.body == b"your account" and first.cache["detail"] == why
    assert not ask(proxy, path).cache["hit"]


@pytest.mark.parametrize("path, fields, status", [
    ("/style.css", [("Content-Type", "text/css")], 200), ("/logo.svg", [("Content-Type", "image/svg+xml")], 200),
    ("/page", [HTML], 200), ("/@scope%2Fname", [("Content-Type", "application/json")], 200),
    ("/missing.css", [HTML], 404), ("/a;b/page", [HTML], 200),
])
def test_what_is_no_deception(proxy, pages, path, fields, status):
    pages[path] = page("x", MINUTE, *fields, status=status)
    ask(proxy, path)
    assert ask(proxy, path).cache["hit"]


def test_the_operator_may_know_better(stage):
    pages = Pages(stage)
    proxy = stage.proxy(pages.origin, use=[{"cache": {"strict_paths": False}}])
    pages["/a;x.css"] = page("x", MINUTE, HTML)
    ask(proxy, "/a;x.css")
    assert ask(proxy, "/a;x.css").cache["hit"]


@pytest.mark.parametrize("name, value", [
    ("X-HTTP-Method-Override", "POST"), ("X-Method-Override", "DELETE"), ("X-Original-URL", "/admin"),
    ("X-Rewrite-URL", "/admin"), ("X-Host", "evil.example"), ("X-Forwarded-Server", "evil.example"),
])
def test_fields_that_are_not_in_the_key(proxy, pages, name, value):
    path = f"/poison/{name}"
    pages[path] = lambda request, before: page(request.get(name) or "good", MINUTE)
    first = ask(proxy, path, (name, value))
    assert first.body == value.encode() and first.cache["detail"] == "unkeyed-field"
    assert ask(proxy, path).body == b"good"


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded"])
def test_what_the_proxy_says_itself_is_not_the_clients(proxy, pages, name):
    path = f"/forwarded/{name}"
    pages[path] = lambda request, before: page(str(request.all(name)), MINUTE)
    first = ask(proxy, path, (name, "evil.example"))
    assert b"evil" not in first.body and ask(proxy, path).body == first.body


def test_two_spellings_are_two_pages(proxy, pages):
    """What the origin tells apart is kept apart."""
    for path in ("/b%2Fc", "/b/c", "/b%2fc", "//b/c", "/./b/c", "/B/c"):
        pages[path] = page(path, MINUTE)
        assert ask(proxy, path).body == path.encode()
    for path in ("/b%2Fc", "/b/c", "//b/c", "/B/c"):
        assert ask(proxy, path).body == path.encode()


def test_ports_and_hosts_are_kept_apart(proxy, pages):
    pages["/host"] = lambda request, before: page(request.get("host"), MINUTE)
    for host in ("a.example", "a.example:81", "b.example", "A.example:82"):
        assert ask(proxy, "/host", host=host).body == host.encode()
    for host in ("a.example", "a.example:81", "b.example"):
        answer = ask(proxy, "/host", host=host)
        assert answer.cache["hit"] and answer.body == host.encode()
