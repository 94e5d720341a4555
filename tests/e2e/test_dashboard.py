# SPDX-License-Identifier: Apache-2.0
"""
The dashboard in Debian's Chromium: its tests are JavaScript (web/test), each is run here by its name; most
against a mock of the admin API, so that rare states can be had, the last ones against the real program.
Skipped where npm or its registry, or Chromium, cannot be had.
"""
import gzip
import os
import re
import shutil
import subprocess
import threading

import pytest

from support.admin_mock import AdminMock
from support.client import get
from support.maitred import ROOT, Maitred
from support.wait import seconds

WEB = os.path.join(ROOT, "web")
TOOL = os.path.join(ROOT, "tools", "web")
LIMIT_S = 150


def names_in(name):
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


def test_parts_without_a_browser(tools):
    done = subprocess.run(["node", "--test", "test/units.mjs"], cwd=WEB, capture_output=True, text=True,
                          timeout=seconds(LIMIT_S), check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("test", names_in("tests.mjs"))
def test_page(mock, test):
    browse(mock.url, test)


# ------------------------------------------------------------------ the real program

SITE = """
listeners: ["@listen@"]
upstreams:
  app: {servers: ["@one@", "@two@"]}
routes:
  - {name: teapot, path: /teapot, use: [{respond: {status: 418, text: short and stout}}]}
  - {name: everything, path: /, use: [cache], to: app}
tracing: {sample: 100%}
analytics: {}
admin:
  listen: "@listen2@"
  state: "@dir@/state"
  tokens:
    - {name: ops, token: token-of-the-admin, right: admin}
    - {name: night, token: token-of-the-night, right: operate}
"""


class Guests:
    """Somebody always asks for something."""

    def __init__(self, address):
        self.address, self.over = address, threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self):
        count = 0
        while not self.over.wait(0.02):
            count += 1
            get(self.address, f"/page/{count % 40}")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)


@pytest.fixture
def house(tools, stage):
    """A maitred with two servers behind it, and guests."""
    one, two = stage.origin(), stage.origin()
    proxy = stage.run(SITE, one=one, two=two)
    if b"/assets/" not in get(proxy.names["listen2"], "/").body:
        pytest.skip("this maitred was built without its dashboard")
    proxy.one, proxy.two = one, two
    stage.use(Guests(proxy.address))
    return proxy


def visit(house, test):
    os.environ["SITE"] = f"http://{house.address}"
    browse(f"http://{house.names['listen2']}", test)


@pytest.mark.parametrize("test", names_in("live.mjs"))
def test_real(house, test):
    visit(house, test)
    if "drained" in test:
        before = [len(o.requests) for o in (house.one, house.two)]
        for _ in range(20):
            get(house.address, f"/fresh/{os.urandom(4).hex()}")
        more = [len(o.requests) - n for o, n in zip((house.one, house.two), before)]
        assert min(more) == 0 and max(more) >= 20, more


def test_files_are_served_as_they_should_be(house):
    address = house.names["listen2"]
    page = get(address, "/", fields=[("Accept-Encoding", "gzip")])
    assert page.status == 200 and page.get("Content-Encoding") == "gzip" and page.get("Cache-Control") == "no-cache"
    policy = page.get("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert get(address, "/", fields=[("Accept-Encoding", "gzip"), ("If-None-Match", page.get("ETag"))]).status == 304
    html = gzip.decompress(page.body).decode()
    assert "://" not in html
    for path in re.findall(r'"(/assets/[^"]+)"', html):
        asset = get(address, path)
        assert asset.status == 200 and "immutable" in asset.get("Cache-Control") and asset.get("X-Content-Type-Options") == "nosniff"
    assert get(address, "/assets/none.js").status == 404
    assert get(address, "/", method="HEAD").status == 200
    assert get(address, "/", method="POST").status == 404


def test_the_example_of_the_guide_serves_it(tools, stage):
    with open(os.path.join(ROOT, "docs", "guide", "dashboard.md"), encoding="utf-8") as file:
        text = re.search(r"^```yaml\n(.*?)^```$", file.read(), re.M | re.S)[1]
    text = re.sub(r"10\.0\.0\.\d:8080", stage.origin().address, text).replace('":8080"', '"@listen@"')
    text = text.replace('"127.0.0.1:9900"', '"@listen2@"').replace("/etc/maitred/", "@dir@/")
    proxy = Maitred(start=False)
    with stage.use(proxy):
        for name in ("ops", "night"):
            with open(f"{proxy.dir}/{name}.token", "w", encoding="utf-8") as file:
                file.write(f"{name} {os.urandom(12).hex()}".replace(" ", "-"))
            os.chmod(f"{proxy.dir}/{name}.token", 0o644)
        proxy.write(text)
        proxy.start()
        assert get(proxy.names["listen2"], "/").status == 200
        assert get(proxy.address, "/").status == 200


def test_without_npm_there_is_a_page_that_says_so(stage):
    folder = stage.folder()
    os.symlink("/usr/bin/python3", f"{folder}/python3")
    done = subprocess.run(["/usr/bin/python3", TOOL, "embed", f"{folder}/out.c", f"{folder}/out.d"], env={"PATH": folder},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "*** web: the dashboard is left out of this build: npm and node are not installed" in done.stderr
    with open(f"{folder}/out.c", encoding="utf-8") as file:
        text = file.read()
    assert '{"/", "text/html' in text and "/assets/" not in text and "dashboard_policy" in text
