# SPDX-License-Identifier: Apache-2.0
"""Compression of responses, read by the decoders that others wrote: zlib, brotli, zstandard, curl."""
import base64
import hashlib
import json
import random
import threading
import time
import zlib

import brotli
import pytest
import zstandard

from support.client import Client, curl, get
from support.h2 import H2
from support.origin import serve_forever
from support.wait import seconds
from support.wire import Response

WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november".split()


def document(n, seed=1):
    """JSON of about so many bytes."""
    dice, rows, length = random.Random(seed), [], 0
    while length < n:
        rows.append({"id": len(rows), "user": dice.choice(WORDS), "email": f"{dice.choice(WORDS)}@example.test",
                     "score": dice.random(), "tags": dice.sample(WORDS, 3)})
        length += len(json.dumps(rows[-1])) + 2
    return json.dumps(rows).encode()


def gunzip(data):
    decoder = zlib.decompressobj(31)
    plain = decoder.decompress(data) + decoder.flush()
    assert decoder.eof and not decoder.unused_data
    return plain


def unzstd(data):
    return zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(data, read_across_frames=True).read()


DECODERS = {"gzip": gunzip, "br": brotli.decompress, "zstd": unzstd}
each = pytest.mark.parametrize("coding", DECODERS)


def answer(conn, request):
    """/SIZE, /chunked/SIZE, or /noise/SIZE."""
    _, *kind, size = request.target.split("?")[0].split("/")
    body = random.Random(1).randbytes(int(size)) if kind == ["noise"] else document(int(size))
    fields = [("Content-Type", "application/json"), ("ETag", '"e1"')]
    if kind == ["chunked"]:
        conn.respond(200, fields + [("Transfer-Encoding", "chunked")])
        for i in range(0, len(body), 5000):
            piece = body[i:i + 5000]
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.send(b"0\r\n\r\n")
    elif request.method == "HEAD":
        conn.respond(200, fields + [("Content-Length", str(len(body)))])
    else:
        conn.respond(200, fields, body)


@pytest.fixture(scope="module")
def web(module_stage):
    origin = module_stage.origin(serve_forever(answer))
    return module_stage.proxy(origin, use=["compress"])


def fetch(proxy, target, coding, fields=()):
    return get(proxy.address, target, [("Accept-Encoding", coding), *fields])


# ---------------------------------------------------------------- forms

@each
@pytest.mark.parametrize("target", ["/600", "/4000", "/64000", "/131000", "/140000", "/3000000", "/chunked/90000",
                                    "/chunked/600", "/noise/200000", "/noise/64000"])
def test_others_can_read_it(web, coding, target):
    response = fetch(web, target, coding)
    assert response.status == 200 and response.get("content-encoding") == coding
    plain = get(web.address, target).body
    assert DECODERS[coding](response.body) == plain
    assert len(response.body) < len(plain) or "noise" in target
    assert response.get("vary") == "Accept-Encoding" and response.get("etag") == 'W/"e1"'


@each
def test_small_ones_have_a_length(web, coding):
    response = fetch(web, "/64000", coding)
    assert int(response.get("content-length")) == len(response.body)
    assert not fetch(web, "/300000", coding).get("content-length")


def test_curl_reads_it(web):
    done = curl("--compressed", web.url("/64000"))
    assert done.status == 200 and done.get("content-encoding") and json.loads(done.text)


@each
def test_over_http2(web, coding):
    with H2(web.address) as h2:
        h2.request(1, "GET", "/64000", [("accept-encoding", coding)])
        response = h2.response(1)
    assert response.get("content-encoding") == coding
    assert json.loads(DECODERS[coding](response.body))


def test_head_says_what_get_would(web):
    head = get(web.address, "/64000", [("Accept-Encoding", "br")], method="HEAD")
    assert (head.get("content-encoding"), head.get("content-length")) == ("br", None)
    assert head.get("vary") == "Accept-Encoding" and head.get("etag") == 'W/"e1"'
    head = get(web.address, "/100", [("Accept-Encoding", "br")], method="HEAD")
    assert head.get("content-encoding") is None and head.get("content-length")


def test_http10_reads_until_the_end(web):
    with Client(web.address) as client:
        client.request("GET", "/300000", [("Accept-Encoding", "gzip")], version="HTTP/1.0")
        assert json.loads(gunzip(client.response().body))


@pytest.mark.parametrize("level", [1, 2, 4, 6, 9])
def test_gzip_at_each_level(stage, level):
    proxy = stage.proxy(stage.origin(serve_forever(answer)),
                        use=[{"compress": {"codings": ["gzip"], "gzip_level": level}}])
    response = fetch(proxy, "/300000", "gzip")
    assert gunzip(response.body) == document(300000)


@pytest.mark.parametrize("coding, option", [("br", {"br_level": 11}), ("zstd", {"zstd_level": 19})])
def test_heavy_levels_do_not_stop_others(stage, coding, option):
    """While one response is made at great expense, other clients of the only worker are served."""
    proxy = stage.proxy(stage.origin(serve_forever(answer)), use=[{"compress": option}], workers=1)
    done, began = [], time.monotonic()
    thread = threading.Thread(target=lambda: done.append(fetch(proxy, "/600000", coding)))
    thread.start()
    slowest, n = 0, 0
    while thread.is_alive():
        start = time.monotonic()
        assert get(proxy.address, "/10").status == 200
        slowest, n = max(slowest, time.monotonic() - start), n + 1
    thread.join()
    assert DECODERS[coding](done[0].body) == document(600000)
    assert n >= 5 and slowest < (time.monotonic() - began) / 2


# ---------------------------------------------------------------- streams

@each
def test_events_are_not_delayed(stage, coding):
    """Each event can be read before the next one is sent."""
    go = threading.Semaphore(0)

    def events(conn):
        conn.read_request()
        conn.respond(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
        for i in range(20):
            event = b"data: %d\n\n" % i
            conn.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert go.acquire(timeout=seconds(10))
        conn.send(b"0\r\n\r\n")

    proxy = stage.proxy(stage.origin(events), use=["compress"])
    decoder = {"gzip": lambda: zlib.decompressobj(31), "br": brotli.Decompressor,
               "zstd": lambda: zstandard.ZstdDecompressor().decompressobj()}[coding]()
    decode = decoder.process if coding == "br" else decoder.decompress
    with Client(proxy.address) as client:
        client.request("GET", "/", [("Accept-Encoding", coding)])
        head = client.read_head(Response)
        assert head.get("content-encoding") == coding
        plain, expected = b"", b""
        pieces = client.pieces(head)
        for i in range(20):
            expected += b"data: %d\n\n" % i
            while len(plain) < len(expected):
                plain += decode(next(pieces))
            assert plain == expected
            go.release()
        for piece in pieces:
            plain += decode(piece)
        assert plain == expected


def test_a_response_that_breaks_off_does_not_look_whole(stage):
    def half(conn):
        conn.read_request()
        conn.respond(200, [("Content-Type", "text/html"), ("Content-Length", "900000")], document(500000))
        conn.close()

    proxy = stage.proxy(stage.origin(half), use=["compress"])
    for coding in DECODERS:
        done = curl("-H", f"Accept-Encoding: {coding}", proxy.url("/"))
        assert done.exit in (18, 56), done.exit


# ---------------------------------------------------------------- what servers say and hear

def test_what_a_server_has_encoded_stays(stage):
    body = zlib.compress(b"x" * 5000)

    def coded(conn, request):
        conn.respond(200, [("Content-Type", "text/html"), ("Content-Encoding", "deflate"), ("ETag", '"d"')], body)

    proxy = stage.proxy(stage.origin(serve_forever(coded)), use=["compress"])
    response = fetch(proxy, "/", "gzip, deflate")
    assert (response.body, response.get("content-encoding"), response.get("etag")) == (body, "deflate", '"d"')


@pytest.mark.parametrize("wants, hears", [("any", "br, gzip"), ("identity", None)])
def test_what_servers_hear(stage, wants, hears):
    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin, use=[{"compress": {"from_server": wants}}])
    assert fetch(proxy, "/4000", "br, gzip").get("content-encoding") == "br"
    assert origin.wait_requests(1).get("accept-encoding") == hears


def test_parts_and_not_modified_have_the_vary_of_the_whole(stage):
    """RFC 9110 15.3.7 and 15.4.5: a cache in front of us would mix up the forms."""
    def kept(conn, request):
        conn.respond(200, [("Content-Type", "text/html"), ("ETag", '"e"'), ("Cache-Control", "max-age=60")], b"x" * 5000)

    proxy = stage.proxy(stage.origin(serve_forever(kept)), use=["compress", "cache"])
    whole = get(proxy.address)
    assert (whole.status, whole.get("vary")) == (200, "Accept-Encoding")
    for field, status in [(("If-None-Match", '"e"'), 304), (("If-None-Match", 'W/"e"'), 304),
                          (("Range", "bytes=0-9"), 206), (("Range", "bytes=0-9,20-29"), 206)]:
        for coding in ("identity", "gzip"):
            response = fetch(proxy, "/", coding, [field])
            assert (response.status, response.get("vary")) == (status, "Accept-Encoding"), field


def test_a_range_is_of_the_plain_form(stage):
    def part(conn, request):
        conn.respond(206, [("Content-Type", "text/html"), ("Content-Range", "bytes 0-999/5000")], b"x" * 1000)

    proxy = stage.proxy(stage.origin(serve_forever(part)), use=["compress"])
    response = fetch(proxy, "/", "gzip", [("Range", "bytes=0-999")])
    assert response.status == 206 and response.body == b"x" * 1000 and not response.get("content-encoding")


@each
def test_padding(stage, coding):
    proxy = stage.proxy(stage.origin(serve_forever(answer)), use=[{"compress": {"padding": 200}}])
    lengths = set()
    for _ in range(8):
        response = fetch(proxy, "/4000", coding)
        lengths.add(len(response.body))
        assert DECODERS[coding](response.body) == document(4000)
    assert len(lengths) > 3


# ---------------------------------------------------------------- dictionaries

def test_a_new_version_costs_what_is_new(stage):
    """RFC 9842, with zstandard as the client: the second version is decoded with the first one."""
    versions = [document(120000), document(120000).replace(b"alpha", b"omega", 3)]

    def versioned(conn, request):
        conn.respond(200, [("Content-Type", "application/json")], versions[int(request.target[-1])])

    proxy = stage.proxy(stage.origin(serve_forever(versioned)), use=[{"compress": {"dictionary": "/app/*"}}])
    first = fetch(proxy, "/app/0", "gzip, br, zstd, dcb, dcz")
    assert first.get("use-as-dictionary") == 'match="/app/*"'
    plain = unzstd(first.body)
    assert plain == versions[0]
    digest = hashlib.sha256(plain).digest()
    named = [("Available-Dictionary", f":{base64.b64encode(digest).decode()}:")]
    second = fetch(proxy, "/app/1", "gzip, br, zstd, dcb, dcz", named)
    assert second.get("content-encoding") == "dcz"
    assert {v.strip() for v in second.get("vary").split(",")} == {"Accept-Encoding", "Available-Dictionary"}
    assert second.body[:8] == b"\x5e\x2a\x4d\x18\x20\0\0\0" and second.body[8:40] == digest
    assert len(second.body) < 400 < len(fetch(proxy, "/app/1", "zstd").body)
    dictionary = zstandard.ZstdCompressionDict(plain, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    decoder = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=8 << 20)
    assert decoder.stream_reader(second.body[40:]).read() == versions[1]
    other = fetch(proxy, "/app/1", "zstd, dcz", [("Available-Dictionary", f":{base64.b64encode(bytes(32)).decode()}:")])
    assert other.get("content-encoding") == "zstd"


# ---------------------------------------------------------------- load

def test_many_at_once(web):
    """Coders go from hand to hand; nothing of one response gets into another."""
    failures = []

    def client(seed):
        dice = random.Random(seed)
        with Client(web.address) as c:
            for _ in range(30):
                size, coding = dice.choice([600, 5000, 70000, 200000]), dice.choice(list(DECODERS))
                response = c.get(f"/{size}", [("Accept-Encoding", coding)])
                if DECODERS[coding](response.body) != document(size):
                    failures.append((size, coding))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
