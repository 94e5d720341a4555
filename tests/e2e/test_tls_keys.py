# SPDX-License-Identifier: Apache-2.0
"""Private keys that stay in a token (PKCS#11), proved with SoftHSM."""
import os
import shutil
import subprocess

import pytest

from support.certs import Authority, openssl, write
from support.maitred import command, site
from support.tls import HTTP1, SecureClient, context, s_client

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
ENGINE = "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so"
PIN = "4711"

pytestmark = pytest.mark.skipif(
    not (shutil.which("softhsm2-util") and os.path.exists(MODULE) and os.path.exists(ENGINE)),
    reason="softhsm2 or libengine-pkcs11-openssl is not installed")


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


class Token:
    def __init__(self, folder):
        self.folder = folder
        tokens = os.path.join(folder, "tokens")
        os.mkdir(tokens)
        with open(os.path.join(folder, "softhsm2.conf"), "w") as file:
            file.write(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        with open(os.path.join(folder, "pin"), "w") as file:
            file.write(PIN)
        self.env = {"SOFTHSM2_CONF": os.path.join(folder, "softhsm2.conf")}
        self.run("--init-token", "--free", "--label", "web", "--pin", PIN, "--so-pin", "0815")

    def run(self, *args):
        subprocess.run(["softhsm2-util", *args], env={**os.environ, **self.env}, check=True, timeout=30,
                       stdout=subprocess.DEVNULL)

    def take(self, cert, number):
        """The key moves in: its file is gone.  The URI that names it."""
        pkcs8 = cert.key + ".p8"
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", cert.key, "-out", pkcs8)
        self.run("--import", pkcs8, "--token", "web", "--label", cert.name, "--id", f"{number:02x}", "--pin", PIN)
        os.unlink(pkcs8)
        os.unlink(cert.key)
        for path, folders, files in os.walk(self.folder):  # for the worker, who has dropped root
            for name in folders + files + ["."]:
                os.chmod(os.path.join(path, name), 0o777)
        return f"pkcs11:token=web;object={cert.name}?module-path={MODULE}&pin-source=file:{self.folder}/pin"


@pytest.fixture(scope="module")
def token(module_stage):
    return Token(module_stage.folder())


def test_keys_in_a_token_sign_handshakes(stage, ca, token):
    certificates = [ca.issue("token-ec", ["example.test"]), ca.issue("token-rsa", ["example.test"], kind="rsa")]
    tls = {"certificates": [{"certificate": c.chain, "key": token.take(c, i + 1)} for i, c in enumerate(certificates)]}
    text = site(routes=[{"use": [{"respond": {"status": 200, "text": "hello"}}]}], listener={"tls": tls, **HTTP1})
    proxy = stage.run(text, env=token.env)
    for _ in range(2):
        for algorithms, kind in (("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256", "rsaEncryption")):
            said = s_client(proxy.address, "-servername", "example.test", "-sigalgs", algorithms)
            assert f"a:PKEY: {kind}" in said and "Peer signature type" in said, said
        for _ in range(8):  # both workers
            with SecureClient(proxy.address, ctx=context(ca.root_path)) as client:
                assert client.get().body == b"hello"
        proxy.reload(text)


def test_what_is_wrong_is_said_without_the_pin(stage, ca, token):
    cert, other = ca.issue("token-a", ["a.test"]), ca.issue("token-b", ["b.test"])
    uri = token.take(other, 7)
    path = os.path.join(stage.folder(), "site.yaml")
    for key, words in ((uri, "the private key belongs to none of the 2 certificates"),
                       (uri.replace("token-b", "nobody"), "the private key cannot be had from `pkcs11`: "),
                       ("nothing:object=x?pin-value=4711", "the private key cannot be had from `nothing`: ")):
        write(path, site(routes=[], listener={"address": ":1", "tls": {"certificates": [
            {"certificate": cert.chain, "key": key}]}, **HTTP1}).replace("@dir@", "/tmp"))
        done = command("check", "-c", path, env=token.env)
        message = next(line for line in done.stderr.splitlines() if " error: " in line)
        assert done.returncode != 0 and words in message and cert.chain in message, done.stderr
        assert "pin-" not in message
