# SPDX-License-Identifier: Apache-2.0
"""Deadlines and volumes.  Nothing here sleeps and hopes: everything polls until a deadline.

MAITRED_SLOW=1 (sanitizer builds, busy machines) doubles every deadline and lowers every volume.
"""
import os
import select
import time

SLOW = os.environ.get("MAITRED_SLOW") == "1"


def seconds(normal):
    """A deadline: how long to wait at most before a test is called failed."""
    return normal * 2 if SLOW else normal


def volume(normal, slow=None):
    """How much work a test does; lower under MAITRED_SLOW."""
    if not SLOW:
        return normal
    return slow if slow is not None else max(1, normal // 8)


def eventually(probe, within=10, what=None):
    """Polls until probe() is true and gives what it returned; AssertionError after the deadline."""
    end = time.monotonic() + seconds(within)
    pause = 0.005
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds(within)} s: {what or probe}; last: {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def stays(probe, during, what=None):
    """Checks again and again that probe() stays true for that long."""
    end = time.monotonic() + during
    while time.monotonic() < end:
        assert probe(), f"changed: {what or probe}"
        time.sleep(0.02)


def settled(probe, quiet=0.5, within=15):
    """The value of probe() once it has not changed for `quiet` seconds."""
    end = time.monotonic() + seconds(within)
    value, since = probe(), time.monotonic()
    while time.monotonic() - since < quiet:
        assert time.monotonic() < end, f"never settles; last: {value!r}"
        time.sleep(0.02)
        now = probe()
        if now != value:
            value, since = now, time.monotonic()
    return value


def readable(file, within=0, write=False):
    """True when a descriptor can be read from (or written to) in time.  select() takes none beyond 1023."""
    poll = select.poll()
    poll.register(file, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(max(0, within) * 1000))
