# SPDX-License-Identifier: Apache-2.0
"""Servers at the other end of a bad network: far away, behind a line that loses packets, on a machine that vanishes
without a word.  A process that is killed or frozen says more than that: its kernel still answers."""
import time
from collections import Counter

import pytest

from support.client import get
from support.fleet import states, with_status
from support.line import Line, can_have_lines
from support.load import FULL, Load, affordable
from support.wait import eventually, seconds

pytestmark = pytest.mark.skipif(not can_have_lines(), reason="network namespaces and TUN devices need root")
SECONDS = 15 if FULL else 4
RATE = affordable(400)
IMPATIENT = {"retries": {"attempt_timeout": "1s"}, "passive": {"eject": "1s", "max_eject": "1s"}}


def with_timeouts():
    return with_status({"use": [{"timeouts": {"connect": "500ms", "response": "3s"}}], "to": "app"})


def report(load):
    print(f"\n    {load.summary()}")


def test_a_long_line_that_loses_packets(stage):
    """Delays and lost packets are TCP's business: what is not broken is neither repeated nor given up."""
    line = stage.use(Line(hosts=3, delay=0.02, jitter=0.005, loss=0.01))
    servers = line.fleet(stage, "abc")
    proxy = stage.proxy(*servers, log=False, routes=with_status())
    with Load(proxy.address, connections=64, rate=RATE, method="POST", target="/order/%d", body=b"p" * 5000) as load:
        time.sleep(SECONDS)
    report(load)
    seen = sum((Counter(s.tell()["seen"]) for s in servers), Counter())
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.done == len(seen) and max(seen.values()) == 1
    assert load.percentile(0.5) >= 0.04
    assert states(proxy, *servers) == ["up"] * 3


def test_a_machine_that_vanishes(stage):
    """Nothing comes from it any more, not even a refusal: what is on it waits for one time-out, and nobody fails."""
    line = stage.use(Line(hosts=3, delay=0.002))
    a, b, c = line.fleet(stage, "abc")
    proxy = stage.proxy(a, b, c, log=False, routes=with_timeouts(), upstream=IMPATIENT)
    with Load(proxy.address, connections=64, rate=RATE) as load:
        eventually(lambda: a.requests > 20, 10)
        line.set(cut=[a.host])
        began = time.monotonic()
        eventually(lambda: states(proxy, a)[0] in ("ejected", "resting"), 3)
        out = time.monotonic()
        time.sleep(2)
        line.set(cut=[])
        before = a.requests
        eventually(lambda: a.requests > before + 20, 15, "it is used again")
    report(load)
    slow = load.slower_than(0.5)
    print(f"    left alone after {out - began:.2f} s; {len(slow)} slow, the slowest {max(slow, default=0):.2f} s")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert out - began < seconds(1.5)
    assert max(slow, default=0) < seconds(2.5)
    assert len(load.slower_than(0.5, begin=out + 0.3, end=out + 0.9)) <= 2, "others wait for it as well"


def test_all_machines_vanish(stage):
    """Clients are told within the time-outs; when the line is back they are served within little time."""
    line = stage.use(Line(hosts=2))
    servers = line.fleet(stage, "ab")
    proxy = stage.proxy(*servers, routes=with_timeouts(), upstream=IMPATIENT)
    assert {get(proxy.address).status for _ in range(10)} == {200}
    line.set(cut=line.hosts)
    for _ in range(3):
        began = time.monotonic()
        assert get(proxy.address).status in (502, 503, 504)
        assert time.monotonic() < began + seconds(5)
    reasons = {r["reason"] for r in (proxy.wait_log(13), *proxy.log()) if r["status"] != 200}
    assert reasons <= {"connect_timeout", "connect_failed", "response_timeout", "no_server"}
    line.set(cut=[])
    eventually(lambda: get(proxy.address).status == 200, 10)
    eventually(lambda: {get(proxy.address).body for _ in range(8)} == {b"a", b"b"}, 10, "both are used again")


def test_a_check_notices_a_machine_that_vanishes(stage):
    line = stage.use(Line(hosts=2))
    a, b = line.fleet(stage, "ab")
    check = {"path": "/", "every": "200ms", "timeout": "300ms", "fall": 2, "rise": 1}
    proxy = stage.proxy(a, b, routes=with_status(), log=False, upstream={"health": check})
    eventually(lambda: states(proxy, a, b) == ["up", "up"], 5)
    line.set(cut=[a.host])
    eventually(lambda: states(proxy, a, b) == ["down", "up"], 5)
    line.set(cut=[])
    eventually(lambda: states(proxy, a, b) == ["up", "up"], 10)


@pytest.mark.parametrize("policy", ["peak_ewma", "least_time"])
def test_the_nearer_one_is_preferred(stage, policy):
    line = stage.use(Line(hosts=2))
    line.set(delays={line.hosts[0]: 0.002, line.hosts[1]: 0.05})
    near, far = line.fleet(stage, "nf")
    proxy = stage.proxy(near, far, log=False, upstream={"balance": policy})
    with Load(proxy.address, connections=16, rate=affordable(200)) as load:
        time.sleep(SECONDS)
    report(load)
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.bodies_between(load.began + 1, load.ended)[b"n"] > 0.85 * (load.done - 200)
    assert far.requests > 0
