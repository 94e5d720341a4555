# SPDX-License-Identifier: Apache-2.0
"""Steady load over kept connections, and what came of each request.

    with Load(proxy.address, connections=16) as load:
        ...
    assert not load.failed, load.failed

A request fails when its answer is not 200 or does not come; a connection that the proxy closes between
two requests after saying so (Connection: close) is opened again.
"""
import asyncio
import threading
from collections import Counter

from support.wait import seconds


class Load:
    def __init__(self, address, connections=16, target="/", pause=0.0, timeout=10):
        self.host, port = address.rsplit(":", 1)
        self.port, self.connections, self.pause = int(port), connections, pause
        self.timeout = seconds(timeout)
        self.request = f"GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        self.bodies, self.failed = Counter(), []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    @property
    def done(self):
        return sum(self.bodies.values())

    async def _all(self):
        await asyncio.gather(*(self._one() for _ in range(self.connections)))

    async def _one(self):
        writer = None
        while not self._stop.is_set():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self.host, self.port)
                writer.write(self.request)
                if await asyncio.wait_for(self._response(reader), self.timeout):
                    writer.close()
                    writer = None
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as problem:
                self.failed.append(repr(problem))
                if writer is not None:
                    writer.close()
                writer = None
            if self.pause:
                await asyncio.sleep(self.pause)
        if writer is not None:
            writer.close()

    async def _response(self, reader):
        """Reads one; True when the connection ends with it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields["content-length"]))
        if head.split(" ", 2)[1] == "200":
            self.bodies[body] += 1
        else:
            self.failed.append((head.split("\r\n")[0], body[:200]))
        return fields.get("connection") == "close"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._stop.set()
        self._thread.join(self.timeout + 5)
        assert not self._thread.is_alive(), "the load does not end"
