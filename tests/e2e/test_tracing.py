# SPDX-License-Identifier: Apache-2.0
"""Traces: who is traced, what servers are told, what a collector gets, and what happens when it does not."""
import json
import os
import re
import threading
import time

import pytest

from support.client import Client, get
from support.h2 import H2, INTERNAL_ERROR
from support.maitred import ROOT, command
from support.origin import Origin, echoed, serve_forever
from support.wait import eventually, stays

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def parent(flags="01", trace=TRACE):
    return ("Traceparent", f"00-{trace}-{PARENT}-{flags}")


class Collector(Origin):
    """Takes OTLP over HTTP in JSON, and checks that it is what the protocol says."""

    def __init__(self):
        self.answers, self.spans, self.at = [], [], []
        self.lock = threading.Lock()
        super().__init__(self.serve, name="collector")

    def serve(self, conn):
        request = conn.read_request(body=False)
        body = b"".join(conn.pieces(request))
        status, fields, *text = self.answers.pop(0) if self.answers else (200, [])
        self.at.append(time.monotonic())
        assert request.method == "POST" and request.target == "/v1/traces"
        assert request.get("content-type") == "application/json"
        if status == 200:
            with self.lock:
                self.spans += spans_of(json.loads(body))
        conn.respond(status, [("Content-Type", "application/json"), *fields], text[0] if text else b"{}")

    @property
    def url(self):
        return f"http://{self.address}/v1/traces"

    def wait(self, n=1, within=10, **attributes):
        """The spans that came, once n of them have these attributes."""

        def matching():
            with self.lock:
                return [s for s in self.spans if all(s["attributes"].get(k) == v for k, v in attributes.items())]

        return eventually(lambda: matching() if len(matching()) >= n else None, within, f"{n} spans with {attributes}")


def values(attributes):
    """A list of attributes as a dictionary; 64-bit numbers are texts in JSON."""
    out = {}
    for a in attributes:
        (kind, value), = a["value"].items()
        assert (kind, type(value)) in (("stringValue", str), ("intValue", str)), a
        out[a["key"]] = int(value) if kind == "intValue" else value
    return out


def spans_of(message):
    out = []
    for resource in message["resourceSpans"]:
        service = values(resource["resource"]["attributes"])["service.name"]
        for scope in resource["scopeSpans"]:
            assert scope["scope"]["name"] == "maitred"
            for span in scope["spans"]:
                assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"])
                assert re.fullmatch(r"[0-9a-f]{16}", span["spanId"])
                assert re.fullmatch(r"[0-9a-f]{16}", span.get("parentSpanId", PARENT))
                assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
                assert abs(int(span["startTimeUnixNano"]) / 1e9 - time.time()) < 120
                span["attributes"] = values(span["attributes"])
                for event in span.get("events", []):
                    event["attributes"] = values(event["attributes"])
                span["service"] = service
                out.append(span)
    return out


def details(span, what):
    return [e["attributes"].get("maitred.detail", "") for e in span["events"] if e["name"] == what]


@pytest.fixture
def collector():
    with Collector() as one:
        yield one
        assert not one.failures


def tracing(collector=None, **more):
    tree = {"sample": "100%", **more}
    if collector:
        tree["otlp"] = {"url": collector.url, "every": "100ms", "service": "front", **tree.get("otlp", {})}
    return tree


# ---------------------------------------------------------------- what is told


def test_a_trace_reaches_the_collector(stage, collector):
    origin = stage.origin()
    proxy = stage.proxy(origin, tracing=tracing(collector), route={"name": "shop"}, use=["request_id"])
    told = echoed(get(proxy.address, "/a?b=1", host="example.com"))
    sent = told["by_name"]["traceparent"][0].split("-")
    root, = collector.wait(**{"url.path": "/a"})
    attempt, = [s for s in collector.wait(2) if s is not root]

    assert (root["kind"], attempt["kind"]) == (2, 3)
    assert root["name"] == "GET shop" and root["service"] == "front"
    assert "parentSpanId" not in root
    assert attempt["parentSpanId"] == root["spanId"]
    assert sent == ["00", root["traceId"], attempt["spanId"], "01"]
    wanted = {"http.request.method": "GET", "url.scheme": "http", "url.query": "b=1", "server.address": "example.com",
              "client.address": "127.0.0.1", "network.protocol.version": "1.1", "http.route": "shop",
              "http.response.status_code": 200, "maitred.upstream": "app", "maitred.server": origin.address}
    assert {k: root["attributes"].get(k) for k in wanted} == wanted
    assert root["attributes"]["http.response.body.size"] == len(json.dumps({k: v for k, v in told.items() if k != "by_name"}))
    assert attempt["attributes"]["http.response.status_code"] == 200
    assert root["status"] == {} and attempt["status"] == {}
    assert details(root, "route") == ["shop: matches"]
    assert details(root, "middleware")[0] == "request_id passed it on"
    assert f"{origin.address} chosen of 1 of upstream app by" in details(root, "server")[0]
    route, = [e for e in root["events"] if e["name"] == "route"]
    assert re.fullmatch(r".*site\.yaml:\d+:\d+", route["attributes"]["maitred.where"])
    assert int(attempt["startTimeUnixNano"]) >= int(root["startTimeUnixNano"])
    assert int(attempt["endTimeUnixNano"]) <= int(root["endTimeUnixNano"])


def test_log_and_expressions_know_the_id(stage, collector):
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector, sample="0%", when="header('x-debug') exists"),
                        use=[{"headers": {"response": {"set": {"X-Trace": "${trace_id}"}}}}])
    answer = get(proxy.address, "/debug", [("X-Debug", "1")])
    root, = collector.wait(**{"url.path": "/debug"})
    assert answer.get("x-trace") == root["traceId"]
    assert proxy.wait_log(target="/debug")["trace_id"] == root["traceId"]
    # Not traced, but part of somebody's trace; and neither.
    assert get(proxy.address, "/part", [parent("00")]).get("x-trace") == TRACE
    assert proxy.wait_log(target="/part")["trace_id"] == TRACE
    assert not get(proxy.address, "/none").get("x-trace")
    assert "trace_id" not in proxy.wait_log(target="/none")
    assert {s["attributes"].get("url.path") for s in collector.spans} <= {"/debug", None}


def test_refusals_say_why_and_where(stage, collector):
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector), use=[{"body_limit": 10}],
                        routes=[{"name": "other", "host": "other.example", "to": "app"},
                                {"name": "small", "use": [{"body_limit": 10}], "to": "app"}])
    assert get(proxy.address, method="POST", body=b"x" * 20).status == 413
    root, = collector.wait(**{"http.response.status_code": 413})
    assert root["attributes"]["maitred.reason"] == "body_too_large"
    assert details(root, "refused")[0].startswith("413 body_too_large")
    limit, = [e for e in root["events"] if e["name"] == "limit"]
    assert ".yaml:" in limit["attributes"]["maitred.where"]
    assert details(root, "middleware")[0] == "body_limit answered 413 itself: body_too_large"
    assert details(root, "route")[-1] == "small: matches"


def test_routes_that_were_tried(stage, collector):
    routes = [{"name": "post", "path": "/a", "method": "POST", "to": "app"},
              {"name": "beta", "path": "/a", "header": {"x-beta": "1"}, "to": "app"}, {"name": "rest", "to": "app"}]
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector), routes=routes)
    get(proxy.address, "/a")
    root, = collector.wait(**{"url.path": "/a"})
    assert sorted(details(root, "route")) == ["beta: there is no header x-beta, wants '1'",
                                              "post: method is GET, wants POST", "rest: matches"]


def test_each_attempt_is_a_span(stage, collector):
    dead, origin = stage.origin(name="dead"), stage.origin(name="alive")
    proxy = stage.proxy(dead, origin, tracing=tracing(collector))
    dead.stop()
    for i in range(4):
        assert get(proxy.address, f"/{i}").status == 200
    failed = eventually(lambda: [s for s in collector.wait() if s["kind"] == 3 and s["status"]], 10)[0]
    assert failed["status"]["code"] == 2 and dead.address in failed["status"]["message"]
    together = [s for s in collector.spans if s.get("parentSpanId") == failed["parentSpanId"]]
    assert len(together) == 2 and len({s["spanId"] for s in together}) == 2
    answered, = [s for s in together if s is not failed]
    assert answered["attributes"]["http.response.status_code"] == 200
    root, = [s for s in collector.spans if s["spanId"] == failed["parentSpanId"]]
    assert details(root, "retry") == ["another server is asked"]
    assert any("left out: tried already" in d for d in details(root, "server"))


def test_the_cache_says_why(stage, collector):
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, [("Cache-Control", "max-age=60")], b"x")))
    proxy = stage.proxy(origin, tracing=tracing(collector), use=[{"cache": {"cache_status": "off"}}])
    for path in ("/a", "/a?second"):
        get(proxy.address, "/a", [("X-N", path)])
    roots = [s for s in collector.wait(2, **{"url.path": "/a"}) if s["kind"] == 2]
    said = [details(s, "cache")[0] for s in sorted(roots, key=lambda s: int(s["startTimeUnixNano"]))]
    assert "fwd=uri-miss" in said[0] and "hit" in said[1]


def test_fragments_are_part_of_the_trace(stage, collector):
    def answer(conn, request):
        if request.target == "/page":
            conn.respond(200, [("Content-Type", "text/html"), ("Surrogate-Control", 'content="ESI/1.0"')],
                         b'<esi:include src="/part"/>')
        else:
            conn.respond(200, [("Content-Type", "text/html")], request.get("traceparent").encode())

    proxy = stage.proxy(stage.origin(serve_forever(answer)), tracing=tracing(collector), use=["esi"],
                        route={"name": "pages"})
    inner = get(proxy.address, "/page").body.decode().split("-")
    page, = collector.wait(**{"url.path": "/page"})
    part, = collector.wait(**{"url.path": "/part"})
    assert (page["kind"], part["kind"]) == (2, 1)
    assert part["parentSpanId"] == page["spanId"] and part["traceId"] == page["traceId"] == inner[1]
    attempt, = [s for s in collector.spans if s.get("parentSpanId") == part["spanId"]]
    assert attempt["spanId"] == inner[2]
    assert details(part, "route") == ["pages: matches"]


# ---------------------------------------------------------------- through the API

ADMIN = {"listen": "unix:@dir@/admin.sock", "state": "@dir@/state"}


def ask(proxy, target, method="GET"):
    """Status and JSON of the admin API's answer."""
    answer = get(f"unix:{proxy.dir}/admin.sock", target, method=method)
    return answer.status, json.loads(answer.body) if answer.body else None


def test_traces_are_kept_and_found(stage):
    proxy = stage.proxy(stage.origin(), admin=ADMIN, tracing=tracing(keep=3), use=["request_id"],
                        route={"name": "shop"})
    ids = [get(proxy.address, f"/{i}").get("x-request-id") for i in range(10)]

    def listed():
        return ask(proxy, "/v1/traces")[1]["traces"]

    eventually(lambda: "/9" in [t["target"] for t in listed()], 5)
    targets = [t["target"] for t in listed()]
    assert 3 <= len(targets) <= 6 and targets == sorted(targets, reverse=True)  # of two workers
    assert len(ask(proxy, "/v1/traces?most=2")[1]["traces"]) == 2
    assert ask(proxy, "/v1/traces?route=none")[1]["traces"] == []
    by_request = ask(proxy, f"/v1/traces/{ids[9]}")[1]
    assert by_request == ask(proxy, f"/v1/traces/{by_request['trace_id']}")[1]
    assert by_request["route"] == "shop" and by_request["status"] == 200
    what = [e["what"] for e in by_request["events"]]
    assert what[0] == "request" and what[-1] == "end" and "attempt" in what and by_request["lost"] == 0
    assert [e["at_us"] for e in by_request["events"]] == sorted(e["at_us"] for e in by_request["events"])
    assert ask(proxy, "/v1/traces/nothing")[0] == 404


def test_exchanges_in_flight_are_seen_and_ended(stage):
    def slow(conn):
        conn.read_request()
        conn.wait_end(20)

    origin = stage.origin(slow)
    proxy = stage.proxy(origin, admin=ADMIN, tracing=tracing(), route={"name": "slow"}, use=["request_id"])
    with Client(proxy.address) as client:
        client.request("GET", "/wait")
        origin.wait_requests(1)

        def waiting():
            return [e for e in ask(proxy, "/v1/exchanges")[1]["exchanges"] if e["state"] == "waiting for the server"]

        one, = eventually(waiting, 5)
        assert (one["method"], one["target"], one["route"], one["server"]) == ("GET", "/wait", "slow", origin.address)
        assert one["client"] == "127.0.0.1" and one["status"] == 0 and one["age_us"] > 0
        assert ask(proxy, f"/v1/exchanges/{one['id']}")[1]["request_id"] == one["request_id"]
        trace = ask(proxy, f"/v1/traces/{one['request_id']}")[1]
        assert trace["in_flight"] and trace["trace_id"] == one["trace_id"]
        attempt, = [e for e in trace["events"] if e["what"] == "attempt"]
        assert not attempt["detail"]  # not over yet
        assert ask(proxy, f"/v1/exchanges/{one['id']}", "DELETE")[0] == 204
        assert client.is_closed()
    record = proxy.wait_log(target="/wait")
    assert record["reason"] == "cancelled" and record["blame"] == "nobody" and "status" not in record
    assert ask(proxy, f"/v1/exchanges/{one['id']}", "DELETE")[0] == 404
    assert ask(proxy, "/v1/exchanges")[1]["exchanges"] == []
    eventually(lambda: origin.connections[0].ended, 5)


def in_flight(proxy, state):
    """The only exchange that is doing that."""
    def found():
        return [e for e in ask(proxy, "/v1/exchanges")[1]["exchanges"] if e["state"] == state]

    one, = eventually(found, 5)
    return one


def test_one_that_is_being_sent_is_ended(stage):
    def endless(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            conn.send(bytes(65536))

    proxy = stage.proxy(stage.origin(endless), admin=ADMIN)
    with Client(proxy.address) as client:
        client.request("GET", "/much")
        one = in_flight(proxy, "sending")
        assert one["status"] == 200
        eventually(lambda: in_flight(proxy, "sending")["response_bytes"] > 0, 5)
        assert ask(proxy, f"/v1/exchanges/{one['id']}", "DELETE")[0] == 204
        record = proxy.wait_log(target="/much")
    assert (record["status"], record["reason"]) == (200, "cancelled")


def test_a_stream_of_http2_is_ended_alone(stage):
    def slow(conn):
        if conn.read_request().target == "/slow":
            conn.wait_end(20)
        else:
            conn.respond(200, body=b"quick")

    proxy = stage.proxy(stage.origin(slow), admin=ADMIN)
    with H2(proxy.address) as h2:
        h2.ready()
        h2.request(1, path="/slow")
        one = in_flight(proxy, "waiting for the server")
        assert (one["target"], one["version"]) == ("/slow", 20)
        assert ask(proxy, f"/v1/exchanges/{one['id']}", "DELETE")[0] == 204
        h2.expect_reset(1, INTERNAL_ERROR)
        h2.request(3, path="/quick")
        assert h2.response(3).body == b"quick"
    assert proxy.wait_log(target="/slow")["reason"] == "cancelled"


# ---------------------------------------------------------------- W3C Trace Context


def test_the_context_of_a_client_goes_on(stage):
    proxy = stage.proxy(stage.origin(), tracing=tracing())
    told = echoed(get(proxy.address, "/", [parent("00"), ("Tracestate", "rojo=1,congo=2")]))
    version, trace, span, flags = told["by_name"]["traceparent"][0].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and span != PARENT
    assert told["by_name"]["tracestate"] == ["rojo=1,congo=2"]


@pytest.mark.parametrize("fields", [
    [("Traceparent", f"00-{TRACE.upper()}-{PARENT}-01")],
    [("Traceparent", f"00-{'0' * 32}-{PARENT}-01")],
    [("Traceparent", f"ff-{TRACE}-{PARENT}-01")],
    [("Traceparent", f"00-{TRACE}-{PARENT}-01-x")],
    [parent(), parent()],
], ids=["upper case", "zero", "version ff", "too long", "twice"])
def test_what_is_malformed_begins_anew(stage, fields):
    proxy = stage.proxy(stage.origin(), tracing=tracing(follow="everybody"))
    told = echoed(get(proxy.address, "/", [*fields, ("Tracestate", "rojo=1")]))
    made, = told["by_name"]["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made) and TRACE not in made
    assert "tracestate" not in told["by_name"]


def test_who_is_not_traced_passes_unchanged(stage):
    for top in ({}, {"tracing": tracing(sample="0%")}, {"tracing": tracing(propagate="off")}):
        proxy = stage.proxy(stage.origin(), **top)
        told = echoed(get(proxy.address, "/", [parent("00"), ("Tracestate", "rojo=1")]))
        assert told["by_name"]["traceparent"] == [parent("00")[1]], top
        assert told["by_name"]["tracestate"] == ["rojo=1"]
        assert "traceparent" not in echoed(get(proxy.address))["by_name"]


def test_whose_flag_decides(stage):
    def traced(proxy, flags):
        sent = echoed(get(proxy.address, "/", [parent(flags)]))["by_name"]["traceparent"][0]
        return sent.split("-")[2] != PARENT

    trusted = {"trusted_proxies": ["127.0.0.0/8"]}
    origin = stage.origin()
    proxy = stage.proxy(origin, tracing=tracing(sample="0%"), listener=trusted)
    assert traced(proxy, "01") and not traced(proxy, "00")
    proxy = stage.proxy(origin, tracing=tracing(sample="0%"))
    assert not traced(proxy, "01")
    proxy = stage.proxy(origin, tracing=tracing(sample="0%", follow="everybody"))
    assert traced(proxy, "01") and not traced(proxy, "00")
    proxy = stage.proxy(origin, tracing=tracing(sample="100%", follow="nobody"), listener=trusted)
    assert traced(proxy, "01") and traced(proxy, "00")


# ---------------------------------------------------------------- the collector in trouble


def test_what_is_not_taken_comes_again(stage, collector):
    collector.answers = [(503, [("Retry-After", "1")]), (429, [])]
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector))
    get(proxy.address, "/a")
    collector.wait(**{"url.path": "/a"})
    assert len([s for s in collector.spans if s["kind"] == 2]) == 1  # once
    assert collector.at[1] - collector.at[0] > 0.9  # as Retry-After says
    assert 0.4 < collector.at[2] - collector.at[1] < 5  # backoff
    assert "takes no traces: status 503" in proxy.stderr
    eventually(lambda: "takes traces again" in proxy.stderr, 5)
    assert proxy.stderr.count("takes no traces") == 1


def test_a_collector_that_is_away_harms_nobody(stage, collector):
    collector.stop()
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector, otlp={"queue": 5}))
    with Client(proxy.address) as client:
        for i in range(100):
            assert client.get(f"/{i}").status == 200
    eventually(lambda: "takes no traces" in proxy.stderr, 5)
    collector.start()
    got = collector.wait(1, 20)
    # Five of each worker and five in the exporter: not more have waited.
    assert 1 <= len([s for s in got if s["kind"] == 2]) <= 15
    stays(lambda: len([s for s in collector.spans if s["kind"] == 2]) <= 15, 1)


def test_what_is_refused_is_not_sent_again(stage, collector):
    collector.answers = [(400, [])]
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector))
    get(proxy.address, "/first")
    eventually(lambda: len(collector.at) == 1, 5)
    get(proxy.address, "/second")
    collector.wait(**{"url.path": "/second"})
    assert not [s for s in collector.spans if s["attributes"].get("url.path") == "/first"]


def test_what_the_collector_complains_of_is_told(stage, collector):
    collector.answers = [(200, [], answer) for answer in (
        b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too\\nold"}}', b'{"partialSuccess": {"rejectedSpans": 2}}',
        b'{"partialSuccess": {}}', b"[" * 30000, b'{"partialSuccess": 7}', b'{"partialSuccess": {"errorMessage": "old protocol"}}')]
    proxy = stage.proxy(stage.origin(), admin=ADMIN, tracing=tracing(collector))
    for i in range(7):
        get(proxy.address, f"/{i}")
        collector.wait(**{"url.path": f"/{i}"})
    assert len([s for s in collector.spans if s["kind"] == 2]) == 7  # nothing comes twice
    assert proxy.stderr.count("complains") == 2
    assert re.search(r"/v1/traces complains: 3 spans were not taken: too\S*old\n", proxy.stderr), proxy.stderr
    assert "complains: 0 spans were not taken: old protocol" in proxy.stderr
    figures = get(f"unix:{proxy.dir}/admin.sock", "/metrics").body.decode()
    assert re.search(r"^maitred_traces_rejected_spans_total 5$", figures, re.M), figures


def test_the_last_ones_are_sent_at_the_end(stage, collector):
    proxy = stage.proxy(stage.origin(), tracing=tracing(collector, otlp={"every": "1h"}))
    get(proxy.address, "/last")
    proxy.wait_log(target="/last")
    proxy.stop()
    assert [s for s in collector.spans if s["attributes"].get("url.path") == "/last"]


def test_a_reload_moves_to_another_collector(stage, collector):
    with Collector() as other:
        proxy = stage.proxy(stage.origin(), tracing=tracing(collector))
        get(proxy.address, "/before")
        collector.wait(**{"url.path": "/before"})
        text = open(proxy.config).read()
        proxy.reload(text.replace(collector.url, other.url))
        get(proxy.address, "/after")
        other.wait(**{"url.path": "/after"})
        proxy.reload(text[:text.index("tracing:")])
        get(proxy.address, "/never")
        proxy.wait_log(target="/never")
        paths = [s["attributes"].get("url.path") for s in collector.spans + other.spans if s["kind"] == 2]
        assert sorted(paths) == ["/after", "/before"]
        assert not other.failures


def test_mistakes_are_told(stage):
    text = "tracing: {sample: 120%}\n"
    proxy = stage.proxy(stage.origin())
    good = open(proxy.config).read()
    assert "tracing" in proxy.reload(good + text, good=False)
    said = proxy.reload(good + "tracing: {otlp: collector:4318}\n", good=False)
    assert "not an http: or https: URL" in said
    proxy.reload(good)


# ---------------------------------------------------------------- the guide

with open(os.path.join(ROOT, "docs", "guide", "observing.md")) as file:
    EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", file.read().split("\n## Traces\n")[1], re.M | re.S)


@pytest.mark.parametrize("text", EXAMPLES, ids=[str(i) for i in range(len(EXAMPLES))])
def test_examples_of_the_guide(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    done = command("check", "-c", str(path), env={"COLLECTOR_TOKEN": "secret"})
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


def test_there_are_examples():
    assert len(EXAMPLES) == 3
