# SPDX-License-Identifier: Apache-2.0
"""Trouble made on purpose: delays, errors, resets, slow answers; and the status of it all."""
import json
import time

import pytest

from support.client import Client, get
from support.maitred import to_yaml
from support.origin import serve_forever
from support.wait import eventually, seconds, volume


@pytest.fixture
def origin(stage):
    return stage.origin(name="app")


def test_a_delay(stage, origin):
    proxy = stage.proxy(origin, use=[{"fault": {"delay": "300ms"}}])
    began = time.monotonic()
    assert get(proxy.address).status == 200
    assert time.monotonic() - began >= 0.3


def test_a_client_that_leaves_is_not_waited_for(stage, origin):
    proxy = stage.proxy(origin, use=[{"fault": {"delay": "1h"}}])
    with Client(proxy.address) as client:
        client.request("GET", "/gone")
        assert client.is_silent(0.2)
    assert proxy.wait_log(target="/gone")["reason"] == "client_gone"
    assert not origin.connections


def test_delayed_requests_do_not_hold_others(stage, origin):
    proxy = stage.proxy(origin, use=[{"fault": {"delay": "2s", "when": "path == '/slow'"}}], workers=1)
    with Client(proxy.address) as slow, Client(proxy.address) as quick:
        began = time.monotonic()
        slow.request("GET", "/slow")
        for _ in range(20):
            assert quick.get("/quick").status == 200
        assert time.monotonic() - began < seconds(1.5)
        assert slow.response().status == 200


def test_an_abort(stage, origin):
    proxy = stage.proxy(origin, use=[{"fault": {"abort": {"status": 429}}}])
    response = get(proxy.address, "/x")
    assert response.status == 429
    record = proxy.wait_log(target="/x")
    assert (record["status"], record["reason"], record["blame"]) == (429, "fault_injected", "configuration")
    assert not origin.connections


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_reset(stage, origin, method):
    proxy = stage.proxy(origin, use=[{"fault": {"abort": {"reset": True}}}])
    with Client(proxy.address) as client:
        client.request(method, "/x", body=b"body" if method == "POST" else None)
        with pytest.raises(ConnectionResetError):
            client.read_some()
            client.read_some()
    assert proxy.wait_log(target="/x")["reason"] == "fault_injected"
    assert not origin.connections


def test_a_share_is_aborted(stage, origin):
    n = volume(1000, 200)
    proxy = stage.proxy(origin, use=[{"fault": {"abort": {"share": "30%"}}}])
    with Client(proxy.address) as client:
        statuses = [client.get().status for _ in range(n)]
    assert set(statuses) == {200, 503}
    assert 0.2 * n < statuses.count(503) < 0.4 * n
    assert len(origin.requests) == statuses.count(200)


def test_only_when(stage, origin):
    proxy = stage.proxy(origin, use=[{"fault": {"abort": 503, "when": "header('x-chaos') == '1'"}}])
    assert get(proxy.address).status == 200
    assert get(proxy.address, fields=[("X-Chaos", "1")]).status == 503
    assert len(origin.requests) == 1


def test_a_slow_answer(stage):
    body = bytes(range(256)) * 40
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=body)))
    proxy = stage.proxy(origin, use=[{"fault": {"rate": "20KiB/s"}}])
    began = time.monotonic()
    response = get(proxy.address)
    took = time.monotonic() - began
    assert response.body == body
    assert 0.35 <= took < seconds(5), took


def test_who_leaves_a_slow_answer_ends_it(stage):
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=b"x" * 100000)))
    proxy = stage.proxy(origin, use=[{"fault": {"rate": "100B/s"}}])
    with Client(proxy.address) as client:
        client.request("GET", "/left")
        client.read_some()
    assert proxy.wait_log(target="/left")["reason"] == "client_gone"


# ---------------------------------------------------------------- status


def test_status(stage, origin):
    proxy = stage.proxy(origin, routes=[{"path": "/status", "use": "status"}, {"to": "app"}])
    assert get(proxy.address, "/").status == 200
    response = get(proxy.address, "/status")
    assert response.status == 200
    assert (response.get("content-type"), response.get("cache-control")) == ("application/json", "no-store")
    assert response.get("via") is None
    told = json.loads(response.body)
    assert origin.address in json.dumps(told) and "app" in json.dumps(told)


def test_status_of_other_methods(stage, origin):
    proxy = stage.proxy(origin, routes=[{"path": "/status", "use": "status"}, {"to": "app"}])
    head = get(proxy.address, "/status", method="HEAD")
    assert head.status == 200 and int(head.get("content-length")) > 0
    refused = get(proxy.address, "/status", method="POST", body=b"x")
    assert refused.status == 405 and refused.get("allow") == "GET, HEAD"


def test_many_servers_fit(stage):
    """More than an exchange's own memory holds."""
    upstreams = {f"u{i}": {"servers": [f"127.0.{i // 250}.{i % 250 + 1}:{p}" for p in range(1000, 1020)]}
                 for i in range(volume(500, 100))}
    proxy = stage.run(to_yaml({
        "process": {"drain": "3s"},
        "listeners": [{"address": "@listen@"}],
        "upstreams": upstreams,
        "routes": [{"path": "/status", "use": ["status"]}, *({"path": f"/{u}", "to": u} for u in upstreams)],
    }))
    response = get(proxy.address, "/status")
    assert response.status == 200
    text = json.dumps(json.loads(response.body))
    assert f"127.0.{(len(upstreams) - 1) // 250}.{(len(upstreams) - 1) % 250 + 1}:1019" in text
