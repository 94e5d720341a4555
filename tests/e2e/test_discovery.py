# SPDX-License-Identifier: Apache-2.0
"""Where servers come from: names, SRV records, a file that is watched; while requests go on."""
import json
import os
import random
import threading
import time
from collections import Counter

import pytest

from support.client import Client, get
from support.daemons import nginx
from support.dns import A, NameServer, asking, can_unshare
from support.load import Load
from support.maitred import address_of, to_yaml
from support.origin import serve_forever
from support.ports import free_port
from support.wait import eventually, seconds, stays

# How long servers come and go under load; 60 is what the figures are about.
CHURN_S = int(os.environ.get("MAITRED_CHURN", "10"))

own_names = pytest.mark.skipif(not can_unshare(), reason="a resolv.conf of our own needs root")


def named(conn, request):
    conn.respond(200, [("X-Origin", conn.origin.name)], b"ok")


class Source:
    """An entry of `servers:` that is not an address, for stage.proxy()."""

    def __init__(self, **entry):
        self.address = entry


def counted(proxy, n=20):
    """Which origins answer n requests."""
    with Client(proxy.address) as client:
        responses = [client.get() for _ in range(n)]
    assert {r.status for r in responses} == {200}, Counter(r.status for r in responses)
    return Counter(r.get("x-origin") for r in responses)


def serve(proxy, *names, within=15):
    """Waits until exactly these origins answer."""
    eventually(lambda: set(counted(proxy)) == set(names), within, f"served by {names}")


# ---------------------------------------------------------------- names


@pytest.fixture
def names(stage):
    return stage.use(NameServer())


@pytest.fixture
def hosts(stage):
    """Origins a to d: the same port, each on an address of its own."""
    port = free_port()
    return {name: stage.origin(serve_forever(named), name=name, host=f"127.0.1.{i}", port=port)
            for i, name in enumerate("abcd", 1)}


def asks(stage, names, *servers, **more):
    return stage.proxy(*servers, wrap=asking(names, stage.folder()), workers=1, **more)


@own_names
def test_a_vanished_name_keeps_its_servers(stage, names, hosts):
    names.a("app.test", hosts["a"].host, hosts["b"].host)
    proxy = asks(stage, names, f"app.test:{hosts['a'].port}")
    serve(proxy, "a", "b")
    names.remove("app.test")
    eventually(lambda: "does not resolve" in proxy.stderr, 10)
    asked = names.asked["app.test", A]
    eventually(lambda: names.asked["app.test", A] >= asked + 2, 15, "asked again and again")
    assert set(counted(proxy)) == {"a", "b"}
    assert proxy.stderr.count("does not resolve") == 1, proxy.stderr
    names.a("app.test", hosts["c"].host)
    serve(proxy, "c")
    assert proxy.stderr.count("resolves again") == 1


@own_names
@pytest.mark.parametrize("how", ["failing", "silent"])
def test_name_servers_in_trouble_change_nothing(stage, names, hosts, how):
    names.a("app.test", hosts["a"].host)
    proxy = asks(stage, names, f"app.test:{hosts['a'].port}")
    serve(proxy, "a")
    setattr(names, how, True)
    eventually(lambda: "does not resolve" in proxy.stderr, 30)
    assert set(counted(proxy)) == {"a"}
    setattr(names, how, False)
    names.a("app.test", hosts["b"].host)
    serve(proxy, "b", within=30)


@own_names
def test_a_name_has_addresses_of_both_families(stage, names):
    port = free_port()
    stage.origin(serve_forever(named), name="four", host="127.0.0.1", port=port)
    stage.origin(serve_forever(named), name="six", host="::1", port=port)
    names.a("app.test", "127.0.0.1")
    names.aaaa("app.test", "::1")
    serve(asks(stage, names, f"app.test:{port}"), "four", "six")


@own_names
def test_ttls_are_honoured_beside_a_source_with_another_rhythm(stage, names, hosts):
    """A file is looked at each second; that is no reason to ask for a name each second."""
    path = os.path.join(stage.folder(), "servers.yaml")
    replace(path, [hosts["b"].address])
    names.a("app.test", hosts["a"].host, ttl=60)
    proxy = asks(stage, names, f"app.test:{hosts['a'].port}", Source(file=path))
    serve(proxy, "a", "b")
    asked = names.asked["app.test", A]
    replace(path, [hosts["c"].address])
    serve(proxy, "a", "c")
    replace(path, [hosts["d"].address])
    serve(proxy, "a", "d")
    assert names.asked["app.test", A] == asked


@own_names
def test_reloads_and_the_end_come_amid_questions(stage, names, hosts):
    """Name servers that say nothing hold up neither a reload nor the end, and what was known stays."""
    for name in "ab":
        names.a(f"{name}.test", hosts[name].host)
    names.srv(SERVICE, (1, 1, hosts["b"].port, "b.test"))
    proxy = asks(stage, names, f"a.test:{hosts['a'].port}", Source(srv=SERVICE), Source(file="/nonexistent/list"))
    serve(proxy, "a", "b")
    names.silent = True
    for _ in range(5):
        proxy.reload()
        assert set(counted(proxy)) == {"a", "b"}
    names.silent = False
    names.a("a.test", hosts["c"].host)
    serve(proxy, "b", "c")
    names.silent = True


# ---------------------------------------------------------------- SRV


SERVICE = "_http._tcp.app.test"


@pytest.fixture
def service(stage, names, hosts):
    """A proxy whose upstream is SERVICE; targets a.test to d.test are there."""
    for name, origin in hosts.items():
        names.a(f"{name}.test", origin.host, ttl=60)
    port = hosts["a"].port

    def publish(*targets, ttl=1):
        names.srv(SERVICE, *((priority, weight, port, f"{name}.test") for name, priority, weight in targets), ttl=ttl)

    def start(**more):
        return asks(stage, names, Source(srv=SERVICE, **more))

    publish.start = start
    return publish


@own_names
def test_srv_weights(service):
    service(("a", 10, 4), ("b", 10, 1), ("c", 10, 0))
    proxy = service.start()
    serve(proxy, "a", "b", "c")
    assert counted(proxy, 60) == {"a": 40, "b": 10, "c": 10}


@own_names
def test_srv_records_are_followed(service):
    service(("a", 10, 1))
    proxy = service.start()
    serve(proxy, "a")
    service(("b", 10, 1), ("c", 10, 1))
    serve(proxy, "b", "c")
    service(("c", 10, 3), ("d", 10, 1))
    serve(proxy, "c", "d")
    eventually(lambda: counted(proxy, 40) == {"c": 30, "d": 10}, 10, "the new weight")


@own_names
def test_srv_priorities_are_tiers(service, hosts):
    service(("a", 10, 1), ("b", 20, 1), ("c", 50, 1))
    proxy = service.start()
    serve(proxy, "a")
    stays(lambda: set(counted(proxy)) == {"a"}, 0.5)
    hosts["a"].stop()
    serve(proxy, "b")
    hosts["b"].stop()
    serve(proxy, "c")
    hosts["a"].start()
    serve(proxy, "a", within=30)


@own_names
def test_a_vanished_service_keeps_its_servers(service, names):
    service(("a", 10, 1), ("b", 10, 1))
    proxy = service.start()
    serve(proxy, "a", "b")
    names.remove(SERVICE)
    eventually(lambda: "service does not resolve" in proxy.stderr, 10)
    stays(lambda: set(counted(proxy)) == {"a", "b"}, 3)
    assert proxy.stderr.count("service does not resolve") == 1
    service(("c", 10, 1))
    serve(proxy, "c")
    assert "service resolves again" in proxy.stderr


@own_names
def test_a_target_without_address_takes_nothing_away(service, names):
    service(("a", 10, 1), ("b", 10, 1))
    proxy = service.start()
    serve(proxy, "a", "b")
    names.remove("b.test")
    service(("a", 10, 1), ("b", 10, 1), ("c", 10, 1))
    serve(proxy, "a", "b", "c")
    stays(lambda: set(counted(proxy)) == {"a", "b", "c"}, 3)
    assert proxy.stderr.count("name=b.test") == 1


@own_names
def test_a_service_that_is_said_not_to_be_available(service, names):
    service(("a", 10, 1))
    proxy = service.start()
    serve(proxy, "a")
    names.srv(SERVICE, (0, 0, 0, "."))
    eventually(lambda: get(proxy.address).status == 503, 10)
    assert "said not to be available" in proxy.stderr
    service(("a", 10, 1))
    eventually(lambda: get(proxy.address).status == 200, 10)


@own_names
def test_a_service_that_never_resolved(service):
    proxy = service.start()
    with Client(proxy.address, timeout=40) as client:
        assert client.get().status in (502, 503)
    service(("a", 10, 1))
    eventually(lambda: get(proxy.address).status == 200, 15, "served once it is there")


# ---------------------------------------------------------------- files


def text_of(servers):
    return to_yaml([{**s, "address": address_of(s["address"])} if isinstance(s, dict) else address_of(s)
                    for s in servers])


def replace(path, servers):
    """As careful writers do: a new file takes the place of the old one."""
    with open(path + ".new", "w") as file:
        file.write(text_of(servers))
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def rewrite(path, servers, pause=0.0, comments=0):
    """As careless ones do: in place, piece by piece; comments: lines of them behind the first server."""
    lines = text_of(servers).splitlines(keepends=True)
    with open(path, "w") as file:
        for line in lines[:1] + comments * ["# more to come\n"] + lines[1:]:
            file.write(line)
            file.flush()
            time.sleep(pause)


@pytest.fixture
def three(stage):
    return [stage.origin(serve_forever(named), name=n) for n in "abc"]


@pytest.fixture
def path(stage):
    return os.path.join(stage.folder(), "servers.yaml")


def listed(stage, path, **more):
    return stage.proxy(Source(file=path), workers=1, **more)


@pytest.mark.parametrize("write", [replace, rewrite])
def test_a_file_is_followed(stage, three, path, write):
    a, b, c = three
    write(path, [a])
    proxy = listed(stage, path)
    serve(proxy, "a")
    write(path, [a, {"address": b, "weight": 3}])
    eventually(lambda: counted(proxy, 40) == {"a": 10, "b": 30}, 10, "b is there, with its weight")
    write(path, [c])
    serve(proxy, "c")
    write(path, [])
    eventually(lambda: get(proxy.address).status == 503, 10, "nobody is left")
    write(path, [b])
    eventually(lambda: get(proxy.address).status == 200, 10, "somebody is there again")
    assert set(counted(proxy)) == {"b"}
    assert "list of servers" not in proxy.stderr


def test_a_file_in_json(stage, three, path):
    with open(path, "w") as file:
        json.dump({"servers": [three[0].address, {"address": three[1].address, "weight": 2}]}, file, indent=2)
    proxy = listed(stage, path)
    assert counted(proxy, 30) == {"a": 10, "b": 20}


def test_a_file_that_is_not_there_yet(stage, three, path):
    proxy = listed(stage, path)
    assert get(proxy.address).status in (502, 503)
    assert "No such file" in proxy.stderr and path in proxy.stderr
    replace(path, three)
    eventually(lambda: get(proxy.address).status == 200, 10, "served once it is there")
    assert set(counted(proxy)) == {"a", "b", "c"}
    assert proxy.stderr.count("list of servers is in order again") == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root is given up")
def test_the_file_is_read_by_the_worker_s_own_user(stage, three, path):
    replace(path, three)
    os.chmod(path, 0o600)
    proxy = listed(stage, path)
    eventually(lambda: "list of servers cannot be read" in proxy.stderr, 10)
    assert "Permission denied" in proxy.stderr
    os.chmod(path, 0o644)
    eventually(lambda: get(proxy.address).status == 200, 10, "read once it may be")


def test_a_broken_file_keeps_its_servers(stage, three, path):
    replace(path, three[:2])
    proxy = listed(stage, path)
    serve(proxy, "a", "b")
    with open(path, "w") as file:
        file.write(f"- {three[2].address}\n- {{address: {three[0].address}, wieght: 2}}\n")
    eventually(lambda: "list of servers is broken" in proxy.stderr, 10)
    stays(lambda: set(counted(proxy)) == {"a", "b"}, 2.5)
    assert proxy.stderr.count("list of servers is broken") == 1
    assert f"{path}:2:" in proxy.stderr and "unknown key `wieght`" in proxy.stderr
    replace(path, [three[2]])
    serve(proxy, "c")


def test_a_file_that_vanishes_keeps_its_servers(stage, three, path):
    replace(path, three)
    proxy = listed(stage, path)
    serve(proxy, "a", "b", "c")
    os.unlink(path)
    eventually(lambda: "list of servers cannot be read" in proxy.stderr, 10)
    stays(lambda: set(counted(proxy)) == {"a", "b", "c"}, 2.5)
    assert proxy.stderr.count("list of servers cannot be read") == 1


def test_half_a_file_is_not_taken(stage, three, path):
    """Written slowly, in place: at no time does the proxy know less than the old list or the new one."""
    a, b, c = three
    replace(path, [a, b, c])
    proxy = listed(stage, path)
    serve(proxy, "a", "b", "c")
    writer = threading.Thread(target=rewrite, args=(path, [a, b, {"address": c, "weight": 2}], 0.1, 20))
    writer.start()
    stays(lambda: set(counted(proxy)) == {"a", "b", "c"}, 2.5)  # it is looked at twice at least
    writer.join()
    eventually(lambda: counted(proxy, 40) == {"a": 10, "b": 10, "c": 20}, 10, "the new weight")


def test_draining_and_maintenance(stage, three, path):
    a, b, c = three
    replace(path, three)
    proxy = listed(stage, path)
    serve(proxy, "a", "b", "c")
    replace(path, [a, {"address": b, "state": "draining"}, {"address": c, "state": "maintenance"}])
    serve(proxy, "a")
    replace(path, [a, b, {"address": c, "state": "ready"}])
    serve(proxy, "a", "b", "c")


def test_tiers_of_a_file(stage, three, path):
    a, b, _ = three
    replace(path, [a, {"address": b, "tier": 1}])
    proxy = listed(stage, path)
    serve(proxy, "a")
    a.stop()
    serve(proxy, "b")


def test_what_the_file_does_not_say_the_entry_says(stage, three, path):
    a, b, c = three
    replace(path, [a, {"address": b, "weight": 1}])
    proxy = stage.proxy(Source(file=path, weight=3), c, workers=1)
    eventually(lambda: counted(proxy, 50) == {"a": 30, "b": 10, "c": 10}, 10)


@pytest.mark.parametrize("how", ["remove", "draining", "maintenance"])
def test_what_a_server_is_serving_it_finishes(stage, path, how):
    go = threading.Event()

    def slow(conn, request):
        if len(conn.origin.requests) > 1:
            return named(conn, request)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        assert go.wait(seconds(30))
        return conn.send(b"half")

    a = stage.origin(serve_forever(slow), name="a")
    b = stage.origin(serve_forever(named), name="b")
    replace(path, [a])
    proxy = listed(stage, path)
    with Client(proxy.address, timeout=30) as client:
        client.request()
        a.wait_requests(1)
        replace(path, [b] if how == "remove" else [{"address": a, "state": how}, b])
        serve(proxy, "b")
        time.sleep(1)
        go.set()
        response = client.response()
    assert (response.status, response.body) == (200, b"halfhalf")


# ---------------------------------------------------------------- under load


def draw(dice, servers):
    """Some of the servers, with weights and states; at least one that is ready."""
    chosen = dice.sample(servers, dice.randint(1, len(servers)))
    ready, rest = chosen[:1], chosen[1:]
    return [{"address": s, "weight": dice.randint(1, 10)} for s in ready] + \
           [{"address": s, "weight": dice.randint(1, 10), "state": dice.choice(["ready", "ready", "draining", "maintenance"])}
            for s in rest]


def test_servers_come_and_go_each_second_under_load(stage, path):
    """Added, weighted, drained, removed: no request fails.  MAITRED_CHURN=60 for the whole minute."""
    origins = [stage.use(nginx(f'location / {{ return 200 "{n}"; }}')) for n in "abcd"]
    addresses = [o.address for o in origins]
    dice = random.Random(3)
    replace(path, addresses)
    proxy = stage.proxy(Source(file=path), log=False)
    with Load(proxy.address, connections=32) as load:
        for number in range(CHURN_S):
            (replace if number % 2 else rewrite)(path, draw(dice, addresses))
            time.sleep(1)
    print(f"{load.done} requests, {dict(load.bodies)}")
    assert not load.failed, (len(load.failed), load.failed[:5])
    assert load.done > 100 * CHURN_S and set(load.bodies) == {b"a", b"b", b"c", b"d"}
    assert "list of servers" not in proxy.stderr


def test_rolling_restart_under_load(stage, path):
    """Drain one, wait until it is idle, stop it, start it, let it back in: nobody notices."""
    a, b = (stage.origin(serve_forever(named), name=n) for n in "ab")
    replace(path, [a, b])
    proxy = stage.proxy(Source(file=path), log=False)
    with Load(proxy.address, connections=8, pause=0.002) as load:
        for gone, stayed in ((a, b), (b, a)):
            replace(path, [{"address": gone, "state": "draining"}, stayed])
            serve(proxy, stayed.name)
            gone.stop()
            time.sleep(0.5)
            gone.start()
            replace(path, [a, b])
            serve(proxy, "a", "b")
    assert not load.failed, (len(load.failed), load.failed[:5])
