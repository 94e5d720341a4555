# SPDX-License-Identifier: Apache-2.0
"""Unix sockets on either side."""
import os
import socket

from support.client import Client, curl, get
from support.maitred import command, Maitred
from support.origin import echoed

LISTENING = """
listeners: [{address: "unix:@dir@/front.sock"}, {address: "@listen@"}]
routes: [{to: app}]
upstreams: {app: {servers: ["@app@"]}}
"""


def test_a_listener(stage):
    proxy = stage.run(LISTENING, app=stage.origin())
    path = f"{proxy.dir}/front.sock"
    got = curl("--unix-socket", path, "http://www.example/x")
    assert got.status == 200 and '"/x"' in got.text
    told = echoed(get(f"unix:{path}", "/y", host="www.example"))
    assert told["by_name"]["host"] == ["www.example"]
    assert "127.0.0.1" not in told["by_name"].get("x-forwarded-for", [""])[0]


def test_a_listener_survives_a_reload(stage):
    proxy = stage.run(LISTENING, app=stage.origin())
    with Client(f"unix:{proxy.dir}/front.sock") as client:
        assert client.get("/1").status == 200
        proxy.reload()
        assert client.get("/2").status == 200
    assert get(f"unix:{proxy.dir}/front.sock", "/3").status == 200


def test_a_socket_file_that_was_left_behind(stage):
    """A file that nobody listens on any more does not stop a start."""
    origin = stage.origin()
    proxy = Maitred(LISTENING, app=origin, start=False)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(f"{proxy.dir}/front.sock")
    stale.close()
    proxy.start()
    with proxy:
        assert get(f"unix:{proxy.dir}/front.sock").status == 200


def test_a_socket_that_is_in_use_is_not_stolen(stage):
    origin = stage.origin()
    first = stage.run(LISTENING, app=origin)
    config = os.path.join(first.dir, "second.yaml")
    with open(config, "w") as file:
        file.write(f"listeners: [{{address: 'unix:{first.dir}/front.sock'}}]\nroutes: []\n")
    done = command("run", "-c", config, timeout=10)
    assert done.returncode in (1, 2) and "front.sock" in done.stderr
    assert get(f"unix:{first.dir}/front.sock").status == 200


def test_a_server(stage):
    origin = stage.origin(path=f"{stage.folder()}/app.sock", name="unix")
    proxy = stage.proxy(origin)
    told = echoed(get(proxy.address, "/u"))
    assert (told["origin"], told["target"]) == ("unix", "/u")
    assert proxy.wait_log(target="/u")["server"] == origin.address


def test_both_and_large_bodies(stage):
    origin = stage.origin(path=f"{stage.folder()}/app.sock")
    proxy = stage.run(LISTENING, app=origin)
    body = os.urandom(3_000_000)
    told = echoed(get(f"unix:{proxy.dir}/front.sock", method="POST", body=body))
    assert told["length"] == len(body)


def test_a_server_that_is_not_there(stage):
    proxy = stage.proxy("unix:/nonexistent/app.sock", upstream={"retries": 0})
    response = get(proxy.address)
    assert response.status in (502, 503)
    assert proxy.wait_log()["blame"] == "server"


def test_a_unix_client_is_a_client_for_filters(stage):
    proxy = stage.run("""
listeners: [{address: "unix:@dir@/front.sock"}, {address: "@listen@"}]
routes:
  - use: [{ip_filter: {allow: [unix]}}, {respond: {text: "come in"}}]
""")
    assert get(f"unix:{proxy.dir}/front.sock").body == b"come in"
    assert get(proxy.address).status == 403
