# SPDX-License-Identifier: Apache-2.0
"""Supervisor and worker: the end, sudden death, privileges, and who owns the listening sockets."""
import os
import pwd
import random
import signal
import socket
import threading
import time

import pytest

from support import process
from support.client import Client, get
from support.maitred import Maitred, command
from support.origin import serve_forever
from support.ports import free_port
from support.wait import eventually, seconds
from support.wire import Closed, Response, encode

ROOT = os.getuid() == 0
HELLO = """
listeners: [{address: "@listen@"}]
routes: [{use: [{respond: {text: hello}}]}]
process: {drain: 2s}
"""


def refuses(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) != 0


# ---------------------------------------------------------------- the end


def test_sigterm_lets_exchanges_finish(stage):
    go = threading.Event()

    def answer(conn, request):
        if request.target == "/slow":
            assert go.wait(seconds(30))
        conn.respond(200, body=b"finished")

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, process={"drain": "20s"})
    with Client(proxy.address) as busy, Client(proxy.address) as idle:
        assert idle.get().status == 200  # before that the kernel may keep it to itself (TCP_DEFER_ACCEPT)
        busy.request("GET", "/slow")
        origin.wait_requests(2)
        proxy.signal(signal.SIGTERM)
        assert idle.is_closed()
        eventually(lambda: refuses(proxy.address), what="new connections are refused")
        assert proxy.popen.poll() is None
        go.set()
        response = busy.response()
        assert (response.status, response.body) == (200, b"finished")
        assert busy.is_closed()
    proxy.finish()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_proxy_ends_at_once(stage, number):
    proxy = stage.run(HELLO.replace("2s", "60s"))
    with Client(proxy.address) as client:
        assert client.get().status == 200
        begun = time.monotonic()
        proxy.signal(number)
        proxy.finish(10)
        assert time.monotonic() - begun < seconds(5)


def test_draining_has_an_end(stage):
    def script(conn):
        conn.read_request()
        conn.send(encode("HTTP/1.1 200 OK", [("Content-Length", "1000000")]))
        while True:
            conn.send(b"x")
            time.sleep(0.1)

    proxy = stage.proxy(stage.origin(script), process={"drain": "1s"})
    with Client(proxy.address) as client:
        client.request()
        head = client.read_head(Response)
        begun = time.monotonic()
        proxy.signal(signal.SIGTERM)
        with pytest.raises((Closed, ConnectionResetError)):
            list(client.pieces(head))
        proxy.finish()
        assert 0.7 < time.monotonic() - begun < seconds(8)


def test_a_second_sigterm_is_no_worse(stage):
    proxy = stage.run(HELLO)
    proxy.signal(signal.SIGTERM)
    try:
        proxy.signal(signal.SIGTERM)
    except ProcessLookupError:
        pass
    proxy.finish()


# ---------------------------------------------------------------- sudden death


def test_a_killed_worker_is_replaced(stage):
    proxy = stage.run(HELLO)
    proxy.worker_may_die = True
    for _ in range(3):
        old = proxy.worker_pid()
        os.kill(old, signal.SIGKILL)
        assert get(proxy.address).body == b"hello"  # not refused: the supervisor keeps the sockets
        new = eventually(lambda: (p := process.children(proxy.pid)) and p[0] != old and p[0])
        assert process.alive(new) and not process.alive(old)
    assert "worker" in proxy.stderr


def test_connections_wait_while_a_worker_is_born(stage):
    proxy = stage.run(HELLO)
    proxy.worker_may_die = True
    os.kill(proxy.worker, signal.SIGKILL)
    clients = [Client(proxy.address) for _ in range(20)]
    for client in clients:
        client.request()
    for client in clients:
        assert client.response().body == b"hello"
        client.close()


def test_a_replaced_worker_has_the_latest_configuration(stage):
    proxy = stage.run(HELLO)
    proxy.worker_may_die = True
    proxy.reload(HELLO.replace("hello", "hullo"))
    os.kill(proxy.worker, signal.SIGKILL)
    assert get(proxy.address).body == b"hullo"
    eventually(lambda: process.children(proxy.pid))
    proxy.reload(HELLO.replace("hello", "hallo"))
    eventually(lambda: get(proxy.address).body == b"hallo")


def test_a_replaced_worker_survives_a_file_that_went_bad(stage):
    """The file on disk may be half-edited when a worker dies; what ran goes on running."""
    proxy = stage.run(HELLO)
    proxy.worker_may_die = True
    proxy.write("listeners: [oops\n")
    os.kill(proxy.worker, signal.SIGKILL)
    assert get(proxy.address).body == b"hello"


def test_the_worker_dies_with_its_supervisor(stage):
    proxy = stage.run(HELLO)
    os.kill(proxy.pid, signal.SIGKILL)
    proxy.popen.wait()
    eventually(lambda: not process.alive(proxy.worker), what="the worker is gone")
    assert refuses(proxy.address)
    proxy.popen = None


# ---------------------------------------------------------------- privileges


@pytest.mark.skipif(not ROOT, reason="only root can give privileges up")
def test_privileges_are_dropped(stage):
    proxy = stage.run(HELLO)
    facts, nobody = process.status(proxy.worker), pwd.getpwnam("nobody")
    assert set(facts["Uid"].split()) == {str(nobody.pw_uid)}
    assert set(facts["Gid"].split()) == {str(nobody.pw_gid)}
    assert set(facts["Groups"].split()) <= {str(nobody.pw_gid)}
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    if "NoNewPrivs" in facts:
        assert facts["NoNewPrivs"] == "1"


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_another_user(stage):
    proxy = stage.run(HELLO.replace("drain: 2s", "drain: 2s, user: daemon"))
    assert process.status(proxy.worker)["Uid"].split()[1] == str(pwd.getpwnam("daemon").pw_uid)


@pytest.mark.skipif(not ROOT, reason="only root can stay root")
def test_root_may_be_kept(stage):
    proxy = stage.run(HELLO.replace("drain: 2s", "drain: 2s, user: root"))
    assert process.status(proxy.worker)["Uid"].split()[1] == "0"


@pytest.mark.skipif(not ROOT, reason="nobody else can change users")
def test_an_unknown_user_is_an_error():
    with Maitred(HELLO.replace("drain: 2s", "drain: 2s, user: no-such-user"), start=False) as proxy:
        done = command("run", "-c", proxy.config)
    assert done.returncode in (1, 2) and "no-such-user" in done.stderr


@pytest.mark.skipif(not ROOT, reason="becomes nobody")
def test_it_runs_without_root(stage):
    nobody = pwd.getpwnam("nobody")

    def become_nobody():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    proxy = stage.run(HELLO, before=become_nobody)
    assert get(proxy.address).body == b"hello"


@pytest.mark.skipif(not ROOT, reason="a privileged port")
def test_a_privileged_port(stage):
    host = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
    proxy = stage.run(HELLO.replace("@listen@", f"{host}:80"))
    assert get(f"{host}:80").body == b"hello"
    proxy.worker_may_die = True
    os.kill(proxy.worker, signal.SIGKILL)
    assert get(f"{host}:80").body == b"hello"


# ---------------------------------------------------------------- sockets, workers, rest


def test_an_address_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "127.0.0.1:%d" % other.getsockname()[1]
        with Maitred(HELLO.replace("@listen@", address), start=False) as proxy:
            done = command("run", "-c", proxy.config)
    assert done.returncode == 1 and address in done.stderr


def test_a_second_proxy_on_the_same_address_is_refused(stage):
    """SO_REUSEPORT must not let two of them share the connections by accident."""
    first = stage.run(HELLO)
    done = command("run", "-c", first.config)
    assert done.returncode == 1 and first.address in done.stderr


def test_all_ready_addresses_are_told(stage):
    proxy = stage.run(HELLO.replace('[{address: "@listen@"}]', '[{address: "@listen@"}, {address: "@listen2@"}]'))
    line = next(line for line in proxy.stderr.splitlines() if "ready: listening on" in line)
    assert f"ready: listening on {proxy.address}, {proxy.names['listen2']}" in line
    assert line.split()[1] == "info"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_worker_serves(stage, workers):
    """Connections end up with all workers: none waits for one that sleeps."""
    proxy = stage.run(HELLO, workers=workers)
    clients = [Client(proxy.address) for _ in range(32)]
    for client in clients:
        assert client.get().body == b"hello"
    for client in clients:
        client.close()
    assert int(process.status(proxy.worker)["Threads"]) >= workers


def test_at_rest_it_rests(stage):
    """No polling: an idle proxy takes next to no processor time."""
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.get()

        def ticks():
            total = 0
            for pid in (proxy.pid, proxy.worker):
                with open(f"/proc/{pid}/stat") as file:
                    total += sum(int(n) for n in file.read().rsplit(")", 1)[1].split()[11:13])
            return total / os.sysconf("SC_CLK_TCK")

        time.sleep(0.5)
        before = ticks()
        time.sleep(2)
        assert ticks() - before <= 0.1


def test_signals_to_the_whole_group(stage):
    """^C in a terminal reaches the worker too; it must still end in good order."""
    proxy = stage.run(HELLO, before=os.setsid)
    assert get(proxy.address).body == b"hello"
    os.killpg(proxy.pid, signal.SIGINT)
    proxy.finish()


def test_the_worker_ignores_sighup_of_a_closed_terminal(stage):
    proxy = stage.run(HELLO, before=os.setsid)
    os.kill(proxy.worker, signal.SIGHUP)
    assert get(proxy.address).body == b"hello"
    assert process.alive(proxy.worker)


def test_free_ports_are_free_again(stage):
    port = free_port()
    for _ in range(2):
        with Maitred(HELLO.replace("@listen@", f"127.0.0.1:{port}")) as proxy:
            assert get(f"127.0.0.1:{port}").body == b"hello"
            assert proxy.worker
