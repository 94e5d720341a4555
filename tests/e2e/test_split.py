# SPDX-License-Identifier: Apache-2.0
"""Which upstream: by weighted shares, by who asks, and by any condition of a route."""
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.maitred import command, to_yaml
from support.origin import serve_forever
from support.wait import volume


def named(conn, request):
    conn.respond(200, [("X-Origin", conn.origin.name)], b"ok")


@pytest.fixture
def two(stage):
    return [stage.origin(serve_forever(named), name=n) for n in ("app", "canary")]


def split(origins, to, **more):
    """A configuration with an upstream for each origin, and one route."""
    return to_yaml({
        "process": {"drain": "3s"},
        "listeners": [{"address": "@listen@"}],
        "upstreams": {o.name: {"servers": [o.address]} for o in origins},
        "routes": [{"to": to, **more}],
        "access_log": [{"to": "@dir@/access.json", "format": "json"}],
    })


def asked(proxy, n, **more):
    """How often which origin answered n requests over one connection."""
    with Client(proxy.address) as client:
        return Counter(client.get(**more).get("x-origin") for _ in range(n))


# ---------------------------------------------------------------- shares


def test_shares(stage, two):
    n = volume(3000, 300)
    proxy = stage.run(split(two, {"app": 80, "canary": 20}))
    counts = asked(proxy, n)
    assert sum(counts.values()) == n
    assert 0.15 * n < counts["canary"] < 0.25 * n, counts


def test_the_log_says_which_upstream_it_was(stage, two):
    proxy = stage.run(split(two, {"app": 1, "canary": 1}))
    with Client(proxy.address) as client:
        names = [client.get(f"/{i}").get("x-origin") for i in range(20)]
    for i, name in enumerate(names):
        assert proxy.wait_log(target=f"/{i}")["upstream"] == name


def test_a_url_may_have_a_share(stage, two):
    app, canary = two
    proxy = stage.run(split([app], {"app": 1, f"http://{canary.address}": 1}))
    counts = asked(proxy, 60)
    assert counts["app"] > 5 and counts["canary"] > 5, counts


def test_one_share_is_all(stage, two):
    proxy = stage.run(split(two, {"canary": 7}))
    assert asked(proxy, 20) == {"canary": 20}


def test_bodies_pass(stage, two):
    proxy = stage.run(split([stage.origin(name="app"), stage.origin(name="canary")], {"app": 1, "canary": 1}))
    with Client(proxy.address) as client:
        for i in range(10):
            client.request("POST", "/", body=b"x" * 100000)
            assert b'"length": 100000' in client.response().body


def test_each_share_fails_by_itself(stage, two):
    """The dead share answers 502 or 503; the other one never does."""
    app, canary = two
    proxy = stage.run(split(two, {"app": 1, "canary": 1}, split_by="cookie('user')"))
    by_user = {f"u{i}": get(proxy.address, fields=[("Cookie", f"user=u{i}")]).get("x-origin") for i in range(20)}
    canary.stop()
    for user, name in by_user.items():
        status = get(proxy.address, fields=[("Cookie", f"user={user}")]).status
        assert status == 200 if name == "app" else status in (502, 503), (user, name, status)


# ---------------------------------------------------------------- who stays where


def test_a_user_stays(stage, two):
    text = split(two, {"app": 1, "canary": 1}, split_by="cookie('user')")
    proxy = stage.run(text)
    users = {}
    for i in range(30):
        counts = asked(proxy, 5, fields=[("Cookie", f"user=u{i}")])
        assert len(counts) == 1, (i, counts)
        users[i] = next(iter(counts))
    assert set(users.values()) == {"app", "canary"}
    # Over a restart too: the hash is not drawn anew.
    again = stage.run(text)
    for i, name in users.items():
        assert get(again.address, fields=[("Cookie", f"user=u{i}")]).get("x-origin") == name


def test_who_is_with_the_canary_stays_when_it_grows(stage, two):
    def where(proxy):
        return {i: get(proxy.address, fields=[("Cookie", f"user=u{i}")]).get("x-origin") for i in range(60)}

    proxy = stage.run(split(two, {"app": 80, "canary": 20}, split_by="cookie('user')"))
    before = where(proxy)
    proxy.reload(split(two, {"app": 60, "canary": 40}, split_by="cookie('user')"))
    after = where(proxy)
    assert all(after[i] == "canary" for i in before if before[i] == "canary")
    assert Counter(after.values())["canary"] > Counter(before.values())["canary"] > 0


def test_who_has_no_value_is_drawn(stage, two):
    proxy = stage.run(split(two, {"app": 1, "canary": 1}, split_by="cookie('user')"))
    counts = asked(proxy, 60)
    assert counts["app"] > 5 and counts["canary"] > 5, counts


# ---------------------------------------------------------------- reload


def test_what_nobody_names_any_more_is_left_alone(stage, two):
    app, canary = two
    text = {
        "process": {"drain": "3s"},
        "listeners": [{"address": "@listen@"}],
        "upstreams": {o.name: {"servers": [o.address], "health": {"path": "/health", "every": "100ms"}} for o in two},
        "routes": [{"to": {"app": 1, "canary": 1}}],
    }
    proxy = stage.run(to_yaml(text))
    for origin in two:
        origin.wait_requests(2)  # it is checked
    del text["upstreams"]["canary"]
    text["routes"][0]["to"] = "app"
    proxy.reload(to_yaml(text))
    time.sleep(0.3)  # what was under way
    checks = len(canary.requests)
    app.wait_requests(len(app.requests) + 5)
    assert len(canary.requests) == checks
    assert asked(proxy, 20) == {"app": 20}


# ---------------------------------------------------------------- any condition


def test_any_condition_chooses_the_upstream(stage):
    names = ["json", "uploads", "beta", "mobile", "night", "rest"]
    origins = {n: stage.origin(serve_forever(named), name=n) for n in names}
    proxy = stage.run(to_yaml({
        "process": {"drain": "3s"},
        "listeners": [{"address": "@listen@"}],
        "upstreams": {n: {"servers": [o.address]} for n, o in origins.items()},
        "routes": [
            {"header": {"content-type": "~^application/(.*[+])?json"}, "to": "json"},
            {"when": "header('content-type') starts 'multipart/form-data' && method == POST", "to": "uploads"},
            {"cookie": {"group": "beta"}, "to": "beta"},
            {"when": "header('user-agent') matches '(?i)mobile'", "to": "mobile"},
            {"when": "query('hour') in [22, 23, 0]", "to": "night"},
            {"to": "rest"},
        ],
    }))
    wanted = [
        ("json", "POST", "/", [("Content-Type", "application/json; charset=utf-8")]),
        ("json", "POST", "/", [("Content-Type", "application/problem+json")]),
        ("rest", "POST", "/", [("Content-Type", "text/json")]),
        ("uploads", "POST", "/", [("Content-Type", "multipart/form-data; boundary=x")]),
        ("rest", "PUT", "/", [("Content-Type", "multipart/form-data; boundary=x")]),
        ("beta", "GET", "/", [("Cookie", "a=b; group=beta")]),
        ("rest", "GET", "/", [("Cookie", "a=b; group=gamma")]),
        ("mobile", "GET", "/", [("User-Agent", "Some Mobile/1.0")]),
        ("night", "GET", "/?hour=23", []),
        ("rest", "GET", "/?hour=21", []),
        ("rest", "GET", "/", []),
    ]
    for name, method, target, fields in wanted:
        response = get(proxy.address, target, fields, method, body=b"{}" if method != "GET" else None)
        assert (response.status, response.get("x-origin")) == (200, name), (method, target, fields)
    assert {n: len(o.requests) for n, o in origins.items()} == \
        {"json": 2, "uploads": 1, "beta": 1, "mobile": 1, "night": 1, "rest": 5}


# ---------------------------------------------------------------- mistakes and explanations


def checked(stage, text):
    path = f"{stage.folder()}/site.yaml"
    with open(path, "w") as file:
        file.write(text)
    return path, command("check", "-c", path)


MISTAKES = [
    ("{app: 95, canry: 5}", "site.yaml:5:19: error: there is no upstream `canry`", "did you mean `canary`?"),
    ("{app: 95, canary: 0}", "site.yaml:5:27: error: must be between 1 and 65535, found `0`", ""),
    ("{app: 95, canary: 65536}", "error: must be between 1 and 65535", ""),
    ("[app, canary]", "site.yaml:5:9: error: expected a destination, found a list", ""),
    ("ap", "site.yaml:5:9: error: there is no upstream `ap`", "did you mean `app`?"),
]


@pytest.mark.parametrize("to, message, hint", MISTAKES)
def test_mistakes(stage, to, message, hint):
    _, done = checked(stage, "listeners: [':8080']\nupstreams:\n  {app: {servers: ['127.0.0.1:1']}, "
                             f"canary: {{servers: ['127.0.0.1:2']}}}}\nroutes:\n  - to: {to}\n")
    assert done.returncode != 0
    assert message in done.stderr and hint in done.stderr, done.stderr


def test_unused_upstreams_are_warned_of_and_shares_are_a_use(stage):
    _, done = checked(stage, "listeners: [':8080']\nupstreams:\n  app: {servers: ['127.0.0.1:1']}\n"
                             "  canary: {servers: ['127.0.0.1:2']}\n  shadow: {servers: ['127.0.0.1:3']}\n"
                             "  nobody: {servers: ['127.0.0.1:4']}\n"
                             "routes:\n  - {to: {app: 1, canary: 1}, use: {mirror: shadow}}\n")
    assert done.returncode == 0
    assert done.stderr.count("warning") == 1 and "no route uses the upstream `nobody`" in done.stderr, done.stderr


def test_explain_names_the_shares(stage):
    path, done = checked(stage, "listeners: [':8080']\nupstreams:\n  app: {servers: ['127.0.0.1:1']}\n"
                                "  canary: {servers: ['127.0.0.1:2']}\n"
                                "routes:\n  - {to: {app: 95, canary: 5}, split_by: \"cookie('user')\"}\n")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = command("explain", "-c", path, "GET", "http://h/").stdout
    assert "split: app 95%, canary 5% by cookie('user')" in said, said
    assert "127.0.0.1:1" in said and "127.0.0.1:2" in said, said
    said = command("explain", "-c", path, "-H", "Cookie: user=alice", "GET", "http://h/").stdout
    assert "'alice' stays with " in said, said
    assert ("127.0.0.1:1" in said) != ("127.0.0.1:2" in said), said
