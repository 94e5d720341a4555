# SPDX-License-Identifier: Apache-2.0
"""The REST API of a running maitred, over its Unix socket or TCP.

    with Maitred(site(origin, admin=admin())) as proxy:
        api = Admin(f"{proxy.dir}/admin.sock")
        assert api.get("/v1/whoami").json["right"] == "admin"
        api.patch("/v1/config", {"process": {"drain": "1s"}}, comment="less patience").good
"""
import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlencode

from support.wait import seconds


def admin(**more):
    """The section of a configuration."""
    return {"listen": "unix:@dir@/admin.sock", "state": "@dir@/state", **more}


class _Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    @property
    def good(self):
        """The answer itself, which must be a success."""
        assert self.status < 300, f"{self.status}: {self.text}"
        return self.json if self.body else None

    def refused(self, status):
        """The problem (RFC 9457) that it must be."""
        assert self.status == status, f"{self.status}: {self.text}"
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == status
        return self.json


class Admin:
    """where: the path of a Unix socket, or host:port."""

    def __init__(self, where, token=None):
        self.where, self.token = where, token

    def _connection(self):
        timeout = seconds(20)
        if "/" in self.where:
            return _Unix(self.where, timeout)
        return http.client.HTTPConnection(self.where, timeout=timeout)

    def ask(self, method, path, body=None, kind=None, fields=None, **query):
        """body: text, or what becomes JSON.  kind: its media type.  query: parameters, None left out."""
        query = {k: v for k, v in query.items() if v is not None}
        headers = dict(fields or {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = kind or "application/json"
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        conn = self._connection()
        try:
            conn.request(method, path + ("?" + urlencode(query) if query else ""), body, headers)
            got = conn.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            conn.close()

    def get(self, path, **query):
        return self.ask("GET", path, **query)

    def post(self, path, body=None, **query):
        return self.ask("POST", path, body, **query)

    def put(self, path, body, **query):
        return self.ask("PUT", path, body, **query)

    def patch(self, path, body, kind="application/merge-patch+json", **query):
        return self.ask("PATCH", path, body, kind=kind, **query)

    def delete(self, path, **query):
        return self.ask("DELETE", path, **query)


def api_of(proxy, token=None):
    """Of a proxy with admin() in its configuration."""
    return Admin(f"{proxy.dir}/admin.sock", token)


__all__ = ["Admin", "Answer", "admin", "api_of"]
