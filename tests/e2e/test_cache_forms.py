# SPDX-License-Identifier: Apache-2.0
"""Encoded forms of what is kept: made once, whichever of cache and compress stands outside."""
import gzip
import json
import time

import pytest

from support.client import get
from support.pages import Pages, page

TEXT = json.dumps([{"number": n, "name": f"name {n * 7919 % 1000}"} for n in range(3000)])
DAY = ("Cache-Control", "max-age=86400")
JSON = ("Content-Type", "application/json")
GZIP = [("Accept-Encoding", "gzip")]


@pytest.fixture
def pages(stage):
    pages = Pages(stage)
    pages["/a"] = page(TEXT, DAY, JSON, ("ETag", '"one"'))
    return pages


def plain(answer):
    assert answer.get("content-encoding") == "gzip" and "accept-encoding" in answer.get("vary").lower()
    return gzip.decompress(answer.body).decode()


def test_a_form_is_made_once(stage, pages):
    proxy = stage.proxy(pages.origin, use=["compress", "cache"])
    first, second = get(proxy.address, "/a", fields=GZIP), get(proxy.address, "/a", fields=GZIP)
    assert plain(first) == plain(second) == TEXT and pages.asked("/a") == 1
    third = get(proxy.address, "/a", fields=GZIP)
    assert third.get("content-length") == str(len(third.body)), "what is kept has a known length"
    assert get(proxy.address, "/a").body.decode() == TEXT


def test_a_form_goes_with_its_response(stage, pages):
    proxy = stage.proxy(pages.origin, use=["compress", {"cache": {"purge": ["127.0.0.1"]}}])
    for _ in range(3):
        assert plain(get(proxy.address, "/a", fields=GZIP)) == TEXT
    pages["/a"] = page("[" + TEXT + "]", DAY, JSON, ("ETag", '"two"'))
    assert get(proxy.address, "/a", method="PURGE").status == 200
    for _ in range(3):
        assert plain(get(proxy.address, "/a", fields=GZIP)) == "[" + TEXT + "]"
    assert pages.asked("/a") == 2


def test_the_cache_outside_keeps_variants(stage, pages):
    proxy = stage.proxy(pages.origin, use=["cache", "compress"])
    for _ in range(3):
        assert plain(get(proxy.address, "/a", fields=GZIP)) == TEXT
        assert get(proxy.address, "/a").body.decode() == TEXT
    assert pages.asked("/a") == 2, "one for each of the two encodings"


def sizes(proxy, path):
    """Of the form that is sent first, and of the one that is sent once it was asked for often."""
    first = get(proxy.address, path, fields=GZIP)
    for _ in range(40):
        get(proxy.address, path, fields=GZIP)
    time.sleep(0.5)
    last = get(proxy.address, path, fields=GZIP)
    assert plain(first) == plain(last)
    return len(first.body), len(last.body)


def test_what_is_asked_for_often_is_made_smaller(stage, pages):
    words = "".join(f"{n * 48271 % 65537:x} of {n * 7919 % 1000} in {n % 13}\n" for n in range(3000))
    pages["/words"] = page(words, DAY, ("Content-Type", "text/plain"))
    proxy = stage.proxy(pages.origin, use=[{"compress": {"gzip_level": 1}}, "cache"])
    first, last = sizes(proxy, "/words")
    assert last < first


def test_a_form_never_becomes_larger(stage, pages):
    """This text is one that a low level happens to make smaller than the best one does."""
    proxy = stage.proxy(pages.origin, use=[{"compress": {"gzip_level": 1}}, "cache"])
    first, last = sizes(proxy, "/a")
    assert last <= first
