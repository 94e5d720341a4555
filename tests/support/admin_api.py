# SPDX-License-Identifier: Apache-2.0
"""
A stand-in for maitred's admin API, that says what a test wants and remembers what it was asked.

    with AdminApi() as api:
        api.say("GET", "/v1/log", {"level": "info"})
        command("log-level", *api.options)
        assert api.asked[-1].path == "/v1/log"

It listens on a Unix socket, or on TCP with or without TLS.
"""
import http.server
import json
import os
import shutil
import socketserver
import tempfile
import threading
from dataclasses import dataclass

TICK = {
    "at": 1763765400, "requests": 1234, "rate": 12.5, "errors": 1, "p50_us": 1500, "p90_us": 4000,
    "p99_us": 25000, "bytes_in": 2048, "bytes_out": 3 * 1024 * 1024, "connections": 42, "tunnels": 0,
    "hits": 30, "misses": 10, "statuses": {"1xx": 0, "2xx": 11, "3xx": 0, "4xx": 1, "5xx": 1},
    "reasons": {"server_timeout": 3}, "upstreams": {},
}


@dataclass
class Asked:
    """One request as it came."""
    method: str
    target: str
    headers: dict
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return self.target.partition("?")[2]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        api = self.server.api
        asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()},
                      self.rfile.read(length))
        api.asked.append(asked)
        if asked.path == "/v1/events":
            self._stream(api)
            return
        status, body, fields = api.answer_to(asked)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, api):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while not api.ended.is_set():
                self.wfile.write(f": hello\n\nevent: tick\ndata: {json.dumps(api.tick)}\n\n".encode())
                self.wfile.flush()
                api.ended.wait(0.1)
        except OSError:
            pass

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer


class _Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_):
        pass  # a client that does not trust us, or goes away


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class AdminApi:
    """tls: an ssl.SSLContext; tcp: listen on the loopback instead of a Unix socket."""

    def __init__(self, tcp=False, tls=None):
        self.dir = tempfile.mkdtemp(prefix="maitred-api-")
        self.path = os.path.join(self.dir, "admin.sock")
        self.asked, self.answers, self.tick = [], {}, dict(TICK)
        self.ended = threading.Event()
        self.server = _Tcp(("127.0.0.1", 0), _Handler) if tcp or tls else _Unix(self.path, _Handler)
        self.server.api = self
        self.scheme = "https" if tls else "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.tcp = bool(tcp or tls)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def address(self):
        if self.tcp:
            return f"{self.scheme}://localhost:{self.server.server_address[1]}"
        return f"unix:{self.path}"

    @property
    def options(self):
        return ["--admin", self.address]

    def say(self, method, path, body=None, status=200, **fields):
        """What to answer to it from now on; a dictionary or list becomes JSON."""
        if not isinstance(body, (bytes, str, type(None))):
            body = json.dumps(body)
            fields.setdefault("Content-Type", "application/json")
        raw = body.encode() if isinstance(body, str) else body or b""
        self.answers[method, path] = status, raw, {k.replace("_", "-"): v for k, v in fields.items()}

    def refuse(self, method, path, status, detail, errors=()):
        problem = {"type": "urn:maitred:problem:x", "title": "No", "status": status, "detail": detail}
        if errors:
            problem["errors"] = list(errors)
        self.say(method, path, problem, status, Content_Type="application/problem+json")

    def answer_to(self, asked):
        if (asked.method, asked.path) in self.answers:
            return self.answers[asked.method, asked.path]
        problem = {"title": "Not Found", "status": 404, "detail": f"nothing at {asked.path}"}
        return 404, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"}

    def last(self, method):
        """The latest request of that method."""
        return [a for a in self.asked if a.method == method][-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
        shutil.rmtree(self.dir, ignore_errors=True)
