# SPDX-License-Identifier: Apache-2.0
"""Upgraded connections: WebSocket through Debian's python3-websockets, and raw tunnels."""
import asyncio
import os
import threading
import time

import pytest
import websockets

from support.client import Client
from support.maitred import site
from support.origin import echoed, serve_forever
from support.wait import eventually, seconds

HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "raw")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


class WebSocketServer:
    """A real WebSocket server on a thread of its own: echoes, and closes with 4001 when told "bye"."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(seconds(10))

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.run_forever()

    async def _serve(self):
        self.server = await websockets.serve(self._echo, "127.0.0.1", 0, max_size=1 << 26, subprotocols=["chat"])
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        self.ready.set()

    async def _echo(self, socket):
        async for message in socket:
            if message == "bye":
                await socket.close(4001, "as you wish")
            else:
                await socket.send(message)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(seconds(10))


@pytest.fixture
def server(stage):
    return stage.use(WebSocketServer())


def talk(run):
    """Runs a coroutine with a deadline."""
    return asyncio.run(asyncio.wait_for(run, seconds(30)))


def connect(proxy, **more):
    return websockets.connect(f"ws://{proxy.address}/chat?room=1", max_size=1 << 26, ping_interval=None, **more)


def test_websocket_needs_no_configuration(stage, server):
    proxy = stage.proxy(server)

    async def scenario():
        async with connect(proxy, subprotocols=["chat"]) as socket:
            assert socket.subprotocol == "chat"
            await socket.send("hello")
            assert await socket.recv() == "hello"
            blob = os.urandom(3_000_000)
            await socket.send(blob)
            assert await socket.recv() == blob
            pong = await socket.ping()
            await pong
            for number in range(200):
                await socket.send(str(number))
            assert [await socket.recv() for _ in range(200)] == [str(n) for n in range(200)]
            await socket.send("bye")
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4001, "as you wish")

    talk(scenario())
    record = proxy.wait_log(status=101)
    assert record["target"] == "/chat?room=1" and record["upstream"] == "app"


def test_websocket_with_the_proxy_command(stage, server):
    proxy = stage.run(None, args=["proxy", "--from", "@listen@", "--to", server.address])

    async def scenario():
        async with connect(proxy) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"

    talk(scenario())


def test_many_websockets(stage, server):
    proxy = stage.proxy(server)

    async def one(number):
        async with connect(proxy) as socket:
            for turn in range(10):
                await socket.send(f"{number}:{turn}")
                assert await socket.recv() == f"{number}:{turn}"

    async def scenario():
        await asyncio.gather(*(one(n) for n in range(50)))

    talk(scenario())


def test_a_websocket_survives_reloads(stage, server):
    proxy = stage.proxy(server)

    async def scenario():
        async with connect(proxy) as socket:
            for number in range(3):
                await socket.send("before")
                assert await socket.recv() == "before"
                await asyncio.get_running_loop().run_in_executor(
                    None, proxy.reload, site(server, route={"name": f"version{number}"}))
                await socket.send("after")
                assert await socket.recv() == "after"

    talk(scenario())


def raw_tunnel(conn):
    """Switches to upper-casing whatever comes."""
    while True:
        conn.read_request()
        conn.send(SWITCH)
        while data := conn.read_some():
            conn.send(data.upper())
        return


def test_the_handshake_passes(stage):
    origin = stage.origin(raw_tunnel)
    proxy = stage.proxy(origin)
    with Client(proxy.address) as client:
        client.request("GET", "/raw", [("Connection", "keep-alive, Upgrade"), ("Upgrade", "raw"), ("X-Key", "1")])
        response = client.response()
        assert response.status == 101
        assert response.get("upgrade") == "raw" and "upgrade" in response.get("connection").lower()
        client.send(b"abc")
        assert client.read_exact(3) == b"ABC"
    asked = origin.requests[0]
    assert asked.get("upgrade") == "raw" and asked.get("connection").lower() == "upgrade" and asked.get("x-key") == "1"


def test_bytes_that_the_client_sends_early(stage):
    """In one segment with the request: they belong to the tunnel, behind the 101."""
    proxy = stage.proxy(stage.origin(raw_tunnel))
    with Client(proxy.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nearly")
        assert client.response().status == 101
        assert client.read_exact(5) == b"EARLY"
        client.send(b"late")
        assert client.read_exact(4) == b"LATE"


def test_bytes_that_the_server_sends_early(stage):
    def script(conn):
        conn.read_request()
        conn.send(SWITCH + b"welcome")
        conn.send(conn.read_exact(3))

    proxy = stage.proxy(stage.origin(script))
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status == 101
        assert client.read_exact(7) == b"welcome"
        client.send(b"abc")
        assert client.read_exact(3) == b"abc"
        assert client.is_closed()


def test_a_refused_upgrade_is_an_ordinary_response(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, r: conn.respond(
        403 if r.has("upgrade") else 200, body=b"no"))))
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        response = client.response()
        assert (response.status, response.body) == (403, b"no")
        assert client.get().status == 200


def test_another_protocol_than_asked_for(stage):
    """A server that switches to what nobody asked for is broken."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, _: conn.send(SWITCH.replace(b"raw", b"evil")))))
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status in (101, 502)


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2c, raw", "HTTP/2.0", "TLS/1.0"])
def test_no_tunnel_for_another_http(stage, protocol):
    """Inside an h2c tunnel a client could ask for anything, past every route: such an upgrade is not asked for."""
    origin = stage.origin()
    proxy = stage.proxy(origin)
    with Client(proxy.address) as client:
        client.request(fields=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABkAAQ")])
        names = echoed(client.response())["by_name"]
    assert "http2-settings" not in names and names.get("upgrade", ["raw"]) == ["raw"]


def test_an_upgrade_in_http10_is_ignored(stage):
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE, version="HTTP/1.0")
        assert "upgrade" not in echoed(client.response())["by_name"]


def test_the_end_passes_both_ways(stage):
    origin = stage.origin(raw_tunnel)
    proxy = stage.proxy(origin)
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status == 101
        client.send(b"last words")
        client.shutdown_write()
        assert client.read_all() == b"LAST WORDS"  # the answer still comes: half-closed, not cut
    assert eventually(lambda: origin.connections[0].ended) == "end"


def test_a_client_that_vanishes_frees_the_server(stage):
    origin = stage.origin(raw_tunnel)
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request(fields=HANDSHAKE)
    assert client.response().status == 101
    client.reset()
    eventually(lambda: origin.connections[0].ended, what="the server sees the end")


def test_silence_ends_a_tunnel(stage):
    proxy = stage.proxy(stage.origin(raw_tunnel), timeouts={"tunnel": "1s"})
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status == 101
        for _ in range(4):  # while somebody speaks it lives on
            client.send(b"abc")
            assert client.read_exact(3) == b"ABC"
            time.sleep(0.4)
        assert client.is_closed(10)


def test_a_tunnel_counts_its_bytes(stage):
    proxy = stage.proxy(stage.origin(raw_tunnel))
    with Client(proxy.address) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status == 101
        client.send(b"x" * 1000)
        assert client.read_exact(1000) == b"X" * 1000
    record = proxy.wait_log(status=101)
    assert (record["request_bytes"], record["response_bytes"]) == (1000, 1000)


def test_a_large_stream_both_ways(stage):
    size = 16 << 20
    proxy = stage.proxy(stage.origin(raw_tunnel))
    with Client(proxy.address, timeout=60) as client:
        client.request(fields=HANDSHAKE)
        assert client.response().status == 101
        sender = threading.Thread(target=client.sock.sendall, args=(b"abcdefgh" * (size // 8),))
        sender.start()
        got = 0
        while got < size:
            data = client.read_some()
            assert data and not data.strip(b"ABCDEFGH")
            got += len(data)
        sender.join(seconds(20))
        assert got == size
