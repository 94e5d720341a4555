# SPDX-License-Identifier: Apache-2.0
"""A raw client of TLS 1.3 (RFC 8446): every record as the test writes it.

    tls = Tls13(proxy.address)
    tls.send(b"GET / HTTP/1.1\\r\\nHost: example.test\\r\\n\\r\\n")
    tls.send(b"\\x18\\0\\0\\1\\1", HANDSHAKE)
    assert tls.alert() == UNEXPECTED_MESSAGE

Only the mathematics are left to a library (Debian's python3-cryptography).  The server's Finished is
verified, its certificate is not.  recv() and sendall() make it a socket for support.h2 and
support.wire; they open what comes and hide what is not data.
"""
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from support.wait import seconds
from support.wire import connect

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, TICKET, ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, \
    FINISHED, KEY_UPDATE = 1, 2, 4, 8, 11, 13, 15, 20, 24
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, ILLEGAL_PARAMETER, DECODE_ERROR, USER_CANCELED = \
    0, 10, 20, 22, 47, 50, 90
AES_128, AES_256, CHACHA20 = 0x1301, 0x1302, 0x1303
# Digest, cipher, length of its key.
SUITES = {AES_128: ("sha256", AESGCM, 16), AES_256: ("sha384", AESGCM, 32), CHACHA20: ("sha256", ChaCha20Poly1305, 32)}
CCS = bytes([20, 3, 3, 0, 1, 1])
RETRY = hashlib.sha256(b"HelloRetryRequest").digest()
CONTENT_MAX = 16384


# -------------------------------------------------------------------- keys (RFC 8446 7)

def digest(name, data):
    return hashlib.new(name, data).digest()


def mac(name, key, data):
    return hmac.new(key, data, name).digest()


def expand(name, secret, label, context=b"", length=None):
    length = hashlib.new(name).digest_size if length is None else length
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + bytes([len(context)]) + context
    return mac(name, secret, info + b"\x01")[:length]


class Direction:
    """The secret of one direction, and what it makes of records."""

    def __init__(self, suite, secret):
        self.name, self.cipher, self.key_length = SUITES[suite]
        self.use(secret)

    def use(self, secret):
        self.secret, self.number = secret, 0
        self.aead = self.cipher(expand(self.name, secret, b"key", length=self.key_length))
        self.iv = expand(self.name, secret, b"iv", length=12)

    def update(self):
        self.use(expand(self.name, self.secret, b"traffic upd"))

    def _nonce(self):
        number = self.number
        self.number += 1
        return bytes(a ^ b for a, b in zip(self.iv, number.to_bytes(12, "big")))

    def seal(self, content, kind=DATA, padding=0, outer=DATA, version=0x0303):
        """A record with its header."""
        inner = content + (bytes([kind]) if kind is not None else b"") + bytes(padding)
        header = struct.pack(">BHH", outer, version, len(inner) + 16)
        return header + self.aead.encrypt(self._nonce(), inner, header)

    def open(self, header, body):
        """(kind, content)"""
        inner = self.aead.decrypt(self._nonce(), body, header).rstrip(b"\0")
        return inner[-1], inner[:-1]


# -------------------------------------------------------------------- messages (RFC 8446 4)

def vector(width, data):
    return len(data).to_bytes(width, "big") + data


def message(kind, body):
    return bytes([kind]) + vector(3, body)


def extension(kind, data):
    return struct.pack(">H", kind) + vector(2, data)


def messages(data):
    """The messages that are whole, each (kind, all its bytes), and the rest."""
    found = []
    while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[1:4], "big"):
        end = 4 + int.from_bytes(data[1:4], "big")
        found.append((data[0], data[:end]))
        data = data[end:]
    return found, data


class Session:
    """A ticket to come back with."""

    def __init__(self, suite, body, master):
        name = SUITES[suite][0]
        nonce_n = body[8]
        nonce, rest = body[9:9 + nonce_n], body[9 + nonce_n:]
        ticket_n = int.from_bytes(rest[:2], "big")
        self.suite, self.ticket = suite, rest[2:2 + ticket_n]
        self.age_add = int.from_bytes(body[4:8], "big")
        self.born = time.monotonic()
        self.psk = expand(name, master, b"resumption", nonce)

    def age(self):
        return (int((time.monotonic() - self.born) * 1000) + self.age_add) & 0xFFFFFFFF


class Tls13:
    """
    retry: without a key share, so that the server has to ask for one.  compatible: with a session id and
    change_cipher_spec records, as behind middleboxes.  early: bytes of 0-RTT that go with the session.
    certificate: a support.certs.Certificate to show.  behind: what leaves together with our Finished, a
    function of the client's Direction that gives records.
    """

    def __init__(self, address, name="example.test", alpn=("http/1.1",), suites=(AES_128,), retry=False,
                 compatible=True, session=None, early=None, certificate=None, behind=None, timeout=10):
        self.sock = connect(address, timeout=timeout)
        self.timeout = seconds(timeout)
        self.suites, self.alpn_offer, self.name = suites, alpn, name
        self.session, self.early, self.certificate, self.behind = session, early, certificate, behind
        self.compatible = compatible
        self.random, self.session_id = os.urandom(32), os.urandom(32) if compatible else b""
        self.private = x25519.X25519PrivateKey.generate()
        self.wire, self.plain, self.handshake_rest = b"", b"", b""
        self.tickets, self.updates, self.records = [], 0, []
        self.alpn, self.retried, self.resumed, self.closed = None, False, False, None
        self.reading = self.writing = None
        try:
            self._shake_hands(retry)
        except BaseException:
            self.sock.close()
            raise

    # ---------------------------------------------------------------- the handshake

    def _hello(self, share, cookie=b"", before=b""):
        public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        entries = struct.pack(">H", 0x1D) + vector(2, public) if share else b""
        parts = [
            extension(0, vector(2, b"\0" + vector(2, self.name.encode()))),
            extension(10, vector(2, struct.pack(">H", 0x1D))),
            extension(13, vector(2, struct.pack(">5H", 0x0403, 0x0503, 0x0804, 0x0805, 0x0401))),
            extension(43, vector(1, b"\3\4")),
            extension(45, vector(1, b"\1")),
            extension(51, vector(2, entries)),
        ]
        if self.alpn_offer:
            parts.append(extension(16, vector(2, b"".join(vector(1, a.encode()) for a in self.alpn_offer))))
        if cookie:
            parts.append(extension(44, vector(2, cookie)))
        if self.early is not None and not before:
            parts.append(extension(42, b""))
        body = b"\3\3" + self.random + vector(1, self.session_id) + \
            vector(2, b"".join(struct.pack(">H", s) for s in self.suites)) + b"\1\0"
        if self.session is None:
            return message(CLIENT_HELLO, body + vector(2, b"".join(parts)))
        return self._bind(body, b"".join(parts), before)

    def _bind(self, body, parts, before):
        """With a ticket, and the proof that its secret is ours (RFC 8446 4.2.11.2)."""
        name = SUITES[self.session.suite][0]
        n = hashlib.new(name).digest_size
        offer = vector(2, vector(2, self.session.ticket) + struct.pack(">I", self.session.age()))
        whole = message(CLIENT_HELLO, body + vector(2, parts + extension(41, offer + vector(2, vector(1, bytes(n))))))
        head = whole[:-(n + 3)]
        early = mac(name, bytes(n), self.session.psk)
        key = expand(name, expand(name, early, b"res binder", digest(name, b"")), b"finished")
        return head + vector(2, vector(1, mac(name, key, digest(name, before + head))))

    def _plain_record(self, content, version=0x0303):
        return struct.pack(">BHH", HANDSHAKE, version, len(content)) + content

    def _shake_hands(self, retry):
        hello = self._hello(share=not retry)
        self.sock.sendall(self._plain_record(hello, 0x0301) + self._early_records(hello))
        transcript, answer = hello, self._server_hello()
        if answer[6:38] == RETRY:
            self.retried = True
            suite = self._suite_of(answer)
            transcript = message(254, digest(SUITES[suite][0], hello)) + answer
            again = self._hello(share=True, cookie=self._extensions_of(answer).get(44, b"")[2:], before=transcript)
            self.sock.sendall((CCS if self.compatible else b"") + self._plain_record(again))
            transcript += again
            answer = self._server_hello()
        self._derive(transcript + answer, answer)

    def _early_records(self, hello):
        """0-RTT, which our server takes for what it is: bytes to be skipped."""
        if not self.early:
            return b""
        name = SUITES[self.session.suite][0]
        early = mac(name, bytes(hashlib.new(name).digest_size), self.session.psk)
        writing = Direction(self.session.suite, expand(name, early, b"c e traffic", digest(name, hello)))
        return CCS + b"".join(writing.seal(self.early[at:at + 4000]) for at in range(0, len(self.early), 4000))

    def _server_hello(self):
        kind, answer = self._record()
        if kind == CHANGE_CIPHER_SPEC:
            kind, answer = self._record()
        assert kind == HANDSHAKE and answer[0] == SERVER_HELLO, f"{kind}: {answer!r}"
        return answer

    @staticmethod
    def _suite_of(answer):
        return struct.unpack_from(">H", answer, 39 + answer[38])[0]

    @staticmethod
    def _extensions_of(answer):
        found, rest = {}, answer[39 + answer[38] + 2 + 1 + 2:]
        while rest:
            kind, n = struct.unpack_from(">HH", rest)
            found[kind], rest = rest[4:4 + n], rest[4 + n:]
        return found

    def _derive(self, transcript, answer):
        self.suite = self._suite_of(answer)
        name = SUITES[self.suite][0]
        n = hashlib.new(name).digest_size
        extensions = self._extensions_of(answer)
        self.resumed = 41 in extensions
        empty = digest(name, b"")
        early = mac(name, bytes(n), self.session.psk if self.resumed else bytes(n))
        shared = self.private.exchange(x25519.X25519PublicKey.from_public_bytes(extensions[51][4:]))
        handshake = mac(name, expand(name, early, b"derived", empty), shared)
        at = digest(name, transcript)
        mine, its = expand(name, handshake, b"c hs traffic", at), expand(name, handshake, b"s hs traffic", at)
        self.reading, self.writing = Direction(self.suite, its), Direction(self.suite, mine)
        transcript, asked = self._flight(transcript, its)
        master = mac(name, expand(name, handshake, b"derived", empty), bytes(n))
        at = digest(name, transcript)
        self.client_secret, self.server_secret = (expand(name, master, b"c ap traffic", at),
                                                  expand(name, master, b"s ap traffic", at))
        self._finish(transcript, mine, asked)
        self.reading.use(self.server_secret)
        self._master = lambda whole: expand(name, master, b"res master", digest(name, whole))
        self.resumption = self._master(self._transcript)

    def _flight(self, transcript, secret):
        """The server's, to its Finished; whether a certificate is asked for."""
        name, asked = SUITES[self.suite][0], False
        while True:
            kind, content = self._record()
            if kind == CHANGE_CIPHER_SPEC:
                continue
            assert kind == HANDSHAKE, f"{kind}: {content!r}"
            found, self.handshake_rest = messages(self.handshake_rest + content)
            for kind, whole in found:
                if kind == FINISHED:
                    want = mac(name, expand(name, secret, b"finished"), digest(name, transcript))
                    assert whole[4:] == want, "the server's Finished is wrong"
                    return transcript + whole, asked
                asked = asked or kind == CERTIFICATE_REQUEST
                if kind == ENCRYPTED_EXTENSIONS:
                    self._read_encrypted_extensions(whole[6:])
                transcript += whole

    def _read_encrypted_extensions(self, rest):
        while rest:
            kind, n = struct.unpack_from(">HH", rest)
            if kind == 16:
                self.alpn = rest[4 + 3:4 + n].decode()
            assert kind != 42, "early data was accepted"
            rest = rest[4 + n:]

    def _finish(self, transcript, secret, asked):
        name = SUITES[self.suite][0]
        out = CCS if self.compatible else b""
        for part in self._certificate(transcript) if asked else ():
            transcript += part
            out += self.writing.seal(part, HANDSHAKE)
        last = message(FINISHED, mac(name, expand(name, secret, b"finished"), digest(name, transcript)))
        self._transcript = transcript + last
        out += self.writing.seal(last, HANDSHAKE)
        self.writing.use(self.client_secret)
        self.sock.sendall(out + (self.behind(self.writing) if self.behind else b""))

    def _certificate(self, transcript):
        if not self.certificate:
            yield message(CERTIFICATE, b"\0" + vector(3, b""))
            return
        with open(self.certificate.chain) as file:
            pem = [part + "-----END CERTIFICATE-----" for part in file.read().split("-----END CERTIFICATE-----")[:-1]]
        der = [ssl.PEM_cert_to_DER_cert(part.strip()) for part in pem]
        shown = message(CERTIFICATE, b"\0" + vector(3, b"".join(vector(3, d) + b"\0\0" for d in der)))
        yield shown
        with open(self.certificate.key, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        signed = b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + digest(SUITES[self.suite][0], transcript + shown)
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        yield message(CERTIFICATE_VERIFY, struct.pack(">H", 0x0403) + vector(2, signature))

    # ---------------------------------------------------------------- records in

    def _fill(self, deadline):
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = self.sock.recv(65536)
        except ConnectionResetError:
            self.closed = "reset"
            return False
        if not more:
            self.closed = self.closed or "end"
        self.wire += more
        return bool(more)

    def _record(self):
        """The next one, opened: (kind, content); None at the end."""
        deadline = time.monotonic() + self.timeout
        while len(self.wire) < 5 or len(self.wire) < 5 + int.from_bytes(self.wire[3:5], "big"):
            if not self._fill(deadline):
                assert not self.wire, f"the server cut a record: {self.wire[:40]!r}"
                return None
        n = int.from_bytes(self.wire[3:5], "big")
        header, body, self.wire = self.wire[:5], self.wire[5:5 + n], self.wire[5 + n:]
        if header[0] != DATA or self.reading is None:
            return header[0], body
        try:
            return self.reading.open(header, body)
        except InvalidTag:
            raise AssertionError(f"record {self.reading.number - 1} of the server does not open") from None

    def record(self):
        """The next record with its effect on keys and tickets; None at the end."""
        found = self._record()
        if found is None:
            return None
        self.records.append(found)
        kind, content = found
        if kind == HANDSHAKE:
            for sort, whole in messages(content)[0]:
                if sort == TICKET:
                    self.tickets.append(Session(self.suite, whole[4:], self.resumption))
                elif sort == KEY_UPDATE:
                    assert whole[4:] == b"\0", "the server asks for an update"
                    self.updates += 1
                    self.reading.update()
                else:
                    raise AssertionError(f"message {sort} after the handshake")
        return found

    def recv(self, room):
        """Data; b"" at the end or after close_notify."""
        while not self.plain:
            found = self.record()
            if found is None or found == (ALERT, bytes([1, CLOSE_NOTIFY])):
                return b""
            assert found[0] != ALERT, f"alert {found[1]!r}"
            self.plain = found[1] if found[0] == DATA else b""
        taken, self.plain = self.plain[:room], self.plain[room:]
        return taken

    def rest(self):
        """All records to the end of the connection, however it comes."""
        found = []
        while (record := self.record()) is not None:
            found.append(record)
        return found

    def alert(self):
        """Which alert ended the connection; None: it ended without one."""
        found = [content for kind, content in self.rest() if kind == ALERT]
        assert len(found) <= 1, f"more than one alert: {found}"
        return found[0][1] if found else None

    # ---------------------------------------------------------------- records out

    def seal(self, content, kind=DATA, **more):
        return self.writing.seal(content, kind, **more)

    def send(self, content, kind=DATA, **more):
        self.sock.sendall(self.seal(content, kind, **more))

    def sendall(self, data):
        for at in range(0, len(data), CONTENT_MAX):
            self.send(data[at:at + CONTENT_MAX])

    def try_send(self, data):
        """False: the proxy has hung up already."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def update(self, request=False):
        """The record of a KeyUpdate; what is sealed next has the new key."""
        record = self.seal(message(KEY_UPDATE, bytes([request])), HANDSHAKE)
        self.writing.update()
        return record

    def settimeout(self, timeout):
        self.timeout = timeout

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
