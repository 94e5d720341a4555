# SPDX-License-Identifier: Apache-2.0
"""The guide on composition never lies: its examples are valid, and do what it says."""
import json
import os
import re

import pytest

from support.client import get
from support.maitred import ROOT, Maitred, command
from support.origin import serve_forever

with open(os.path.join(ROOT, "docs", "guide", "composition.md")) as _file:
    GUIDE = _file.read()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.M | re.S)
PAGE = re.search(r"^```html\n(.*?)^```$", GUIDE, re.M | re.S)[1]
DOCUMENT = re.search(r"^```json\n(.*?)^```$", GUIDE, re.M | re.S)[1]
ANSWERS = {
    "/": ("text/html", PAGE),
    "/fragments/headlines": ("text/html", "<p>All is well</p>"),
    "/users/7": ("application/json", '{"id":7,"name":"Ann"}'),
    "/orders?user=7": ("application/json", '[{"id":1}]'),
}


def answer(conn, request):
    kind, text = ANSWERS.get(request.target, (None, None))
    if not kind:
        conn.respond(404)
    else:
        conn.respond(200, [("Content-Type", kind), ("Surrogate-Control", 'content="ESI/1.0"')], text.encode())


@pytest.fixture
def started(stage):
    def start(number):
        origin = stage.origin(serve_forever(answer))
        text = EXAMPLES[number].replace('listeners: [":8080"]', 'listeners: ["@listen@"]')
        return stage.use(Maitred(re.sub(r"10\.0\.0\.\d:8080", origin.address, text)))
    return start


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(EXAMPLES[number])
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_page(started):
    assert get(started(0).address).body == b"<h1>News</h1>\n<p>All is well</p>\n"


def test_what_stands_instead(started, monkeypatch):
    monkeypatch.setitem(ANSWERS, "/", ("text/html", '(<esi:include src="/missing"/>)'))
    assert get(started(1).address).body == b"(<!-- not available -->)"


def test_the_document(started):
    got = get(started(2).address, "/dashboard?id=7")
    assert got.body.decode() == DOCUMENT
    assert json.loads(get(started(2).address, "/dashboard?id=7").body)["user"]["name"] == "Ann"


@pytest.mark.parametrize("name", ["esi", "compose", "compose_part"])
def test_the_options_that_are_named_exist(name):
    reference = command("reference").stdout
    assert f"`{name}`" in reference or f"## {name}" in reference
