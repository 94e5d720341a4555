# SPDX-License-Identifier: Apache-2.0
"""A raw client of HTTP/2: every frame as the test writes it, nothing done behind its back.

    h2 = H2(proxy.address)
    h2.request(1, path="/x")
    assert h2.response(1).status == 200

Only fields are left to a library (HPACK by Debian's python3-hpack).  Frames that come are kept in
h2.frames; SETTINGS and PING are acknowledged unless quiet=True.
"""
import struct
import time

import hpack

from support.wait import seconds
from support.wire import connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = \
    range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        return f"Frame(kind={self.kind}, flags={self.flags:#x}, stream={self.stream}, {self.payload[:60]!r})"

    @property
    def code(self):
        """Error code of RST_STREAM and GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack_from(">I", self.payload, at)[0]

    @property
    def words(self):
        """Debug data of GOAWAY."""
        return self.payload[8:].decode("latin-1")


class Answer:
    """What came on a stream so far."""

    def __init__(self):
        self.heads, self.body, self.trailers, self.ended, self.reset = [], b"", None, False, None

    @property
    def head(self):
        return self.heads[-1] if self.heads else []

    @property
    def status(self):
        return int(self.get(":status", "0"))

    def get(self, name, default=None):
        return next((v for n, v in self.head if n == name), default)

    def all(self, name):
        return [v for n, v in self.head if n == name]

    @property
    def done(self):
        return self.ended or self.reset is not None


def settings(*pairs):
    return b"".join(struct.pack(">HI", *pair) for pair in pairs)


class H2:
    def __init__(self, address, *pairs, preface=True, quiet=False, timeout=10, sock=None, windows=True):
        self.sock = sock or connect(address, timeout=timeout)
        self.sock.settimeout(seconds(timeout))
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.encoder.header_table_size = 4096
        self.buffer, self.frames, self.answers = b"", [], {}
        self.quiet, self.windows, self.closed, self.goaway, self.settings = quiet, windows, False, None, {}
        if preface:
            self.send(PREFACE)
            self.frame(SETTINGS, 0, 0, settings(*pairs))

    # ---------------------------------------------------------------- out

    def send(self, data):
        self.sock.sendall(data)

    def try_send(self, data):
        """False: the proxy has hung up already."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    @staticmethod
    def bytes_of(kind, flags=0, stream=0, payload=b"", length=None):
        length = len(payload) if length is None else length
        return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def frame(self, kind, flags=0, stream=0, payload=b"", length=None):
        self.send(self.bytes_of(kind, flags, stream, payload, length))

    def block(self, fields):
        return self.encoder.encode(fields, huffman=False)

    @staticmethod
    def fields(method="GET", path="/", scheme="http", authority="h", more=()):
        pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
        return [(n, v) for n, v in pseudo if v is not None] + list(more)

    def headers(self, stream, fields, end=True, flags=END_HEADERS):
        self.frame(HEADERS, flags | (END_STREAM if end else 0), stream, self.block(fields))

    def request(self, stream, method="GET", path="/", fields=(), body=None, end=True, **more):
        self.headers(stream, self.fields(method, path, more=fields, **more), end=end and body is None)
        if body is not None:
            self.data(stream, body, end=end)

    def data(self, stream, data=b"", end=False):
        self.frame(DATA, END_STREAM if end else 0, stream, data)

    def window(self, stream, n):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    # ---------------------------------------------------------------- in

    def _fill(self, until):
        self.sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            more = self.sock.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            self.closed = True
        self.buffer += more
        return bool(more)

    def read_frame(self, timeout=10):
        """The next frame; None when the connection has ended; TimeoutError."""
        until = time.monotonic() + seconds(timeout)
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            if self.closed or not self._fill(until):
                return None
        n = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", self.buffer, 3)
        frame = Frame(kind, flags, stream, self.buffer[9:9 + n])
        self.buffer = self.buffer[9 + n:]
        self.frames.append(frame)
        self._note(frame)
        return frame

    def _note(self, frame):
        answer = self.answers.setdefault(frame.stream, Answer())
        if frame.kind == HEADERS:
            assert frame.flags & END_HEADERS, "no test has so many fields"
            fields = [(n, v) for n, v in self.decoder.decode(frame.payload)]
            if fields and fields[0][0] == ":status":
                answer.heads.append(fields)
            else:
                answer.trailers = fields
        elif frame.kind == DATA:
            answer.body += frame.payload
            if self.windows and frame.payload:
                self.try_send(self.bytes_of(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(frame.payload))))
                if not frame.flags & END_STREAM:
                    self.try_send(self.bytes_of(WINDOW_UPDATE, 0, frame.stream, struct.pack(">I", len(frame.payload))))
        elif frame.kind == RST_STREAM:
            answer.reset = frame.code
        elif frame.kind == GOAWAY:
            self.goaway = frame
        elif frame.kind == SETTINGS and not frame.flags & ACK:
            for at in range(0, len(frame.payload), 6):
                name, value = struct.unpack_from(">HI", frame.payload, at)
                self.settings[name] = value
            if not self.quiet:
                self.try_send(self.bytes_of(SETTINGS, ACK))
        elif frame.kind == PING and not frame.flags & ACK and not self.quiet:
            self.try_send(self.bytes_of(PING, ACK, 0, frame.payload))
        if frame.kind in (HEADERS, DATA) and frame.flags & END_STREAM:
            answer.ended = True

    def until(self, probe, timeout=10):
        """Reads frames until probe(frame) holds; that frame, or None when the connection ended before."""
        while True:
            frame = self.read_frame(timeout)
            if frame is None or probe(frame):
                return frame

    def response(self, stream, timeout=10):
        """The answer on a stream, complete or reset."""
        while not self.answers.setdefault(stream, Answer()).done:
            if self.read_frame(timeout) is None:
                break
        return self.answers[stream]

    def head(self, stream, timeout=10):
        """The final head of the answer."""
        while self.answers.setdefault(stream, Answer()).status < 200:
            assert self.read_frame(timeout), "the connection ended"
        return self.answers[stream]

    def ping(self, data=b"12345678"):
        """All that was sent before has been looked at when this returns; False when the connection has ended."""
        if not self.try_send(self.bytes_of(PING, 0, 0, data)):
            return False
        return self.until(lambda f: f.kind == PING and f.flags & ACK and f.payload == data) is not None

    def ready(self):
        """Past the exchange of SETTINGS."""
        self.until(lambda f: f.kind == SETTINGS and not f.flags & ACK)
        return self

    # ---------------------------------------------------------------- what a test demands

    def expect_goaway(self, *codes):
        """A connection error: GOAWAY with one of the codes, and the end."""
        while self.read_frame() is not None:
            pass
        assert self.goaway, f"the connection ended without GOAWAY: {self.frames}"
        assert self.goaway.code in codes, f"GOAWAY {self.goaway.code} ({self.goaway.words}), wanted {codes}"
        return self.goaway

    def expect_reset(self, stream, *codes):
        """A stream error, after which the connection still works."""
        answer = self.response(stream)
        assert not self.closed, f"the connection ended: {self.goaway and self.goaway.words}"
        assert answer.reset in codes, f"RST_STREAM {answer.reset}, status {answer.status}, wanted {codes}"
        assert self.ping(), "the connection does not work any more"

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
