# SPDX-License-Identifier: Apache-2.0
"""Certificates of clients (mutual TLS): who gets in, and what servers hear of them."""
import hashlib
import ssl

import pytest

from support.certs import Authority
from support.tls import HTTP1, SecureClient, context, s_client
from support.wait import eventually

FACTS = "${tls.client.verified}|${tls.client.subject}|${tls.client.san}|${tls.client.fingerprint}"


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def strangers(module_stage):
    return Authority(module_stage.folder(), "Strangers")


@pytest.fixture(scope="module")
def alice(ca):
    return ca.issue("alice", ["alice.example.test", "email:alice@example.test", "IP:192.0.2.9", "URI:spiffe://x/alice"],
                    subject="/O=Example/CN=alice")


def start(stage, ca, mode):
    certificate = ca.issue(f"site-{mode}", ["example.test"])
    return stage.proxy(routes=[{"use": [{"respond": {"status": 200, "text": FACTS}}]}], listener={"tls": {
        "certificates": {"certificate": certificate.chain, "key": certificate.key},
        "client": {"ca": ca.root_path, "mode": mode}}, **HTTP1})


@pytest.fixture(scope="module")
def required(module_stage, ca):
    return start(module_stage, ca, "required")


@pytest.fixture(scope="module")
def optional(module_stage, ca):
    return start(module_stage, ca, "optional")


def facts(proxy, certificate=None, version=None):
    with SecureClient(proxy.address, ctx=context(certificate=certificate, version=version)) as client:
        return client.get().body.decode().split("|")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_a_certificate_says_is_known(required, alice, version):
    verified, subject, names, fingerprint = facts(required, alice, version)
    assert verified == "true"
    assert subject == "CN=alice,O=Example"
    assert names == "alice.example.test,alice@example.test,192.0.2.9,spiffe://x/alice"
    with open(alice.leaf) as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    assert fingerprint == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_one_nobody_gets_in(required, version):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        facts(required, version=version)
    eventually(lambda: "peer did not return a certificate" in required.stderr)


def test_one_that_somebody_else_issued_is_refused(required, optional, strangers):
    mallory = strangers.issue("mallory", ["alice.example.test"], subject="/O=Example/CN=alice")
    for proxy in (required, optional):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            facts(proxy, mallory)
        eventually(lambda: "certificate not accepted: " in proxy.stderr)


def test_an_expired_one_is_refused(required, ca):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        facts(required, ca.expired("late", ["alice.example.test"]))
    eventually(lambda: "certificate has expired" in required.stderr)


def test_optional_lets_everybody_in_and_tells_who(optional, alice):
    assert facts(optional) == ["false", "", "", ""]
    assert facts(optional, alice)[:2] == ["true", "CN=alice,O=Example"]


def test_a_resumed_connection_still_knows_its_client(optional, alice):
    ctx = context(certificate=alice)
    with SecureClient(optional.address, ctx=ctx) as client:
        first = client.get().body
        session = client.sock.session
    with SecureClient(optional.address, ctx=ctx, session=session) as client:
        assert client.get().body == first
        assert client.sock.session_reused


def test_servers_get_to_know_it_by_fields(stage, ca, alice):
    certificate = ca.issue("fields", ["example.test"])
    origin = stage.origin()
    proxy = stage.proxy(origin, use=[{"headers": {"request": {"set": {
        "X-Client-Cert": "${tls.client.subject}"}}}}], listener={"tls": {
            "certificates": {"certificate": certificate.chain, "key": certificate.key},
            "client": {"ca": ca.root_path, "mode": "optional"}}, **HTTP1})
    for who, seen in ((alice, "CN=alice,O=Example"), (None, None)):
        with SecureClient(proxy.address, ctx=context(certificate=who)) as client:
            client.get(fields=[("X-Client-Cert", "CN=forged")])
        assert origin.requests[-1].get("X-Client-Cert") in ((seen,) if seen else (None, ""))


def test_the_handshake_names_the_authorities(required):
    said = s_client(required.address, "-servername", "example.test")
    assert "Acceptable client certificate CA names\nCN = Test root" in said, said
