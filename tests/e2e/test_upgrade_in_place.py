# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: the program is replaced, and nobody who is connected or connects can tell."""
import asyncio
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import websockets

from support import process
from support.admin import admin, api_of
from support.certs import Authority
from support.client import Client, get
from support.load import FULL, Load
from support.fleet import fleet
from support.maitred import BINARY, Maitred, command, environment, site
from support.origin import serve_forever
from support.wait import eventually, seconds

HELLO = """
listeners: [{address: "@listen@"}]
routes: [{use: [{respond: {text: hello}}]}]
process: {drain: 3s}
"""
REFUSED = b"this is no program of ours\n"


class Upgradable(Maitred):
    """A proxy whose program is a file of its own, with pid file and control socket."""

    def __init__(self, text, workers=2, close_fds=True, **more):
        super().__init__(text, workers=workers, start=False, **more)
        self.program = os.path.join(self.dir, "maitred")
        shutil.copy(BINARY, self.program)
        self.control = os.path.join(self.dir, "control")
        self.pid_file = os.path.join(self.dir, "pid")
        self.seen = []
        self.launch(close_fds)

    def launch(self, close_fds):
        args = [self.program, "run", "-c", self.config, "--pid-file", self.pid_file, f"--control={self.control}"]
        if self.workers:
            args += ["--workers", str(self.workers)]
        with open(self.stderr_path, "ab") as err:
            self.popen = subprocess.Popen([*self.wrap, *args], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                          env=environment(self.env), preexec_fn=self.before, close_fds=close_fds)
        eventually(self._is_ready, 15, "ready: listening on")
        self.main()

    def main(self):
        """The process that is in charge, by the pid file."""
        def read():
            try:
                with open(self.pid_file) as file:
                    return int(file.read())
            except FileNotFoundError:
                return 0
        pid = eventually(read, what="a pid file")
        if pid not in self.seen:
            self.seen.append(pid)
        return pid

    def upgrade(self, within=20):
        return subprocess.run([BINARY, "upgrade", "--control", self.control, "--within", str(within)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds(within + 10),
                              env=environment())

    def replace_program(self, content=None):
        """Another file under the same name, as a package manager does it; None: the same program again."""
        beside = self.program + ".new"
        if content is None:
            shutil.copy(BINARY, beside)
        else:
            with open(beside, "wb") as file:
                file.write(content)
            os.chmod(beside, 0o755)
        os.rename(beside, self.program)

    def upgraded(self, **more):
        old = self.main()
        done = self.upgrade(**more)
        assert done.returncode == 0, done.stderr + self.stderr
        assert self.main() != old and str(self.main()) in done.stdout
        return old

    def signal(self, number):
        os.kill(self.main(), number)

    def stop(self):
        if self.popen is None:
            return
        try:
            for pid in self.seen:
                if process.alive(pid):
                    try:
                        os.kill(pid, signal.SIGTERM)
                    except ProcessLookupError:
                        pass
            for pid in self.seen:
                if pid != self.popen.pid:
                    eventually(lambda p=pid: not process.alive(p), 20, f"the end of {pid}")
            self.finish()
            assert not os.path.exists(self.pid_file) and not os.path.exists(self.control)
        finally:
            self.clean()

    def finish(self, within=20):
        code = self.popen.wait(seconds(within))
        assert code in (0, -signal.SIGKILL), f"exit status {code}:\n{self.stderr}"
        self.check_stderr()

    def clean(self):
        for pid in self.seen:
            for child in process.children(pid) + [pid]:
                if process.alive(child):
                    os.kill(child, signal.SIGKILL)
        if self.popen is not None:
            self.popen.wait()
        self.popen = None
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def run(stage):
    return lambda text, **more: stage.use(Upgradable(text, **more))


# ---------------------------------------------------------------- the ordinary way


def test_another_process_serves(run):
    proxy = run(HELLO)
    old = proxy.upgraded()
    assert get(proxy.address).body == b"hello"
    eventually(lambda: not process.alive(old), what="the old process ends")
    assert "upgraded: process" in proxy.stderr
    assert os.path.exists(proxy.control)


def test_sigusr2_and_again(run):
    proxy = run(HELLO)
    for _ in range(3):
        old = proxy.main()
        proxy.signal(signal.SIGUSR2)
        eventually(lambda: proxy.main() != old, 20)
        assert get(proxy.address).body == b"hello"


def test_the_file_on_disk_is_what_runs_next(run):
    proxy = run(HELLO)
    proxy.replace_program()
    inode = os.stat(proxy.program).st_ino
    proxy.upgraded()
    assert os.stat(f"/proc/{proxy.main()}/exe").st_ino == inode


def test_the_configuration_is_read_again(run):
    proxy = run(HELLO)
    proxy.write(HELLO.replace("hello", "hullo"))
    proxy.upgraded()
    eventually(lambda: get(proxy.address).body == b"hullo")


@pytest.mark.parametrize("before, after", [(4, 1), (1, 4), (5, 2)])
def test_any_number_of_workers(run, before, after):
    """Each socket of the group is accepted from, also when there are more of them than workers."""
    text = HELLO.replace("process: {", "process: {workers: %d, ")
    proxy = run(text % before, workers=None)
    proxy.write(text % after)
    old = proxy.upgraded()
    eventually(lambda: not process.alive(old), 20)
    for _ in range(60):
        assert get(proxy.address).body == b"hello"
    proxy.reload()  # a reload configures all of them
    for _ in range(60):
        assert get(proxy.address).body == b"hello"


def test_listeners_that_are_gone_are_closed(run):
    two = HELLO.replace('[{address: "@listen@"}]', '[{address: "@listen@"}, {address: "@listen2@"}]')
    proxy = run(two)
    other = proxy.names["listen2"]
    assert get(other).body == b"hello"
    proxy.write(HELLO)
    proxy.upgraded()
    assert get(proxy.address).body == b"hello"
    eventually(lambda: refuses(other), what="nobody listens there any more")


def test_after_a_reload_of_the_new_one_too(run):
    """The old process still holds the sockets while it drains; they must not go on living for that."""
    two = HELLO.replace('[{address: "@listen@"}]', '[{address: "@listen@"}, {address: "@listen2@"}]')
    proxy = run(two.replace("3s", "15s"))
    with Client(proxy.address) as idle:  # keeps the old one alive
        assert idle.get().status == 200
        old = proxy.upgraded()
        proxy.write(HELLO)
        proxy.signal(signal.SIGHUP)
        eventually(lambda: refuses(proxy.names["listen2"]))
        assert process.alive(old)
        proxy.signal(signal.SIGTERM)
        eventually(lambda: refuses(proxy.address))


def refuses(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) != 0


def test_unix_sockets_keep_their_file(run):
    proxy = run(HELLO.replace("@listen@", "unix:@dir@/web.sock"))
    path = os.path.join(proxy.dir, "web.sock")
    for _ in range(2):
        old = proxy.upgraded()
        eventually(lambda: not process.alive(old))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(path)
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert s.makefile("rb").read().endswith(b"hello")
    proxy.stop()
    assert not os.path.exists(path)


# ---------------------------------------------------------------- what is under way


def test_an_idle_connection_has_one_more_answer(run):
    """It is not closed under a client that may be sending: the next answer says that it was the last."""
    proxy = run(HELLO.replace("3s", "20s"))
    with Client(proxy.address) as idle:
        assert idle.get().status == 200
        old = proxy.upgraded()
        time.sleep(0.3)
        assert process.alive(old)
        last = idle.get()
        assert (last.status, last.body, last.get("connection")) == (200, b"hello", "close")
        assert idle.is_closed()
    eventually(lambda: not process.alive(old), 5, "nobody is left to stay for")


def test_downloads_and_requests_finish(stage, run):
    go = threading.Event()

    def answer(conn, request):
        assert go.wait(seconds(30))
        conn.respond(200, body=b"x" * 3_000_000)

    origin = stage.origin(serve_forever(answer))
    proxy = run(site(origin, process={"drain": "20s"}))
    with Client(proxy.address) as busy:
        busy.request()
        origin.wait_requests(1)
        proxy.upgraded()
        go.set()
        assert len(busy.response().body) == 3_000_000


def test_tls_sessions_are_resumed_by_the_new_process(stage, run):
    certificate = Authority(stage.folder()).issue("site", ["localhost"])
    proxy = run(HELLO.replace('"@listen@"', '"@listen@", tls: {certificates: [{certificate: %s, key: %s}]}' %
                              (certificate.chain, certificate.key)))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def visit(session=None):
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as raw:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
                s.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                assert s.recv(100).startswith(b"HTTP/1.1 200")
                return s.session, s.session_reused

    session, reused = visit()
    assert not reused
    old = proxy.upgraded()
    eventually(lambda: not process.alive(old))
    assert visit(session)[1], "the ticket is good at the new process too"
    worker = process.children(proxy.main())[0]
    os.kill(worker, signal.SIGKILL)
    assert visit(session)[1], "and at a worker that replaced one that died"


# ---------------------------------------------------------------- a new program that fails


@pytest.mark.parametrize("program, why", [
    (REFUSED, "cannot be executed"),
    (b"#!/bin/sh\nexit 3\n", "status 3"),
    (b"#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
    (b"#!/bin/sh\nexec sleep 60\n", "not ready in time"),
    (None, "not there any more"),
])
def test_a_bad_program_changes_nothing(run, program, why):
    proxy = run(HELLO)
    with Client(proxy.address) as client:
        assert client.get().status == 200
        if program is None:
            os.unlink(proxy.program)
        else:
            proxy.replace_program(program)
        done = proxy.upgrade(within=2)
        assert done.returncode == 1 and why in done.stderr and why in proxy.stderr
        assert client.get().body == b"hello"  # the same connection goes on
    assert proxy.main() == proxy.popen.pid
    proxy.replace_program()
    proxy.upgraded()  # and nothing is in the way of a good one


def test_a_bad_configuration_changes_nothing(run):
    text = HELLO.replace("listeners: [", 'listeners: [{address: "unix:@dir@/web.sock"}, ')
    proxy = run(text)
    for _ in range(2):  # the control socket is still there after the first
        proxy.write("listeners: [oops\n")
        done = proxy.upgrade()
        assert done.returncode == 1 and "refuses the configuration" in done.stderr
        assert get(proxy.address).body == b"hello" and proxy.main() == proxy.popen.pid
        assert os.path.exists(os.path.join(proxy.dir, "web.sock"))
    proxy.write(text)
    proxy.upgraded()
    assert get(proxy.address).body == b"hello"


def test_an_address_in_use_changes_nothing(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        proxy = run(HELLO)
        proxy.write(HELLO.replace("listeners: [", 'listeners: [{address: "127.0.0.1:%d"}, ' % other.getsockname()[1]))
        done = proxy.upgrade()
        assert done.returncode == 1 and "status 1" in done.stderr and "cannot listen" in proxy.stderr
        assert get(proxy.address).body == b"hello"
    proxy.upgraded()


def test_one_at_a_time(run):
    proxy = run(HELLO)
    proxy.replace_program(b"#!/bin/sh\nexec sleep 60\n")
    first = subprocess.Popen([BINARY, "upgrade", "--control", proxy.control, "--within", "2"],
                             stderr=subprocess.PIPE, text=True, env=environment())
    eventually(lambda: "upgrading:" in proxy.stderr)
    done = proxy.upgrade()
    assert done.returncode == 1 and "under way" in done.stderr
    assert first.wait(seconds(10)) == 1
    assert "in time" in first.communicate()[1]


def test_without_a_control_socket_it_says_so():
    done = subprocess.run([BINARY, "upgrade", "--control", "/tmp/nobody-is-here"], stderr=subprocess.PIPE, text=True,
                          env=environment(), timeout=20)
    assert done.returncode == 1 and "nobody listens" in done.stderr


# ---------------------------------------------------------------- by the API

WITH_API = HELLO + 'admin: {listen: "unix:@dir@/admin.sock", state: "@dir@/state"}\n'
SLOW = b"#!/bin/sh\nsleep %d\nexec %s \"$@\"\n"


def upgrade_by_api(proxy, *args, timeout=20):
    return command("upgrade", *args, timeout=timeout, env={"MAITRED_ADMIN": f"unix:{proxy.dir}/admin.sock"})


def ended(proxy):
    """The state of the last upgrade, once that is over."""
    return eventually(lambda: (s := api_of(proxy).get("/v1/upgrade").good)["state"] != "running" and s, 20)


def test_the_api_hands_the_time_on(run):
    """A program that is too slow is not waited for in vain, and does not take over later."""
    proxy = run(WITH_API)
    proxy.replace_program(SLOW % (4, BINARY.encode()))
    done = upgrade_by_api(proxy, "--within", "1")
    assert done.returncode == 1 and "not ready in time; the old process goes on" in done.stderr
    assert len(process.children(proxy.popen.pid)) == 1  # the worker: nothing else is on its way
    done = upgrade_by_api(proxy, "--within", "20", timeout=40)
    assert done.returncode == 0 and str(proxy.main()) in done.stdout and proxy.main() != proxy.popen.pid


@pytest.mark.parametrize("program, why", [
    (b"#!/bin/sh\nexit 7\n", "ended before it was ready, with status 7"),
    (None, "not there any more"),
])
def test_the_api_names_the_reason_at_once(run, program, why):
    proxy = run(WITH_API)
    if program is None:
        os.unlink(proxy.program)
    else:
        proxy.replace_program(program)
    began = time.monotonic()
    done = upgrade_by_api(proxy)
    assert done.returncode == 1 and why in done.stderr and time.monotonic() - began < seconds(10)
    state = api_of(proxy).get("/v1/upgrade").good
    assert state["state"] == "failed" and why in state["why"]


def test_the_api_tells_of_a_bad_configuration(run):
    proxy = run(WITH_API)
    proxy.write("listeners: [oops\n")
    done = upgrade_by_api(proxy)
    assert done.returncode == 1 and "refuses the configuration" in done.stderr


def test_the_api_tells_of_the_last_upgrade(run):
    proxy = run(WITH_API)
    api = api_of(proxy)
    assert api.get("/v1/upgrade").good == {"state": "none"}
    assert api.post("/v1/upgrade", within="0s").refused(400)
    assert api.post("/v1/upgrade", within="soon").refused(400)
    proxy.replace_program(SLOW % (2, BINARY.encode()))
    began = api.ask("POST", "/v1/upgrade", within="20s")
    assert began.status == 202 and began.json["state"] == "running"
    assert api.get("/v1/upgrade").good == began.json
    second = upgrade_by_api(proxy)
    assert second.returncode == 1 and "an upgrade is under way already" in second.stderr
    assert "under way already" in api.post("/v1/upgrade").refused(409)["detail"]
    assert ended(proxy) == {"state": "done", "pid": began.json["pid"]}
    assert proxy.main() == began.json["pid"]
    proxy.write("listeners: [oops\n")
    proxy.signal(signal.SIGUSR2)  # it does not matter who began it
    eventually(lambda: api.get("/v1/upgrade").good["state"] == "failed")


# ---------------------------------------------------------------- what operators have changed


def test_changes_of_servers_and_of_the_log_go_on(stage, run):
    one, two, three, more = fleet(stage, "abcd")
    proxy = run(site(one, two, three, admin=admin(), process={"drain": "1s"}))
    path = "/v1/upstreams/app/servers"

    def servers():
        return {s["address"]: (s["state"], s["weight"]) for s in api_of(proxy).get(path).good["servers"]}

    api = api_of(proxy)
    api.patch(f"{path}/{one.address}", {"state": "maintenance"}).good
    api.patch(f"{path}/{two.address}", {"weight": 7}).good
    api.delete(f"{path}/{three.address}").good
    api.post(path, {"address": more.address, "weight": 3}).good
    api.put("/v1/log", {"level": "debug"}).good
    expected = {one.address: ("maintenance", 1), two.address: ("up", 7), more.address: ("up", 3)}
    assert servers() == expected
    for _ in range(2):  # the one that was handed them hands them on
        old = proxy.upgraded()
        eventually(lambda: not process.alive(old), 20)
        assert servers() == expected and api.get("/v1/log").good == {"level": "debug"}
        assert {get(proxy.address).get("x-origin") for _ in range(40)} == {"b", "d"}
    worker = process.children(proxy.main())[0]
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: process.children(proxy.main()) not in ([], [worker]) and os.path.exists(f"{proxy.dir}/admin.sock"))
    assert eventually(servers, what="the API again") == expected and api.get("/v1/log").good == {"level": "debug"}
    api.delete(f"{path}/{one.address}", forget="1").good
    api.post("/v1/reload").good
    proxy.upgraded()
    assert servers()[one.address] == ("up", 1) and servers()[more.address] == ("up", 3)
    assert api.get("/v1/log").good == {"level": "info"}, "it was changed until the next reload"


def test_a_change_that_comes_too_late_is_told(run):
    proxy = run(WITH_API)
    proxy.replace_program(b"#!/bin/sh\nexec sleep 60\n")
    api_of(proxy).put("/v1/log", {"level": "info"}).good
    assert "does not know of this change" not in proxy.stderr
    api_of(proxy).post("/v1/upgrade", within="1s").good
    api_of(proxy).put("/v1/log", {"level": "debug"}).good
    assert "does not know of this change" in proxy.stderr
    assert ended(proxy)["state"] == "failed"


def test_changes_of_an_upstream_that_is_gone(stage, run):
    one, two = fleet(stage, "ab")
    proxy = run(site(one, admin=admin(), process={"drain": "1s"}))
    api_of(proxy).patch(f"/v1/upstreams/app/servers/{one.address}", {"weight": 7}).good
    proxy.write(site(two, admin=admin(), process={"drain": "1s"}).replace("app", "other"))
    proxy.upgraded()
    assert "changes of servers are lost" in proxy.stderr and get(proxy.address).get("x-origin") == "b"


# ---------------------------------------------------------------- violence


def test_the_new_process_is_killed_while_it_starts(run):
    proxy = run(HELLO)
    worker = process.children(proxy.popen.pid)
    proxy.replace_program(b"#!/bin/sh\nexec sleep 60\n")
    for times in range(1, 4):
        proxy.signal(signal.SIGUSR2)
        child = eventually(lambda: [c for c in process.children(proxy.popen.pid) if c not in worker])
        os.kill(child[0], signal.SIGKILL)
        eventually(lambda: process.children(proxy.popen.pid) == worker)
        eventually(lambda: proxy.stderr.count("ended by signal 9") == times)
        assert get(proxy.address).body == b"hello"
        assert proxy.main() == proxy.popen.pid


def test_the_new_process_is_killed_after_it_took_over(run):
    """As long as the old one is there, it serves again."""
    proxy = run(HELLO.replace("3s", "20s"))
    with Client(proxy.address) as idle:
        assert idle.get().status == 200
        old = proxy.upgraded()
        os.kill(proxy.main(), signal.SIGKILL)
        assert get(proxy.address).body == b"hello"
        eventually(lambda: proxy.main() == old, 10, "the pid file names the old one again")
        assert "serves again" in proxy.stderr
        assert idle.get().status == 200
    eventually(lambda: proxy.stderr.count("ready: listening on") == 3)
    proxy.upgraded()
    assert get(proxy.address).body == b"hello"


def test_the_old_process_is_killed_while_the_new_one_starts(run):
    proxy = run(HELLO)
    old = proxy.popen.pid
    slow = b"#!/bin/sh\nsleep 1\nexec %s \"$@\"\n" % BINARY.encode()
    proxy.replace_program(slow)
    proxy.signal(signal.SIGUSR2)
    eventually(lambda: len(process.children(old)) == 2)
    os.kill(old, signal.SIGKILL)
    proxy.popen.wait()
    eventually(lambda: proxy.main() != old, 15, "the new one takes over all the same")
    assert get(proxy.address).body == b"hello"


def test_the_old_process_is_killed_while_it_drains(run):
    proxy = run(HELLO.replace("3s", "20s"))
    with Client(proxy.address) as idle:
        assert idle.get().status == 200
        old = proxy.upgraded()
        os.kill(old, signal.SIGKILL)
        for _ in range(20):
            assert get(proxy.address).body == b"hello"


# ---------------------------------------------------------------- service managers


class Manager:
    """The socket on which a service manager hears of its service."""

    def __init__(self, path):
        self.path, self.said = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def all(self):
        while True:
            try:
                self.said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return "\n".join(self.said)

    def hears(self, words):
        eventually(lambda: words in self.all(), 10, words)


def test_a_service_manager_is_told(stage, run):
    manager = Manager(os.path.join(stage.folder(), "notify"))
    proxy = run(HELLO, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    manager.hears("READY=1\nSTATUS=Serving on " + proxy.address)
    manager.hears("WATCHDOG=1")
    proxy.signal(signal.SIGHUP)
    manager.hears("RELOADING=1\nMONOTONIC_USEC=")
    eventually(lambda: manager.all().rfind("READY=1") > manager.all().rfind("RELOADING=1"))
    proxy.write("listeners: [oops\n")
    proxy.signal(signal.SIGHUP)
    manager.hears("STATUS=Configuration unchanged")
    proxy.write(HELLO)
    proxy.upgraded()
    manager.hears(f"MAINPID={proxy.main()}")
    proxy.signal(signal.SIGTERM)
    manager.hears("STOPPING=1")


def test_the_watchdog_is_not_fed_when_a_thread_hangs(stage, run):
    manager = Manager(os.path.join(stage.folder(), "notify"))
    proxy = run(HELLO, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    manager.hears("WATCHDOG=1")
    worker = process.children(proxy.main())[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(0.3)
    manager.all()
    manager.said.clear()
    time.sleep(1)
    assert "WATCHDOG" not in manager.all()
    os.kill(worker, signal.SIGCONT)
    manager.hears("WATCHDOG=1")


@pytest.mark.parametrize("upgrade", [False, True])
def test_activated_by_a_socket(stage, upgrade):
    """Descriptor 3 listens already, as sd_listen_fds(3) has it; who is in its queue is served."""
    listener = stage.use(socket.create_server(("127.0.0.1", 0)))
    address = "127.0.0.1:%d" % listener.getsockname()[1]
    waiting = stage.use(Client(address))
    waiting.request()
    # The shell knows its own process id, which becomes the program's.
    shell = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@"', "sh"]
    proxy = stage.use(Upgradable(HELLO.replace("@listen@", address), wrap=shell, close_fds=False,
                                 before=lambda: os.dup2(listener.fileno(), 3)))
    assert waiting.response().body == b"hello"
    if upgrade:
        old = proxy.upgraded()
        eventually(lambda: not process.alive(old))
    for _ in range(10):
        assert get(address).body == b"hello"


# ---------------------------------------------------------------- the figure


class WebSockets:
    """Sockets that stay open and talk; when the proxy ends one at the end of its drain time, that is told."""

    def __init__(self, address, count):
        self.address, self.count = address, count
        self.turns, self.ended, self.failed = 0, 0, []
        self.loop = asyncio.new_event_loop()
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping = True
        self.thread.join(seconds(30))

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.gather(*(self._talk() for _ in range(self.count))))

    async def _talk(self):
        while not self.stopping:
            try:
                async with websockets.connect(f"ws://{self.address}/ws", ping_interval=None) as s:
                    began = time.monotonic()
                    while not self.stopping:
                        await s.send("x")
                        assert await asyncio.wait_for(s.recv(), 10) == "x"
                        self.turns += 1
                        await asyncio.sleep(0.05)
            except websockets.ConnectionClosed:
                self.ended += 1
                if time.monotonic() - began < 3:
                    self.failed.append("ended before the drain time")
            except Exception as problem:  # noqa: BLE001 (all of them are failures)
                self.failed.append(repr(problem))
                return


class Newcomers:
    """A new connection for each request."""

    def __init__(self, address):
        self.address, self.done, self.failed = address, 0, []
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping = True
        self.thread.join(seconds(20))

    def _run(self):
        while not self.stopping:
            try:
                assert get(self.address, "/x").body == b"small"
                self.done += 1
            except Exception as problem:  # noqa: BLE001
                self.failed.append(repr(problem))


class Downloads:
    """Long answers, read slowly; each must be whole."""

    def __init__(self, address, count, body):
        self.address, self.done, self.failed = address, 0, []
        self.sum, self.stopping = hashlib.sha256(body).digest(), False
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping = True
        for thread in self.threads:
            thread.join(seconds(30))

    def _run(self):
        host, port = self.address.rsplit(":", 1)
        while not self.stopping:
            try:
                with socket.create_connection((host, int(port)), 10) as s:
                    s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    file, got = s.makefile("rb"), hashlib.sha256()
                    while file.readline() not in (b"\r\n", b""):
                        pass
                    while piece := file.read(200_000):
                        got.update(piece)
                        time.sleep(0.05)
                    assert got.digest() == self.sum
                    self.done += 1
            except Exception as problem:  # noqa: BLE001
                self.failed.append(repr(problem))


def test_upgrades_under_load(stage, run):
    """Upgrades under keep-alive clients, newcomers, WebSockets and downloads: nothing fails.  With
    MAITRED_FULL=1 every five seconds for a minute."""
    upgrades, every = (12, 5) if FULL else (4, 1)
    big = os.urandom(1 << 20) * 8

    def answer(conn, request):
        conn.respond(200, body=big if request.target == "/big" else b"small")

    from test_upgrade import WebSocketServer
    echo = stage.use(WebSocketServer())
    origin = stage.origin(serve_forever(answer))
    proxy = run(site(origin, process={"drain": "5s"}, upstreams={
        "app": {"servers": [origin.address]}, "echo": {"servers": [echo.address]}},
        routes=[{"path": "/ws", "to": "echo"}, {"to": "app"}]))
    with Load(proxy.address, connections=16, pause=0.002) as load, Newcomers(proxy.address) as newcomers, \
            WebSockets(proxy.address, 20) as sockets, Downloads(proxy.address, 3, big) as downloads:
        for _ in range(upgrades):
            time.sleep(every)
            proxy.upgraded()
        time.sleep(1)
    print(f"upgrades: {upgrades}; kept connections: {load.summary()}; new connections: {newcomers.done}, "
          f"{len(newcomers.failed)} failed; WebSockets: {sockets.turns} turns, {sockets.ended} ended by drain time, "
          f"{len(sockets.failed)} failed; downloads: {downloads.done}, {len(downloads.failed)} failed")
    assert not load.failed, load.failed[:5]
    assert not newcomers.failed, newcomers.failed[:5]
    assert not sockets.failed, sockets.failed[:5]
    assert not downloads.failed, downloads.failed[:5]
    assert load.done > 200 and newcomers.done > 50 and sockets.turns > 50 and downloads.done > 2
    assert len(proxy.seen) == upgrades + 1
