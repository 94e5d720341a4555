# SPDX-License-Identifier: Apache-2.0
"""
Commands that ask a running maitred, against a stand-in for its API: what is asked, what is printed, what
happens when something is wrong.  The same against the real thing is in test_cli_live.py.
"""
import json
import os
import re
import shutil
import signal
import ssl
import subprocess

import pytest
import yaml

from support.admin_api import AdminApi
from support.certs import Authority
from support.maitred import BINARY, ROOT, command
from support.ports import free_port
from support.screen import Screen
from support.wait import eventually

PROCESS = {
    "version": "1.2.3", "pid": 4711, "started": 1763700000, "uptime_s": 93784, "workers": 4,
    "config": {"path": "/etc/maitred/site.yaml", "revision": 12, "hash": "00ff", "loaded_at": 1763765400},
    "faults": ["the revisions cannot be kept: the disk is full"], "links": {},
}
SERVERS = [
    {"address": "10.0.0.1:80", "state": "ready", "usable": True, "weight": 1, "inflight": 2, "waiting": 0,
     "exchanges": 100, "failures": 1, "latency_us": 1200, "connections": 3, "idle": 1, "why": ""},
    {"address": "10.0.0.2:80", "state": "down", "usable": False, "weight": 2, "inflight": 0, "waiting": 0,
     "exchanges": 50, "failures": 7, "latency_us": 0, "connections": 0, "idle": 0, "why": "refused"},
]
UPSTREAMS = {"upstreams": [{"name": "app", "exchanges": 150, "retries": 3, "connections_made": 9,
                            "guard": {"breaker": "closed"}, "servers": SERVERS}]}
ROUTES = {"routes": [
    {"name": "shop", "host": ["example.com"], "path": ["/shop/"], "to": ["app"], "use": [], "where": "site.yaml:9:5",
     "requests": 200, "errors": 4, "p50_us": 1500, "p99_us": 80000, "bytes_in": 1000, "bytes_out": 5000000},
    {"name": "files", "host": [], "path": ["/"], "to": ["files"], "use": [], "where": "site.yaml:12:5",
     "requests": 900, "errors": 0, "p50_us": 100, "p99_us": 900, "bytes_in": 0, "bytes_out": 0},
]}
LISTENERS = {"listeners": [{"name": "web", "address": "0.0.0.0:80", "tls": False, "open": 3, "connections": 70,
                            "requests": 1100}]}
DONE = {"revision": 13, "hash": "aa", "warnings": [], "trial": None}
TRIAL = {"state": "running", "until": 1763765460, "guard": "errors<1%", "verdict": "too_early", "why": "",
         "who": "ci", "revision": None}
SITE = 'listeners: [":8080"]\nroutes:\n  - {to: nowhere}\n'


@pytest.fixture
def api():
    with AdminApi() as api:
        api.say("GET", "/v1", PROCESS)
        api.say("GET", "/v1/listeners", LISTENERS)
        api.say("GET", "/v1/upstreams", UPSTREAMS)
        api.say("GET", "/v1/routes", ROUTES)
        api.say("GET", "/v1/exchanges", {"exchanges": []})
        yield api


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return str(path)


def good(api, *args, **more):
    """What the command prints, when all is well."""
    done = command(*args, *api.options, **more)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def lines_of(text):
    """Each line's words."""
    return [line.split() for line in text.splitlines()]


# -------------------------------------------------------------------------------- looking

def test_status(api):
    said = good(api, "status")
    assert "maitred 1.2.3, process 4711, 4 workers, up 1 d 2 h" in said
    assert "/etc/maitred/site.yaml, revision 12, since 2025-11-21 22:50:00 UTC" in said
    assert "fault          the revisions cannot be kept: the disk is full" in said
    words = lines_of(said)
    assert ["web", "0.0.0.0:80", "3", "70", "1100"] in words
    assert any(w[:5] == ["app", "1", "of", "2", "0.0"] for w in words), said
    assert any(w[:4] == ["shop", "0.0", "200", "2.0"] and "80.0" in w for w in words), said


def test_status_tells_rates(api):
    """What was added between two looks."""
    counts = iter([200, 205, 205, 205])
    answer_to = api.answer_to

    def growing(asked):
        if asked.path != "/v1/routes":
            return answer_to(asked)
        routes = json.loads(json.dumps(ROUTES))
        routes["routes"][0]["requests"] = next(counts)
        return 200, json.dumps(routes).encode(), {"Content-Type": "application/json"}

    api.answer_to = growing
    rate = [float(w[1]) for w in lines_of(good(api, "status")) if w[:1] == ["shop"]][0]
    assert 1 < rate <= 10


@pytest.mark.parametrize("trial, words", [
    (TRIAL, "on trial"), ({**TRIAL, "state": "reverted", "why": "errors are 4 %"}, "reverted: errors are 4 %"),
])
def test_status_tells_of_a_trial(api, trial, words):
    api.say("GET", "/v1/trial", trial)
    assert words in good(api, "status")


def test_status_as_json(api):
    said = json.loads(good(api, "status", "--json"))
    assert said["process"] == PROCESS and said["routes"] == ROUTES["routes"] and said["trial"] is None


@pytest.mark.parametrize("what, path, answer, row", [
    ("servers", "/v1/upstreams", UPSTREAMS, "app 10.0.0.2:80 down 2 0 0 50 7 0 us 0 0 refused"),
    ("certificates", "/v1/certificates", {"certificates": [
        {"names": ["example.com", "www.example.com"], "not_after": 1763765400, "key": "ecdsa", "source": "acme",
         "stapled": True, "listener": "web", "issuer": "R3"}]},
     "example.com, www.example.com 2025-11-21 22:50:00 ecdsa acme yes web R3"),
    ("connections", "/v1/connections", {"connections": [
        {"id": 7, "client": "192.0.2.1", "listener": "web", "protocol": "h2", "state": "idle", "tls": True,
         "requests": 3}]}, "7 192.0.2.1 web h2 idle yes 3"),
    ("exchanges", "/v1/exchanges", {"exchanges": [
        {"id": 9, "request_id": "r-1", "method": "GET", "host": "example.com", "target": "/big", "client": "192.0.2.1",
         "route": "shop", "server": "10.0.0.1:80", "state": "sending", "status": 200, "age_us": 2500000,
         "request_bytes": 0, "response_bytes": 2048}]},
     "9 2.5 s sending GET example.com /big 192.0.2.1 shop 10.0.0.1:80 0 B 2.0 KiB r-1"),
    ("stores", "/v1/caches", {"caches": [], "stores": [
        {"name": "pages", "objects": 5, "memory_bytes": 1048576, "memory_max": 8388608}]}, "pages 5 1.0 MiB 8.0 MiB"),
    ("audit", "/v1/audit", {"entries": [
        {"number": 1, "at": 1763765400, "who": "token ci", "from": "10.0.0.1", "action": "PATCH",
         "target": "/v1/config/routes", "outcome": "200"}]},
     "2025-11-21 22:50:00 token ci 10.0.0.1 PATCH /v1/config/routes 200"),
    ("revisions", "/v1/revisions", {"revisions": [
        {"number": 12, "at": 1763765400, "cause": "change", "who": "ci", "comment": "more", "hash": "a",
         "current": True}]}, "12 2025-11-21 22:50:00 change ci yes more"),
])
def test_show(api, what, path, answer, row):
    api.say("GET", path, answer)
    assert row.split() in lines_of(good(api, "show", what))
    assert json.loads(good(api, "show", what, "--json")) == answer


def test_show_in_another_order(api):
    first = [w[0] for w in lines_of(good(api, "show", "routes", "--sort", "requests"))]
    assert first == ["ROUTE", "files", "shop"]
    first = [w[1] for w in lines_of(good(api, "show", "servers", "--sort", "FAILURES"))]
    assert first == ["SERVER", "10.0.0.2:80", "10.0.0.1:80"]


def test_a_terminal_is_safe_from_what_clients_send(api):
    """A target may hold any byte; none of them moves the cursor."""
    nasty = "/\x1b]0;owned\x07\x9b2J\u009b2J\r\n\x7f\u00e9"
    api.say("GET", "/v1/exchanges", {"exchanges": [{"id": 1, "target": nasty}]})
    said = good(api, "show", "exchanges")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", said) and "/?]0;owned?" in said and "\u00e9" in said


def test_trace(api):
    listed = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "request_id": "r-1", "method": "GET",
              "host": "example.com", "target": "/a", "route": "shop", "server": "10.0.0.1:80", "status": 200,
              "reason": "", "began": 1763765400, "took_us": 12300}
    api.say("GET", "/v1/traces", {"traces": [listed]})
    said = good(api, "trace", "--route", "a shop", "--most", "5")
    assert "2025-11-21 22:50:00 200 12.3 ms GET example.com /a shop 10.0.0.1:80 r-1".split() in lines_of(said)
    assert api.last("GET").query == "most=5&route=a%20shop"
    api.say("GET", "/v1/traces/r-1", {**listed, "lost": 2, "events": [
        {"at_us": 120, "took_us": 0, "what": "route", "detail": "shop matches", "where": "site.yaml:9:5"},
        {"at_us": 200, "took_us": 12000, "what": "server", "detail": "10.0.0.1:80 chosen", "where": ""}]})
    for args in (["trace", "r-1"], ["explain", "--live", "r-1"]):
        said = good(api, *args)
        assert "took 12.3 ms, status 200" in said and "trace id 0af7651916cd43dd8448eb211c80319c" in said
        assert "120 us route shop matches (site.yaml:9:5)".split() in lines_of(said)
        assert "200 us server 10.0.0.1:80 chosen, took 12.0 ms".split() in lines_of(said)
        assert "2 more" in said
    assert json.loads(good(api, "trace", "r-1", "--json"))["lost"] == 2


def test_a_trace_without_a_request_id(api):
    api.say("GET", "/v1/traces/t-1", {"trace_id": "t-1", "request_id": "", "method": "GET", "target": "/", "route": "rest",
                                      "server": "", "began": 1763765400, "took_us": 5, "events": []})
    for args in (["trace", "t-1"], ["explain", "--live", "t-1"]):
        assert "trace id t-1, route rest" in good(api, *args).splitlines()


# -------------------------------------------------------------------------------- the configuration

def test_config_get(api, tmp_path):
    api.say("GET", "/v1/config", "a: 1\n")
    api.say("GET", "/v1/config/routes/a%20shop/to~1", "app\n")
    assert good(api, "config", "get") == "a: 1\n"
    assert api.last("GET").headers["accept"] == "application/yaml"
    assert good(api, "config", "get", "/routes/a shop/to~1") == "app\n"
    good(api, "config", "get", "--json")
    assert api.last("GET").headers["accept"] == "application/json"
    out = tmp_path / "out.yaml"
    assert good(api, "config", "get", "--file", str(out)) == "" and out.read_text() == "a: 1\n"
    assert os.stat(out).st_mode & 0o777 == 0o600


def test_config_save_warns_of_secrets(api, tmp_path):
    api.say("GET", "/v1/config", "token: \"***\"\n")
    out = tmp_path / "out.yaml"
    done = command("config", "save", "--file", str(out), *api.options)
    assert done.returncode == 0 and "***" in done.stderr and out.read_text() == "token: \"***\"\n"
    assert os.listdir(tmp_path) == ["out.yaml"]


@pytest.mark.parametrize("args, method, target, kind, body", [
    (["set", "/routes/0/to", "app"], "PUT", "/v1/config/routes/0/to", "application/yaml", b"app"),
    (["set", "/routes/0/to", "app", "--dry-run"], "PUT", "/v1/config/routes/0/to?dry_run=1", "application/yaml", b"app"),
    (["add", "/routes", "{to: app}"], "POST", "/v1/config/routes", "application/yaml", b"{to: app}"),
    (["merge", "/routes/0", '{"to": null}'], "PATCH", "/v1/config/routes/0", "application/merge-patch+json",
     b'{"to": null}'),
    (["merge", "{a: 1}"], "PATCH", "/v1/config", "application/merge-patch+json", b"{a: 1}"),
    (["patch", "[]", "--comment", "why & how", "--confirm", "60s", "--guard", "errors<1%"], "PATCH",
     "/v1/config?comment=why%20%26%20how&confirm=60s&guard=errors%3C1%25", "application/json-patch+json", b"[]"),
    (["remove", "/routes/0"], "DELETE", "/v1/config/routes/0", None, b""),
    (["set", "/x", "--", "-1"], "PUT", "/v1/config/x", "application/yaml", b"-1"),
])
def test_config_changes(api, args, method, target, kind, body):
    api.say(method, target.partition("?")[0], DONE)
    options = api.options if "--" not in args else []
    done = command("config", *args, *options, env={"MAITRED_ADMIN": api.address})
    assert done.returncode == 0, done
    asked = api.last(method)
    assert (asked.target, asked.headers.get("content-type"), asked.body) == (target, kind, body)
    assert done.stdout == ("this would do; nothing was changed\n" if "--dry-run" in args else "revision 13 is in force\n")


def test_a_value_from_a_file_or_standard_input(api, site):
    api.say("PUT", "/v1/config/x", DONE)
    good(api, "config", "set", "/x", "--file", site)
    assert api.last("PUT").body.decode() == SITE
    good(api, "config", "set", "/x", "--file", "-", input="piped\n")
    assert api.last("PUT").body == b"piped\n"


def test_config_edit(api, tmp_path):
    api.say("GET", "/v1/config/routes", "- {to: app}\n", Content_Type="application/yaml", ETag='"abc"')
    api.say("PUT", "/v1/config/routes", DONE)
    editor = {"EDITOR": "sed -i s/app/other/", "VISUAL": "", "TMPDIR": str(tmp_path)}
    assert good(api, "config", "edit", "/routes", env=editor) == "revision 13 is in force\n"
    asked = api.last("PUT")
    assert asked.body == b"- {to: other}\n" and asked.headers["if-match"] == '"abc"'
    assert os.listdir(tmp_path) == []
    before = len(api.asked)
    assert "nothing was changed" in good(api, "config", "edit", "/routes", env={**editor, "EDITOR": "true"})
    assert len(api.asked) == before + 1 and os.listdir(tmp_path) == []


def test_config_edit_keeps_a_text_that_is_refused(api, tmp_path):
    api.say("GET", "/v1/config", "a: 1\n")
    api.refuse("PUT", "/v1/config", 422, "the configuration has 1 error", [
        {"severity": "error", "file": "request body", "line": 1, "column": 1, "detail": "unknown key `b`"}])
    done = command("config", "edit", *api.options, env={"EDITOR": "sed -i s/a/b/", "VISUAL": "", "TMPDIR": str(tmp_path)})
    (kept,) = os.listdir(tmp_path)
    assert done.returncode == 2 and f"{tmp_path}/{kept}:1:1: error: unknown key `b`" in done.stderr
    assert (tmp_path / kept).read_text() == "b: 1\n" and os.stat(tmp_path / kept).st_mode & 0o777 == 0o600


def test_config_changes_and_reset(api):
    patch = [{"op": "replace", "path": "/a", "value": 1}]
    api.say("GET", "/v1/config-sources", {"files": ["/x"], "patch": patch})
    assert json.loads(good(api, "config", "changes")) == patch
    api.say("POST", "/v1/reset", DONE)
    assert good(api, "config", "reset") == "revision 13 is in force\n"


def test_apply(api, site):
    api.say("POST", "/v1/apply", {**DONE, "warnings": [
        {"severity": "warning", "file": "request body", "line": 3, "column": 5, "detail": "odd", "hint": "do"}]})
    done = command("apply", "-c", site, "--comment", "x", *api.options)
    assert done.returncode == 0 and done.stdout == "revision 13 is in force\n"
    assert done.stderr == (f"{site}:3:5: warning: odd\n    3 |   - {{to: nowhere}}\n"
                           "      |     ^\nhint: do\n")
    asked = api.last("POST")
    assert asked.body.decode() == SITE and asked.query == "comment=x"
    assert asked.headers["content-type"] == "application/yaml"


def test_includes_are_joined_in(api, tmp_path):
    """Whoever answers may be on another machine."""
    api.say("POST", "/v1/apply", DONE)
    (tmp_path / "routes.yaml").write_text("routes: [{use: [{respond: 204}]}]\n")
    site = tmp_path / "site.yaml"
    site.write_text("include: routes.yaml\nlisteners: [':8080']\n")
    good(api, "apply", "-c", str(site))
    assert yaml.safe_load(api.last("POST").body) == {"listeners": [":8080"],
                                                     "routes": [{"use": [{"respond": 204}]}]}
    api.refuse("POST", "/v1/apply", 422, "no", [{"file": "request body", "line": 1, "column": 1, "detail": "odd"}])
    done = command("apply", "-c", str(site), *api.options)
    assert done.returncode == 2 and f"{site}, with what it includes:1:1: error: odd" in done.stderr
    site.write_text("a: [\n")
    before = len(api.asked)
    done = command("apply", "-c", str(site), *api.options)
    assert done.returncode == 2 and f"{site}:" in done.stderr and len(api.asked) == before


def test_a_trial(api, site):
    api.say("POST", "/v1/apply", {**DONE, "revision": None, "trial": TRIAL})
    said = good(api, "apply", "--config", site, "--confirm", "60s", "--guard", "errors<1%")
    assert said.startswith("on trial until 2025-11-21 22:51:00 UTC, as long as errors<1%") and "maitred confirm" in said
    api.say("POST", "/v1/trial/confirm", {**TRIAL, "state": "kept", "revision": 14})
    assert good(api, "confirm") == "revision 14 is in force, for good\n"
    api.say("POST", "/v1/trial/abort", {**TRIAL, "state": "reverted"})
    assert good(api, "abort") == "the configuration before is in force again\n"
    api.refuse("POST", "/v1/trial/confirm", 409, "nothing is on trial (any more)")
    done = command("confirm", *api.options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "maitred confirm: nothing is on trial (any more)\n")


def test_plan(api, site):
    plan = {"changes": [{"kind": "added", "what": "route", "name": "shop", "before": None, "after": "to app",
                         "where": "request body:3:5"}],
            "replayed": 100, "different": [], "warnings": []}
    api.say("POST", "/v1/plan", plan)
    assert "shop" in good(api, "plan", "-c", site)
    assert api.last("POST").body.decode() == SITE
    assert json.loads(good(api, "plan", "-c", site, "--json")) == plan


def test_revisions_and_rollback(api):
    revision = {"number": 12, "at": 1763765400, "cause": "change", "who": "ci", "comment": "more", "hash": "a",
                "current": True}
    api.say("GET", "/v1/revisions", {"revisions": [revision]})
    assert "12 2025-11-21 22:50:00 change ci yes more".split() in lines_of(good(api, "revisions", "--most", "3"))
    assert api.last("GET").query == "most=3"
    api.say("GET", "/v1/revisions/12", {**revision, "text": "a: 1\n"})
    assert good(api, "revisions", "12") == "a: 1\n"
    api.say("GET", "/v1/revisions/12/diff", {"patch": [{"op": "remove", "path": "/a"}]})
    assert json.loads(good(api, "revisions", "12", "--diff", "11")) == [{"op": "remove", "path": "/a"}]
    assert api.last("GET").query == "to=11"
    api.say("POST", "/v1/rollback", DONE)
    api.say("POST", "/v1/revisions/9/restore", DONE)
    assert good(api, "rollback") == "revision 13 is in force\n"
    assert good(api, "rollback", "9", "--comment", "oops") == "revision 13 is in force\n"
    assert api.last("POST").target == "/v1/revisions/9/restore?comment=oops"


# -------------------------------------------------------------------------------- daily work

@pytest.mark.parametrize("args, method, target, body", [
    (["drain", "app", "10.0.0.1:80"], "PATCH", "/v1/upstreams/app/servers/10.0.0.1:80", {"state": "draining"}),
    (["ready", "app", "10.0.0.1:80"], "PATCH", "/v1/upstreams/app/servers/10.0.0.1:80", {"state": "ready"}),
    (["maintenance", "app", "unix:/a"], "PATCH", "/v1/upstreams/app/servers/unix:%2Fa", {"state": "maintenance"}),
    (["weight", "app", "[::1]:80", "5"], "PATCH", "/v1/upstreams/app/servers/%5B::1%5D:80", {"weight": 5}),
    (["add", "app", "10.0.0.9:80", "2"], "POST", "/v1/upstreams/app/servers", {"address": "10.0.0.9:80", "weight": 2}),
    (["add", "a b", "10.0.0.9:80"], "POST", "/v1/upstreams/a%20b/servers", {"address": "10.0.0.9:80"}),
    (["remove", "app", "10.0.0.1:80"], "DELETE", "/v1/upstreams/app/servers/10.0.0.1:80", None),
    (["forget", "app", "10.0.0.1:80"], "DELETE", "/v1/upstreams/app/servers/10.0.0.1:80?forget", None),
])
def test_server(api, args, method, target, body):
    api.say(method, target.partition("?")[0], None if method == "DELETE" else {}, 204 if method == "DELETE" else 200)
    assert f"server {args[2]} of {args[1]}" in good(api, "server", *args)
    asked = api.last(method)
    assert asked.target == target and (json.loads(asked.body) if asked.body else None) == body


def test_purge(api):
    api.say("GET", "/v1/caches", {"caches": [], "stores": [{"name": "pages"}, {"name": "big"}]})
    api.say("POST", "/v1/caches/pages/purge", {"rules": 1})
    api.say("POST", "/v1/caches/big/purge", {"rules": 1})
    assert good(api, "purge", "--tag", 'a"b') == "store pages: purged\nstore big: purged\n"
    assert json.loads(api.last("POST").body) == {"tag": 'a"b', "soft": False}
    assert good(api, "purge", "--all", "--soft", "--store", "big") == "store big: purged\n"
    assert json.loads(api.last("POST").body) == {"all": True, "soft": True}


def test_log_level(api):
    api.say("GET", "/v1/log", {"level": "info"})
    assert good(api, "log-level") == "info\n"
    api.say("PUT", "/v1/log", {"level": "debug"})
    good(api, "log-level", "debug")
    assert json.loads(api.last("PUT").body) == {"level": "debug"}


def test_reload(api):
    api.say("POST", "/v1/reload", DONE)
    assert good(api, "reload") == "revision 13 is in force\n"
    assert api.last("POST").query == ""
    assert good(api, "reload", "--dry-run") == "this would do; nothing was changed\n"
    assert api.last("POST").query == "dry_run=1"
    good(api, "reload", "--comment", "new certificates", "--confirm", "60s")
    assert api.last("POST").query == "comment=new%20certificates&confirm=60s"


# -------------------------------------------------------------------------------- who is asked

def test_the_address_may_come_from_the_environment(api):
    api.say("GET", "/v1/log", {"level": "info"})
    done = command("log-level", env={"MAITRED_ADMIN": api.address})
    assert done.stdout == "info\n"


def test_a_token(api, tmp_path):
    api.say("GET", "/v1/log", {"level": "info"})
    token = tmp_path / "token"
    token.write_text("from-file\n")
    good(api, "log-level", env={"MAITRED_TOKEN": "from-environment"})
    assert api.last("GET").headers["authorization"] == "Bearer from-environment"
    good(api, "log-level", "--token-file", str(token), env={"MAITRED_TOKEN": "from-environment"})
    assert api.last("GET").headers["authorization"] == "Bearer from-file"
    good(api, "log-level")
    assert "authorization" not in api.last("GET").headers


def test_by_tcp():
    with AdminApi(tcp=True) as api:
        api.say("GET", "/v1/log", {"level": "info"})
        assert good(api, "log-level") == "info\n"
        assert api.last("GET").headers["host"] == api.address.removeprefix("http://")


def test_by_tls(tmp_path):
    authority = Authority(str(tmp_path))
    certificate = authority.issue("api", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    with AdminApi(tls=context) as api:
        api.say("GET", "/v1/log", {"level": "info"})
        assert good(api, "log-level", "--ca", authority.root_path) == "info\n"
        done = command("log-level", *api.options)
        assert done.returncode == 1 and done.stdout == "" and "TLS" in done.stderr


# -------------------------------------------------------------------------------- what goes wrong

def test_nobody_is_there(tmp_path):
    for address in (f"unix:{tmp_path}/none.sock", f"http://127.0.0.1:{free_port()}"):
        done = command("status", "--admin", address)
        assert done.returncode == 1 and done.stdout == ""
        assert address.removeprefix("unix:").removeprefix("http://") in done.stderr and "hint:" in done.stderr


@pytest.mark.parametrize("address", ["", "nonsense", "unix:relative", "ftp://x", "http://x/path", "http://"])
def test_an_address_that_is_none(address):
    done = command("status", f"--admin={address}" if address else "--admin=:", env={"MAITRED_ADMIN": ""})
    assert done.returncode == 2 and "--admin takes" in done.stderr, done


def test_complaints_point_into_the_file_that_was_sent(api, site):
    api.refuse("POST", "/v1/apply", 422, "the configuration has 2 errors", [
        {"severity": "error", "file": "request body", "line": 3, "column": 10, "detail": "there is no upstream `nowhere`",
         "hint": "did you mean `somewhere`?"},
        {"severity": "error", "pointer": "/process", "detail": "no place for this"},
        {"severity": "error", "file": "/elsewhere.yaml", "line": 7, "column": 1, "detail": "far away"}])
    done = command("apply", "-c", site, *api.options)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "error: /process: no place for this\n"
        f"{site}:3:10: error: there is no upstream `nowhere`\n"
        "    3 |   - {to: nowhere}\n"
        "      |          ^~~~~~~\n"
        "hint: did you mean `somewhere`?\n"
        "/elsewhere.yaml:7:1: error: far away\n"
        "maitred apply: the configuration has 2 errors\n")


@pytest.mark.parametrize("status, code, hint", [(400, 2, ""), (401, 1, "token"), (403, 1, ""), (404, 1, ""),
                                                (409, 1, ""), (412, 1, ""), (500, 1, ""), (503, 1, "")])
def test_refusals(api, status, code, hint):
    api.refuse("GET", "/v1/log", status, "a sentence \x1b[2J")
    done = command("log-level", *api.options)
    assert done.returncode == code and "maitred log-level: a sentence ?[2J\n" in done.stderr and done.stdout == ""
    assert hint in done.stderr


@pytest.mark.parametrize("status, body", [(200, b"<html>"), (200, b'{"level":'), (502, b"Bad Gateway"), (200, b"[" * 3000)])
def test_somebody_else_answers(api, status, body):
    api.say("GET", "/v1/log", body, status)
    done = command("log-level", *api.options)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("args, word", [
    (["status", "extra"], "extra"), (["show"], "routes"), (["show", "nonsense"], "routes"),
    (["show", "routes", "--sort", "x"], "--sort"), (["config"], "get"), (["config", "nonsense"], "get"),
    (["config", "set", "/x"], "value"), (["config", "set", "x"], "Pointer"), (["config", "get", "/x", "y"], "y"),
    (["config", "set", "/x", "y", "z"], "z"), (["plan"], "-c"), (["apply", "-c"], "-c"), (["rollback", "x"], "number"),
    (["rollback", "1", "2"], "2"), (["revisions", "--diff", "1"], "--diff"), (["server"], "drain"),
    (["server", "drain", "app"], "ADDRESS"), (["server", "weight", "app", "a:1"], "WEIGHT"),
    (["server", "drain", "app", "a:1", "3"], "3"), (["server", "weight", "app", "a:1", "x"], "WEIGHT"),
    (["purge"], "--tag"), (["purge", "--tag", "a", "--all"], "--tag"), (["top", "--page", "x"], "--page"),
    (["status", "--json=1"], "--json"), (["confirm", "--force"], "--force"), (["completion"], "bash"),
    (["completion", "csh"], "bash"), (["explain", "--live", "x", "y"], "y"),
])
def test_bad_usage(api, args, word):
    options = api.options if args[0] != "completion" else []
    done = command(*args, *options) if args[-1] != "-c" else command(*args)
    assert done.returncode == 2 and done.stdout == "" and word in done.stderr and "usage:" in done.stderr, done
    assert api.asked == []


def test_a_file_that_is_not_there(api):
    for args in (["apply"], ["plan"]):
        done = command(*args, "-c", "/nonexistent/site.yaml", *api.options)
        assert done.returncode == 2 and "/nonexistent/site.yaml" in done.stderr and api.asked == []


# -------------------------------------------------------------------------------- top

def test_top_once(api):
    said = good(api, "top", "--once")
    assert "maitred 1.2.3" in said and "requests 12.5/s   failed 1   p50 1.5 ms  p90 4.0 ms  p99 25.0 ms" in said
    assert "2xx 11  4xx 1  5xx 1" in said and "connections 42" in said and "cache 75 %" in said
    assert "fault: the revisions cannot be kept" in said and any(w[:1] == ["shop"] for w in lines_of(said))
    assert "10.0.0.2:80" in good(api, "top", "--once", "--page", "servers")
    assert "\x1b" not in said


def test_top_needs_a_terminal(api):
    done = command("top", *api.options, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "--once" in done.stderr


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_top_needs_a_terminal_that_can_move_the_cursor(api, kind):
    with Screen([BINARY, "top", *api.options], env={"TERM": kind}, errors=True) as screen:
        assert screen.wait() == 2
        eventually(lambda: "move the cursor" in screen.text and "--once" in screen.text)
        assert not screen.other and screen.cursor


@pytest.fixture
def screen(api):
    with Screen([BINARY, "top", *api.options]) as screen:
        eventually(lambda: "shop" in screen.text and "12.5/s" in screen.text, what=lambda: screen.text)
        yield screen


def test_top_keys(screen):
    assert screen.other and not screen.cursor and "[1 routes]" in screen.text
    screen.type("3")
    eventually(lambda: "10.0.0.2:80" in screen.text and "[3 servers]" in screen.text)
    screen.type("\t")
    eventually(lambda: "[4 exchanges]" in screen.text)
    screen.type("1ss")
    eventually(lambda: "RATE*" in screen.text)
    screen.type("s")
    eventually(lambda: "REQUESTS*" in screen.text and screen.text.index("files") < screen.text.index("shop"))
    screen.type("r")
    eventually(lambda: screen.text.index("files") > screen.text.index("shop"))
    screen.type("\x1b[B")
    eventually(lambda: "shop" not in screen.text and "files" in screen.text)
    screen.type("\x1b[A")
    eventually(lambda: "shop" in screen.text)
    screen.type(" ")
    eventually(lambda: "PAUSED" in screen.text)
    screen.type("q")
    assert screen.wait() == 0
    eventually(screen.is_restored)


def test_top_fits_the_terminal(screen):
    for columns, lines in ((40, 8), (132, 50), (20, 3)):
        screen.resize(columns, lines)
        screen.signal(signal.SIGWINCH)
        eventually(lambda: screen.text.count("\n") + 1 <= lines and
                   max(len(row) for row in screen.text.splitlines()) <= columns and "maitred" in screen.text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_top_restores_the_terminal(screen, number):
    screen.signal(number)
    assert screen.wait() == 0
    eventually(screen.is_restored)


def test_top_by_ctrl_c(screen):
    screen.type("\x03")
    assert screen.wait() == 0
    eventually(screen.is_restored)


def test_top_in_the_background(screen):
    """Ctrl-Z gives the terminal back; in the foreground again, everything is drawn anew."""
    screen.signal(signal.SIGTSTP)
    eventually(screen.is_restored)
    eventually(lambda: " T " in open(f"/proc/{screen.popen.pid}/stat").read())
    screen.signal(signal.SIGCONT)
    eventually(lambda: screen.other and "shop" in screen.text)
    screen.type("q")
    assert screen.wait() == 0
    eventually(screen.is_restored)


def test_top_outlives_trouble(api, screen):
    api.refuse("GET", "/v1", 503, "busy with something")
    eventually(lambda: "503: busy with something" in screen.text)
    api.say("GET", "/v1", {**PROCESS, "version": "9.9.9"})
    eventually(lambda: "maitred 9.9.9" in screen.text and "busy" not in screen.text)


# -------------------------------------------------------------------------------- shells, manual

def completed(words, cwd=None):
    """What bash offers for the last word."""
    script = ('source <("$0" completion bash)\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n'
              '_maitred\nprintf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, BINARY, "maitred", *words], text=True, capture_output=True, timeout=20,
                          cwd=cwd, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes(tmp_path):
    (tmp_path / "site.yaml").write_text("")
    assert completed(["sta"]) == ["status"] and "top" in completed([""])
    assert set(completed(["config", ""])) >= {"get", "set", "edit"} and completed(["config", "ge"]) == ["get"]
    assert completed(["apply", "--con"]) == ["--config", "--confirm"] and "-c" in completed(["apply", ""])
    assert "--file" in completed(["config", "get", "-"]) and "get" not in completed(["config", "get", ""])
    assert completed(["apply", "-c", ""], cwd=tmp_path) == ["site.yaml"]
    assert completed(["apply", "--config", "si"], cwd=tmp_path) == ["site.yaml"]
    assert completed(["run", "--io", ""]) == ["epoll", "auto"]
    assert completed(["log-level", "d"]) == ["debug"]
    assert completed(["top", "--page", "se"]) == ["servers"]
    assert completed(["apply", "--comment", ""]) == []


def test_bash_completes_by_itself(tmp_path):
    """As a person has it: Tab in an interactive shell."""
    rc = tmp_path / "rc"
    rc.write_text(f"PATH={os.path.dirname(BINARY)}:$PATH; PS1='> '; source <(maitred completion bash)\n")
    with Screen(["bash", "--rcfile", str(rc), "-i"], env={"TERM": "dumb"}, errors=True) as screen:
        eventually(lambda: ">" in screen.text)
        screen.type("maitred completion ba\t")
        eventually(lambda: "maitred completion bash" in screen.text, what=lambda: screen.text)


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
@pytest.mark.parametrize("line, wanted", [
    ("maitred sta", {"status"}), ("maitred config ge", {"get"}), ("maitred config get --fi", {"--file"}),
    ("maitred run --io e", {"epoll"}), ("maitred top --page se", {"servers"}), ("maitred log-level d", {"debug"}),
])
def test_fish_completes(tmp_path, line, wanted):
    script = f'{BINARY} completion fish | source; complete -C "{line}"'
    done = subprocess.run(["fish", "-c", script], text=True, capture_output=True, timeout=20,
                          env={**os.environ, "HOME": str(tmp_path)})
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == wanted, done


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
@pytest.mark.parametrize("typed, wanted", [
    ("maitred sta", "maitred status"), ("maitred config ge", "maitred config get"),
    ("maitred config get --fi", "maitred config get --file"), ("maitred run --io e", "maitred run --io epoll"),
])
def test_zsh_completes(tmp_path, typed, wanted):
    (tmp_path / "_maitred").write_text(command("completion", "zsh").stdout)
    (tmp_path / ".zshrc").write_text(f"PS1='> '; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -D -u\n")
    with Screen(["zsh", "-i"], env={"TERM": "dumb", "ZDOTDIR": str(tmp_path), "HOME": str(tmp_path)}, errors=True) as screen:
        eventually(lambda: ">" in screen.text)
        screen.type(typed + "\t")
        eventually(lambda: wanted in screen.text, what=lambda: screen.text)


@pytest.mark.parametrize("shell, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])])
def test_completion_is_a_script(tmp_path, shell, check):
    done = command("completion", shell)
    assert done.returncode == 0 and "log-level" in done.stdout and "--token-file" in done.stdout or shell == "fish"
    if not shutil.which(check[0]):
        pytest.skip(f"there is no {check[0]}")
    path = tmp_path / "script"
    path.write_text(done.stdout)
    done = subprocess.run([*check, str(path)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stderr == ""


def all_commands():
    return re.findall(r"^  ([a-z-]+) ", command("--help").stdout, re.M)


def test_commands_are_in_the_manual():
    """Each command and each option of it, in the manual page and in the guide."""
    with open(os.path.join(ROOT, "packaging", "maitred.8")) as file:
        manual = file.read().replace("\\-", "-")
    with open(os.path.join(ROOT, "docs", "guide", "command-line.md")) as file:
        guide = file.read()
    assert len(all_commands()) > 20
    for name in all_commands():
        assert re.search(rf"Cm {name}\b", manual), f"the manual does not know `{name}`"
        assert f"maitred {name}" in guide, f"the guide does not know `{name}`"
        for option in re.findall(r"^  (-[-a-zA-Z]+)", command(name, "--help").stdout, re.M):
            assert re.search(rf"Fl {option[1:]}(?![-a-z])", manual), f"the manual does not know `{name} {option}`"
            assert re.search(rf"(?<![-a-z]){option}(?![-a-z])", guide), f"the guide does not know `{name} {option}`"
