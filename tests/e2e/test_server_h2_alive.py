# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to servers that are not there any more, though nobody has said so; and to those that want HTTP/1.1."""
import concurrent.futures
import socket
import threading
import time

import pytest
from h2.errors import ErrorCodes
from h2.events import PingReceived

from support.client import Client, get
from support.h2_front import front, serve
from support.h2_server import H2Conn, H2Server, answer
from support.line import Line, can_have_lines
from support.wait import eventually, seconds

QUICK = {"timeouts": {"connect": "500ms"}}
SILENT, SOON, ANSWER, IDLE = 5, 2, 5, 10  # seconds; src/upstream/h2_pulse.c
lines = pytest.mark.skipif(not can_have_lines(), reason="network namespaces and TUN devices need root")


def far_servers(stage, line, part=None):
    with line.far():
        return [stage.use(H2Server(part, host=host)) for host in line.hosts]


def ask(address, target="/", method="GET", body=None):
    """With patience."""
    with Client(address, timeout=40) as client:
        client.request(method, target, body=body)
        return client.response(method)


def background(run, *args, **more):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(run, *args, **more)
    finally:
        pool.shutdown(wait=False)


def count_pings(conn):
    """An opening for H2Server: pings are counted."""
    conn.pings, note = 0, conn._note

    def counting(event):
        conn.pings += isinstance(event, PingReceived)
        return note(event)

    conn._note = counting
    H2Conn.begin(conn)


# ---------------------------------------------------------------- nobody is there

@lines
def test_a_machine_that_vanishes_under_a_stream(stage):
    line = stage.use(Line(hosts=2))
    gate = threading.Event()
    one, two = far_servers(stage, line, lambda call: (gate.wait(30) if call.path == "/wait" else None, answer(call)))
    proxy = front(stage, one, two, **QUICK)
    found = background(ask, proxy.address, "/wait")
    eventually(lambda: len(one.calls) + len(two.calls) == 1)
    first, other = (one, two) if one.calls else (two, one)
    begun = time.monotonic()
    line.set(cut=[first.host])
    eventually(lambda: other.calls, within=SILENT + ANSWER + 5, what="the other server is asked")
    took = time.monotonic() - begun
    gate.set()
    assert found.result().status == 200
    assert SILENT + SOON - 1 < took < seconds(SILENT + SOON + 3)
    assert f"server {first.address}: nothing comes any more" in proxy.stderr


@lines
def test_a_machine_that_has_vanished_meanwhile(stage):
    """Even an order may go elsewhere: not a byte of it has arrived."""
    line = stage.use(Line(hosts=2))
    one, two = far_servers(stage, line)
    proxy = front(stage, one, two, **QUICK)
    assert get(proxy.address).status == 200
    used = one if one.calls else two
    time.sleep(IDLE + 0.5)
    line.set(cut=[used.host])
    begun = time.monotonic()
    results = []
    while time.monotonic() < begun + 1 and not results:  # until one has met the old connection
        results = [background(ask, proxy.address, "/order", method="POST", body=b"order")
                   for _ in range(6)]
    assert [r.result().status for r in results] == [200] * 6
    assert time.monotonic() - begun < seconds(SOON + 3)
    assert len({call.path for call in used.calls}) == 1 and f"server {used.address}: nothing comes" in proxy.stderr


def test_a_server_that_hangs(stage):
    """Its kernel takes what is sent; nobody reads it: too late to send an order elsewhere."""
    hung, other = serve(stage, lambda call: call.conn.reading.clear()), serve(stage)
    alone = front(stage, hung)
    begun = time.monotonic()
    found = ask(alone.address, method="POST", body=b"order")
    took = time.monotonic() - begun
    record = alone.wait_log()
    assert found.status == 502 and (record["reason"], record["attempts"]) == ("server_reset", 1)
    assert "no answer to a PING" in record["detail"]
    assert SILENT + ANSWER - 1 < took < seconds(SILENT + ANSWER + 3)
    both = front(stage, hung, other)
    assert [ask(both.address).status for _ in range(2)] == [200] * 2
    for conn in hung.connections:
        conn.reading.set()


def test_a_server_that_is_just_slow(stage):
    """It answers PINGs, and is asked once only: gRPC's servers take more for an attack."""
    server = stage.use(H2Server(lambda call: (time.sleep(3 * SILENT + 1), call.respond(200)), opening=count_pings))
    proxy = front(stage, server)
    assert ask(proxy.address).status == 200
    assert [conn.pings for conn in server.connections] == [1]


def test_who_is_busy_is_not_asked(stage):
    def part(call):
        call.head(200)
        for _ in range(8):
            time.sleep(1)
            call.data(b"x")
        call.end()

    server = stage.use(H2Server(part, opening=count_pings))
    proxy = front(stage, server)
    assert ask(proxy.address).body == b"x" * 8
    assert server.connections[0].pings == 0


def test_an_idle_connection_is_asked_when_it_is_used_again(stage):
    server = stage.use(H2Server(opening=count_pings))
    proxy = front(stage, server)
    for pause, pings in ((0.5, 0), (IDLE + 0.5, 0), (0, 1)):
        assert get(proxy.address).status == 200 and server.connections[0].pings == pings
        time.sleep(pause)
    assert len(server.connections) == 1


# ---------------------------------------------------------------- HTTP/1.1 is required

class Old:
    """Speaks HTTP/2, but refuses(call) every request; over HTTP/1.1 it answers."""

    def __init__(self, stage, refuses, **more):
        self.heads = []
        self.server = stage.use(H2Server(refuses, accepted=self.accepted, **more))
        self.address = self.server.address

    def accepted(self, sock):
        if sock.recv(3, socket.MSG_PEEK) == b"PRI":
            return
        with sock.makefile("rb") as file:
            head = [line.strip().lower() for line in iter(file.readline, b"\r\n")]
            length = next((int(line[15:]) for line in head if line.startswith(b"content-length:")), 0)
            self.heads.append((head[0], file.read(length)))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nold")
        raise OSError("served")


def refuse(call):
    call.give_up(ErrorCodes.HTTP_1_1_REQUIRED)


def refuse_all(call):
    call.conn.goaway(0, ErrorCodes.HTTP_1_1_REQUIRED)
    time.sleep(0.05)
    call.conn.close()


@pytest.mark.parametrize("refuses", [refuse, refuse_all])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_request_is_repeated_over_http1(stage, refuses, method):
    old = Old(stage, refuses)
    proxy = front(stage, old)
    body = b"order" if method == "POST" else None
    found = get(proxy.address, "/x", method=method, body=body)
    assert (found.status, found.body) == (200, b"old")
    assert old.heads == [(f"{method} /x http/1.1".lower().encode(), body or b"")]
    assert f"server {old.address} wants HTTP/1.1" in proxy.stderr


def test_the_server_is_remembered(stage):
    old = Old(stage, refuse)
    proxy = front(stage, old, workers=2)
    assert [get(proxy.address, f"/{i}").body for i in range(20)] == [b"old"] * 20
    assert len(old.server.calls) == 1 and len(old.heads) == 20
    proxy.reload()
    assert get(proxy.address).body == b"old" and len(old.server.calls) == 1


def test_one_that_has_answered_already(stage):
    """What it has begun cannot be repeated; the next one goes over HTTP/1.1."""

    def part(call):
        call.head(200)
        call.data(b"half")
        call.give_up(ErrorCodes.HTTP_1_1_REQUIRED)

    old = Old(stage, part)
    proxy = front(stage, old)
    with pytest.raises(Exception):
        get(proxy.address)
    assert not old.heads
    assert get(proxy.address).body == b"old"
