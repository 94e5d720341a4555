# SPDX-License-Identifier: Apache-2.0
"""Servers as processes of their own, which can be killed, stopped, and told to behave badly.

    a, b, c = fleet(stage, "abc")
    proxy = stage.proxy(a, b, c)
    a.kill(); a.start()              # SIGKILL, and again on the same port
    b.pause(); b.resume()            # SIGSTOP, SIGCONT
    c.set(play="hang")               # fleet_server.py says what there is
    c.tell()["requests"]             # what it has seen since it was started

Each answers by its name.  For scripts that need no process see support/origin.py.
"""
import json
import os
import signal
import subprocess
import sys

from support.client import get
from support.ports import free_port
from support.wait import readable, seconds

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fleet_server.py")
STATUS = {"path": "/status", "use": ["status"]}


class Server:
    def __init__(self, name, host="127.0.0.1", port=None, **settings):
        self.name, self.host, self.settings, self.port = name, host, settings, port or free_port()
        self.address = f"{host}:{self.port}"
        self.popen = None
        self.start()

    def start(self):
        self.popen = subprocess.Popen([sys.executable, PROCESS, self.host, str(self.port), self.name],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()
        self.set(**self.settings)

    def _answer(self):
        """One line; a server that was paused has none."""
        ready = readable(self.popen.stdout, seconds(10))
        line = self.popen.stdout.readline() if ready else b""
        assert line, f"server {self.name} says nothing"
        return json.loads(line)

    def _say(self, wish):
        self.popen.stdin.write(json.dumps(wish).encode() + b"\n")
        self.popen.stdin.flush()
        return self._answer()

    def set(self, **settings):
        """Counts from the next request on, and after a restart too."""
        self.settings = {**self.settings, **settings}
        self._say(settings)

    def tell(self):
        return self._say({"tell": True})

    @property
    def requests(self):
        return self.tell()["requests"]

    def kill(self):
        self.popen.kill()
        self._forget()

    def _forget(self):
        self.popen.wait(seconds(10))
        self.popen.stdin.close()
        self.popen.stdout.close()

    def pause(self):
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self):
        self.popen.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.popen.poll() is None:
            self.kill()


def fleet(stage, names, **settings):
    """One server for each name (letter)."""
    return [stage.use(Server(name, **settings)) for name in names]


def with_status(*routes):
    """`routes` for support.maitred.site(): /status tells of the upstreams, all else goes to `app`."""
    return [STATUS, *(routes or ({"to": "app"},))]


def status(proxy, upstream="app"):
    """What the proxy tells of an upstream; its servers by address."""
    response = get(proxy.address, "/status")
    assert response.status == 200, response.body
    told = next(u for u in json.loads(response.body)["upstreams"] if u["name"] == upstream)
    told["servers"] = {s["address"]: s for s in told["servers"]}
    return told


def states(proxy, *servers):
    """The states of servers, in their order."""
    told = status(proxy)["servers"]
    return [told[s.address]["state"] for s in servers]
