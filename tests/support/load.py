# SPDX-License-Identifier: Apache-2.0
"""Steady load over kept connections, from a process of its own, and what came of each request.

    with Load(proxy.address, connections=64, rate=5000) as load:
        ...
    assert not load.failed, load.failed[:5]
    print(load.summary())

With `rate` requests are spread evenly over time and connections; without, each connection sends its
next one `pause` seconds after an answer.  "%d" in the target becomes the number of the request.

Every request is accounted for: it fails when its answer is not 200, is broken, or does not come within
`timeout`.  A connection that the proxy closes between two requests is opened again.
"""
import base64
import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter

from support.wait import SLOW, seconds

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load_process.py")
# The figures as the issue states them; else a short variant of the same.
FULL = os.environ.get("MAITRED_FULL") == "1"


def affordable(rate):
    """So many requests a second: an eighth of that with a sanitizer's binary."""
    return rate / 8 if SLOW else rate


class Load:
    def __init__(self, address, connections=16, target="/", pause=0.0, timeout=10, rate=None, method="GET", body=b"",
                 fields=()):
        host, port = address.rsplit(":", 1)
        head = f"{method} {target} HTTP/1.1\r\nHost: {address}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields)
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        self.timeout = seconds(timeout)
        self._options = json.dumps({
            "host": host, "port": int(port), "connections": connections, "pause": pause, "timeout": self.timeout,
            "interval": connections / rate if rate else 0,
            "head": base64.b64encode(f"{head}\r\n".encode()).decode(), "body": base64.b64encode(body).decode()})
        self._popen = None
        self.began = self.ended = None  # by time.monotonic()
        self.sent, self.took, self.status, self._body, self._names = [], [], [], [], []
        self.failed = []  # what went wrong: words
        self.failed_at = []  # when those were sent
        self.reopened = 0

    def __enter__(self):
        self._popen = subprocess.Popen([sys.executable, PROCESS, self._options], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.began = time.monotonic()
        return self

    def __exit__(self, *unused):
        try:
            out, _ = self._popen.communicate(timeout=self.timeout + 10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise AssertionError("the load does not end") from None
        self.ended = time.monotonic()
        assert self._popen.returncode == 0, "the load broke off"
        told = pickle.loads(out)
        self.sent, self.took, self.status, self._body = (told[k] for k in ("sent", "took", "status", "body"))
        self._names, self.reopened = told["names"], told["reopened"]
        self.failed_at = [when for when, _ in told["failures"]]
        self.failed = [words for _, words in told["failures"]]

    # ---------------------------------------------------------------- what came of it

    @property
    def bodies(self):
        """How often each body came with status 200."""
        return self.bodies_between(0, float("inf"))

    def bodies_between(self, begin, end):
        """The same of requests sent in that time, by time.monotonic()."""
        return Counter(self._names[b] for b, status, at in zip(self._body, self.status, self.sent)
                       if status == 200 and begin <= at < end)

    @property
    def asked(self):
        """All requests that have come to an end, good or bad."""
        answered_badly = sum(status != 200 for status in self.status)
        return len(self.sent) + len(self.failed) - answered_badly

    @property
    def done(self):
        """Answers with status 200."""
        return sum(status == 200 for status in self.status)

    @property
    def rate(self):
        """Answers a second that were reached."""
        return len(self.sent) / (max(self.sent) - min(self.sent)) if len(self.sent) > 1 else 0.0

    def slower_than(self, limit, begin=0, end=float("inf")):
        """How long those took that took longer, of requests sent in that time."""
        return [took for took, at in zip(self.took, self.sent) if took > limit and begin <= at < end]

    def percentile(self, share, begin=0, end=float("inf")):
        took = sorted(t for t, at in zip(self.took, self.sent) if begin <= at < end)
        return took[min(len(took) - 1, int(len(took) * share))]

    def summary(self):
        names = ", ".join(f"{name.decode('latin-1')} {n}" for name, n in sorted(self.bodies.items()))
        took = [f"{1000 * self.percentile(p):.1f}" for p in (0.5, 0.99, 0.999, 1)] if self.took else []
        return (f"{len(self.sent)} answers at {self.rate:.0f}/s, {len(self.failed)} failed; {names}; "
                f"p50/p99/p99.9/max {'/'.join(took)} ms")
