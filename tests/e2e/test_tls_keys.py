# SPDX-License-Identifier: Apache-2.0
"""Private keys that stay in a token (PKCS#11), proved with SoftHSM."""
import os

import pytest

from support import softhsm
from support.certs import Authority, write
from support.maitred import command, site
from support.tls import HTTP1, SecureClient, context, s_client

pytestmark = pytest.mark.skipif(not softhsm.is_available(), reason=softhsm.REASON)


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def web(module_stage):
    return softhsm.Token(module_stage.folder())


def test_keys_in_a_token_sign_handshakes(stage, ca, web):
    certificates = [ca.issue("token-ec", ["example.test"]), ca.issue("token-rsa", ["example.test"], kind="rsa")]
    tls = {"certificates": [{"certificate": c.chain, "key": web.take(c, i + 1)} for i, c in enumerate(certificates)]}
    text = site(routes=[{"use": [{"respond": {"status": 200, "text": "hello"}}]}], listener={"tls": tls, **HTTP1})
    proxy = stage.run(text, env=web.env)
    for _ in range(2):
        for algorithms, kind in (("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256", "rsaEncryption")):
            said = s_client(proxy.address, "-servername", "example.test", "-sigalgs", algorithms)
            assert f"a:PKEY: {kind}" in said and "Peer signature type" in said, said
        for _ in range(8):  # both workers
            with SecureClient(proxy.address, ctx=context(ca.root_path)) as client:
                assert client.get().body == b"hello"
        proxy.reload(text)


def test_what_is_wrong_is_said_without_the_pin(stage, ca, web):
    cert, other = ca.issue("token-a", ["a.test"]), ca.issue("token-b", ["b.test"])
    uri = web.take(other, 7)
    path = os.path.join(stage.folder(), "site.yaml")
    for key, words in ((uri, "the private key belongs to none of the 2 certificates"),
                       (uri.replace("token-b", "nobody"), "the private key cannot be had from `pkcs11`: "),
                       (uri.partition("&")[0], "the private key cannot be had from `pkcs11`: "),  # no PIN
                       ("nothing:object=x?pin-value=4711", "the private key cannot be had from `nothing`: ")):
        write(path, site(routes=[], listener={"address": ":1", "tls": {"certificates": [
            {"certificate": cert.chain, "key": key}]}, **HTTP1}).replace("@dir@", "/tmp"))
        done = command("check", "-c", path, env=web.env)
        message = next(line for line in done.stderr.splitlines() if " error: " in line)
        assert done.returncode != 0 and words in message and cert.chain in message, done.stderr
        assert "pin-" not in message


def test_two_modules_are_one_too_many(stage, ca, web):
    cert = ca.issue("token-c", ["c.test"])
    uri = web.take(cert, 9)
    path = write(os.path.join(stage.folder(), "site.yaml"), site(routes=[], listener={
        "address": ":1", "tls": {"certificates": [{"certificate": cert.chain, "key": key} for key in (
            uri, uri.replace(softhsm.MODULE, "/usr/lib/other.so"))]}, **HTTP1}).replace("@dir@", "/tmp"))
    done = command("check", "-c", path, env=web.env)
    assert done.returncode != 0
    assert f"keys are in use from `pkcs11` with {softhsm.MODULE} already, and all must be from there" in done.stderr
