# SPDX-License-Identifier: Apache-2.0
"""Many clients, few connections: a thousand clients, servers that refuse an eleventh connection; and the limits of
a group, those that are configured and the one that is learned."""
import contextlib
import time

import pytest

from support.client import Client, get
from support.fleet import fleet, status, with_status
from support.load import FULL, Load, affordable
from support.wait import SLOW, eventually, seconds

SECONDS = 30 if FULL else 4
CLIENTS = 200 if SLOW else 1000
LIMIT = 10


def check(load, servers, longest_s):
    told = [s.tell() for s in servers]
    print(f"\n    {load.summary()}; connections at most {[t['most'] for t in told]}, "
          f"made {[t['accepted'] for t in told]}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert [t["over"] for t in told] == [0] * len(servers)
    assert max(t["most"] for t in told) <= LIMIT
    assert not load.slower_than(seconds(longest_s))


@pytest.mark.parametrize("delay", [0.0, 0.01], ids=["at once", "in 10 ms"])
@pytest.mark.parametrize("balance", ["round_robin", "least_connections"])
def test_ten_connections_to_each_of_ten_servers(stage, delay, balance):
    """Each client wants an answer every 100 ms."""
    servers = fleet(stage, "abcdefghij", delay=delay, max_connections=LIMIT)
    proxy = stage.proxy(*[{"address": s, "max_connections": LIMIT} for s in servers], log=False,
                        upstream={"balance": balance})
    with Load(proxy.address, connections=CLIENTS, rate=affordable(CLIENTS * 10), timeout=15) as load:
        time.sleep(SECONDS)
    check(load, servers, 2)


def test_a_thousand_wait_in_line_and_none_starves(stage):
    """Far more wish than two servers can do: all wait about as long."""
    servers = fleet(stage, "ab", delay=0.01, max_connections=LIMIT)
    proxy = stage.proxy(*[{"address": s, "max_connections": LIMIT} for s in servers], log=False,
                        routes=with_status())
    with Load(proxy.address, connections=CLIENTS, timeout=15) as load:
        time.sleep(SECONDS)
        told = status(proxy)
    check(load, servers, 5)
    later = load.began + 1.5
    usual, longest = load.percentile(0.5, later), load.percentile(1, later)
    print(f"    wait: usual {usual:.3f} s, longest {longest:.3f} s; in line {told['guard']['pending']}")
    assert told["waited"] > CLIENTS
    assert SLOW or longest < 3 * usual, "somebody was overtaken"


def test_the_limit_holds_when_servers_close_at_random(stage):
    servers = fleet(stage, "abc", max_connections=LIMIT, closing=0.1, spread=0.004)
    proxy = stage.proxy(*[{"address": s, "max_connections": LIMIT} for s in servers], log=False)
    with Load(proxy.address, connections=CLIENTS // 4, timeout=15) as load:
        time.sleep(SECONDS)
    check(load, servers, 5)
    assert sum(s.tell()["accepted"] for s in servers) > 100


def test_connections_that_are_free_go_where_they_are_wanted(stage):
    """One connection only, and two workers: it wanders between them."""
    [server] = fleet(stage, "a", max_connections=1)
    proxy = stage.proxy({"address": server, "max_connections": 1}, log=False)
    with Load(proxy.address, connections=16, rate=affordable(500)) as load:
        time.sleep(2)
    told = server.tell()
    print(f"\n    {load.summary()}; made {told['accepted']}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert told["over"] == 0 and told["accepted"] < 20


# ---------------------------------------------------------------- limits of the whole group


def refused(proxy, target="/beyond"):
    """What one more request gets, and which limit the log names for it."""
    response = get(proxy.address, target)
    assert response.status == 503 and int(response.get("retry-after")) >= 1
    record = proxy.wait_log(target=target)
    return record["reason"], record["limit"].split(" at ")[0]


@contextlib.contextmanager
def under_way(proxy, server, n, at_server):
    """n requests, each over a connection of its own and so on any worker, that have no answer yet; some still wait."""
    with contextlib.ExitStack() as stack:
        for i in range(1, n + 1):
            stack.enter_context(Client(proxy.address, timeout=30)).request()
            eventually(lambda i=i: server.requests == min(i, at_server), 10, "it has arrived, or waits")
            eventually(lambda i=i: status(proxy)["guard"]["inflight"] == i)
        yield


GROUP_LIMITS = {
    # name of the limit: options of the server, of the upstream, how many are let in, how many of those reach the server
    "breaker.requests": ({}, {"breaker": {"requests": 3}}, 3, 3),
    "breaker.connections": ({}, {"breaker": {"connections": 2}, "connections": {"patience": "0"}}, 2, 2),
    "breaker.pending": ({"max_connections": 1}, {"breaker": {"pending": 2}}, 3, 1),
}


@pytest.mark.parametrize("name", GROUP_LIMITS)
def test_a_limit_of_the_group(stage, name):
    """Reached by both workers together: the next one is refused at once, and served when there is room again."""
    of_server, of_upstream, n, at_server = GROUP_LIMITS[name]
    [server] = fleet(stage, "a", play="hang")
    proxy = stage.proxy({"address": server, **of_server}, routes=with_status(), upstream=of_upstream)
    with under_way(proxy, server, n, at_server):
        assert refused(proxy) == ("servers_busy", name)
        assert status(proxy)["guard"]["refused"] == (1 if name == "breaker.requests" else 0)
        server.set(play="answer")
    eventually(lambda: status(proxy)["guard"]["inflight"] == 0, 10, "those who waited have left")
    assert get(proxy.address).status == 200


def test_a_limit_of_requests_holds_under_load(stage):
    """Hundreds want in at once: never more than so many are at the server, and who is refused is told so at once."""
    [server] = fleet(stage, "a", delay=0.01)
    proxy = stage.proxy(server, log=False, routes=with_status(), upstream={"breaker": {"requests": 20}})
    with Load(proxy.address, connections=CLIENTS // 5, pause=0.005) as load:
        time.sleep(SECONDS / 2)
    most = server.tell()["most_waiting"]
    print(f"\n    {load.summary()}; at most {most} at a time")
    assert load.done > 100 and load.failed
    assert all(words.startswith("503 ") for words in load.failed), load.failed[:3]
    assert 15 <= most <= 20
    assert not load.slower_than(seconds(1))
    assert status(proxy)["guard"]["inflight"] == 0


@pytest.mark.skipif(SLOW, reason="a matter of latency")
def test_a_limit_that_nobody_configured_is_learned(stage):
    """
    A server that does one thing at a time, 5 ms each, and clients who want four times of what it can: without
    a limit all wait for the others; with a learned one those who are let in are served in little time.
    """
    def took(concurrency):
        [server] = fleet(stage, "a", busy=0.005)
        proxy = stage.proxy(server, log=False, routes=with_status(), upstream={
            **({"concurrency": concurrency} if concurrency else {}), "passive": {"errors": 0}})
        with Load(proxy.address, connections=200, rate=800, timeout=15) as load:
            time.sleep(max(SECONDS, 6))
            limit = status(proxy)["guard"]["limit"]
        print(f"\n    limit {limit}; {load.summary()}")
        assert load.done > 100 * SECONDS, "the server is kept busy"
        later = load.began + 3
        served = sorted(t for t, code, at in zip(load.took, load.status, load.sent) if code == 200 and at > later)
        return served[len(served) // 2], limit, load

    without, _, unlimited = took(None)
    learned, limit, limited = took({"max": 500, "min": 2})
    print(f"    usually served after {1000 * without:.0f} ms without, {1000 * learned:.0f} ms with the limit")
    assert not unlimited.failed
    assert all(words.startswith("503 ") for words in limited.failed) and limited.failed
    assert 2 <= limit <= 60
    assert learned < without / 2
