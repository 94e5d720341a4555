# SPDX-License-Identifier: Apache-2.0
"""Records of TLS 1.3 after the handshake (RFC 8446 4.6.3, 5, 6): what a client may do, and what it is told when it
does something else.  The client is support.tls13, which seals whatever a test likes."""
import os
import socket
import time

import pytest

from support import h2
from support.certs import Authority
from support.client import Client
from support.tls13 import (AES_128, AES_256, ALERT, BAD_RECORD_MAC, CCS, CHACHA20, CHANGE_CIPHER_SPEC, CLOSE_NOTIFY,
                           CONTENT_MAX, DATA, DECODE_ERROR, HANDSHAKE, ILLEGAL_PARAMETER, RECORD_OVERFLOW,
                           UNEXPECTED_MESSAGE, USER_CANCELED, Tls13)
from support.wait import seconds, volume
from support.wire import Request, Stream

GET = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"
FACTS = "${tls.version} ${tls.cipher} ${tls.alpn} ${tls.resumed} ${tls.sni}"
UPDATE, UPDATE_REQUESTED = b"\x18\0\0\1\0", b"\x18\0\0\1\1"
GOODBYE = bytes([1, CLOSE_NOTIFY])
NAMES = {AES_128: "TLS_AES_128_GCM_SHA256", AES_256: "TLS_AES_256_GCM_SHA384",
         CHACHA20: "TLS_CHACHA20_POLY1305_SHA256"}


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def certificate(ca):
    return ca.issue("site", ["example.test"])


@pytest.fixture(scope="module")
def download():
    return os.urandom(volume(6 << 20, 2 << 20))


@pytest.fixture(scope="module")
def proxy(module_stage, ca, certificate, download):
    def give(conn):
        while conn.read_request():
            conn.respond(200, body=download)

    def collect(conn):
        while (request := conn.read_head(Request)) is not None:
            body = b"".join(conn.pieces(request))
            conn.respond(200, body=body or b"hello")

    app, more = module_stage.origin(collect), module_stage.origin(give)
    paths = [{"path": "/facts", "use": [{"respond": {"status": 200, "text": FACTS}}]},
             {"path": "/subject", "use": [{"respond": {"status": 200, "text": "${tls.client.subject}"}}]},
             {"path": "/download", "to": "download"}, {"to": "app"}]
    return module_stage.proxy(routes=paths, listener={"tls": {
        "certificates": {"certificate": certificate.chain, "key": certificate.key},
        "client": {"mode": "optional", "ca": ca.root_path}, "keylog": "@dir@/keys"}}, upstreams={
            "app": {"servers": [app.address]}, "download": {"servers": [more.address]}})


@pytest.fixture(autouse=True)
def bystander(proxy):
    """Whatever happens to the connection of a test, another one goes on, on the same worker or not."""
    with Conversation(proxy.address) as one, Conversation(proxy.address) as other:
        assert one.ask() and other.ask()
        yield
        assert one.ask() and other.ask()


class Conversation(Client):
    """HTTP/1 over a Tls13, which is .sock; what the test seals goes between."""

    def __init__(self, address, timeout=10, **more):
        Stream.__init__(self, Tls13(address, timeout=timeout, **more), timeout)
        self.host = "example.test"

    @property
    def tls(self):
        return self.sock

    def send(self, data):
        self.tls.sendall(data)

    def ask(self, target="/facts"):
        return self.get(target).body.decode().split(" ")

    def refused(self, alert, within=3):
        """The connection ends with that alert, soon."""
        began = time.monotonic()
        told = self.tls.alert()
        assert told == alert, f"alert {told}, wanted {alert}; {self.tls.closed}"
        assert time.monotonic() - began < seconds(within)

    def close(self):
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


@pytest.fixture
def talk(proxy):
    with Conversation(proxy.address) as conversation:
        yield conversation


# -------------------------------------------------------------------- after any handshake

@pytest.mark.parametrize("suite", NAMES, ids=NAMES.values())
@pytest.mark.parametrize("way", [{}, {"retry": True}, {"compatible": False}, {"retry": True, "compatible": False}],
                         ids=["plain", "retry", "bare", "retry bare"])
def test_facts_survive_the_handshake(proxy, suite, way):
    with Conversation(proxy.address, suites=(suite,), **way) as client:
        assert client.tls.retried == way.get("retry", False)
        for _ in range(3):
            assert client.ask() == ["1.3", NAMES[suite], "http/1.1", "false", "example.test"]
        assert len(client.tls.tickets) == 1


@pytest.mark.parametrize("suite", [AES_128, AES_256])
@pytest.mark.parametrize("retry", [False, True])
def test_sessions_are_resumed(proxy, suite, retry):
    with Conversation(proxy.address, suites=(suite,)) as client:
        client.ask()
        session = client.tls.tickets[0]
    for _ in range(3):
        with Conversation(proxy.address, suites=(suite,), session=session, retry=retry) as client:
            assert client.tls.resumed and client.ask()[3] == "true"
            session = client.tls.tickets[0]


@pytest.mark.parametrize("size", [1, 100, 15000])
def test_early_data_is_skipped(proxy, size):
    """We offer none, so whoever sends some has to send it again (RFC 8446 4.2.10)."""
    with Conversation(proxy.address) as client:
        client.ask()
        session = client.tls.tickets[0]
    with Conversation(proxy.address, session=session, early=(GET * 1000)[:size]) as client:
        assert client.tls.resumed
        assert client.ask()[3] == "true"
        heads = [content for kind, content in client.tls.records if content.startswith(b"HTTP/1.1 ")]
        assert len(heads) == 1, client.tls.records  # nothing for what came early


def test_a_client_certificate(proxy, ca):
    alice = ca.issue("alice", ["alice.test"], subject="/CN=Alice")
    with Conversation(proxy.address, certificate=alice) as client:
        for _ in range(3):
            assert client.get("/subject").body == b"CN=Alice"
        session = client.tls.tickets[0]
    with Conversation(proxy.address, session=session) as client:
        assert client.get("/subject").body == b"CN=Alice"


def test_the_key_log_has_the_keys(proxy):
    with Conversation(proxy.address) as client:
        client.ask()
        with open(f"{proxy.dir}/keys") as file:
            lines = [line.split() for line in file]
        said = {kind: secret for kind, random, secret in lines if random == client.tls.random.hex()}
        assert said["CLIENT_TRAFFIC_SECRET_0"] == client.tls.client_secret.hex()
        assert said["SERVER_TRAFFIC_SECRET_0"] == client.tls.server_secret.hex()


def with_a_new_key(direction):
    record = direction.seal(UPDATE_REQUESTED, HANDSHAKE)
    direction.update()
    return record + direction.seal(GET)


@pytest.mark.parametrize("behind", [
    lambda d: d.seal(GET), lambda d: d.seal(GET[:7]) + d.seal(GET[7:]),
    lambda d: d.seal(b"") + d.seal(GET, padding=300), with_a_new_key], ids=["a request", "in two", "padded", "a new key"])
def test_what_leaves_together_with_our_finished(proxy, behind):
    with Conversation(proxy.address, behind=behind) as client:
        assert client.response().body == b"hello"
        assert client.ask()


@pytest.mark.parametrize("at", [1, 5, 30])
def test_half_a_record_leaves_together_with_our_finished(proxy, at):
    whole = []

    def half(direction):
        whole.append(direction.seal(GET))
        return whole[0][:at]

    with Conversation(proxy.address, behind=half) as client:
        time.sleep(0.01)
        client.tls.sock.sendall(whole[0][at:])
        assert client.response().body == b"hello"


# -------------------------------------------------------------------- sizes and padding

@pytest.mark.parametrize("padding", [0, 1, 255, 16000])
def test_padding_is_nobodys(talk, padding):
    talk.tls.send(GET, padding=padding)
    assert talk.response().body == b"hello"


def test_the_largest_records(talk):
    body = os.urandom(CONTENT_MAX * 3)
    talk.request("POST", "/", [("Content-Length", str(len(body)))], body=None)
    for at in range(0, len(body), CONTENT_MAX):
        talk.tls.send(body[at:at + CONTENT_MAX])
    assert talk.response().body == body
    talk.tls.send(GET, padding=CONTENT_MAX - len(GET))
    assert talk.response().body == b"hello"


@pytest.mark.parametrize("content, padding", [
    (CONTENT_MAX + 1, 0), (CONTENT_MAX, 1), (100, CONTENT_MAX - 99), (CONTENT_MAX + 239, 0), (CONTENT_MAX, 239),
    (CONTENT_MAX + 240, 0), (CONTENT_MAX + 256, 0)])
def test_a_record_that_is_too_long(talk, content, padding):
    talk.tls.try_send(talk.tls.seal(b"x" * content, padding=padding))
    talk.refused(RECORD_OVERFLOW)


def test_a_record_that_is_much_too_long_is_not_waited_for(talk):
    talk.tls.sock.sendall(b"\x17\3\3\xff\xff")
    talk.refused(RECORD_OVERFLOW)


@pytest.mark.parametrize("size", [0, 1, 16])
def test_a_record_that_cannot_hold_a_tag(talk, size):
    talk.tls.sock.sendall(bytes([23, 3, 3, 0, size]) + bytes(size))
    talk.refused(BAD_RECORD_MAC)


@pytest.mark.parametrize("padding", [0, 1, 100, CONTENT_MAX])
def test_a_record_without_a_type(talk, padding):
    """Nothing but zeros (RFC 8446 5.4)."""
    talk.tls.send(b"", kind=None, padding=padding + 1)
    talk.refused(UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [HANDSHAKE, ALERT])
def test_empty_messages(talk, kind):
    talk.tls.send(b"", kind, padding=3)
    talk.refused(UNEXPECTED_MESSAGE)


def test_empty_data_is_allowed_but_not_for_ever(talk):
    for _ in range(32):
        talk.tls.send(b"", padding=1)
    talk.tls.send(GET)
    assert talk.response().body == b"hello"
    for _ in range(33):
        talk.tls.try_send(talk.tls.seal(b""))
    talk.refused(UNEXPECTED_MESSAGE)


def test_a_flood_of_nothing_is_cut_off(proxy, talk):
    nothing = b"".join(talk.tls.seal(b"") for _ in range(20000))
    talk.tls.try_send(nothing)
    talk.refused(UNEXPECTED_MESSAGE)


# -------------------------------------------------------------------- headers, tags, pieces

@pytest.mark.parametrize("outer", [0, 20, 21, 22, 24, 255])
def test_only_data_stands_outside(talk, outer):
    talk.tls.sock.sendall(talk.tls.seal(GET, outer=outer))
    talk.refused(UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("version", [0, 0x0301, 0x0304, 0xFFFF])
def test_the_version_of_a_record_says_nothing(talk, version):
    """RFC 8446 5.1: it is ignored, though it is authenticated."""
    talk.tls.send(GET, version=version)
    assert talk.response().body == b"hello"


@pytest.mark.parametrize("at", [1, 2, 5, 20, -17, -16, -1])
def test_a_bit_that_was_changed(talk, at):
    record = bytearray(talk.tls.seal(GET))
    record[at] ^= 1
    talk.tls.sock.sendall(bytes(record))
    talk.refused(BAD_RECORD_MAC)


def test_a_record_that_comes_twice_or_not_at_all(proxy):
    with Conversation(proxy.address) as client:
        record = client.tls.seal(GET)
        client.tls.sock.sendall(record)
        assert client.response().body == b"hello"
        client.tls.sock.sendall(record)
        client.refused(BAD_RECORD_MAC)
    with Conversation(proxy.address) as client:
        client.tls.seal(GET)
        client.tls.send(GET)
        client.refused(BAD_RECORD_MAC)


def test_a_bad_record_in_the_same_segment(talk):
    """Behind a whole request: it may be answered or not, but nothing is said after the alert."""
    talk.tls.sock.sendall(talk.tls.seal(GET) + b"\x17\3\3\0\x20" + bytes(32))
    rest = talk.tls.rest()
    assert rest[-1] == (ALERT, bytes([2, BAD_RECORD_MAC])), rest


def test_records_that_are_cut_anywhere(talk):
    for at in range(1, len(GET) + 22):
        record = talk.tls.seal(GET)
        talk.tls.sock.sendall(record[:at])
        time.sleep(0.003 if at % 4 == 0 else 0)
        talk.tls.sock.sendall(record[at:])
        assert talk.response().body == b"hello"


def test_records_byte_by_byte(talk):
    wire = talk.tls.seal(GET[:20], padding=40) + talk.tls.update() + talk.tls.seal(GET[20:])
    for byte in wire:
        talk.tls.sock.sendall(bytes([byte]))
        time.sleep(0.0005)
    assert talk.response().body == b"hello"


def test_many_records_in_one_segment(talk):
    wire = b"".join(talk.tls.seal(bytes([byte])) for byte in GET * 20)
    talk.tls.sock.sendall(wire)
    for _ in range(20):
        assert talk.response().body == b"hello"


def test_records_over_segments_of_all_sizes(talk):
    body = os.urandom(volume(400000))
    talk.request("POST", "/", [("Content-Length", str(len(body)))])
    wire, at = b"", 0
    for i in range(10 ** 6):
        if at >= len(body):
            break
        n = 1 + i * 1237 % CONTENT_MAX
        wire += talk.tls.seal(body[at:at + n], padding=i * 17 % (CONTENT_MAX + 1 - min(n, len(body) - at)) % 50)
        at += n
    at, step = 0, 1
    while at < len(wire):
        talk.tls.sock.sendall(wire[at:at + step])
        at, step = at + step, step * 7 % 30011 + 1
    assert talk.response().body == body


# -------------------------------------------------------------------- keys

def test_new_keys_in_the_middle_of_an_upload(talk):
    body = os.urandom(volume(300000))
    talk.request("POST", "/", [("Content-Length", str(len(body)))])
    for at in range(0, len(body), 5000):
        talk.tls.send(body[at:at + 5000])
        talk.tls.sock.sendall(talk.tls.update(request=at % 10000 == 0))
    assert talk.response().body == body
    assert talk.tls.updates == 1  # for all that were asked for while the server had nothing to say
    assert talk.ask()


def test_new_keys_in_the_middle_of_a_download(proxy, download):
    with Conversation(proxy.address, timeout=30) as client:
        client.request("GET", "/download")
        while len(client.buffer) < len(download):
            client.tls.sock.sendall(client.tls.update(request=True))
            for _ in range(40):
                if len(client.buffer) < len(download):
                    client.fill()
        assert client.response().body == download
        assert client.ask() and client.tls.updates >= 1


def test_a_new_key_in_pieces(talk):
    for cut in (1, 2, 3, 4):
        talk.tls.send(UPDATE_REQUESTED[:cut], HANDSHAKE)
        talk.tls.send(UPDATE_REQUESTED[cut:], HANDSHAKE)
        talk.tls.writing.update()
        assert talk.ask()
    assert talk.tls.updates == 4


def test_new_keys_are_bounded(talk):
    for _ in range(32):
        talk.tls.sock.sendall(talk.tls.update(request=True))
    assert talk.ask() and talk.tls.updates == 1
    for _ in range(33):
        talk.tls.try_send(talk.tls.update(request=True))
    talk.refused(UNEXPECTED_MESSAGE)


def test_the_old_key_is_no_good_any_more(talk):
    old = talk.tls.writing.secret
    talk.tls.sock.sendall(talk.tls.update())
    talk.tls.writing.use(old)
    talk.tls.writing.number = 1
    talk.tls.send(GET)
    talk.refused(BAD_RECORD_MAC)


@pytest.mark.parametrize("pieces, alert", [
    ([(UPDATE[:4] + b"\2", HANDSHAKE)], ILLEGAL_PARAMETER),
    ([(UPDATE[:4], HANDSHAKE), (b"\xff", HANDSHAKE)], ILLEGAL_PARAMETER),
    ([(b"\x18\0\0\0", HANDSHAKE)], DECODE_ERROR),
    ([(b"\x18\0\0\2\0\0", HANDSHAKE)], DECODE_ERROR),
    ([(b"\x18\xff\xff\xff", HANDSHAKE)], DECODE_ERROR),
    ([(UPDATE + UPDATE, HANDSHAKE)], UNEXPECTED_MESSAGE),
    ([(UPDATE[:2], HANDSHAKE), (GET, DATA)], UNEXPECTED_MESSAGE),
    ([(UPDATE[:2], HANDSHAKE), (b"", DATA)], UNEXPECTED_MESSAGE),
    ([(UPDATE[:2], HANDSHAKE), (GOODBYE, ALERT)], UNEXPECTED_MESSAGE),
    ([(UPDATE[:2], HANDSHAKE), (b"", HANDSHAKE)], UNEXPECTED_MESSAGE),
])
def test_updates_that_are_none(talk, pieces, alert):
    talk.tls.sock.sendall(b"".join(talk.tls.seal(content, kind) for content, kind in pieces))
    talk.refused(alert)


@pytest.mark.parametrize("kind", [0, 1, 2, 4, 5, 8, 11, 13, 15, 20, 254, 255])
@pytest.mark.parametrize("size", [0, 32, 5000])
def test_messages_that_do_not_come_from_clients_now(talk, kind, size):
    """Among them a client hello (renegotiation), a ticket, a request for a certificate, another Finished."""
    talk.tls.send(bytes([kind]) + size.to_bytes(3, "big") + bytes(size), HANDSHAKE)
    talk.refused(UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("wire", [
    lambda tls: CCS, lambda tls: tls.seal(b"\1", CHANGE_CIPHER_SPEC), lambda tls: bytes([21, 3, 3, 0, 2, 1, 0]),
    lambda tls: bytes([21, 3, 3, 0, 2, 2, 40]), lambda tls: bytes([22, 3, 3, 0, 5]) + UPDATE,
    lambda tls: GET, lambda tls: tls.seal(b"heart", 24), lambda tls: tls.seal(b"x", 255),
], ids=["change_cipher_spec", "sealed change_cipher_spec", "bare goodbye", "bare alert", "bare update", "http",
        "heartbeat", "255"])
def test_records_that_have_no_place_now(talk, wire):
    talk.tls.sock.sendall(wire(talk.tls))
    talk.refused(UNEXPECTED_MESSAGE)


# -------------------------------------------------------------------- ends

def test_a_goodbye_is_answered(talk):
    talk.ask()
    talk.tls.send(GOODBYE, ALERT)
    assert [r for r in talk.tls.rest() if r[0] == ALERT] == [(ALERT, GOODBYE)]


def test_an_answer_comes_behind_a_goodbye(talk):
    talk.tls.sock.sendall(talk.tls.seal(GET) + talk.tls.seal(GOODBYE, ALERT))
    assert talk.response().body == b"hello"
    assert (ALERT, GOODBYE) in talk.tls.rest()


@pytest.mark.parametrize("rubbish", [False, True])
def test_what_comes_behind_a_goodbye_is_ignored(talk, rubbish):
    before = talk.tls.seal(GET) + talk.tls.seal(GOODBYE, ALERT)
    talk.tls.sock.sendall(before + (b"\x17\3\3\0\x20" + bytes(32) if rubbish else talk.tls.seal(GET)))
    assert talk.response().body == b"hello"
    rest = talk.tls.rest()
    assert not [r for r in rest if r[0] == DATA] and [r for r in rest if r[0] == ALERT] in ([], [(ALERT, GOODBYE)])


@pytest.mark.parametrize("level", [0, 1, 2, 255])
@pytest.mark.parametrize("what", [10, 20, 21, 22, 40, 42, 48, 50, 51, 70, 80, 86, 100, 109, 112, 116, 120, 255])
def test_every_other_alert_is_the_end(talk, level, what):
    """Whatever its level says (RFC 8446 6), and nothing is said to it."""
    talk.tls.send(bytes([level, what]), ALERT)
    talk.refused(None)


@pytest.mark.parametrize("content", [b"\2", b"\1\0\0", b"\1\0\1\0", bytes(1000)])
def test_alerts_are_alone_and_whole(talk, content):
    talk.tls.send(content, ALERT)
    talk.refused(UNEXPECTED_MESSAGE)


def test_a_canceled_user_may_still_say_goodbye(talk):
    talk.tls.send(bytes([1, USER_CANCELED]), ALERT)
    assert talk.ask()
    talk.tls.send(bytes([1, USER_CANCELED]), ALERT)
    talk.tls.send(GOODBYE, ALERT)
    assert (ALERT, GOODBYE) in talk.tls.rest()


@pytest.mark.parametrize("cut", [0, 3, 5, 30])
def test_an_end_without_a_goodbye(talk, cut):
    """TCP's half-close, maybe in the middle of a record: an end, but what was whole is answered before."""
    talk.ask()
    talk.tls.sock.sendall(talk.tls.seal(GET)[:cut])
    talk.tls.half_close()
    assert not [r for r in talk.tls.rest() if r[0] == DATA]
    assert talk.tls.closed


def test_a_reset(talk):
    talk.ask()
    talk.tls.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    talk.close()


def test_we_say_goodbye(talk):
    talk.send(LAST)
    assert talk.response().body == b"hello"
    assert (ALERT, GOODBYE) in talk.tls.rest()


# -------------------------------------------------------------------- HTTP/2

@pytest.fixture
def session(proxy):
    with h2.H2(proxy.address, sock=Tls13(proxy.address, alpn=("h2", "http/1.1"), timeout=30), timeout=30) as found:
        assert found.sock.alpn == "h2"
        yield found


def ask(session, stream, path="/facts", **more):
    session.request(stream, path=path, scheme="https", authority="example.test", **more)


def test_http_2_goes_on_through_new_keys(session, download):
    for i in range(10):
        session.sock.sock.sendall(session.sock.update(request=True))
        ask(session, 1 + 2 * i, "/facts" if i % 3 else "/download")
        assert session.ping()
    for i in range(10):
        body = session.response(1 + 2 * i, timeout=30).body
        assert body == download if i % 3 == 0 else body.split()[2] == b"h2"
    assert session.sock.updates >= 10


def test_many_streams_write_with_one_key(session, download):
    """Answers of forty streams at once, with new keys asked for all the time: every record opens in its order."""
    for i in range(40):
        ask(session, 1 + 2 * i, "/facts" if i % 8 else "/download")
    for i in range(40):
        session.sock.sock.sendall(session.sock.update(request=True))
        answer = session.response(1 + 2 * i, timeout=30)
        assert answer.body == download if i % 8 == 0 else answer.status == 200
    assert session.sock.updates > 2


def test_frames_cut_by_records(session):
    plain = session.bytes_of(h2.PING, 0, 0, b"abcdefgh") * 3
    for byte in plain:
        session.sock.send(bytes([byte]), padding=byte % 3)
    assert session.ping()
    session.sock.send(plain)
    assert session.ping()


@pytest.mark.parametrize("wire, alert", [
    (lambda tls: tls.seal(b"x")[:-1] + b"\0", BAD_RECORD_MAC),
    (lambda tls: tls.seal(b"\1\0\0\0", HANDSHAKE), UNEXPECTED_MESSAGE),
    (lambda tls: b"".join(tls.seal(b"") for _ in range(33)), UNEXPECTED_MESSAGE),
    (lambda tls: tls.seal(bytes([2, 80]), ALERT), None),
])
def test_an_http_2_session_ends_with_its_records(session, wire, alert):
    ask(session, 1)
    assert session.response(1).status == 200
    ask(session, 3, "/", method="POST", end=False)  # half a request, and its exchange
    assert session.ping()
    began = time.monotonic()
    session.sock.try_send(wire(session.sock))
    assert session.sock.alert() == alert
    assert time.monotonic() - began < seconds(3)


def test_an_http_2_client_says_goodbye(session):
    ask(session, 1)
    assert session.response(1).status == 200
    session.sock.send(GOODBYE, ALERT)
    rest = [r for r in session.sock.rest() if r[0] == ALERT]
    assert rest == [(ALERT, GOODBYE)]
