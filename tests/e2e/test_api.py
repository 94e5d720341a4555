# SPDX-License-Identifier: Apache-2.0
"""
The API as its own description tells it: every operation of /v1/openapi.json is called, and answers as its
schema says; who may do what; and where it is listened for.
"""
import concurrent.futures
import http.client
import json
import re
import socket
import ssl
from urllib.parse import unquote

import jsonschema
import pytest
import yaml

from support.admin import Admin, Answer, api_of
from support.certs import Authority
from support.client import get
from support.origin import answer_echo, serve_forever
from support.wait import eventually, seconds

TOKENS = {right: f"the-token-that-may-{right}" for right in ("read", "operate", "admin")}
SITE = """
listeners: [{address: "@listen@", name: web}]
process: {drain: 1s}
tracing: {sample: 100%%}
analytics: {}
stores: {default: 16MiB}
admin:
  listen: ["unix:@dir@/admin.sock", "@listenadmin@"]
  state: "@dir@/state"
  tokens: %s
upstreams:
  app: {servers: ["@origin@"]}
  slow: {servers: ["@deaf@"]}
routes:
  - {name: slow, path: /slow, to: slow}
  - {name: cached, path: /cached, use: [cache], to: app}
  - {name: rest, to: app}
""" % json.dumps([{"name": right, "right": right, "token": token} for right, token in TOKENS.items()])


@pytest.fixture(scope="module")
def deaf():
    """A server that takes every connection and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    listener.close()


@pytest.fixture(scope="module")
def proxy(module_stage, deaf):
    made = module_stage.run(SITE, origin=module_stage.origin(serve_forever(answer_echo)), deaf=deaf)
    get(made.address, "/cached")
    return made


@pytest.fixture(scope="module")
def description(proxy):
    return api_of(proxy).get("/v1/openapi.json").good


def operations(description):
    return [(method.upper(), path, operation) for path, methods in description["paths"].items()
            for method, operation in methods.items()]


def over_tcp(proxy, right=None):
    return Admin(proxy.names["listenadmin"], TOKENS.get(right, right))


def start(proxy, path):
    """A request whose answer will not come."""
    sock = socket.create_connection(("127.0.0.1", proxy.port), seconds(10))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x.test\r\n\r\n".encode())
    return sock


# ---------------------------------------------------------------------------- every operation

class Calls:
    """How each operation is called: the values of its path's parameters, then body and query."""

    def __init__(self, proxy):
        self.proxy, self.api, self.open = proxy, api_of(proxy), []

    def request(self, method, path):
        """(values, body, query)"""
        if (method, path) == ("DELETE", "/v1/connections/{connection}"):
            return [self.new_connection()], None, {}
        if path == "/v1/exchanges/{exchange}":
            return [self.new_exchange()], None, {}
        if path == "/v1/traces/{trace}":
            return [self.trace()], None, {}
        if path.startswith("/v1/revisions/{revision}"):
            return [self.api.get("/v1/revisions").good["revisions"][-1]["number"]], None, {}
        if path.startswith("/v1/trial"):
            if self.api.get("/v1/trial").json.get("state") != "running":
                self.api.patch("/v1/config/process", {"max_connections": 1000}, confirm="60s").good
            return [], None, {}
        if method == "DELETE" and path == "/v1/config{rest}":
            self.api.put("/v1/config/process/log_level", "info").good
            return ["/process/log_level"], None, {}
        if method == "POST" and path == "/v1/rollback":
            self.api.put("/v1/config/process/drain", "3s").good
        return {
            ("PUT", "/v1/log"): ([], {"level": "info"}, {}),
            ("GET", "/v1/config{rest}"): (["/routes/rest"], None, {}),
            ("PUT", "/v1/config{rest}"): (["/process/drain"], "1s", {}),
            ("PATCH", "/v1/config{rest}"): (["/process"], {"drain": "2s"}, {"comment": "a test"}),
            ("POST", "/v1/config{rest}"): (["/routes"], {"use": ["status"]}, {}),
            ("POST", "/v1/plan"): ([], "routes: [{use: [status]}]\nlisteners: [':8080']\n", {}),
            ("POST", "/v1/apply"): ([], self.api.get("/v1/config").json, {}),
            ("GET", "/v1/upstreams/{upstream}"): (["app"], None, {}),
            ("GET", "/v1/upstreams/{upstream}/servers"): (["app"], None, {}),
            ("POST", "/v1/upstreams/{upstream}/servers"): (["app"], {"address": "127.0.0.1:9", "weight": 2}, {}),
            ("GET", "/v1/upstreams/{upstream}/servers/{server}"): (["app", "127.0.0.1:9"], None, {}),
            ("PATCH", "/v1/upstreams/{upstream}/servers/{server}"): (["app", "127.0.0.1:9"],
                                                                     {"state": "draining"}, {}),
            ("DELETE", "/v1/upstreams/{upstream}/servers/{server}"): (["app", "127.0.0.1:9"], None, {}),
            ("POST", "/v1/caches/{store}/purge"): (["default"], {"all": True}, {}),
        }.get((method, path), ([], None, {}))

    def new_connection(self):
        self.open.append(start(self.proxy, "/slow"))
        return eventually(lambda: [c["id"] for c in self.api.get("/v1/connections").json["connections"]
                                   if c["listener"] == "web"], 5, "a connection")[-1]

    def new_exchange(self):
        self.open.append(start(self.proxy, "/slow"))
        return eventually(lambda: [x["id"] for x in self.api.get("/v1/exchanges").json["exchanges"]
                                   if x["route"] == "slow"], 5, "an exchange")[-1]

    def trace(self):
        return eventually(lambda: self.api.get("/v1/traces", route="cached").json["traces"], 5,
                          "a trace")[0]["trace_id"]

    def close(self):
        for sock in self.open:
            sock.close()


def filled(path, values):
    for value in values:
        path = re.sub(r"{\w+}", str(value).replace("\\", ""), path, count=1)
    return path.replace("{rest}", "")


def validator(description, name):
    return jsonschema.Draft202012Validator({**description, "$ref": f"#/components/schemas/{name}"})


def closed(schema):
    """Where members are listed, no others may be there."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **made} if isinstance(schema.get("properties"), dict) else made


def strict(description):
    """The description, of which answers may not have more than it says."""
    schemas = description["components"]["schemas"]
    return {**description, "components": {"schemas": {
        name: schema if name == "Maitred" else closed(schema) for name, schema in schemas.items()}}}


# These are called elsewhere: the one replaces the process, the other does not end.
APART = {("POST", "/v1/upgrade"), ("GET", "/v1/events")}


def test_every_operation_answers_as_it_says(proxy, description):
    calls, seen, whole = Calls(proxy), set(), strict(description)
    for method, path, operation in operations(description):
        if (method, path) in APART:
            continue
        values, body, query = calls.request(method, path)
        kind = "application/yaml" if path == "/v1/plan" else None
        [status] = [s for s in operation["responses"] if s != "default"]
        if method == "PATCH":
            kind = list(operation["requestBody"]["content"])[0]
        if body is not None and kind != "application/yaml":
            body = json.dumps(body)
        got = calls.api.ask(method, filled(path, values), body, kind=kind, **query)
        assert got.status == int(status), f"{method} {path}: {got.status} {got.text[:1000]}"
        seen.add((method, path))
        content = operation["responses"][status].get("content")
        if not content:
            assert got.body == b""
            continue
        media, how = next(iter(content.items()))
        assert got.headers["content-type"] == media
        if "schema" in how:
            validator(whole, how["schema"]["$ref"].rpartition("/")[2]).validate(got.json)
    calls.close()
    assert len(seen) > 40


def test_every_operation_takes_the_parameters_that_it_declares_alone(proxy, description):
    for method, path, operation in operations(description):
        declared = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
        assert "nonsense" not in declared
        detail = ask(api_of(proxy), method, path + "?nonsense=1").refused(400)["detail"]
        assert all(f"`{name}`" in detail for name in ["nonsense", *declared]), detail
        for name in declared:
            assert f"`{name}`" in ask(api_of(proxy), method, f"{path}?{name}=%4").refused(400)["detail"]


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def at(document, reference):
    """What a reference within the document names (RFC 6901, as a fragment)."""
    start, *steps = unquote(reference).split("/")
    assert start == "#", reference
    for step in steps:
        document = document[step.replace("~1", "/").replace("~0", "~")]
    return document


def test_every_reference_leads_to_a_schema(proxy, description):
    found = set(references(description))
    assert len(found) > 50
    for reference in found:
        assert isinstance(at(description, reference), dict), reference
    served = api_of(proxy).get("/v1/config").good
    validator(description, "Maitred").validate(served)
    assert not validator(description, "Maitred").is_valid({**served, "routes": [{"pth": "/"}]})


def described(description, method, path):
    return description["paths"][path][method.lower()]


@pytest.mark.parametrize("method,path,at_place", [
    ("PUT", "/v1/config{rest}", "/process/drain"), ("PATCH", "/v1/config{rest}", "/process"),
    ("POST", "/v1/config{rest}", "/routes"), ("POST", "/v1/plan", ""), ("POST", "/v1/apply", ""),
])
def test_every_kind_of_body(proxy, description, method, path, at_place):
    """What a body may be sent as is what is understood."""
    api, content = api_of(proxy), described(description, method, path)["requestBody"]["content"]
    value = {"/process/drain": "1s", "/process": {"drain": "1s"}, "/routes": {"use": ["status"]},
             "": api.get("/v1/config").good}[at_place]
    bodies = {
        "application/json": json.dumps(value),
        "application/yaml": yaml.safe_dump(value),
        "application/merge-patch+json": '{"drain": "2s"}' if at_place else '{"process": {"drain": "2s"}}',
        "application/json-patch+json": json.dumps([{"op": "add", "path": "/drain" if at_place else "/process/drain",
                                                    "value": "2s"}]),
    }
    wanted = {"/process": {"application/merge-patch+json", "application/json-patch+json", "application/yaml"},
              "": set(bodies)}
    assert set(content) == wanted.get(at_place, {"application/json", "application/yaml"})
    for kind in content:
        got = api.ask(method, filled(path, []).replace("/v1/config", "/v1/config" + at_place), bodies[kind], kind=kind,
                      dry_run=None if path == "/v1/plan" else 1)
        assert got.status < 300, f"{kind}: {got.text}"


def test_a_configuration_is_read_as_each_kind(proxy, description):
    for kind in described(description, "GET", "/v1/config{rest}")["responses"]["200"]["content"]:
        got = api_of(proxy).ask("GET", "/v1/config/process", fields={"Accept": kind})
        assert got.headers["content-type"] == kind


def test_what_heeds_if_match_says_so(proxy, description):
    """Asked with the tag of another time, these alone refuse."""
    said = {(method, path) for method, path, operation in operations(description)
            if ("If-Match", "header") in [(p["name"], p["in"]) for p in operation["parameters"]]}
    at_pointers = {(method, "/v1/config{rest}") for method in ("PUT", "PATCH", "POST", "DELETE")}
    assert said == at_pointers | {("POST", path) for path in (
        "/v1/apply", "/v1/reload", "/v1/reset", "/v1/rollback", "/v1/revisions/{revision}/restore")}
    for method, path in at_pointers:
        api_of(proxy).ask(method, filled(path, []) + "/process", "{}", fields={"If-Match": '"0"'}).refused(412)


def test_the_description_is_well_formed(description):
    names = set()
    for method, path, operation in operations(description):
        assert operation["summary"].endswith("."), path
        assert operation["x-right"] in TOKENS
        declared = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert declared == re.findall(r"{(\w+)}", path)
        names |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(operation)))
    for name in names:
        jsonschema.Draft202012Validator.check_schema(description["components"]["schemas"][name])
    assert names <= set(description["components"]["schemas"])


def test_events(proxy):
    conn = api_of(proxy)._connection()
    conn.request("GET", "/v1/events")
    got = conn.getresponse()
    assert got.status == 200 and got.getheader("content-type").startswith("text/event-stream")
    lines = []
    while not lines or lines[-1]:
        lines.append(got.readline().decode().rstrip("\n"))
    tick = json.loads("".join(line[6:] for line in lines if line.startswith("data: ")))
    assert "event: tick" in lines
    assert {"at", "requests", "errors", "connections", "statuses", "upstreams"} <= set(tick)
    conn.close()


# ---------------------------------------------------------------------------- who may do what

def ask(api, method, path):
    """With a body that nobody likes, so that nothing happens."""
    return api.ask(method, re.sub(r"{\w+}", "x", path.replace("{rest}", "/x")), "[" if method != "GET" else None)


def test_nobody_may_do_anything(proxy, description):
    def refused(operation):
        method, path, _ = operation
        for api in (over_tcp(proxy), over_tcp(proxy, "wrong"), api_of(proxy, "wrong")):
            got = ask(api, method, path)
            assert got.status == 401, f"{method} {path}: {got.status}"
            assert got.headers["www-authenticate"].startswith("Bearer")
            validator(description, "Problem").validate(got.json)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(refused, operations(description)))


@pytest.mark.parametrize("right", ["read", "operate"])
def test_rights_end_where_they_end(proxy, description, right):
    api, order, checked = over_tcp(proxy, right), ["read", "operate", "admin"], 0
    for method, path, operation in operations(description):
        if order.index(operation["x-right"]) > order.index(right):
            problem = ask(api, method, path).refused(403)
            assert right in problem["detail"] and operation["x-right"] in problem["detail"]
            checked += 1
    assert checked >= 10
    assert api.get("/v1/whoami").good == {"name": right, "right": right}
    assert api.get("/v1/config/routes/rest").good["to"] == "app"


def test_what_operators_and_administrators_may(proxy):
    operator, administrator = over_tcp(proxy, "operate"), over_tcp(proxy, "admin")
    operator.put("/v1/log", {"level": "info"}).good
    operator.post("/v1/reload").good
    administrator.patch("/v1/config/process", {"drain": "1s"}).good
    entries = administrator.get("/v1/audit", most=3).good["entries"]
    assert [(e["who"], e["action"]) for e in entries] == [("admin", "PATCH"), ("operate", "POST"), ("operate", "PUT")]
    assert not any(token in json.dumps(entries) for token in TOKENS.values())


# ---------------------------------------------------------------------------- how it is asked

def test_other_methods(proxy, description):
    api = api_of(proxy)
    for path, methods in description["paths"].items():
        got = ask(api, "TRACE" if path == "/" else "QUERY", path)
        assert got.status == 405, f"{path}: {got.status}"
        assert {m.strip().lower() for m in got.headers["allow"].split(",")} >= set(methods)


def test_what_is_not_there(proxy):
    for path in ("/v1/nothing", "/v2", "/v1/config-sources/x", "/v1/upstreams/none", "/v1/revisions/99999",
                 "/v1/traces/none", "/v1/exchanges/99999999", "/v1/upstreams/app/servers/10.9.9.9:1"):
        api_of(proxy).get(path).refused(404)
    api_of(proxy).delete("/v1/connections/99999999").refused(404)
    api_of(proxy).post("/v1/caches/none/purge", {"all": True}).refused(404)


@pytest.mark.parametrize("what,advice", [
    ({"url": "/p"}, "http://host/path"), ({"prefix": "/p"}, "host/path"), ({"host": "a.example/p"}, "without a path"),
])
def test_a_purge_of_what_names_no_host(proxy, what, advice):
    detail = api_of(proxy).post("/v1/caches/default/purge", what).refused(400)["detail"]
    assert f"`{[*what.values()][0]}`" in detail and advice in detail


def test_head_is_get_without_a_body(proxy):
    for path in ("/v1", "/v1/config", "/v1/openapi.json", "/metrics"):
        head = api_of(proxy).ask("HEAD", path)
        assert head.status == 200 and head.body == b""
        assert head.headers["content-type"] == api_of(proxy).get(path).headers["content-type"]


def test_a_body_may_be_too_large(proxy):
    conn = api_of(proxy)._connection()
    conn.putrequest("PUT", "/v1/config/routes")
    conn.putheader("Content-Length", str(65 << 20))
    conn.putheader("Content-Type", "application/json")
    conn.endheaders()
    got = conn.getresponse()
    Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()).refused(413)
    conn.close()


@pytest.mark.parametrize("method,path,body", [
    ("PUT", "/v1/log", "{"), ("PUT", "/v1/log", '{"level": "loud"}'), ("PUT", "/v1/log", "[]"),
    ("PUT", "/v1/log", "{}"), ("PUT", "/v1/log", '{"level": "debug", "for": "10m"}'),
    ("GET", "/v1/traces?status=xx", None), ("GET", "/v1/traces?status=6xx", None),
    ("GET", "/v1/traces?status=", None), ("GET", "/v1/traces?status=5000", None),
    ("POST", "/v1/upstreams/app/servers", "{}"), ("POST", "/v1/upstreams/app/servers", '{"address": 5}'),
    ("POST", "/v1/upstreams/app/servers", '{"address": "127.0.0.1:9", "wait": 1}'),
    ("PATCH", "/v1/upstreams/app/servers/127.0.0.1:9", '{"weight": "heavy"}'),
    ("POST", "/v1/caches/default/purge", "{}"), ("POST", "/v1/caches/default/purge", '{"url": "x", "all": true}'),
    ("PUT", "/v1/config/process?confirm=soon", "{}"), ("PUT", "/v1/config/process?guard=speed%3C1", "{}"),
    ("GET", "/v1/revisions?most=all", None),
])
def test_what_makes_no_sense(proxy, description, method, path, body):
    problem = api_of(proxy).ask(method, path, body).refused(400)
    validator(description, "Problem").validate(problem)


def test_what_is_wrong_changes_nothing(proxy):
    api = api_of(proxy)
    api.put("/v1/log", {"level": "info"}).good
    assert "`for`" in api.put("/v1/log", {"level": "debug", "for": "10m"}).refused(400)["detail"]
    assert api.get("/v1/log").good == {"level": "info"}


def test_a_server_without_an_address(proxy):
    for body in ({}, {"weight": 2}):
        assert "address is missing" in api_of(proxy).post("/v1/upstreams/app/servers", body).refused(400)["detail"]


def test_classes_of_statuses(proxy):
    for status in ("2", "2xx", "2XX", "200"):
        assert "cached" in {t["route"] for t in api_of(proxy).get("/v1/traces", status=status).good["traces"]}
    assert not api_of(proxy).get("/v1/traces", status="1xx").good["traces"]


# ---------------------------------------------------------------------------- where it is

def test_tls(stage):
    certificate = Authority(stage.folder()).issue("admin", ["localhost"])
    proxy = stage.run("""
listeners: ["@listen@"]
admin:
  listen: [{address: "@listenadmin@", tls: {certificates: [{certificate: %s, key: %s}]}}]
  state: "@dir@/state"
  tokens: [{name: ci, token: the-secret-of-the-test, right: admin}]
routes: [{use: [status]}]
""" % (certificate.chain, certificate.key))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    conn = http.client.HTTPSConnection(proxy.names["listenadmin"], timeout=seconds(10), context=context)
    conn.request("GET", "/v1/whoami", headers={"Authorization": "Bearer the-secret-of-the-test"})
    assert json.loads(conn.getresponse().read()) == {"name": "ci", "right": "admin"}
    conn.close()
    plain = Admin(proxy.names["listenadmin"], "the-secret-of-the-test").get("/v1/whoami")
    assert plain.status == 400


SMALL = """
listeners: ["@listen@"]
process: {drain: 1s}
%s
routes: [{use: [{respond: {text: "%s"}}]}]
"""
SECTION = 'admin: {listen: %s, state: "@dir@/state", tokens: [{name: t, token: the-secret-of-the-test}]}'


def answers(where):
    try:
        return Admin(where, "the-secret-of-the-test" if "/" not in where else None).get("/v1/whoami").status == 200
    except OSError:
        return False


def test_the_api_comes_moves_and_goes(stage):
    """By reloads; the process serves all along."""
    proxy = stage.run(SMALL % ("", "none"))
    one, two, tcp = f"{proxy.dir}/one.sock", f"{proxy.dir}/two.sock", proxy.fill_in("@listenadmin@")

    def listens(section, *where):
        proxy.reload(SMALL % (section, section.count("sock")))
        assert get(proxy.address, "/").body.decode() == str(section.count("sock"))
        for place in (one, two, tcp):
            eventually(lambda place=place: answers(place) == (place in where), 5, f"{place} in {section}")

    listens(SECTION % '"unix:@dir@/one.sock"', one)
    listens(SECTION % '["unix:@dir@/one.sock", "unix:@dir@/two.sock"]', one, two)
    listens(SECTION % '["unix:@dir@/two.sock", "@listenadmin@"]', two, tcp)
    listens("")
    listens(SECTION % '"unix:@dir@/one.sock"', one)


@pytest.mark.parametrize("taken", ["listeners", "admin"])
def test_a_change_that_fails_leaves_no_open_doors(stage, taken):
    """Nobody would accept there."""
    proxy = stage.run(SMALL % (SECTION % '"unix:@dir@/one.sock"', "x"))
    api, tcp = Admin(f"{proxy.dir}/one.sock"), proxy.fill_in("@listenadmin@")
    host, port = tcp.rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        listen = {"listeners": [proxy.address], "admin": [f"unix:{proxy.dir}/one.sock", tcp]}
        listen[taken].append(busy)
        problem = api.patch("/v1/config", {"listeners": listen["listeners"], "admin": {"listen": listen["admin"]}}).json
        assert busy in problem["text"], problem
    assert socket.socket().connect_ex((host, int(port))) != 0
    assert api.get("/v1/whoami").good and get(proxy.address, "/").body == b"x"


def test_tokens_come_and_go(stage):
    proxy = stage.run(SITE, origin=stage.origin(), deaf="127.0.0.1:1")
    assert over_tcp(proxy, "read").get("/v1/whoami").status == 200
    api_of(proxy).delete("/v1/config/admin/tokens/read").good
    assert over_tcp(proxy, "read").get("/v1/whoami").status == 401
    assert over_tcp(proxy, "operate").get("/v1/whoami").status == 200


def test_a_token_is_needed_over_tcp(stage):
    proxy = stage.run(SMALL % ('admin: {listen: "unix:@dir@/one.sock", state: "@dir@/state"}', "x"))
    problem = Admin(f"{proxy.dir}/one.sock").patch("/v1/config/admin", {"listen": "127.0.0.1:1"}).refused(422)
    assert "anybody who reaches `127.0.0.1:1` could change everything" in problem["text"]
