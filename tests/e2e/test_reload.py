# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: what is in flight survives, a bad file changes nothing, and nobody notices fifty of them."""
import os
import signal
import socket
import subprocess
import threading

import pytest

from support import process
from support.client import Client, get
from support.daemons import nginx
from support.maitred import sanitized, site
from support.origin import serve_forever
from support.wait import SLOW, eventually, seconds
from support.wire import Response, encode

TEXT = """
listeners: [{{address: "@listen@"}}]
routes:
  - use: [{{respond: {{text: {word}}}}}]
process: {{drain: 3s}}
"""


def test_a_new_configuration_takes_effect(stage):
    proxy = stage.run(TEXT.format(word="one"))
    assert get(proxy.address).body == b"one"
    for word in ("two", "three"):
        proxy.reload(TEXT.format(word=word))
        assert get(proxy.address).body == word.encode()
    assert proxy.worker_pid() == proxy.worker


def test_keep_alive_connections_survive(stage):
    proxy = stage.run(TEXT.format(word="one"))
    with Client(proxy.address) as client:
        assert client.get().body == b"one"
        proxy.reload(TEXT.format(word="two"))
        assert client.get().body == b"two"


def test_a_connection_that_never_spoke_survives(stage):
    proxy = stage.run(TEXT.format(word="one"))
    with Client(proxy.address) as client:
        assert client.is_silent(0.2)
        proxy.reload(TEXT.format(word="two"))
        assert client.get().body == b"two"


def test_a_head_in_the_middle_survives(stage):
    proxy = stage.run(TEXT.format(word="one"))
    with Client(proxy.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHo")
        proxy.reload(TEXT.format(word="two"))
        client.send(b"st: h\r\n\r\n")
        assert client.response().body in (b"one", b"two")


def gated(go, size=10):
    """A server that sends half of its body, waits to be told, and sends the rest."""

    def answer(conn, request):
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", str(size))], b"x" * (size // 2)))
        assert go.wait(seconds(30))
        conn.send(b"y" * (size - size // 2))

    return serve_forever(answer)


def test_downloads_survive_and_keep_their_configuration(stage):
    go = threading.Event()
    origin = stage.origin(gated(go))

    def config(version):
        return site(origin, use=[{"headers": {"response": {"set": {"X-Version": str(version)}}}}])

    proxy = stage.run(config(1))
    with Client(proxy.address) as old:
        old.request()
        head = old.read_head(Response)
        assert head.get("x-version") == "1"
        for version in (2, 3, 4):
            proxy.reload(config(version))
        go.set()
        assert b"".join(old.pieces(head)) == b"xxxxxyyyyy"
        assert old.get().get("x-version") == "4"


def test_uploads_survive(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin)
    with Client(proxy.address) as client:
        client.request("POST", "/", [("Content-Length", "10")], b"")
        client.send(b"01234")
        proxy.reload(site(origin, route={"name": "another"}))
        client.send(b"56789")
        assert client.response().status == 200


def test_server_connections_survive(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, workers=1)
    for number in range(3):
        assert get(proxy.address).status == 200
        proxy.reload(site(origin, route={"name": f"v{number}"}))
    assert get(proxy.address).status == 200
    assert len(origin.connections) == 1


def test_servers_come_and_go(stage):
    a, b = (stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=conn.origin.name.encode())), name=n)
            for n in "ab")
    proxy = stage.proxy(a)
    with Client(proxy.address) as client:
        assert client.get().body == b"a"
        proxy.reload(site(b))
        assert {client.get().body for _ in range(4)} == {b"b"}
        proxy.reload(site(a, b))
        assert {client.get().body for _ in range(8)} == {b"a", b"b"}


@pytest.mark.parametrize("bad, why", [
    (TEXT.format(word="two").replace("respond", "resqond"), "resqond"),
    ("listeners: [{address: ':99999999'}]\n", "99999999"),
    ("routes: [\n", "site.yaml:"),
    ("listeners: [{address: '@listen@'}]\nroutes: [{to: nobody}]\n", "nobody"),
])
def test_a_bad_file_changes_nothing_and_says_why(stage, bad, why):
    proxy = stage.run(TEXT.format(word="one"))
    with Client(proxy.address) as client:
        assert client.get().body == b"one"
        said = proxy.reload(bad, good=False)
        assert "site.yaml:" in said and "error:" in said and why in said
        assert client.get().body == b"one"
    assert get(proxy.address).body == b"one"
    proxy.reload(TEXT.format(word="two"))
    assert get(proxy.address).body == b"two"


def test_a_file_that_is_gone_changes_nothing(stage):
    proxy = stage.run(TEXT.format(word="one"))
    os.unlink(proxy.config)
    proxy.reload(good=False)
    assert get(proxy.address).body == b"one"


@pytest.mark.skipif(os.getuid() != 0, reason="files that only root may read")
def test_a_file_that_only_root_may_read(stage):
    """The worker has given its privileges up; the configuration with its secrets need not be theirs."""
    proxy = stage.run(TEXT.format(word="one"))
    proxy.write(TEXT.format(word="two"))
    os.chmod(proxy.config, 0o600)
    proxy.reload()
    assert get(proxy.address).body == b"two"


def test_listeners_come_and_go(stage):
    proxy = stage.run(TEXT.format(word="one"))
    both = TEXT.format(word="two").replace('listeners: [{address: "@listen@"}]',
                                           'listeners: [{address: "@listen@"}, {address: "@listen2@"}]')
    proxy.reload(both)
    assert get(proxy.names["listen2"]).body == b"two" and get(proxy.address).body == b"two"
    with Client(proxy.names["listen2"]) as client:
        assert client.get().body == b"two"
        proxy.reload(TEXT.format(word="three"))
        port = int(proxy.names["listen2"].rsplit(":", 1)[1])

        def refused():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        eventually(refused, what="the listener that was taken away refuses")
    assert get(proxy.address).body == b"three"


def test_an_address_in_use_changes_nothing(stage):
    proxy = stage.run(TEXT.format(word="one"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        said = proxy.reload(TEXT.format(word="two").replace(
            'listeners: [{address: "@listen@"}]', 'listeners: [{address: "@listen@"}, {address: "%s"}]' % taken), good=False)
        assert taken in said
        assert get(proxy.address).body == b"one"


def test_many_signals_at_once(stage):
    proxy = stage.run(TEXT.format(word="one"))
    proxy.write(TEXT.format(word="two"))
    for _ in range(20):
        proxy.signal(signal.SIGHUP)
    eventually(lambda: get(proxy.address).body == b"two")
    proxy.reload(TEXT.format(word="three"))
    eventually(lambda: get(proxy.address).body == b"three")


def test_reloads_leak_nothing(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin)
    for number in range(10):
        proxy.reload(site(origin, route={"name": f"warm{number}"}))
    get(proxy.address)
    fds, rss = process.descriptors(proxy.worker), proxy.rss_kib()
    for number in range(40):
        proxy.reload(site(origin, route={"name": f"v{number}"}))
    get(proxy.address)
    eventually(lambda: process.descriptors(proxy.worker) <= fds + 2, what="descriptors")
    if not sanitized():
        assert proxy.rss_kib() - rss < 4096


def test_fifty_reloads_under_load_lose_nothing(stage):
    """wrk counts errors of any kind; there must be none."""
    server = stage.use(nginx("location / { return 200 ok; }"))
    proxy = stage.proxy(server, log=False)
    with open(os.path.join(proxy.dir, "wrk"), "w+") as output:
        load = subprocess.Popen(["wrk", "-t1", "-c32", "-d300s", proxy.url()], stdout=output, stderr=output)
        try:
            for number in range(10 if SLOW else 50):
                proxy.reload(site(server, route={"name": f"v{number}"}, log=False))
                assert get(proxy.address).body == b"ok"
        finally:
            load.send_signal(signal.SIGINT)
            load.wait(seconds(20))
        output.seek(0)
        said = output.read()
    assert "requests in" in said and "Socket errors" not in said and "Non-2xx" not in said, said
    assert int(said.split(" requests in")[0].split()[-1]) > 200, said


def test_new_connections_under_reloads(stage):
    """A connection for each request: none is refused or reset while listeners are handed over."""
    proxy = stage.run(TEXT.format(word="one"))
    stop, bad, done = threading.Event(), [], []

    def load():
        while not stop.is_set():
            try:
                if get(proxy.address).status != 200:
                    bad.append("status")
                done.append(1)
            except Exception as problem:
                bad.append(problem)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(20):
        proxy.reload(TEXT.format(word=f"w{number}"))
    stop.set()
    for thread in threads:
        thread.join()
    assert bad == [] and len(done) > 20
