# SPDX-License-Identifier: Apache-2.0
"""
Against the admin API: clients that hang up, that send what is deep, long or no text, that stand on a connection
from before, and that want more than their token says.
"""
import http.client
import json
import os
import signal
import socket
import threading

import pytest

from support.admin import Admin, api_of
from support.client import get
from support.maitred import Maitred
from support.wait import eventually, seconds, stays

READ, OPERATE, ADMIN = "a-token-that-reads-0", "a-token-that-operates", "a-token-for-everything"
SITE = """
listeners: [{address: "@listen@"}]
process: {drain: 1s}
"""
API = """
admin:
  listen: ["unix:@dir@/admin.sock", "@listen2@"]
  state: "@dir@/state"
  tokens:
    - {name: r, token: a-token-that-reads-0, right: read}
    - {name: o, token: a-token-that-operates, right: operate}
    - {name: a, token: "${file:@dir@/token}", right: admin}
"""
REST = """
upstreams: {app: {servers: ["127.0.0.1:9"]}}
routes:
  - {name: app, path: /app, to: app}
  - {name: word, use: [{respond: {text: one}}]}
"""
MERGE = "application/merge-patch+json"


@pytest.fixture
def proxy(stage):
    made = Maitred(start=False)
    stage.use(made)
    with open(f"{made.dir}/token", "w") as file:
        file.write(ADMIN + "\n")
    made.write(SITE + API + REST)
    made.start()
    return made


def tcp(proxy, token=None):
    return Admin(proxy.names["listen2"], token)


def begin(proxy, method, path, body=b"", kind=MERGE):
    """Sends a request over the Unix socket, and leaves the rest to the caller."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(seconds(10))
    sock.connect(f"{proxy.dir}/admin.sock")
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def raw(proxy, request):
    """The answer to these bytes over TCP."""
    host, port = proxy.names["listen2"].split(":")
    with socket.create_connection((host, int(port)), timeout=seconds(10)) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return int(answer.split()[1]), answer


def said(proxy):
    return get(proxy.address, "/").body.decode()


# ---------------------------------------------------------------------------- who hangs up

def test_who_hangs_up_in_the_middle_of_changes_stops_nothing(proxy):
    """Each wait of a fiber whose client has gone fails at once; one that waited for its turn so spun for ever."""
    api = api_of(proxy)
    for _ in range(3):
        waiting = [begin(proxy, "PATCH", "/v1/config", json.dumps({"process": {"drain": f"{i + 1}s"}}).encode())
                   for i in range(20)]
        assert api.get("/v1/whoami").status == 200  # by now they are read
        for sock in waiting:
            sock.close()
        assert api.get("/v1/whoami").status == 200
    # All of them come to their end, some behind ours, and then the last one counts.
    eventually(lambda: api.patch("/v1/config", {"process": {"drain": "33s"}}).status == 200
               and api.get("/v1/config/process/drain").good == "33s", 10, "a change")


@pytest.mark.parametrize("what", ["confirm", "abort"])
def test_who_hangs_up_while_a_trial_ends_stops_nothing(proxy, what):
    api = api_of(proxy)
    api.patch("/v1/config/routes/word", {"use": [{"respond": {"text": "two"}}]}, confirm="60s").good
    begin(proxy, "POST", f"/v1/trial/{what}").close()
    eventually(lambda: api.get("/v1/trial").good["state"] != "running", 10, "the end of the trial")
    assert said(proxy) == ("two" if what == "confirm" else "one")


def test_changes_and_hang_ups_and_reloads_at_once(proxy):
    """What remains is one configuration, whole, and the same to the API and to clients."""
    api, stop = api_of(proxy), threading.Event()

    def disturb(number):
        body = json.dumps({"use": [{"respond": {"text": f"by{number}"}}]}).encode()
        while not stop.is_set():
            with begin(proxy, "PATCH", "/v1/config/routes/word" + ("?confirm=100ms" if number == 3 else ""), body):
                stop.wait(0.01)
            if number == 0:
                os.kill(proxy.popen.pid, signal.SIGHUP)

    threads = [threading.Thread(target=disturb, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    stays(lambda: api.get("/v1/config").status == 200, 2)
    stop.set()
    for thread in threads:
        thread.join()
    eventually(lambda: api.patch("/v1/config/routes/word", {"use": [{"respond": {"text": "end"}}]}).status == 200,
               10, "a change")
    assert said(proxy) == "end"
    assert api.get("/v1/config/routes/word/use/0/respond/text").good == "end"


# ---------------------------------------------------------------------------- what they send

@pytest.mark.parametrize("before,after", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("method,path", [("PUT", "/v1/log"), ("POST", "/v1/upstreams/app/servers"),
                                         ("POST", "/v1/caches/x/purge"), ("PATCH", "/v1/config"),
                                         ("POST", "/v1/plan")])
def test_json_that_is_deep(proxy, method, path, before, after):
    """The parser would call itself for each level, on the stack of a fiber."""
    for depth in (65, 2000, 50000):
        got = tcp(proxy, ADMIN).ask(method, path, before * depth + "1" + after * depth, kind="application/json")
        assert got.status == 400, got.text


def test_json_that_is_long(proxy):
    problem = tcp(proxy, OPERATE).put("/v1/log", " " * (1 << 20) + '{"level": "info"}').refused(400)
    assert problem["type"].endswith("bad_json")


def test_long_bodies_at_a_time(proxy):
    """A few are read, which may be up to 64 MiB each; more are not let into memory."""
    head = ("PUT /v1/log HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Authorization: Bearer {OPERATE}\r\n\r\n2\r\n  \r\n").encode()
    host, port = proxy.names["listen2"].split(":")
    socks = [socket.create_connection((host, int(port)), timeout=seconds(10)) for _ in range(12)]
    for sock in socks:
        sock.sendall(head)
    assert [socks[-1].recv(12)[9:]] == [b"503"]
    socks[0].sendall(b'10\r\n{"level":"info"}\r\n0\r\n\r\n')
    assert socks[0].recv(12)[9:] == b"200"
    for sock in socks:
        sock.close()
    put = lambda: begin(proxy, "PUT", "/v1/log", b'{"level": "info"}').recv(12)[9:] == b"200"
    eventually(put, 10, "room for bodies")


def test_what_is_no_text(proxy):
    """Answers are JSON, whatever stands in the path, and a comment hides no revision."""
    for path in ("config/%FF", "upstreams/%FF", "traces/%FF", "revisions/%FF", "exchanges/%C3"):
        status, answer = raw(proxy, f"GET /v1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                    f"Authorization: Bearer {READ}\r\n\r\n".encode())
        assert status == 404
        assert "\ufffd" in json.loads(answer.split(b"\r\n\r\n", 1)[1])["detail"]
    api = api_of(proxy)
    api.ask("PATCH", "/v1/config?comment=a%FFb%0D%0Ac", {"process": {"drain": "2s"}}, kind=MERGE).good
    assert api.get("/v1/revisions").good["revisions"][0]["comment"] == "a\ufffdb\r\nc"
    guard = "requests > 0 and " * 40
    assert api.patch("/v1/config", {"process": {"drain": "3s"}}, guard=guard + "ä").status == 400


# ---------------------------------------------------------------------------- rights

WRITES = [("PUT", "/v1/config/process/drain"), ("PATCH", "/v1/config"), ("DELETE", "/v1/config/routes"),
          ("POST", "/v1/config/routes"), ("POST", "/v1/apply"), ("POST", "/v1/reset"), ("POST", "/v1/rollback"),
          ("POST", "/v1/revisions/1/restore"), ("POST", "/v1/trial/abort"), ("POST", "/v1/upgrade")]


@pytest.mark.parametrize("method,path", WRITES)
def test_nobody_but_an_admin_changes_the_configuration(proxy, method, path):
    for spelled in (path, "/" + path, path.replace("/v1", "/v1/../v1"), path.replace("v", "%76"), path + "?dry_run"):
        strangers = ((None, 401), ("x" * 4000, 401)) if spelled == path else ()  # each of them is kept waiting
        for token, status in (*strangers, (READ, 403), (OPERATE, 403)):
            field = "" if token is None else f"Authorization: Bearer {token}\r\n"
            got, answer = raw(proxy, f"{method} {spelled} HTTP/1.1\r\nHost: x\r\n{field}Connection: close\r\n"
                                     "Content-Length: 0\r\n\r\n".encode())
            assert got == status, answer
    assert len(api_of(proxy).get("/v1/revisions").good["revisions"]) == 1


def test_head_and_odd_paths_need_a_token_too(proxy):
    for method, path in (("HEAD", "/v1/config"), ("GET", "//v1/config"), ("GET", "/assets/../v1/config"),
                         ("GET", "/%76%31/config"), ("HEAD", "/metrics"), ("GET", "/v1/config/")):
        status, _ = raw(proxy, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert status == 401, path
    for path in ("/assets/../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/", "/assets/..%2f..%2fetc"):
        status, _ = raw(proxy, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert status in (400, 404), path


@pytest.mark.parametrize("kind,body", [
    ("application/json-patch+json", [{"op": "remove", "path": "/admin/tokens/a/name"}]),
    ("application/json-patch+json", [{"op": "replace", "path": "/admin/tokens/o/right", "value": "x"}]),
    ("application/json-patch+json", [{"op": "copy", "from": "/admin/tokens/o", "path": "/admin/tokens/-"}]),
    ("application/json-patch+json", [{"op": "copy", "from": "/admin/tokens/a/token", "path": "/routes/0/name"}]),
    (MERGE, {"routes": [{"name": "x", "to": "${file:@dir@/token}"}]}),
], ids=str)
def test_a_plan_tells_readers_no_line_of_a_file(proxy, kind, body):
    text = json.dumps(body).replace("@dir@", proxy.dir)
    got = tcp(proxy, READ).post("/v1/plan", text, kind=kind)
    assert got.status in (400, 403, 422)
    assert OPERATE not in got.text and ADMIN not in got.text and "right: " not in got.text


def test_who_may_reload_sees_no_line_of_a_file(proxy):
    proxy.write(SITE + API.replace("right: operate", "right: everything") + REST)
    refused = tcp(proxy, OPERATE).post("/v1/reload").refused(422)
    assert "site.yaml" in refused["text"] and "everything" in refused["text"]
    assert OPERATE not in refused["text"] and "- {name" not in refused["text"]


# ---------------------------------------------------------------------------- the API goes and comes

def test_connections_outlive_the_api(proxy):
    """Nobody is there any more who could say what a token means; nothing of what was is still used."""
    conns = [http.client.HTTPConnection(proxy.names["listen2"], timeout=seconds(10)) for _ in range(3)]
    for conn in conns:
        conn.request("GET", "/v1/whoami", headers={"Authorization": f"Bearer {ADMIN}"})
        assert json.loads(conn.getresponse().read())["right"] == "admin"
    proxy.write(SITE + REST)
    proxy.reload()
    for conn, path in zip(conns, ("/v1/whoami", "/", "/v1/config")):
        conn.request("GET", path, headers={"Authorization": f"Bearer {ADMIN}"})
        answer = conn.getresponse()
        assert (answer.status, b"no_route" in answer.read()) == (404, True)
        conn.close()


def test_an_api_that_comes_back_knows_what_is_served(proxy):
    """What it knew of the files is out of date: a change must not bring it back."""
    proxy.write(SITE + REST)
    proxy.reload()
    proxy.write(SITE + API + REST.replace("text: one", "text: two"))
    proxy.reload()
    api = api_of(proxy)
    assert api.get("/v1/config/routes/word/use/0/respond/text").good == "two"
    api.patch("/v1/config", {"process": {"drain": "2s"}}).good
    assert said(proxy) == "two"


def test_an_api_that_comes_with_a_reload_keeps_what_it_changes(stage):
    proxy = stage.use(Maitred(SITE + REST))
    with open(f"{proxy.dir}/token", "w") as file:
        file.write(ADMIN)
    proxy.write(SITE + API + REST)
    proxy.reload()
    assert api_of(proxy).patch("/v1/config/routes/word", {"use": [{"respond": {"text": "kept"}}]}).good["revision"]
    assert said(proxy) == "kept"
    assert api_of(proxy).get("/v1").good["faults"] == []


def test_a_change_that_would_lose_the_api_is_refused(proxy):
    """An address that cannot be had is found out before anything is changed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = api_of(proxy).post("/v1/config/admin/listen", address)
        assert answer.refused(422)["errors"][0]["detail"].startswith(f"cannot listen on {address}")
    assert api_of(proxy).get("/v1/whoami").good
