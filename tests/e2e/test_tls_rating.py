# SPDX-License-Identifier: Apache-2.0
"""testssl.sh finds nothing weak in the default profile."""
import json
import shutil
import subprocess

import pytest

from support.certs import Authority
from support.tls import HTTP1
from support.wait import SLOW, seconds

TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")

# What it says of things that are not ours: the test's certificate and machine, and what a site's own headers
# would be.
NOT_OURS = {"cert_revocation", "DNS_CAArecord", "security_headers", "engine_problem", "cert_chain_of_trust",
            "cert_trust", "overall_grade"}


def left_too_early(item):
    """On a busy machine its client leaves before the ticket has come; test_tls_sessions.py looks at resumption."""
    return item["id"].startswith("sessionresumption") and "connect problem" in item["finding"]


@pytest.mark.skipif(not TESTSSL, reason="testssl.sh is not installed")
@pytest.mark.skipif(bool(SLOW), reason="it waits for nobody")
def test_nothing_weak(stage):
    folder = stage.folder()
    ca = Authority(folder)
    made = [ca.issue(kind, ["localhost"], kind=kind, more="extendedKeyUsage=serverAuth\n") for kind in ("ec", "rsa")]
    proxy = stage.proxy(routes=[{"use": [{"respond": {"status": 200, "text": "hello"}}]}], listener={
        "tls": {"certificates": [{"certificate": c.chain, "key": c.key} for c in made]}, **HTTP1})
    port = proxy.address.rsplit(":", 1)[1]
    subprocess.run([TESTSSL, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca",
                    ca.root_path, "--protocols", "--standard", "--server-preference", "--server-defaults", "--pfs",
                    "--headers", "--vulnerable", "--jsonfile", f"{folder}/found.json", f"localhost:{port}"],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds(170),
                   check=False)
    with open(f"{folder}/found.json") as file:
        found = json.load(file)
    said = {item["id"]: item for item in found}
    assert said["TLS1_3"]["severity"] == "OK" and said["ROBOT"]["severity"] == "OK" and len(found) > 60
    weak = [item for item in found if item["severity"] not in ("OK", "INFO") and not left_too_early(item) and
            item["id"].split()[0] not in NOT_OURS]
    assert not weak, weak
