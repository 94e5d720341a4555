# SPDX-License-Identifier: Apache-2.0
"""Origins that do exactly what a test tells them, and remember what they received.

    def script(conn):
        request = conn.read_request()
        conn.respond(200, body=b"hello")

    with Origin(script) as origin: ...

A script runs once for each connection, on a thread of its own, until it returns; then the connection
is closed.  What goes wrong inside a script because the peer left is the peer's business; any other
exception is kept in origin.failures, which the fixture checks at the end.
"""
import hashlib
import json
import os
import socket
import threading
import time

from support.wait import eventually, seconds
from support.wire import Closed, Request, Stream, encode


class Conn(Stream):
    """One connection that the origin accepted."""

    def __init__(self, origin, sock, number, peer):
        super().__init__(sock, timeout=30)
        self.origin, self.number, self.peer = origin, number, peer
        self.bytes = bytearray()  # the first ones of everything that came
        self.requests = 0
        self.sent = 0
        self.ended = None  # "end" or "reset", once the peer was seen to leave
        self.done = False  # the script has returned, or the peer has made it fail

    def fill(self, deadline=None):
        before = len(self.buffer)
        try:
            more = super().fill(deadline)
        except ConnectionResetError:
            self.ended = "reset"
            raise
        if not more:
            self.ended = "end"
        if len(self.bytes) < 1 << 20:
            self.bytes += self.buffer[before:]
        return more

    def read_request(self, body=True):
        """The next request (with its body, unless told otherwise); Closed when there is none."""
        request = self.read_head(Request)
        self.requests += 1
        self.origin.requests.append(request)
        if body:
            self.read_body(request)
        return request

    def read_body(self, request):
        """Reads the body and keeps only its length and hash."""
        digest, length, kept = hashlib.sha256(), 0, b""
        for piece in self.pieces(request):
            digest.update(piece)
            length += len(piece)
            if len(kept) < 65536:
                kept += piece
        request.body, request.length, request.sha256 = kept[:65536], length, digest.hexdigest()

    def respond(self, status=200, fields=(), body=b"", reason="Because"):
        """A complete response with Content-Length, unless the fields frame it otherwise."""
        names = {n.lower() for n, _ in fields}
        head = list(fields)
        if not names & {"content-length", "transfer-encoding"} and status not in (204, 304) and status >= 200:
            head.append(("Content-Length", str(len(body))))
        self.send(encode(f"HTTP/1.1 {status} {reason}", head, body))

    def send(self, data):
        super().send(data)
        self.sent += len(data)

    def wait_end(self, within=10):
        """Waits until the peer leaves, dropping what it still sends."""
        end = time.monotonic() + seconds(within)
        try:
            while self.fill(end):
                self.buffer = b""
        except ConnectionResetError:
            pass


def serve_forever(answer):
    """A script that answers every request of a connection by answer(conn, request)."""

    def script(conn):
        while True:
            request = conn.read_request()
            answer(conn, request)
            if (request.get("connection") or "").lower() == "close":
                return

    return script


def answer_echo(conn, request):
    """Says in JSON what has come."""
    told = {
        "method": request.method,
        "target": request.target,
        "version": request.version,
        "fields": request.fields,
        "length": request.length,
        "sha256": request.sha256,
        "trailers": request.trailers,
        "origin": conn.origin.name,
        "connection": conn.number,
    }
    conn.respond(200, [("Content-Type", "application/json")], json.dumps(told).encode())


def echoed(response):
    """The echo origin's account of a request, fields also as a dictionary of lists."""
    assert response.status == 200, (response.status, response.body)
    told = json.loads(response.body)
    told["by_name"] = {}
    for name, value in told["fields"]:
        told["by_name"].setdefault(name.lower(), []).append(value)
    return told


class Origin:
    """A server on a free loopback port, or on a Unix socket, that plays a script."""

    def __init__(self, script=None, name="origin", path=None, port=0, host="127.0.0.1", backlog=256,
                 accepting=True):
        self.script = script or serve_forever(answer_echo)
        self.name, self.host, self.path, self.backlog = name, host, path, backlog
        self.connections, self.requests, self.failures = [], [], []
        self.port = port
        self._lock = threading.Lock()
        self._threads = []
        self._listener = None
        self.start(accepting)

    @property
    def address(self):
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def start(self, accepting=True):
        """Listens, again on the same port after stop()."""
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if os.path.exists(self.path):
                os.unlink(self.path)
            self._listener.bind(self.path)
            os.chmod(self.path, 0o777)
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._listener = socket.socket(family, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((self.host, self.port))
            self.port = self._listener.getsockname()[1]
        self._listener.listen(self.backlog)
        if accepting:
            self._spawn(self._accept, self._listener)

    def _spawn(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            if listener is not self._listener:
                sock.close()
                return
            if not self.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = Conn(self, sock, len(self.connections), peer)
            self.connections.append(conn)
            self._spawn(self._play, conn)

    def _play(self, conn):
        try:
            self.script(conn)
        except (Closed, ConnectionError, BrokenPipeError, TimeoutError, OSError):
            pass
        except Exception as problem:  # told by the fixture
            self.failures.append(problem)
        finally:
            conn.close()
            conn.done = True

    def wait_connections(self, n, within=10):
        eventually(lambda: len(self.connections) >= n, within, f"{n} connections")
        return self.connections[n - 1]

    def wait_bodies(self, n, within=10):
        """The nth request, when the bodies of so many are here."""
        def whole():
            return [r for r in self.requests if hasattr(r, "sha256")]
        eventually(lambda: len(whole()) >= n, within, f"{n} requests with their bodies")
        return whole()[n - 1]

    def wait_requests(self, n, within=10):
        eventually(lambda: len(self.requests) >= n, within, f"{n} requests")
        return self.requests[n - 1]

    def stop(self):
        """Stops listening and resets nothing; connections in use end when their scripts see it."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        for conn in self.connections:
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
