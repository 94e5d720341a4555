# SPDX-License-Identifier: Apache-2.0
"""Many clients, few connections: a thousand clients, servers that refuse an eleventh connection."""
import time

import pytest

from support.fleet import fleet, status, with_status
from support.load import FULL, Load, affordable
from support.wait import SLOW, seconds

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
    assert longest < 3 * usual, "somebody was overtaken"


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
