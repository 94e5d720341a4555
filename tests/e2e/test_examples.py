# SPDX-License-Identifier: Apache-2.0
"""
The examples never lie: each one is checked as it is, then started with its addresses replaced by free
ones, and what it promises in comments must hold:

    # expect: GET /path www.example.com -> 200
"""
import glob
import os
import re
import shutil

import pytest
import yaml

from support.client import get
from support.maitred import ROOT, Maitred, command
from support.ports import free_port

FOLDER = os.path.join(ROOT, "examples")
FILES = sorted(os.path.relpath(path, FOLDER) for path in glob.glob(os.path.join(FOLDER, "*.yaml")))
EXPECT = re.compile(r"#\s*expect:\s*(\S+)\s+(\S+)(?:\s+([^\s>]+))?\s*->\s*(\d{3})\s*$", re.M)


def secrets(text):
    """Something for every variable of the environment that the example names."""
    return {found: "a secret of the tests" for found in re.findall(r"\$\{env:(\w+)\}", text)}


def test_there_are_examples():
    assert FILES


@pytest.mark.parametrize("name", FILES)
def test_it_is_valid(name):
    env = secrets(_read(name))
    done = command("check", "-c", os.path.join(FOLDER, name), env=env)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr


def _read(name):
    with open(os.path.join(FOLDER, name)) as file:
        return file.read()


def _member(node, key):
    """Value of a key in a YAML mapping node, None when it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next((v for k, v in node.value if k.value == key), None)
    return None


def _items(node):
    if node is None:
        return []
    return node.value if isinstance(node, yaml.SequenceNode) else [node]


class Edit:
    """Collects replacements of scalars by their places in the text, so that all else stays as written."""

    def __init__(self, text):
        self.text, self.changes = text, []
        self.tree = yaml.compose(text)

    def put(self, node, new):
        self.changes.append((node.start_mark.index, node.end_mark.index, f"'{new}'"))

    def done(self):
        for start, end, new in sorted(self.changes, reverse=True):
            self.text = self.text[:start] + new + self.text[end:]
        return self.text


def relocate(text, origin, folder):
    """The example with free addresses, our origin for its servers, and its logs in a folder: (text, address)."""
    edit, addresses = Edit(text), []
    admin = _member(edit.tree, "admin")
    for listener in _items(_member(admin, "listen")):
        edit.put(_member(listener, "address") or listener, f"127.0.0.1:{free_port()}")
    if admin is not None:
        edit.put(_member(admin, "state"), f"{folder}/state")
    for listener in _items(_member(edit.tree, "listeners")):
        where = _member(listener, "address") or listener
        old = where.value
        if old.startswith("unix:"):
            addresses.append(f"unix:{folder}/front{len(addresses)}.sock")
        else:
            addresses.append(f"127.0.0.1:{free_port()}")
        edit.put(where, addresses[-1])
    upstreams = _member(edit.tree, "upstreams")
    for _, upstream in upstreams.value if upstreams else []:
        servers = _member(upstream, "servers") if isinstance(upstream, yaml.MappingNode) else upstream
        for server in _items(servers):
            edit.put(_member(server, "address") or server, origin.address)
    for route in _items(_member(edit.tree, "routes")):
        to = _member(route, "to")
        targets = [key for key, _ in to.value] if isinstance(to, yaml.MappingNode) else [to] if to is not None else []
        for target in targets:
            if target.value.startswith("http://"):
                edit.put(target, "http://" + origin.address)
    for number, log in enumerate(_items(_member(edit.tree, "access_log"))):
        to = _member(log, "to") or log
        if to.value not in ("stdout", "stderr"):
            edit.put(to, f"{folder}/log{number}")
    return edit.done(), addresses


@pytest.mark.parametrize("name", FILES)
def test_it_does_what_it_says(stage, name):
    origin = stage.origin()
    text = _read(name)
    expectations = EXPECT.findall(text)
    assert expectations, "an example says what to expect: `# expect: GET / -> 200`"
    proxy = Maitred(start=False, env=secrets(text))
    with stage.use(proxy):
        shutil.copytree(FOLDER, os.path.join(proxy.dir, "examples"))
        text, addresses = relocate(text, origin, proxy.dir)
        proxy.config = os.path.join(proxy.dir, "examples", name)
        proxy.write(text)
        proxy.start()
        for method, target, host, status in expectations:
            response = get(addresses[0], target, method=method, host=host or "localhost")
            assert response.status == int(status), f"{method} {target} {host}: {response.status}"
