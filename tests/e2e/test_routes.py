# SPDX-License-Identifier: Apache-2.0
"""Which route takes a request: every condition, their order, and many of them."""
import pytest

from support.client import Client, get
from support.maitred import Maitred
from support.wait import volume

ALL = """
listeners:
  - {address: "@listen@", name: public}
  - {address: "@listen2@", name: private, trusted_proxies: [127.0.0.1]}
routes:
  - {name: private, listener: private, path: /where, use: [{respond: {text: private}}]}
  - {name: exact host, host: www.example, use: [{respond: {text: exact host}}]}
  - {name: two hosts, host: [a.example, b.example], path: /both, use: [{respond: {text: two hosts}}]}
  - {name: wildcard, host: "*.wild.example", use: [{respond: {text: wildcard}}]}
  - {name: exact path, path: /login, use: [{respond: {text: exact path}}]}
  - {name: deeper, path: /api/v2/, use: [{respond: {text: deeper}}]}
  - {name: prefix, path: /api/, use: [{respond: {text: prefix}}]}
  - {name: starred, path: "/img*", use: [{respond: {text: starred}}]}
  - {name: regex, path_regex: '^/u/[0-9]+$', use: [{respond: {text: regex}}]}
  - {name: method, path: /method, method: [PUT, DELETE], use: [{respond: {text: method}}]}
  - {name: header, path: /h, header: {x-beta: '1', x-any: '*'}, use: [{respond: {text: header}}]}
  - {name: header regex, path: /h, header: {x-beta: '~^[0-9]{2,}$'}, use: [{respond: {text: header regex}}]}
  - {name: query, path: /q, query: {debug: '1'}, use: [{respond: {text: query}}]}
  - {name: query any, path: /q, query: {trace: '*'}, use: [{respond: {text: query any}}]}
  - {name: cookie, path: /c, cookie: {group: b}, use: [{respond: {text: cookie}}]}
  - {name: client, path: /client, client: [127.0.0.64/26, "2001:db8::/32"], use: [{respond: {text: client}}]}
  - {name: scheme, path: /scheme, scheme: https, use: [{respond: {text: scheme}}]}
  - {name: when, path: /when, when: "method in [GET, HEAD] && (header('x-n') >= 10 || query('q') contains 'z')", use: [{respond: {text: when}}]}
  - {name: first, path: /order, use: [{respond: {text: first}}]}
  - {name: second, path: /order, method: GET, use: [{respond: {text: second}}]}
  - {name: rest, path: /, method: GET, host: rest.example, use: [{respond: {text: rest}}]}
"""


@pytest.fixture(scope="module")
def proxy(module_stage):
    return module_stage.run(ALL)


@pytest.mark.parametrize("route, target, more", [
    ("exact host", "/", {"host": "www.example"}),
    ("exact host", "/api/", {"host": "WWW.Example:8080"}),
    ("exact host", "/", {"host": "www.example."}),
    ("two hosts", "/both", {"host": "b.example"}),
    (None, "/both", {"host": "c.example"}),
    (None, "/other", {"host": "a.example"}),
    ("wildcard", "/", {"host": "a.wild.example"}),
    ("wildcard", "/", {"host": "a.b.wild.example"}),
    (None, "/", {"host": "wild.example"}),
    (None, "/", {"host": "awild.example"}),
    ("exact path", "/login", {}),
    ("exact path", "/login?next=/", {}),
    (None, "/login/", {}),
    (None, "/login2", {}),
    ("prefix", "/api/", {}),
    ("prefix", "/api/x/y", {}),
    ("deeper", "/api/v2/x", {}),
    (None, "/api", {}),
    ("starred", "/img", {}),
    ("starred", "/imgs/x", {}),
    (None, "/images", {}),
    ("regex", "/u/42", {}),
    (None, "/u/42/", {}),
    ("method", "/method", {"method": "PUT"}),
    (None, "/method", {"method": "GET"}),
    ("header", "/h", {"fields": [("X-Beta", "1"), ("X-Any", "thing")]}),
    (None, "/h", {"fields": [("X-Beta", "1")]}),
    (None, "/h", {"fields": [("X-Beta", "2"), ("X-Any", "thing")]}),
    ("header regex", "/h", {"fields": [("X-Beta", "22")]}),
    ("query", "/q?a=b&debug=1", {}),
    ("query", "/q?%64ebug=%31", {}),
    (None, "/q?debug=2", {}),
    (None, "/q", {}),
    ("query any", "/q?trace", {}),
    ("cookie", "/c", {"fields": [("Cookie", "a=1; group=b")]}),
    (None, "/c", {"fields": [("Cookie", "group=c")]}),
    (None, "/c", {"fields": [("Cookie", "xgroup=b")]}),
    ("client", "/client", {"source": "127.0.0.65"}),
    (None, "/client", {}),
    (None, "/scheme", {}),
    ("when", "/when", {"fields": [("X-N", "11")]}),
    ("when", "/when?q=xyz", {}),
    (None, "/when?q=xy", {"fields": [("X-N", "9")]}),
    (None, "/when", {"fields": [("X-N", "word")]}),
    (None, "/when?q=z", {"method": "POST"}),
    ("first", "/order", {}),
    ("rest", "/anything/at/all", {"host": "rest.example"}),
    (None, "/where", {}),
])
def test_conditions(proxy, route, target, more):
    response = get(proxy.address, target, **more)
    if route is None:
        assert response.status == 404
    else:
        assert (response.status, response.body.decode()) == (200, route)


def test_listener(proxy):
    assert get(proxy.names["listen2"], "/where").body == b"private"


def test_scheme_by_a_trusted_proxy(proxy):
    assert get(proxy.names["listen2"], "/scheme", [("X-Forwarded-Proto", "https")]).body == b"scheme"


def test_the_log_names_the_route(proxy):
    get(proxy.address, "/login")
    text = ALL + "access_log: '@dir@/access.json'\n"
    with Maitred(text) as logged:
        get(logged.address, "/login")
        get(logged.address, "/nowhere")
        assert logged.wait_log(target="/login")["route"] == "exact path"
        record = logged.wait_log(target="/nowhere")
        assert (record["status"], record["reason"], record["blame"]) == (404, "no_route", "client")
        assert "route" not in record


def test_a_route_without_a_name_is_called_by_its_number(stage):
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
routes:
  - {path: /a, use: [{respond: {text: a}}]}
  - {path: /b, use: [{respond: {text: b}}]}
access_log: "@dir@/access.json"
""")
    get(proxy.address, "/b")
    assert proxy.wait_log()["route"] == "routes[1]"


def test_ten_thousand_hosts(stage):
    n = volume(10000, 1000)
    routes = "".join(f"  - {{host: host{i}.example, use: [{{respond: {{text: 'host {i}'}}}}]}}\n" for i in range(n))
    proxy = stage.run("listeners: [{address: '@listen@'}]\nroutes:\n" + routes)
    with Client(proxy.address) as client:
        for i in range(0, n, max(1, n // 100)):
            assert client.get(host=f"host{i}.example").body == b"host %d" % i
        assert client.get(host=f"host{n}.example").status == 404
    proxy.reload()
    assert get(proxy.address, host=f"host{n - 1}.example").body == b"host %d" % (n - 1)


def test_ten_thousand_paths(stage):
    n = volume(10000, 1000)
    routes = "".join(f"  - {{path: /p{i}/, use: [{{respond: {{text: 'path {i}'}}}}]}}\n" for i in range(n))
    proxy = stage.run("listeners: [{address: '@listen@'}]\nroutes:\n" + routes)
    with Client(proxy.address) as client:
        for i in range(0, n, max(1, n // 100)):
            assert client.get(f"/p{i}/x").body == b"path %d" % i
