# SPDX-License-Identifier: Apache-2.0
"""Handshakes: names and certificates, versions, protocols, and clients that do not play by the rules."""
import re
import socket
import ssl
import subprocess
import time

import pytest

from support.certs import Authority
from support.client import exchange_bytes
from support.tls import HTTP1, SecureClient, connect, context, curl, s_client
from support.wait import eventually
from support.wire import Stream
from support.wire import connect as connect_plain

HELLO = [{"use": [{"respond": {"status": 200, "text": "hello"}}]}]


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def proxy(module_stage, ca):
    """Certificates of both kinds for one name, a wildcard, and another host."""
    certificates = [ca.issue("ec", ["example.test", "www.example.test"]),
                    ca.issue("rsa", ["example.test", "www.example.test"], kind="rsa"),
                    ca.issue("wild", ["*.wild.test", "exact.wild.test"]),
                    ca.issue("other", ["other.test"])]
    tls = {"certificates": [{"certificate": c.chain, "key": c.key} for c in certificates]}
    return module_stage.proxy(routes=HELLO, listener={"tls": tls, **HTTP1})


def names_shown(address, name, ca):
    """Names of the certificate that a client gets who asks for `name`."""
    ctx = context(ca.root_path)
    ctx.check_hostname = False
    with connect(address, name, ctx) as sock:
        return [value for kind, value in sock.getpeercert()["subjectAltName"] if kind == "DNS"]


def test_curl_trusts_the_chain(proxy, ca):
    assert curl("https://example.test/", ca=ca.root_path, address=proxy.address) == (0, b"hello", "")


@pytest.mark.parametrize("asked, shown", [
    ("example.test", "example.test"),
    ("WWW.Example.TEST", "example.test"),
    ("other.test", "other.test"),
    ("a.wild.test", "*.wild.test"),
    ("exact.wild.test", "*.wild.test"),
    ("a.b.wild.test", "example.test"),  # a star stands for one label
    ("wild.test", "example.test"),
    ("stranger.test", "example.test"),
    (None, "example.test"),
])
def test_the_name_chooses_the_certificate(proxy, ca, asked, shown):
    assert names_shown(proxy.address, asked, ca)[0] == shown


@pytest.mark.parametrize("kind, algorithms", [("id-ecPublicKey", "ECDSA+SHA256"), ("rsaEncryption", "RSA-PSS+SHA256")])
def test_a_client_gets_the_key_that_it_can_verify(proxy, kind, algorithms):
    said = s_client(proxy.address, "-servername", "example.test", "-sigalgs", algorithms)
    assert "Verify return code" in said
    assert f"a:PKEY: {kind}" in said, said


def test_versions(proxy):
    for version, wanted in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with connect(proxy.address, ctx=context(version=version)) as sock:
            assert sock.version() == wanted
    for old in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in s_client(proxy.address, old, "-cipher", "ALL:@SECLEVEL=0")


def test_only_good_ciphers_in_tls_1_2(proxy):
    for cipher in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"):
        assert "Cipher is (NONE)" in s_client(proxy.address, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"), cipher


def test_the_modern_profile_is_tls_1_3_only(stage, ca):
    site = ca.issue("modern", ["example.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}, "profile": "modern"}, **HTTP1})
    with connect(proxy.address) as sock:
        assert sock.version() == "TLSv1.3"
    assert "Cipher is (NONE)" in s_client(proxy.address, "-tls1_2")


def test_alpn(proxy):
    with connect(proxy.address, ctx=context(alpn=("http/1.1",))) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    with connect(proxy.address, ctx=context(alpn=None)) as sock:
        assert sock.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        connect(proxy.address, ctx=context(alpn=("imap",)))


def test_unknown_names_are_refused_where_that_is_wanted(stage, ca):
    site = ca.issue("refusing", ["example.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}, "unknown_names": "refuse"}, **HTTP1})
    assert names_shown(proxy.address, "example.test", ca) == ["example.test"]
    for name in ("stranger.test", None):
        with pytest.raises(ssl.SSLError, match="unrecognized name"):
            connect(proxy.address, name)
    eventually(lambda: "no certificate is for the name `stranger.test`" in proxy.stderr)


def test_the_default_certificate_can_be_named(stage, ca):
    first, second = ca.issue("first", ["first.test"]), ca.issue("second", ["second.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": [{"certificate": c.chain, "key": c.key} for c in (first, second)], "default": "second.test"},
        **HTTP1})
    assert names_shown(proxy.address, "stranger.test", ca) == ["second.test"]
    assert names_shown(proxy.address, "first.test", ca) == ["first.test"]


def test_plain_http_gets_a_400_that_says_so(proxy):
    answer = exchange_bytes(proxy.address, b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer
    length = int(re.search(rb"Content-Length: (\d+)", answer)[1])
    assert len(answer.partition(b"\r\n\r\n")[2]) == length


@pytest.mark.parametrize("garbage", [
    b"\x00" * 64, b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 100,
    b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x03\x01" + b"\0" * 40,
])
def test_garbage_ends_the_connection_and_nothing_else(proxy, garbage):
    answer = exchange_bytes(proxy.address, garbage)
    assert answer == b"" or answer[0] == 21, answer
    assert curl("https://example.test/", address=proxy.address)[1] == b"hello"


def test_a_client_hello_in_tiny_pieces(proxy):
    """Records of one byte each would be a hello too; here every byte comes alone."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="other.test")
    with connect_plain(proxy.address) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            for byte in outgoing.read():
                sock.sendall(bytes([byte]))
            incoming.write(sock.recv(65536))
        assert tls.version() == "TLSv1.3"


def test_a_client_hello_over_several_records(proxy):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="other.test")
    with connect_plain(proxy.address) as sock:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()[5:]
        for at in range(0, len(hello), 100):
            piece = hello[at:at + 100]
            sock.sendall(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
        while True:
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_stalled_handshake_times_out(stage, ca, first):
    site = ca.issue("stalled", ["example.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}, "handshake_timeout": "300ms"}, **HTTP1})
    with Stream(connect_plain(proxy.address)) as client:
        client.send(first)
        started = time.monotonic()
        assert client.is_closed(within=10)
        assert time.monotonic() - started < 8


def test_half_open_and_vanishing_clients_leave_nothing(proxy):
    before = proxy.log()
    for at in range(20):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing, server_hostname="example.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock = connect_plain(proxy.address)
        sock.sendall(outgoing.read()[:20 * at + 1])
        if at % 2:
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            while sock.recv(65536):
                pass
        sock.close()
    assert curl("https://example.test/", address=proxy.address)[1] == b"hello"
    assert len(proxy.log()) <= len(before) + 1


def test_renegotiation_is_refused(proxy):
    said = s_client(proxy.address, "-tls1_2", "-servername", "example.test", text="R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said or "handshake failure" in said or "read:errno" in said, said


def test_a_close_notify_ends_the_connection(proxy):
    """Ours comes when the proxy closes: the end cannot be mistaken for one that somebody else made."""
    with SecureClient(proxy.address) as client:
        client.request(fields=[("Connection", "close")])
        assert client.response().status == 200
        assert client.sock.recv(1) == b""  # Python's ssl complains about an end without close_notify


def test_a_key_update_asked_for_in_the_middle(proxy, stage):
    """The answer to it is sent while the proxy reads."""
    folder = stage.folder()
    with open(f"{folder}/out", "wb") as out:
        client = subprocess.Popen(["openssl", "s_client", "-connect", proxy.address, "-tls1_3", "-crlf"],
                                  stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)

    def said():
        with open(f"{folder}/out", encoding="latin-1") as file:
            return file.read()

    try:
        eventually(lambda: "Verify return code" in said())
        client.stdin.write(b"K\n")
        client.stdin.flush()
        eventually(lambda: "KEYUPDATE" in said())
        client.stdin.write(b"GET / HTTP/1.1\nHost: example.test\nConnection: close\n\n")
        client.stdin.flush()
        eventually(lambda: said().rstrip().endswith("closed") and "\nhello" in said())
    finally:
        client.kill()
        client.wait()
        client.stdin.close()


def test_failed_handshakes_are_told_to_the_operator(stage, ca):
    site = ca.issue("distrusted", ["example.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}}, **HTTP1})
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(proxy.address, "example.test", ssl.create_default_context())
    eventually(lambda: "unknown ca" in proxy.stderr, what="the client's alert in the log")


def test_ocsp_is_stapled(stage, ca):
    site = ca.issue("stapled", ["example.test"])
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key, "ocsp": ca.ocsp(site)}}, **HTTP1})
    said = s_client(proxy.address, "-servername", "example.test", "-status")
    assert "OCSP Response Status: successful" in said and "Cert Status: good" in said, said


def test_the_keylog_decrypts(stage, ca):
    site = ca.issue("logged", ["example.test"])
    folder = stage.folder()
    proxy = stage.proxy(routes=HELLO, listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}, "keylog": f"{folder}/keys"}, **HTTP1})
    assert curl("https://example.test/", address=proxy.address)[1] == b"hello"
    with open(f"{folder}/keys") as file:
        lines = file.read().splitlines()
    assert {line.split()[0] for line in lines} >= {"SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"}
    assert "can decrypt recorded connections" in proxy.stderr


def test_facts_reach_expressions_and_log(stage, ca):
    site = ca.issue("facts", ["example.test"])
    echo = "${tls.sni} ${tls.version} ${tls.cipher} ${tls.alpn} ${tls.resumed} ${tls.ja4} ${scheme}"
    proxy = stage.proxy(routes=[{"use": [{"respond": {"status": 200, "text": echo}}]}], listener={"tls": {
        "certificates": {"certificate": site.chain, "key": site.key}}, **HTTP1})
    with SecureClient(proxy.address, "Example.Test") as client:
        text = client.get().body.decode()
        sni, version, cipher, alpn, resumed, ja4, scheme = text.split(" ")
        assert (sni, version, cipher) == ("example.test", "1.3", client.sock.cipher()[0])
        assert (alpn, resumed, scheme) == ("http/1.1", "false", "https")
    # Highest version 1.3, a name, counts, h1; then two hashes.
    assert re.fullmatch(r"t13d\d{4}h1_[0-9a-f]{12}_[0-9a-f]{12}", ja4), ja4
    record = proxy.wait_log(tls="1.3")
    assert (record["sni"], record["ja4"], record["tls_cipher"], record["scheme"]) == (sni, ja4, cipher, "https")
    assert record["tls_resumed"] is False and record["alpn"] == "http/1.1"


def test_the_proxy_header_comes_before_the_handshake(stage, ca):
    site = ca.issue("proxied", ["example.test"])
    proxy = stage.proxy(routes=[{"use": [{"respond": {"status": 200, "text": "${client.ip}"}}]}],
                        listener={"tls": {"certificates": {"certificate": site.chain, "key": site.key}},
                                  "proxy_protocol": True, **HTTP1})
    plain = connect_plain(proxy.address)
    plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 1111 443\r\n")
    with context().wrap_socket(plain, server_hostname="example.test") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n")
        answer = Stream(sock).read_all()
    assert answer.endswith(b"\r\n\r\n192.0.2.7")
