# SPDX-License-Identifier: Apache-2.0
"""Session tickets: they spare a handshake, on every worker and across reloads."""
import re
import ssl

import pytest

from support.certs import Authority
from support.maitred import site
from support.tls import HTTP1, SecureClient, context, s_client

ECHO = [{"use": [{"respond": {"status": 200, "text": "${tls.resumed}"}}]}]


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def certificate(ca):
    return ca.issue("site", ["example.test"])


def listener(certificate, **more):
    return {"tls": {"certificates": {"certificate": certificate.chain, "key": certificate.key}, **more}, **HTTP1}


def visit(address, ctx, session=None):
    """(whether it was resumed, as the proxy says; the session to come back with)"""
    with SecureClient(address, ctx=ctx, session=session) as client:
        body = client.get().body
        assert client.sock.session_reused == (body == b"true")
        return client.sock.session_reused, client.sock.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_is_recognized_by_every_worker(stage, ca, certificate, version):
    proxy = stage.proxy(routes=ECHO, listener=listener(certificate), workers=2)
    ctx = context(ca.root_path, version=version)
    resumed, session = visit(proxy.address, ctx)
    assert not resumed
    # Connections are spread over the workers by their ports: of twenty some meet the other one.
    assert all(visit(proxy.address, ctx, session)[0] for _ in range(20))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_survive_a_reload(stage, ca, certificate, version):
    text = site(routes=ECHO, listener=listener(certificate))
    proxy = stage.run(text)
    ctx = context(ca.root_path, version=version)
    session = visit(proxy.address, ctx)[1]
    proxy.reload(text)
    assert visit(proxy.address, ctx, session)[0]


def test_one_ticket_a_handshake(stage, certificate):
    proxy = stage.proxy(routes=ECHO, listener=listener(certificate))
    said = s_client(proxy.address, "-tls1_3", "-ign_eof", text="GET / HTTP/1.0\r\n\r\n")
    assert len(re.findall("Post-Handshake New Session Ticket arrived", said)) == 1, said


def test_tickets_can_be_turned_off(stage, ca, certificate):
    proxy = stage.proxy(routes=ECHO, listener=listener(certificate, tickets=False))
    ctx = context(ca.root_path, version=ssl.TLSVersion.TLSv1_3)
    session = visit(proxy.address, ctx)[1]
    assert session is None or not session.has_ticket


def test_a_ticket_of_a_listener_without_client_certificates_is_none_for_one_with(stage, ca, certificate):
    text = site(routes=ECHO, listeners=[
        {"address": "@listen@", **listener(certificate)},
        {"address": "@listen2@", **listener(certificate, client={"ca": ca.root_path, "mode": "required"})}])
    proxy = stage.run(text)
    ctx = context(ca.root_path, version=ssl.TLSVersion.TLSv1_2)
    session = visit(proxy.address, ctx)[1]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        visit(proxy.names["listen2"], ctx, session)


def test_a_spoilt_ticket_only_costs_a_full_handshake(stage, ca, certificate):
    proxy = stage.proxy(routes=ECHO, listener=listener(certificate))
    folder = stage.folder()
    s_client(proxy.address, "-tls1_2", "-sess_out", f"{folder}/session")
    with open(f"{folder}/session") as file:
        lines = file.read().splitlines()
    middle = len(lines) - 4
    lines[middle] = lines[middle][:10] + ("A" if lines[middle][10] != "A" else "B") + lines[middle][11:]
    with open(f"{folder}/session", "w") as file:
        file.write("\n".join(lines) + "\n")
    said = s_client(proxy.address, "-tls1_2", "-sess_in", f"{folder}/session")
    assert "New, TLSv1.2" in said, said
