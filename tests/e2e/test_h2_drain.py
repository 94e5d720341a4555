# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 connections while the configuration changes or the proxy ends: no request is lost."""
import signal
import struct
import subprocess
import threading
import time

from support.h2 import GOAWAY, H2, NO_ERROR
from support.maitred import site
from support.origin import answer_echo, serve_forever
from support.wait import eventually, seconds, volume


def test_reloading_under_load(stage):
    """h2load sees nothing of it."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * 100))),
                        log=False)
    n = volume(20000)
    load = subprocess.Popen(["h2load", "-n", str(n), "-c", "4", "-m", "16", proxy.url("/")], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    reloads = 0
    while load.poll() is None:
        proxy.reload()
        reloads += 1
    out = load.stdout.read()
    assert f"{n} succeeded, 0 failed, 0 errored" in out and reloads >= 3, (reloads, out)


def test_reload_that_changes_the_listener(stage):
    """What is said of HTTP/2 goes for the next connection, and its limits at once."""
    origin = stage.origin(serve_forever(answer_echo))
    proxy = stage.proxy(origin)
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        proxy.reload(site(origin, listener={"http2": {"control_frames": "10/m"}}))
        for _ in range(20):
            if not h2.ping():
                break
        assert h2.goaway and h2.goaway.words == "listener.http2.control_frames"


class Caller(threading.Thread):
    """Sends requests on connection after connection, as GOAWAY demands, until stopped."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.enough, self.answered, self.lost, self.connections = proxy, False, 0, [], 0

    def run(self):
        try:
            while not self.enough:
                with H2(self.proxy.address) as h2:
                    self.connections += 1
                    self.converse(h2)
        except OSError as e:
            self.lost.append(repr(e))

    def converse(self, h2):
        """Four requests at a time; those above the last one that GOAWAY names were not taken."""
        stream = 1
        while not self.enough and not h2.goaway and not h2.closed:
            batch = range(stream, stream + 8, 2)
            h2.send(b"".join(h2.bytes_of(1, 5, i, h2.block(h2.fields(path=f"/{i}"))) for i in batch))
            for i in batch:
                answer = h2.response(i)
                last = struct.unpack(">I", h2.goaway.payload[:4])[0] if h2.goaway else 1 << 31
                if answer.status == 200 and answer.ended:
                    self.answered += 1
                elif i <= last:
                    self.lost.append((i, last, answer.status, answer.reset))
            stream += 8


def test_a_limit_of_requests_loses_none(stage):
    """Clients that go on sending until they have seen GOAWAY: whatever it says was taken is answered."""
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"requests": 30}, log=False)
    callers = [Caller(proxy) for _ in range(4)]
    for c in callers:
        c.start()
    eventually(lambda: sum(c.connections for c in callers) >= 20, 20)
    for c in callers:
        c.enough = True
        c.join(seconds(10))
        assert not c.lost and c.answered > 50, (c.lost, c.answered)


def test_draining_loses_none(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: (time.sleep(0.02), conn.respond(200)))),
                        process={"drain": "10s"}, log=False)
    callers = [Caller(proxy) for _ in range(6)]
    for c in callers:
        c.start()
    eventually(lambda: all(c.answered > 20 for c in callers), 20)
    proxy.signal(signal.SIGTERM)
    for c in callers:
        c.join(seconds(10))
        # Nobody listens any more: what each of them ends with.
        assert [x for x in c.lost if "refused" not in x] == [], c.lost
    proxy.finish()


def test_draining_an_idle_connection(stage):
    """GOAWAY twice (RFC 9113 6.8): a warning first, so that requests on their way are still taken."""
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), process={"drain": "5s"})
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        proxy.signal(signal.SIGTERM)
        h2.until(lambda f: f.kind == GOAWAY)
        assert struct.unpack(">I", h2.goaway.payload[:4])[0] == 0x7fffffff
        h2.request(3)
        assert h2.response(3).status == 200
        goaway = h2.expect_goaway(NO_ERROR)
        assert struct.unpack(">I", goaway.payload[:4])[0] == 3
    proxy.finish()
