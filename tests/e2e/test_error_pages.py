# SPDX-License-Identifier: Apache-2.0
"""Pages for errors: friendly, in the form that the client asks for, and each route's own."""
import json
import os
from html.parser import HTMLParser

import pytest

from support.client import curl, get
from support.maitred import Maitred
from support.origin import serve_forever

NONE = "listeners: [{address: '@listen@'}]\nroutes: []\n"


@pytest.fixture(scope="module")
def proxy(module_stage):
    return module_stage.run(NONE)


@pytest.mark.parametrize("accept, kind", [
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
    ("text/html", "text/html"),
    ("application/json", "json"),
    ("application/vnd.api+json, */*", "json"),
    ("application/json;q=0.9, text/html;q=0.1", "json"),
    ("application/json;q=0.1, text/html;q=0.9", "text/html"),
    ("text/html;q=0, application/json", "json"),
    ("*/*", "text/plain"),
    ("text/plain", "text/plain"),
    (None, "text/plain"),
])
def test_the_form_follows_accept(proxy, accept, kind):
    response = get(proxy.address, "/x", [("Accept", accept)] if accept else [])
    assert response.status == 404 and kind in response.get("content-type"), response.get("content-type")
    text = response.body.decode()
    if kind == "json":
        problem = json.loads(text)
        assert problem["status"] == 404 and problem["title"] == "Not Found" and problem["reason"] == "no_route"
    elif kind == "text/html":
        assert text.lower().startswith("<!doctype html>") and "404" in text and "no_route" in text
    else:
        assert "404" in text and "no_route" in text and "<" not in text


class Balanced(HTMLParser):
    """Complains about tags that are not closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "link", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_html_is_whole(proxy):
    parser = Balanced()
    parser.feed(get(proxy.address, "/<script>alert(1)</script>", [("Accept", "text/html")]).body.decode())
    parser.close()
    assert parser.open == []


def test_nothing_of_the_request_is_echoed(proxy):
    for accept in ("text/html", "application/json", "text/plain"):
        response = get(proxy.address, '/<b>"x', [("Accept", accept), ("X", "<b>")], host="evil.example")
        assert b"<b>" not in response.body and b"evil.example" not in response.body


def test_errors_are_not_cached_and_name_their_reason(proxy):
    response = get(proxy.address)
    assert response.get("cache-control") == "no-store"
    assert response.get("proxy-status").startswith("maitred; error=destination_not_found")


CUSTOM = """
listeners: [{address: "@listen@"}]
upstreams: {down: {servers: ["127.0.0.1:1"], retries: 0}}
routes:
  - path: /file
    errors: {404: {file: "@dir@/404.html"}}
    use: [{respond: 404}]
  - path: /text
    errors: {503: {text: "Back soon, ${client.ip}.", type: text/plain}, 4xx: {text: "four"}, default: {text: "any"}}
    use:
      - {respond: {status: 503, when: "query('s') == '503'"}}
      - {respond: {status: 418, when: "query('s') == '418'"}}
      - {respond: 500}
  - path: /down
    errors: {5xx: {text: "the server sleeps", type: text/x-own}}
    to: down
  - {path: /plain, use: [{respond: 404}]}
"""


@pytest.fixture(scope="module")
def custom(module_stage):
    proxy = Maitred(CUSTOM, start=False)
    with open(os.path.join(proxy.dir, "404.html"), "w") as file:
        file.write("<h1>Lost?</h1>")
    proxy.start()
    return module_stage.use(proxy)


def test_a_page_from_a_file(custom):
    response = get(custom.address, "/file", [("Accept", "application/json")])
    assert (response.status, response.body) == (404, b"<h1>Lost?</h1>")
    assert response.get("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("status, text", [("503", b"Back soon, 127.0.0.1."), ("418", b"four"), ("500", b"any")])
def test_pages_by_status_class_and_default(custom, status, text):
    response = get(custom.address, "/text?s=" + status)
    assert (response.status, response.body) == (int(status), text)


def test_a_page_for_a_server_that_is_down(custom):
    response = get(custom.address, "/down")
    assert response.status in (502, 503) and response.body == b"the server sleeps"
    assert response.get("content-type") == "text/x-own" and response.has("proxy-status")


def test_other_routes_have_the_built_in_page(custom):
    assert b"404" in get(custom.address, "/plain").body


def test_errors_of_servers_are_theirs(stage):
    """A 404 or 500 that a server sends goes through as it is."""
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(404, body=b"the server's own")))
    proxy = stage.proxy(origin, route={"errors": {"404": {"text": "ours"}}})
    assert get(proxy.address).body == b"the server's own"


def test_curl_sees_a_page(proxy):
    got = curl("-H", "Accept: text/html", proxy.url("/nothing"))
    assert got.status == 404 and got.exit == 0 and "</html>" in got.text


def test_a_broken_page_file_is_reported_when_loading():
    proxy = Maitred(CUSTOM, start=False)  # 404.html is not there
    with pytest.raises(AssertionError, match=r"site\.yaml:\d+:\d+: error:.*404\.html"):
        proxy.start()
