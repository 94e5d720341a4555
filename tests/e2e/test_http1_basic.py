# SPDX-License-Identifier: Apache-2.0
"""One request and its response: what is forwarded, what is added, what is taken away."""
import re

import pytest

from support.client import Client, curl, get
from support.maitred import Maitred
from support.origin import Origin, echoed, serve_forever
from support.ports import free_port


@pytest.fixture(scope="module")
def echo(module_stage):
    return module_stage.proxy(module_stage.origin())


@pytest.fixture
def answering(stage):
    """A proxy before an origin that answers with these fields and this body."""

    def make(fields=(), body=b"hello", status=200, reason="OK", **more):
        origin = stage.origin(serve_forever(lambda conn, _: conn.respond(status, fields, body, reason)))
        return stage.proxy(origin, **more)

    return make


def test_curl_gets_an_answer(echo):
    got = curl(echo.url("/a/b?c=d"))
    assert got.status == 200 and got.get("content-type") == "application/json"
    told = echoed(get(echo.address, "/a/b?c=d"))
    assert (told["method"], told["target"], told["version"]) == ("GET", "/a/b?c=d", "HTTP/1.1")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "purge", "X-Y.Z!"])
def test_methods_pass(echo, method):
    told = echoed(get(echo.address, "/m", method=method))
    assert told["method"] == method


def test_host_passes_as_it_came(echo):
    told = echoed(get(echo.address, host="WWW.Example.COM:8080"))
    assert told["by_name"]["host"] == ["WWW.Example.COM:8080"]


def test_via_is_added_on_both_ways(echo):
    response = get(echo.address)
    assert echoed(response)["by_name"]["via"] == ["1.1 maitred"]
    assert response.get("via") == "1.1 maitred"


def test_via_is_appended_to(echo):
    told = echoed(get(echo.address, fields=[("Via", "1.0 fred")]))
    assert ", ".join(told["by_name"]["via"]) == "1.0 fred, 1.1 maitred"


def test_fields_pass_in_order_and_repeated(echo):
    fields = [("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ("Accept", "a/b"), ("Accept", "c/d"), ("X-Empty", ""),
              ("Cookie", "a=b; c=d"), ("X-Odd", "caf\xe9 \"q\" \t tab")]
    told = echoed(get(echo.address, fields=fields))
    came = [(n, v) for n, v in told["fields"] if n.lower() in {k.lower() for k, _ in fields}]
    assert [(n.lower(), v) for n, v in came] == [(n.lower(), v) for n, v in fields]


@pytest.mark.parametrize("name", ["Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Upgrade", "X-Mine"])
def test_hop_by_hop_request_fields_stay_behind(echo, name):
    with Client(echo.address) as client:
        client.request(fields=[(name, "secret"), ("Connection", "close, X-Mine")])
        told = echoed(client.response())
    assert name.lower() not in told["by_name"]
    assert "X-Mine" not in ",".join(told["by_name"].get("connection", []))


@pytest.mark.parametrize("name", ["Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade", "X-Mine"])
def test_hop_by_hop_response_fields_stay_behind(answering, name):
    proxy = answering([(name, "timeout=5"), ("Connection", "keep-alive, x-mine"), ("X-Kept", "1")])
    response = get(proxy.address)
    assert response.body == b"hello" and response.get("x-kept") == "1"
    assert not response.has(name)


def test_response_passes_status_reason_fields_and_body(answering):
    fields = [("Content-Type", "text/x"), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-L", "caf\xe9"),
              ("ETag", '"x"')]
    response = get(answering(fields, b"\x00\xff body", 299, "Quite Fine").address)
    assert (response.status, response.reason, response.body) == (299, "Quite Fine", b"\x00\xff body")
    assert response.all("set-cookie") == ["a=1; Path=/", "b=2"]
    assert (response.get("x-l"), response.get("etag")) == ("caf\xe9", '"x"')


@pytest.mark.parametrize("status", [200, 201, 202, 206, 301, 400, 401, 404, 418, 429, 500, 502, 503, 599])
def test_any_status_passes(answering, status):
    response = get(answering([("X-From", "origin")], b"body", status).address)
    assert (response.status, response.body, response.get("x-from")) == (status, b"body", "origin")
    assert not response.has("proxy-status")


def test_date_is_added_when_missing(answering):
    date = get(answering().address).get("date")
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)


def test_date_of_the_server_is_kept(answering):
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    assert get(answering([("Date", date)]).address).all("date") == [date]


def test_our_own_answers_carry_date_and_no_server(stage):
    response = get(stage.run("listeners: [{address: '@listen@'}]\nroutes: []\n").address)
    assert response.status == 404 and response.has("date") and not response.has("server")


def test_empty_body(answering):
    response = get(answering(body=b"").address)
    assert (response.status, response.body, response.get("content-length")) == (200, b"", "0")


def test_ipv6_listener_and_server(stage):
    origin = stage.origin(host="::1")
    port = free_port()
    proxy = stage.run("listeners: [{address: '[::1]:%d'}]\nroutes: [{to: 'http://@origin@'}]\n" % port, origin=origin)
    assert proxy.popen and echoed(get(f"[::1]:{port}", "/six"))["target"] == "/six"


def test_listener_on_all_addresses(stage):
    port = free_port()
    stage.run("listeners: [{address: ':%d'}]\nroutes: [{to: 'http://@origin@'}]\n" % port, origin=stage.origin())
    for host in ("127.0.0.1", "[::1]"):
        assert get(f"{host}:{port}").status == 200


def test_several_listeners(stage):
    proxy = stage.run("""
listeners:
  - {address: "@listen1@", name: one}
  - {address: "@listen2@", name: two}
routes:
  - {listener: one, to: "http://@a@"}
  - {listener: two, to: "http://@b@"}
""", a=stage.origin(name="a"), b=stage.origin(name="b"))
    for listen, name in (("listen1", "a"), ("listen2", "b")):
        assert echoed(get(proxy.names[listen]))["origin"] == name


def test_proxy_command_needs_no_file():
    with Origin(name="a") as a, Origin(name="b") as b:
        with Maitred(args=["proxy", "--from", "@listen@", "--to", f"{a.address},{b.address}"]) as proxy:
            assert {echoed(get(proxy.address))["origin"] for _ in range(16)} == {"a", "b"}


def test_many_connections_at_once(echo):
    clients = [Client(echo.address) for _ in range(200)]
    for number, client in enumerate(clients):
        client.request("GET", f"/{number}")
    for number, client in enumerate(clients):
        assert echoed(client.response())["target"] == f"/{number}"
        client.close()
