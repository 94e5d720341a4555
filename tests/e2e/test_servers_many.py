# SPDX-License-Identifier: Apache-2.0
"""Very many servers in very many upstreams: how long the start takes, what they weigh, that their checks do not come
all at once, and that a reload is no storm.  The issue wants 10,000 in 1,000 (MAITRED_FULL=1)."""
import json
import time
from collections import Counter

import pytest

from support.client import get
from support.crowd import Crowd
from support.load import FULL, Load, affordable
from support.maitred import Maitred, sanitized, site
from support.wait import SLOW, eventually, seconds

SERVERS, UPSTREAMS = (10_000, 1_000) if FULL else (1_000, 100)
EVERY_S = 10 if FULL else 3
# So much memory each may have at most, with what the rest of the process needs.
SERVER_KIB, UPSTREAM_KIB = 4, 8


def configuration(crowd, checked=True):
    addresses = crowd.addresses(SERVERS)
    health = {"health": {"every": f"{EVERY_S}s", "timeout": "2s", "jitter": "0%"}} if checked else {}
    upstreams = {f"u{i}": {"servers": addresses[i::UPSTREAMS], **health} for i in range(UPSTREAMS)}
    routes = [{"path": f"/u{i}/", "to": f"u{i}"} for i in range(UPSTREAMS)]
    return site(routes=[{"path": "/status", "use": ["status"]}, *routes], upstreams=upstreams, log=False)


def even(moments, begin, interval):
    """How many fall into each tenth of the interval."""
    tenths = Counter(int((at - begin) / interval * 10) for at in moments if 0 <= at - begin < interval)
    return [tenths[i] for i in range(10)]


@pytest.fixture
def crowd(stage):
    return stage.use(Crowd())


def test_they_start_quickly_and_weigh_little(stage, crowd):
    few = stage.proxy(f"127.1.0.1:{crowd.port}", log=False)
    lone = few.rss_kib()
    many = Maitred(start=False)
    many.write(configuration(crowd, checked=False))
    began = time.monotonic()
    with stage.use(many):
        many.start()
        took, weight = time.monotonic() - began, many.rss_kib() - lone
        print(f"\n    {SERVERS} servers in {UPSTREAMS} upstreams: started in {took:.2f} s, {weight / 1024:.1f} MiB more "
              f"than one ({weight / SERVERS:.2f} KiB for each server)")
        assert get(many.address, "/u7/").status == 200
        if not sanitized():
            assert weight < SERVERS * SERVER_KIB + UPSTREAMS * UPSTREAM_KIB
        assert took < seconds(1 + SERVERS / 2000)


def test_checks_are_spread_and_reloads_are_no_storm(stage, crowd):
    """
    Each is asked for the first time within five seconds, or the interval if that is shorter, and then in a rhythm
    of its own, so that there are as many probes at any time.
    """
    proxy = stage.run(configuration(crowd))
    eventually(lambda: crowd.seen, 5)
    begin = crowd.seen[0][0]
    eventually(lambda: time.monotonic() > begin + 2 * EVERY_S + 0.5, 2 * EVERY_S + 5)
    seen = list(crowd.seen)
    soon, first, second = ({address for at, address in seen if since <= at - begin < until} for since, until in (
        (0, min(5, EVERY_S) + seconds(1)), (0, EVERY_S), (EVERY_S, 2 * EVERY_S)))
    early, later = (even([at for at, _ in seen], begin + since, EVERY_S) for since in (0, EVERY_S))
    print(f"\n    probes in each tenth of the interval: at first {early}, then {later}")
    assert len(soon) == len(first) == SERVERS and len(second) > 0.98 * SERVERS
    assert SLOW or min(later) > 0.4 * SERVERS / 10 and max(later) < 1.8 * SERVERS / 10, later
    assert max(early) < (8 if SLOW else 4) * SERVERS / 10, early

    began, before = time.monotonic(), len(crowd.seen)
    proxy.reload()
    took = time.monotonic() - began
    time.sleep(max(0, EVERY_S / 2 - took))
    asked, during = len(crowd.seen) - before, time.monotonic() - began
    print(f"    reloaded in {took:.2f} s; {asked} probes in the {during:.1f} s since, {SERVERS * during / EVERY_S:.0f} "
          f"by the interval; {proxy.rss_kib() / 1024:.1f} MiB")
    assert 0.5 * during / EVERY_S < asked / SERVERS < 1.5 * during / EVERY_S
    told = json.loads(get(proxy.address, "/status").body)["upstreams"]
    assert Counter(s["state"] for u in told for s in u["servers"]) == {"up": SERVERS}


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_traffic_does_not_notice_checks_and_reloads(stage, crowd):
    proxy = stage.run(configuration(crowd))
    eventually(lambda: len(crowd.seen) >= SERVERS, 2 * EVERY_S + seconds(5))
    with Load(proxy.address, connections=16, rate=affordable(200), target="/u3/") as load:
        time.sleep(1)
        proxy.reload()
        time.sleep(1)
    print(f"\n    {load.summary()}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.percentile(0.9) < seconds(0.2)
