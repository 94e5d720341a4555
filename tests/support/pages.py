# SPDX-License-Identifier: Apache-2.0
"""An origin whose pages a test writes down, and what a cache in front of it says.

    pages = Pages(stage)
    pages["/a"] = page("hello", ("Cache-Control", "max-age=60"))
    proxy = stage.proxy(pages.origin, use=["cache"])
    assert ask(proxy, "/a").cache["fwd"] == "uri-miss"
    assert ask(proxy, "/a").cache["hit"]
    assert pages.asked("/a") == 1
"""
import email.utils
import time

from support.client import get
from support.origin import serve_forever


def page(body="", *fields, status=200):
    """What Conn.respond() takes; fields are (name, value)."""
    return {"status": status, "fields": list(fields), "body": body.encode()}


def http_date(after_s=0):
    return email.utils.formatdate(time.time() + after_s, usegmt=True)


class Pages(dict):
    """By path (with its query): a page, or a function of (request, how many came before) that gives one."""

    def __init__(self, stage, **more):
        super().__init__()
        self.origin = stage.origin(serve_forever(self.answer), **more)
        self.requests = []

    def answer(self, conn, request):
        before = self.asked(request.target)
        self.requests.append(request)
        found = self.get(request.target)
        made = found(request, before) if callable(found) else found or page("nothing here", status=404)
        if request.method == "HEAD":
            made = {**made, "body": b"", "fields": [*made["fields"], ("Content-Length", str(len(made["body"])))]}
        conn.respond(**made)

    def of(self, path):
        return [r for r in list(self.requests) if r.target == path]

    def asked(self, path):
        """How often somebody came for it."""
        return len(self.of(path))

    def last(self, path):
        return self.of(path)[-1]


def read_cache_status(value):
    """The last member of Cache-Status: its parameters, with True for those without a value."""
    member = value.rsplit(", ", 1)[-1].split("; ")
    found = {"name": member[0], "hit": False, "stored": False, "collapsed": False, "fwd": None}
    for parameter in member[1:]:
        name, _, text = parameter.partition("=")
        found[name] = text.strip('"') if text else True
    return found


def ask(proxy, path="/", *fields, method="GET", **more):
    """One request; .cache says what the proxy's cache did."""
    response = get(proxy.address, path, list(fields), method=method, **more)
    said = response.get("cache-status")
    response.cache = read_cache_status(said) if said else None
    return response
