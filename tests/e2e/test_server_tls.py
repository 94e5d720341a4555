# SPDX-License-Identifier: Apache-2.0
"""TLS to servers: who is believed, what is shown, what is spared, and how failures are told."""
import concurrent.futures
import hashlib
import os
import socket
import ssl
import threading
import time

import pytest

from support import process
from support.certs import Authority, Certificate, new_key, openssl, read, write
from support.client import Client, get
from support.h2_server import H2Server
from support.maitred import command, sanitized, site
from support.origin import answer_echo, echoed, serve_forever
from support.secure_origin import SecureOrigin, server_context
from support.wait import eventually, seconds, settled, volume

MIB = 1 << 20
V2, V3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def certificate(ca):
    return ca.issue("server", ["server.test", "IP:127.0.0.1", "IP:::1"])


def front(stage, *servers, tls, workers=1, upstream=None, **more):
    return stage.proxy(*servers, upstream={"tls": tls, **(upstream or {})}, workers=workers, **more)


def serve(stage, certificate, script=None, **more):
    return stage.use(SecureOrigin(certificate, script, **more))


def trust(ca, **more):
    return {"ca": ca.root_path, **more}


# ---------------------------------------------------------------- what gets there

@pytest.mark.parametrize("version", [V2, V3])
def test_a_conversation(stage, ca, certificate, version):
    server = serve(stage, certificate, version=version)
    proxy = front(stage, server, tls=trust(ca))
    with Client(proxy.address) as client:
        for i in range(5):
            client.request("POST", "/told", body=b"x" * i)
            assert echoed(client.response())["length"] == i
    assert len(server.handshakes) == 1 and server.handshakes[0].alpn == "http/1.1"
    assert server.requests[0].start == "POST /told HTTP/1.1"


def test_large_bodies_both_ways(stage, ca, certificate):
    body = os.urandom(1000) * 5000

    def answer(conn, request):
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Sum: %s\r\n\r\n" % request.sha256.encode())
        for at in range(0, len(body), 100000):
            piece = body[at:at + 100000]
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.send(b"0\r\n\r\n")

    proxy = front(stage, serve(stage, certificate, serve_forever(answer)), tls=trust(ca))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: get(proxy.address, method="PUT", body=body), range(8)):
            assert found.body == body and found.get("x-sum") == hashlib.sha256(body).hexdigest()


def test_a_url_with_https(stage, ca, certificate):
    """In a route; the system's issuers are believed (SSL_CERT_FILE says which those are)."""
    server = serve(stage, certificate)
    proxy = stage.run(site(routes=[{"to": f"https://{server.address}"}]), env={"SSL_CERT_FILE": ca.root_path}, workers=1)
    assert get(proxy.address).status == 200
    patient = {"use": [{"timeouts": {"connect": "20s"}}]}  # the system's many certificates are read first
    stranger = stage.run(site(routes=[{"to": f"https://{server.address}", **patient}]), workers=1)
    assert get(stranger.address).status == 502 and stranger.wait_log()["reason"] == "certificate"


def test_a_websocket(stage, ca, certificate):
    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := conn.sock.recv(65536):
            conn.send(data)

    proxy = front(stage, serve(stage, certificate, script), tls=trust(ca), upstream={"http": "any"})
    with Client(proxy.address) as client:
        client.request(fields=[("Connection", "Upgrade"), ("Upgrade", "websocket")])
        assert client.response().status == 101
        for n in (1, 1000, 100000):
            client.send(b"x" * n)
            assert client.read_exact(n) == b"x" * n


def test_over_a_unix_socket(stage, ca, certificate):
    path = os.path.join(stage.folder(), "socket")
    server = serve(stage, certificate, origin={"path": path})
    proxy = front(stage, server, tls=trust(ca, name="server.test"))
    assert get(proxy.address).status == 200 and server.handshakes[0].sni == "server.test"


# ---------------------------------------------------------------- who is believed

def self_signed(folder):
    made = Certificate(folder, "self")
    new_key(made.key, "ec")
    openssl("req", "-x509", "-key", made.key, "-subj", "/CN=server.test", "-addext", "subjectAltName=DNS:server.test",
            "-days", "5", "-out", made.leaf)
    made.join("self.pem", made.leaf)
    return made


@pytest.fixture(scope="module")
def certificates(module_stage, ca):
    folder = module_stage.folder()
    other = Authority(folder, "Other")
    alone = ca.issue("alone", ["server.test"])
    alone.chain = alone.leaf
    return {
        "right": ca.issue("right", ["server.test", "IP:127.0.0.1"]),
        "rsa": ca.issue("rsa", ["server.test"], kind="rsa"),
        "name only": ca.issue("named", ["server.test"]),
        "wildcard": ca.issue("wildcard", ["*.server.test"]),
        "part of a wildcard": ca.issue("part", ["a*.server.test"]),
        "expired": ca.expired("expired", ["server.test"]),
        "future": ca.future("future", ["server.test"]),
        "stranger's": other.issue("strangers", ["server.test", "IP:127.0.0.1"]),
        "without its chain": alone,
        "self-signed": self_signed(folder),
        "for clients": ca.issue("clients", ["server.test"], more="extendedKeyUsage=clientAuth\n"),
        "no name but its subject's": ca.issue("common", subject="/CN=server.test"),
    }


@pytest.mark.parametrize("which, name, good", [
    ("right", "server.test", True),
    ("right", "SERVER.Test", True),
    ("right", None, True),
    ("right", "127.0.0.1", True),
    ("right", "127.0.0.2", False),
    ("right", "other.test", False),
    ("right", "erver.test", False),
    ("right", "sub.server.test", False),
    ("rsa", "server.test", True),
    ("name only", None, False),
    ("wildcard", "a.server.test", True),
    ("wildcard", "server.test", False),
    ("wildcard", "a.b.server.test", False),
    ("part of a wildcard", "ab.server.test", False),
    ("expired", "server.test", False),
    ("future", "server.test", False),
    ("stranger's", "server.test", False),
    ("without its chain", "server.test", False),
    ("self-signed", "server.test", False),
    ("for clients", "server.test", False),
    ("no name but its subject's", "server.test", False),
])
def test_who_is_believed(stage, ca, certificates, which, name, good):
    server = serve(stage, certificates[which])
    proxy = front(stage, server, tls=trust(ca, **({"name": name} if name else {})))
    found = get(proxy.address)
    if good:
        assert found.status == 200
        return
    assert found.status == 502 and not server.requests
    assert "tls_certificate_error" in found.get("proxy-status")
    record = proxy.wait_log()
    assert record["reason"] == "certificate" and record["detail"].startswith("certificate not accepted: ")


@pytest.mark.parametrize("which, words", [
    ("expired", "expired"), ("future", "not yet valid"), ("name only", "IP address mismatch"),
    ("self-signed", "self-signed"), ("stranger's", "issuer")])
def test_the_log_says_what_is_wrong_with_it(stage, ca, certificates, which, words):
    proxy = front(stage, serve(stage, certificates[which]),
                  tls=trust(ca, **({} if which == "name only" else {"name": "server.test"})))
    assert get(proxy.address).status == 502
    assert words in proxy.wait_log()["detail"]


def test_a_self_signed_certificate_may_be_the_issuer(stage, certificates):
    made = certificates["self-signed"]
    proxy = front(stage, serve(stage, made), tls={"ca": made.leaf, "name": "server.test"})
    assert get(proxy.address).status == 200


@pytest.mark.parametrize("which", ["expired", "stranger's", "name only", "self-signed"])
def test_anybody_is_believed_if_so_configured_and_warned_of(stage, certificates, which):
    proxy = front(stage, serve(stage, certificates[which]), tls={"verify": False})
    assert get(proxy.address).status == 200
    assert "anybody on the way can pretend to be the server" in proxy.stderr


def test_the_system_is_believed_by_default(stage, ca, certificate):
    server = serve(stage, certificate)
    proxy = front(stage, server, tls={}, env={"SSL_CERT_FILE": ca.root_path})
    assert get(proxy.address).status == 200
    other = front(stage, server, tls={})
    assert get(other.address).status == 502


# ---------------------------------------------------------------- names that are asked for

@pytest.mark.parametrize("options, sni", [
    ({"name": "server.test"}, "server.test"),
    ({"name": "server.test", "sni": "asked.test"}, "asked.test"),
    ({}, None),
    ({"sni": "asked.test"}, "asked.test"),
])
def test_sni(stage, ca, certificate, options, sni):
    server = serve(stage, certificate)
    proxy = front(stage, server, tls=trust(ca, **options))
    assert get(proxy.address, host="client.test").status == 200
    assert server.handshakes[0].sni == sni
    assert server.requests[0].get("host") == "client.test"


def test_the_name_in_servers_is_the_certificates(stage, ca):
    server = serve(stage, ca.issue("localhost", ["localhost"]), origin={"host": "127.0.0.1"})
    proxy = front(stage, f"localhost:{server.port}", tls=trust(ca))
    assert get(proxy.address).status == 200
    assert server.handshakes[0].sni == "localhost"


# ---------------------------------------------------------------- client certificates

@pytest.fixture(scope="module")
def own(ca):
    return ca.issue("proxy", ["proxy.test"], subject="/CN=the proxy")


@pytest.mark.parametrize("version", [V2, V3])
def test_a_certificate_of_our_own(stage, ca, certificate, own, version):
    server = serve(stage, certificate, client_ca=ca.root_path, version=version)
    proxy = front(stage, server, tls=trust(ca, certificate=own.chain, key=own.key))
    assert get(proxy.address).status == 200
    assert ("subjectAltName", (("DNS", "proxy.test"),)) in server.handshakes[0].peer.items()


@pytest.mark.parametrize("version", [V2, V3])
def test_a_server_that_wants_one_and_gets_none(stage, ca, certificate, version):
    """With TLS 1.3 the server says so only after the handshake."""
    server = serve(stage, certificate, client_ca=ca.root_path, version=version)
    proxy = front(stage, server, tls=trust(ca), upstream={"retries": 0})
    assert get(proxy.address).status == 502 and not server.requests
    assert proxy.wait_log()["reason"] == ("tls_failed" if version == V2 else "server_reset")


def test_certificate_and_key_in_one_file(stage, ca, certificate, own):
    joined = own.join("joined.pem", own.leaf, ca.middle.leaf, own.key)
    server = serve(stage, certificate, client_ca=ca.root_path)
    proxy = front(stage, server, tls=trust(ca, certificate=joined))
    assert get(proxy.address).status == 200


# ---------------------------------------------------------------- sessions

@pytest.mark.parametrize("version", [V2, V3])
def test_the_second_connection_is_resumed(stage, ca, certificate, version):
    server = serve(stage, certificate, version=version)
    proxy = front(stage, server, tls=trust(ca), upstream={"connections": {"max_requests": 1}})
    for _ in range(6):
        assert get(proxy.address).status == 200
    assert [h.resumed for h in server.handshakes] == [False] + [True] * 5


def test_a_server_that_forgets_sessions(stage, ca, certificate):
    server = serve(stage, certificate)
    proxy = front(stage, server, tls=trust(ca), upstream={"connections": {"max_requests": 1}})
    assert get(proxy.address).status == 200
    server.context = server_context(certificate)
    assert get(proxy.address).status == 200
    assert get(proxy.address).status == 200
    assert [h.resumed for h in server.handshakes] == [False, False, True]


def test_sessions_are_not_taken_to_other_terms(stage, ca, certificate):
    """What was verified for one name is not resumed for another."""
    server = serve(stage, certificate)
    close = {"connections": {"max_requests": 1}}
    proxy = front(stage, server, tls=trust(ca), upstream=close)
    assert get(proxy.address).status == 200
    proxy.reload(site(server, upstream={"tls": trust(ca, name="server.test"), **close}))
    assert get(proxy.address).status == 200
    proxy.reload(site(server, upstream={"tls": trust(ca, name="other.test"), **close}))
    assert get(proxy.address).status == 502
    assert [h.resumed for h in server.handshakes[:2]] == [False, False]


# ---------------------------------------------------------------- handshakes that fail

def test_a_server_without_tls(stage, ca):
    def script(conn):
        conn.fill()
        conn.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    proxy = front(stage, stage.origin(script), tls=trust(ca), upstream={"retries": 0})
    begun = time.monotonic()
    found = get(proxy.address)
    assert found.status == 502 and time.monotonic() - begun < seconds(2)
    assert "tls_protocol_error" in found.get("proxy-status")
    assert proxy.wait_log()["reason"] == "tls_failed" and "wrong version number" in proxy.wait_log()["detail"]


def test_a_handshake_that_stalls(stage, ca, certificate):
    mute = stage.origin(lambda conn: conn.wait_end(20))
    proxy = front(stage, mute, tls=trust(ca), timeouts={"connect": "400ms"})
    begun = time.monotonic()
    assert get(proxy.address).status == 504 and 0.3 < time.monotonic() - begun < seconds(2)
    assert proxy.wait_log()["reason"] == "connect_timeout"
    both = front(stage, mute, serve(stage, certificate), tls=trust(ca), timeouts={"connect": "400ms"})
    for _ in range(4):
        assert get(both.address, method="POST", body=b"order").status == 200


def test_a_handshake_that_stalls_half_way(stage, ca, certificate):
    """The server's first flight is cut in two."""

    def relay(conn):
        with socket.create_connection(("127.0.0.1", server.port)) as far:
            conn.fill()
            far.sendall(conn.buffer)
            conn.send(far.recv(65536)[:200])
            conn.buffer = b""
            conn.wait_end(20)

    server = serve(stage, certificate)
    proxy = front(stage, stage.origin(relay), tls=trust(ca), timeouts={"connect": "400ms"}, upstream={"retries": 0})
    assert get(proxy.address).status == 504


def test_byte_by_byte(stage, ca, certificate):
    """A handshake in crumbs is a handshake."""

    def crumbs(source, target):
        try:
            while data := source.recv(65536):
                for i in range(0, len(data), 97):
                    target.sendall(data[i:i + 97])
        except OSError:
            pass

    def relay(conn):
        with socket.create_connection(("127.0.0.1", server.port)) as far:
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=crumbs, args=(far, conn.sock), daemon=True)
            thread.start()
            crumbs(conn.sock, far)

    server = serve(stage, certificate)
    proxy = front(stage, stage.origin(relay), tls=trust(ca))
    assert get(proxy.address, method="POST", body=b"x" * 20000).status == 200


@pytest.mark.parametrize("how", ["close", "reset", "rubbish"])
def test_a_handshake_that_breaks_off(stage, ca, how):
    def script(conn):
        conn.fill()
        if how == "rubbish":
            conn.send(os.urandom(500))
            conn.wait_end(5)
        elif how == "reset":
            conn.reset()

    proxy = front(stage, stage.origin(script), tls=trust(ca), upstream={"retries": 0})
    assert get(proxy.address).status == 502 and proxy.wait_log()["reason"] == "tls_failed"


def test_a_server_that_is_too_old(stage, ca, certificate):
    server = serve(stage, certificate, version=V2)
    proxy = front(stage, server, tls=trust(ca, profile="modern"))
    assert get(proxy.address).status == 502 and proxy.wait_log()["reason"] == "tls_failed"
    assert get(front(stage, server, tls=trust(ca)).address).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_server_is_asked(stage, ca, certificate, certificates, method):
    """Nothing was sent yet: an order may go elsewhere."""
    bad = serve(stage, certificates["expired"])
    proxy = front(stage, bad, serve(stage, certificate), tls=trust(ca))
    for _ in range(10):
        assert get(proxy.address, method=method, body=b"x" if method == "POST" else None).status == 200
    assert len(bad.connections) < 10, "it is left alone for a while"


def test_failed_handshakes_leave_nothing_behind(stage, ca, certificates):
    proxy = front(stage, serve(stage, certificates["expired"]), tls=trust(ca), upstream={"retries": 0})
    for _ in range(20):
        assert get(proxy.address).status == 502
    before, kib = settled(lambda: process.descriptors(proxy.worker)), proxy.rss_kib()
    for _ in range(volume(300, 40)):
        assert get(proxy.address).status == 502
    assert settled(lambda: process.descriptors(proxy.worker)) <= before
    assert sanitized() or proxy.rss_kib() - kib < 4096


@pytest.mark.parametrize("ending, good", [("goodbye", True), ("cut", False)])
def test_an_answer_without_length_must_end_in_order(stage, ca, certificate, ending, good):
    """Else anybody on the way could cut it short (RFC 9112 9.8)."""

    def script(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if ending == "goodbye":
            conn.sock.unwrap()
        else:
            raw = conn.sock.detach()
            socket.close(raw)

    proxy = front(stage, serve(stage, certificate, script), tls=trust(ca), upstream={"retries": 0})
    with Client(proxy.address) as client:
        client.request(fields=[("Connection", "close")])
        data = client.read_all()
    assert data.startswith(b"HTTP/1.1 200")
    assert proxy.wait_log().get("reason") == (None if good else "response_incomplete")
    assert data.endswith(b"0\r\n\r\n") == good


# ---------------------------------------------------------------- connections

def test_connections_are_used_again(stage, ca, certificate):
    server = serve(stage, certificate)
    proxy = front(stage, server, tls=trust(ca))
    for _ in range(30):
        assert get(proxy.address).status == 200
    assert len(server.connections) == 1


@pytest.mark.parametrize("tickets", [0, 2, 5])
def test_tickets_on_an_idle_connection_do_not_spoil_it(stage, ca, certificate, tickets):
    """They arrive when nobody reads: warm connections have not carried anything yet."""
    server = serve(stage, certificate, tickets=tickets, version=V3)
    proxy = front(stage, server, tls=trust(ca), upstream={"connections": {"warm": 2}})
    eventually(lambda: len(server.handshakes) == 2, what="two warm connections")
    time.sleep(0.3)
    for _ in range(10):
        assert get(proxy.address).status == 200
        time.sleep(0.02)
    assert len(server.connections) == 2


def test_what_a_server_says_unasked_spoils_it(stage, ca, certificate):
    def script(conn):
        conn.read_request()
        conn.respond(200)
        if conn.number == 0:
            time.sleep(0.1)
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        serve_forever(answer_echo)(conn)

    server = serve(stage, certificate, script)
    proxy = front(stage, server, tls=trust(ca))
    assert get(proxy.address).status == 200
    time.sleep(0.3)
    assert get(proxy.address).body != b"poison"
    assert len(server.connections) == 2


@pytest.mark.parametrize("how", ["goodbye", "close"])
def test_a_server_that_closes_idle_connections(stage, ca, certificate, how):
    def script(conn):
        conn.read_request()
        conn.respond(200)
        if how == "goodbye":
            conn.sock.settimeout(1)
            try:
                conn.sock.unwrap()
            except OSError:
                pass

    server = serve(stage, certificate, script)
    proxy = front(stage, server, tls=trust(ca))
    for _ in range(10):
        assert get(proxy.address, method="POST", body=b"order").status == 200, proxy.wait_log(status=502)
        time.sleep(0.05)


def test_few_connections_for_all_workers(stage, ca, certificate):
    """A connection cannot go to another worker with its keys: its place does."""
    server = serve(stage, certificate, serve_forever(lambda conn, request: (time.sleep(0.005), conn.respond(200))))
    proxy = front(stage, {"address": server.address, "max_connections": 1}, tls=trust(ca), workers=2)
    stop, found = time.monotonic() + 2, []

    def load(_):
        with Client(proxy.address, timeout=20) as client:
            while time.monotonic() < stop:
                found.append(client.get().status)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(load, range(8)))
    assert set(found) == {200} and len(found) > 50
    eventually(lambda: len(server.alive()) <= 1)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_header_goes_ahead_of_tls(stage, ca, certificate, version):
    headers = []

    def before(sock):
        data = b""
        length = 1 << 16
        while len(data) < length and not data.endswith(b"\r\n" if version == "v1" else b"\0impossible"):
            data += sock.recv(1)
            if version == "v2" and len(data) == 16:
                length = 16 + int.from_bytes(data[14:16], "big")
        headers.append(data)

    server = serve(stage, certificate, before=before)
    proxy = front(stage, server, tls=trust(ca), upstream={"proxy_protocol": version})
    for _ in range(3):
        assert get(proxy.address).status == 200
    assert len(headers) == 3 and len(server.handshakes) == 3
    assert all(h.startswith(b"PROXY TCP4 127.0.0.1 " if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n") for h in headers)


# ---------------------------------------------------------------- reload

def test_an_unchanged_reload_keeps_connections(stage, ca, certificate):
    server = serve(stage, certificate)
    proxy = front(stage, server, tls=trust(ca))
    for _ in range(4):
        assert get(proxy.address).status == 200
        proxy.reload()
    assert get(proxy.address).status == 200
    assert len(server.connections) == 1


@pytest.mark.parametrize("http", ["http1", "http2"])
def test_other_issuers_take_effect_at_once(stage, ca, certificate, http):
    """A kept connection was made with somebody whom nobody believes any more."""
    if http == "http1":
        server = serve(stage, certificate)
    else:
        server = stage.use(H2Server(tls=server_context(certificate, alpn=("h2",)), endings=range(14)))
    more = {"http": http}
    proxy = front(stage, server, tls=trust(ca), upstream=more)
    assert get(proxy.address).status == 200
    other = Authority(proxy.dir, "Other")  # files that are new must be below the configuration's folder
    proxy.reload(site(server, upstream={"tls": trust(other), **more}))
    assert get(proxy.address).status == 502 and proxy.wait_log(2)["reason"] == "certificate"
    proxy.reload(site(server, upstream={"tls": trust(ca), **more}))
    eventually(lambda: get(proxy.address).status == 200, 5)
    assert len(server.connections) >= 2


def test_a_file_that_changed_takes_effect_with_a_reload(stage, ca, certificate):
    path = os.path.join(stage.folder(), "issuers.pem")
    other = Authority(stage.folder(), "Other")
    write(path, read(other.root_path))
    server = serve(stage, certificate)
    proxy = front(stage, server, tls={"ca": path})
    assert get(proxy.address).status == 502
    write(path, read(other.root_path) + read(ca.root_path))
    proxy.reload()
    eventually(lambda: get(proxy.address).status == 200, 5)


def test_requests_that_run_keep_their_connection(stage, ca, certificate):
    gate = threading.Event()
    server = serve(stage, certificate, serve_forever(lambda conn, request: (gate.wait(10), conn.respond(200))))
    proxy = front(stage, server, tls=trust(ca))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(get, proxy.address)
        server.wait_requests(1)
        proxy.reload(site(server, upstream={"tls": trust(ca, name="other.test")}))
        assert get(proxy.address).status == 502
        gate.set()
        assert runs.result().status == 200


# ---------------------------------------------------------------- checks, and mistakes

def test_checks_go_over_tls_too(stage, ca, certificate, certificates):
    check = {"path": "/healthz", "every": "100ms", "timeout": "2s", "jitter": "0%"}
    good, bad = serve(stage, certificate), serve(stage, certificates["expired"])
    proxy = front(stage, good, bad, tls=trust(ca), upstream={"health": check, "retries": 0})
    eventually(lambda: any(r.target == "/healthz" for r in good.requests), what="a check")
    eventually(lambda: all(get(proxy.address).status == 200 for _ in range(6)), 10,
               "the server with the expired certificate is down")
    assert not bad.requests


@pytest.mark.parametrize("tls, words", [
    ({"ca": "@dir@/nothing.pem"}, "nothing.pem"),
    ({"ca": "@dir@/site.yaml"}, "certificate"),
    ({"key": "@dir@/site.yaml"}, "a key without its certificate"),
    ({"certificate": "@dir@/site.yaml"}, "certificate"),
    ({"verify": False, "ca": "@ca@"}, "nobody is verified"),
    ({"certificate": "@own@", "key": "@otherkey@"}, "does not"),
    ({"profile": "ancient"}, "ancient"),
    ({"unknown": 1}, "unknown"),
])
def test_mistakes_are_found_when_it_is_loaded(stage, ca, own, certificate, tls, words):
    folder = stage.folder()
    names = {"dir": folder, "ca": ca.root_path, "own": own.leaf, "otherkey": certificate.key}
    text = site("127.0.0.1:1", upstream={"tls": tls}, log=False).replace("@listen@", "127.0.0.1:1024")
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    path = write(os.path.join(folder, "site.yaml"), text)
    done = command("check", "-c", path)
    assert done.returncode != 0 and words in done.stderr, done.stderr
    assert "site.yaml:" in done.stderr


@pytest.mark.parametrize("upstream, words", [
    ({"http": "any"}, "without TLS nothing can be agreed on"),
    ({"http": "http2", "proxy_protocol": "v1"}, "shared by clients"),
    ({"http": "http3"}, "http3"),
])
def test_what_does_not_go_together(stage, upstream, words):
    text = site("127.0.0.1:1", upstream=upstream, log=False).replace("@listen@", "127.0.0.1:1024")
    done = command("check", "-c", write(os.path.join(stage.folder(), "site.yaml"), text))
    assert done.returncode != 0 and words in done.stderr, done.stderr


# ---------------------------------------------------------------- HTTP/2 over TLS

@pytest.fixture
def h2(stage, certificate):
    return stage.use(H2Server(tls=server_context(certificate, alpn=("h2", "http/1.1"))))


@pytest.mark.parametrize("http", ["http2", "any"])
def test_many_on_one_connection(stage, ca, h2, http):
    proxy = front(stage, h2, tls=trust(ca), upstream={"http": http})
    assert get(proxy.address).status == 200
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda i: get(proxy.address, f"/{i * 1000}"), range(100)))
    assert [len(f.body) for f in found] == [i * 1000 for i in range(100)]
    assert len(h2.connections) == 1 and h2.facts[0]["alpn"] == "h2"
    assert h2.calls[0].get(":scheme") == "https"


def test_a_crowd_at_the_start_shares_a_handshake(stage, ca, h2):
    proxy = front(stage, h2, tls=trust(ca), upstream={"http": "http2"})
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        assert {f.status for f in pool.map(lambda _: get(proxy.address), range(60))} == {200}
    assert len(h2.connections) == 1


def test_large_bodies_over_http2(stage, ca, h2):
    proxy = front(stage, h2, tls=trust(ca), upstream={"http": "http2"})
    body = os.urandom(MIB)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: get(proxy.address, "/told", method="PUT", body=body), range(16)):
            assert found.get("x-sha256") == hashlib.sha256(body).hexdigest()
        for found in pool.map(lambda _: get(proxy.address, f"/{MIB}"), range(16)):
            assert len(found.body) == MIB


def test_connections_of_http2_are_resumed(stage, ca, h2):
    proxy = front(stage, h2, tls=trust(ca), upstream={"http": "http2", "connections": {"max_requests": 1}})
    for _ in range(5):
        assert get(proxy.address).status == 200
    assert [f["resumed"] for f in h2.facts] == [False] + [True] * 4


def test_a_websocket_beside_http2(stage, ca, certificate):
    """The same port speaks both; what HTTP/2 cannot carry goes by HTTP/1.1."""
    server = serve(stage, certificate, alpn=("h2", "http/1.1"), script=lambda conn: (
        conn.read_request(), conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                       b"Upgrade: websocket\r\n\r\n"), conn.wait_end()))
    proxy = front(stage, server, tls=trust(ca), upstream={"http": "http2"})
    with Client(proxy.address) as client:
        client.request(fields=[("Connection", "Upgrade"), ("Upgrade", "websocket")])
        assert client.response().status == 101
    assert server.handshakes[0].alpn == "http/1.1"


def test_no_agreement(stage, ca, certificate):
    """The server speaks HTTP/1.1 only, and does not say so by ALPN at all."""
    server = serve(stage, certificate, alpn=None)
    strict = front(stage, server, tls=trust(ca), upstream={"http": "http2", "retries": 0})
    assert get(strict.address).status == 502 and strict.wait_log()["reason"] == "tls_failed"
    assert "HTTP/2" in strict.wait_log()["detail"]
    assert get(front(stage, server, tls=trust(ca), upstream={"http": "any"}).address).status == 200
