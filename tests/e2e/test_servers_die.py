# SPDX-License-Identifier: Apache-2.0
"""Servers that are killed, started again, frozen and thawed under load: no client notices.

MAITRED_FULL=1 plays it ten times over.
"""
import os
import time
from collections import Counter

from support.fleet import fleet, states, status, with_status
from support.load import FULL, Load, affordable
from support.wait import SLOW, eventually, seconds, stays

RATE = affordable(5000)
ROUNDS = 10 if FULL else 2


def gets_requests(server, n=50):
    before = server.requests
    eventually(lambda: server.requests >= before + n, 15, f"server {server.name} gets requests")


def report(load):
    print(f"\n    {load.summary()}")


def test_one_of_three_is_killed_again_and_again(stage):
    servers = fleet(stage, "abc")
    proxy = stage.proxy(*servers, log=False, upstream={"passive": {"eject": "500ms", "max_eject": "500ms"}})
    with Load(proxy.address, connections=64, rate=RATE) as load:
        for number in range(ROUNDS):
            victim = servers[number % 3]
            gets_requests(victim)
            victim.kill()
            time.sleep(1)
            victim.start()
            gets_requests(victim)
    report(load)
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.rate > 0.5 * RATE
    assert set(load.bodies) == {b"a", b"b", b"c"}


def test_killed_with_nothing_configured(stage):
    """The defaults do: zero failed, and traffic returns when the time of the ejection is over."""
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False)
    with Load(proxy.address, connections=64, rate=RATE) as load:
        gets_requests(a)
        a.kill()
        time.sleep(1)
        if FULL:
            a.start()
            gets_requests(a)
    report(load)
    assert not load.failed, (len(load.failed), load.failed[:5])


def test_two_of_three_are_killed_at_once(stage):
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False)
    with Load(proxy.address, connections=64, rate=RATE) as load:
        gets_requests(a)
        a.kill()
        b.kill()
        time.sleep(2)
    report(load)
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.bodies[b"c"] > load.bodies[b"a"]


TIMEOUT_S = 1.0


def frozen(proxy, a, eject_s):
    """Freezes and thaws a: when it was frozen, when the proxy left it alone, when it was in use again."""
    gets_requests(a)
    time.sleep(1)
    a.pause()
    began = time.monotonic()
    eventually(lambda: states(proxy, a) == ["ejected"], TIMEOUT_S + 2, "ejected")
    out = time.monotonic()
    time.sleep(1)
    a.resume()
    gets_requests(a)
    assert time.monotonic() < out + seconds(eject_s + 3)
    return began, out


def check_frozen(load, began, out):
    # Those that were on it wait for one time-out, and then somebody else answers.
    slow = load.slower_than(TIMEOUT_S / 2)
    late = load.slower_than(TIMEOUT_S / 2, begin=began + TIMEOUT_S / 2)
    report(load)
    print(f"    {len(slow)} slow, the slowest {max(slow):.2f} s; {len(late)} of them sent {TIMEOUT_S / 2} s after the "
          f"freeze or later; ejected after {out - began:.2f} s")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert out - began < seconds(TIMEOUT_S + 0.5)
    assert max(slow) < seconds(2 * TIMEOUT_S)
    return slow, late


def test_one_of_three_is_frozen(stage):
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False, routes=with_status(), upstream={
        "retries": {"attempt_timeout": "1s"}, "passive": {"eject": "2s", "max_eject": "2s"}})
    connections = 256
    for _ in range(5 if FULL else 1):
        with Load(proxy.address, connections=connections, rate=RATE) as load:
            began, out = frozen(proxy, a, 2)
        slow, late = check_frozen(load, began, out)
        # It is found out after a tenth of a second; it may have got that long its third of all.
        assert SLOW or len(slow) < RATE / 3 * 0.4
        assert SLOW or not late, late[:5]


def test_frozen_with_the_time_out_of_the_route(stage):
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False, upstream={"passive": {"eject": "2s", "max_eject": "2s"}},
                        routes=with_status({"use": [{"timeouts": {"response": "1s"}}], "to": "app"}))
    with Load(proxy.address, connections=64, rate=RATE) as load:
        began, out = frozen(proxy, b, 2)
    _, late = check_frozen(load, began, out)
    assert SLOW or not late, late[:5]


def test_killed_with_checks(stage):
    """Health checks find it out too; whoever is first, nobody fails."""
    a, b, c = fleet(stage, "abc")
    check = {"path": "/", "every": "200ms", "timeout": "1s", "fall": 2, "rise": 1}
    proxy = stage.proxy(a, b, c, log=False, routes=with_status(),
                        upstream={"health": check, "passive": {"eject": "300ms", "max_eject": "300ms"}})
    with Load(proxy.address, connections=64, rate=RATE) as load:
        gets_requests(a)
        a.kill()
        eventually(lambda: states(proxy, a) == ["down"], 5)
        stays(lambda: states(proxy, a) == ["down"], 0.7, "the end of an ejection changes nothing")
        a.start()
        eventually(lambda: states(proxy, a) == ["up"], 5)
        gets_requests(a)
    report(load)
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert status(proxy)["guard"]["inflight"] == 0


# ---------------------------------------------------------------- requests that must not be repeated


def orders(proxy):
    return Load(proxy.address, connections=64, rate=RATE / 5, method="POST", target="/order/%d", body=b"pizza")


def read_journals(folder, names):
    seen = Counter()
    for name in names:
        with open(os.path.join(folder, name)) as file:
            seen.update(file.read().split())
    return seen


def check_orders(load, seen, at_risk):
    report(load)
    assert max(seen.values()) == 1, seen.most_common(3)
    assert load.done <= len(seen) <= load.asked
    assert len(load.failed) <= at_risk, (len(load.failed), load.failed[:5])


def test_orders_when_a_server_is_killed(stage):
    """Those that it had read fail; all others, also those on their way to it, go elsewhere; none is seen twice."""
    folder = stage.folder()
    servers = fleet(stage, "abc", delay=0.02)
    for server in servers:
        server.set(journal=os.path.join(folder, server.name))
    proxy = stage.proxy(*servers, log=False, upstream={"passive": {"eject": "300ms", "max_eject": "300ms"}})
    with orders(proxy) as load:
        for number in range(ROUNDS):
            time.sleep(0.7)
            servers[number % 3].kill()
            time.sleep(0.7)
            servers[number % 3].start()
    check_orders(load, read_journals(folder, "abc"), ROUNDS * 64)
    assert load.failed, "nothing was on the servers that were killed, so nothing is proved"


def test_orders_when_a_server_is_frozen(stage):
    """What was on it is not repeated, since it may go on with it when it thaws, as it does here."""
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False, upstream={"retries": {"attempt_timeout": "500ms"}})
    with orders(proxy) as load:
        time.sleep(0.5)
        a.pause()
        time.sleep(1.5)
        a.resume()
        time.sleep(0.5)
    check_orders(load, sum((Counter(s.tell()["seen"]) for s in (a, b, c)), Counter()), 64)
    assert load.failed
