# SPDX-License-Identifier: Apache-2.0
"""Servers at the other end of a line that is long, loses packets, and can be cut: what `tc netem` does, for kernels
that do not have it.

    line = stage.use(Line(hosts=3, delay=0.02, loss=0.01))
    servers = line.fleet(stage, "abc")     # each on a machine (an address) of its own
    proxy = stage.proxy(*servers)          # at this end
    line.set(cut=[servers[0].host])        # nothing gets there or back any more
    line.set(cut=[], delays={servers[1].host: 0.2})

There are two network namespaces with a TUN device each, and a process (line_process.py) that carries packets from one
to the other.  While a line is up, the calling thread, and all that it starts, is in the near one.  Needs root.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import struct
import subprocess
import sys

from support.fleet import Server
from support.wait import readable, seconds

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "line_process.py")
TUN = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def can_have_lines():
    return os.getuid() == 0 and os.access(TUN, os.R_OK | os.W_OK) and \
        subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


def _check(result):
    if result:
        raise OSError(ctypes.get_errno(), "network namespace")


def _namespace():
    """Of this thread."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _enter(namespace):
    _check(_libc.setns(namespace, _CLONE_NEWNET))


def _ip(*words):
    subprocess.run(["ip", *words], check=True)


def _make_end(name, addresses):
    """A namespace of our own, which the thread enters, and the end of the line in it: descriptors of both."""
    _check(_libc.unshare(_CLONE_NEWNET))
    tun = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    _ip("link", "set", "lo", "up")
    for address in addresses:
        _ip("address", "add", f"{address}/24", "dev", name)
    _ip("link", "set", name, "up")
    return _namespace(), tun


class Line:
    def __init__(self, hosts=1, **settings):
        self.hosts = [f"10.88.0.{11 + i}" for i in range(hosts)]
        self._settings = settings
        self._home = self._far = self._near = self._popen = None

    def __enter__(self):
        self._home = _namespace()
        ends = []
        try:
            self._far, end = _make_end("far", self.hosts)
            ends.append(end)
            self._near, end = _make_end("near", ["10.88.0.1"])
            ends.append(end)
            self._popen = subprocess.Popen([sys.executable, PROCESS, *map(str, ends)], pass_fds=ends,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.set(**self._settings)
        except BaseException:
            self.__exit__()
            raise
        finally:
            for end in ends:
                os.close(end)
        return self

    def __exit__(self, *unused):
        _enter(self._home)
        if self._popen:
            self._popen.kill()
            self._popen.wait()
            self._popen.stdin.close()
            self._popen.stdout.close()
        for namespace in (self._home, self._far, self._near):
            if namespace is not None:
                os.close(namespace)

    def set(self, **settings):
        """delay, jitter (seconds each way), loss (share), cut (hosts), delays (by host, instead of delay)."""
        self._popen.stdin.write(json.dumps(settings).encode() + b"\n")
        self._popen.stdin.flush()
        ready = readable(self._popen.stdout, seconds(10))
        assert ready and self._popen.stdout.readline(), "the line is dead"

    @contextlib.contextmanager
    def far(self):
        """At the other end."""
        _enter(self._far)
        try:
            yield
        finally:
            _enter(self._near)

    def fleet(self, stage, names, **settings):
        """A server for each name, each on a host of its own."""
        with self.far():
            return [stage.use(Server(name, host=host, **settings)) for name, host in zip(names, self.hosts)]
