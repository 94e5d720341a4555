# SPDX-License-Identifier: Apache-2.0
"""
The guide on the API never lies: its examples are good configurations, and its commands, one after the other, say
what is shown, hashes, numbers of users and `...` aside.
"""
import os
import re
import subprocess

import pytest

from support.certs import Authority
from support.maitred import ROOT, Maitred, command
from support.wait import seconds

with open(os.path.join(ROOT, "docs", "guide", "api.md")) as _file:
    TEXT = _file.read()
BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", TEXT, re.M | re.S)
EXAMPLES = [text for kind, text in BLOCKS if kind == "yaml"]
COMMANDS = [shown for kind, text in BLOCKS if kind == "console"
            for shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", text, re.M)]
SOCKET = "/run/maitred/admin.sock"


def test_there_are_examples():
    assert len(EXAMPLES) >= 2 and len(COMMANDS) >= 12


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, number):
    folder = stage.folder()
    certificate = Authority(folder).issue("admin", ["localhost"])
    text = EXAMPLES[number].replace("admin.pem", certificate.chain).replace("admin.key", certificate.key)
    for name in ("prometheus", "oncall", "ci"):
        with open(f"{folder}/{name}.token", "w") as file:
            file.write(f"a token of more than 16 bytes for {name}\n")
    with open(f"{folder}/site.yaml", "w") as file:
        file.write(text.replace("/etc/maitred", folder))
    done = command("check", "-c", f"{folder}/site.yaml")
    assert done.returncode == 0 and not done.stderr, done.stderr


def blurred(text):
    """Without what differs from run to run."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "HASH", text)
    return re.sub(r"socket:\d+", "socket:UID", text)


def as_pattern(shown):
    return ".*".join(re.escape(part) for part in blurred(shown).split("..."))


def test_commands_say_what_is_shown(stage):
    proxy = Maitred(start=False)
    stage.use(proxy)
    proxy.write(EXAMPLES[0].replace('[":8080"]', '["@listen@"]').replace(
        SOCKET, "@dir@/admin.sock").replace("/var/lib/maitred", "@dir@/state"))
    proxy.start()
    for asked, shown in COMMANDS:
        done = subprocess.run(asked.replace(SOCKET, f"{proxy.dir}/admin.sock"), shell=True, text=True,
                              stdout=subprocess.PIPE, timeout=seconds(20), check=True)
        said = done.stdout.replace(proxy.config, "/etc/maitred/site.yaml")
        assert re.fullmatch(as_pattern(shown.strip()), blurred(said.strip()), re.S), f"{asked}\n{said}"


def test_every_operation_is_in_the_guide():
    """As far as its path is not variable."""
    paths = set()
    for name in os.listdir(os.path.join(ROOT, "src", "control")):
        if name.startswith("resource_") and name.endswith(".c"):
            with open(os.path.join(ROOT, "src", "control", name)) as file:
                paths |= set(re.findall(r'\{METHOD_\w+, "([^"{]*)', file.read()))
    missing = [p for p in paths if p.rstrip("/") not in TEXT]
    assert len(paths) > 15 and not missing
