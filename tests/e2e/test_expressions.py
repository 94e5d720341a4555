# SPDX-License-Identifier: Apache-2.0
"""The expression language, as conditions of routes and inside templates."""
import pytest

from support.client import get
from support.maitred import to_yaml

# Asked for with REQUEST below.
TRUE = [
    "method == 'GET'", 'method == "GET"', "method == GET", "method in [GET, HEAD]", "method not in [POST, PUT]", "method != POST",
    "path starts '/e/'", "path ends '/x.html'", "path contains '/e'", "path matches '^/e/[0-9]+/x[.]html$'", "!(path starts '/f/')",
    "header('x-beta') == '1'", "header('X-BETA') == 1", "header('x-beta') exists", "!(header('x-none') exists)",
    "header('x-number') > 9", "header('x-number') >= 10 && header('x-number') <= 10", "header('x-number') < 11",
    "!(header('x-none') == '')", "header('x-empty') == ''", "header('x-empty') exists", "header('x-none') != 'a'",
    "query('q') == 'a b'", "query contains 'q='", "cookie('session') == 'abc'", "cookie('session') exists", "!(cookie('sess') exists)",
    "host == 'www.example'", "host ends '.example'", "host in ['a.example', 'www.example']", "port == 81", "scheme == 'http'",
    "client.ip == 127.0.0.1", "client.ip in [10.0.0.0/8, 127.0.0.0/8]", "client.ip in [::1, 127.0.0.1]", "client.ip not in [10.0.0.0/8]",
    "client.port > 0", "version == '1.1'", "listener == 'front'", "time > 1500000000",
    "method == POST || method == GET", "method == POST && host == 'x' || path starts '/'", "(method == POST || method == GET) && scheme == 'http'",
    "!(method == POST) && !(scheme == 'https')", "  method   ==\t'GET'  ", "header('x-quote') == 'it\\'s'", 'header("x-quote") == "it\'s"',
    "raw_path contains '%'", "path contains '%' || path contains '/'", "uri contains '?'", "header('x-ip') in [192.0.2.0/24] || header('x-ip') == '192.0.2.1'",
]
FALSE = [
    "method == 'get'", "method == POST", "method in []", "path == '/E/'", "header('x-none') == ''", "header('x-none') exists",
    "header('x-none') > 0", "header('x-word') > 0", "header('x-word') < 0", "query('none') exists", "host == 'example'",
    "client.ip in [10.0.0.0/8]", "client.ip == ::1", "scheme == https", "method == POST && method == GET", "!(method == GET)",
    "path matches '^/X'", "header('x-beta') in ['2', '3']",
]
REQUEST = [("X-Beta", "1"), ("X-Number", "10"), ("X-Word", "many"), ("X-Empty", ""), ("X-Quote", "it's"), ("X-Ip", "192.0.2.1"),
           ("Cookie", "a=b; session=abc")]


@pytest.fixture(scope="module")
def proxy(module_stage):
    routes = [{"path": f"/e/{n}/x.html", "when": text, "use": [{"respond": 200}]} for n, text in enumerate(TRUE + FALSE)]
    return module_stage.run("listeners: [{address: '@listen@', name: front}]\n" + to_yaml({"routes": routes}))


def ask(proxy, number):
    target = f"/%65/{number}/x.html?q=a%20b&r"
    return get(proxy.address, target, REQUEST, host="www.example:81").status


@pytest.mark.parametrize("text", TRUE)
def test_true(proxy, text):
    assert ask(proxy, TRUE.index(text)) == 200


@pytest.mark.parametrize("text", FALSE)
def test_false(proxy, text):
    assert ask(proxy, len(TRUE) + FALSE.index(text)) == 404


@pytest.mark.parametrize("template, text", [
    ("plain", "plain"), ("${method} ${path}", "GET /t"), ("${client.ip}:${scheme}", "127.0.0.1:http"), ("$${method}", "${method}"),
    ("${header('x-none')}", ""), ("[${query('q')}]", "[a b]"), ("${host}:${port}", "www.example:81"), ("cost: $5", "cost: $5"),
    ("${uri}", "/t?q=a%20b"), ("${header('x-beta')}${cookie('session')}", "1abc"), ("ü${version}", "ü1.1"),
])
def test_templates(stage, template, text):
    proxy = stage.run("listeners: [{address: '@listen@'}]\n" + to_yaml({"routes": [{"use": [{"respond": {"text": template}}]}]}))
    assert get(proxy.address, "/t?q=a%20b", REQUEST, host="www.example:81").body.decode() == text
