# SPDX-License-Identifier: Apache-2.0
"""The guide on buffering never lies: its examples are good, and answer; what it shows of the log is what that says."""
import os
import re

import pytest

from support.client import get
from support.maitred import ROOT, command
from support.origin import echoed

with open(os.path.join(ROOT, "docs", "guide", "buffering.md")) as _file:
    TEXT = _file.read()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.M | re.S)


def test_there_are_examples():
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid_without_a_warning(stage, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(EXAMPLES[number])
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_answers(stage, number):
    text = EXAMPLES[number].replace('listeners: [":8080"]', 'listeners: ["@listen@"]')
    proxy = stage.run(text.replace("10.0.0.1:8080", stage.origin().address))
    for path in re.findall(r"path: (\S+)", text) or ["/"]:
        assert echoed(get(proxy.address, path, method="POST", body=b"x" * 1000))["length"] == 1000


def test_the_defaults_are_what_it_says():
    with open(os.path.join(ROOT, "src", "middleware", "buffer.c")) as file:
        presets = re.findall(r'\{"(?:memory|file)",.*?\.preset = "(\w+)"', file.read(), re.S)
    told = re.findall(r"\| (\d+ [KMG]iB) \| (\d+ [KMG]iB) \|", TEXT)
    assert len(presets) == 6
    assert sorted(size.replace(" ", "") for pair in told for size in pair) == sorted(presets)
