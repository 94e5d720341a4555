# SPDX-License-Identifier: Apache-2.0
"""What is known of a server: drained, in maintenance, ejected, flapping, stale; by both workers, and across reloads."""
import os
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.dns import NameServer, asking, can_unshare
from support.fleet import fleet, states, status, with_status
from support.load import Load, affordable
from support.maitred import site
from support.origin import serve_forever
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


@pytest.mark.parametrize("ill, option", [({"play": "drop", "share": 0.4}, {"error_rate": "20%"}),
                                         ({"delay": 0.04}, {"latency": "400%"})], ids=["failing", "slow"])
def test_who_is_worse_than_the_others_is_ejected(stage, ill, option):
    """Not by failures in a row: by comparison with the group, which is as it is."""
    a, b, c, d = servers = fleet(stage, "abcd", delay=0.004)
    d.set(**ill)
    proxy = stage.run(text(servers, passive={"errors": 0, "eject": "30s", **option}, retries={"budget": "100%"}))
    with Load(proxy.address, connections=32, rate=affordable(1000)) as load:
        eventually(lambda: states(proxy, d) == ["ejected"], 10, "ejected")
        before = d.requests
        time.sleep(1)
    assert not load.failed, (len(load.failed), load.failed[:3])
    assert d.requests <= before + 32  # those that were on their way to it
    assert states(proxy, a, b, c) == ["up"] * 3


def test_nobody_is_ejected_for_what_all_do(stage):
    """All are slow, all fail now and then: nobody is worse than the others."""
    servers = fleet(stage, "abcd", delay=0.02, spread=0.02, play="drop", share=0.2)
    proxy = stage.run(text(servers, passive={"errors": 0, "error_rate": "20%", "latency": "300%"},
                           retries={"attempts": 3, "budget": "100%"}))
    with Load(proxy.address, connections=32, rate=affordable(1000)) as load:
        time.sleep(4)
    assert load.done > 0.9 * load.asked
    assert "server is ejected" not in proxy.stderr and states(proxy, *servers) == ["up"] * 4


# ---------------------------------------------------------------- checks


def test_who_flaps_is_believed_less_and_less(stage):
    """Well and ill by turns: each time it takes more passes until it is let in, so that clients are left in peace."""
    def moody(conn, request):
        conn.respond(503 if len(changes) % 2 else 200, [("X-Origin", "b")])

    changes = []
    a, b = fleet(stage, "a")[0], stage.origin(serve_forever(moody))
    proxy = stage.proxy(a, b, routes=with_status(), log=False, upstream={
        "health": {"path": "/", "every": "20ms", "timeout": "1s", "jitter": "0%", "rise": 2, "fall": 1}})
    eventually(lambda: states(proxy, b) == ["up"], 5)
    took = []
    for _ in range(8):
        changes.append("ill")
        eventually(lambda: states(proxy, b) == ["down"], 5)
        asked = len(b.requests)
        changes.append("well")
        eventually(lambda: states(proxy, b) == ["up"], 15)
        took.append(len(b.requests) - asked)
    print("\n    passes until it was let in:", took)
    assert max(took[:2]) <= 5, "the first times it is believed at once"
    assert min(took[-2:]) >= 6, "it flaps and is believed nevertheless"
    assert max(took) <= 8 * 2 + 3, "there is an end to it"


# ---------------------------------------------------------------- servers that their source does not name any more


def test_servers_of_a_file_that_is_gone_are_marked_stale(stage):
    path = os.path.join(stage.folder(), "servers.yaml")
    a, b = fleet(stage, "ab")

    def write(*servers):
        with open(path + ".new", "w") as file:
            file.write("".join(f"- {s.address}\n" for s in servers) or "[]\n")
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def stale():
        told = status(proxy)
        return told["unresolved"], [told["servers"][s.address]["stale"] for s in (a, b)]

    write(a)
    proxy = stage.run(site({"address": b}, routes=with_status()).replace(
        "servers:\n    - address:", f"servers:\n    - file: {path}\n    - address:"))
    eventually(lambda: stale() == (False, [False, False]), 5)
    os.unlink(path)
    eventually(lambda: stale() == (True, [True, False]), 5, "the last answer is kept, and marked")
    assert {ask(proxy)[0] for _ in range(8)} == {"a", "b"}
    proxy.reload()
    assert stale() == (True, [True, False]), "a reload knows no better"
    assert {ask(proxy)[0] for _ in range(8)} == {"a", "b"}
    write(a)
    eventually(lambda: stale() == (False, [False, False]), 5)


@pytest.mark.skipif(not can_unshare(), reason="a resolv.conf of our own needs root")
def test_servers_of_a_name_that_is_gone_are_marked_stale(stage):
    names, [a] = stage.use(NameServer()), fleet(stage, "a")
    names.a("app.test", "127.0.0.1")
    proxy = stage.run(site(f"app.test:{a.port}", routes=with_status()), wrap=asking(names, stage.folder()))

    def stale():
        told = status(proxy)
        return told["unresolved"], [s["stale"] for s in told["servers"].values()]

    eventually(lambda: stale() == (False, [False]), 5)
    names.remove("app.test")
    eventually(lambda: stale() == (True, [True]), 10)
    assert ask(proxy)[0] == "a"
    names.a("app.test", "127.0.0.1")
    eventually(lambda: stale() == (False, [False]), 10)
