# SPDX-License-Identifier: Apache-2.0
"""Second attempts: who gets one, who never, how many there may be; hedged reads."""
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.fleet import fleet, status, with_status
from support.load import FULL, Load, affordable
from support.wait import eventually, seconds

SECONDS = 15 if FULL else 3
RATE = affordable(1000)
# So that a server that fails stays in use.
UNJUDGED = {"errors": 0}


def run(load):
    with load:
        time.sleep(SECONDS)
    print(f"\n    {load.summary()}")
    return load


def asked(servers):
    """Requests that servers saw, by target, of those that change something."""
    return sum((Counter(s.tell()["seen"]) for s in servers), Counter())


# ---------------------------------------------------------------- the budget


@pytest.mark.parametrize("play, share", [("drop", 1.0), ("reset", 1.0), ("drop", 0.5), ("reset", 0.5)])
def test_a_dead_group_is_not_hammered(stage, play, share):
    """Whatever clients want: attempts are at most the budget more than requests."""
    servers = fleet(stage, "abc", play=play, share=share)
    proxy = stage.proxy(*servers, log=False, routes=with_status(), upstream={
        "retries": {"attempts": 2, "budget": "20%", "floor": 1}, "passive": UNJUDGED})
    load = run(Load(proxy.address, connections=32, rate=RATE))
    wanted, got = load.asked, sum(s.requests for s in servers)
    print(f"    {wanted} requests, {got} at servers, {status(proxy)['retries']} retries")
    assert load.failed and wanted > 0.5 * RATE * SECONDS
    assert wanted < got <= 1.2 * wanted + 1 * 10 + 10


def test_a_budget_of_nothing(stage):
    servers = fleet(stage, "abc", play="drop")
    proxy = stage.proxy(*servers, log=False, upstream={
        "retries": {"attempts": 2, "budget": "0%", "floor": 0}, "passive": UNJUDGED})
    assert [get(proxy.address).status for _ in range(20)] == [502] * 20
    assert sum(s.requests for s in servers) == 20


@pytest.mark.parametrize("play", ["drop", "reset"])
def test_an_order_is_never_sent_twice(stage, play):
    """A POST that a server may have seen is answered by 502; all that were not seen are tried elsewhere."""
    servers = fleet(stage, "abc", play=play, share=0.3)
    proxy = stage.proxy(*servers, log=False, upstream={
        "retries": {"attempts": 3, "budget": "100%"}, "passive": UNJUDGED})
    load = run(Load(proxy.address, connections=32, rate=RATE, method="POST", target="/order/%d", body=b"pizza"))
    seen = asked(servers)
    assert max(seen.values()) == 1, seen.most_common(3)
    assert len(seen) == load.done + len(load.failed)  # each was seen once, done or not
    assert 0.2 * len(seen) < len(load.failed) < 0.4 * len(seen)


def test_puts_are_repeated(stage):
    """The same with a method that may be: nobody fails."""
    servers = fleet(stage, "abc", play="drop", share=0.1)
    proxy = stage.proxy(*servers, log=False, upstream={
        "retries": {"attempts": 10, "budget": "100%"}, "passive": UNJUDGED})
    load = run(Load(proxy.address, connections=32, rate=RATE, method="PUT", target="/shelf/%d", body=b"book"))
    seen = asked(servers)
    # All three in a row dropped one in a thousand.
    assert len(load.failed) <= 0.003 * load.done + 3, (len(load.failed), load.failed[:3])
    assert max(seen.values()) > 1 and len(seen) == load.done + len(load.failed)


@pytest.mark.parametrize("code", [429, 503])
def test_statuses_are_tried_elsewhere_under_load(stage, code):
    a, b, c = fleet(stage, "abc")
    a.set(status=code)
    proxy = stage.proxy(a, b, c, log=False, upstream={
        "retries": {"attempts": 2, "statuses": [429, 503], "budget": "50%"}, "passive": UNJUDGED})
    load = run(Load(proxy.address, connections=32, rate=RATE))
    assert not load.failed, (len(load.failed), load.failed[:3])
    assert load.bodies[b"a"] == 0 and a.requests > 0.2 * load.done


# ---------------------------------------------------------------- what counts as a failure


def play_garbage(conn):
    conn.read_request()
    conn.send(b"what do you want?\r\n\r\n")


def play_reset(conn):
    conn.read_request()
    conn.reset()


def play_silence(conn):
    conn.read_request()
    conn.wait_end(30)


PLAYS = {"reset": (play_reset, 502, "server_reset"), "timeout": (play_silence, 504, "response_timeout"),
         "malformed": (play_garbage, 502, "response_malformed")}


@pytest.mark.parametrize("on", [*PLAYS, "connect"])
@pytest.mark.parametrize("trouble", PLAYS)
def test_only_what_is_named_is_tried_again(stage, trouble, on):
    script, code, reason = PLAYS[trouble]
    bad, [good] = stage.origin(script), fleet(stage, "g")
    proxy = stage.proxy(bad, good, workers=1, routes=[{"use": [{"timeouts": {"response": "200ms"}}], "to": "app"}],
                        upstream={"retries": {"attempts": 1, "on": [on]}, "passive": UNJUDGED})
    answers = [get(proxy.address).status for _ in range(4)]  # by turns
    if trouble == on:
        assert answers == [200] * 4
    else:
        assert code in answers and 200 in answers and set(answers) == {code, 200}
        assert proxy.wait_log(status=code)["reason"] == reason


def test_what_cannot_be_connected_is_not_tried_again_unless_named(stage):
    bad, good = fleet(stage, "bg")
    bad.kill()
    for on, wanted in (["reset"], {200, 502}), (["connect"], {200}):
        proxy = stage.proxy(bad, good, workers=1, upstream={"retries": {"attempts": 1, "on": on}, "passive": UNJUDGED})
        assert {get(proxy.address).status for _ in range(4)} == wanted


def test_each_attempt_is_on_a_server_not_yet_tried(stage):
    """Four of five fail: four more attempts, whichever it began with, are enough, and none asks the same one twice."""
    servers = fleet(stage, "abcde", play="drop")
    servers[3].set(play="answer")
    for balance in ("round_robin", "random", "least_connections", "two_choices", "peak_ewma", "hash"):
        proxy = stage.proxy(*servers, log=False, upstream={
            "balance": balance, "retries": {"attempts": 4, "budget": "100%", "floor": 1000}, "passive": UNJUDGED})
        before = [s.requests for s in servers]
        assert [get(proxy.address).body for _ in range(10)] == [b"d"] * 10
        now = [s.requests for s in servers]
        assert all(n - b <= 10 for n, b in zip(now, before)), (balance, before, now)


# ---------------------------------------------------------------- time


def test_attempts_have_their_own_time(stage):
    """One attempt waits for 200 ms; the last of them as long as the response may take."""
    a, b = fleet(stage, "ab", delay=0.6)
    proxy = stage.proxy(a, b, routes=with_status({"use": [{"timeouts": {"response": "2s"}}], "to": "app"}), upstream={
        "retries": {"attempts": 1, "attempt_timeout": "200ms"}, "passive": UNJUDGED})
    began = time.monotonic()
    assert get(proxy.address).status == 200
    took = time.monotonic() - began
    assert 0.8 <= took < seconds(1.5)
    assert (a.requests, b.requests) == (1, 1)
    eventually(lambda: a.tell()["abandoned"] + b.tell()["abandoned"] == 1, 5, "the first attempt is cancelled")


def test_an_order_waits_in_vain(stage):
    """No answer in time is no proof that it was not seen."""
    a, b = fleet(stage, "ab", play="hang")
    proxy = stage.proxy(a, b, upstream={"retries": {"attempts": 1, "attempt_timeout": "200ms"}})
    assert get(proxy.address, "/order", method="POST", body=b"pizza").status == 504
    assert asked([a, b]) == {"/order": 1}
    assert proxy.wait_log(status=504)["reason"] == "response_timeout"


# ---------------------------------------------------------------- hedging


def hedged(stage, servers, **more):
    return stage.proxy(*servers, log=False, routes=with_status(), upstream={"hedge": "60ms", **more})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_second_wins_and_the_first_is_cancelled(stage, method):
    slow, quick = fleet(stage, "ab")
    slow.set(delay=5)
    proxy = hedged(stage, [slow, quick])
    for _ in range(10):
        began = time.monotonic()
        response = get(proxy.address, method=method)
        assert (response.status, response.get("x-origin")) == (200, "b")
        assert time.monotonic() - began < seconds(1)
    hedges = status(proxy)["hedges"]
    assert hedges == slow.requests >= 3
    eventually(lambda: slow.tell()["abandoned"] == hedges, 3, "all losers are cancelled, and their server sees it")
    assert status(proxy)["guard"]["inflight"] == 0


def test_the_first_wins_though_a_second_was_asked(stage):
    a, b = fleet(stage, "ab", delay=0.2)
    proxy = hedged(stage, [a, b])
    with Client(proxy.address) as client:
        for _ in range(4):
            assert client.get().status == 200
    assert (a.requests, b.requests) == (4, 4)
    eventually(lambda: a.tell()["abandoned"] + b.tell()["abandoned"] == 4, 5)


def test_only_reads_are_hedged(stage):
    a, b = fleet(stage, "ab", delay=0.2)
    proxy = hedged(stage, [a, b])
    for number in range(4):
        assert get(proxy.address, f"/{number}", method="POST", body=b"x").status == 200
        assert get(proxy.address, f"/put/{number}", method="PUT", body=b"x").status == 200
    assert max(asked([a, b]).values()) == 1 and status(proxy)["hedges"] == 0


def test_a_first_server_that_fails_while_a_second_is_asked(stage):
    """The one is asked, says nothing; the other is asked, drops the connection: the first answers after all."""
    a, b = fleet(stage, "ab")
    a.set(delay=0.4)
    b.set(play="drop")
    proxy = hedged(stage, [a, b])
    for _ in range(6):
        assert get(proxy.address).status == 200


def test_hedging_is_bounded_by_the_budget(stage):
    """All servers are slow: a second attempt for everybody would double the load."""
    servers = fleet(stage, "abc", delay=0.15)
    proxy = hedged(stage, servers, retries={"budget": "10%", "floor": 1})
    load = run(Load(proxy.address, connections=100, rate=RATE / 2))
    told, got = status(proxy), sum(s.requests for s in servers)
    print(f"    {told['hedges']} hedges of {told['exchanges']}")
    assert not load.failed, (len(load.failed), load.failed[:3])
    assert 0 < told["hedges"] <= 0.1 * told["exchanges"] + 1 * 10 + 2
    assert told["exchanges"] < got <= told["exchanges"] + told["hedges"]  # some are cancelled on their way


def test_the_tail_is_cut(stage):
    """A twentieth of the answers takes a second; hedged, hardly one client waits for it."""
    servers = fleet(stage, "abc", play="answer")
    servers[0].set(spread=0.0, delay=0.0)
    stutter = fleet(stage, "s", delay=1.0)[0]
    proxy = hedged(stage, [{"address": s, "weight": 6} for s in servers] + [stutter])
    load = run(Load(proxy.address, connections=64, rate=RATE / 2))
    told = stutter.tell()
    assert not load.failed, (len(load.failed), load.failed[:3])
    assert told["requests"] > 0
    assert load.percentile(1, load.began + 0.5) < seconds(0.5)
    eventually(lambda: stutter.tell()["abandoned"] == told["requests"], 5, "and each loser is cancelled")
