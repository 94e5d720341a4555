# SPDX-License-Identifier: Apache-2.0
"""Which server gets which request: policies and weights, keys that stay, tiers and regions, slow start,
subsets, what servers say of their load, cookies; and what `maitred explain` tells of it."""
import base64
import contextlib
import math
import os
import threading
import time
from collections import Counter

import pytest

from support import mmdb
from support.client import Client, get
from support.maitred import command, to_yaml
from support.origin import serve_forever
from support.wait import SLOW, eventually, seconds, volume


def named(conn, request):
    conn.respond(200, [("X-Origin", conn.origin.name), ("X-Cookie", request.get("cookie", "none"))], b"ok")


def group(stage, names, answer=named):
    return [stage.origin(serve_forever(answer), name=n) for n in names]


def asked(proxy, n, each=10, fields=(), target="/"):
    """How often which origin answered n requests, `each` of them over one connection: on any worker."""
    names = Counter()
    while sum(names.values()) < n:
        with Client(proxy.address) as client:
            for _ in range(min(each, n - sum(names.values()))):
                response = client.get(target, fields)
                assert response.status == 200, (response.status, response.body)
                names[response.get("x-origin")] += 1
    return names


def shares(counts):
    total = sum(counts.values())
    return {name: n / total for name, n in counts.items()}


def weighted(origins, weights):
    return [{"address": o, "weight": w} for o, w in zip(origins, weights)]


class Held:
    """Origins that answer nobody until they are let go, and count who waits."""

    def __init__(self, stage, names):
        self.go, self.lock, self.waiting = threading.Event(), threading.Lock(), Counter()
        self.origins = group(stage, names, self._answer)

    def _answer(self, conn, request):
        with self.lock:
            self.waiting[conn.origin.name] += 1
        assert self.go.wait(seconds(30))
        named(conn, request)

    def spread(self, proxy, n, fields=()):
        """Sends n requests, one after the other has arrived, and tells where they wait."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.go.set)
            clients = []
            for i in range(n):
                clients.append(stack.enter_context(Client(proxy.address)))
                clients[-1].request(fields=fields)
                eventually(lambda i=i: sum(self.waiting.values()) == i + 1, 10, f"request {i} arrives")
            counts = Counter(self.waiting)
            self.go.set()
            assert all(c.response().status == 200 for c in clients)
        return counts


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("policy", ["round_robin", "random", "two_choices"])
def test_shares_follow_the_weights(stage, policy):
    weights = {"a": 1, "b": 2, "c": 5}
    proxy = stage.proxy(*weighted(group(stage, weights), weights.values()), upstream={"balance": policy}, log=False)
    n = volume(1600, 400)
    counts = asked(proxy, n, each=40)
    for name, weight in weights.items():
        share = weight / 8
        # Round robin is exact but for the turns that each worker has begun; lots are lots: five sigma.
        slack = 8 if policy == "round_robin" else 5 * math.sqrt(n * share * (1 - share))
        assert abs(counts[name] - n * share) <= slack, counts


@pytest.mark.parametrize("policy", ["least_connections", "two_choices"])
def test_work_in_flight_follows_the_weights(stage, policy):
    held = Held(stage, "abc")
    proxy = stage.proxy(*weighted(held.origins, (1, 1, 2)), upstream={"balance": policy}, log=False)
    counts = held.spread(proxy, 32)
    slack = 1 if policy == "least_connections" else 4
    for name, share in zip("abc", (8, 8, 16)):
        assert abs(counts[name] - share) <= slack, counts


def test_least_connections_over_both_workers(stage):
    """What one worker has in flight the other one sees."""
    held = Held(stage, "abcd")
    proxy = stage.proxy(*held.origins, upstream={"balance": "least_connections"}, log=False)
    assert set(held.spread(proxy, 24).values()) == {6}


def load(proxy, clients, each):
    """Names of who answered each of `clients` at once, `each` requests long."""
    names, problems = Counter(), []

    def run():
        try:
            names.update(asked(proxy, each, each=each))
        except Exception as problem:  # told below
            problems.append(problem)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    return names


@pytest.mark.skipif(SLOW, reason="a matter of time")
@pytest.mark.parametrize("policy", ["peak_ewma", "least_time"])
def test_the_faster_server_gets_more(stage, policy):
    def answer(conn, request):
        time.sleep(0.04 if conn.origin.name == "slow" else 0.004)
        named(conn, request)

    proxy = stage.proxy(*group(stage, ["quick", "slow"], answer), upstream={"balance": policy}, log=False)
    load(proxy, 4, 5)
    counts = load(proxy, 8, 40)
    assert counts["slow"] < 0.25 * sum(counts.values()), counts


@pytest.mark.skipif(SLOW, reason="a matter of time")
@pytest.mark.parametrize("policy", ["peak_ewma", "least_time"])
def test_equally_fast_servers_share_by_weight(stage, policy):
    def answer(conn, request):
        time.sleep(0.01)
        named(conn, request)

    proxy = stage.proxy(*weighted(group(stage, "ab", answer), (1, 3)), upstream={"balance": policy}, log=False)
    load(proxy, 8, 5)
    counts = load(proxy, 16, 30)
    assert 0.6 < shares(counts)["b"] < 0.9, counts


# ---------------------------------------------------------------- keys


KEYS = [f"user{i}" for i in range(100)]
HOW = {
    "header": ("header('x-user')", lambda key: {"fields": [("X-User", key)]}),
    "cookie": ("cookie('user')", lambda key: {"fields": [("Cookie", f"a=1; user={key}")]}),
    "query": ("query('user')", lambda key: {"target": f"/?a=1&user={key}"}),
    "path": ("path", lambda key: {"target": f"/{key}?{time.monotonic()}"}),
    "uri": ("uri", lambda key: {"target": f"/x?{key}"}),
}


def where(proxy, more, keys=KEYS, times=2):
    """Where each key is served, by several connections and so by any worker."""
    home = {}
    for _ in range(times):
        for key in keys:
            response = get(proxy.address, **more(key))
            assert response.status == 200
            assert home.setdefault(key, response.get("x-origin")) == response.get("x-origin"), key
    return home


@pytest.mark.parametrize("how", HOW)
def test_a_key_stays(stage, how):
    by, more = HOW[how]
    four = group(stage, "abcd")
    upstream = {"balance": {"hash": by}}
    proxy = stage.proxy(*four, upstream=upstream, log=False)
    home = where(proxy, more)
    assert min(Counter(home.values()).values()) >= 10, Counter(home.values())
    proxy.reload()
    assert where(proxy, more, times=1) == home
    # Another process, and the servers in another order.
    again = stage.proxy(*reversed(four), upstream=upstream, workers=1, log=False)
    assert where(again, more, times=1) == home


def test_a_client_stays(stage):
    """The default key is the client's address."""
    proxy = stage.proxy(*group(stage, "abcd"), upstream={"balance": "hash"}, log=False)
    home = {}
    for _ in range(3):
        for i in range(2, 40):
            name = get(proxy.address, source=f"127.0.1.{i}").get("x-origin")
            assert home.setdefault(i, name) == name
    assert set(home.values()) == set("abcd")


def test_without_a_key_anybody_answers(stage):
    proxy = stage.proxy(*group(stage, "abcd"), upstream={"balance": {"hash": "header('x-user')"}}, log=False)
    assert min(asked(proxy, 120).values()) >= 10


def test_keys_follow_the_weights(stage):
    proxy = stage.proxy(*weighted(group(stage, "ab"), (1, 3)), upstream={"balance": {"hash": "header('x-user')"}},
                        log=False)
    n = volume(800, 200)
    home = where(proxy, HOW["header"][1], [f"k{i}" for i in range(n)], times=1)
    assert abs(Counter(home.values())["b"] / n - 0.75) <= 5 * math.sqrt(0.75 * 0.25 / n)


def test_only_the_keys_of_who_is_gone_move(stage):
    four = group(stage, "abcd")
    proxy = stage.proxy(*four, upstream={"balance": {"hash": "header('x-user')"}}, log=False)
    more = HOW["header"][1]
    home = where(proxy, more, times=1)
    four[1].stop()
    moved = where(proxy, more, times=1)
    assert "b" not in moved.values()
    assert {k: v for k, v in moved.items() if home[k] != "b"} == {k: v for k, v in home.items() if v != "b"}
    # The keys of the one that is gone are spread over all others.
    assert {moved[k] for k in KEYS if home[k] == "b"} == set("acd")
    four[1].start()
    eventually(lambda: where(proxy, more, times=1) == home, 15, "all keys are back")


def test_hardly_any_other_key_moves_when_a_server_is_removed(stage):
    four = group(stage, "abcd")
    upstream = {"balance": {"hash": "header('x-user')"}}
    proxy = stage.proxy(*four, upstream=upstream, log=False)
    more = HOW["header"][1]
    home = where(proxy, more, times=1)
    smaller = {"listeners": [{"address": "@listen@"}], "process": {"drain": "3s"}, "routes": [{"to": "app"}],
               "upstreams": {"app": {"servers": [o.address for o in four if o.name != "b"], **upstream}}}
    proxy.reload(to_yaml(smaller))
    moved = where(proxy, more, times=1)
    assert "b" not in moved.values()
    assert sum(moved[k] != home[k] for k in KEYS if home[k] != "b") <= 2


@pytest.mark.parametrize("bound, most", [("125%", 7), ("200%", 11), ("0%", 20)])
def test_a_popular_key_does_not_drown_its_server(stage, bound, most):
    """20 requests for one key at once, four servers: at most bound * 5 of them on one, rounded up."""
    held = Held(stage, "abcd")
    proxy = stage.proxy(*held.origins, upstream={"balance": {"hash": {"by": "header('x-user')", "bound": bound}}},
                        log=False)
    counts = held.spread(proxy, 20, fields=[("X-User", "popular")])
    assert max(counts.values()) <= most, counts
    if bound == "0%":
        assert max(counts.values()) == 20


# ---------------------------------------------------------------- tiers and regions


def test_backups_wait_for_their_turn(stage):
    a, b, backup = group(stage, ["a", "b", "backup"])
    proxy = stage.proxy(a, b, {"address": backup, "tier": 1}, log=False)
    assert set(asked(proxy, 30)) == {"a", "b"}
    a.stop()
    assert set(asked(proxy, 30)) == {"b"}
    b.stop()
    assert set(asked(proxy, 30)) == {"backup"}
    a.start()
    eventually(lambda: set(asked(proxy, 10)) == {"a"}, 15, "tier 0 is back")


def regions(origins, places, **more):
    """Servers and options of an upstream whose clients say where they are."""
    servers = [{"address": o, "region": o.name[:2], **more.get(o.name, {})} for o in origins]
    return servers, {"locality": {"from": "header('x-region')", **places}}


def from_region(proxy, region, n=60):
    return asked(proxy, n, fields=[("X-Region", region)])


def test_a_region_that_is_short_of_servers_passes_some_on(stage):
    origins = group(stage, ["eu1", "eu2", "us1", "us2"])
    servers, upstream = regions(origins, {"regions": {"eu": {}, "us": {}}, "spill": "100%"},
                                eu2={"state": "maintenance"})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    n = volume(400, 100)
    counts = from_region(proxy, "eu", n)  # half of its servers: half of its work
    assert "eu2" not in counts
    assert abs(counts["eu1"] - n / 2) <= 5 * math.sqrt(n / 4), counts
    assert set(from_region(proxy, "us")) == {"us1", "us2"}


def test_without_spill_a_region_keeps_its_work(stage):
    origins = group(stage, ["eu1", "eu2", "us1", "us2"])
    servers, upstream = regions(origins, {"regions": {"eu": {}, "us": {}}, "spill": "0%"},
                                eu2={"state": "maintenance"})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    assert set(from_region(proxy, "eu")) == {"eu1"}
    origins[0].stop()
    assert set(from_region(proxy, "eu")) == {"us1", "us2"}


def test_a_proxy_prefers_the_servers_of_its_own_zone(stage):
    """Zone-aware: where this proxy is decides, not where the client is; what its zone cannot bear goes on to others."""
    origins = group(stage, ["z1a", "z1b", "z2a", "z2b"])
    servers, upstream = regions(origins, {"from": "'z1'", "regions": {"z1": {}, "z2": {}}, "spill": "100%"})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    assert set(asked(proxy, 20)) == {"z1a", "z1b"}
    origins[0].stop()
    n = volume(200, 100)
    counts = asked(proxy, n)  # half of the zone is left: about half of the work
    assert "z1a" not in counts and 0.2 * n < counts["z1b"] < 0.8 * n and counts["z2a"] and counts["z2b"], counts
    origins[1].stop()
    eventually(lambda: set(asked(proxy, 20)) == {"z2a", "z2b"}, 5)


def test_neighbours_take_over_in_their_order(stage):
    origins = group(stage, ["eu1", "us1", "as1"])
    servers, upstream = regions(origins, {"regions": {"eu": {"near": ["us"]}, "us": {"near": ["eu"]},
                                                      "as": {"near": ["us", "eu"]}}})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    eu, us, _ = origins
    assert [set(from_region(proxy, r, 12)) for r in ("eu", "us", "as")] == [{"eu1"}, {"us1"}, {"as1"}]
    eu.stop()
    assert set(from_region(proxy, "eu", 12)) == {"us1"}
    us.stop()
    assert set(from_region(proxy, "eu", 12)) == {"as1"}
    eu.start()
    eventually(lambda: set(from_region(proxy, "eu", 12)) == {"eu1"}, 15)
    assert set(from_region(proxy, "as", 12)) == {"as1"}


def test_backups_of_a_region_come_after_other_regions(stage):
    """Tiers are outermost: nobody of tier 1 while anybody of tier 0 is left, near or far."""
    origins = group(stage, ["eu1", "eu2", "us1"])
    servers, upstream = regions(origins, {"regions": {"eu": {}, "us": {}}, "spill": "0%"}, eu2={"tier": 1})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    origins[0].stop()
    assert set(from_region(proxy, "eu", 12)) == {"us1"}
    origins[2].stop()
    assert set(from_region(proxy, "eu", 12)) == {"eu2"}


def test_a_tier_that_is_short_of_servers_passes_some_on(stage):
    """Half of tier 0 is out: of its work it keeps as much as half of it can bear (0.5 / 0.8)."""
    origins = group(stage, ["eu1", "eu2", "eu3"])
    servers, upstream = regions(origins, {"regions": {"eu": {}}, "spill": "80%"}, eu2={"state": "maintenance"},
                                eu3={"tier": 1})
    proxy = stage.proxy(*servers, upstream=upstream, log=False)
    n = volume(400, 100)
    counts = asked(proxy, n)
    assert set(counts) == {"eu1", "eu3"}
    assert abs(counts["eu1"] - n * 0.625) <= 5 * math.sqrt(n * 0.625 * 0.375), counts


def test_a_database_tells_the_region_and_the_next_one(stage, tmp_path):
    os.chmod(tmp_path, 0o755)
    path = tmp_path / "places.mmdb"
    mmdb.write(path, {"192.0.2.0/24": mmdb.place(48.9, 2.4), "198.51.100.0/24": mmdb.place(37.8, -122.4),
                      "2001:db8::/32": mmdb.place(35.7, 139.7)})
    origins = group(stage, ["eu", "us", "as"])
    proxy = stage.proxy(*({"address": o, "region": o.name} for o in origins), log=False,
                        listener={"trusted_proxies": ["127.0.0.0/8"]},
                        upstream={"locality": {"database": str(path), "regions": {
                            "eu": {"at": "53.3,-6.3"}, "us": {"at": "40.7,-74.0"}, "as": {"at": "1.3,103.8"}}}})

    def ask(ip):
        return set(asked(proxy, 12, fields=[("X-Forwarded-For", ip)]))

    assert [ask(ip) for ip in ("192.0.2.1", "198.51.100.9", "2001:db8::5")] == [{"eu"}, {"us"}, {"as"}]
    origins[0].stop()
    assert ask("192.0.2.1") == {"us"}  # Paris: Dublin is gone, New York is nearer than Singapore
    assert ask("203.0.113.1") == {"us", "as"}  # nobody knows where that is


# ---------------------------------------------------------------- slow start


@pytest.mark.skipif(SLOW, reason="a matter of time")
@pytest.mark.parametrize("policy", ["round_robin", "least_connections", "two_choices"])
def test_a_newcomer_starts_slowly(stage, policy):
    a, b = group(stage, "ab")

    def text(*servers):
        return to_yaml({"listeners": [{"address": "@listen@"}], "process": {"drain": "3s"}, "routes": [{"to": "app"}],
                        "upstreams": {"app": {"servers": [o.address for o in servers], "balance": policy,
                                              "slow_start": "4s"}}})

    proxy = stage.run(text(a))
    assert set(asked(proxy, 10)) == {"a"}
    proxy.reload(text(a, b))
    began = time.monotonic()
    windows = [Counter(), Counter(), Counter()]  # the first second, the middle, the whole share
    while (gone := time.monotonic() - began) < 6:
        if gone < 1 or 2 < gone < 3 or gone > 4.5:
            windows[0 if gone < 1 else 1 if gone < 3 else 2] += asked(proxy, 10)
        else:
            time.sleep(0.05)
    first, middle, last = (shares(w).get("b", 0) for w in windows)
    assert first < 0.2 and first < middle < last and 0.3 < last < 0.7, (first, middle, last)


def test_those_who_start_with_the_process_have_their_share_at_once(stage):
    proxy = stage.proxy(*group(stage, "ab"), upstream={"slow_start": "1h"}, log=False)
    assert min(asked(proxy, 40).values()) >= 18


# ---------------------------------------------------------------- subsets


def test_each_worker_uses_its_subset(stage):
    """Eight servers, two for each of two workers: each connection meets two, all of them together four."""
    origins = group(stage, "abcdefgh")
    proxy = stage.proxy(*origins, upstream={"subset": 2}, log=False)
    seen = Counter()
    for _ in range(30):
        with Client(proxy.address) as client:
            seen[frozenset(client.get().get("x-origin") for _ in range(10))] += 1
    assert len(seen) == 2 and all(len(pair) == 2 for pair in seen), seen
    one, two = seen
    assert not one & two, seen  # spread evenly: no server has two workers while another one has none
    # A worker whose whole subset is gone uses the others.
    for origin in origins:
        if origin.name in one:
            origin.stop()
    assert sum(asked(proxy, 60).values()) == 60
    assert not set(asked(proxy, 60)) & one


# ---------------------------------------------------------------- what servers say of their load


REPORTS = {
    "text": "TEXT cpu_utilization={}",
    "text, several": "TEXT rps_fractional=100, application_utilization={}, cpu_utilization=0.01",
    "json": 'JSON {{"cpu_utilization": {}}}',
    "json, several": 'JSON {{"rps_fractional":5,"cpu_utilization":0.01,"application_utilization":{}}}',
}


def reporting(used, form):
    def answer(conn, request):
        conn.respond(200, [("X-Origin", conn.origin.name),
                           ("endpoint-load-metrics", REPORTS[form].format(used[conn.origin.name]))], b"ok")
    return answer


@pytest.mark.parametrize("form", REPORTS)
def test_a_loaded_server_gets_less(stage, form):
    used = {"a": "0.90", "b": "0.0"}
    proxy = stage.proxy(*group(stage, "ab", reporting(used, form)), upstream={"load": "field"}, log=False)
    n = volume(800, 200)
    asked(proxy, 20)
    share = shares(asked(proxy, n))["a"]  # a tenth of its weight against the whole of the other's
    assert abs(share - 1 / 11) <= 5 * math.sqrt(1 / 11 * 10 / 11 / n) + 0.02, share
    assert get(proxy.address).get("endpoint-load-metrics") is None
    used["a"] = "0.0"  # it has recovered
    eventually(lambda: shares(asked(proxy, 100)).get("a", 0) > 0.4, 15, "the whole share")


def test_reports_are_not_our_business_unless_asked_for(stage):
    proxy = stage.proxy(*group(stage, "ab", reporting({"a": "0.95", "b": "0"}, "text")), log=False)
    assert 45 <= asked(proxy, 100)["a"] <= 55
    assert get(proxy.address).get("endpoint-load-metrics").startswith("TEXT cpu_utilization=")


def test_reports_are_forgotten_when_nobody_wants_them_any_more(stage):
    origins = group(stage, "ab", reporting({"a": "0.95", "b": "0"}, "text"))

    def text(how):
        return to_yaml({"listeners": [{"address": "@listen@"}], "process": {"drain": "3s"}, "routes": [{"to": "app"}],
                        "upstreams": {"app": {"servers": [o.address for o in origins], "load": how}}})

    proxy = stage.run(text("field"))
    asked(proxy, 20)
    assert asked(proxy, 100)["a"] < 25
    proxy.reload(text("ignore"))
    assert 40 <= asked(proxy, 100)["a"] <= 60


@pytest.mark.parametrize("report", ["", "TEXT", "TEXT cpu_utilization=", "TEXT cpu_utilization=-1", "nonsense",
                                    "JSON {", "TEXT cpu_utilization=nan", "BIN AAAA", "TEXT mem_utilization=0.9",
                                    "TEXT cpu_utilization=1e99", "TEXT my_cpu_utilization=0.9"])
def test_nonsense_steers_nothing(stage, report):
    def answer(conn, request):
        more = [("endpoint-load-metrics", report)] if conn.origin.name == "a" else []
        conn.respond(200, [("X-Origin", conn.origin.name), *more], b"ok")

    proxy = stage.proxy(*group(stage, "ab", answer), upstream={"load": "field"}, log=False)
    asked(proxy, 10)
    assert 40 <= asked(proxy, 100)["a"] <= 60


# ---------------------------------------------------------------- sticky cookies


SECRET = "0123456789abcdef0123456789abcdef"


def cookie_of(response):
    """The pair that a browser would send back; None."""
    value = response.get("set-cookie")
    return value and value.split(";")[0]


def with_cookie(proxy, pair, **more):
    return get(proxy.address, fields=[("Cookie", pair)], **more)


def test_a_cookie_tells_nothing_of_the_server(stage):
    """Neither in its letters nor in its bytes; and two clients of one server share no secret of it."""
    three = group(stage, "abc")
    proxy = stage.proxy(*three, upstream={"sticky": {"cookie": "lb", "secret": SECRET}}, log=False)
    pair = cookie_of(get(proxy.address))
    value = pair.split("=", 1)[1]
    raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    for origin in three:
        host, port = origin.address.split(":")
        for secret in (host.encode(), port.encode(), int(port).to_bytes(2, "big"), int(port).to_bytes(2, "little"),
                       bytes(map(int, host.split("."))), origin.name.encode() * 4):
            assert secret not in raw and secret not in value.encode()


def test_a_cookie_that_was_touched_is_none(stage):
    """Each letter of it changed, once: nobody finds a server by guessing."""
    proxy = stage.proxy(*group(stage, "ab"), upstream={"sticky": {"cookie": "lb", "secret": SECRET}}, log=False)
    pair = cookie_of(get(proxy.address))
    assert cookie_of(with_cookie(proxy, pair)) is None
    name, value = pair.split("=", 1)
    forged = [value[:i] + ("A" if value[i] != "A" else "B") + value[i + 1:] for i in range(len(value))]
    for wrong in [*forged, value[:-1], value + "A", "", value.swapcase()]:
        response = with_cookie(proxy, f"{name}={wrong}")
        assert response.status == 200 and cookie_of(response) is not None, wrong
        assert response.get("x-cookie") == "none"


def test_a_cookie_of_another_upstream_is_none(stage):
    one, two = group(stage, "ab"), group(stage, "cd")
    sticky = {"cookie": "lb", "secret": SECRET}
    proxy = stage.run(to_yaml({
        "listeners": [{"address": "@listen@"}], "process": {"drain": "3s"},
        "upstreams": {"one": {"servers": [o.address for o in one], "sticky": sticky},
                      "two": {"servers": [o.address for o in two], "sticky": sticky}},
        "routes": [{"path": "/one", "to": "one"}, {"to": "two"}]}))
    pair = cookie_of(get(proxy.address, "/one"))
    assert cookie_of(with_cookie(proxy, pair, target="/one")) is None
    assert cookie_of(with_cookie(proxy, pair, target="/two")) not in (None, pair)


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_a_cookie_is_renewed_and_expires(stage):
    three = group(stage, "abc")
    proxy = stage.proxy(*three, upstream={"sticky": {"cookie": "lb", "max_age": "4s"}}, log=False)
    first = get(proxy.address)
    pair, began = cookie_of(first), time.monotonic()
    assert "Max-Age=4" in first.get("set-cookie")
    # Who comes often keeps the server for longer than one cookie lives.
    renewed = 0
    while time.monotonic() - began < 6:
        response = with_cookie(proxy, pair)
        assert response.get("x-origin") == first.get("x-origin")
        if cookie_of(response):
            pair, renewed = cookie_of(response), renewed + 1
        time.sleep(0.2)
    assert 1 <= renewed <= 4
    time.sleep(5.5)  # who stays away is nobody's any more: an old cookie counts for nothing
    answers = [with_cookie(proxy, pair) for _ in range(12)]
    assert all(cookie_of(r) for r in answers) and len({r.get("x-origin") for r in answers}) == 3


@pytest.mark.parametrize("secret", [SECRET, None])
def test_a_restart(stage, secret):
    """With a secret a client keeps its server; without one it is drawn anew."""
    three = group(stage, "abc")
    upstream = {"sticky": {"cookie": "lb", **({"secret": secret} if secret else {})}}
    with stage.proxy(*three, upstream=upstream, log=False) as before:
        first = get(before.address)
        pair = cookie_of(first)
        before.reload()
        assert with_cookie(before, pair).get("x-origin") == first.get("x-origin")
    after = stage.proxy(*three, upstream=upstream, log=False)
    answers = [with_cookie(after, pair) for _ in range(9)]
    if secret:
        assert {r.get("x-origin") for r in answers} == {first.get("x-origin")}
        assert {cookie_of(r) for r in answers} == {None}
    else:
        assert all(cookie_of(r) for r in answers)


def test_many_clients_are_spread_and_stay(stage):
    proxy = stage.proxy(*group(stage, "abcd"), upstream={"sticky": "lb"}, log=False)
    clients = []
    for _ in range(40):
        response = get(proxy.address)
        clients.append((cookie_of(response), response.get("x-origin")))
    assert min(Counter(name for _, name in clients).values()) >= 5
    for _ in range(3):
        assert all(with_cookie(proxy, pair).get("x-origin") == name for pair, name in clients)


@pytest.mark.parametrize("sticky, attributes", [
    ({}, "; Path=/; HttpOnly; SameSite=Lax"),
    ({"secure": "always"}, "; Path=/; HttpOnly; SameSite=Lax; Secure"),
    ({"same_site": "strict"}, "; Path=/; HttpOnly; SameSite=Strict"),
    ({"same_site": "none"}, "; Path=/; HttpOnly; SameSite=None; Secure"),
    ({"max_age": "2h", "secure": "never"}, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=7200"),
])
def test_what_the_cookie_asks_of_browsers(stage, sticky, attributes):
    proxy = stage.proxy(*group(stage, "ab"), upstream={"sticky": {"cookie": "lb", **sticky}}, log=False)
    value = get(proxy.address).get("set-cookie")
    assert value[value.index(";"):] == attributes


# ---------------------------------------------------------------- which upstream


def test_content_and_conditions_choose_the_upstream(stage):
    names = ("json", "large", "grpc", "beta", "app")
    origins = group(stage, names)
    proxy = stage.run(to_yaml({
        "listeners": [{"address": "@listen@"}], "process": {"drain": "3s"},
        "upstreams": {o.name: {"servers": [o.address]} for o in origins},
        "routes": [
            {"when": "header('content-type') starts 'application/grpc'", "to": "grpc"},
            {"when": "header('content-type') matches '^application/(.*[+])?json'", "to": "json"},
            {"when": "header('content-length') > 1000", "to": "large"},
            {"when": "cookie('beta') == 'on' || client.ip in 127.0.7.0/24", "to": "beta"},
            {"to": "app"},
        ]}))

    def who(body=b"x", kind=None, cookie=None, source=None):
        fields = [(n, v) for n, v in (("Content-Type", kind), ("Cookie", cookie)) if v]
        return get(proxy.address, fields=fields, method="POST", body=body, source=source).get("x-origin")

    assert who(kind="application/json; charset=utf-8") == who(kind="application/problem+json") == "json"
    assert who(kind="application/grpc+proto") == "grpc"
    assert who(kind="text/json") == who() == "app"
    assert who(body=b"x" * 1001) == "large" and who(body=b"x" * 1000) == "app"
    assert who(cookie="beta=on") == who(source="127.0.7.9") == "beta"


# ---------------------------------------------------------------- explain


GROUP = """\
listeners: [{address: "127.0.0.1:1"}]
upstreams:
  app:
    balance: {hash: "header('x-user')"}
    locality:
      from: header('x-region')
      regions: {eu: {}, us: {}}
    servers:
      - {address: 10.0.0.1:80, region: eu, weight: 3}
      - {address: 10.0.0.2:80, region: us}
      - {address: 10.0.0.3:80, region: eu, state: draining}
      - {address: 10.0.0.4:80, region: eu, state: maintenance}
      - {address: 10.0.0.5:80, tier: 1}
routes: [{to: app}]
"""


def explained(stage, text, *args):
    path = f"{stage.folder()}/site.yaml"
    with open(path, "w") as file:
        file.write(text)
    done = command("explain", "-c", path, *args, "GET", "http://example.com/")
    assert done.returncode == 0, done.stderr
    return done.stdout[done.stdout.index("upstream "):]


def test_explain_tells_who_was_considered(stage):
    assert explained(stage, GROUP, "-H", "X-User: alice", "-H", "X-Region: us") == """\
upstream app, balance hash
  key alice
  the client is in region us
     10.0.0.1:80, weight 3
  -> 10.0.0.2:80, weight 1
     10.0.0.3:80, weight 1, left out: draining
     10.0.0.4:80, weight 1, left out: maintenance
     10.0.0.5:80, weight 1, tier 1
"""


def test_explain_tells_the_same_key_the_same_server(stage):
    said = {explained(stage, GROUP, "-H", "X-User: bob", "-H", "X-Region: eu") for _ in range(3)}
    assert len(said) == 1 and "  -> 10.0.0.1:80, weight 3\n" in said.pop()


def test_explain_tells_that_nobody_is_left(stage):
    assert explained(stage, """\
listeners: [{address: "127.0.0.1:1"}]
upstreams:
  app: {servers: [{address: 10.0.0.1:80, state: maintenance}]}
routes: [{to: app}]
""") == """\
upstream app, balance round_robin
     10.0.0.1:80, weight 1, left out: maintenance
  no server can be taken: 503
"""


def test_explain_follows_a_cookie(stage):
    """What explain says of a client's cookie is what happens to it."""
    three = group(stage, "abc")
    proxy = stage.proxy(*three, upstream={"sticky": {"cookie": "lb", "secret": SECRET}})
    for _ in range(4):
        first = get(proxy.address)
        home = next(o for o in three if o.name == first.get("x-origin"))
        said = command("explain", "-c", proxy.config, "-H", f"Cookie: {cookie_of(first)}", "GET", "http://h/").stdout
        assert "the client's cookie names the server" in said
        assert f"-> {home.address}, weight 1\n" in said, said


def test_explain_and_the_proxy_agree_on_keys(stage):
    three = group(stage, "abc")
    proxy = stage.proxy(*three, upstream={"balance": {"hash": "header('x-user')"}}, log=False)
    for user in ("alice", "bob", "carol", "dave"):
        name = get(proxy.address, fields=[("X-User", user)]).get("x-origin")
        home = next(o for o in three if o.name == name)
        said = command("explain", "-c", proxy.config, "-H", f"X-User: {user}", "GET", "http://h/").stdout
        assert f"-> {home.address}," in said, said
