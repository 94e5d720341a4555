# SPDX-License-Identifier: Apache-2.0
"""
The configuration as a resource: read and changed at any place, by all four methods, live; what is wrong is told
with its place in the file or in the request; nothing that fails changes anything; secrets never leave.
"""
import json
import os
import threading

import pytest

from support.admin import admin, api_of
from support.client import get
from support.maitred import Maitred, sanitized, to_yaml
from support.wait import eventually

TOKEN = "the-secret-of-the-test"
SITE = """
listeners: [{address: "@listen@"}]
process: {drain: 1s}
admin:
  listen: "unix:@dir@/admin.sock"
  state: "@dir@/state"
  tokens:
    - {name: ci, token: the-secret-of-the-test, right: read}
    - {name: file, token: "${file:@dir@/token}"}
routes:
  - {name: word, path: /word, use: [{respond: {text: one}}]}
  - use: [{respond: {text: rest}}]
"""


@pytest.fixture
def proxy(stage):
    made = Maitred(start=False)
    stage.use(made)
    with open(f"{made.dir}/token", "w") as file:
        file.write("another-secret-of-the-test\n")
    made.write(SITE)
    made.start()
    return made


@pytest.fixture
def api(proxy):
    return api_of(proxy)


def said(proxy, path="/word"):
    return get(proxy.address, path).body.decode()


def tag(api, path):
    return api.get(path).headers["etag"]


# ---------------------------------------------------------------------------- reading

def test_any_place_can_be_read(api):
    assert api.get("/v1/config/routes/word/path").good == "/word"
    assert api.get("/v1/config/routes/0").good["name"] == "word"
    assert api.get("/v1/config/routes/1/use/0/respond").good == {"text": "rest"}
    assert api.get("/v1/config").good == api.get("/v1/config/").good
    assert set(api.get("/v1/config").good) == {"listeners", "process", "admin", "routes"}
    api.get("/v1/config/routes/none").refused(404)
    api.get("/v1/config/routes/2").refused(404)


def test_yaml_for_those_who_ask_for_it(api):
    got = api.ask("GET", "/v1/config/routes", fields={"Accept": "application/yaml"})
    assert got.headers["content-type"] == "application/yaml"
    assert got.text == ("- name: word\n  path: /word\n  use:\n    - respond:\n        text: one\n"
                        "- use:\n    - respond:\n        text: rest\n")


@pytest.mark.parametrize("accept, kind", [
    (None, "json"), ("*/*", "json"), ("text/html, */*;q=0.8", "json"), ("application/yaml;q=0", "json"),
    ("application/yaml;q=0, */*", "json"), ("application/x-yaml;q=0, application/json;q=0.5, */*", "json"),
    ("text/*", "json"), ("application/yaml;q=0.5, application/json", "json"),
    ("application/json, application/yaml", "json"), ("application/vnd.yamls", "json"),
    ("application/yaml;q=0.5", "yaml"), ("application/json;q=0.5, application/yaml", "yaml"),
    ("application/yaml, */*;q=0.1", "yaml"), ("text/yaml", "yaml"), ("application/x-yaml", "yaml"),
])
def test_the_higher_weight_wins(api, accept, kind):
    got = api.ask("GET", "/v1/config/routes", fields={"Accept": accept} if accept else None)
    assert got.status == 200 and got.headers["content-type"] == f"application/{kind}"
    assert got.text.startswith("- name: word" if kind == "yaml" else "[")


def test_types_are_those_of_the_tables(api):
    api.patch("/v1/config", {"process": {"max_connections": "500"}, "admin": {"dashboard": "no"}}).good
    whole = api.get("/v1/config").good
    assert whole["process"]["max_connections"] == 500
    assert whole["admin"]["dashboard"] is False
    assert whole["process"]["drain"] == "1s"


# ---------------------------------------------------------------------------- the four methods

def test_put_patch_post_delete(proxy, api):
    api.put("/v1/config/routes/word/use/0/respond/text", "two").good
    assert said(proxy) == "two"
    api.patch("/v1/config/routes/word", {"path": "/words", "method": "GET"}).good
    assert (said(proxy), said(proxy, "/words")) == ("rest", "two")
    added = api.post("/v1/config/routes", {"name": "late", "path": "/late", "use": [{"respond": {"text": "late"}}]})
    assert added.status == 201
    assert said(proxy, "/late") == "rest", "routes match in their order: the one without conditions comes first"
    api.patch("/v1/config/routes", [{"op": "move", "from": "/late", "path": "/0"}],
              kind="application/json-patch+json").good
    assert said(proxy, "/late") == "late"
    api.delete("/v1/config/routes/late").good
    assert said(proxy, "/late") == "rest"
    api.patch("/v1/config/routes/word", {"method": None}).good
    assert "method" not in api.get("/v1/config/routes/word").good


def test_put_makes_what_is_not_there(proxy, api):
    api.put("/v1/config/routes/fresh", {"path": "/fresh", "use": [{"respond": {"text": "fresh"}}]}).good
    assert api.get("/v1/config/routes/2/name").good == "fresh"
    api.put("/v1/config/upstreams", {"app": {"servers": ["127.0.0.1:1"]}}).good
    api.put("/v1/config/upstreams/app/servers/127.0.0.1:2", {"weight": 3}).good
    assert api.get("/v1/config/upstreams/app/servers").good == [
        "127.0.0.1:1", {"address": "127.0.0.1:2", "weight": 3}]
    api.put("/v1/config/upstreams/none/servers", ["127.0.0.1:1"]).refused(404)


def test_yaml_is_taken_too(proxy, api):
    api.put("/v1/config/routes/word", "path: /word\nuse: [{respond: {text: from yaml}}]\n",
            kind="application/yaml").good
    assert said(proxy) == "from yaml"
    api.patch("/v1/config/routes", "- {op: test, path: /word/path, value: /word}\n- {op: remove, path: /word}\n",
              kind="application/json-patch+json").good
    assert said(proxy) == "rest"


def test_names_that_hold_slashes(proxy, api):
    api.put("/v1/config/upstreams", {"a/b": {"servers": "127.0.0.1:1"}, "ü": {"servers": "127.0.0.1:2"}}).good
    assert api.get("/v1/config/upstreams/a~1b").good == {"servers": "127.0.0.1:1"}
    assert api.get("/v1/config/upstreams/%C3%BC/servers/127.0.0.1:2").good == "127.0.0.1:2"
    api.get("/v1/config/upstreams/a/b").refused(404)
    api.delete("/v1/config/upstreams/a~1b").good
    assert list(api.get("/v1/config/upstreams").good) == ["ü"]


# ---------------------------------------------------------------------------- what is wrong

def unchanged(proxy, api, before):
    assert said(proxy) == "one"
    assert api.get("/v1/config").good == before
    assert not api.get("/v1/config-sources").good["patch"]


@pytest.mark.parametrize("method,path,body,kind,status", [
    ("PUT", "/routes", '{"a": ', None, 400),
    ("PUT", "/routes", "", None, 400),
    ("PUT", "/routes", "[1,\n 2", None, 400),
    ("PUT", "/routes/word", '{"to": "x", "to": "y"}', None, 400),
    ("PUT", "/routes/word", b"\xff".decode("latin1"), None, 422),
    ("PUT", "", '{"include": "other.yaml"}', None, 400),
    ("PUT", "", '"text"', None, 400),
    ("PUT", "/routes/9", '{"use": [{"respond": {"text": "x"}}]}', None, 404),
    ("PUT", "/nothing/there", "1", None, 404),
    ("PUT", "/nothing", "1", None, 422),
    ("POST", "/admin", '"x"', None, 400),
    ("POST", "/routes", '{"name": "word", "use": ["status"]}', None, 409),
    ("DELETE", "/routes/none", None, None, 404),
    ("DELETE", "/listeners", None, None, 422),
    ("DELETE", "", None, None, 422),
    ("PATCH", "/routes/none", "{}", "application/merge-patch+json", 404),
    ("PATCH", "", "{}", "application/json-patch+json", 400),
    ("PATCH", "", '[{"op": "jump", "path": "/routes"}]', "application/json-patch+json", 400),
    ("PATCH", "", '[{"op": "remove", "path": "/a~2"}]', "application/json-patch+json", 400),
    ("PATCH", "", '[{"op": "remove", "path": "/routes/none"}]', "application/json-patch+json", 404),
    ("PATCH", "", '[{"op": "remove", "path": "/routes/word"}, {"op": "test", "path": "/process/drain", '
                  '"value": "2s"}]', "application/json-patch+json", 409),
], ids=lambda v: str(v)[:30])
def test_what_fails_changes_nothing(proxy, api, method, path, body, kind, status):
    before = api.get("/v1/config").good
    problem = api.ask(method, f"/v1/config{path}", body, kind=kind).refused(status)
    assert problem["detail"]
    unchanged(proxy, api, before)


def test_complaints_have_places(proxy, api):
    before = api.get("/v1/config").good
    problem = api.put("/v1/config/routes/word", '{\n  "pth": "/x",\n  "to": "nobody"\n}').refused(422)
    found = {(e["file"], e["line"], e["column"]): e for e in problem["errors"]}
    assert "unknown key `pth`" in found["request body", 2, 3]["detail"]
    assert found["request body", 2, 3]["hint"] == "did you mean `path`?"
    assert found["request body", 2, 3]["pointer"] == "/routes/0/pth"
    assert '"pth": "/x"' in problem["text"] and "^" in problem["text"]
    problem = api.patch("/v1/config", {"listeners": [{"address": proxy.address, "name": "web"}],
                                       "routes": [{"listener": "wob", "use": ["status"]}]}).refused(422)
    assert problem["errors"][0]["file"] == "request body"
    unchanged(proxy, api, before)


def test_complaints_about_the_rest_point_into_the_file(stage):
    proxy = stage.run(SITE.replace("    - {name: file, token: \"${file:@dir@/token}\"}\n", "").replace(
        "routes:\n", "upstreams: {app: {servers: [\"127.0.0.1:1\"]}}\nroutes:\n  - {path: /app, to: app}\n"))
    problem = api_of(proxy).delete("/v1/config/upstreams/app").refused(422)
    [error] = problem["errors"]
    with open(proxy.config) as file:
        lines = file.read().split("\n")
    assert error["file"] == proxy.config
    assert error["pointer"] == "/routes/0/to"
    assert lines[error["line"] - 1][error["column"] - 1:].startswith("app}")


# ---------------------------------------------------------------------------- looking before changing

def test_if_match(proxy, api):
    old = tag(api, "/v1/config/routes/word")
    fields = {"If-Match": old}
    changed = api.ask("PUT", "/v1/config/routes/word/path", '"/elsewhere"', fields=fields)
    changed.refused(412)  # the tag is of the route, not of its path
    changed = api.ask("PATCH", "/v1/config/routes/word", '{"path": "/elsewhere"}', fields=fields)
    assert changed.good and changed.headers["etag"] == tag(api, "/v1/config/routes/word") != old
    problem = api.ask("PATCH", "/v1/config/routes/word", '{"path": "/third"}', fields=fields)
    problem.refused(412)
    assert problem.headers["etag"] == changed.headers["etag"]
    api.ask("DELETE", "/v1/config/routes/none", fields={"If-Match": "*"}).refused(412)
    api.ask("DELETE", "/v1/config/routes/word", fields={"If-Match": "*"}).good
    api.ask("PUT", "/v1/config/routes/word", '{"use": ["status"]}', fields={"If-Match": "*"}).refused(412)


@pytest.mark.parametrize("path", ["/v1/apply", "/v1/rollback", "/v1/reset", "/v1/revisions/1/restore", "/v1/reload"])
def test_if_match_of_the_whole(proxy, api, path):
    """Somebody has changed it since it was read, so that this would undo what nobody has seen."""
    old = api.get("/v1/config")
    api.put("/v1/config/routes/word/use/0/respond/text", "two").good
    body = old.json if path == "/v1/apply" else None
    problem = api.ask("POST", path, body, fields={"If-Match": old.headers["etag"]})
    problem.refused(412)
    assert said(proxy) == "two" and problem.headers["etag"] == tag(api, "/v1/config")
    api.ask("POST", path, body, fields={"If-Match": tag(api, "/v1/config")}).good
    assert said(proxy) == ("two" if path == "/v1/reload" else "one")


def test_if_none_match(proxy, api):
    fields = {"If-None-Match": "*"}
    api.ask("PUT", "/v1/config/routes/word/path", '"/elsewhere"', fields=fields).refused(412)
    assert said(proxy) == "one"
    api.ask("PUT", "/v1/config/routes/word/method", '"GET"', fields=fields).good
    api.ask("PUT", "/v1/config/routes/word/method", '"GET"', fields=fields).refused(412)
    for method in ("GET", "HEAD"):
        for there, status in ((tag(api, "/v1/config/routes"), 304), ('"0123456789abcdef"', 200), ("*", 304)):
            got = api.ask(method, "/v1/config/routes", fields={"If-None-Match": f'"x", {there}' if there != "*" else there})
            assert got.status == status and got.headers["etag"] == tag(api, "/v1/config/routes")
            assert status == 200 or not got.body and "content-length" not in got.headers
    api.ask("GET", "/v1/config/routes", fields={"If-Match": '"0123456789abcdef"'}).refused(412)
    api.ask("GET", "/v1/config/routes/none", fields={"If-None-Match": "*"}).refused(404)


def test_the_tag_is_of_the_meaning(api):
    before = tag(api, "/v1/config/routes/word")
    api.put("/v1/config/routes/word", "use: {respond: {text: one}}\npath: [/word]\nname: 'word'\n",
            kind="application/yaml").good
    assert tag(api, "/v1/config/routes/word") == before
    assert not api.get("/v1/config-sources").good["patch"]


def test_one_of_two_wins(api):
    """Both have read the same and change it at once."""
    old, statuses = tag(api, "/v1/config/process"), []

    def change(n):
        statuses.append(api.ask("PATCH", "/v1/config/process", f'{{"drain": "{n}s"}}',
                                fields={"If-Match": old}).status)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(3, 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses) == [200] + [412] * 5


def test_dry_run(proxy, api):
    before = api.get("/v1/config").good
    done = api.put("/v1/config/routes/word/path", "/elsewhere", dry_run="1").good
    assert done["hash"] != api.get("/v1").good["config"]["hash"]
    api.put("/v1/config/routes/word/to", "nobody", dry_run="1").refused(422)
    warned = api.put("/v1/config/upstreams", {"idle": {"servers": ["127.0.0.1:1"]}}, dry_run="1").good
    assert any("no route uses the upstream `idle`" in w["detail"] for w in warned["warnings"])
    unchanged(proxy, api, before)


# ---------------------------------------------------------------------------- secrets

def everything(api):
    return "".join(api.get(path).text for path in (
        "/v1/config", "/v1/config/admin", "/v1/config/admin/tokens/ci", "/v1/config/admin/tokens/ci/token",
        "/v1/config-sources", "/v1/revisions/1", "/v1/revisions/1/diff?to=2", "/v1/audit"))


def test_secrets_stay_inside(proxy, api):
    assert api.get("/v1/config/admin/tokens/ci/token").good == "***"
    api.put("/v1/config/admin/tokens/third", {"token": "a-third-secret-of-the-test"}).good
    text = everything(api)
    assert "***" in text
    assert "secret-of-the-test" not in text and TOKEN not in text
    assert "secret-of-the-test" not in api.post(
        "/v1/plan", {"admin": {"tokens": [{"name": "ci", "token": "a-fourth-secret-of-the-test"}]}},
        kind="application/merge-patch+json").text


MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"


@pytest.mark.parametrize("kind,body", [
    (MERGE, {"process": {"drain": "${file:@dir@/token}"}}),
    (MERGE, '{"process": {"drain": "\\u0024{env:HOME}"}}'),
    (MERGE, {"process": {"drain": "${env:HOME:-x}"}}),
    ("application/yaml", "listeners: ['${file:@dir@/token}']"),
    (PATCH, [{"op": "copy", "from": "/admin/tokens/0/token", "path": "/process/drain"}]),
    (PATCH, [{"op": "move", "from": "/admin/tokens/file/token", "path": "/process/drain"}]),
    (PATCH, [{"op": "copy", "from": "/routes/word/use/0/respond/type", "path": "/process/drain"}]),
    # Two tokens of one name: the complaint is about a line of the file that holds a secret.
    (PATCH, [{"op": "add", "path": "/admin/tokens/0", "value": {"name": "ci", "token": "x" * 20}}]),
], ids=str)
def test_plans_tell_readers_nothing_secret(proxy, kind, body):
    """Who may only read may ask for plans, whose complaints could tell what the process can see."""
    proxy.write(SITE.replace("{text: one}", "{text: one, type: 'text/${file:@dir@/token}'}"))
    proxy.reload()
    text = body if isinstance(body, str) else json.dumps(body)
    got = api_of(proxy, TOKEN).post("/v1/plan", text.replace("@dir@", proxy.dir), kind=kind)
    assert got.status in (400, 403, 422), got.text
    for secret in (TOKEN, "another-secret", os.environ["HOME"]):
        assert secret not in got.text
    if kind != PATCH:
        assert got.status == 403


def test_what_is_read_can_be_put_back(proxy, api):
    """With one change: the secrets are still the ones of the file."""
    whole = api.get("/v1/config").good
    whole["process"]["drain"] = "2s"
    api.put("/v1/config", whole).good
    assert api.get("/v1/config-sources").good["patch"] == [
        {"op": "replace", "path": "/process/drain", "value": "2s"}]
    for token in (TOKEN, "another-secret-of-the-test"):
        assert api_of(proxy, token).get("/v1/whoami").good["right"] == "read"
    tokens = api.get("/v1/config/admin/tokens").good
    api.put("/v1/config/admin/tokens", tokens[::-1]).good
    assert api_of(proxy, TOKEN).get("/v1/whoami").good["name"] == "ci"
    problem = api.put("/v1/config/admin/tokens/new", {"token": "***"}).refused(400)
    assert "stands for a secret that is there" in problem["errors"][0]["detail"]


# ---------------------------------------------------------------------------- large ones

def busy_ms(proxy):
    """Time that all threads of the worker have computed."""
    ns = 0
    for thread in os.listdir(f"/proc/{proxy.worker}/task"):
        with open(f"/proc/{proxy.worker}/task/{thread}/schedstat") as file:
            ns += int(file.read().split()[0])
    return ns / 1e6


def test_ten_thousand_routes(stage):
    """A change of one of them is live within 100 ms (of computing, as other tests may run beside)."""
    tree = {"listeners": [{"address": "@listen@"}], "admin": admin(),
            "routes": [{"name": f"r{i}", "host": f"h{i}.test", "path": "/",
                        "use": [{"respond": {"text": f"text {i}"}}]} for i in range(10000)]}
    proxy = stage.run(to_yaml(tree))
    api, took = api_of(proxy), []
    for i in range(5000, 5005):
        before = busy_ms(proxy)
        api.patch(f"/v1/config/routes/r{i}", {"use": [{"respond": {"text": "changed"}}]}).good
        assert get(proxy.address, "/", fields=[("Host", f"h{i}.test")]).body == b"changed"
        took.append(busy_ms(proxy) - before)
    assert get(proxy.address, "/", fields=[("Host", "h6000.test")]).body == b"text 6000"
    assert {op["path"] for op in api.get("/v1/config-sources").good["patch"] if op["op"] == "replace"} == {
        f"/routes/r{i}/use/0/respond/text" for i in range(5000, 5005)}
    if not sanitized():
        assert min(took) < 100, took


def test_many_changes_take_no_more_memory(proxy, api):
    """Texts of changes and what they replace go with the change after."""
    if sanitized():
        pytest.skip("memory figures mean nothing")
    for i in range(300):
        api.put("/v1/config/routes/word/use", [{"respond": {"text": f"{i}" * 20000}}]).good
        if i == 100:
            before = proxy.rss_kib()
    eventually(lambda: proxy.rss_kib() < before + 20000, 5, "memory")
