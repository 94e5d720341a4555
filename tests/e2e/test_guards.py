# SPDX-License-Identifier: Apache-2.0
"""What keeps a group from being overrun, and clients with their servers: breaker, passive health, retry
budget, sticky cookies, regions."""
import os
from collections import Counter

import pytest

from support import mmdb
from support.client import get
from support.origin import serve_forever
from support.wait import eventually


def named(conn, request):
    conn.respond(200, [("X-Origin", conn.origin.name), ("X-Cookie", request.get("cookie", "none"))], b"ok")


def failing(conn, request):
    conn.respond(500, [("X-Origin", conn.origin.name)], b"no")


@pytest.fixture
def three(stage):
    return [stage.origin(serve_forever(named), name=n) for n in "abc"]


# ---------------------------------------------------------------- sticky


def test_a_client_stays_and_the_server_sees_no_cookie(stage, three):
    proxy = stage.proxy(*three, upstream={"sticky": {"max_age": "1h"}})
    for _ in range(6):
        first = get(proxy.address)
        cookie = first.get("set-cookie")
        assert cookie.startswith("sticky_") and "; HttpOnly; SameSite=Lax; Max-Age=3600" in cookie
        assert not any(o.address in cookie for o in three)
        pair = cookie.split(";")[0]
        for _ in range(10):
            again = get(proxy.address, fields=[("Cookie", f"a=1; {pair}; b=2")])
            assert again.get("x-origin") == first.get("x-origin")
            assert again.get("x-cookie") == "a=1; b=2"
            assert again.get("set-cookie") is None


def test_a_forged_cookie_is_none(stage, three):
    proxy = stage.proxy(*three, upstream={"sticky": "lb"}, workers=1)
    pair = get(proxy.address).get("set-cookie").split(";")[0]
    forged = pair[:-1] + ("A" if pair[-1] != "A" else "B")
    names = [get(proxy.address, fields=[("Cookie", forged)]) for _ in range(6)]
    assert len({r.get("x-origin") for r in names}) == 3
    assert all(r.get("set-cookie") and r.get("x-cookie") == "none" for r in names)


def test_two_proxies_with_one_secret(stage, three):
    upstream = {"sticky": {"cookie": "lb", "secret": "0123456789abcdef"}}
    one, two = stage.proxy(*three, upstream=upstream), stage.proxy(*three, upstream=upstream)
    first = get(one.address)
    pair = first.get("set-cookie").split(";")[0]
    assert {get(two.address, fields=[("Cookie", pair)]).get("x-origin") for _ in range(9)} == \
        {first.get("x-origin")}


def test_when_the_server_is_gone_another_one_takes_over(stage, three):
    proxy = stage.proxy(*three, upstream={"sticky": "lb"})
    first = get(proxy.address)
    pair = first.get("set-cookie").split(";")[0]
    gone = next(o for o in three if o.name == first.get("x-origin"))
    gone.stop()
    again = get(proxy.address, fields=[("Cookie", pair)])
    assert again.status == 200 and again.get("x-origin") != gone.name
    assert again.get("set-cookie").startswith("lb=")


# ---------------------------------------------------------------- breaker


def test_the_breaker_opens_and_probes(stage):
    good = False
    seen = []

    def moody(conn, request):
        seen.append(good)
        conn.respond(200 if good else 500, [], b"")

    proxy = stage.proxy(stage.origin(serve_forever(moody)), upstream={
        "breaker": {"error_rate": "50%", "minimum": 5, "open": "2s"}})
    assert [get(proxy.address).status for _ in range(5)] == [500] * 5
    refused = get(proxy.address)
    assert refused.status == 503 and refused.get("retry-after") in ("1", "2")
    assert len(seen) == 5
    eventually(lambda: get(proxy.address).status == 500, 10)  # a probe, which fails
    assert len(seen) == 6 and get(proxy.address).status == 503
    good = True
    eventually(lambda: get(proxy.address).status == 200, 10)
    assert [get(proxy.address).status for _ in range(10)] == [200] * 10


# ---------------------------------------------------------------- passive


def test_who_fails_is_ejected_and_comes_back(stage):
    a = stage.origin(serve_forever(named), name="a")
    b = stage.origin(serve_forever(lambda c, r: c.close()), name="b")
    proxy = stage.proxy(a, b, upstream={"passive": {"errors": 3, "eject": "2s"}})
    assert {get(proxy.address).status for _ in range(20)} == {200}
    eventually(lambda: "server is ejected" in proxy.stderr, 5)
    assert {get(proxy.address).get("x-origin") for _ in range(20)} == {"a"}
    eventually(lambda: "server is let in again" in proxy.stderr, 10)


# ---------------------------------------------------------------- retries


def test_statuses_are_tried_again_within_the_budget(stage):
    asked = []

    def dead(conn, request):
        asked.append(1)
        conn.respond(503, [], b"")

    origins = [stage.origin(serve_forever(dead), name=n) for n in "abc"]
    proxy = stage.proxy(*origins, workers=1, upstream={
        "retries": {"attempts": 2, "statuses": 503, "budget": "20%", "floor": 1}, "passive": {"errors": 0}})
    assert {get(proxy.address).status for _ in range(100)} == {503}
    assert 100 + 10 <= len(asked) <= 100 + 20 + 10 + 2, len(asked)


# ---------------------------------------------------------------- regions


def regional(three, locality):
    servers = [{"address": o, "region": r} for o, r in zip(three, ("eu", "us", "us"))]
    return servers, {"locality": locality}


def test_the_region_that_a_field_names(stage, three):
    servers, upstream = regional(three, {"from": "header('x-region')", "regions": {"eu": {}, "us": {}}})
    proxy = stage.proxy(*servers, upstream=upstream)
    eu = Counter(get(proxy.address, fields=[("X-Region", "eu")]).get("x-origin") for _ in range(12))
    us = Counter(get(proxy.address, fields=[("X-Region", "us")]).get("x-origin") for _ in range(12))
    assert set(eu) == {"a"} and set(us) == {"b", "c"}
    assert len({get(proxy.address).get("x-origin") for _ in range(12)}) == 3


def test_the_region_that_a_database_finds(stage, three, tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "places.mmdb"
    mmdb.write(path, {"192.0.2.0/24": mmdb.place(50.1, 8.7), "198.51.100.0/24": mmdb.place(34, -118)})
    servers, upstream = regional(three, {"database": str(path), "regions": {
        "eu": {"at": "53.3,-6.3"}, "us": {"at": "40.7,-74.0"}}})
    proxy = stage.proxy(*servers, upstream=upstream, listener={"trusted_proxies": ["127.0.0.0/8"]})

    def ask(ip):
        return {get(proxy.address, fields=[("X-Forwarded-For", ip)]).get("x-origin") for _ in range(12)}

    assert ask("192.0.2.77") == {"a"}
    assert ask("198.51.100.1") == {"b", "c"}
    assert ask("203.0.113.1") == {"a", "b", "c"}
