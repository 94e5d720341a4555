# SPDX-License-Identifier: Apache-2.0
"""Bodies in the form that the other side can read, encoded and decoded by what others wrote."""
import gzip
import hashlib

import brotli
import pytest
import zstandard

from support.client import Client, curl, get
from support.origin import echoed, serve_forever
from support.wire import encode

TEXT = b"".join(b"line %d of a long story\n" % i for i in range(20000))
ENCODERS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}
each = pytest.mark.parametrize("coding", ENCODERS)


@pytest.fixture(scope="module")
def echo(module_stage):
    return module_stage.proxy(module_stage.origin(), use=["decompress"])


def post(proxy, body, fields=()):
    return get(proxy.address, "/", fields, method="POST", body=body)


def sha(data):
    return hashlib.sha256(data).hexdigest()


@each
@pytest.mark.parametrize("length", [1, 5000, len(TEXT)])
def test_servers_get_it_plain(echo, coding, length):
    told = echoed(post(echo, ENCODERS[coding](TEXT[:length]), [("Content-Encoding", coding)]))
    assert (told["length"], told["sha256"]) == (length, sha(TEXT[:length]))
    assert "content-encoding" not in told["by_name"]


@each
def test_in_chunks_as_they_come(echo, coding):
    body = ENCODERS[coding](TEXT)
    with Client(echo.address) as client:
        client.request("POST", "/", [("Content-Encoding", coding), ("Transfer-Encoding", "chunked")])
        for i in range(0, len(body), 999):
            client.send(b"%x\r\n%s\r\n" % (len(body[i:i + 999]), body[i:i + 999]))
        client.send(b"0\r\n\r\n")
        told = echoed(client.response())
    assert told["sha256"] == sha(TEXT)


def test_one_upon_the_other(echo):
    told = echoed(post(echo, brotli.compress(gzip.compress(TEXT)), [("Content-Encoding", "gzip, br")]))
    assert told["sha256"] == sha(TEXT)


def test_two_lines_are_one_list(echo):
    fields = [("Content-Encoding", "gzip"), ("X-Between", "1"), ("content-encoding", "br")]
    told = echoed(post(echo, brotli.compress(gzip.compress(TEXT)), fields))
    assert told["sha256"] == sha(TEXT) and "content-encoding" not in told["by_name"]


def test_two_lines_of_a_response(stage):
    def answer(conn, request):
        conn.respond(200, [("Content-Type", "text/plain"), ("Content-Encoding", "gzip"), ("Content-Encoding", "br")],
                     brotli.compress(gzip.compress(TEXT)))

    proxy = stage.proxy(stage.origin(serve_forever(answer)), use=["decompress"])
    plain = get(proxy.address, "/")
    assert plain.body == TEXT and not plain.get("content-encoding")
    half = get(proxy.address, "/", [("Accept-Encoding", "gzip")])
    assert gzip.decompress(half.body) == TEXT and half.get("content-encoding") == "gzip"


def test_curl_expects_to_continue(echo, tmp_path):
    path = tmp_path / "body.gz"
    path.write_bytes(gzip.compress(TEXT * 5, 1))
    done = curl("-H", "Content-Encoding: gzip", "-H", "Expect: 100-continue", "--data-binary", f"@{path}", echo.url("/"))
    assert done.status == 200 and sha(TEXT * 5) in done.text


def test_unknown_codings(echo):
    response = post(echo, b"x", [("Content-Encoding", "compress")])
    assert response.status == 415 and response.get("accept-encoding") == "gzip, br, zstd"


@each
@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b[:20] + b"\xff\x00\xff" + b[23:], lambda b: b + b"more"])
def test_malformed(echo, coding, damage):
    response = post(echo, damage(ENCODERS[coding](TEXT)), [("Content-Encoding", coding)])
    assert response.status == 400


@each
def test_bombs(stage, coding):
    """64 MiB in some kilobytes: refused, and the process does not grow by it."""
    proxy = stage.proxy(stage.origin(), use=["decompress"])
    bomb = ENCODERS[coding](bytes(64 << 20))
    proxy.reset_peak()
    before = proxy.rss_kib()
    for _ in range(3):
        assert post(proxy, bomb, [("Content-Encoding", coding)]).status == 413
    assert proxy.peak_kib() - before < 24 << 10
    assert echoed(post(proxy, b"fine"))["length"] == 4


def test_the_limit_is_exact(stage):
    proxy = stage.proxy(stage.origin(), use=[{"decompress": {"max": len(TEXT)}}])
    assert post(proxy, gzip.compress(TEXT), [("Content-Encoding", "gzip")]).status == 200
    assert post(proxy, gzip.compress(TEXT + b"x"), [("Content-Encoding", "gzip")]).status == 413


@pytest.mark.parametrize("coding, decode", [("gzip", gzip.decompress), ("br", brotli.decompress), (
    "zstd", lambda data: zstandard.ZstdDecompressor().stream_reader(data).read())])
def test_encoded_towards_servers(stage, coding, decode):
    def keep(conn, request):
        conn.origin.kept = request
        conn.respond(200)

    origin = stage.origin(serve_forever(keep))
    proxy = stage.proxy(origin, use=[{"decompress": {"requests": "encode", "coding": coding}}])
    body = TEXT[:60000]
    assert post(proxy, body, [("Content-Type", "application/json")]).status == 200
    assert origin.kept.get("content-encoding") == coding
    assert decode(origin.kept.body) == body
    assert post(proxy, body, [("Content-Type", "image/png")]).status == 200
    assert origin.kept.get("content-encoding") is None and origin.kept.sha256 == sha(body)


@each
def test_clients_that_cannot(stage, coding):
    body = ENCODERS[coding](TEXT)

    def coded(conn, request):
        conn.respond(200, [("Content-Type", "text/plain"), ("Content-Encoding", coding), ("ETag", '"e"')], body)

    proxy = stage.proxy(stage.origin(serve_forever(coded)), use=["decompress"])
    plain = get(proxy.address)
    assert (plain.body, plain.get("content-encoding"), plain.get("etag")) == (TEXT, None, 'W/"e"')
    as_it_is = get(proxy.address, "/", [("Accept-Encoding", coding)])
    assert (as_it_is.body, as_it_is.get("content-encoding"), as_it_is.get("etag")) == (body, coding, '"e"')
    assert plain.get("vary") == as_it_is.get("vary") == "Accept-Encoding"


@each
def test_parts_for_clients_that_cannot(stage, coding):
    """Ranges are of the coded form: who cannot decode them gets the whole, from the cache too."""
    body = ENCODERS[coding](TEXT)

    def coded(conn, request):
        conn.respond(200, [("Content-Type", "text/plain"), ("Content-Encoding", coding), ("ETag", '"z"'),
                           ("Cache-Control", "max-age=60")], body)

    origin = stage.origin(serve_forever(coded))
    proxy = stage.proxy(origin, use=["decompress", "cache"])
    assert get(proxy.address).body == TEXT
    for fields in ([("Accept-Encoding", "identity")], [], [("If-Range", '"z"')]):
        whole = get(proxy.address, "/", [("Range", "bytes=5-9"), *fields])
        assert (whole.status, whole.body, whole.get("content-encoding")) == (200, TEXT, None)
        assert whole.get("vary") == "Accept-Encoding" and not whole.get("content-range")
    part = get(proxy.address, "/", [("Range", "bytes=5-9"), ("Accept-Encoding", coding)])
    assert (part.status, part.body, part.get("vary")) == (206, body[5:10], "Accept-Encoding")
    same = get(proxy.address, "/", [("If-None-Match", '"z"')])
    assert (same.status, same.get("vary")) == (304, "Accept-Encoding")
    assert len(origin.requests) == 1


def test_recoded_for_the_client(stage):
    """What a server encodes in one way comes out in another: both in one chain."""
    def coded(conn, request):
        conn.respond(200, [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")], gzip.compress(TEXT))

    proxy = stage.proxy(stage.origin(serve_forever(coded)),
                        use=[{"compress": {"from_server": "identity"}}, "decompress"])
    response = get(proxy.address, "/", [("Accept-Encoding", "br")])
    assert response.get("content-encoding") == "br" and brotli.decompress(response.body) == TEXT


def test_a_bad_response_does_not_look_whole(stage):
    def bad(conn, request):
        conn.respond(200, [("Content-Encoding", "gzip")], gzip.compress(TEXT)[:-4] + b"1234")

    proxy = stage.proxy(stage.origin(serve_forever(bad)), use=["decompress"])
    assert curl(proxy.url("/")).exit != 0


def test_several_requests_on_one_connection(echo):
    body = gzip.compress(TEXT)
    with Client(echo.address) as client:
        for _ in range(5):
            client.send(encode("POST / HTTP/1.1", [("Host", "x"), ("Content-Encoding", "gzip"),
                                                   ("Content-Length", str(len(body)))], body))
            assert echoed(client.response())["sha256"] == sha(TEXT)
