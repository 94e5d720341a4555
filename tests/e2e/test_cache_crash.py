# SPDX-License-Identifier: Apache-2.0
"""The proxy is killed again and again under load: whatever its cache serves afterwards, from memory or disk, is right.

Every answer is a function of path and version.  Each client has paths of its own, on which it does one thing
after the other: it asks, and sometimes raises the version and purges; once a purge has been answered, nothing
older may come any more, however the process ended.
"""
import hashlib
import http.client
import os
import random
import shutil
import signal
import threading
import time

from support import maitred
from support.origin import serve_forever
from support.ports import free_port
from support.process import alive
from support.wait import eventually

FULL = os.environ.get("MAITRED_FULL") == "1"
KILLS = 300 if FULL else 24
CLIENTS, PATHS_EACH = 6, 40


def body_of(path, version):
    """A few bytes to 400 KiB, no two pieces alike; begins with the version."""
    size = int(hashlib.sha256(path.encode()).hexdigest()[:8], 16)
    size = 400000 if size % 16 == 0 else size % 20000
    piece = hashlib.sha256(f"{path} {version}".encode()).digest()
    return f"{version} ".encode() + b"".join(
        bytes(b ^ (i & 255) for b in piece) + i.to_bytes(4, "big") for i in range(size // 36 + 1))


class Site:
    """What the origin knows: the version of each path."""

    def __init__(self):
        self.versions = {}

    def answer(self, conn, request):
        version = self.versions.get(request.target, 0)
        conn.respond(200, fields=[("Cache-Control", "max-age=3600"), ("Cache-Tag", tag_of(request.target))],
                     body=body_of(request.target, version))


def tag_of(path):
    return "t" + path.rsplit("/", 1)[-1]


class Client(threading.Thread):
    """One thing after the other, on its own paths."""

    def __init__(self, site, address, number):
        super().__init__(daemon=True)
        self.site, self.address = site, address
        self.dice = random.Random(number)
        self.paths = [f"/{number}/{number}-{i}" for i in range(PATHS_EACH)]
        self.floor = dict.fromkeys(self.paths, 0)
        self.wrong, self.answers, self.hits, self.purges, self.failures = [], 0, 0, 0, 0
        self.ending = False
        self.conn = None

    def exchange(self, method, path, fields=None):
        """(status, fields, body), or None when the proxy was just dying."""
        try:
            if self.conn is None:
                host, port = self.address.rsplit(":", 1)
                self.conn = http.client.HTTPConnection(host, int(port), timeout=10)
            self.conn.request(method, path, headers=fields or {})
            response = self.conn.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException):
            self.failures += 1
            if self.conn is not None:
                self.conn.close()
            self.conn = None
            time.sleep(0.01)
            return None

    def ask(self, path):
        floor = self.floor[path]
        got = self.exchange("GET", path)
        if got is None or got[0] in (502, 503):
            return
        status, fields, body = got
        version = int(body.split(b" ", 1)[0]) if status == 200 and body[:1].isdigit() else -1
        self.answers += 1
        self.hits += "; hit" in fields.get("Cache-Status", "")
        if version < floor or body != body_of(path, version):
            self.wrong.append((path, status, floor, version, len(body), fields.get("Cache-Status")))

    def change(self, path):
        version = self.site.versions[path] = self.site.versions.get(path, 0) + 1
        fields = self.dice.choice([{}, {"Cache-Tag": tag_of(path)}, {"Cache-Purge": "prefix"}])
        got = self.exchange("PURGE", path, fields)
        if got is not None and got[0] == 200:
            self.floor[path] = version
            self.purges += 1

    def run(self):
        while not self.ending:
            path = self.dice.choice(self.paths)
            if self.dice.random() < 0.08:
                self.change(path)
            self.ask(path)


def start(config, names):
    """With an address that stays; in between, somebody else may have taken it for a while."""

    def begin():
        try:
            return maitred.Maitred(config, **names)
        except AssertionError as e:
            if "in use" not in str(e):
                raise
            return None

    return eventually(begin, 20, "the address is free again")


def kill_worker(proxy, ready):
    worker = proxy.worker_pid()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: proxy.stderr.count("ready: listening") > ready, 10, "a new worker")


def kill_both(proxy):
    """As when the machine has no memory left; the worker first, or it would drain."""
    worker = proxy.worker_pid()
    os.kill(proxy.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    proxy.popen.kill()
    proxy.popen.wait()
    eventually(lambda: not alive(worker), 5)
    proxy.clean()


def test_killed_again_and_again(stage):
    site, folder = Site(), stage.folder()
    origin = stage.origin(serve_forever(site.answer))
    listen = {"listen": f"127.0.0.1:{free_port()}"}
    config = maitred.site(
        origin, use=[{"cache": {"purge": ["127.0.0.0/8"]}}], log=False,
        stores={"default": {"memory": "2MiB", "disk": {"folder": folder, "size": "32MiB"}}})
    proxy = start(config, listen)
    clients = [Client(site, proxy.address, n) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(KILLS):
            time.sleep(random.uniform(0.05, 0.5))
            if number % 8 == 7:
                kill_both(proxy)
                proxy = start(config, listen)
            else:
                kill_worker(proxy, proxy.stderr.count("ready: listening"))
            assert not [c.wrong for c in clients if c.wrong]
        time.sleep(0.3)
    finally:
        for client in clients:
            client.ending = True
        for client in clients:
            client.join(20)
        stderr = proxy.stderr if proxy.popen else ""
        proxy.worker_may_die = True
        proxy.stop()
    assert not [c.wrong for c in clients if c.wrong]
    answers, hits = sum(c.answers for c in clients), sum(c.hits for c in clients)
    purges = sum(c.purges for c in clients)
    print(f"kills={KILLS} answers={answers} hits={hits} purges={purges} "
          f"failed={sum(c.failures for c in clients)}")
    assert "not what was written" not in stderr and "is emptied" not in stderr
    assert answers > 40 * KILLS / 4 and purges > KILLS / 2
    # After each kill memory is empty: that half of all came from the cache is the disk's doing.
    assert hits > answers / 2
    shutil.rmtree(folder, ignore_errors=True)
