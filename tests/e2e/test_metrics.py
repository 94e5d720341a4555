# SPDX-License-Identifier: Apache-2.0
"""
What GET /metrics says, read by the parsers of Prometheus' own client library: that it is well formed in
both formats, that it counts what was asked and nothing else, and that the guide names every metric.
"""
import os
import re
import shutil
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from support.certs import Authority
from support.client import Client, get
from support.maitred import ROOT, Maitred, command, folder, sanitized, site
from support.origin import Origin, serve_forever
from support.tls import SecureClient, context
from support.wait import eventually

ADMIN = {"listen": "unix:@dir@/admin.sock", "state": "@dir@/state"}
OPENMETRICS = ("Accept", "application/openmetrics-text; version=1.0.0")
MANY, ROUTES = 1000, 10000


def observed(*servers, **more):
    return site(*servers, admin=ADMIN, log=False, **more)


def scrape(proxy, *fields):
    answer = get(f"unix:{proxy.dir}/admin.sock", "/metrics", fields)
    assert answer.status == 200, answer.body
    return answer


class Scrape:
    """Samples by name and labels."""

    def __init__(self, proxy):
        self.families = list(parse_prometheus(scrape(proxy).body.decode()))
        self.samples = {}
        for family in self.families:
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"twice: {key}"
                self.samples[key] = sample.value

    def __call__(self, name, **labels):
        """The sum of all samples that have these labels; None when there is none."""
        values = [value for (n, have), value in self.samples.items()
                  if n == name and set(labels.items()) <= set(have)]
        return sum(values) if values else None


def counted(proxy, name, value, **labels):
    """Workers count an exchange when its answer has left: a moment after the client has it."""
    return eventually(lambda: (s := Scrape(proxy))(name, **labels) == value and s, 5, f"{name} {labels} {value}")


@pytest.fixture(name="origin")
def _origin():
    def answer(conn, request):
        status = int(request.target.rpartition("/")[2]) if request.target.rpartition("/")[2].isdigit() else 200
        conn.respond(status, [("Cache-Control", "max-age=60")], b"x" * 1000)

    with Origin(serve_forever(answer)) as origin:
        yield origin


def test_both_formats_are_well_formed(origin):
    """The parser of OpenMetrics is strict: order, suffixes, buckets, the end."""
    routes = [{"name": 'a "quoted" \\ name', "path": "/cached/", "use": ["cache"], "to": "app"},
              {"name": "refused", "path": "/refused", "use": [{"ip_filter": {"allow": "192.0.2.1"}}], "to": "app"},
              {"to": "app"}]
    with Maitred(observed(origin, routes=routes)) as proxy:
        for target in ("/cached/a", "/cached/a", "/refused", "/b/500", "/b/404"):
            get(proxy.address, target)
        seen = counted(proxy, "maitred_route_requests_total", 5)
        assert seen("maitred_route_requests_total", route='a "quoted" \\ name') == 2
        answer = scrape(proxy, OPENMETRICS)
        assert answer.get("Content-Type").startswith("application/openmetrics-text; version=1.0.0")
        strict = list(parse_openmetrics(answer.body.decode()))
        assert {f.name for f in strict} == {f.name for f in seen.families}
        for fields in ((), [("Accept", "application/openmetrics-text;q=0, text/plain;q=0.5")]):
            assert scrape(proxy, *fields).get("Content-Type").startswith("text/plain; version=0.0.4")


def test_every_request_is_counted_once(origin):
    routes = [{"name": "shop", "path": "/shop/", "to": "app"}]
    with Maitred(observed(origin, routes=routes)) as proxy:
        for target in ["/shop/a"] * 5 + ["/shop/404", "/shop/500", "/nowhere"]:
            get(proxy.address, target)
        seen = counted(proxy, "maitred_listener_requests_total", 8, version="1.1")
        assert seen("maitred_route_requests_total", route="shop", status="2xx") == 5
        assert seen("maitred_route_requests_total", route="shop", status="4xx") == 1
        assert seen("maitred_route_requests_total", route="shop", status="5xx") == 1
        assert seen("maitred_route_requests_total", route="", status="4xx") == 1
        assert seen("maitred_route_failed_total", route="shop") == 1
        assert seen("maitred_route_errors_total", route="", reason="no_route") == 1
        assert seen("maitred_route_errors_total", route="shop") is None
        assert seen("maitred_route_response_bytes_total", route="shop") == 7000
        assert seen("maitred_route_duration_seconds_count", route="shop") == 7
        assert seen("maitred_route_server_first_byte_seconds_count", route="shop") == 7
        assert seen("maitred_route_duration_seconds_bucket", route="shop", le="+Inf") == 7
        assert 0 < seen("maitred_route_duration_seconds_sum", route="shop") < 10
        assert seen("maitred_upstream_requests_total", upstream="app") == 7
        assert seen("maitred_server_requests_total", upstream="app", server=origin.address) == 7
        assert seen("maitred_server_up", upstream="app", server=origin.address) == 1
        assert seen("maitred_worker_exchanges_total") >= 8
        assert 0 < seen("maitred_worker_busy_seconds_total") < 60
        assert seen("maitred_worker_rounds_total") >= 8
        assert seen("maitred_worker_longest_round_seconds") < 60


def test_errors_say_why_and_who_refused(origin):
    routes = [{"name": "closed", "path": "/closed", "use": [{"ip_filter": {"allow": "192.0.2.1"}}], "to": "app"},
              {"name": "dead", "path": "/dead", "to": "http://127.0.0.1:1"},
              {"name": "away", "path": "/away", "use": [{"redirect": {"to": "/"}}]}]
    with Maitred(observed(origin, routes=routes)) as proxy:
        assert [get(proxy.address, t).status for t in ("/closed", "/dead", "/away")][:2] == [403, 502]
        seen = counted(proxy, "maitred_listener_requests_total", 3)
        assert seen("maitred_route_errors_total", route="closed", reason="not_allowed") == 1
        assert seen("maitred_route_refusals_total", route="closed", middleware="ip_filter") == 1
        assert seen("maitred_route_failed_total", route="closed") == 0
        assert seen("maitred_route_errors_total", route="dead", reason="connect_refused") == 1
        assert seen("maitred_route_failed_total", route="dead") == 1
        assert seen("maitred_route_refusals_total", route="dead") is None
        assert seen("maitred_route_errors_total", route="away") is None


def test_caches_and_stores(origin):
    with Maitred(observed(origin, use=["cache"], route={"name": "kept"})) as proxy:
        for _ in range(3):
            get(proxy.address, "/page")
        seen = counted(proxy, "maitred_route_cache_total", 2, route="kept", result="hit")
        assert seen("maitred_route_cache_total", route="kept", result="miss") == 1
        assert seen("maitred_store_hits_total", store="default") == 2
        assert seen("maitred_store_objects", store="default") == 1
        assert seen("maitred_route_server_first_byte_seconds_count", route="kept") == 1


def test_what_clients_ask_makes_no_series(origin):
    """Thousands of paths, hosts, methods and agents, and not one label of them."""
    with Maitred(observed(origin, route={"name": "all"})) as proxy:
        get(proxy.address, "/first")
        get(proxy.address, "/404")
        before = counted(proxy, "maitred_route_requests_total", 2, route="all")
        with Client(proxy.address) as client:
            for i in range(300):
                client.request(f"M{i}", f"/path-{i}", [("Host", f"h{i}.example"), ("User-Agent", f"a{i}")])
                client.response()
        after = counted(proxy, "maitred_route_requests_total", 302, route="all")
        assert set(after.samples) == set(before.samples)


def test_counters_survive_a_reload(origin):
    routes = [{"name": "old", "path": "/old", "to": "app"}, {"name": "kept", "to": "app"}]
    text = observed(origin, routes=routes)
    with Maitred(text) as proxy:
        for target in ("/old", "/", "/"):
            get(proxy.address, target)
        counted(proxy, "maitred_route_requests_total", 3)
        proxy.reload(text.replace("name: old", "name: new"))
        get(proxy.address, "/old")
        get(proxy.address, "/")
        seen = counted(proxy, "maitred_route_requests_total", 5)
        assert seen("maitred_route_requests_total", route="kept") == 3
        assert seen("maitred_route_requests_total", route="old") == 1
        assert seen("maitred_route_requests_total", route="new") == 1
        proxy.reload("listeners: nonsense", good=False)
        seen = Scrape(proxy)
        assert seen("maitred_config_reloads_total", outcome="refused") == 1
        assert seen("maitred_config_reloads_total", outcome="applied") >= 1


def test_open_connections_go_up_and_down(origin):
    """They follow the name of their listener through a reload."""
    text = observed(origin, listener={"name": "front"})
    with Maitred(text) as proxy:
        clients = [Client(proxy.address) for _ in range(3)]
        for client in clients:
            assert client.get().status == 200
        counted(proxy, "maitred_listener_open_connections", 3, listener="front")
        proxy.reload(text.replace("name: front", "name: door"))
        seen = counted(proxy, "maitred_listener_open_connections", 3, listener="door")
        assert seen("maitred_listener_open_connections", listener="front") == 0
        assert seen("maitred_listener_connections_total", listener="front") == 3
        for client in clients:
            client.close()
        counted(proxy, "maitred_listener_open_connections", 0, listener="door")


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


def test_a_tunnel_is_counted_when_it_ends():
    """By the route that it came by, though a reload has taken that away; how long it took is left out."""

    def switch(conn):
        conn.read_request()
        conn.send(SWITCH)
        while data := conn.read_some():
            conn.send(data)

    with Origin(switch) as origin:
        text = observed(origin, route={"name": "chat"})
        with Maitred(text) as proxy:
            client = Client(proxy.address)
            client.request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "raw")])
            assert client.response().status == 101
            client.send(b"hello")
            assert client.read_exact(5) == b"hello"
            counted(proxy, "maitred_worker_tunnels", 1)
            proxy.reload(text.replace("name: chat", "name: other"))
            assert Scrape(proxy)("maitred_route_requests_total", route="chat") is None
            client.close()
            seen = counted(proxy, "maitred_route_requests_total", 1, route="chat", status="1xx")
            assert seen("maitred_route_response_bytes_total", route="chat") == 5
            assert seen("maitred_route_duration_seconds_count", route="chat") is None
            assert seen("maitred_worker_tunnels") == 0


def test_handshakes_and_certificates():
    here = folder()
    try:
        cert = Authority(here).issue("site", names=["example.test"], days=30)
        listener = {"name": "tls", "tls": {"certificates": [{"certificate": cert.chain, "key": cert.key}]}}
        with Maitred(observed(routes=[{"use": [{"respond": {"status": 204}}]}], listener=listener)) as proxy:
            with SecureClient(proxy.address, ctx=context()) as client:
                assert client.get().status == 204
            seen = counted(proxy, "maitred_listener_tls_handshakes_total", 1, listener="tls", outcome="full")
            left = seen("maitred_certificate_not_after_timestamp_seconds", listener="tls") - time.time()
            assert 28 * 86400 < left < 31 * 86400
    finally:
        shutil.rmtree(here, ignore_errors=True)


def test_off(origin):
    with Maitred(observed(origin, metrics=False)) as proxy:
        assert get(proxy.address, "/").status == 200
        seen = counted(proxy, "maitred_upstream_requests_total", 1, upstream="app")
        assert seen("maitred_route_requests_total") is None
        assert seen("maitred_listener_requests_total") is None
        assert seen("process_cpu_seconds_total") > 0


@pytest.mark.skipif(sanitized(), reason="times mean nothing under a sanitizer")
def test_a_thousand_upstreams_in_fifty_milliseconds():
    """And ten thousand routes, of which few have anything to tell."""
    upstreams = {f"app{i}": {"servers": ["127.0.0.1:1", "127.0.0.1:2"]} for i in range(MANY)}
    routes = [{"name": f"r{i}", "path": f"/r{i}", "to": f"app{i % MANY}"} for i in range(ROUTES)]
    with Maitred(site(admin=ADMIN, log=False, upstreams=upstreams, routes=routes)) as proxy:
        for i in range(50):
            get(proxy.address, f"/r{i}")
        took = []
        for _ in range(5):
            start = time.monotonic()
            body = scrape(proxy).body
            took.append(time.monotonic() - start)
        print(f"{len(body)} bytes in {min(took) * 1000:.1f} ms")
        seen = Scrape(proxy)
        assert len({labels for name, labels in seen.samples if name == "maitred_upstream_servers"}) == MANY
        assert min(took) < 0.050, took


GUIDE = os.path.join(ROOT, "docs", "guide", "observing.md")


def guide():
    """The section on metrics."""
    with open(GUIDE) as file:
        return file.read().partition("\n## Metrics\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("text", [t for t in re.findall(r"```yaml\n(.*?)```", guide(), re.S) if "listeners:" in t])
def test_the_examples_of_the_guide_are_good(text):
    here = folder()
    try:
        for name, content in (("token", "0123456789abcdef0123456789abcdef"), ("site.yaml", text)):
            with open(f"{here}/{name}", "w") as file:
                file.write(content.replace("/etc/maitred/prometheus.token", f"{here}/token"))
        done = command("check", "-c", f"{here}/site.yaml")
        assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    finally:
        shutil.rmtree(here, ignore_errors=True)


ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", re.M)


def test_the_guide_names_every_metric(origin):
    """Name, kind, labels and sentence are those of the exposition; labels as far as there are samples."""
    rows = {name: (kind, set(re.findall(r"`(\w+)`", labels)), doc) for name, kind, labels, doc in ROW.findall(guide())}
    with Maitred(observed(origin, use=["cache", {"ip_filter": {"deny": "192.0.2.1"}}])) as proxy:
        get(proxy.address, "/")
        told = {}
        for family in counted(proxy, "maitred_route_requests_total", 1).families:
            if family.name.startswith(("maitred_", "process_")):
                name = family.name + ("_total" if family.type == "counter" else "")
                labels = {label for s in family.samples for label in s.labels} - {"le"}
                told[name] = (family.type, labels, family.documentation)
    assert set(told) - set(rows) == set(), "not in the guide"
    assert set(rows) - set(told) == set(), "not told"
    for name, (kind, labels, doc) in told.items():
        assert (kind, doc) == (rows[name][0], rows[name][2]), name
        assert labels <= rows[name][1], name
