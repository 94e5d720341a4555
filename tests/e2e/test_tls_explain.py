# SPDX-License-Identifier: Apache-2.0
"""`maitred explain` knows what TLS would do: the certificate, who may come, and facts that are given."""

import pytest

from support.certs import Authority
from support.maitred import command, to_yaml


@pytest.fixture
def site(tmp_path):
    def make(**tls):
        cert = Authority(str(tmp_path)).issue("site", names=["a.example", "*.b.example"])
        path = tmp_path / "site.yaml"
        path.write_text(to_yaml({
            "listeners": [{"address": "127.0.0.1:4443", "tls": {"certificates": [{"certificate": cert.chain, "key": cert.key}], **tls}},
                          {"address": "127.0.0.1:8080"}],
            "routes": [{"name": "bot", "when": "tls.ja4 == 'bad'", "use": [{"respond": {"status": 403}}]},
                       {"name": "known", "when": "tls.client.verified", "use": [{"respond": {"status": 200}}]},
                       {"name": "old", "when": "tls.version == '1.2'", "use": [{"respond": {"status": 426}}]},
                       {"name": "rest", "use": [{"respond": {"status": 200}}]}]}))
        return lambda *args: explained(path, *args)
    return make


def explained(path, url, *args):
    result = command("explain", "-c", str(path), "GET", url, *args)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    return lines[0], next(line.split()[1] for line in lines if line.startswith("route "))


def test_the_certificate_is_named(site):
    explain = site()
    assert "the certificate is that of `a.example`, valid until 20" in explain("https://a.example/")[0]
    assert "the certificate is that of `a.example`" in explain("https://x.b.example/")[0]
    assert "the default, that of `a.example`" in explain("https://elsewhere.example/")[0]
    assert explain("http://a.example/")[0] == "listener 127.0.0.1:8080"


def test_a_refusal_is_told(site):
    assert "`elsewhere.example`: its handshake is refused" in site(unknown_names="refuse")("https://elsewhere.example/")[0]


def test_facts_of_the_connection_decide(site):
    explain = site()
    assert explain("https://a.example/")[1] == "rest"
    assert explain("https://a.example/", "--tls", "ja4=bad")[1] == "bot"
    assert explain("https://a.example/", "--tls", "client.subject=CN=me")[1] == "known"
    assert explain("https://a.example/", "--tls", "version=1.2")[1] == "old"


def test_a_fact_that_there_is_not(site, tmp_path):
    site()
    result = command("explain", "-c", str(tmp_path / "site.yaml"), "GET", "https://a.example/", "--tls", "colour=red")
    assert result.returncode == 2 and "ja4=" in result.stderr
