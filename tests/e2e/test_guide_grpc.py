# SPDX-License-Identifier: Apache-2.0
"""What the guide says of gRPC: its examples are good, and each of them carries calls."""
import os
import re

import pytest

from support.certs import Authority
from support.grpc_server import SERVICE, GrpcServer, channel, unary
from support.maitred import ROOT, Maitred, command

with open(os.path.join(ROOT, "docs", "guide", "http2.md")) as _file:
    EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", _file.read().partition("\n## gRPC\n")[2], re.M | re.S)
NUMBERS = pytest.mark.parametrize("number", range(len(EXAMPLES)))


@pytest.fixture(scope="module")
def certificate(module_stage):
    return Authority(module_stage.folder()).issue("site", ["localhost"])


def furnished(text, certificate):
    return text.replace("site.pem", certificate.chain).replace("site.key", certificate.key)


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@NUMBERS
def test_an_example_is_valid(stage, certificate, number):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(furnished(EXAMPLES[number], certificate))
    done = command("check", "-c", path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@NUMBERS
def test_an_example_carries_calls(stage, certificate, number):
    server, proxy = stage.use(GrpcServer("a")), Maitred(start=False)
    text = furnished(EXAMPLES[number], certificate).replace("/shop.Cart/", SERVICE)
    text = re.sub(r"10\.0\.0\.[12]:50051", server.address, re.sub(r'":8\d+"', '"@listen@"', text))
    with stage.use(proxy):
        proxy.write(text.replace(f"[{server.address}, {server.address}]", f"[{server.address}]"))
        proxy.start()
        trusted = (os.path.join(os.path.dirname(certificate.chain), "Test-root.leaf.pem"), "localhost")
        with channel(proxy.address, *(trusted if "tls:" in text.partition("upstreams:")[0] else ())) as on:
            assert unary(on, "Unary", b"as the guide says").response == b"as the guide says"
