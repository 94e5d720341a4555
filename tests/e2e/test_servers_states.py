# SPDX-License-Identifier: Apache-2.0
"""What is known of a server: drained, in maintenance, ejected; by both workers, and across reloads."""
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.fleet import fleet, states, with_status
from support.load import Load, affordable
from support.maitred import site
from support.wait import eventually, seconds, stays

STICKY = {"sticky": "lb"}


def text(servers, changed=None, state=None, **upstream):
    return site(*[{"address": s, "state": state} if s is changed else s for s in servers], routes=with_status(),
                upstream=upstream)


def ask(proxy, cookie=None):
    """Who answers, and the cookie that comes with it."""
    response = get(proxy.address, fields=[("Cookie", cookie)] if cookie else [])
    assert response.status == 200, response.body
    return response.get("x-origin"), (response.get("set-cookie") or "").split(";")[0]


def settle(proxy, names):
    """A cookie for each server: both workers give them out."""
    cookies = {}
    while set(cookies) != set(names):
        name, cookie = ask(proxy)
        cookies[name] = cookie
    return cookies


# ---------------------------------------------------------------- sticky clients


def test_a_draining_server_keeps_its_sticky_clients(stage):
    servers = fleet(stage, "abc")
    proxy = stage.run(text(servers, **STICKY))
    cookies = settle(proxy, "abc")
    proxy.reload(text(servers, servers[0], "draining", **STICKY))
    assert states(proxy, servers[0]) == ["draining"]
    for _ in range(20):  # each over a connection of its own: both workers
        for name, cookie in cookies.items():
            assert ask(proxy, cookie) == (name, "")
    assert set(Counter(ask(proxy)[0] for _ in range(40))) == {"b", "c"}
    proxy.reload(text(servers, **STICKY))
    assert ask(proxy, cookies["a"]) == ("a", "")
    assert set(Counter(ask(proxy)[0] for _ in range(40))) == {"a", "b", "c"}


def test_in_maintenance_nobody_stays(stage):
    servers = fleet(stage, "abc")
    proxy = stage.run(text(servers, **STICKY))
    cookies = settle(proxy, "abc")
    proxy.reload(text(servers, servers[0], "maintenance", **STICKY))
    before = servers[0].requests
    for _ in range(20):
        name, cookie = ask(proxy, cookies["a"])
        assert name in "bc" and cookie  # they move, and stay there
        assert ask(proxy, cookie) == (name, "")
        assert ask(proxy, cookies["b"]) == ("b", "")
    assert servers[0].requests == before


def test_sticky_clients_of_a_draining_server_that_dies(stage):
    servers = fleet(stage, "abc")
    proxy = stage.run(text(servers, **STICKY))
    cookies = settle(proxy, "abc")
    proxy.reload(text(servers, servers[0], "draining", **STICKY))
    servers[0].kill()
    name, cookie = ask(proxy, cookies["a"])
    assert name in "bc" and cookie


@pytest.mark.parametrize("state", ["draining", "maintenance"])
def test_what_is_under_way_is_finished(stage, state):
    """Drained under load, then killed as soon as nothing is on it: no request fails."""
    servers = fleet(stage, "abc", delay=0.03)
    proxy = stage.run(text(servers))
    with Load(proxy.address, connections=32, rate=affordable(500)) as load:
        time.sleep(0.5)
        proxy.reload(text(servers, servers[0], state))

        def is_idle():
            before = servers[0].requests
            time.sleep(0.1)
            return servers[0].requests == before

        eventually(is_idle, 5, "drained")
        servers[0].kill()
        time.sleep(0.5)
    print(f"\n    {load.summary()}")
    assert not load.failed, (len(load.failed), load.failed[:5])


# ---------------------------------------------------------------- ejection


EJECT = {"passive": {"errors": 5, "eject": "3s", "max_eject": "3s"}}


def eject(proxy, server):
    """By the requests of one connection, so of one worker."""
    server.set(status=500)
    with Client(proxy.address) as client:
        eventually(lambda: client.get() and states(proxy, server) == ["ejected"], 10, "ejected")


def test_an_ejection_counts_for_both_workers(stage):
    """One worker finds it out; from then on the other leaves it alone too."""
    a, b, c = fleet(stage, "abc")
    proxy = stage.run(text([a, b, c], **EJECT))
    eject(proxy, a)
    before = a.requests
    with Load(proxy.address, connections=32, rate=affordable(500)) as load:
        time.sleep(1)
    assert not load.failed and set(load.bodies) == {b"b", b"c"}
    assert a.requests == before
    a.set(status=200)
    eventually(lambda: states(proxy, a) == ["up"], 5)
    eventually(lambda: get(proxy.address).body == b"a", 5, "let in again")


def test_an_ejection_is_kept_across_reloads(stage):
    servers = a, _, _ = fleet(stage, "abc")
    proxy = stage.run(text(servers, **EJECT))
    eject(proxy, a)
    began, before = time.monotonic(), a.requests
    for number in range(4):
        proxy.reload(text(servers, **EJECT, retries=number))
        assert states(proxy, a) == ["ejected"]
        assert {get(proxy.address).body for _ in range(10)} == {b"b", b"c"}
    assert a.requests == before and time.monotonic() < began + 3, "the reloads took longer than the ejection"
    a.set(status=200)
    eventually(lambda: states(proxy, a) == ["up"], 5)
    assert began + 2.5 < time.monotonic() < began + seconds(5), "a reload does not prolong or shorten it"
    assert proxy.stderr.count("server is ejected") == 1


def test_no_more_than_a_share_is_ejected(stage):
    """All fail: the last half stays, so that clients get the servers' own answers."""
    servers = fleet(stage, "abcd", status=500)
    proxy = stage.run(text(servers, **EJECT))
    eventually(lambda: get(proxy.address) and states(proxy, *servers).count("ejected") == 2, 10, "half of them")
    for _ in range(100):
        assert get(proxy.address).status == 500
    assert states(proxy, *servers).count("ejected") == 2


def test_health_and_ejection_are_known_to_both_workers_after_a_reload(stage):
    servers = a, b, c = fleet(stage, "abc")
    upstream = {**EJECT, "health": {"probe": "tcp", "every": "100ms", "timeout": "500ms", "fall": 2, "rise": 1}}
    proxy = stage.run(text(servers, **upstream))
    b.kill()
    eventually(lambda: states(proxy, b) == ["down"], 5)
    eject(proxy, a)
    proxy.reload(text(servers, **upstream, retries=1))
    assert states(proxy, a, b, c) == ["ejected", "down", "up"]
    with Load(proxy.address, connections=32, rate=affordable(500)) as load:
        time.sleep(0.5)
    assert not load.failed and set(load.bodies) == {b"c"}
    b.start()
    eventually(lambda: states(proxy, b) == ["up"], 5)
    stays(lambda: states(proxy, b) == ["up"], 0.3)
