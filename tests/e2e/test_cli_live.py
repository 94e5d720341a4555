# SPDX-License-Identifier: Apache-2.0
"""The commands of an operator's day, against a running proxy; and the guide on the command line, which never lies."""
import json
import os
import re
import shlex
import subprocess

import pytest

from support.client import get
from support.maitred import BINARY, ROOT, Maitred, command
from support.origin import answer_echo, serve_forever
from support.screen import Screen
from support.wait import eventually
from test_upgrade_in_place import REFUSED, Upgradable

with open(os.path.join(ROOT, "docs", "guide", "command-line.md")) as _file:
    GUIDE = _file.read()
BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", GUIDE, re.M | re.S)

CONFIG = '''
listeners: ["@listen@"]
admin: {listen: "unix:@dir@/admin.sock", state: "@dir@"}
tracing: {sample: 100%}
stores: {pages: 8MiB}
upstreams:
  app: {servers: ["@one@", "@two@"], balance: round_robin}
routes:
  - {name: hello, path: /hello, use: [{respond: {text: hi}}]}
  - {name: cached, path: /c/, use: [{cache: {store: pages, ttl: {200: 1m}}}], to: app}
  - {name: rest, use: [request_id], to: app}
'''


class Operator:
    """Somebody at the command line, and what he looks after."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.env = {"MAITRED_ADMIN": f"unix:{proxy.dir}/admin.sock"}

    def __call__(self, *args, code=0, **more):
        done = command(*args, env=self.env, **more)
        assert done.returncode == code, done
        self.stderr = done.stderr
        return done.stdout

    def file(self, text, name="other.yaml"):
        path = os.path.join(self.proxy.dir, name)
        with open(path, "w") as file:
            file.write(self.proxy.fill_in(text))
        return path

    def get(self, path):
        return get(self.proxy.address, path)


@pytest.fixture
def operator(stage):
    one, two = (stage.origin(serve_forever(answer_echo)) for _ in range(2))
    operator = Operator(stage.run(CONFIG, one=one, two=two))
    operator.one, operator.two = one, two
    return operator


def test_status(operator):
    for _ in range(5):
        assert operator.get("/hello").body == b"hi"
    said = operator("status")
    assert "revision 1, since" in said and operator.proxy.config in said and "2 workers" in said
    assert re.search(r"^app +2 of 2 ", said, re.M) and re.search(r"^hello .* 5 ", said, re.M)
    assert json.loads(operator("status", "--json"))["process"]["pid"] > 0


def test_every_list(operator):
    operator.get("/c/1")
    for name in ("routes", "upstreams", "servers", "exchanges", "connections", "listeners", "certificates", "caches",
                 "stores", "traces", "revisions", "audit"):
        said = operator("show", name)
        assert re.match(r"[A-Z0-9]+( |$)", said), said
        assert isinstance(json.loads(operator("show", name, "--json")), dict)
    assert operator.one.address in operator("show", "servers")
    assert "/c/1" in operator("show", "traces")


def test_every_column_is_something_that_the_api_says(operator):
    """A column that is always empty is one that the API calls something else."""
    operator.get("/c/1")
    for name in ("routes", "upstreams", "servers", "listeners", "caches", "stores", "traces", "revisions"):
        answer = json.loads(operator("show", name, "--json"))
        rows = [row for value in answer.values() if isinstance(value, list) for row in value]
        known = {key for row in rows for key in row} | {key for row in rows for s in row.get("servers", []) for key in s}
        with open(os.path.join(ROOT, "src", "main", "client", "lists.c")) as file:
            table = re.search(r"%s_columns\[\] = \{(.*?)\n\};" % name.rstrip("s"), file.read(), re.S)[1]
        asked = {key for key in re.findall(r'\{"[A-Z0-9 ()]+",\s+"(\w+)"', table)
                 if not key.startswith("shown_") and key not in ("error_share", "upstream", "request_id")}
        assert asked <= known, (name, asked - known)


def test_a_server_is_drained_and_comes_back(operator):
    one = operator.one
    assert "gets no new work" in operator("server", "drain", "app", one.address)
    assert re.search(rf"{re.escape(one.address)} +draining", operator("show", "servers"))
    before = len(one.requests)
    for _ in range(6):
        assert operator.get("/x").status == 200
    assert len(one.requests) == before
    operator("server", "ready", "app", one.address)
    eventually(lambda: operator.get("/x").status == 200 and len(one.requests) > before)


def test_a_server_is_added_and_removed(stage, operator):
    three = stage.origin(serve_forever(answer_echo))
    operator("server", "add", "app", three.address, "5")
    eventually(lambda: operator.get("/x").status == 200 and three.requests)
    operator("server", "add", "app", three.address, code=1)
    assert "already" in operator.stderr
    operator("server", "remove", "app", three.address)
    assert three.address not in operator("show", "servers")
    operator("server", "drain", "nobody", three.address, code=1)
    assert "nobody" in operator.stderr


def test_what_a_cache_keeps_is_purged(operator):
    def asked():
        operator.get("/c/1")
        return len(operator.one.requests) + len(operator.two.requests)

    before = asked()
    assert asked() == before
    assert operator("purge", "--host", operator.proxy.address, "--store", "pages") == "store pages: purged\n"
    operator("purge", "--all")
    assert asked() == before + 1


def test_a_piece_of_the_configuration(operator):
    assert operator("config", "get", "/routes/hello/path") == "/hello\n"
    assert "nothing was changed" in operator("config", "set", "/routes/hello/path", "/hi", "--dry-run")
    assert operator.get("/hello").body == b"hi"
    assert operator("config", "set", "/routes/hello/path", "/hi", "--comment", "shorter") == "revision 2 is in force\n"
    assert operator.get("/hi").body == b"hi" and operator.get("/hello").body != b"hi"
    (change,) = [c for c in json.loads(operator("config", "changes")) if c["op"] != "test"]
    assert change["value"] == "/hi"
    assert re.search(r"^ +2 .* yes +shorter$", operator("revisions"), re.M)
    operator("config", "add", "/routes", "{path: /late, use: [{respond: 204}]}")
    operator("config", "merge", "/routes/hello", "{path: /hello}")
    operator("config", "patch", '[{"op": "remove", "path": "/routes/cached"}]')
    assert operator.get("/hello").body == b"hi" and "cached" not in operator("show", "routes")
    operator("config", "remove", "/routes/rest")
    assert operator.get("/late").status == 204
    operator("config", "reset")
    assert json.loads(operator("config", "changes")) == [] and operator("config", "get", "/routes/rest/name") == "rest\n"


def test_what_is_saved_can_be_applied(operator):
    path = os.path.join(operator.proxy.dir, "saved.yaml")
    operator("config", "save", "--file", path)
    assert command("check", "-c", path).returncode == 0
    assert "Nothing changes" in operator("plan", "-c", path)
    assert "is in force" in operator("apply", "-c", path)


def test_mistakes_point_into_what_was_sent(operator):
    operator("config", "set", "/routes/hello/path", "[1, {]", code=2)
    assert operator.stderr.startswith("value:1:") and "[1, {]" in operator.stderr
    path = operator.file(CONFIG.replace("to: app}", "to: ap}"))
    operator("apply", "-c", path, code=2)
    with open(path) as file:
        line = 1 + file.read().split("\n").index("  - {name: rest, use: [request_id], to: ap}")
    assert f"{path}:{line}:" in operator.stderr and "`ap`" in operator.stderr and "hint:" in operator.stderr
    operator("plan", "-c", path, code=2)
    assert f"{path}:{line}:" in operator.stderr
    assert operator.get("/hello").body == b"hi"


def test_plan_apply_rollback(operator):
    operator.get("/hello")
    path = operator.file(CONFIG.replace("/hello", "/bonjour"))
    said = operator("plan", "-c", path)
    assert "hello" in said and "/bonjour" in said
    assert operator("apply", "--config", path) == "revision 2 is in force\n"
    assert operator.get("/bonjour").body == b"hi"
    assert operator("rollback", "--comment", "no") == "revision 3 is in force\n"
    assert operator.get("/hello").body == b"hi"
    assert "/bonjour" in operator("revisions", "2") and json.loads(operator("revisions", "2", "--diff", "1"))


def test_a_trial(operator):
    path = operator.file(CONFIG.replace("/hello", "/bonjour"))
    assert operator("apply", "-c", path, "--confirm", "60s").startswith("on trial until ")
    assert "on trial       ends in " in operator("status") and operator.get("/bonjour").body == b"hi"
    operator("abort")
    assert operator.get("/hello").body == b"hi"
    operator("apply", "-c", path, "--confirm", "60s")
    assert "for good" in operator("confirm")
    operator("confirm", code=1)
    operator("rollback")
    operator("apply", "-c", path, "--confirm", "1s")
    eventually(lambda: operator.get("/hello").body == b"hi", within=10)
    assert "reverted" in operator("status")
    operator("apply", "-c", path, "--guard", "nonsense", code=2)
    assert "nonsense" in operator.stderr
    operator("apply", "-c", path, "--guard", "", code=2)
    assert "guard is what must hold" in operator.stderr


def test_explain_live(operator):
    answer = operator.get("/x")
    (id_,) = [t["request_id"] for t in json.loads(operator("trace", "--json"))["traces"] if t["target"] == "/x"]
    assert answer.status == 200
    for args in (["explain", "--live", id_], ["trace", id_]):
        said = operator(*args)
        assert "GET" in said and "/x" in said and "status 200" in said and "rest" in said
        assert operator.one.address in said or operator.two.address in said
    operator("trace", "nobody", code=1)
    assert "nobody" in operator.stderr


def test_reload_and_log_level(operator):
    operator.proxy.write(CONFIG.replace("text: hi", "text: hello"))
    assert operator("log-level") == "info\n"
    operator("log-level", "debug")
    assert operator("log-level") == "debug\n"
    operator("log-level", "loud", code=2)
    assert "nothing was changed" in operator("reload", "--dry-run")
    assert operator.get("/hello").body == b"hi"
    operator("reload", "--comment", "politeness")
    assert operator.get("/hello").body == b"hello"
    assert "politeness" in operator("revisions")


def test_a_reload_on_trial(operator):
    operator.proxy.write(CONFIG.replace("text: hi", "text: hello"))
    assert "on trial" in operator("reload", "--confirm", "60s")
    assert operator.get("/hello").body == b"hello"
    operator("abort")
    assert operator.get("/hello").body == b"hi"


def test_top(operator):
    operator.get("/hello")
    assert "hello" in operator("top", "--once") and operator.one.address in operator("top", "--once", "--page", "servers")
    with Screen([BINARY, "top"], columns=150, env=operator.env) as screen:
        eventually(lambda: "requests " in screen.text and "hello" in screen.text)

        def has_rate():
            operator.get("/hello")
            found = re.search(r"^requests ([0-9.]+)/s", screen.text, re.M)
            return found and float(found[1]) > 0

        eventually(has_rate)
        screen.type("3")
        eventually(lambda: operator.two.address in screen.text)
        screen.type("q")
        assert screen.wait() == 0
        eventually(screen.is_restored)


def test_a_socket_is_for_its_owner(operator):
    if os.geteuid() != 0:
        pytest.skip("another user takes root")
    done = subprocess.run(["setpriv", "--reuid=12345", "--clear-groups", BINARY, "status"], text=True, capture_output=True,
                          timeout=20, env={**os.environ, **operator.env})
    assert done.returncode == 1 and "sudo" in done.stderr


def test_an_upgrade(stage):
    """Without a control socket: the API has it done, and the next process answers there."""
    proxy = stage.use(Upgradable(CONFIG.replace("tracing", "process: {drain: 1s}\ntracing"), one="127.0.0.1:1", two="127.0.0.1:2"))
    env = {"MAITRED_ADMIN": f"unix:{proxy.dir}/admin.sock"}
    before = json.loads(command("status", "--json", env=env).stdout)["process"]["pid"]
    done = command("upgrade", env=env, timeout=40)
    assert done.returncode == 0 and re.fullmatch(r"upgraded: process \d+ serves\n", done.stdout), (done, proxy.stderr)
    now = json.loads(command("status", "--json", env=env).stdout)["process"]["pid"]
    assert now != before and str(proxy.main()) in done.stdout and get(proxy.address, "/hello").body == b"hi"
    proxy.replace_program(REFUSED)
    done = command("upgrade", "--within", "20", env=env, timeout=10)
    assert (done.returncode, done.stderr) == (
        1, "maitred upgrade: the new program cannot be executed; the old process goes on serving\n")
    assert get(proxy.address, "/hello").body == b"hi"


TCP = '''
listeners: ["@listen@"]
admin:
  listen: "@listen2@"
  tokens: [{name: eye, token: "0123456789abcdef0123456789abcdef", right: read}]
routes: [{use: [{respond: 204}]}]
'''


def test_tokens_and_rights(stage):
    proxy = stage.run(TCP)
    address = f"http://{proxy.names['listen2']}"
    done = command("status", "--admin", address)
    assert done.returncode == 1 and "--token-file" in done.stderr
    env = {"MAITRED_TOKEN": "0123456789abcdef0123456789abcdef", "MAITRED_ADMIN": address}
    assert command("status", env=env).returncode == 0
    done = command("reload", env=env)
    assert done.returncode == 1 and "maitred reload: " in done.stderr


# -------------------------------------------------------------------------------- the guide

def test_the_guide(stage):
    """Its configuration is good, and each command that it shows says what it shows."""
    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    one, two, three = (stage.origin(serve_forever(answer_echo)) for _ in range(3))
    names = {"10.0.0.1:8080": one.address, "10.0.0.2:8080": two.address, "10.0.0.3:8080": three.address}
    proxy = Maitred(start=False)
    stage.use(proxy)
    for shown, ours in names.items():
        text = text.replace(shown, ours)
    text = text.replace('":8080"', '"@listen@"').replace("/run/maitred", "@dir@").replace("/var/lib/maitred", "@dir@")
    proxy.write(text)
    proxy.start()
    operator = Operator(proxy)
    operator("config", "merge", f'{{upstreams: {{other: {{servers: ["{three.address}"]}}}}}}')
    consoles = [text for kind, text in BLOCKS if kind == "console"]
    assert len(consoles) >= 4
    for console in consoles:
        for asked, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.M):
            for shown, ours in names.items():
                asked, wanted = asked.replace(shown, ours), wanted.replace(shown, ours)
            args = shlex.split(asked, comments=True)[1:]
            if args[0] in ("plan", "apply"):
                args[2] = proxy.config
            compare(operator(*args), wanted)


def compare(said, wanted):
    """The same, but for numbers; a table is the same when its titles are."""
    def plain(text):
        text = re.sub(r"\d+", "0", text)
        return [re.sub(r"[ .]+", " ", line) for line in text.splitlines()]

    if not wanted:
        return
    if "\n\n" in wanted:
        titles = [line for line in plain(wanted) if re.match(r"[A-Z]+ ", line)]
        assert len(titles) == 3 and set(titles) <= set(plain(said)), (said, wanted)
        return
    assert plain(said) == plain(wanted), (said, wanted)
