# SPDX-License-Identifier: Apache-2.0
"""
A storm: mutated requests in pieces of any size meet servers that answer with mutated responses, break off or
say nothing.  Any answer will do; the worker lives, lets go of everything, and serves the next client.

MAITRED_STORM=SECONDS makes it last longer, MAITRED_SEED=N repeats another one.
"""
import os
import random
import time

import pytest

from support import process
from support.client import Client, get
from support.origin import serve_forever
from support.wait import eventually
from support.wire import Closed

SECONDS = float(os.environ.get("MAITRED_STORM", "4"))
SEED = int(os.environ.get("MAITRED_SEED", "1"))
REQUESTS = [
    b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: u\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nearly data",
    b"HEAD http://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: u\r\n\r\n",
    b"HTTP/1.1 103 Hi\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 304 N\r\nETag: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil close",
    b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\ntunnel",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
]
TOKENS = [b"\r", b"\n", b"\r\n", b":", b" ", b"\0", b"0", b"chunked", b",", b"Content-Length: 3\r\n", b"\r\n\r\n", b"ffffffff",
          b"\t", b"Host: x\r\n", b"9" * 30, b"x" * 17000]


class Dice(random.Random):
    """All choices of a storm, repeatable by its seed."""

    def mutated(self, raw, probability):
        raw = bytearray(raw)
        for _ in range(self.randint(1, 4) if self.random() < probability else 0):
            at = self.randrange(len(raw) + 1)
            kind = self.randrange(4)
            if kind == 0 and at < len(raw):
                raw[at] = self.randrange(256)
            elif kind == 1:
                del raw[at:at + self.randint(1, 3)]
            elif kind == 2:
                raw[at:at] = self.choice(TOKENS)
            elif self.random() < 0.3:
                del raw[at:]
        return bytes(raw)

    def send(self, stream, data):
        """In pieces, some of them with a pause behind."""
        while data:
            n = self.choice([1, 3, 17, 100, 100000])
            stream.send(data[:n])
            data = data[n:]
            if self.random() < 0.1:
                time.sleep(0.001)


def answering(dice, patient):
    """A server that answers whatever comes; a patient one reads the request first."""

    def script(conn):
        conn.timeout = 0.7
        while True:
            if patient:
                conn.read_request()
            elif not conn.read_some():
                return
            dice.send(conn, dice.mutated(dice.choice(RESPONSES), 0.5))
            fate = dice.random()
            if fate < 0.1:
                conn.reset()
            if fate < 0.3:
                return

    return script


def blow(proxy, dice, until):
    while time.monotonic() < until:
        try:
            with Client(proxy.address, timeout=5) as client:
                dice.send(client, b"".join(dice.mutated(dice.choice(REQUESTS), 0.7) for _ in range(dice.randint(1, 4))))
                fate = dice.random()
                if fate < 0.1:
                    client.reset()
                    continue
                if fate < 0.5:
                    client.shutdown_write()
                client.read_all()
        except TimeoutError:
            raise  # the proxy neither answers nor closes
        except (Closed, OSError):
            pass


@pytest.mark.parametrize("patient", [True, False], ids=["patient", "hasty"])
def test_a_storm(stage, patient):
    dice = Dice(SEED)
    short = {"response": "300ms", "body": "300ms", "tunnel": "300ms", "send": "500ms"}
    origin = stage.origin(answering(dice, patient), backlog=1024)
    good = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=b"calm")))
    origin.failures = _Ignored()  # what the storm sends is not what read_request() expects
    proxy = stage.run(f"""
process: {{drain: 3s}}
listeners: [{{address: "@listen@", head_timeout: 300ms, idle_timeout: 300ms}}]
upstreams:
  storm: {{servers: ["@storm@"], connections: {{idle_timeout: 500ms}}}}
  calm: {{servers: ["@calm@"], connections: {{idle_timeout: 500ms}}}}
routes:
  - {{path: /calm, to: calm}}
  - {{use: [{{timeouts: {{{', '.join(f'{k}: {v}' for k, v in short.items())}}}}}], to: storm}}
""", storm=origin, calm=good)
    assert get(proxy.address, "/calm").body == b"calm"
    blow(proxy, dice, time.monotonic() + SECONDS)
    assert get(proxy.address, "/calm").body == b"calm"
    assert proxy.worker_pid() == proxy.worker, proxy.stderr
    eventually(lambda: process.descriptors(proxy.worker) < 40, 15, "everything is let go")


class _Ignored(list):
    def append(self, _):
        pass
