# SPDX-License-Identifier: Apache-2.0
"""What the guide says of deploying changes: its examples are served, and its commands, one after the other, say
what it shows."""
import os
import re
import shlex

from support.client import get
from support.maitred import ROOT, Maitred, command

with open(os.path.join(ROOT, "docs", "guide", "deploying.md")) as page:
    SECTION = page.read().split("## Deploying changes\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```(yaml|console)\n(.*?)^```$", SECTION, re.M | re.S)
SERVED, NEW = (text for kind, text in BLOCKS if kind == "yaml")
SHOWN = [text for kind, text in BLOCKS if kind == "console"]


def relocated(text):
    text = text.replace('":8080"', '"@listen@"').replace("10.0.0.", "127.0.0.")
    return text.replace("state: /var/lib/maitred", 'state: "@dir@/state", listen: "unix:@dir@/admin.sock"')


def as_shown(proxy, said):
    """With the guide's addresses and paths; times and the user differ from run to run."""
    said = said.replace(proxy.dir, "/etc/maitred").replace("127.0.0.", "10.0.0.")
    said = re.sub(r"socket:\d+", "socket:0", said)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", said)


def commands(block):
    """Pairs of a command line and what it prints."""
    return re.findall(r"^\$ (maitred .*)\n((?:(?!\$ maitred).*\n)*)", block, re.M)


def test_there_are_examples():
    assert sum(len(commands(b)) for b in SHOWN) >= 8


def test_what_is_shown_is_said(stage):
    proxy = stage.use(Maitred(start=False))
    proxy.write(relocated(SERVED))
    proxy.start()
    for path in ("/shop/help", "/shop/help", "/shop/1", "/"):
        get(proxy.address, path, [("Host", "www.example.com")])
    with open(f"{proxy.dir}/new.yaml", "w") as file:
        file.write(proxy.fill_in(relocated(NEW)))
    for line, shown in (pair for block in SHOWN for pair in commands(block)):
        done = command(*shlex.split(line)[1:], env={"MAITRED_ADMIN": f"unix:{proxy.dir}/admin.sock"},
                       cwd=proxy.dir)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert as_shown(proxy, done.stdout) == as_shown(proxy, shown), line
