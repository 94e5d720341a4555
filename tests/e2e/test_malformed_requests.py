# SPDX-License-Identifier: Apache-2.0
"""
Malformed, ambiguous and oversized requests: the status they get, the closed connection, and the server
that never sees a second request.  Every case is followed on the same connection by a request that a
more generous parser would take for a new one.
"""
import random
import re

import pytest

from support.client import Client, exchange_bytes, get, status_of
from support.wire import chunked

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"GET / HTTP/1.1\r\nHost: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# name: (bytes, status)
HEADS = {
    # the request line
    "no version": (b"GET /\r\nHost: h\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "only a method": (b"GET\r\n\r\n", 400),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "two spaces after the method": (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "space at the start": (b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "space at the end of the line": (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
    "tabs for spaces": (b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "method with a separator": (b"GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "method with a control byte": (b"GE\x01T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "method with a high byte": (b"G\xc9T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "version in lower case": (b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    "version without a dot": (b"GET / HTTP/11\r\nHost: h\r\n\r\n", 400),
    "version with two digits": (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
    "version with words": (b"GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400),
    "another protocol": (b"GET / SIP/2.0\r\nHost: h\r\n\r\n", 400),
    "HTTP/2 without prior notice": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    "HTTP/0.9 in words": (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", (400, 505)),
    "three empty lines first": (b"\r\n\r\n\r\n" + OK + b"\r\n", 400),
    "a bare LF line first": (b"\n" + OK + b"\r\n", 400),
    # line ends
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "bare LF after a field": (OK + b"X: a\nY: b\r\n\r\n", 400),
    "bare LF at the end": (OK + b"\n", 400),
    "bare CR in a value": (OK + b"X: a\rY: b\r\n\r\n", 400),
    "bare CR in the request line": (b"GET /\rHTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "CR CR LF": (OK + b"X: a\r\r\n\r\n", 400),
    "LF CR": (OK + b"X: a\n\rY: b\r\n\r\n", 400),
    # field lines
    "folded line": (OK + b"X: a\r\n b\r\n\r\n", 400),
    "folded line with a tab": (OK + b"X: a\r\n\tb\r\n\r\n", 400),
    "folded first line": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "folded Transfer-Encoding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "line of blanks": (OK + b"  \r\n\r\n", 400),
    "no colon": (OK + b"X\r\n\r\n", 400),
    "no name": (OK + b": x\r\n\r\n", 400),
    "space before the colon": (OK + b"X : a\r\n\r\n", 400),
    "tab before the colon": (OK + b"X\t: a\r\n\r\n", 400),
    "space in a name": (OK + b"X Y: a\r\n\r\n", 400),
    "separator in a name": (OK + b"X(Y): a\r\n\r\n", 400),
    "high byte in a name": (OK + b"X\xff: a\r\n\r\n", 400),
    "NUL in a name": (OK + b"X\x00Y: a\r\n\r\n", 400),
    "NUL in a value": (OK + b"X: a\x00b\r\n\r\n", 400),
    "control byte in a value": (OK + b"X: a\x08b\r\n\r\n", 400),
    "escape in a value": (OK + b"X: \x1b[31m\r\n\r\n", 400),
    "DEL in a value": (OK + b"X: a\x7fb\r\n\r\n", 400),
    # Host
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (OK + b"Host: other\r\n\r\n", 400),
    "the same Host twice": (OK + b"Host: h\r\n\r\n", 400),
    "two Hosts, odd case": (OK + b"hOST: other\r\n\r\n", 400),
    "two Hosts and absolute form": (b"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
    "absolute form without Host": (b"GET http://h/ HTTP/1.1\r\n\r\n", 400),
    "Host list": (b"GET / HTTP/1.1\r\nHost: h, other\r\n\r\n", 400),
    # Content-Length
    "different Content-Lengths": (POST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n", 400),
    "repeated Content-Length": (POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "listed Content-Length": (POST + b"Content-Length: 0, 0\r\n\r\n", 400),
    "listed different Content-Length": (POST + b"Content-Length: 0, 36\r\n\r\n", 400),
    "Content-Length with a plus": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "negative Content-Length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "hexadecimal Content-Length": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "Content-Length in words": (POST + b"Content-Length: five\r\n\r\nhello", 400),
    "empty Content-Length": (POST + b"Content-Length:\r\n\r\n", 400),
    "Content-Length with a space inside": (POST + b"Content-Length: 1 0\r\n\r\n", 400),
    "Content-Length with a fraction": (POST + b"Content-Length: 5.0\r\n\r\nhello", 400),
    "Content-Length beyond 64 bits": (POST + b"Content-Length: 18446744073709551617\r\n\r\n", (400, 413)),
    "Content-Length of 40 digits": (POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", (400, 413)),
    "space before the colon of Content-Length": (POST + b"Content-Length : 36\r\n\r\n", 400),
    "Content-Length and its twin in a GET": (OK + b"Content-Length: 36\r\nContent-Length: 0\r\n\r\n", 400),
    # Transfer-Encoding
    "CL.TE": (POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
    "TE.CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
    "TE.CL with zero": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400),
    "TE.TE": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n", (400, 501)),
    "TE.TE identity": (POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    "chunked twice in two fields": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, gzip": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    "gzip alone": (POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    "identity alone": (POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", (400, 501)),
    "empty Transfer-Encoding": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", (400, 501)),
    "quoted chunked": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', (400, 501)),
    "chunked behind a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked behind a NUL": (POST + b"Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n", 400),
    "space before the colon of Transfer-Encoding": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding behind a bare LF": (POST + b"X: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding behind a bare CR": (POST + b"X: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Connection
    "Connection names Content-Length": (POST + b"Connection: Content-Length\r\nContent-Length: 36\r\n\r\n", 400),
    "Connection names Host": (OK + b"Connection: close, host\r\n\r\n", 400),
    "Connection names Transfer-Encoding": (POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # sizes
    "too long a target": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "an endless target": (b"GET /" + b"x" * 100000, 414),
    "an endless method": (b"G" * 100000, (400, 414, 431, 501)),
    "too large a head": (OK + b"X: " + b"x" * 20000 + b"\r\n\r\n", 431),
    "an endless field": (OK + b"X: " + b"x" * 200000, 431),
    "an endless field name": (OK + b"x" * 200000, (400, 431)),
    "too many fields": (OK + b"X: x\r\n" * 200 + b"\r\n", 431),
}

# Bodies: the server may see the beginning of the request, never its end, and never a second one.
BODIES = {
    "no chunk size": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size in words": (CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with a plus": (CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "negative chunk size": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    "space before the chunk size": (CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with an underscore": (CHUNKED + b"5_0\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size of many digits": (CHUNKED + b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n", 400),
    "LF after the chunk size": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    "CR after the chunk size": (CHUNKED + b"5\rhello\r\n0\r\n\r\n", 400),
    "LF after the last chunk size": (CHUNKED + b"5\r\nhello\r\n0\n\r\n", 400),
    "chunk longer than its size": (CHUNKED + b"5\r\nhelloworld\r\n0\r\n\r\n", 400),
    "no CRLF after a chunk": (CHUNKED + b"5\r\nhello0\r\n\r\n", 400),
    "LF after a chunk": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    "two bytes that are no CRLF after a chunk": (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", 400),
    "LF in a chunk extension": (CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "CR in a chunk extension": (CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    "NUL in a chunk extension": (CHUNKED + b"5;a\x00b\r\nhello\r\n0\r\n\r\n", 400),
    "endless chunk extension": (CHUNKED + b"5;" + b"a" * 100000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    "endless small chunk extensions": (CHUNKED + b"1;aaaaaaaaaaaaaaaa\r\nx\r\n" * 5000 + b"0\r\n\r\n", 400),
    "folded trailer": (CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n", 400),
    "trailer without colon": (CHUNKED + b"0\r\nX\r\n\r\n", 400),
    "trailer with LF": (CHUNKED + b"0\r\nX: a\n\r\n", 400),
    "Content-Length in the trailers": (CHUNKED + b"0\r\nContent-Length: 36\r\n\r\n", 400),
    "Transfer-Encoding in the trailers": (CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "Host in the trailers": (CHUNKED + b"0\r\nHost: evil\r\n\r\n", 400),
    "endless trailers": (CHUNKED + b"0\r\n" + b"X: x\r\n" * 20000 + b"\r\n", (400, 431)),
}

# Odd but proper: these must get through.
FINE = {
    "lower-case names": b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    "no blank after the colon": b"GET / HTTP/1.1\r\nHost:h\r\nConnection:close\r\n\r\n",
    "blanks around a value": b"GET / HTTP/1.1\r\nHost: \t h \t\r\nConnection: close\r\n\r\n",
    "every token character": b"GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~09azAZ: x\r\nConnection: close\r\n\r\n",
    "a value with high bytes": b"GET / HTTP/1.1\r\nHost: h\r\nX: \xe4\xff\x80\r\nConnection: close\r\n\r\n",
    "an empty value": b"GET / HTTP/1.1\r\nHost: h\r\nX:\r\nConnection: close\r\n\r\n",
    "one empty line first": b"\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "a GET with a body": b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "leading zeros": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\nConnection: close\r\n\r\nhello",
    "CHUNKED": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "99 fields": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + b"X: x\r\n" * 97 + b"\r\n",
    "Connection with empty members": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: , close,,\r\n\r\n",
}


@pytest.fixture(scope="module")
def origin(module_stage):
    return module_stage.origin()


@pytest.fixture(scope="module")
def proxy(module_stage, origin):
    return module_stage.proxy(origin, listener={"head_timeout": "5s"})


def refused(answer, wanted):
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert status_of(answer) in wanted, answer[:300]
    assert len(re.findall(rb"HTTP/1\.\d \d{3}", answer)) == 1, answer[:1000]
    head = answer.split(b"\r\n\r\n")[0].lower()
    assert b"\r\nconnection: close" in head and b"\r\nproxy-status: maitred; error=http_request_error" in head, head


@pytest.mark.parametrize("name", HEADS)
def test_refused_head(proxy, origin, name):
    raw, wanted = HEADS[name]
    before = len(origin.requests)
    refused(exchange_bytes(proxy.address, raw + SMUGGLED), wanted)
    assert len(origin.requests) == before


@pytest.mark.parametrize("name", BODIES)
def test_refused_body(stage, proxy, origin, name):
    raw, wanted = BODIES[name]
    before = len(origin.requests)
    answer = exchange_bytes(proxy.address, raw + SMUGGLED)
    refused(answer, wanted)
    assert all(r.target != "/smuggled" and not hasattr(r, "length") for r in origin.requests[before:])


@pytest.mark.parametrize("name", FINE)
def test_odd_but_proper(proxy, name):
    assert status_of(exchange_bytes(proxy.address, FINE[name])) == 200


def test_a_refused_request_does_not_harm_the_next_connection(proxy):
    refused(exchange_bytes(proxy.address, b"nonsense\r\n\r\n"), 400)
    assert get(proxy.address).status == 200


def test_good_requests_before_a_bad_one_are_answered(proxy):
    answer = exchange_bytes(proxy.address, OK + b"\r\n" + OK + b"\r\n" + b"BAD\r\n\r\n" + SMUGGLED)
    assert re.findall(rb"HTTP/1\.1 (\d{3})", answer) == [b"200", b"200", b"400"]


def test_a_refusal_is_logged_with_its_reason(stage):
    proxy = stage.proxy(stage.origin(), listener={"max_head": "1KiB"})
    refused(exchange_bytes(proxy.address, b"nonsense\r\n\r\n"), 400)
    refused(exchange_bytes(proxy.address, OK + b"X: " + b"x" * 2000 + b"\r\n\r\n"), 431)
    record = proxy.wait_log(status=400)
    assert (record["reason"], record["blame"]) == ("bad_request", "client") and record["detail"]
    record = proxy.wait_log(status=431)
    assert record["reason"] == "head_too_large" and "max_head at" in record["limit"]


def test_a_body_beyond_the_limit(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin, use=[{"body_limit": {"max": "10"}}])
    assert get(proxy.address, method="POST", body=b"x" * 10).status == 200
    refused(exchange_bytes(proxy.address, POST + b"Content-Length: 11\r\n\r\nhello world" + SMUGGLED), 413)
    seen = len(origin.requests)
    refused(exchange_bytes(proxy.address, CHUNKED + chunked(b"hello", b"world", b"!") + SMUGGLED), 413)
    assert all(r.target != "/smuggled" and not hasattr(r, "length") for r in origin.requests[seen:])
    assert proxy.wait_log(status=413)["reason"] == "body_too_large"


def test_bytes_behind_close_are_not_a_request(proxy, origin):
    before = len(origin.requests)
    answer = exchange_bytes(proxy.address, OK + b"Connection: close\r\n\r\n" + SMUGGLED)
    assert re.findall(rb"HTTP/1\.1 (\d{3})", answer) == [b"200"]
    assert len(origin.requests) == before + 1


def test_random_bytes_never_hurt(proxy, origin):
    """Mutations of a request: any answer will do, but the proxy lives and the server is not confused."""

    dice = random.Random(4711)
    base = POST + b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n5\r\nhello\r\n0\r\nX-T: u\r\n\r\n"
    for _ in range(150):
        raw = bytearray(base)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(raw))
            action = dice.randrange(3)
            if action == 0:
                raw[at] = dice.randrange(256)
            elif action == 1:
                del raw[at:at + dice.randint(1, 3)]
            else:
                raw[at:at] = dice.choice([b"\r", b"\n", b"\r\n", b":", b" ", b"\0", b"0", b"chunked", b","])
        with Client(proxy.address) as client:
            client.send(bytes(raw))
            client.shutdown_write()
            client.read_all()
    assert get(proxy.address).status == 200
    assert all(r.target != "/smuggled" for r in origin.requests)
