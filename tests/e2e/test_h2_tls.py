# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over TLS: agreed on by ALPN (RFC 9113 3.2), then the same as in the clear."""
import hashlib
import os
import re
import ssl
import subprocess

import pytest

from support import tls
from support.certs import Authority
from support.h2 import H2, PREFACE
from support.origin import answer_echo, echoed, serve_forever
from support.tls import SecureClient, context
from support.wait import seconds, volume

MIB = 1 << 20


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def secure(ca):
    certificate = ca.issue("site", ["example.test"])
    return {"tls": {"certificates": {"certificate": certificate.chain, "key": certificate.key}}}


def answer(conn, request):
    """GET /N is answered by N bytes, anything else by an account of the request."""
    if request.method == "GET" and request.target[1:].isdigit():
        return conn.respond(200, body=b"0123456789abcdef" * (int(request.target[1:]) // 16))
    return answer_echo(conn, request)


@pytest.fixture(scope="module")
def proxy(module_stage, secure):
    return module_stage.proxy(module_stage.origin(serve_forever(answer)), listener=secure)


def session(address, version=None, **more):
    ctx = context(alpn=("h2", "http/1.1"), version=version)
    sock = tls.connect(address, ctx=ctx)
    assert sock.selected_alpn_protocol() == "h2"
    return H2(address, sock=sock, **more)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_conversation(proxy, version):
    with session(proxy.address, version) as h2:
        for i in range(10):
            h2.request(1 + 2 * i, "POST", path="/told", scheme="https", authority="example.test", body=b"x" * i)
        told = [echoed(h2.response(1 + 2 * i)) for i in range(10)]
    assert [t["length"] for t in told] == list(range(10))
    assert told[0]["by_name"]["x-forwarded-proto"] == ["https"] and told[0]["by_name"]["host"] == ["example.test"]


def test_curl_agrees_on_it(proxy, ca):
    for how, version in (("--http2", b"2"), ("--http1.1", b"1.1")):
        code, out, errors = tls.curl("https://example.test/x", "-w", "%{http_version}", ca=ca.root_path,
                                     address=proxy.address, http=how)
        assert code == 0 and out.endswith(version), errors


def test_large_bodies(proxy, ca, stage):
    path = os.path.join(stage.folder(), "body")
    body = os.urandom(volume(5 * MIB) + 333)
    with open(path, "wb") as file:
        file.write(body)
    code, out, errors = tls.curl("https://example.test/up", "-T", path, ca=ca.root_path, address=proxy.address,
                                 http="--http2")
    assert code == 0 and hashlib.sha256(body).hexdigest().encode() in out, errors
    code, out, errors = tls.curl(f"https://example.test/{8 * MIB}", ca=ca.root_path, address=proxy.address,
                                 http="--http2")
    assert code == 0 and out == b"0123456789abcdef" * (MIB // 2), errors


def test_nghttp(proxy):
    done = subprocess.run(["nghttp", "-nvy", f"https://{proxy.address}/1600"], capture_output=True, text=True,
                          timeout=seconds(20), check=False)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert "The negotiated protocol: h2" in plain and ":status: 200" in plain, plain


@pytest.mark.parametrize("path", ["/64", "/65536"])
def test_h2load(proxy, path):
    n = volume(4000 if path == "/64" else 400)
    done = subprocess.run(["h2load", "-n", str(n), "-c", "8", "-m", "32", f"https://{proxy.address}{path}"],
                          capture_output=True, text=True, timeout=seconds(60), check=False)
    assert f"{n} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    assert "Application protocol: h2" in done.stdout


def test_it_can_be_switched_off(stage, secure):
    proxy = stage.proxy(stage.origin(), listener={**secure, "http2": False})
    sock = tls.connect(proxy.address, ctx=context(alpn=("h2", "http/1.1")))
    assert sock.selected_alpn_protocol() == "http/1.1"
    sock.close()


def test_the_preface_is_no_substitute_for_alpn(proxy):
    """RFC 9113 3.2: over TLS, HTTP/2 is agreed on or not spoken."""
    with SecureClient(proxy.address, ctx=context(alpn=("http/1.1",))) as client:
        client.send(PREFACE)
        assert client.response().status in (400, 505)


def test_first_request_with_the_handshakes_last_bytes(proxy):
    """Preface, SETTINGS and request in one record, right behind the handshake."""
    with session(proxy.address, preface=False) as h2:
        h2.send(PREFACE + H2.bytes_of(4) + H2.bytes_of(1, 5, 1, h2.block(h2.fields(path="/16", scheme="https"))))
        assert h2.response(1).body == b"0123456789abcdef"


def test_idle_session_costs_no_buffer(stage, secure):
    """Parked between requests, it goes on where it was."""
    proxy = stage.proxy(stage.origin(serve_forever(answer)), listener=secure)
    with session(proxy.address) as h2:
        for i in range(3):
            h2.request(1 + 2 * i, path="/32", scheme="https")
            assert len(h2.response(1 + 2 * i).body) == 32
            h2.ping()
