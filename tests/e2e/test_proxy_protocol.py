# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol, in and out, by hand and with Debian's haproxy and nginx as the other side."""
import time

import pytest

from support import proxy_protocol as pp
from support.client import Client, get
from support.daemons import haproxy, nginx
from support.origin import answer_echo, echoed
from support.wait import eventually, seconds

ASK = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def origin(module_stage):
    return module_stage.origin()


@pytest.fixture(scope="module")
def taking(module_stage, origin):
    return module_stage.proxy(origin, listener={"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"], "head_timeout": "2s"})


def ask(proxy, header, request=ASK):
    with Client(proxy.address) as client:
        client.send(header + request)
        return echoed(client.response())["by_name"]


@pytest.mark.parametrize("header, client", [
    (pp.v1("192.0.2.1", "198.51.100.1"), "192.0.2.1"),
    (pp.v1("2001:db8::1", "2001:db8::2"), "2001:db8::1"),
    (pp.v2("192.0.2.2", "198.51.100.1"), "192.0.2.2"),
    (pp.v2("2001:db8::3", "2001:db8::2"), "2001:db8::3"),
    (pp.v2("192.0.2.4", "198.51.100.1", tlvs=pp.tlv(0x02, b"www.example") + pp.tlv(0x04, bytes(40))), "192.0.2.4"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n", "127.0.0.1"),
    (pp.v2_local(), "127.0.0.1"),
], ids=["v1", "v1 IPv6", "v2", "v2 IPv6", "v2 with TLVs", "v1 UNKNOWN", "v1 UNKNOWN with words", "v2 LOCAL"])
def test_the_client_is_whom_the_header_names(taking, header, client):
    assert ask(taking, header)["x-forwarded-for"] == [client]


def test_it_holds_for_the_whole_connection(taking):
    with Client(taking.address) as client:
        client.send(pp.v2("192.0.2.9", "198.51.100.1", port=8443) + ASK + ASK)
        for _ in range(2):
            names = echoed(client.response())["by_name"]
            assert names["x-forwarded-for"] == ["192.0.2.9"]
        client.send(ASK)
        assert echoed(client.response())["by_name"]["x-forwarded-for"] == ["192.0.2.9"]


@pytest.mark.parametrize("header", [pp.v1("192.0.2.1", "198.51.100.1"), pp.v2("192.0.2.1", "198.51.100.1")],
                         ids=["v1", "v2"])
def test_byte_by_byte(taking, header):
    with Client(taking.address) as client:
        for at in range(len(header)):
            client.send(header[at:at + 1])
        client.send(ASK)
        assert echoed(client.response())["by_name"]["x-forwarded-for"] == ["192.0.2.1"]


@pytest.mark.parametrize("raw", [
    ASK, b"PROXY TCP4 1.2.3.4\r\n" + ASK, b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 80\r\n" + ASK, b"PROXY TCP4 ::1 ::1 1 2\r\n" + ASK,
    b"PROXY TCP9 1.2.3.4 5.6.7.8 1 2\r\n" + ASK, b"PROXY " + b"x" * 200 + b"\r\n" + ASK, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n" + ASK,
    b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + ASK, pp.SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12) + ASK,
    pp.SIGNATURE + b"\x21\x11\x00\x04" + bytes(4) + ASK, pp.SIGNATURE + b"\x21\x11\xff\xff" + bytes(70000),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
], ids=["none", "short", "port", "family", "unknown family", "too long", "bare LF", "lower case", "version 3", "too short for IPv4",
        "64 KiB", "TLS"])
def test_anything_else_ends_the_connection(taking, origin, raw):
    before = len(origin.requests)
    with Client(taking.address) as client:
        try:
            client.send(raw)
        except ConnectionError:
            pass
        answer = client.read_all()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert len(origin.requests) == before


def test_a_header_that_does_not_come(taking):
    with Client(taking.address) as client:
        client.send(b"PROXY TCP4 ")
        begun = time.monotonic()
        assert client.read_all()[:12] in (b"", b"HTTP/1.1 408")
        assert time.monotonic() - begun < seconds(8)


def test_strangers_are_not_believed(stage):
    """A peer that is not in trusted_proxies must not choose its address."""
    proxy = stage.proxy(stage.origin(), listener={"proxy_protocol": True, "trusted_proxies": ["127.0.0.99"]})
    with Client(proxy.address) as client:
        client.send(pp.v1("192.0.2.1", "198.51.100.1") + ASK)
        answer = client.buffer if client.is_closed(3) else client.response()
        if answer:
            assert answer.status == 400 or echoed(answer)["by_name"]["x-forwarded-for"] == ["127.0.0.1"]


def test_without_the_option_a_header_is_a_malformed_request(stage):
    proxy = stage.proxy(stage.origin())
    with Client(proxy.address) as client:
        client.send(pp.v1("192.0.2.1", "198.51.100.1") + ASK)
        assert client.read_all().startswith(b"HTTP/1.1 400 ")


def test_the_peer_may_be_trusted_for_the_rest_as_well(taking):
    """Behind PROXY, X-Forwarded-For comes from the client that the header names, a stranger."""
    names = ask(taking, pp.v1("192.0.2.1", "198.51.100.1"), ASK.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"))
    assert names["x-forwarded-for"] == ["192.0.2.1"]


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
def test_from_haproxy(stage, taking, send):
    front = stage.use(haproxy(f"""
        defaults
            mode tcp
            timeout connect 5s
            timeout client 20s
            timeout server 20s
        frontend f
            bind 127.0.0.1:@port@
            default_backend b
        backend b
            server s {taking.address} {send}
    """))
    for source in ("127.0.0.11", "127.0.0.12"):
        told = echoed(get(front.address, source=source))
        assert told["by_name"]["x-forwarded-for"] == [source]


# ---------------------------------------------------------------- out


def headed(conn):
    """An echo origin that takes a PROXY header first."""
    header = pp.read(conn)
    while True:
        request = conn.read_request()
        request.fields.append(("x-proxy", repr(header)))
        answer_echo(conn, request)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_sent_to_servers(stage, version):
    proxy = stage.proxy(stage.origin(headed), upstream={"proxy_protocol": version})
    with Client(proxy.address, source="127.0.0.21") as client:
        told = echoed(client.get())
        port = client.sock.getsockname()[1]
    assert told["by_name"]["x-proxy"] == [repr((int(version[1]), "127.0.0.21", port, "127.0.0.1", proxy.port))]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_server_connection_serves_one_client_only(stage, version):
    """The header speaks of one client: reusing its connection for another would lie."""
    proxy = stage.proxy(stage.origin(headed), upstream={"proxy_protocol": version}, workers=1)
    for turn in range(3):
        for source in ("127.0.0.31", "127.0.0.32"):
            with Client(proxy.address, source=source) as client:
                for _ in range(2):
                    told = echoed(client.get())
                    assert source in told["by_name"]["x-proxy"][0]
                    assert told["by_name"]["x-forwarded-for"] == [source]


def test_passed_on_from_a_header_that_came_in(stage):
    proxy = stage.proxy(stage.origin(headed), upstream={"proxy_protocol": "v2"},
                        listener={"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]})
    names = ask(proxy, pp.v1("2001:db8::7", "2001:db8::8", 4321, 443))
    assert names["x-proxy"] == [repr((2, "2001:db8::7", 4321, "2001:db8::8", 443))]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_to_nginx(stage, version):
    """nginx as the judge of what we write."""
    server = nginx("location / { return 200 $proxy_protocol_addr; }", listen="proxy_protocol")
    stage.use(server)
    proxy = stage.proxy(server, upstream={"proxy_protocol": version})
    assert get(proxy.address, source="127.0.0.41").body == b"127.0.0.41"
    assert eventually(lambda: get(proxy.address, source="127.0.0.42").body == b"127.0.0.42")
