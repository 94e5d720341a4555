# SPDX-License-Identifier: Apache-2.0
"""
The dashboard in Debian's Chromium: its tests are JavaScript (web/test), each is run here by its name; most
against a mock of the admin API, so that rare states can be had, the last ones against the real program.
Skipped where npm or its registry, or Chromium, cannot be had.
"""
import os
import re
import shutil
import subprocess

import pytest

from support.admin_mock import AdminMock
from support.maitred import ROOT
from support.wait import seconds

WEB = os.path.join(ROOT, "web")
TOOL = os.path.join(ROOT, "tools", "web")
LIMIT_S = 90


def tests_of(name):
    """The exported functions of a file of tests."""
    with open(os.path.join(WEB, "test", name), encoding="utf-8") as file:
        return re.findall(r"^export (?:async function|const) (\w+)", file.read(), re.M)


@pytest.fixture(scope="session")
def tools():
    """What the tests need of npm."""
    if not shutil.which("chromium") and "CHROMIUM" not in os.environ:
        pytest.skip("chromium is not installed")
    done = subprocess.run([TOOL, "install", "--all"], capture_output=True, text=True, timeout=700, check=False)
    if done.returncode:
        pytest.skip(f"npm's packages cannot be had: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def bundle(tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    subprocess.run([TOOL, "bundle", folder], check=True, timeout=200, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def mock(bundle):
    with AdminMock(bundle) as api:
        yield api


def browse(url, test):
    done = subprocess.run(["node", "test/run.mjs", url, test], cwd=WEB, capture_output=True, text=True,
                          timeout=seconds(LIMIT_S), check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_types_fit(tools):
    done = subprocess.run(["node_modules/.bin/tsc", "--noEmit"], cwd=WEB, capture_output=True, text=True,
                          timeout=seconds(LIMIT_S), check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("test", tests_of("tests.mjs"))
def test_page(mock, test):
    browse(mock.url, test)
