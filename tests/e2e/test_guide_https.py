# SPDX-License-Identifier: Apache-2.0
"""The guide on HTTPS never lies: its examples are good, and answer over TLS."""
import os
import re
import shutil

import pytest

from support import softhsm
from support.certs import Authority
from support.client import get
from support.maitred import ROOT, Maitred, command
from support.origin import answer_echo, serve_forever
from support.tls import SecureClient, context, s_client

with open(os.path.join(ROOT, "docs", "guide", "https.md")) as _file:
    TEXT = _file.read()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.M | re.S)
FOLDER = "/etc/maitred"
KEYLOG = "/tmp/maitred-keys"


class Furniture:
    """A folder with all that the examples refer to."""

    def __init__(self, stage):
        self.folder = stage.folder()
        self.ca = Authority(self.folder)
        self.env = {}
        site = self.ca.issue("site-made", ["www.example.com", "localhost"])
        rsa = self.ca.issue("rsa-made", ["www.example.com"], kind="rsa")
        wild = self.ca.issue("wild-made", ["*.example.net"])
        self.client = self.ca.issue("alice", ["alice.example.com"], subject="/O=Example/CN=alice")
        for name, cert in (("site", site), ("example.com-ecdsa", site), ("example.com-rsa", rsa),
                           ("wildcard.example.net", wild)):
            cert.join(f"{name}.pem", cert.chain, cert.key)
        for path, name in ((site.chain, "site.crt"), (site.key, "site.key"), (self.ca.ocsp(site), "site.ocsp"),
                           (self.ca.root_path, "clients-ca.pem")):
            shutil.copy(path, f"{self.folder}/{name}")
        os.mkdir(f"{self.folder}/certificates")
        shutil.copy(f"{self.folder}/site.pem", f"{self.folder}/certificates/site.pem")
        if softhsm.is_available():
            self.web = softhsm.Token(f"{self.folder}/web", label="web")
            self.env = self.web.env
            self.web.take(site, 1, label="site")
        os.chmod(self.folder, 0o755)

    def put_in(self, text):
        if softhsm.is_available():
            text = text.replace(f"file:{FOLDER}/pin", f"file:{self.folder}/web/pin")
        return text.replace(FOLDER, self.folder).replace(KEYLOG, f"{self.folder}/keys")


@pytest.fixture(scope="module")
def furniture(module_stage):
    return Furniture(module_stage)


def skip_without_token(text):
    if "pkcs11:" in text and not softhsm.is_available():
        pytest.skip(softhsm.REASON)


def test_there_are_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, furniture, number):
    skip_without_token(EXAMPLES[number])
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(furniture.put_in(EXAMPLES[number]))
    done = command("check", "-c", path, env=furniture.env)
    assert done.returncode == 0, done.stderr
    assert not done.stderr or "keylog" in EXAMPLES[number] and "can decrypt recorded connections" in done.stderr


def started(stage, furniture, text):
    skip_without_token(text)
    proxy = Maitred(start=False, env=furniture.env)
    stage.use(proxy)
    origin = stage.origin(serve_forever(answer_echo))
    text = furniture.put_in(text).replace('":443"', '"@listen@"').replace('":80"', '"@listen2@"')
    proxy.write(text.replace("10.0.0.1:8080", origin.address))
    proxy.start()
    return proxy, origin


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_answers(stage, furniture, number):
    proxy, _ = started(stage, furniture, EXAMPLES[number])
    with SecureClient(proxy.address, "www.example.com", ctx=context(furniture.ca.root_path)) as client:
        answer = client.get()
        assert answer.status == 200 and answer.has("Strict-Transport-Security")
    if "redirect" in EXAMPLES[number]:
        answer = get(proxy.names["listen2"], "/x", host="www.example.com")
        assert (answer.status, answer.get("Location")) == (308, "https://www.example.com/x")


def example(word):
    return next(text for text in EXAMPLES if word in text)


def test_the_example_with_clients(stage, furniture):
    proxy, origin = started(stage, furniture, example("X-Client-Subject"))
    forged = [("X-Client-Subject", "CN=forged"), ("X-Client-Names", "forged")]
    for certificate, target, status, subject in ((None, "/", 200, None), (None, "/admin/", 403, None),
                                                 (furniture.client, "/admin/", 200, "CN=alice,O=Example")):
        with SecureClient(proxy.address, "www.example.com", ctx=context(certificate=certificate)) as client:
            assert client.get(target, fields=forged).status == status
        if status == 200:
            assert origin.requests[-1].get("X-Client-Subject") == subject
    assert origin.requests[-1].get("X-Client-Names") == "alice.example.com"


def test_the_example_with_subdomains(stage, furniture):
    proxy, _ = started(stage, furniture, example("includeSubDomains"))
    with SecureClient(proxy.address, "www.example.com") as client:
        assert client.get().all("Strict-Transport-Security") == ["max-age=31536000; includeSubDomains"]


def test_the_example_with_a_response(stage, furniture):
    proxy, _ = started(stage, furniture, example("ocsp:"))
    assert "Cert Status: good" in s_client(proxy.address, "-servername", "www.example.com", "-status")


def test_what_the_log_says_is_what_the_page_says(stage, furniture):
    proxy, _ = started(stage, furniture, example("unknown_names"))
    said = TEXT.partition("| no TLS with")[2]
    assert "the client speaks HTTP without TLS" in said and "This port speaks HTTPS" in said
    assert get(proxy.address).body.startswith(b"This port speaks HTTPS")
    assert "no TLS with" in proxy.stderr and "the client speaks HTTP without TLS" in proxy.stderr
