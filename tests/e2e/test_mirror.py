# SPDX-License-Identifier: Apache-2.0
"""Copies of requests: whole, out of the way, and never in the original's."""
import threading
import time

import pytest

from support.client import Client, get
from support.maitred import to_yaml
from support.origin import answer_echo, echoed, serve_forever
from support.ports import free_port
from support.wait import eventually, seconds, stays, volume
from support.wire import chunked, encode


def mirrored(app, shadow, drain="3s", process=None, **options):
    """A route to app whose requests are copied to shadow (an origin or an address)."""
    return to_yaml({
        "process": {"drain": drain, **(process or {})},
        "listeners": [{"address": "@listen@"}],
        "upstreams": {"app": {"servers": [app.address]},
                      "shadow": {"servers": [getattr(shadow, "address", shadow)]}},
        "routes": [{"use": [{"mirror": {"to": "shadow", **options}}], "to": "app"}],
        "access_log": [{"to": "@dir@/access.json", "format": "json"}],
    })


@pytest.fixture
def app(stage):
    return stage.origin(name="app")


@pytest.fixture
def shadow(stage):
    return stage.origin(name="shadow")


# ---------------------------------------------------------------- what is copied


def test_a_request_is_copied(stage, app, shadow):
    proxy = stage.run(mirrored(app, shadow))
    told = echoed(get(proxy.address, "/a%2Fb?q=1", [("X-A", "1"), ("X-A", "2"), ("Cookie", "c=d")]))
    assert told["origin"] == "app" and "x-mirrored" not in told["by_name"]
    copy, original = shadow.wait_requests(1), app.requests[0]
    assert (copy.method, copy.target) == ("GET", "/a%2Fb?q=1")
    assert copy.get("x-mirrored") == "1" and not original.has("x-mirrored")
    assert [f for f in copy.fields if f[0] != "X-Mirrored"] == original.fields
    assert copy.get("host") == proxy.address


@pytest.mark.parametrize("size", [1, 5000, 65536])
def test_a_body_is_copied(stage, app, shadow, size):
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        client.request("POST", "/", body=b"x" * size)
        told = echoed(client.response())
    copy = shadow.wait_bodies(1)
    assert told["length"] == size
    assert (copy.method, copy.length, copy.sha256) == ("POST", size, told["sha256"])


def test_a_body_that_comes_slowly_is_copied_when_it_is_there(stage, app, shadow):
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        client.send(encode("PUT /slow HTTP/1.1", [("Host", "h"), ("Transfer-Encoding", "chunked")], b"4\r\nabcd\r\n"))
        app.wait_connections(1)
        stays(lambda: not shadow.connections, 0.3)
        client.send(b"3\r\nefg\r\n0\r\n\r\n")
        told = echoed(client.response())
    assert told["length"] == 7
    copy = shadow.wait_requests(1)
    assert (copy.method, copy.body) == ("PUT", b"abcdefg")


def test_expect_is_settled_for_the_copy(stage, app, shadow):
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Expect", "100-continue")], body=b"now")
        assert echoed(client.response())["length"] == 3
    copy = shadow.wait_requests(1)
    assert copy.body == b"now" and not copy.has("expect")


def test_large_bodies_are_not_copied(stage, app, shadow):
    proxy = stage.run(mirrored(app, shadow, max_body="10KiB"))
    with Client(proxy.address) as client:
        client.request("POST", "/", body=b"x" * 10241)
        assert echoed(client.response())["length"] == 10241
        client.send(encode("POST / HTTP/1.1", [("Host", "h"), ("Transfer-Encoding", "chunked")],
                           chunked(b"x" * 10000, b"y" * 10000)))
        assert echoed(client.response())["length"] == 20000
        client.request("POST", "/", body=b"x" * 10240)
        assert echoed(client.response())["length"] == 10240
    assert shadow.wait_bodies(1).length == 10240
    stays(lambda: len(shadow.requests) == 1, 0.3)


def test_half_a_body_is_not_copied(stage, app, shadow):
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        client.send(encode("POST / HTTP/1.1", [("Host", "h"), ("Content-Length", "1000")], b"x" * 500))
        app.wait_connections(1)
    eventually(lambda: app.connections[0].ended or app.connections[0].done)
    stays(lambda: not shadow.connections, 0.3)


def test_a_share(stage, app, shadow):
    n = volume(1000, 200)
    proxy = stage.run(mirrored(app, shadow, share="25%", most=100000))
    with Client(proxy.address) as client:
        for _ in range(n):
            assert client.get().status == 200
    assert len(app.requests) == n
    eventually(lambda: len(shadow.requests) > 0.17 * n)
    stays(lambda: len(shadow.requests) < 0.33 * n, 0.3)


def test_tunnels_are_not_copied(stage, shadow):
    def upgrade(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 101 Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "echo")]))
        conn.send(conn.read_some())

    app = stage.origin(upgrade, name="app")
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        client.request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "echo")])
        assert client.response().status == 101
        client.send(b"ping")
        assert client.read_exact(4) == b"ping"
    assert not shadow.connections


# ---------------------------------------------------------------- never in the way


def test_a_silent_shadow_delays_nobody(stage, app):
    silent = stage.origin(lambda conn: conn.wait_end(30), name="shadow")
    proxy = stage.run(mirrored(app, silent, timeout="1s"))
    began = time.monotonic()
    with Client(proxy.address) as client:
        for _ in range(20):
            assert client.get().status == 200
    assert time.monotonic() - began < seconds(0.9)
    silent.wait_connections(20)
    # Each copy ends by its time-out, and with it its connection.
    eventually(lambda: all(c.done for c in silent.connections), 10, "the ends of the copies")


@pytest.mark.parametrize("trouble", ["refused", "reset", "garbage", "error"])
def test_a_broken_shadow_harms_nobody(stage, app, trouble):
    def script(conn):
        conn.read_request()
        if trouble == "reset":
            conn.reset()
        elif trouble == "garbage":
            conn.send(b"no HTTP\r\n\r\n")
        else:
            conn.respond(500, body=b"shadow is broken")

    shadow = f"127.0.0.1:{free_port()}" if trouble == "refused" else stage.origin(script, name="shadow")
    proxy = stage.run(mirrored(app, shadow))
    with Client(proxy.address) as client:
        for i in range(20):
            told = echoed(client.get(f"/{i}"))
            assert told["origin"] == "app"
    for i in range(20):
        record = proxy.wait_log(target=f"/{i}")
        assert (record["status"], record["upstream"]) == (200, "app") and "reason" not in record
    assert len(proxy.log()) == 20


def test_a_long_answer_is_dropped(stage, app):
    def flood(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(4096):
            conn.send(b"x" * 65536)

    shadow = stage.origin(flood, name="shadow")
    proxy = stage.run(mirrored(app, shadow))
    assert get(proxy.address).status == 200
    flood_conn = shadow.wait_connections(1)
    eventually(lambda: flood_conn.done, 10, "the shadow is cut off")
    assert flood_conn.sent < 64 << 20


def test_so_many_are_in_flight_and_no_more(stage, app):
    go = threading.Event()

    def held(conn, request):
        assert go.wait(seconds(30))
        answer_echo(conn, request)

    shadow = stage.origin(serve_forever(held), name="shadow")
    proxy = stage.run(mirrored(app, shadow, most=3), workers=1)
    with Client(proxy.address) as client:
        for _ in range(20):
            assert client.get().status == 200
    shadow.wait_requests(3)
    stays(lambda: len(shadow.requests) == 3, 0.3)
    go.set()


def test_a_client_that_leaves_does_not_cut_the_copy(stage, shadow):
    go = threading.Event()

    def held(conn, request):
        assert go.wait(seconds(30))
        answer_echo(conn, request)

    app = stage.origin(serve_forever(held), name="app")
    slow = stage.origin(serve_forever(held), name="shadow")
    proxy = stage.run(mirrored(app, slow))
    with Client(proxy.address) as client:
        client.request("GET", "/")
        app.wait_requests(1)
        slow.wait_requests(1)
    stays(lambda: not slow.connections[0].ended, 0.3)
    go.set()
    eventually(lambda: slow.connections[0].sent > 0)


# ---------------------------------------------------------------- reload and end


def test_copies_in_flight_survive_a_reload(stage, app):
    go = threading.Event()

    def held(conn, request):
        assert go.wait(seconds(30))
        answer_echo(conn, request)

    shadow = stage.origin(serve_forever(held), name="shadow")
    proxy = stage.run(mirrored(app, shadow))
    assert get(proxy.address).status == 200
    shadow.wait_requests(1)
    for _ in range(3):  # the upstream of the copies is gone
        proxy.reload(to_yaml({
            "process": {"drain": "3s"},
            "listeners": [{"address": "@listen@"}],
            "upstreams": {"app": {"servers": [app.address]}},
            "routes": [{"to": "app"}],
        }))
    go.set()
    eventually(lambda: shadow.connections[0].sent > 0)
    assert get(proxy.address).status == 200


def test_the_end_waits_for_copies_no_longer_than_their_time_out(stage, app):
    silent = stage.origin(lambda conn: conn.wait_end(30), name="shadow")
    proxy = stage.run(mirrored(app, silent, timeout="1s"))
    assert get(proxy.address).status == 200
    silent.wait_connections(1)
    began = time.monotonic()
    proxy.stop()
    assert time.monotonic() - began < seconds(5)
