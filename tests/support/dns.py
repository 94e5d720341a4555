# SPDX-License-Identifier: Apache-2.0
"""A name server of our own, and a proxy that asks it.

    names = stage.use(NameServer())
    names.a("app.test", "127.0.0.71")
    names.srv("_http._tcp.app.test", (10, 1, 8080, "a.test"), ttl=5)
    proxy = stage.proxy("app.test:8080", wrap=asking(names, stage.folder()))

The proxy runs in a mount namespace with its own /etc/resolv.conf, which needs root.
"""
import os
import random
import socket
import struct
import subprocess
import threading
from collections import Counter

A, CNAME, AAAA, SRV = 1, 5, 28, 33
_NOERROR, _SERVFAIL, _NXDOMAIN = 0x8180, 0x8182, 0x8183


def can_unshare():
    return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def asking(names, folder):
    """What to put in front of a command so that it asks this name server."""
    path = os.path.join(folder, "resolv.conf")
    with open(path, "w") as file:
        file.write(f"nameserver {names.host}\noptions timeout:1 attempts:2\n")
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', path]


def _wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


class NameServer:
    """Answers over UDP on an own loopback address, port 53; records may change at any time."""

    def __init__(self):
        self.records = {}      # (name, kind) -> [(ttl, data)]
        self.silent = False    # answers nothing
        self.failing = False   # answers SERVFAIL
        self.asked = Counter()  # by (name, kind)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
        self.sock.bind((self.host, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    # ---------------------------------------------------------------- records

    def a(self, name, *hosts, ttl=1):
        self.records[name, A] = [(ttl, socket.inet_aton(host)) for host in hosts]

    def aaaa(self, name, *hosts, ttl=1):
        self.records[name, AAAA] = [(ttl, socket.inet_pton(socket.AF_INET6, host)) for host in hosts]

    def srv(self, name, *targets, ttl=1):
        """targets: (priority, weight, port, name)."""
        self.records[name, SRV] = [(ttl, struct.pack("!3H", *t[:3]) + _wire(t[3])) for t in targets]

    def remove(self, name):
        """There is no such name any more."""
        self.records = {key: value for key, value in self.records.items() if key[0] != name}

    # ---------------------------------------------------------------- wire

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                if not self.silent:
                    self.sock.sendto(self._answer(query), peer)
            except OSError:
                return

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        self.asked[name, kind] += 1
        records = self.records
        answers = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data
                   for ttl, data in records.get((name, kind), [])]
        random.shuffle(answers)  # as name servers do
        known = any(n == name for n, _ in records)
        flags = _SERVFAIL if self.failing else _NOERROR if known else _NXDOMAIN
        if self.failing:
            answers = []
        return query[:2] + struct.pack("!5H", flags, 1, len(answers), 0, 0) + question + b"".join(answers)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()
