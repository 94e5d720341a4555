# SPDX-License-Identifier: Apache-2.0
"""Bad input and servers in trouble, one of three or all of them, under load: what clients get, to the last request."""
import os
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.fleet import Server, fleet, states, status, with_status
from support.load import FULL, Load, affordable
from support.maitred import command, site
from support.ports import free_port
from support.wait import eventually, seconds
from support.wire import Closed

SECONDS = 10 if FULL else 2
RATE = affordable(2000)
CHECK = {"path": "/", "every": "100ms", "timeout": "500ms", "rise": 1, "fall": 2}


def run(load):
    with load:
        time.sleep(SECONDS)
    print(f"\n    {load.summary()}")
    return load


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("servers, said", [
    ("[{address: 127.0.0.1:2, weight: 0}]", "4:46: error: must be between 1 and 65535, found `0`"),
    ("[]", "4:14: error: the upstream has no servers"),
])
def test_groups_that_cannot_be(stage, servers, said):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(f"listeners: [127.0.0.1:1]\nupstreams:\n  app:\n    servers: {servers}\nroutes: [to: app]\n")
    done = command("check", "-c", path)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_weight_of_zero_in_a_file(stage):
    """The file is refused as a whole, with the place in it, and what it said before stays."""
    path = os.path.join(stage.folder(), "servers.yaml")
    a, b = fleet(stage, "ab")

    def write(text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    write(f"- {a.address}\n")
    proxy = stage.run(site(routes=[{"to": "app"}], upstreams={"app": {"servers": [{"file": path}]}}))
    assert get(proxy.address).body == b"a"
    write(f"- {a.address}\n- {{address: {b.address}, weight: 0}}\n")
    eventually(lambda: "list of servers is broken" in proxy.stderr, 10)
    assert f"{path}:2:" in proxy.stderr and "must be between 1 and 65535, found `0`" in proxy.stderr
    assert {get(proxy.address).body for _ in range(6)} == {b"a"}


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_connections", "two_choices", "peak_ewma",
                                     "least_time", {"hash": "header('x-nobody')"}], ids=str)
def test_servers_that_want_no_work(stage, balance):
    """By their agents: one wants a share of nothing and gets nothing; all want nothing and are used nevertheless."""
    def agent(host, port, said):
        stage.origin(lambda conn: conn.send(said[0]), host=host, port=port)

    port, said = free_port(), {"a": [b"0%\n"], "b": [b"100%\n"]}
    servers = [stage.use(Server(name, host=host)) for name, host in (("a", "127.0.0.2"), ("b", "127.0.0.3"))]
    for server in servers:
        agent(server.host, port, said[server.name])
    proxy = stage.proxy(*servers, log=False, routes=with_status(), upstream={
        "balance": balance, "health": {"probe": "agent", "port": port, "every": "50ms", "timeout": "1s"}})

    def shares():
        return [told["share"] for told in status(proxy)["servers"].values()]

    eventually(lambda: shares() == [0, 1], 5)
    assert {get(proxy.address).body for _ in range(30)} == {b"b"}
    said["b"][0] = b"0%\n"
    eventually(lambda: shares() == [0, 0], 5)
    with Load(proxy.address, connections=16, rate=affordable(500)) as load:
        time.sleep(0.5)
    assert not load.failed, load.failed[:3]
    assert load.done > 10
    if balance not in ("peak_ewma", "least_time"):  # those may stay with the one they know to be quick
        assert load.bodies[b"a"] and load.bodies[b"b"], load.bodies


def check_refused(proxy):
    refused = get(proxy.address)
    assert refused.status == 503
    assert int(refused.get("retry-after")) >= 1
    assert proxy.wait_log(status=503)["reason"] == "no_server"


def test_a_group_that_has_become_empty(stage):
    path = os.path.join(stage.folder(), "servers.yaml")
    with open(path, "w") as file:
        file.write("[]\n")
    os.chmod(path, 0o644)
    check_refused(stage.run(site(routes=[{"to": "app"}], upstreams={"app": {"servers": [{"file": path}]}})))


def test_all_in_maintenance(stage):
    servers = fleet(stage, "ab")
    check_refused(stage.proxy(*[{"address": s, "state": "maintenance"} for s in servers]))
    assert sum(s.requests for s in servers) == 0


# ---------------------------------------------------------------- all of them


def test_all_are_killed_and_come_back(stage):
    """Checks know: 503, Retry-After and a reason; the first that is back serves."""
    servers = fleet(stage, "abc")
    proxy = stage.proxy(*servers, upstream={"health": CHECK})
    for server in servers:
        server.kill()
    eventually(lambda: proxy.stderr.count("server is down") == 3, 10)
    check_refused(proxy)
    servers[1].start()
    eventually(lambda: get(proxy.address).status == 200, 10)
    assert {get(proxy.address).body for _ in range(20)} == {b"b"}


def test_all_are_killed_and_nobody_checks(stage):
    """The servers are asked, one after the other: an answer within little time, a reason, and no waiting."""
    servers = fleet(stage, "abc")
    proxy = stage.proxy(*servers)
    for server in servers:
        server.kill()
    for _ in range(20):
        began = time.monotonic()
        assert get(proxy.address).status in (502, 503)
        assert time.monotonic() < began + seconds(2)
    assert {r["reason"] for r in (proxy.wait_log(20), *proxy.log())} <= {"connect_refused", "no_server"}
    for server in servers:
        server.start()
    eventually(lambda: get(proxy.address).status == 200, 5, "served as soon as somebody is back")


def test_backups_take_over_under_load(stage):
    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, {"address": c, "tier": 1}, log=False,
                        upstream={"passive": {"eject": "500ms", "max_eject": "500ms"}})
    with Load(proxy.address, connections=64, rate=RATE) as load:
        time.sleep(0.5)
        assert c.requests == 0
        a.kill()
        b.kill()
        time.sleep(1)
        a.start()
        b.start()
        eventually(lambda: a.requests > 50 and b.requests > 50, 10, "the first ones are back")
        left = c.requests
        time.sleep(0.5)
        assert c.requests <= left + 2
    print(f"\n    {load.summary()}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.bodies[b"c"] > 0


def test_panic_under_load(stage):
    """All checks fail, all servers serve: nobody is refused, and the load stays spread."""
    servers = fleet(stage, "abc")
    proxy = stage.proxy(*servers, log=False, routes=with_status(),
                        upstream={"panic": "50%", "health": {**CHECK, "path": "/", "status": "204"}})
    load = run(Load(proxy.address, connections=16, rate=RATE / 2))
    assert states(proxy, *servers) == ["down"] * 3
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert min(load.bodies[n] for n in (b"a", b"b", b"c")) > 0.2 * load.done


# ---------------------------------------------------------------- one of three


def test_one_accepts_and_says_nothing(stage):
    a, b, c = fleet(stage, "abc")
    a.set(play="hang")
    proxy = stage.proxy(a, b, c, log=False, routes=with_status(),
                        upstream={"retries": {"attempt_timeout": "300ms"}})
    load = run(Load(proxy.address, connections=64, rate=RATE))
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert states(proxy, a) == ["ejected"]
    late = load.slower_than(0.25, begin=load.began + seconds(1))
    assert not late, (len(late), max(late))
    # Each was cancelled and told so.
    told = a.tell()
    eventually(lambda: a.tell()["abandoned"] == told["requests"], 5, "nobody waits for it any more")


def test_one_resets_after_the_head(stage):
    """What has begun cannot be repeated: exactly its answers are cut, visibly, and soon it is left alone."""
    a, b, c = fleet(stage, "abc")
    a.set(play="cut")
    proxy = stage.proxy(a, b, c, log=False, routes=with_status())
    load = run(Load(proxy.address, connections=16, rate=RATE / 4))
    cut = a.requests
    assert len(load.failed) <= cut
    assert load.bodies[b"a"] == 0
    assert cut < 100, "an answer that breaks off is a broken answer: such a server is ejected"


def test_early_answers_to_large_uploads(stage):
    servers = fleet(stage, "abc", play="early")
    proxy = stage.proxy(*servers, log=False)
    body = os.urandom(1 << 20)
    for number in range(10):
        with Client(proxy.address) as client:
            client.request("POST", f"/{number}", [("Content-Length", str(len(body)))])
            client.send(body[:70000])
            assert client.response().status == 200  # it is here before the rest has left
            try:
                client.send(body[70000:])
                again = client.get()
            except (OSError, Closed):
                continue  # it may also end the connection
            assert again.status == 200
    load = run(Load(proxy.address, connections=8, rate=RATE / 2))
    assert not load.failed, (len(load.failed), load.failed[:5])
    seen = sum((Counter(s.tell()["seen"]) for s in servers), Counter())
    assert seen == {f"/{n}": 1 for n in range(10)}


@pytest.mark.parametrize("linger", [0, 0.003], ids=["at once", "a little later"])
def test_keep_alive_is_closed_at_random(stage, linger):
    """Never an error for GET."""
    servers = fleet(stage, "abc", closing=0.3, linger=linger)
    proxy = stage.proxy(*servers, log=False)
    load = run(Load(proxy.address, connections=32, rate=RATE))
    print(f"    connections made {sum(s.tell()['accepted'] for s in servers)}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.done > 0.5 * RATE * SECONDS


@pytest.mark.parametrize("linger", [0, 0.003], ids=["at once", "a little later"])
def test_orders_meet_closing_connections(stage, linger):
    """Never a POST twice; who is refused is told so, and may be one that was never seen."""
    servers = fleet(stage, "abc", closing=0.3, linger=linger)
    proxy = stage.proxy(*servers, log=False)
    load = run(Load(proxy.address, connections=32, rate=RATE / 2, method="POST", target="/order/%d", body=b"pizza"))
    seen = sum((Counter(s.tell()["seen"]) for s in servers), Counter())
    assert max(seen.values()) == 1, seen.most_common(3)
    assert load.done <= len(seen) <= load.done + len(load.failed)
    # Those that a server had closed before they were sent do not count as seen, and go elsewhere.
    assert len(load.failed) <= 0.01 * load.done, (len(load.failed), load.failed[:3])


def check_extra(load):
    assert b"EVIL" not in load.bodies
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.bodies[b"a"] > 0


def test_more_than_was_announced(stage):
    """It never becomes somebody else's answer."""
    a, b, c = fleet(stage, "abc")
    a.set(play="extra")
    proxy = stage.proxy(a, b, c, log=False)
    check_extra(run(Load(proxy.address, connections=32, rate=RATE)))


def test_more_than_was_announced_a_little_later(stage):
    """It comes while the connection is idle; what comes later cannot be told from the next request's answer."""
    a, b, c = fleet(stage, "abc")
    a.set(play="later", linger=0.002)
    proxy = stage.proxy(a, b, c, log=False)
    check_extra(run(Load(proxy.address, connections=1, rate=50)))
