# SPDX-License-Identifier: Apache-2.0
"""One server ten times slower than the others: with peak_ewma the clients hardly notice.

Three groups take load at the same time, so that a busy machine does the same to each: with the slow
server by peak_ewma and by round_robin, and without it.
"""
import contextlib
import time

import pytest

from support.fleet import fleet
from support.load import FULL, Load
from support.maitred import address_of, to_yaml
from support.wait import SLOW

FAST_S, SLOW_S = 0.05, 0.5
SECONDS = 20 if FULL else 6
WARM_S = 1  # what is learned at the beginning
# Low enough that the quick ones have little in hand: with ten times as much of it, each would be as bad as the slow one.
RATE = 150


@pytest.mark.skipif(SLOW, reason="a matter of time")
def test_one_of_four_is_ten_times_slower(stage):
    fast = fleet(stage, "abc", delay=FAST_S)
    [slow] = fleet(stage, "s", delay=SLOW_S)
    groups = {"peak": ([*fast, slow], "peak_ewma"), "turns": ([*fast, slow], "round_robin"),
              "without": (fast, "peak_ewma")}
    proxy = stage.run(to_yaml({
        "listeners": [{"address": "@listen@"}],
        "upstreams": {name: {"servers": [address_of(s) for s in servers], "balance": balance}
                      for name, (servers, balance) in groups.items()},
        "routes": [{"path": f"/{name}", "to": name} for name in groups]}))
    loads = {}
    with contextlib.ExitStack() as stack:
        for name in groups:
            loads[name] = stack.enter_context(
                Load(proxy.address, connections=64, rate=RATE, target=f"/{name}"))
        time.sleep(WARM_S + SECONDS)
    p99 = {name: load.percentile(0.99, load.began + WARM_S) for name, load in loads.items()}
    print("\n    p99 in ms:", {name: round(1000 * took, 1) for name, took in p99.items()},
          f"ratio {p99['peak'] / p99['without']:.2f}, by turns {p99['turns'] / p99['without']:.2f};"
          f" to the slow one {loads['peak'].bodies[b's']} of {loads['peak'].done}")
    assert not any(load.failed for load in loads.values())
    assert p99["peak"] <= 1.5 * p99["without"]
    assert p99["turns"] > 3 * p99["without"], "the slow server is not slow, the comparison means nothing"
    assert loads["peak"].bodies[b"s"] > 0, "it is never tried again"
