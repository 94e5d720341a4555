# SPDX-License-Identifier: Apache-2.0
"""WebSocket over a stream of HTTP/2: extended CONNECT, RFC 8441."""
import asyncio
import base64
import threading
import time

import pytest
import websockets
from websockets.frames import Frame as Message, Opcode

from support.h2 import CANCEL, DATA, H2, NO_ERROR, PROTOCOL_ERROR
from support.origin import answer_echo, serve_forever
from support.wait import eventually, seconds

SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: whatever\r\nSec-WebSocket-Protocol: chat\r\n\r\n")


def connect(h2, stream=1, path="/chat", more=(), protocol="websocket"):
    fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", "h"),
              (":path", path), ("sec-websocket-version", "13"), *more]
    h2.headers(stream, fields, end=False)


def echo_bytes(conn):
    """Switches, then sends back what comes."""
    conn.read_request(body=False)
    conn.send(SWITCH)
    while True:
        data = conn.buffer or (conn.fill() and conn.buffer)
        if not data:
            return
        conn.buffer = type(conn.buffer)()
        conn.send(bytes(data))


@pytest.fixture
def tunnel(stage):
    proxy = stage.proxy(stage.origin(echo_bytes))
    h2 = stage.use(H2(proxy.address)).ready()
    connect(h2)
    assert h2.head(1).status == 200
    return proxy, h2


def receive(h2, n, stream=1):
    while len(h2.answers[stream].body) < n:
        assert h2.read_frame(), "the connection ended"
    return h2.answers[stream].body


def test_extended_connect_is_announced(tunnel):
    assert tunnel[1].settings[8] == 1


def test_server_sees_an_upgrade_of_http1(stage):
    origin = stage.origin(echo_bytes)
    proxy = stage.proxy(origin)
    with H2(proxy.address).ready() as h2:
        connect(h2, path="/chat?x=1", more=[("sec-websocket-protocol", "chat"), ("cookie", "a=1")])
        head = h2.head(1)
    request = origin.requests[0]
    assert request.start == "GET /chat?x=1 HTTP/1.1"
    assert request.get("connection").lower() == "upgrade" and request.get("upgrade") == "websocket"
    assert len(base64.b64decode(request.get("sec-websocket-key"))) == 16
    assert request.get("sec-websocket-version") == "13" and request.get("cookie") == "a=1"
    assert request.get("host") == "h" and not request.has("content-length") and not request.has("transfer-encoding")
    assert head.get("sec-websocket-protocol") == "chat"
    assert not {"sec-websocket-accept", "connection", "upgrade", "content-length"} & {n for n, v in head.head}


def test_bytes_move_both_ways(tunnel):
    proxy, h2 = tunnel
    for i in range(20):
        h2.data(1, b"message %02d;" % i)
        receive(h2, 11 * (i + 1))
    assert h2.answers[1].body == b"".join(b"message %02d;" % i for i in range(20))


def test_other_streams_work_beside_it(stage):
    def script(conn):
        request = conn.read_request(body=False)
        if request.has("upgrade"):
            conn.send(SWITCH)
            conn.wait_end(20)
        else:
            conn.respond(200, body=b"beside")

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address).ready() as h2:
        connect(h2)
        h2.head(1)
        h2.request(3)
        assert h2.response(3).body == b"beside"


def test_end_of_the_client_reaches_the_server(tunnel):
    proxy, h2 = tunnel
    h2.data(1, b"last words", end=True)
    answer = h2.response(1)
    assert answer.body == b"last words" and answer.ended
    record = proxy.wait_log(target="/chat")
    assert record["status"] == 200 and record["request_bytes"] == 10 and record["response_bytes"] == 10


def test_end_of_the_server_reaches_the_client(stage):
    def script(conn):
        conn.read_request(body=False)
        conn.send(SWITCH + b"early")

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address).ready() as h2:
        connect(h2)
        answer = h2.response(1)
        assert answer.status == 200 and answer.body == b"early" and answer.ended
        assert h2.ping()


def test_reset_reaches_the_server(stage):
    gone = threading.Event()

    def script(conn):
        conn.read_request(body=False)
        conn.send(SWITCH)
        conn.wait_end(20)
        gone.set()

    proxy = stage.proxy(stage.origin(script))
    with H2(proxy.address).ready() as h2:
        connect(h2)
        h2.head(1)
        h2.reset(1)
        assert gone.wait(seconds(5)) and h2.ping()


def test_server_that_refuses(stage):
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(body=False), conn.respond(403, body=b"no"))))
    with H2(proxy.address).ready() as h2:
        connect(h2)
        answer = h2.response(1)
        assert answer.status == 403 and answer.body == b"no"
        assert h2.ping()


def test_silence(stage):
    proxy = stage.proxy(stage.origin(echo_bytes), timeouts={"tunnel": "400ms", "body": "100ms"})
    with H2(proxy.address).ready() as h2:
        connect(h2)
        h2.head(1)
        for _ in range(4):
            time.sleep(0.2)
            h2.data(1, b"x")
        receive(h2, 4)
        assert h2.response(1).reset is not None
        assert h2.ping()


def test_draining_cuts_it_in_the_end(tunnel):
    proxy, h2 = tunnel
    proxy.signal(15)
    proxy.finish()


def test_a_mebibyte_through_a_real_server(stage):
    """python3-websockets as the server; the client's side is its frames in DATA."""
    ready, address = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    async def serve():
        server = await websockets.serve(echo, "127.0.0.1", 0, compression=None, max_size=1 << 24)
        address.append("127.0.0.1:%d" % server.sockets[0].getsockname()[1])
        ready.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    assert ready.wait(seconds(10))
    proxy = stage.proxy(address[0])
    with H2(proxy.address).ready() as h2:
        connect(h2)
        assert h2.head(1).status == 200
        want = 0
        for i in range(64):
            wire = Message(Opcode.BINARY, bytes([i]) * 16000).serialize(mask=True)
            h2.data(1, wire)
            want += 16004
            receive(h2, want)
        assert h2.answers[1].body[4:20] == bytes(16) and h2.answers[1].body[-16:] == bytes([63]) * 16
    loop.call_soon_threadsafe(loop.stop)
