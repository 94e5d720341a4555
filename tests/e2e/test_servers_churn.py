# SPDX-License-Identifier: Apache-2.0
"""Servers added, weighted, drained and removed by reloads, each second, under load: no request fails.

The same by a watched file is in test_discovery.py.  MAITRED_FULL=1 goes on for a minute.
"""
import random
import time

from support.fleet import fleet
from support.load import FULL, Load, affordable
from support.maitred import address_of, site

SECONDS = 60 if FULL else 7


def draw(dice, servers, number):
    """Some of them, with weights and states, at least one of them ready; by turns one that was not there."""
    chosen = dice.sample(servers, dice.randint(2, len(servers)))
    fresh = servers[number % len(servers)]
    chosen = [fresh] + [s for s in chosen if s is not fresh]
    return [{"address": s, "weight": dice.randint(1, 5),
             "state": "ready" if i == 0 else dice.choice(["ready", "ready", "draining", "maintenance"])}
            for i, s in enumerate(chosen)]


def test_reloads_each_second_under_load(stage):
    servers = fleet(stage, "abcde", spread=0.004)
    dice = random.Random(5)
    proxy = stage.proxy(*servers, log=False)
    with Load(proxy.address, connections=64, rate=affordable(2000)) as load:
        for number in range(SECONDS):
            proxy.reload(site(*draw(dice, servers, number), log=False))
            time.sleep(1)
    print(f"\n    {SECONDS} reloads; {load.summary()}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert set(load.bodies) == {s.name.encode() for s in servers}
    assert load.reopened == 0


def test_servers_that_leave_are_really_stopped(stage):
    """Removed by a reload, then killed at once, as a deployment does: what they were serving they finish first."""
    old, new = fleet(stage, "ab", delay=0.05)
    proxy = stage.proxy(old, log=False)
    with Load(proxy.address, connections=64, rate=affordable(600)) as load:
        for _ in range(5 if FULL else 2):
            time.sleep(0.5)
            proxy.reload(site(new, log=False))
            began = time.monotonic()
            while old.tell()["connections"]:  # idle ones are closed, busy ones after their answer
                assert time.monotonic() < began + 5, f"{address_of(old)} is not left alone"
                time.sleep(0.01)
            old.kill()
            old.start()
            old, new = new, old
    print(f"\n    {load.summary()}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert not load.slower_than(2)
