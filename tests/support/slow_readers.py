# SPDX-License-Identifier: Apache-2.0
"""Many clients that each read one answer at a given rate, on one thread of a process of its own.

    with SlowReaders(proxy.address, clients=1000, rate=50 * 1024) as readers:
        ...
        seen = readers.finish()     # {"bytes": [...], "broken": 0, "took": [...]}

Their receive buffers are small, so that what they have not read lies with the proxy.  Of that, Linux takes up to
4 MiB for each connection by itself, over loopback at once: behind a LeanKernel it does not.
"""
import ctypes
import json
import os
import socket
import subprocess
import sys
import time

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
RECEIVE_BYTES = 16 * 1024


def can_be_lean():
    return os.getuid() == 0 and subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


class LeanKernel:
    """A network of our own, for the calling thread and all that it starts, whose sockets keep up to 64 KiB."""

    def __enter__(self):
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "network namespace")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for name in ("tcp_wmem", "tcp_rmem"):
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write("4096 16384 65536")
        return self

    def __exit__(self, *unused):
        _libc.setns(self._home, _CLONE_NEWNET)
        os.close(self._home)


class SlowReaders:
    def __init__(self, address, clients, rate, target="/", within=120):
        self._args = [address, str(clients), str(rate), target, str(within)]
        self._popen = None

    def __enter__(self):
        self._popen = subprocess.Popen([sys.executable, __file__, *self._args], stdout=subprocess.PIPE)
        return self

    def __exit__(self, *unused):
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._popen.stdout.close()

    def finish(self):
        """Waits until all have their answers, or have failed."""
        return json.loads(self._popen.stdout.read())


class _Reader:
    def __init__(self, address, target):
        host, port = address.rsplit(":", 1)
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.sock.connect((host, int(port)))
        self.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        self.sock.setblocking(False)
        self.got, self.began, self.ended, self.broken = 0, time.monotonic(), None, False

    def read(self, rate):
        """As much as is due by now."""
        due = int((time.monotonic() - self.began) * rate) - self.got
        while due > 0:
            try:
                piece = self.sock.recv(min(due, 65536))
            except BlockingIOError:
                return
            except OSError:
                self.broken, piece = True, b""
            if not piece:
                self.ended = time.monotonic()
                self.sock.close()
                return
            self.got += len(piece)
            due -= len(piece)


def _main(address, clients, rate, target, within):
    readers = [_Reader(address, target) for _ in range(int(clients))]
    left, end = list(readers), time.monotonic() + float(within)
    while left and time.monotonic() < end:
        for reader in left:
            reader.read(int(rate))
        left = [reader for reader in left if reader.ended is None]
        time.sleep(0.05)
    print(json.dumps({"bytes": [r.got for r in readers], "broken": sum(r.broken for r in readers) + len(left),
                      "took": [r.ended - r.began for r in readers if r.ended]}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
