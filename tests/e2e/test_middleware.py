# SPDX-License-Identifier: Apache-2.0
"""Each middleware by examples: configuration in, what server and client see out."""
import json
import re

import pytest

from support.client import Client, get
from support.origin import echoed, serve_forever
from support.wire import chunked


@pytest.fixture
def using(stage):
    """A proxy with this chain before an echo origin, or before one that answers with these fields."""

    def make(*chain, fields=None, status=200, **more):
        script = None
        if fields is not None:
            script = serve_forever(lambda conn, _: conn.respond(
                status, [(n, v.replace("@origin@", conn.origin.address)) for n, v in fields], b"body"))
        return stage.proxy(stage.origin(script), use=list(chain), **more)

    return make


# ---------------------------------------------------------------- headers


def test_headers_of_the_request(using):
    proxy = using({"headers": {"request": {
        "set": {"X-Set": "new", "X-Client": "${client.ip} asks ${host}${path}?${query}", "X-Name": "${header('x-in')}!"},
        "add": {"X-Add": "two"}, "remove": ["X-Remove"]}}})
    names = echoed(get(proxy.address, "/p?q=1", host="WWW.example", fields=[
        ("X-Set", "old"), ("x-set", "older"), ("X-Add", "one"), ("x-remove", "1"), ("X-In", "fred")]))["by_name"]
    assert names["x-set"] == ["new"] and names["x-add"] == ["one", "two"] and "x-remove" not in names
    assert names["x-client"] == ["127.0.0.1 asks www.example/p?q=1"] and names["x-name"] == ["fred!"]


def test_headers_of_the_response(using):
    proxy = using({"headers": {"response": {
        "set": {"X-Set": "new", "X-Status": "${status} from ${upstream}"}, "add": {"X-Add": "two"}, "remove": ["X-Gone"]}}},
        fields=[("X-Set", "old"), ("X-Add", "one"), ("X-Gone", "1"), ("X-Gone", "2")])
    response = get(proxy.address)
    assert response.all("x-set") == ["new"] and response.all("x-add") == ["one", "two"] and not response.has("x-gone")
    assert response.get("x-status") == "200 from app"


def test_headers_of_our_own_answers(stage):
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
routes:
  - use: [{headers: {response: {set: {X-Mine: "yes"}}}}, {respond: 404}]
""")
    assert get(proxy.address).get("x-mine") == "yes"


def test_headers_when(using):
    proxy = using({"headers": {"when": "path starts '/a/'", "request": {"set": {"X-A": "1"}}}},
                  {"headers": {"when": "status >= 400", "response": {"set": {"X-Bad": "1"}}}},
                  {"respond": {"status": 418, "text": "tea", "when": "path == '/tea'"}})
    assert echoed(get(proxy.address, "/a/"))["by_name"]["x-a"] == ["1"]
    response = get(proxy.address, "/b/")
    assert "x-a" not in echoed(response)["by_name"] and not response.has("x-bad")
    assert get(proxy.address, "/tea").get("x-bad") == "1"


def test_headers_cannot_be_split(using):
    """A decoded CR LF out of a query must not become a field of its own."""
    proxy = using({"headers": {"request": {"set": {"X-Q": "${query('q')}"}}, "response": {"set": {"X-R": "${query('q')}"}}}})
    response = get(proxy.address, "/?q=a%0d%0aX-Evil:%20b", fields=[("X-Q", "forged")])
    assert not response.has("x-evil")
    names = echoed(response)["by_name"]
    assert "x-evil" not in names and names.get("x-q") != ["forged"]


# ---------------------------------------------------------------- rewrite


@pytest.mark.parametrize("options, target, forwarded", [
    ({"prefix": {"from": "/api/", "to": "/"}}, "/api/x/y?z=1", "/x/y?z=1"),
    ({"prefix": {"from": "/api", "to": "/v2"}}, "/api/x", "/v2/x"),
    ({"prefix": {"from": "/api", "to": "/v2"}}, "/api", "/v2"),
    ({"prefix": {"from": "/api", "to": "/v2"}}, "/apis", "/apis"),
    ({"prefix": {"from": "/api/"}}, "/other/%41?q", "/other/%41?q"),
    ({"prefix": {"from": "/api/"}}, "/x/../api/y", "/y"),
    ({"prefix": {"from": "/api/"}}, "/%61pi/y", "/y"),
    ({"regex": r"^/u/(\d+)", "to": "/users/$1"}, "/u/42/name?x=1", "/users/42/name?x=1"),
    ({"regex": r"^/u/(\d+)", "to": "/users/$1"}, "/u/fred", "/u/fred"),
    ({"regex": r"^/(?<lang>[a-z]{2})/(.*)", "to": "/$2/${lang}"}, "/de/a/b", "/a/b/de"),
    ({"path": "/site${path}"}, "/x?y", "/site/x?y"),
    ({"path": "/p", "query": "h=${host}&${query}"}, "/x?y=1", "/p?h=www.example&y=1"),
    ({"query": ""}, "/x?y=1", "/x"),
    ({"path": "/q/${query('f')}"}, "/x?f=a%20b%3fc", "/q/a%20b%3Fc?f=a%20b%3fc"),
])
def test_rewrite(using, options, target, forwarded):
    assert echoed(get(using({"rewrite": options}).address, target, host="www.example"))["target"] == forwarded


def test_rewrite_host(using):
    proxy = using({"rewrite": {"host": "app.internal:8080"}})
    names = echoed(get(proxy.address, host="www.example"))["by_name"]
    assert names["host"] == ["app.internal:8080"] and names["x-forwarded-host"] == ["www.example"]


def test_rewrite_cannot_leave_its_folder(using):
    proxy = using({"rewrite": {"path": "/files/${query('f')}"}})
    for evil in ("../secret", "a/../../secret", "%2e%2e/secret", "..%2fsecret"):
        response = get(proxy.address, "/?f=" + evil.replace("%", "%25"))
        if response.status == 200:
            target = echoed(response)["target"]
            assert target.startswith("/files/") and ".." not in target.split("?")[0].split("/"), target


def test_rewrite_when(using):
    proxy = using({"rewrite": {"path": "/beta", "when": "cookie('beta') exists"}})
    assert echoed(get(proxy.address, "/x", [("Cookie", "beta=1")]))["target"] == "/beta"
    assert echoed(get(proxy.address, "/x"))["target"] == "/x"


# ---------------------------------------------------------------- redirect, respond


@pytest.mark.parametrize("options, target, status, location", [
    ("https", "/x?y=1", 308, "https://www.example/x?y=1"),
    ({"to": "https://other.example${uri}"}, "/x?y=1", 308, "https://other.example/x?y=1"),
    ({"to": "/new/", "status": 301}, "/old", 301, "/new/"),
    ({"to": "/new/", "status": 302}, "/old", 302, "/new/"),
    ({"to": "${query('to')}"}, "/?to=a%0d%0aSet-Cookie:b", 308, None),
    ({"to": "${uri}"}, "//evil.example/", 308, "/evil.example/"),
])
def test_redirect(using, options, target, status, location):
    response = get(using({"redirect": options}).address, target, host="www.example:8080")
    assert response.status == status and not response.has("set-cookie")
    if location:
        assert response.get("location") == location


def test_redirect_when(using):
    proxy = using({"redirect": {"to": "/m/", "when": "header('user-agent') contains 'Mobile'"}})
    assert get(proxy.address, fields=[("User-Agent", "A Mobile B")]).get("location") == "/m/"
    assert get(proxy.address).status == 200


def test_respond(using):
    proxy = using({"respond": {"status": 503, "text": "Back at noon, ${client.ip}.\n", "type": "text/x",
                               "fields": {"Retry-After": "3600", "X-Path": "${path}"}}})
    response = get(proxy.address, "/p")
    assert (response.status, response.body) == (503, b"Back at noon, 127.0.0.1.\n")
    assert (response.get("content-type"), response.get("retry-after"), response.get("x-path")) == ("text/x", "3600", "/p")
    assert proxy.wait_log()["reason"] == "respond" and "upstream" not in proxy.wait_log()


def test_respond_shorthand_and_no_body(using):
    response = get(using({"respond": 204}).address)
    assert (response.status, response.body, response.has("content-length")) == (204, b"", False)


# ---------------------------------------------------------------- request_id


def test_request_id(using):
    proxy = using("request_id")
    with Client(proxy.address) as client:
        seen = set()
        for _ in range(3):
            response = client.get(fields=[("X-Request-ID", "forged")])
            made = response.get("x-request-id")
            assert re.fullmatch("[0-9a-f]{32}", made)
            assert echoed(response)["by_name"]["x-request-id"] == [made]
            seen.add(made)
            assert proxy.wait_log(id=made)
        assert len(seen) == 3


def test_request_id_taken_over(using):
    proxy = using({"request_id": {"trust": True, "header": "X-Trace"}})
    response = get(proxy.address, fields=[("X-Trace", "abc-123")])
    assert response.get("x-trace") == "abc-123" and echoed(response)["by_name"]["x-trace"] == ["abc-123"]
    bad = get(proxy.address, fields=[("X-Trace", "has blanks in it")])
    assert re.fullmatch("[0-9a-f]{32}", bad.get("x-trace"))


def test_request_id_not_shown(using):
    response = get(using({"request_id": {"response": False}}).address)
    assert not response.has("x-request-id") and "x-request-id" in echoed(response)["by_name"]


# ---------------------------------------------------------------- hide_origin


def test_the_origin_is_hidden_by_default(using):
    proxy = using(fields=[("Server", "Apache/2.4.1 (Unix)"), ("X-Powered-By", "PHP/7.1"), ("X-AspNet-Version", "4"),
                          ("Location", "http://@origin@/login?x=1"), ("Set-Cookie", "a=b; Domain=127.0.0.1; Path=/"),
                          ("Set-Cookie", "c=d; Domain=www.example")])
    response = get(proxy.address, host="www.example:81")
    assert not response.has("server") and not response.has("x-powered-by") and not response.has("x-aspnet-version")
    assert response.get("location") == "http://www.example:81/login?x=1"
    assert response.all("set-cookie") == ["a=b; Path=/", "c=d; Domain=www.example"]


def test_other_locations_stay(using):
    for location in ("https://elsewhere.example/", "/relative", "?q", "http://127.0.0.1.example/"):
        assert get(using(fields=[("Location", location)]).address).get("location") == location


def test_hide_origin_options(using):
    proxy = using({"hide_origin": {"server": "replace", "powered_by": False, "location": False, "also": ["X-Varnish"]}},
                  fields=[("Server", "Apache"), ("X-Powered-By", "PHP"), ("X-Varnish", "1"), ("Location", "http://@origin@/")])
    response = get(proxy.address)
    assert response.all("server") == ["maitred"] and response.has("x-powered-by") and not response.has("x-varnish")
    assert response.get("location").startswith("http://127.0.0.1:")


def test_server_may_be_kept(using):
    proxy = using({"hide_origin": {"server": "keep"}}, fields=[("Server", "Apache")])
    assert get(proxy.address).all("server") == ["Apache"]


# ---------------------------------------------------------------- ip_filter, body_limit


def test_ip_filter(using):
    proxy = using({"ip_filter": {"allow": ["127.0.0.0/24"], "deny": ["127.0.0.66"]}})
    assert get(proxy.address, source="127.0.0.5").status == 200
    for source in ("127.0.0.66", "127.0.1.1"):
        assert get(proxy.address, source=source).status == 403
    record = proxy.wait_log(client="127.0.0.66")
    assert (record["reason"], record["blame"]) == ("not_allowed", "client") and "127.0.0.66" in record["detail"]


def test_ip_filter_behind_trusted_proxies(using):
    proxy = using({"ip_filter": {"deny": ["192.0.2.0/24"]}}, listener={"trusted_proxies": ["127.0.0.1"]})
    assert get(proxy.address, fields=[("X-Forwarded-For", "192.0.2.1")]).status == 403
    assert get(proxy.address, fields=[("X-Forwarded-For", "192.0.3.1")]).status == 200
    assert get(proxy.address, source="127.0.0.2", fields=[("X-Forwarded-For", "192.0.2.1")]).status == 200


def test_body_limit(using):
    proxy = using({"body_limit": "1KiB"})
    for size, status in ((0, 200), (1024, 200), (1025, 413)):
        assert get(proxy.address, method="POST", body=b"x" * size).status == status
    for size, status in ((1000, 200), (1024, 200), (1025, 413), (100000, 413)):
        response = get(proxy.address, method="POST", body=chunked(b"x" * size), fields=[("Transfer-Encoding", "chunked")])
        assert response.status == status
    record = proxy.wait_log(status=413)
    assert record["reason"] == "body_too_large" and re.search(r"body_limit.* at .*site\.yaml:\d+:\d+", record["limit"])


# ---------------------------------------------------------------- the chain


def test_the_chain_runs_in_order(using):
    proxy = using({"headers": {"request": {"set": {"X-Order": "1"}}, "response": {"add": {"X-Back": "outer"}}}},
                  {"headers": {"request": {"set": {"X-Order": "${header('x-order')}2"}}, "response": {"add": {"X-Back": "inner"}}}})
    response = get(proxy.address)
    assert echoed(response)["by_name"]["x-order"] == ["12"]
    assert response.all("x-back") == ["inner", "outer"]


def test_each_route_has_its_own_chain(stage):
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
upstreams: {app: {servers: ["@app@"]}}
routes:
  - {path: /small, use: [{body_limit: 10}], to: app}
  - {path: /large, use: [{body_limit: 1MiB}], to: app}
  - {to: app}
""", app=stage.origin())
    for path, status in (("/small", 413), ("/large", 200), ("/any", 200)):
        assert get(proxy.address, path, method="POST", body=b"x" * 100).status == status
    assert json.loads(get(proxy.address, "/large", method="POST", body=b"x" * 100).body)["length"] == 100
