# SPDX-License-Identifier: Apache-2.0
"""What the guide says of compression: its examples are good, and each of them compresses or decompresses."""
import gzip
import os
import re

import pytest

from support.client import get
from support.maitred import ROOT, Maitred, command
from support.origin import serve_forever

with open(os.path.join(ROOT, "docs", "guide", "compression.md")) as _file:
    EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", _file.read(), re.M | re.S)
NUMBERS = pytest.mark.parametrize("number", range(len(EXAMPLES)))
PAGE = b"<p>hello, world</p>\n" * 200


def answer(conn, request):
    conn.respond(200, [("Content-Type", "text/html"), ("Received", str(request.length))], PAGE)


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


@NUMBERS
def test_an_example_is_valid(stage, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(EXAMPLES[number])
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@NUMBERS
def test_an_example_does_what_it_says(stage, number):
    origin, proxy = stage.origin(serve_forever(answer)), Maitred(start=False)
    text = re.sub(r"10\.0\.0\.\d:8080", origin.address, EXAMPLES[number].replace('":8080"', '"@listen@"'))
    with stage.use(proxy):
        proxy.write(text)
        proxy.start()
        if "decompress" in text:
            response = get(proxy.address, "/upload/x", [("Content-Encoding", "gzip")], method="POST",
                           body=gzip.compress(PAGE * 9))
            assert response.get("received") == str(len(PAGE * 9))
            return
        for path in re.findall(r"path: (\S+)", text) or ["/"]:
            response = get(proxy.address, path, [("Accept-Encoding", "gzip"), ("Sec-Fetch-Site", "none")])
            assert response.get("content-encoding") == "gzip" and gzip.decompress(response.body) == PAGE
        if "sec-fetch-site" in text:
            other = get(proxy.address, "/account/", [("Accept-Encoding", "gzip"), ("Sec-Fetch-Site", "cross-site")])
            assert other.body == PAGE
