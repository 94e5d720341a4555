# SPDX-License-Identifier: Apache-2.0
"""Request targets: forwarded as they came, matched in their normal form."""
import pytest

from support.client import Client, exchange_bytes, get, status_of
from support.origin import echoed

GUARDED = """
listeners: [{address: "@listen@"}]
upstreams: {app: {servers: ["@app@"]}}
routes:
  - {path: /admin/, use: [{respond: {status: 403, text: guarded}}]}
  - {path: "/caf%C3%A9", use: [{respond: {status: 418, text: coffee}}]}
  - {to: app}
"""


@pytest.fixture(scope="module")
def origin(module_stage):
    return module_stage.origin()


@pytest.fixture(scope="module")
def proxy(module_stage, origin):
    return module_stage.run(GUARDED, app=origin)


@pytest.mark.parametrize("target", [
    "/", "//", "/?", "/?a=b&c=%20d", "/a%2Fb/%7Efoo", "/a//b///c", "/x/./y", "/x/../y", "/x/%2e%2e/y", "/%41%62", "/%c3%a9", "/a;b=c/d",
    "/a:b@c!$&'()*+,=", "/a?b?c/../d", "/a?x=//..%00", "/th\xc3\xa9", "/a|b", '/a"b"', "/{x}", "/a?[]=1",
])
def test_forwarded_as_it_came(proxy, target):
    assert echoed(get(proxy.address, target))["target"] == target


@pytest.mark.parametrize("target", [
    "/admin/", "/admin/x", "/x/../admin/", "/x/y/../../admin/z", "/./admin/", "//admin/", "/admin//x", "/%61dmin/",
    "/%61%64%6d%69%6e/x", "/x/%2e%2e/admin/", "/x/.%2E/admin/x", "/%2e/admin/", "/admin/?q", "/x//../admin/../admin/y",
])
def test_matched_in_normal_form(proxy, target):
    assert get(proxy.address, target).status == 403


@pytest.mark.parametrize("target", [
    "/admin%2F", "/admin%2fx", "/Admin/", "/x?/../admin/", "/admi", "/admin/../x", "/adminx/",
])
def test_not_everything_is_the_same(proxy, target):
    assert echoed(get(proxy.address, target))["target"] == target


@pytest.mark.parametrize("target", ["/caf%C3%A9", "/caf%c3%a9", "/caf\xc3\xa9", "/./caf%C3%a9"])
def test_encodings_compare_in_normal_form(proxy, target):
    assert get(proxy.address, target).status == 418


@pytest.mark.parametrize("target", [
    "/..", "/../etc/passwd", "/a/../../etc", "/%2e%2e/etc", "/a%00b", "/%", "/%4", "/%zz", "/a#b", "/a\\b", "\\", "a", "",
    "/a\tb", "/\x7f", "/\x01", "http:///", "http://", "ftp://h/", "http://u:p@h/", "http://u@h/", "://h/", "*", "http://h h/",
    "/a\x00b",
])
def test_refused(proxy, origin, target):
    before = len(origin.requests)
    raw = f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\nGET /admin/ HTTP/1.1\r\nHost: h\r\n\r\n".encode("latin-1")
    answer = exchange_bytes(proxy.address, raw)
    assert status_of(answer) == 400 and answer.count(b"HTTP/1.1 ") == 1, answer
    assert len(origin.requests) == before


def test_absolute_form(proxy):
    told = echoed(get(proxy.address, "http://Example.com:81/x/./y?z", host="other.example"))
    assert told["target"] == "/x/./y?z"
    assert told["by_name"]["host"][0].lower() == "example.com:81"  # RFC 9112 3.2.2: Host is ignored


def test_absolute_form_without_path(proxy):
    assert echoed(get(proxy.address, "http://example.com", host="example.com"))["target"] == "/"
    assert echoed(get(proxy.address, "http://example.com?q=1", host="example.com"))["target"] == "/?q=1"


def test_absolute_form_is_matched_by_its_host(stage):
    proxy = stage.run("""
listeners: [{address: "@listen@"}]
routes:
  - {host: one.example, use: [{respond: {text: one}}]}
  - {host: two.example, use: [{respond: {text: two}}]}
""")
    assert get(proxy.address, "http://ONE.example/", host="two.example").body.strip() == b"one"


def test_absolute_form_is_guarded(proxy):
    assert get(proxy.address, "http://h/x/../admin/").status == 403


def test_options_asterisk(proxy):
    told = echoed(get(proxy.address, "*", method="OPTIONS"))
    assert (told["method"], told["target"]) == ("OPTIONS", "*")


def test_options_of_a_path(proxy):
    assert echoed(get(proxy.address, "/x", method="OPTIONS"))["target"] == "/x"


@pytest.mark.parametrize("target", ["example.com:443", "example.com", "/", "http://example.com/"])
def test_connect_is_not_for_us(proxy, origin, target):
    before = len(origin.requests)
    raw = f"CONNECT {target} HTTP/1.1\r\nHost: example.com\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    with Client(proxy.address) as client:
        client.send(raw)
        answer = client.read_all()
    assert status_of(answer) in (400, 405, 501) and answer.count(b"HTTP/1.1 ") == 1
    assert len(origin.requests) == before


@pytest.mark.parametrize("host", ["h", "h:1", "H.Example.", "127.0.0.1", "[::1]", "[::1]:8080", "a_b.example", "xn--bcher-kva.example",
                                  "h:"])
def test_good_hosts(proxy, host):
    status = get(proxy.address, host=host).status
    assert status == 200 or (host == "h:" and status == 400)


@pytest.mark.parametrize("host", ["h h", "h,h", "u@h", "h/x", "h:x", "h:65536", "h:-1", "[::1", "::1", "h?", "h#", "h\\", "h\x7f",
                                  "<h>", "[::1]x", "[zz]", "h:1:2"])
def test_bad_hosts(proxy, origin, host):
    before = len(origin.requests)
    answer = exchange_bytes(proxy.address, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    assert status_of(answer) == 400, answer
    assert len(origin.requests) == before


def test_a_long_target_passes(proxy):
    target = "/" + "x" * 4000
    assert echoed(get(proxy.address, target))["target"] == target


def test_a_target_at_the_limit(stage):
    proxy = stage.proxy(stage.origin(), listener={"max_target": "1KiB"})
    assert get(proxy.address, "/" + "x" * 1023).status == 200
    assert status_of(exchange_bytes(proxy.address, b"GET /" + b"x" * 1024 + b" HTTP/1.1\r\nHost: h\r\n\r\n")) == 414
