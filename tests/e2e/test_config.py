# SPDX-License-Identifier: Apache-2.0
"""
Configuration: bad files and what is said about them, good ones, includes, defaults, secrets, the schema,
`explain`, and generated files that are fresh.
"""
import glob
import json
import os
import re

import jsonschema
import pytest
import yaml

from support.client import get
from support.maitred import ROOT, Maitred, command
from support.origin import echoed

GOOD = """\
process:
  workers: 2
  drain: 10s
  log_level: info
listeners:
  - address: 127.0.0.1:18080
    name: public
    trusted_proxies: [10.0.0.0/8, "::1"]
    proxy_protocol: false
    head_timeout: 10s
    max_head: 16KiB
  - unix:/tmp/never.sock
upstreams:
  app:
    balance: least_connections
    servers: [10.0.0.1:8080, {address: app.internal:8080, weight: 2}, "unix:/run/app.sock"]
    retries: 2
    connections: {idle_timeout: 1m30s}
    proxy_protocol: v2
  other:
    servers: ["127.0.0.1:81"]
routes:
  - name: api
    host: [example.com, "*.example.com"]
    path: /api/
    method: [GET, POST]
    header: {x-beta: '1'}
    when: client.ip in [10.0.0.0/8] || method == 'GET'
    use:
      - request_id
      - rewrite: {prefix: {from: /api/, to: /}}
      - headers: {request: {set: {X-User: "${client.ip}"}}}
      - body_limit: 10MiB
      - timeouts: {response: 2m}
    to: app
    errors: {404: {text: nothing}, 5xx: {text: broken}}
  - path: /old/
    use: [{redirect: {to: /new/, status: 301}}]
  - {path: /no, use: [{respond: 403}]}
  - to: other
access_log:
  - {to: stdout, format: combined, when: status >= 400}
  - to: stderr
"""


@pytest.fixture
def write(stage):
    """Writes site.yaml into a new folder; gives its path."""

    def make(text, name="site.yaml", path=None):
        path = path or stage.folder()
        with open(os.path.join(path, name), "w") as file:
            file.write(text)
        return os.path.join(path, name)

    return make


def check(path, **more):
    return command("check", "-c", path, **more)


# ---------------------------------------------------------------- bad files

# name: (text, [(what the place points at, words)...]).  All complaints come at once, in the order of their places.
# What is pointed at is unique in the text, or (line, column); None: anywhere.
L = "listeners: [{address: ':18080', name: public}]\n"
BAD = {
    "unknown key": ("listeners:\n  - address: :18080\n    hed_timeout: 10s\n", [("hed_timeout", ["did you mean `head_timeout`?"])]),
    "unknown key at the top": ("listners: []\n", [("listners", ["did you mean `listeners`?"])]),
    "unknown middleware": (L + "routes:\n  - use: [{hedaers: {}}]\n", [("hedaers", ["did you mean `headers`?"])]),
    "unknown middleware, by name alone": (L + "routes:\n  - use: [requestid]\n", [("requestid", ["`request_id`"])]),
    "unknown upstream": (L + "upstreams: {app: {servers: ['127.0.0.1:1']}}\nroutes:\n  - to: appp\n", [("appp", ["did you mean `app`?"])]),
    "unknown listener": (L + "routes:\n  - {listener: pubic, use: [{respond: 200}]}\n", [("pubic", [])]),
    "no unit": ("listeners:\n  - {address: ':1', head_timeout: 10}\n", [("10}", ["10s"])]),
    "a unit nobody knows": ("listeners:\n  - {address: ':1', head_timeout: 10sec}\n", [("10sec", [])]),
    "not a number": ("listeners:\n  - {address: ':1', requests: many}\n", [("many", [])]),
    "not a size": ("listeners:\n  - {address: ':1', max_head: 16kb?}\n", [("16kb?", [])]),
    "out of bounds": (L + "routes:\n  - use: [{respond: 99}]\n", [("99", [])]),
    "not a choice": (L + "access_log:\n  - {to: stdout, format: jsno}\n", [("jsno", ["did you mean `json`?"])]),
    "not a boolean": ("listeners:\n  - {address: ':1', proxy_protocol: perhaps}\n", [("perhaps", [])]),
    "not an address": ("listeners:\n  - address: localhost\n", [("localhost", [])]),
    "port beyond": ("listeners:\n  - address: ':65536'\n", [("':65536'", [])]),
    "not a network": ("listeners:\n  - {address: ':1', trusted_proxies: [10.0.0.0/33]}\n", [("10.0.0.0/33", [])]),
    "bits behind the prefix": ("listeners:\n  - {address: ':1', trusted_proxies: [10.0.0.1/8]}\n", [("10.0.0.1/8", [])]),
    "a map where a scalar belongs": ("listeners:\n  - {address: {a: b}}\n", [("{a: b}", [])]),
    "a list where a map belongs": (L + "upstreams: [a, b]\n", [("[a, b]", [])]),
    "a scalar where a map belongs": (L + "process: fast\n", [("fast", [])]),
    "a key twice": (L + "routes: []\nlisteners: []\n", [((3, 1), ["listeners"])]),
    "required and missing": ("listeners:\n  - name: public\n", [((2, None), ["address"])]),
    "no servers": (L + "upstreams:\n  app: {balance: random}\n", [((3, None), ["servers"])]),
    "a bad expression": (L + "routes:\n  - {when: \"method = 'GET'\", use: [{respond: 200}]}\n", [("= 'GET'", [])]),
    "an unknown variable": (L + "routes:\n  - {when: \"methd == 'GET'\", use: [{respond: 200}]}\n", [("methd", ["method"])]),
    "a bad regular expression": (L + "routes:\n  - {path_regex: '^/(', use: [{respond: 200}]}\n", [((3, None), [])]),
    "a bad template": (L + "routes:\n  - use: [{respond: {text: '${client.ipp}'}}]\n", [("client.ipp", ["client.ip"])]),
    "a response in a condition of the request": (L + "routes:\n  - {when: status == 200, use: [{respond: 200}]}\n", [("status", [])]),
    "broken YAML": ("listeners: [\n", [(None, [])]),
    "a tab": ("process:\n\tdrain: 1s\n", [((2, None), [])]),
    "two documents": ("listeners: []\n---\nroutes: []\n", [((2, None), [])]),
    "a name twice": ("listeners:\n  - {address: ':1', name: a}\n  - {address: ':2', name: a}\n", [((3, None), ["`a`"])]),
    "an address twice": ("listeners:\n  - address: ':18080'\n  - address: ':18080'\n", [((3, 14), ["18080"])]),
    "an unset variable of the environment": ("listeners:\n  - address: ${env:NO_SUCH_VARIABLE}\n", [((2, None), ["NO_SUCH_VARIABLE"])]),
    "a file that is not there": (L + "routes:\n  - use: [{respond: {text: '${file:/nonexistent/secret}'}}]\n", [((3, None), ["/nonexistent/secret"])]),
    "all at once": ("""\
listeners:
  - address: nowhere
    head_timeout: 10
    bakclog: 1
routes:
  - to: "http://somewhere:port"
    use: [{respond: {status: 1000}}]
    when: methd == GET
""", [("nowhere", []), ((3, 19), ["10s"]), ("bakclog", ["did you mean `backlog`?"]), ("1000", []), ("methd", ["method"])]),
}


def place(text, where):
    """(line, column) of something in a text; None stands for any."""
    if where is None or isinstance(where, tuple):
        return where or (None, None)
    assert text.count(where) == 1, where
    before = text[:text.index(where)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


MESSAGE = re.compile(r"^(.*):(\d+):(\d+): error: (.*)$", re.M)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file(write, name):
    text, wanted = BAD[name]
    path = write(text)
    done = check(path)
    assert done.returncode == 2, done
    found = MESSAGE.findall(done.stderr)
    places = [(int(line), int(column)) for _, line, column, _ in found]
    assert found and all(os.path.basename(file) == "site.yaml" for file, *_ in found), done.stderr
    assert places == sorted(places)
    for where, words in wanted:
        line, column = place(text, where)
        assert [p for p in places if line in (None, p[0]) and column in (None, p[1])], (line, column, done.stderr)
        for word in words:
            assert word in done.stderr, done.stderr
    if name == "all at once":
        assert len(found) >= len(wanted)


@pytest.mark.parametrize("name", ["unknown key", "all at once", "broken YAML"])
def test_run_refuses_it_as_well(write, name):
    done = command("run", "-c", write(BAD[name][0]))
    assert done.returncode == 2 and MESSAGE.search(done.stderr)


def test_the_line_and_a_caret_are_shown(write):
    done = check(write("process:\n  drain: 10s\n  wrokers: 2\n"))
    assert re.search(r"site\.yaml:3:3: error: .*`wrokers`.*\n +3 \|   wrokers: 2\n +\|   \^~~~~~~?\n", done.stderr), done.stderr
    assert "hint: did you mean `workers`?" in done.stderr


def test_nothing_in_a_file_can_play_with_the_terminal(write):
    done = check(write("process:\n  \"\\e[2Jx\": 1\n"))
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_a_huge_number_of_mistakes_is_cut_short(write):
    done = check(write("routes:\n" + "  - {usse: []}\n" * 5000))
    assert done.returncode == 2 and len(done.stderr) < 100_000


def test_an_alias_bomb_is_refused(write):
    """Each level holds the one before ten times: a few lines that would become ten thousand million."""
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11))
    done = check(write("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + levels), timeout=10)
    assert done.returncode == 2 and len(done.stderr) < 100_000


def test_deep_nesting_is_refused(write):
    done = check(write("routes: " + "[" * 20000 + "\n"))
    assert done.returncode == 2


# ---------------------------------------------------------------- good files


def test_a_good_file(write):
    done = check(write(GOOD))
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_json_is_yaml(write):
    done = check(write(json.dumps(yaml.safe_load("listeners: [{address: '127.0.0.1:18080'}]\nroutes: [{use: [{respond: {text: hi}}]}]"))))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("earlier, later", [
    ("{path: /a/, use: [{respond: 200}]}", "{path: /a/b, use: [{respond: 200}]}"),
    ("{use: [{respond: 200}]}", "{path: /a, use: [{respond: 200}]}"),
    ("{host: '*.example', use: [{respond: 200}]}", "{host: a.example, path: /, use: [{respond: 200}]}"),
])
def test_routes_that_never_match_are_warned_of(write, earlier, later):
    done = check(write(f"listeners: [{{address: ':1'}}]\nroutes:\n  - {earlier}\n  - {later}\n"))
    assert done.returncode == 0
    assert re.search(r"site\.yaml:4:\d+: warning:", done.stderr), done.stderr
    swapped = check(write(f"listeners: [{{address: ':1'}}]\nroutes:\n  - {later}\n  - {earlier}\n"))
    assert swapped.returncode == 0 and "warning" not in swapped.stderr


def test_scalars_by_their_type_not_their_look(stage):
    """`no`, `010`, `1e3` and `null` are strings where strings are wanted."""
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
routes:
  - {path: /a, use: [{respond: {text: no}}]}
  - {path: /b, use: [{respond: {text: 010}}]}
  - {path: /c, use: [{respond: {text: 1e3}}]}
  - {path: /d, use: [{respond: {text: 12:30:45}}]}
""")
    assert [get(proxy.address, p).body for p in ("/a", "/b", "/c", "/d")] == [b"no", b"010", b"1e3", b"12:30:45"]


def test_includes_defaults_and_secrets(stage):
    proxy = Maitred(start=False, env={"GREETING": "hello from outside"})
    os.mkdir(os.path.join(proxy.dir, "conf.d"))
    with open(os.path.join(proxy.dir, "secret"), "w") as file:
        file.write("s3cret\n")
    with open(os.path.join(proxy.dir, "conf.d", "10-one.yaml"), "w") as file:
        file.write("routes:\n  - {path: /one, use: [{respond: {text: one}}]}\n")
    with open(os.path.join(proxy.dir, "conf.d", "20-two.yaml"), "w") as file:
        file.write("routes:\n  - {path: /two, use: [{respond: {text: two}}]}\nupstreams: {app: {servers: ['@app@']}}\n".replace(
            "@app@", stage.origin().address))
    proxy.write("""
include: conf.d/*.yaml
listeners: [{address: "@listen@"}]
defaults:
  upstream: {retries: 0}
  listener: {max_target: 1KiB}
routes:
  - {path: /env, use: [{respond: {text: "${env:GREETING}"}}]}
  - {path: /file, use: [{respond: {text: "${file:secret}"}}]}
  - {path: /app, to: app}
""")
    proxy.start()
    with stage.use(proxy):
        assert get(proxy.address, "/one").body == b"one" and get(proxy.address, "/two").body == b"two"
        assert get(proxy.address, "/env").body == b"hello from outside"
        assert get(proxy.address, "/file").body.strip() == b"s3cret"
        assert echoed(get(proxy.address, "/app"))["target"] == "/app"
        assert get(proxy.address, "/" + "x" * 1100).status == 414


def test_a_mistake_in_an_included_file_is_found_there(stage, write):
    path = stage.folder()
    write("routes:\n  - {pathh: /x}\n", "part.yaml", path)
    done = check(write("include: part.yaml\nlisteners: [{address: ':1'}]\n", path=path))
    assert done.returncode == 2 and re.search(r"part\.yaml:2:6: error: .*pathh", done.stderr), done.stderr


def test_includes_that_go_in_circles(stage, write):
    path = stage.folder()
    write("include: site.yaml\n", "part.yaml", path)
    done = check(write("include: part.yaml\n", path=path))
    assert done.returncode == 2, done


# ---------------------------------------------------------------- schema


@pytest.fixture(scope="module")
def schema():
    done = command("schema")
    assert done.returncode == 0 and done.stderr == ""
    schema = json.loads(done.stdout)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def problems(schema, text):
    return [error.message for error in schema.iter_errors(yaml.safe_load(text))]


def test_the_schema_takes_good_files(schema):
    assert problems(schema, GOOD) == []
    for path in glob.glob(os.path.join(ROOT, "examples", "*.yaml")):
        with open(path) as file:
            assert problems(schema, file.read()) == [], path


@pytest.mark.parametrize("name", [
    "unknown key", "unknown key at the top", "unknown middleware", "unknown middleware, by name alone", "a unit nobody knows",
    "not a number", "not a choice", "not a boolean", "a map where a scalar belongs", "a list where a map belongs",
    "a scalar where a map belongs", "out of bounds",
])
def test_the_schema_refuses_bad_files(schema, name):
    assert problems(schema, BAD[name][0]), name


def test_the_schema_explains_its_options(schema):
    text = json.dumps(schema.schema)
    assert "description" in text and schema.schema.get("$schema", "").startswith("http")


# ---------------------------------------------------------------- explain


def explain(path, *args):
    done = command("explain", "-c", path, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_explain_a_route(write):
    said = explain(write(GOOD), "GET", "http://www.example.com/api/users?x=1", "-H", "X-Beta: 1", "--client", "10.1.2.3")
    assert "api" in said
    for word in ("request_id", "rewrite", "headers", "body_limit", "timeouts", "app", "10.0.0.1:8080"):
        assert word in said, said
    assert "/users" in said  # what the rewrite makes of it


def test_explain_the_time_outs_that_hold(write):
    text = ("listeners: [':1']\nroutes: [{use: [{timeouts: {response: 10s}}], to: 'http://127.0.0.1:1'},"
            " {path: /b, to: 'http://127.0.0.1:1'}]\n")
    assert "connect 5000 ms, response 10000 ms, send 60000 ms" in explain(write(text), "GET", "http://h/")
    text = text.replace("timeouts: {response: 10s}", "hide_origin: {}")
    assert "connect 5000 ms, response 60000 ms, send 60000 ms" in explain(write(text), "GET", "http://h/")


def test_explain_why_not(write):
    said = explain(write(GOOD), "GET", "http://www.example.com/api/users")
    assert "api" in said and "header" in said and "other" in said, said


def test_explain_an_answer_of_ours(write):
    assert "301" in explain(write(GOOD), "GET", "http://h/old/x")
    assert "403" in explain(write(GOOD), "GET", "http://h/no")


def test_explain_nothing_matches(write):
    said = explain(write("listeners: [{address: ':1'}]\nroutes: [{host: a.example, use: [{respond: 200}]}]\n"), "GET", "http://b.example/")
    assert "404" in said or "no route" in said.lower()


@pytest.mark.parametrize("args", [["GET"], ["GE T", "http://h/"], ["GET", "nonsense"], ["GET", "http://h/", "-H", "nonsense"],
                                  ["GET", "http://h/", "--client", "nonsense"]])
def test_explain_bad_usage(write, args):
    assert command("explain", "-c", write(GOOD), *args).returncode == 2


def test_explain_agrees_with_what_happens(stage):
    text = """
listeners: [{address: "@listen@"}]
routes:
  - {name: first, path: /a/, method: POST, use: [{respond: {text: first}}]}
  - {name: second, path: /a/b, use: [{respond: {text: second}}]}
  - {name: third, use: [{respond: {text: third}}]}
"""
    proxy = stage.run(text)
    for method, path in (("POST", "/a/b"), ("GET", "/a/b"), ("GET", "/a/c"), ("GET", "/x/../a/b")):
        name = get(proxy.address, path, method=method).body.decode()
        said = explain(proxy.config, method, f"http://h{path}")
        taken = [line for line in said.splitlines() if name in line]
        assert taken and "answers 200" in said, said


# ---------------------------------------------------------------- generated files


def generated(name):
    return glob.glob(os.path.join(ROOT, "docs", "reference", "**", name), recursive=True)


def test_the_reference_is_fresh():
    done = command("reference")
    assert done.returncode == 0 and "# " in done.stdout
    texts = []
    for path in generated("*.md"):
        with open(path) as file:
            texts.append(file.read())
    assert done.stdout in texts, "docs/reference is stale: see `maitred reference`"


def test_the_schema_file_is_fresh():
    texts = []
    for path in generated("*.json"):
        with open(path) as file:
            texts.append(json.load(file))
    assert json.loads(command("schema").stdout) in texts, "docs/reference is stale: see `maitred schema`"
