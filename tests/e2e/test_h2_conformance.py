# SPDX-License-Identifier: Apache-2.0
"""Each MUST of RFC 9113 sections 3 to 8 that a client can break, with the error that it demands.

The rows are ("section", what the client does, what must happen): GOAWAY(...) is a connection error,
RESET(...) a stream error, after which the connection must still answer.
"""
import struct

import pytest

from support.h2 import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM,
                        FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY as GOAWAY_FRAME, H2, HEADERS,
                        HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, NO_ERROR, PADDED, PING, PREFACE,
                        PRIORITIZED, PRIORITY, PRIORITY_UPDATE, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM,
                        RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, settings)
from support.origin import answer_echo, echoed, serve_forever

GET = H2.fields()
POST = H2.fields("POST")


class Wanted:
    def __init__(self, *codes):
        self.codes = codes


class Goaway(Wanted):
    def check(self, h2):
        h2.expect_goaway(*self.codes)


class Reset(Wanted):
    """On stream 1."""

    def check(self, h2):
        h2.expect_reset(1, *self.codes)


class Either(Wanted):
    """The RFC leaves it open whether the stream or the connection is at fault."""

    def check(self, h2):
        while not h2.closed and h2.answers.get(1, None) is None or (not h2.closed and h2.answers[1].reset is None):
            if h2.read_frame() is None:
                break
        reset = h2.answers[1].reset if 1 in h2.answers else None
        code = h2.goaway.code if h2.goaway else reset
        assert code in self.codes, (h2.frames, self.codes)


class Works:
    """No error: stream 1 is answered."""

    def check(self, h2):
        answer = h2.response(1)
        assert answer.status == 200 and answer.ended, (answer.status, answer.reset, h2.goaway)


class Refused:
    """A malformed request: reset, or answered with this status (RFC 9113 8.1.1)."""

    def __init__(self, status=400):
        self.status = status

    def check(self, h2):
        answer = h2.response(1)
        assert answer.reset == PROTOCOL_ERROR or answer.status == self.status, (answer.status, answer.reset, h2.goaway)
        assert h2.ping()


class Ignored:
    """The connection goes on as if nothing had happened: no frame in return."""

    def check(self, h2):
        before = [f for f in h2.frames if f.kind == RST_STREAM]
        assert h2.ping()
        h2.request(101)
        assert h2.response(101).status == 200
        assert not h2.goaway and [f for f in h2.frames if f.kind == RST_STREAM] == before


class Answers99:
    """Stream 99 is answered."""

    def check(self, h2):
        assert h2.response(99).status == 200 and h2.ping()


def u32(n):
    return struct.pack(">I", n)


def frames(*which):
    """What a client does: these frames behind each other."""

    def act(h2):
        h2.try_send(b"".join(H2.bytes_of(*f) if isinstance(f, tuple) else f(h2) for f in which))

    return act


def head(fields=GET, end=True, stream=1, flags=END_HEADERS):
    return lambda h2: H2.bytes_of(HEADERS, flags | (END_STREAM if end else 0), stream, h2.block(fields))


def request(*more, **change):
    """A request with these fields, or these pseudo-fields changed."""
    return frames(head(H2.fields(**change, more=more)))


def raw(*fields):
    return frames(head(list(fields)))


def answered_first(*which):
    """After stream 1 has been answered and is closed."""

    def act(h2):
        h2.request(1)
        assert h2.response(1).ended
        frames(*which)(h2)

    return act


def given_up_first(*which):
    """After the client has reset stream 1."""

    def act(h2):
        h2.request(1, "POST", path="/slow", end=False)
        h2.reset(1)
        frames(*which)(h2)

    return act


def reset_by_us_first(*which):
    """After the proxy has reset stream 1 for a malformed request, which the client may not know yet."""

    def act(h2):
        h2.headers(1, [*POST, ("connection", "close")], end=False)
        assert h2.response(1).reset == PROTOCOL_ERROR
        frames(*which)(h2)

    return act


def without(name, fields=GET):
    return [(n, v) for n, v in fields if n != name]


TOO_LONG = b"\0" * 16385
PSEUDO = dict(GET)

CASES = [
    # ------------------------------------------------------------ 4: frames
    ("4.1 unknown frame types are ignored", frames((0xfa, 0xff, 0, b"12345678")), Ignored()),
    ("4.1 unknown flags are ignored", frames((PING, 0xfe, 0, b"87654321")), Ignored()),
    ("4.1 the reserved bit is ignored", frames((PING, 0, 0x80000000, b"87654321")), Ignored()),
    ("4.2 DATA larger than SETTINGS_MAX_FRAME_SIZE", frames(head(POST, False), (DATA, 0, 1, TOO_LONG)),
     Either(FRAME_SIZE_ERROR)),
    ("4.2 HEADERS larger than it", frames((HEADERS, 5, 1, TOO_LONG)), Goaway(FRAME_SIZE_ERROR)),
    ("4.2 CONTINUATION larger than it", frames((HEADERS, END_STREAM, 1, b"\x82"), (CONTINUATION, 4, 1, TOO_LONG)),
     Goaway(FRAME_SIZE_ERROR)),
    ("4.2 an unknown frame larger than it", frames((0xfa, 0, 0, TOO_LONG)), Goaway(FRAME_SIZE_ERROR)),
    ("4.2 SETTINGS larger than it", frames((SETTINGS, 0, 0, TOO_LONG)), Goaway(FRAME_SIZE_ERROR)),
    ("4.3 a field block that is no HPACK", frames((HEADERS, 5, 1, b"\x80")), Goaway(COMPRESSION_ERROR)),
    ("4.3 an index outside of the tables", frames((HEADERS, 5, 1, b"\xff\xff\x01")), Goaway(COMPRESSION_ERROR)),
    ("4.3 a table size above what was agreed", frames((HEADERS, 5, 1, b"\x3f\xff\xff\x07")),
     Goaway(COMPRESSION_ERROR)),
    ("4.3.1 a change of the table's size behind a field",
     frames(lambda h2: H2.bytes_of(HEADERS, 5, 1, h2.block(GET) + b"\x3f\x01")), Goaway(COMPRESSION_ERROR)),
    ("4.3.1 a change of the table's size before the fields is fine",
     frames(lambda h2: H2.bytes_of(HEADERS, 5, 1, b"\x20\x3f\xe1\x1f" + h2.block(GET))), Works()),
    ("4.3 a field block that is cut off", frames((HEADERS, 5, 1, b"\x40\x0aabc")), Goaway(COMPRESSION_ERROR)),
    ("4.3 another frame within a field block", frames((HEADERS, END_STREAM, 1, b"\x82"), (PING, 0, 0, b"12345678")),
     Goaway(PROTOCOL_ERROR)),
    ("4.3 CONTINUATION of another stream", frames((HEADERS, END_STREAM, 1, b"\x82"), (CONTINUATION, 4, 3, b"\x86")),
     Goaway(PROTOCOL_ERROR)),
    ("4.3 DATA within a field block", frames((HEADERS, 0, 1, b"\x82"), (DATA, END_STREAM, 1, b"x")),
     Goaway(PROTOCOL_ERROR)),
    ("4.3 a second HEADERS within a field block", frames((HEADERS, END_STREAM, 1, b"\x82"), (HEADERS, 5, 3, b"\x82")),
     Goaway(PROTOCOL_ERROR)),
    ("4.3 an unknown frame within a field block", frames((HEADERS, END_STREAM, 1, b"\x82"), (0xfa, 0, 0, b"")),
     Goaway(PROTOCOL_ERROR)),

    # ------------------------------------------------------------ 5.1: states of streams
    ("5.1 idle: DATA", frames((DATA, END_STREAM, 1, b"x")), Goaway(PROTOCOL_ERROR)),
    ("5.1 idle: RST_STREAM", frames((RST_STREAM, 0, 1, u32(CANCEL))), Goaway(PROTOCOL_ERROR)),
    ("5.1 idle: WINDOW_UPDATE", frames((WINDOW_UPDATE, 0, 1, u32(10))), Goaway(PROTOCOL_ERROR)),
    ("5.1 idle: PUSH_PROMISE", frames((PUSH_PROMISE, 4, 1, u32(2) + b"\x82")), Goaway(PROTOCOL_ERROR)),
    ("5.1 idle: CONTINUATION", frames((CONTINUATION, END_HEADERS, 1, b"\x82")), Goaway(PROTOCOL_ERROR)),
    ("5.1 idle: PRIORITY is fine", frames((PRIORITY, 0, 1, u32(0) + b"\x10"), head()), Works()),
    ("5.1 half-closed: DATA", frames(head(H2.fields(path="/slow")), (DATA, END_STREAM, 1, b"x")),
     Either(STREAM_CLOSED)),
    ("5.1 half-closed: HEADERS", frames(head(H2.fields(path="/slow")), head([("x", "y")])), Either(STREAM_CLOSED)),
    ("5.1 half-closed: CONTINUATION", frames(head(H2.fields(path="/slow")), (CONTINUATION, 4, 1, b"\x82")),
     Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    ("5.1 half-closed: WINDOW_UPDATE is fine", frames(head(), (WINDOW_UPDATE, 0, 1, u32(10))), Works()),
    ("5.1 half-closed: RST_STREAM is fine", frames(head(H2.fields(path="/slow")), (RST_STREAM, 0, 1, u32(CANCEL))),
     Ignored()),
    ("5.1 closed: HEADERS", answered_first(head()), Goaway(STREAM_CLOSED)),
    ("5.1 closed: DATA", answered_first((DATA, END_STREAM, 1, b"x")), Goaway(STREAM_CLOSED)),
    ("5.1 closed: empty DATA", answered_first((DATA, 0, 1, b"")), Goaway(STREAM_CLOSED)),
    ("5.1 closed by the client's reset: DATA", given_up_first((DATA, 0, 1, b"x")), Goaway(STREAM_CLOSED)),
    ("5.1 closed by the client's reset: HEADERS", given_up_first(head([("x", "y")])), Goaway(STREAM_CLOSED)),
    ("5.1 closed by the client's reset: PRIORITY is fine", given_up_first((PRIORITY, 0, 1, u32(0) + b"\x10")),
     Ignored()),
    ("5.1 closed by our reset: DATA on its way is fine", reset_by_us_first((DATA, 0, 1, b"x" * 1000)), Ignored()),
    ("5.1 closed by our reset: trailers on their way are fine", reset_by_us_first(head([("x-new", "y")])), Ignored()),
    ("5.1 closed by our reset: RST_STREAM is fine", reset_by_us_first((RST_STREAM, 0, 1, u32(CANCEL))), Ignored()),
    ("5.1 closed: CONTINUATION", answered_first((CONTINUATION, 4, 1, b"\x82")),
     Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    ("5.1 closed: PRIORITY is fine", answered_first((PRIORITY, 0, 1, u32(0) + b"\x10")), Ignored()),
    ("5.1 closed: WINDOW_UPDATE is fine", answered_first((WINDOW_UPDATE, 0, 1, u32(10))), Ignored()),
    ("5.1 closed: RST_STREAM is fine", answered_first((RST_STREAM, 0, 1, u32(CANCEL))), Ignored()),
    ("5.1.1 an even stream", frames(head(stream=2)), Goaway(PROTOCOL_ERROR)),
    ("5.1.1 a stream below the last one", frames(head(stream=5), head(stream=3)), Goaway(PROTOCOL_ERROR)),
    ("5.1.1 streams may be left out", frames(head(stream=99), head(H2.fields(path="/slow"), stream=151)), Answers99()),
    ("5.1.1 a stream far below the last one", frames(head(stream=999), head(stream=3)),
     Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    ("5.3.1 PRIORITY that depends on itself, in HEADERS",
     frames(lambda h2: H2.bytes_of(HEADERS, 5 | PRIORITIZED, 1, u32(1) + b"\x10" + h2.block(GET))),
     Either(PROTOCOL_ERROR)),
    ("5.5 an extension setting is ignored", frames((SETTINGS, 0, 0, settings((0xfafa, 1)))), Ignored()),

    # ------------------------------------------------------------ 6: the frames
    ("6.1 DATA on stream 0", frames((DATA, 0, 0, b"x")), Goaway(PROTOCOL_ERROR)),
    ("6.1 padding as long as the payload", frames(head(POST, False), (DATA, PADDED | END_STREAM, 1, b"\x05abcd")),
     Goaway(PROTOCOL_ERROR)),
    ("6.1 padding is fine", frames(head(POST, False), (DATA, PADDED | END_STREAM, 1, b"\x02ab\0\0")), Works()),
    ("6.2 HEADERS on stream 0", frames(head(stream=0)), Goaway(PROTOCOL_ERROR)),
    ("6.2 padding longer than the field block", frames((HEADERS, 5 | PADDED, 1, b"\x40\x82")), Goaway(PROTOCOL_ERROR)),
    ("6.2 HEADERS too short for its priority", frames((HEADERS, 5 | PRIORITIZED, 1, b"\0\0")),
     Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    ("6.3 PRIORITY on stream 0", frames((PRIORITY, 0, 0, u32(3) + b"\x10")), Goaway(PROTOCOL_ERROR)),
    ("6.3 PRIORITY of another length", frames(head(POST, False), (PRIORITY, 0, 1, u32(3))), Either(FRAME_SIZE_ERROR)),
    ("6.4 RST_STREAM on stream 0", frames((RST_STREAM, 0, 0, u32(CANCEL))), Goaway(PROTOCOL_ERROR)),
    ("6.4 RST_STREAM of another length", frames(head(POST, False), (RST_STREAM, 0, 1, b"\0\0\0")),
     Goaway(FRAME_SIZE_ERROR)),
    ("6.5 SETTINGS on a stream", frames((SETTINGS, 0, 1, b"")), Goaway(PROTOCOL_ERROR)),
    ("6.5 an acknowledgement with content", frames((SETTINGS, ACK, 0, settings((3, 1)))), Goaway(FRAME_SIZE_ERROR)),
    ("6.5 SETTINGS of an odd length", frames((SETTINGS, 0, 0, b"\0\3\0")), Goaway(FRAME_SIZE_ERROR)),
    ("6.5.2 ENABLE_PUSH of 2", frames((SETTINGS, 0, 0, settings((ENABLE_PUSH, 2)))), Goaway(PROTOCOL_ERROR)),
    ("RFC 9218 2.1: NO_RFC7540_PRIORITIES of 2", frames((SETTINGS, 0, 0, settings((9, 2)))), Goaway(PROTOCOL_ERROR)),
    ("6.5.2 a window above 2^31-1", frames((SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1 << 31)))),
     Goaway(FLOW_CONTROL_ERROR)),
    ("6.5.2 MAX_FRAME_SIZE too small", frames((SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 16383)))),
     Goaway(PROTOCOL_ERROR)),
    ("6.5.2 MAX_FRAME_SIZE too large", frames((SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 1 << 24)))),
     Goaway(PROTOCOL_ERROR)),
    ("RFC 8441 3: ENABLE_CONNECT_PROTOCOL of 2", frames((SETTINGS, 0, 0, settings((8, 2)))), Goaway(PROTOCOL_ERROR)),
    ("6.6 a client pushes", frames(head(POST, False), (PUSH_PROMISE, 4, 1, u32(2) + b"\x82")), Goaway(PROTOCOL_ERROR)),
    ("6.7 PING on a stream", frames((PING, 0, 1, b"12345678")), Goaway(PROTOCOL_ERROR)),
    ("6.7 PING of another length", frames((PING, 0, 0, b"1234567")), Goaway(FRAME_SIZE_ERROR)),
    ("6.7 an unasked acknowledgement is ignored", frames((PING, ACK, 0, b"abcdefgh")), Ignored()),
    ("6.8 GOAWAY on a stream", frames((GOAWAY_FRAME, 0, 1, u32(0) + u32(0))), Goaway(PROTOCOL_ERROR)),
    ("6.8 GOAWAY too short", frames((GOAWAY_FRAME, 0, 0, u32(0))), Goaway(FRAME_SIZE_ERROR)),
    ("6.9 WINDOW_UPDATE of 0 on a stream", frames(head(POST, False), (WINDOW_UPDATE, 0, 1, u32(0))),
     Either(PROTOCOL_ERROR)),
    ("6.9 WINDOW_UPDATE of 0 on the connection", frames((WINDOW_UPDATE, 0, 0, u32(0))), Goaway(PROTOCOL_ERROR)),
    ("6.9 WINDOW_UPDATE of another length", frames((WINDOW_UPDATE, 0, 0, b"\0\0\1")), Goaway(FRAME_SIZE_ERROR)),
    ("6.9.1 a stream's window above 2^31-1", frames(head(POST, False), (WINDOW_UPDATE, 0, 1, u32((1 << 31) - 1))),
     Either(FLOW_CONTROL_ERROR)),
    ("6.9.1 the connection's window above 2^31-1", frames((WINDOW_UPDATE, 0, 0, u32((1 << 31) - 1))),
     Goaway(FLOW_CONTROL_ERROR)),
    ("6.9.2 SETTINGS that make a window too large",
     frames(head(POST, False), (WINDOW_UPDATE, 0, 1, u32((1 << 31) - 65536)),
            (SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 65537)))), Goaway(FLOW_CONTROL_ERROR)),
    ("6.9 DATA beyond the window", frames(head(H2.fields("POST", "/slow"), False), *[(DATA, 0, 1, b"x" * 16384)] * 5),
     Either(FLOW_CONTROL_ERROR)),
    ("7 an unknown error code of RST_STREAM", given_up_first((RST_STREAM, 0, 1, u32(0xdeadbeef))), Ignored()),
    ("6.10 CONTINUATION on stream 0", frames((CONTINUATION, 4, 0, b"\x82")), Goaway(PROTOCOL_ERROR)),
    ("6.10 CONTINUATION behind the end of the fields", frames(head(POST, False), (CONTINUATION, 4, 1, b"\x82")),
     Goaway(PROTOCOL_ERROR)),
    ("6.10 fields in CONTINUATION are fine",
     frames(lambda h2: H2.bytes_of(HEADERS, END_STREAM, 1, h2.block(GET[:2])),
            lambda h2: H2.bytes_of(CONTINUATION, 0, 1, h2.block(GET[2:])), (CONTINUATION, END_HEADERS, 1, b"")),
     Works()),

    # ------------------------------------------------------------ 8: messages
    ("8.1 trailers without END_STREAM", frames(head(POST, False), head([("x-t", "1")], False)), Refused()),
    ("8.1 pseudo-fields in trailers", frames(head(POST, False), head([(":path", "/")])), Refused()),
    ("8.1.1 less content than announced",
     frames(head(H2.fields("POST", more=[("content-length", "3")]), False), (DATA, END_STREAM, 1, b"x")), Refused()),
    ("8.1.1 more content than announced",
     frames(head(H2.fields("POST", more=[("content-length", "1")]), False), (DATA, END_STREAM, 1, b"xyz")), Refused()),
    ("8.1.1 content announced, and none there", request(("content-length", "3"), method="POST"), Refused()),
    ("8.1.1 Content-Length that is no number", request(("content-length", "+3"), method="POST"), Refused()),
    ("8.1.1 Content-Length twice",
     frames(head(H2.fields("POST", more=[("content-length", "1"), ("content-length", "1")]), False)), Refused()),
    ("8.2.1 a name with capitals", request(("X-Test", "1")), Refused()),
    ("8.2.1 a name with a space", request(("x test", "1")), Refused()),
    ("8.2.1 an empty name", request(("", "1")), Refused()),
    ("8.2.1 a name with a colon", request(("x:y", "1")), Refused()),
    ("8.2.1 a name with DEL", request(("x\x7f", "1")), Refused()),
    ("8.2.1 a name with a byte above ASCII", request((b"x\xe4", b"1")), Refused()),
    ("8.2.1 an empty value is fine", request(("x", "")), Works()),
    ("8.2.1 a value with LF", request(("x", "a\nb")), Refused()),
    ("8.2.1 a value with CR", request(("x", "a\rb")), Refused()),
    ("8.2.1 a value with NUL", request(("x", "a\0b")), Refused()),
    ("8.2.1 a value that begins with a space", request(("x", " a")), Refused()),
    ("8.2.1 a value that ends with a tab", request(("x", "a\t")), Refused()),
    ("8.2.2 Connection", request(("connection", "keep-alive")), Refused()),
    ("8.2.2 Proxy-Connection", request(("proxy-connection", "keep-alive")), Refused()),
    ("8.2.2 Keep-Alive", request(("keep-alive", "timeout=1")), Refused()),
    ("8.2.2 Transfer-Encoding", request(("transfer-encoding", "chunked")), Refused()),
    ("8.2.2 Upgrade", request(("upgrade", "h2c")), Refused()),
    ("8.2.2 TE with something else", request(("te", "trailers, deflate")), Refused()),
    ("8.2.2 TE: trailers is fine", request(("te", "trailers")), Works()),
    ("8.3 an unknown pseudo-field", raw(*GET, (":test", "1")), Refused()),
    ("8.3 a response's pseudo-field", raw(*GET, (":status", "200")), Refused()),
    ("8.3 a pseudo-field behind a field", raw(*GET[:3], ("x", "1"), GET[3]), Refused()),
    ("8.3.1 no :method", raw(*without(":method")), Refused()),
    ("8.3.1 no :scheme", raw(*without(":scheme")), Refused()),
    ("8.3.1 no :path", raw(*without(":path")), Refused()),
    ("8.3.1 no :authority and no Host", raw(*without(":authority")), Refused()),
    ("8.3.1 Host instead of :authority", raw(*without(":authority"), ("host", "h")), Works()),
    ("8.3.1 Host that differs", request(("host", "other")), Refused()),
    ("8.3.1 Host that is the same", request(("host", "h")), Works()),
    ("8.3.1 Host twice", raw(*without(":authority"), ("host", "h"), ("host", "h")), Refused()),
    ("8.3.1 :method twice", raw(GET[0], *GET), Refused()),
    ("8.3.1 :path twice", raw(*GET, (":path", "/")), Refused()),
    ("8.3.1 an empty :path", request(path=""), Refused()),
    ("8.3.1 a :path that does not begin with a slash", request(path="x"), Refused()),
    ("8.3.1 :path * for GET", request(path="*"), Refused()),
    ("8.3.1 :path * for OPTIONS", request(method="OPTIONS", path="*"), Works()),
    ("8.3.1 a :path with a space", request(path="/a b"), Refused()),
    ("8.3.1 a :path with a fragment", request(path="/a#b"), Refused()),
    ("8.3.1 userinfo in :authority", request(authority="me@h"), Refused()),
    ("8.3.1 an :authority with a path", request(authority="h/x"), Refused()),
    ("8.3.1 an empty :authority", request(authority=""), Refused()),
    ("8.3.1 another scheme", request(scheme="ftp"), Refused()),
    ("8.3.1 a :method that is no token", request(method="GE T"), Refused()),
    ("8.5 CONNECT with a :path", raw((":method", "CONNECT"), (":authority", "h:1"), (":path", "/")), Refused()),
    ("8.5 CONNECT with a :scheme", raw((":method", "CONNECT"), (":authority", "h:1"), (":scheme", "http")), Refused()),
    ("8.5 CONNECT without :authority", raw((":method", "CONNECT")), Refused()),
    ("8.5 CONNECT", raw((":method", "CONNECT"), (":authority", "h:1")), Refused(501)),
    ("RFC 8441 4: CONNECT with an unknown :protocol",
     raw((":method", "CONNECT"), (":authority", "h"), (":scheme", "http"), (":path", "/"), (":protocol", "dance")),
     Refused(501)),
    ("RFC 8441 4: :protocol for GET", raw(*GET, (":protocol", "websocket")), Refused()),
    ("RFC 9218 7.1 PRIORITY_UPDATE on a stream", frames((PRIORITY_UPDATE, 0, 1, u32(1) + b"u=1")),
     Goaway(PROTOCOL_ERROR)),
    ("RFC 9218 7.1 PRIORITY_UPDATE of stream 0", frames((PRIORITY_UPDATE, 0, 0, u32(0) + b"u=1")),
     Goaway(PROTOCOL_ERROR)),
    ("RFC 9218 7.1 PRIORITY_UPDATE before its request is fine",
     frames((PRIORITY_UPDATE, 0, 0, u32(1) + b"u=1"), head()), Works()),
    ("RFC 9218 7.1 PRIORITY_UPDATE of a push", frames((PRIORITY_UPDATE, 0, 0, u32(2) + b"u=1")),
     Goaway(PROTOCOL_ERROR)),
    ("RFC 9218 7.1 PRIORITY_UPDATE too short", frames((PRIORITY_UPDATE, 0, 0, b"\0\0")), Goaway(FRAME_SIZE_ERROR)),
    ("RFC 9218 5 a malformed priority is ignored", request(("priority", "u=99, ???")), Works()),
    ("6.5.3 SETTINGS are acknowledged", frames((SETTINGS, 0, 0, settings((4, 100000))), head()), Works()),
]


@pytest.fixture(scope="module")
def site_address(module_stage):
    def answer(conn, request):
        if request.target == "/slow":
            conn.wait_end()
        answer_echo(conn, request)

    origin = module_stage.origin(serve_forever(answer))
    return module_stage.proxy(origin).address


@pytest.mark.parametrize("act, wanted", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_demand(site_address, act, wanted):
    with H2(site_address).ready() as h2:
        act(h2)
        wanted.check(h2)


def test_preface_that_is_none(site_address):
    """3.4: a connection error of type PROTOCOL_ERROR (GOAWAY may be left out)."""
    with H2(site_address, preface=False) as h2:
        h2.send(PREFACE[:-6] + b"XX\r\n\r\n" + b"\0" * 9)
        while h2.read_frame() is not None:
            pass
        assert not h2.goaway or h2.goaway.code == PROTOCOL_ERROR


def test_first_frame_must_be_settings(site_address):
    """3.4."""
    with H2(site_address, preface=False) as h2:
        h2.send(PREFACE + H2.bytes_of(PING, 0, 0, b"12345678"))
        h2.expect_goaway(PROTOCOL_ERROR)


def test_server_begins_with_settings(site_address):
    """3.4: the server's preface is its SETTINGS, before anything else."""
    with H2(site_address) as h2:
        assert h2.read_frame().kind == SETTINGS
        assert h2.settings[3] == 128 and h2.settings[4] == 65536 and h2.settings[8] == 1 and h2.settings[9] == 1


def test_preface_byte_by_byte(site_address):
    with H2(site_address, preface=False) as h2:
        for byte in PREFACE + H2.bytes_of(SETTINGS):
            h2.send(bytes([byte]))
        h2.request(1)
        assert h2.response(1).status == 200


def test_refused_stream_can_be_told_apart(site_address):
    """8.7: a stream that was refused was not processed; it may be sent again."""
    with H2(site_address).ready() as h2:
        for i in range(140):
            h2.request(1 + 2 * i, path="/slow")
        h2.ping()
        refused = [i for i, a in h2.answers.items() if a.reset == REFUSED_STREAM]
        assert len(refused) == 12 or (h2.goaway and h2.goaway.code == PROTOCOL_ERROR), (len(refused), h2.goaway)


def test_ping_comes_back_with_its_content(site_address):
    """6.7."""
    with H2(site_address).ready() as h2:
        assert h2.ping(b"\0\1\2\3\xfc\xfd\xfe\xff")


def test_goaway_of_the_client(site_address):
    """6.8: what is under way is still answered; then the connection ends."""
    with H2(site_address).ready() as h2:
        h2.request(1)
        h2.frame(GOAWAY_FRAME, 0, 0, u32(0) + u32(NO_ERROR))
        assert h2.response(1).status == 200
        while h2.read_frame() is not None:
            pass


def test_fields_of_refused_requests_keep_the_table_right(site_address):
    """4.3: field blocks change the table of all, also when nobody wants the request."""
    with H2(site_address).ready() as h2:
        h2.headers(1, [*GET, ("connection", "close"), ("x-kept", "before")])
        assert h2.response(1).reset == PROTOCOL_ERROR
        h2.request(3, fields=[("x-kept", "before"), ("x-more", "after")])
        names = echoed(h2.response(3))["by_name"]
        assert names["x-kept"] == ["before"] and names["x-more"] == ["after"]


def test_smaller_header_table(site_address):
    """4.3.1: the encoder says so before it uses the smaller table; python3-hpack demands it."""
    with H2(site_address).ready() as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        h2.frame(SETTINGS, 0, 0, settings((HEADER_TABLE_SIZE, 0)))
        h2.until(lambda f: f.kind == SETTINGS and len([g for g in h2.frames if g.kind == SETTINGS]) > 2)
        h2.decoder.max_allowed_table_size = 0
        h2.request(3)
        assert h2.response(3).status == 200
        h2.request(5)
        assert h2.response(5).status == 200


def test_settings_take_effect_in_their_order(site_address):
    """6.5.3: of two values for the same setting the second one counts."""
    with H2(site_address, (INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 5), windows=False) as h2:
        h2.request(1)
        h2.until(lambda f: f.kind == DATA)
        assert h2.ping() and len(h2.answers[1].body) == 5


def test_window_below_zero(site_address):
    """6.9.2: SETTINGS may take back what was used already; until that is paid back, nothing is sent."""
    with H2(site_address, (INITIAL_WINDOW_SIZE, 100), windows=False) as h2:
        h2.request(1)
        h2.until(lambda f: f.kind == DATA)
        h2.frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))
        h2.window(1, 90)
        assert h2.ping() and len(h2.answers[1].body) == 100
        h2.window(1, 17)
        h2.until(lambda f: f.kind == DATA)
        assert h2.ping() and len(h2.answers[1].body) == 107


def test_connection_window_is_a_limit(stage):
    """6.9.1: more content than the connection's window allows for, each stream within its own."""
    origin = stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20)))
    proxy = stage.proxy({"address": origin, "max_connections": 1}, listener={"http2": {"connection_window": 65535}})
    with H2(proxy.address).ready() as h2:
        h2.request(1, path="/occupies")
        h2.ping()
        for stream in (3, 5):
            h2.request(stream, "POST", end=False)
            h2.ping()
            h2.try_send(H2.bytes_of(DATA, 0, stream, b"x" * 16384) * 3)
        h2.expect_goaway(FLOW_CONTROL_ERROR)


def test_ignored_content_counts_in_the_connections_window(site_address):
    """6.9: what comes for a stream that was reset uses the connection's window, which must open again."""
    with H2(site_address).ready() as h2:
        for i in range(20):
            stream = 1 + 2 * i
            h2.headers(stream, [*POST, ("connection", "close")], end=False)
            h2.try_send(H2.bytes_of(DATA, 0, stream, b"x" * 16384) * 4)
            assert h2.response(stream).reset == PROTOCOL_ERROR and h2.ping()
        h2.request(201, "POST", body=b"y" * 1000)
        assert echoed(h2.response(201))["length"] == 1000


def test_no_reset_for_a_reset(site_address):
    """5.4.2: RST_STREAM is never answered by one."""
    with H2(site_address).ready() as h2:
        for i in range(20):
            h2.request(1 + 2 * i, path="/slow")
            h2.reset(1 + 2 * i)
            h2.reset(1 + 2 * i)
        assert h2.ping() and not [f for f in h2.frames if f.kind == RST_STREAM]
