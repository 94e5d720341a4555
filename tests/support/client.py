# SPDX-License-Identifier: Apache-2.0
"""Clients: exact bytes over a socket, and curl."""
import re
import subprocess

from support.wait import seconds
from support.wire import Response, Stream, connect, encode


class Client(Stream):
    """A connection to the proxy over which a test says exactly what it means."""

    def __init__(self, address, source=None, timeout=10):
        super().__init__(connect(address, source, timeout), timeout)
        self.host = "example.test" if address.startswith("unix:") else address

    def request(self, method="GET", target="/", fields=(), body=None, version="HTTP/1.1", host=None):
        """Sends a request; Host and Content-Length are added where they are missing."""
        names = {n.lower() for n, _ in fields}
        head = [] if "host" in names else [("Host", host or self.host)]
        head += list(fields)
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            head.append(("Content-Length", str(len(body))))
        self.send(encode(f"{method} {target} {version}", head, body or b""))

    def response(self, method="GET"):
        """The next final response with its body; those before it are in .informational."""
        before = []
        while True:
            head = self.read_head(Response)
            if head.status >= 200 or head.status == 101:
                break
            before.append(head)
        head.informational = before
        if method != "HEAD" and head.status not in (101, 204, 304):
            head.body = b"".join(self.pieces(head, until_close=True))
        return head

    def get(self, target="/", fields=(), **more):
        self.request("GET", target, fields, **more)
        return self.response()


def get(address, target="/", fields=(), method="GET", source=None, **more):
    """One request over a connection of its own."""
    with Client(address, source) as client:
        client.request(method, target, list(fields) + [("Connection", "close")], **more)
        return client.response(method)


def exchange_bytes(address, data, timeout=10):
    """Sends exact bytes and gives everything that comes until the proxy closes."""
    with Client(address, timeout=timeout) as client:
        try:
            client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return client.read_all()


def status_of(answer):
    """Status of a raw answer; None when it is no response."""
    found = re.match(rb"HTTP/1\.1 (\d{3})(?: |\r)", answer)
    return int(found[1]) if found else None


class Curl:
    """What curl saw: exit status, and of the last response status, fields and body."""

    def __init__(self, done):
        self.exit, self.error = done.returncode, done.stderr.decode("latin-1")
        head, self.body = b"", done.stdout
        while re.match(rb"HTTP/[\d.]+ \d{3}", self.body):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        self.message = Response(head) if head else None
        self.status = self.message.status if self.message else None

    @property
    def text(self):
        return self.body.decode()

    def get(self, name, default=None):
        return self.message.get(name, default)


def curl(*args, timeout=30):
    """Runs Debian's curl with -i; never consults ~/.curlrc or proxies of the environment."""
    done = subprocess.run(["curl", "-q", "--noproxy", "*", "-sS", "-i", "--max-time", str(seconds(timeout)), *args],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds(timeout) + 10)
    return Curl(done)
