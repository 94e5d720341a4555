# SPDX-License-Identifier: Apache-2.0
"""Floods: what a client does too much of, though each frame is fine.  The connection ends with
ENHANCE_YOUR_CALM, and both client and log hear which limit it was; nobody else notices."""
import contextlib
import os
import struct
import time

import pytest

from support.h2 import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, H2, HEADERS,
                        INITIAL_WINDOW_SIZE, PING, PRIORITY, PRIORITY_UPDATE, PROTOCOL_ERROR, REFUSED_STREAM,
                        RST_STREAM, SETTINGS, WINDOW_UPDATE, settings)
from support.maitred import sanitized
from support.origin import answer_echo, serve_forever
from support.wait import eventually, seconds

CALM = "overdoes it"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(proxy):
    with open(f"/proc/{proxy.worker}/stat") as file:
        values = file.read().rsplit(")", 1)[1].split()
    return (int(values[11]) + int(values[12])) / TICKS


@contextlib.contextmanager
def bill(proxy, kib=4096, cpu=0.8):
    """What an attack may cost the worker: memory at its peak above before, and processor time."""
    if not sanitized():
        proxy.reset_peak()
    memory, time_before = proxy.rss_kib(), cpu_seconds(proxy)
    yield
    if sanitized():
        return
    used, grown = cpu_seconds(proxy) - time_before, proxy.peak_kib() - memory
    assert used < cpu and grown < kib, f"{used:.2f} s of processor time, {grown} KiB of memory"


@pytest.fixture
def proxy(stage):
    return stage.proxy(stage.origin(serve_forever(answer_echo)))


def told(proxy, h2, option):
    goaway = h2.expect_goaway(ENHANCE_YOUR_CALM)
    assert goaway.words == option
    eventually(lambda: f"limit {option}" in proxy.stderr and CALM in proxy.stderr)
    with H2(proxy.address) as other:
        assert other.ping()


def flood(h2, frame, times=100000):
    """Until the proxy hangs up, mostly."""
    for _ in range(times // 100):
        if not h2.try_send(frame * 100):
            break


FLOODS = {
    "PING": H2.bytes_of(PING, 0, 0, b"12345678"),
    "acknowledged PING": H2.bytes_of(PING, 1, 0, b"12345678"),
    "SETTINGS": H2.bytes_of(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1000))),
    "empty SETTINGS": H2.bytes_of(SETTINGS),
    "PRIORITY": H2.bytes_of(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "PRIORITY_UPDATE": H2.bytes_of(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1"),
    "WINDOW_UPDATE of the connection": H2.bytes_of(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "WINDOW_UPDATE of a stream": H2.bytes_of(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
    "empty DATA": H2.bytes_of(DATA, 0, 1),
    "DATA of padding only": H2.bytes_of(DATA, 8, 1, b"\2\0\0"),
    "unknown frames": H2.bytes_of(0xfa, 0, 0, b"whatever"),
    "unknown frames of a stream": H2.bytes_of(0xfa, 0, 1),
    "GOAWAY": H2.bytes_of(GOAWAY, 0, 0, b"\0" * 8),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
def test_flood(stage, frame):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)))
    with H2(proxy.address, quiet=True).ready() as h2:
        h2.request(1, "POST", end=False)
        h2.ping()
        with bill(proxy):
            flood(h2, frame)
            told(proxy, h2, "listener.http2.control_frames")


@pytest.mark.parametrize("frame", [FLOODS["PING"], FLOODS["empty SETTINGS"]], ids=["PING", "SETTINGS"])
def test_flood_by_a_client_that_does_not_read(proxy, frame):
    """What it is answered piles up, but not for long."""
    with H2(proxy.address, quiet=True).ready() as h2:
        with bill(proxy):
            flood(h2, frame)
        assert h2.expect_goaway(ENHANCE_YOUR_CALM).words == "listener.http2.control_frames"


def test_flood_of_a_stream_that_was_reset(proxy):
    """What was on its way is ignored, but counted."""
    with H2(proxy.address).ready() as h2:
        h2.headers(1, [*h2.fields("POST"), ("connection", "close")], end=False)
        assert h2.response(1).reset == PROTOCOL_ERROR
        with bill(proxy):
            flood(h2, H2.bytes_of(DATA, 0, 1, b"x"))
            told(proxy, h2, "listener.http2.control_frames")


def test_priorities_of_streams_that_never_come(proxy):
    """Each would be a record; no more of them than of streams."""
    with H2(proxy.address).ready() as h2:
        with bill(proxy):
            for i in range(10000):
                if not h2.try_send(H2.bytes_of(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1 + 2 * i) + b"u=1")):
                    break
            h2.expect_goaway(PROTOCOL_ERROR, ENHANCE_YOUR_CALM)


def test_limit_of_control_frames_is_an_option(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"http2": {"control_frames": "50/m"}})
    with H2(proxy.address, quiet=True).ready() as h2:
        flood(h2, FLOODS["PING"], 100)
        told(proxy, h2, "listener.http2.control_frames")


def test_large_download_needs_many_window_updates(stage):
    """What answers call for is not counted."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * (4 << 20)))),
                        listener={"http2": {"control_frames": "100/m"}})
    with H2(proxy.address) as h2:
        h2.request(1)
        assert len(h2.response(1).body) == 4 << 20
        assert sum(1 for f in h2.frames if f.kind == DATA) > 200


# ---------------------------------------------------------------- resets

def test_rapid_reset(stage):
    """CVE-2023-44487: requests are started and given up, again and again."""
    started = []

    def script(conn):
        started.append(1)
        conn.read_request()
        conn.wait_end()

    proxy = stage.proxy(stage.origin(script), listener={"http2": {"resets": "100/m"}})
    with H2(proxy.address).ready() as h2, bill(proxy, kib=8192):
        for i in range(20000):
            stream = 1 + 2 * i
            if not h2.try_send(h2.bytes_of(HEADERS, END_HEADERS | END_STREAM, stream, h2.block(h2.fields())) +
                               h2.bytes_of(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))):
                break
        told(proxy, h2, "listener.http2.resets")
    assert len(started) <= 110


def provoke(fields, *frames):
    """A POST with these fields and what follows on its stream."""

    def act(h2, stream):
        out = h2.bytes_of(HEADERS, END_HEADERS, stream, h2.block(h2.fields("POST", more=fields)))
        return out + b"".join(f(h2, stream) if callable(f) else h2.bytes_of(f[0], f[1], stream, f[2]) for f in frames)

    return act


PROVOKED = {
    "WINDOW_UPDATE above the maximum": provoke([], (WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff")),
    "more content than announced": provoke([("content-length", "2")], (DATA, END_STREAM, b"too much")),
    "less content than announced": provoke([("content-length", "20")], (DATA, END_STREAM, b"too little")),
    "a malformed request": provoke([("connection", "close")]),
    "malformed trailers": provoke([], lambda h2, s: h2.bytes_of(HEADERS, END_HEADERS | END_STREAM, s,
                                                                h2.block([("content-length", "1")]))),
    "trailers without an end": provoke([], lambda h2, s: h2.bytes_of(HEADERS, END_HEADERS, s, h2.block([("x", "1")]))),
}


@pytest.mark.parametrize("spoil", PROVOKED.values(), ids=PROVOKED.keys())
def test_made_you_reset(stage, spoil):
    """CVE-2025-8671: the client makes the proxy reset its streams, by mistakes of its own."""
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"http2": {"resets": "50/m"}})
    with H2(proxy.address).ready() as h2, bill(proxy, kib=8192):
        for i in range(5000):
            if not h2.try_send(spoil(h2, 1 + 2 * i)):
                break
            if i % 10 == 9 and not h2.ping():
                break
        told(proxy, h2, "listener.http2.resets")
    assert i < 100


def test_a_few_resets_are_fine(proxy):
    with H2(proxy.address).ready() as h2:
        for i in range(100):
            h2.request(1 + 2 * i)
            h2.reset(1 + 2 * i)
        h2.request(1001)
        assert h2.response(1001).status == 200


def test_streams_that_were_reset_count_until_they_end(stage):
    """An exchange that cannot be stopped at once still holds its place."""
    proxy = stage.proxy(stage.origin(lambda conn: (conn.read_request(), conn.wait_end(20))),
                        listener={"http2": {"max_streams": 4}})
    with H2(proxy.address).ready() as h2:
        for i in range(4):
            h2.request(1 + 2 * i)
        h2.ping()
        h2.request(101)
        h2.ping()
        answer = h2.answers.get(101)
        assert (h2.goaway and h2.goaway.code == PROTOCOL_ERROR) or answer.reset == REFUSED_STREAM


def test_stream_whose_bytes_are_on_their_way_counts(stage):
    """Reset, but the kernel still reads its body: the client that does not take it gets no other."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * (8 << 20)))),
                        listener={"http2": {"max_streams": 1}})
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, (1 << 31) - 1)).ready() as h2:
        h2.window(0, (1 << 31) - 1 - 65535)
        h2.request(1)
        time.sleep(0.5)
        h2.reset(1)
        h2.request(3)
        assert h2.response(3).reset == REFUSED_STREAM
        h2.request(5)
        assert len(h2.response(5).body) == 8 << 20


def test_max_streams_is_announced(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"http2": {"max_streams": 7}})
    with H2(proxy.address).ready() as h2:
        assert h2.settings[3] == 7


# ---------------------------------------------------------------- heads

def test_continuation_flood(proxy):
    with H2(proxy.address).ready() as h2:
        h2.frame(HEADERS, END_STREAM, 1, h2.block(h2.fields()))
        with bill(proxy):
            for i in range(10000):
                if not h2.try_send(h2.bytes_of(CONTINUATION, 0, 1, h2.block([("x-%d" % i, "y")]))):
                    break
            told(proxy, h2, "listener.http2.max_continuations")


def test_flood_of_empty_continuations(proxy):
    with H2(proxy.address).ready() as h2:
        h2.frame(HEADERS, END_STREAM, 1, h2.block(h2.fields()))
        with bill(proxy):
            flood(h2, H2.bytes_of(CONTINUATION, 0, 1))
            told(proxy, h2, "listener.http2.max_continuations")


def test_head_that_never_ends_in_bytes(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)),
                        listener={"max_head": "1KiB", "http2": {"max_continuations": 64}})
    with H2(proxy.address).ready() as h2:
        h2.frame(HEADERS, END_STREAM, 1, h2.block(h2.fields()))
        for i in range(60):
            if not h2.try_send(h2.bytes_of(CONTINUATION, 0, 1, h2.block([("x-%d" % i, "y" * 100)]))):
                break
        told(proxy, h2, "listener.max_head")


def test_hpack_bomb(proxy):
    """A few bytes that stand for a list of many kilobytes."""
    with H2(proxy.address).ready() as h2:
        field = h2.encoder.encode([("x-bomb", "b" * 3000)], huffman=False)
        head = h2.block(h2.fields()) + field
        with bill(proxy):
            h2.try_send(h2.bytes_of(HEADERS, END_STREAM | END_HEADERS, 1, head + b"\xbe" * 8000))
            told(proxy, h2, "listener.max_head")


def test_small_hpack_bombs(proxy):
    """Many that stay below the threshold at which the connection ends: each is a 431, and cheap."""
    with H2(proxy.address).ready() as h2:
        h2.headers(1, [*h2.fields(), ("x-bomb", "b" * 3000)])
        assert h2.response(1).status == 200
        with bill(proxy):
            for i in range(1, 200):
                h2.frame(HEADERS, END_STREAM | END_HEADERS, 1 + 2 * i, h2.block(h2.fields()) + b"\xbe" * 50)
                assert h2.response(1 + 2 * i).status == 431


def test_huge_header_table_is_not_made(proxy):
    """The client's offer of memory is not ours to take."""
    with H2(proxy.address, (1, (1 << 32) - 1)).ready() as h2, bill(proxy):
        for i in range(100):
            h2.request(1 + 2 * i, path="/%d" % i)
            assert h2.response(1 + 2 * i).status == 200


@pytest.mark.parametrize("fields, path, status", [
    ([("x", "y" * 20000)], "/", 431),
    ([("x-%d" % i, "y") for i in range(120)], "/", 431),
    ([], "/" + "p" * 9000, 414),
])
def test_head_over_the_limit_is_answered(proxy, fields, path, status):
    with H2(proxy.address).ready() as h2:
        block = h2.block(h2.fields(path=path, more=fields))
        h2.frame(HEADERS, END_STREAM, 1, block[:16384])
        h2.frame(CONTINUATION, END_HEADERS, 1, block[16384:])
        assert h2.response(1).status == status
        h2.request(3)
        assert h2.response(3).status == 200
    assert proxy.wait_log(status=status)["reason"] in ("head_too_large", "target_too_long")


# ---------------------------------------------------------------- slow

def test_head_that_takes_too_long(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"head_timeout": "300ms"})
    with H2(proxy.address).ready() as h2:
        h2.request(1)
        assert h2.response(1).status == 200
        h2.frame(HEADERS, END_STREAM, 3, h2.block(h2.fields()))
        told(proxy, h2, "listener.head_timeout")


def test_preface_that_takes_too_long(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer_echo)), listener={"head_timeout": "300ms"})
    with H2(proxy.address, preface=False) as h2:
        h2.send(b"PRI * HTTP/2.0\r\n")
        start = time.monotonic()
        while h2.sock.recv(1000):
            pass
        assert time.monotonic() - start < seconds(3)


def test_client_that_never_takes_anything(stage):
    """Nothing is read from the socket at all: the proxy holds a bounded amount and gives up in time."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * (8 << 20)))),
                        timeouts={"send": "500ms"})
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, (1 << 31) - 1), quiet=True) as h2:
        h2.window(0, (1 << 31) - 1 - 65535)
        before = proxy.rss_kib()
        for i in range(20):
            h2.request(1 + 2 * i, path="/%d" % i)
        eventually(lambda: len([r for r in proxy.log() if r.get("reason") == "client_stalled"]) >= 15, 15)
        assert proxy.rss_kib() < before + 40 * 1024


def test_windows_that_stay_closed(stage):
    """Slow read: every stream is given up after timeouts.send, and holds one chunk at most until then."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * (4 << 20)))),
                        timeouts={"send": "700ms"})
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, 0)).ready() as h2, bill(proxy, kib=100 * 300, cpu=2):
        for i in range(100):
            h2.request(1 + 2 * i, path="/%d" % i)
        for i in range(100):
            assert h2.response(1 + 2 * i).reset == CANCEL
        assert h2.ping()
    record = proxy.wait_log(100, reason="client_stalled")
    assert record["limit"].startswith("timeouts.send") and record["status"] == 200


def test_client_that_lets_a_byte_through_now_and_then(stage):
    """It moves, so it is not stalled; it holds nobody else up."""
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, request: conn.respond(200, body=b"x" * 100))),
                        timeouts={"send": "600ms"})
    with H2(proxy.address, (INITIAL_WINDOW_SIZE, 0)).ready() as h2:
        h2.request(1)
        for i in range(8):
            time.sleep(0.2)
            h2.window(1, 1)
        h2.window(1, 1000)
        assert len(h2.response(1).body) == 100 and h2.answers[1].ended
