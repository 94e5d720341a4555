# SPDX-License-Identifier: Apache-2.0
"""The proxy under test, as an object.

    with Maitred(site(origin)) as proxy:
        get(proxy.address, "/")

The binary is the one that MAITRED names, by default build/maitred.  stop() asserts what must hold for
every test: exit status 0 after SIGTERM, the same worker process all along, and not a word from a
sanitizer.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import yaml

from support import process
from support.ports import free_port
from support.wait import eventually, seconds

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("MAITRED", os.path.join(ROOT, "build", "maitred")))
COMPLAINTS = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|UndefinedBehaviorSanitizer"
    r"|runtime error:|assertion .*failed|Assertion .*failed", re.I)
ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:quarantine_size_mb=16:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0",
}


def sanitized():
    """True when the binary was built with a sanitizer: then memory figures mean nothing."""
    with open(BINARY, "rb") as file:
        text = file.read()
    return b"__asan_init" in text or b"__tsan_init" in text


def environment(more=None):
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    for name, value in ENVIRONMENT.items():
        env.setdefault(name, value)
    env.update(more or {})
    return env


def command(*args, timeout=20, env=None, **more):
    """Runs `maitred ARGS` to its end; text output."""
    return subprocess.run([BINARY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=seconds(timeout), env=environment(env), **more)


def folder():
    """A new folder that the unprivileged worker may write to as well."""
    path = tempfile.mkdtemp(prefix="maitred-e2e-")
    os.chmod(path, 0o777)
    return path


def to_yaml(tree):
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)


def address_of(server):
    """What a configuration writes for an origin object, an address or a server's options."""
    if isinstance(server, dict):
        return {**server, "address": address_of(server["address"])}
    return getattr(server, "address", server)


def site(*servers, use=None, route=None, routes=None, listener=None, upstream=None, process=None, log=True,
         timeouts=None, **top):
    """
    The text of a small configuration: one listener, one upstream `app` of these servers, one route to
    it, an access log in JSON.  @listen@ and @dir@ are replaced when the proxy is started.
    """
    use = list(use or [])
    if timeouts:
        use.append({"timeouts": timeouts})
    tree = {
        "process": {"drain": "3s", **(process or {})},
        "listeners": [{"address": "@listen@", **(listener or {})}],
    }
    if servers:
        tree["upstreams"] = {"app": {"servers": [address_of(s) for s in servers], **(upstream or {})}}
    if routes is None:
        routes = [{**({"use": use} if use else {}), **(route or {}), **({"to": "app"} if servers else {})}]
    tree["routes"] = routes
    if log:
        tree["access_log"] = [{"to": "@dir@/access.json", "format": "json"}]
    tree.update(top)
    return to_yaml(tree)


class Maitred:
    """
    A running proxy.  text: its configuration, in which @listen@, @listen2@... become free loopback
    addresses, @dir@ the proxy's folder and @NAME@ the address of the origin given as NAME=.  before runs
    in the child before the program does (preexec_fn), wrap is a command in front of it.
    """

    def __init__(self, text=None, *, args=None, workers=2, env=None, before=None, wrap=(), start=True,
                 stdout=None, **names):
        self.dir = folder()
        self.names = {"dir": self.dir, **{k: address_of(v) for k, v in names.items()}}
        self.config = os.path.join(self.dir, "site.yaml")
        self.stderr_path = os.path.join(self.dir, "stderr")
        self.stdout_path = os.path.join(self.dir, "stdout")
        self.args, self.workers, self.env, self.before, self.out = args, workers, env, before, stdout
        self.wrap = list(wrap)
        self.popen = self.worker = None
        self.worker_may_die = False
        self.reloaded = 0
        if text is not None:
            self.write(text)
        if start:
            self.start()

    # ---------------------------------------------------------------- configuration

    def fill_in(self, text):
        """Replaces @NAME@."""

        def value(found):
            name = found[1]
            if name not in self.names:
                assert name.startswith("listen"), f"what is @{name}@?"
                self.names[name] = f"127.0.0.1:{free_port()}"
            return self.names[name]

        return re.sub(r"@([a-z]+[0-9]*)@", value, text)

    def write(self, text):
        with open(self.config, "w") as file:
            file.write(self.fill_in(text))
        os.chmod(self.config, 0o644)

    @property
    def address(self):
        return self.names["listen"]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def url(self, path="/", listen="listen"):
        return f"http://{self.names[listen]}{path}"

    # ---------------------------------------------------------------- life

    def start(self):
        args = self.args or ["run", "-c", self.config, "--workers", str(self.workers)]
        args = [self.fill_in(a) for a in args] + os.environ.get("MAITRED_ARGS", "").split()
        with open(self.stderr_path, "wb") as err, open(self.stdout_path, "wb") as out:
            self.popen = subprocess.Popen([*self.wrap, BINARY, *args], stdin=subprocess.DEVNULL,
                                          stdout=out if self.out is None else self.out, stderr=err,
                                          env=environment(self.env), preexec_fn=self.before)
        eventually(self._is_ready, 15, "ready: listening on")
        self.worker = self.worker_pid()

    def _is_ready(self):
        if "ready: listening on" in self.stderr:
            return True
        if self.popen.poll() is not None:
            code, said = self.popen.returncode, self.stderr
            self.clean()
            raise AssertionError(f"maitred ended with {code}:\n{said}")
        return False

    @property
    def pid(self):
        return self.popen.pid

    def worker_pid(self):
        """Process id of the worker: the supervisor's only child."""
        pids = process.children(self.pid)
        assert len(pids) == 1, f"workers: {pids}\n{self.stderr}"
        return pids[0]

    @property
    def stderr(self):
        with open(self.stderr_path, errors="replace") as file:
            return file.read()

    @property
    def stdout(self):
        with open(self.stdout_path, errors="replace") as file:
            return file.read()

    def signal(self, number):
        os.kill(self.pid, number)

    def reload(self, text=None, good=True):
        """
        SIGHUP, and waits for what the proxy says to it; gives the new part of stderr.  At most eight a
        second: of each message only ten a second are written.
        """
        if text is not None:
            self.write(text)
        time.sleep(max(0, self.reloaded + 0.125 - time.monotonic()))
        self.reloaded = time.monotonic()
        old = len(self.stderr)
        self.signal(signal.SIGHUP)
        want = "configuration loaded" if good else "configuration unchanged"
        other = "configuration unchanged" if good else "configuration loaded"

        def said():
            new = self.stderr[old:]
            assert other not in new, new
            return want in new

        eventually(said, 15, f"`{want}` after SIGHUP")
        return self.stderr[old:]

    def stop(self):
        """SIGTERM, and what must hold for every run."""
        if self.popen is None:
            self.clean()
            return
        try:
            if self.popen.poll() is None and self.worker is not None and not self.worker_may_die:
                assert self.worker_pid() == self.worker, f"the worker died:\n{self.stderr}"
            if self.popen.poll() is None:
                self.signal(signal.SIGTERM)
            self.finish()
        finally:
            self.clean()

    def finish(self, within=20):
        """Waits for the end after SIGTERM."""
        try:
            code = self.popen.wait(seconds(within))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {seconds(within)} s after SIGTERM:\n{self.stderr}") from None
        assert code == 0, f"exit status {code}:\n{self.stderr}"
        self.check_stderr()

    def check_stderr(self):
        assert not COMPLAINTS.search(self.stderr), self.stderr

    def clean(self):
        """Leaves nothing behind, whatever happened."""
        if self.popen is not None and self.popen.poll() is None:
            workers = process.children(self.pid)
            self.popen.kill()
            self.popen.wait()
            for pid in workers:
                if process.alive(pid):
                    os.kill(pid, signal.SIGKILL)
        self.popen = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind is None:
            self.stop()
        else:
            self.clean()

    # ---------------------------------------------------------------- access log

    def log_lines(self, file="access.json"):
        try:
            with open(os.path.join(self.dir, file), errors="surrogateescape") as lines:
                return [line for line in lines.read().split("\n") if line]
        except FileNotFoundError:
            return []

    def log(self, file="access.json"):
        """All records of the JSON access log so far."""
        return [json.loads(line) for line in self.log_lines(file)]

    def wait_log(self, n=1, within=10, file="access.json", **wanted):
        """The n-th record whose keys have these values; the worker hands its records over once a second."""

        def matching():
            return [r for r in self.log(file) if all(r.get(k) == v for k, v in wanted.items())]

        try:
            return eventually(lambda: matching()[n - 1:], within)[0]
        except AssertionError:
            raise AssertionError(f"no {n} records with {wanted} in the log: {self.log_lines(file)[-5:]}") from None

    # ---------------------------------------------------------------- figures

    def rss_kib(self):
        return process.kib(self.worker, "VmRSS")

    def peak_kib(self):
        return process.kib(self.worker, "VmHWM")

    def reset_peak(self):
        process.reset_peak(self.worker)


__all__ = ["BINARY", "ROOT", "Maitred", "address_of", "command", "folder", "sanitized", "site", "to_yaml"]
