# SPDX-License-Identifier: Apache-2.0
"""The guide on HTTP/2 never lies: its examples are good and answer by HTTP/2, and its commands say what is shown."""
import os
import re
import shlex
import subprocess

import pytest

from support.certs import Authority
from support.client import curl
from support.h2 import ENHANCE_YOUR_CALM, H2
from support.maitred import ROOT, Maitred, command
from support.origin import answer_echo, serve_forever
from support.wait import eventually, seconds

with open(os.path.join(ROOT, "docs", "guide", "http2.md")) as _file:
    TEXT = _file.read()
# Another page's tests look after what stands below these headings.
OURS = TEXT.partition("## To servers")[0]
BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", OURS, re.M | re.S)
EXAMPLES = [text for kind, text in BLOCKS if kind == "yaml"]
SHOWN = [(BLOCKS[i - 1][1], text) for i, (kind, text) in enumerate(BLOCKS) if kind == "console"]


@pytest.fixture(scope="module")
def certificate(module_stage):
    return Authority(module_stage.folder()).issue("site", ["localhost"])


def relocated(text, certificate, origin="10.0.0.1:8080"):
    text = text.replace("site.pem", certificate.chain).replace("site.key", certificate.key)
    return re.sub(r'(listeners: \[|address: )":8\d+"', r'\1"@listen@"', text).replace("10.0.0.1:8080", origin)


def started(stage, text, certificate):
    proxy = Maitred(start=False)
    stage.use(proxy)
    proxy.write(relocated(text, certificate, stage.origin(serve_forever(answer_echo)).address))
    proxy.start()
    return proxy


def test_there_are_examples():
    assert len(EXAMPLES) >= 4 and len(SHOWN) >= 2


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, certificate, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(relocated(EXAMPLES[number], certificate).replace("@listen@", ":8080"))
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_answers_by_http2(stage, certificate, number):
    proxy = started(stage, EXAMPLES[number], certificate)
    how = ["-k", "--http2", proxy.url().replace("http:", "https:")] if "tls:" in EXAMPLES[number] \
        else ["--http2-prior-knowledge", proxy.url()]
    done = curl(*how)
    assert done.status == 200 and done.message.start.startswith("HTTP/2"), done.error


@pytest.mark.parametrize("text, shown", SHOWN)
def test_a_command_says_what_is_shown(stage, certificate, text, shown):
    proxy = started(stage, text, certificate)
    line, said = shown.removeprefix("$ ").split("\n", 1)
    line = re.sub(r"localhost:8\d+", proxy.address, line)
    done = subprocess.run([*shlex.split(line), "-q", "--noproxy", "*"], capture_output=True, text=True,
                          timeout=seconds(20), check=False)
    assert done.stdout == said, (done.stdout, done.stderr)


def test_the_warning_is_worded_so(stage, certificate):
    """The log's line about a limit, but for the address."""
    warning = re.search(r"^    warning client (\S+) (.*)$", OURS, re.M)
    proxy = started(stage, next(e for e in EXAMPLES if "resets" in e).replace("300/m", "5/m"), certificate)
    with H2(proxy.address).ready() as h2:
        for i in range(20):
            h2.request(1 + 2 * i)
            h2.reset(1 + 2 * i)
        h2.expect_goaway(ENHANCE_YOUR_CALM)
    eventually(lambda: f"warning client 127.0.0.1 {warning[2]}" in proxy.stderr)


def test_every_option_is_told_of():
    """All of the listener's `http2` object, with the defaults that the page names."""
    with open(os.path.join(ROOT, "docs", "reference", "options.md")) as file:
        table = file.read().partition("\n## http2\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| \S+ \| `([^`]+)`", table, re.M)
    assert len(rows) >= 6
    for name, preset in rows:
        assert name == "enabled" or re.search(rf"\b{name}\b", OURS), name
        assert name in ("enabled", "window", "connection_window") or f"{name}: {preset}" in OURS, (name, preset)
