# SPDX-License-Identifier: Apache-2.0
"""
The guide on servers never lies: each of its examples is a whole configuration without a warning that, with
free addresses put in, answers; and what it shows of `maitred explain` is what that says.
"""
import atexit
import functools
import os
import re
import shlex
import shutil

import pytest

from support import mmdb
from support.certs import Authority
from support.client import get
from support.daemons import nginx
from support.maitred import ROOT, Maitred, command
from support.maitred import folder as new_folder
from support.wait import eventually

GUIDE = os.path.join(ROOT, "docs", "guide")
DATABASE = "/var/lib/GeoIP/GeoLite2-City.mmdb"


def _read(name):
    with open(os.path.join(GUIDE, name)) as file:
        return file.read()


BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", _read("servers.md"), re.M | re.S)
EXAMPLES = [text for kind, text in BLOCKS if kind == "yaml"]
# What the guide shows, with the example that stands before it.
SHOWN = [(BLOCKS[i - 1][1], text) for i, (kind, text) in enumerate(BLOCKS) if kind == "console"]


def furnished(folder, text):
    """The example with what it needs beside it: its files, and a database in place of the real one."""
    mmdb.write(f"{folder}/places.mmdb", {"192.0.2.0/24": mmdb.place(53.3, -6.3)})
    with open(f"{folder}/sticky.key", "w") as file:
        file.write("0123456789abcdef0123456789abcdef")
    if "internal-ca.pem" in text:
        shutil.copy(authority().root_path, f"{folder}/internal-ca.pem")
    os.chmod(folder, 0o755)
    return text.replace(DATABASE, f"{folder}/places.mmdb")


def relocated(text, origin):
    """With a free address to listen on, our origin for all servers, and the log in the proxy's folder."""
    text = text.replace('listeners: [":8080"]', 'listeners: ["@listen@"]').replace("/var/log/maitred/", "@dir@/")
    return re.sub(r"10\.\d+\.\d+\.\d+:\d+|app\.internal:8080|unix:/run/app\.sock", origin.address, text)


@functools.lru_cache
def authority():
    """Who has issued the certificates of servers that speak TLS."""
    made = new_folder()
    atexit.register(shutil.rmtree, made, True)
    return Authority(made)


def server_for(stage, text):
    """What the example's servers are: they speak TLS where it says so."""
    if "internal-ca.pem" not in text:
        return stage.origin()
    made = authority().issue("server", names=["app.internal"])
    return stage.use(nginx(f"ssl_certificate {made.chain}; ssl_certificate_key {made.key};"
                           "location / { return 200 ok; }", listen="ssl http2"))


def saved(folder, text):
    path = f"{folder}/site.yaml"
    with open(path, "w") as file:
        file.write(furnished(folder, text))
    return path


def test_there_are_examples():
    assert len(EXAMPLES) >= 12 and SHOWN


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, number):
    done = command("check", "-c", saved(stage.folder(), EXAMPLES[number]))
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_answers(stage, number):
    origin, proxy = server_for(stage, EXAMPLES[number]), Maitred(start=False)
    with stage.use(proxy):
        proxy.write(relocated(furnished(proxy.dir, EXAMPLES[number]), origin))
        proxy.start()
        eventually(lambda: get(proxy.address).status == 200, 10, "a server answers")


@pytest.mark.parametrize("text, shown", SHOWN)
def test_what_is_shown_is_said(stage, text, shown):
    line, said = shown.split("\n", 1)
    arguments = shlex.split(line.removeprefix("$ maitred "))
    arguments[arguments.index("site.yaml")] = saved(stage.folder(), text)
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout[done.stdout.index("upstream "):] == said


def test_each_reason_has_a_row():
    """What the program may say, the guide has advice for."""
    reference = command("reference").stdout
    table = reference[reference.index("## Reasons"):].split("\n## ")[0]
    reasons = set(re.findall(r"^\| `(\w+)` \|", table, re.M)) - {"none"}
    rows = re.findall(r"^\| (`.*?) \|", _read("timeouts-and-reasons.md"), re.M)
    assert len(reasons) > 30
    assert reasons <= set(re.findall(r"`(\w+)`", " ".join(rows))), "without a row"


@pytest.mark.parametrize("name", sorted(n for n in os.listdir(GUIDE) if n.endswith(".md")))
def test_links_lead_somewhere(name):
    text = re.sub(r"^```.*?^```$", "", _read(name), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`]*`", "", text)):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        whole = os.path.normpath(os.path.join(GUIDE, path)) if path else os.path.join(GUIDE, name)
        assert os.path.exists(whole), f"{name}: {target}"
        if anchor:
            with open(whole) as file:
                titles = re.findall(r"^#+ (.*)$", file.read(), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert anchor in anchors, f"{name}: {target}"
