# SPDX-License-Identifier: Apache-2.0
"""The guide on the cache never lies: its examples are good and answer, and what it says of each is so."""
import os
import re

import pytest

from support.maitred import ROOT, Maitred, command
from support.pages import Pages, ask, page
from support.wait import eventually

with open(os.path.join(ROOT, "docs", "guide", "cache.md")) as _file:
    TEXT = _file.read()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.M | re.S)


def example(mark):
    """The only example with these words."""
    found = [text for text in EXAMPLES if mark in text]
    assert len(found) == 1, mark
    return found[0]


class Site:
    """An example that runs, with our pages for its server."""

    def __init__(self, stage, text):
        self.pages = Pages(stage)
        self.proxy = stage.use(Maitred(start=False))
        text = text.replace('[":8080"]', '["@listen@"]').replace("10.0.0.1:8080", self.pages.origin.address)
        self.proxy.write(text)
        self.proxy.start()

    def twice(self, path, *fields, **how):
        self.pages[path] = page("x", *fields, **how)
        return ask(self.proxy, path), ask(self.proxy, path)


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(EXAMPLES[number])
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_keeps(stage, number):
    first, second = Site(stage, EXAMPLES[number]).twice("/images/a", ("Cache-Control", "max-age=60"))
    assert first.cache["stored"] and second.cache["hit"]


def test_lifetimes(stage):
    site = Site(stage, example("ttl:"))
    assert 590 <= int(site.twice("/static/a")[1].cache["ttl"]) <= 600
    assert 28 <= int(site.twice("/static/b", status=404)[1].cache["ttl"]) <= 30
    assert site.twice("/static/c", status=503)[1].cache["hit"]
    modified = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
    assert not site.twice("/other", modified)[1].cache["hit"]


def test_stale(stage):
    site = Site(stage, example("stale_if_error:"))
    old = [("Cache-Control", "max-age=60"), ("ETag", '"1"')]
    assert site.twice("/refresh", *old, ("Age", "70"))[1].cache["hit"]
    eventually(lambda: site.pages.asked("/refresh") == 2)
    site.twice("/down", *old, ("Age", "100"))
    site.pages.origin.stop()
    assert ask(site.proxy, "/down").status == 200


def test_keys(stage):
    site = Site(stage, example("cookie('theme')"))
    minute = ("Cache-Control", "max-age=60")
    for path in ("/images/a?1", "/images/a?2", "/page"):
        site.pages[path] = page("x", minute)
    ask(site.proxy, "/images/a?1"), ask(site.proxy, "/page", ("Cookie", "theme=dark"))
    assert ask(site.proxy, "/images/a?2").cache["hit"]
    assert not ask(site.proxy, "/page", ("Cookie", "theme=light")).cache["hit"]
    assert ask(site.proxy, "/page", ("Cookie", "other=1; theme=dark")).cache["hit"]


def test_purges(stage):
    site = Site(stage, example("purge:"))
    rows = re.findall(r"^\| `PURGE (/\w*/?)`(?: with `([\w-]+): (.*?)`)? \|", TEXT, re.M)
    assert len(rows) == 7
    for path, name, value in rows:
        kept = {"/": "/any", "/shop/": "/shop/any"}.get(path, path)
        site.pages[kept] = page("x", ("Cache-Control", "max-age=60"), ("Cache-Tag", "blue"), ("Cache-Groups", '"news"'))
        ask(site.proxy, kept)
        assert ask(site.proxy, kept).cache["hit"]
        assert ask(site.proxy, path, *([(name, value)] if name else []), method="PURGE").status == 200
        assert not ask(site.proxy, kept).cache["hit"], (path, name, value)


def test_stores_are_apart(stage):
    site = Site(stage, example("images:"))
    for path in ("/images/a", "/a"):
        assert site.twice(path, ("Cache-Control", "max-age=60"))[1].cache["hit"]


def test_each_refusal_is_explained():
    with open(os.path.join(ROOT, "src", "http", "cache_rules.h")) as file:
        names = re.findall(r'X\(CACHE_REFUSED_\w+, "([\w-]+)"', file.read())
    table = TEXT.partition("## What is kept")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M))))
    assert len(names) >= 14 and set(names) - told == {"method"}
