# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests; everything they start, they stop."""
import contextlib
import os
import resource
import shutil
import socket
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.maitred import BINARY, Maitred, folder, site  # noqa: E402
from support.origin import Origin  # noqa: E402


# Thousands of connections at once need more than the usual 1024 descriptors.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(_soft, min(_hard, 16384)), _hard))


def pytest_report_header():
    return f"maitred: {BINARY}"


class Stage:
    """Everything that a test puts up; taken down in reverse order, the proxies with their assertions."""

    def __init__(self, stack):
        self._stack = stack

    def use(self, thing):
        return self._stack.enter_context(thing)

    def origin(self, script=None, **more):
        origin = Origin(script, **more)
        self._stack.callback(_check_script, origin)
        return self.use(origin)

    def folder(self):
        """A folder that is gone afterwards."""
        path = folder()
        self._stack.callback(shutil.rmtree, path, True)
        return path

    def run(self, text, **more):
        """A proxy with this configuration."""
        return self.use(Maitred(text, **more))

    def proxy(self, *servers, **more):
        """A proxy in front of these servers; options as support.maitred.site() takes them."""
        start = {k: more.pop(k) for k in ("workers", "env", "before", "wrap", "stdout") if k in more}
        return self.run(site(*servers, **more), **start)


def _check_script(origin):
    assert not origin.failures, f"an origin's script failed: {origin.failures!r}"


@pytest.fixture
def stage():
    with contextlib.ExitStack() as stack:
        yield Stage(stack)


@pytest.fixture(scope="module")
def module_stage():
    """For tables of small cases that share a proxy."""
    with contextlib.ExitStack() as stack:
        yield Stage(stack)


@pytest.fixture
def deaf():
    """An address whose backlog is full: connecting to it takes for ever."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    for filler in fillers:
        filler.close()
    listener.close()
