# SPDX-License-Identifier: Apache-2.0
"""Parts of files (RFC 9110 14): beside nginx where both must agree, and by the letter where servers differ."""
import email
import random
import re

import pytest

from support.client import Client, curl, get
from support.daemons import nginx
from support.maitred import site
from support.wait import volume

LENGTH = 100000
CONTENT = random.Random(7).randbytes(LENGTH)
SMALL = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def place(module_stage):
    path = module_stage.folder()
    for name, content in (("big.bin", CONTENT), ("small.bin", SMALL), ("empty.bin", b"")):
        with open(f"{path}/{name}", "wb") as file:
            file.write(content)
    return path


@pytest.fixture(scope="module")
def proxy(module_stage, place):
    return module_stage.run(site(routes=[{"use": [{"files": place}]}]))


@pytest.fixture(scope="module")
def reference(module_stage, place):
    return module_stage.use(nginx(f"location / {{ root {place}; }}"))


def ranged(address, value, target="/big.bin", more=()):
    return get(address, target, [("Range", value), *more])


def parts_of(response):
    """[(Content-Range, bytes)] of a multipart answer, as Python's e-mail library reads it."""
    head = b"Content-Type: " + response.get("content-type").encode() + b"\r\n\r\n"
    message = email.message_from_bytes(head + response.body)
    assert message.is_multipart() and not message.defects
    # The library takes binary parts for text; cut the bytes out by the boundary instead.
    pieces = response.body.split(b"\r\n--" + message.get_boundary().encode())
    assert pieces[-1] == b"--\r\n" and len(pieces) - 1 == len(message.get_payload())
    return [(part["content-range"], piece.partition(b"\r\n\r\n")[2])
            for part, piece in zip(message.get_payload(), pieces)]


ONE = ["bytes=0-0", "bytes=0-99", "bytes=500-", "bytes=-500", "bytes=99999-", "bytes=99999-99999", "bytes=0-999999",
       "bytes=-999999", "bytes=0-", "bytes=50000-50001", "bytes=100000-", "bytes=100000-100001", "bytes=65535-65536",
       "bytes=0-65535", "bytes=1-65537", "bytes=200000-300000", "bytes=0-18446744073709551615"]


@pytest.mark.parametrize("target", ["/big.bin", "/small.bin"])
@pytest.mark.parametrize("value", ONE)
def test_one_range_is_as_nginx_has_it(proxy, reference, value, target):
    ours = ranged(proxy.address, value, target)
    theirs = ranged(reference.address, value, target)
    if value.endswith("18446744073709551615"):  # nginx gives up on numbers of that size
        assert ours.status == 206 and ours.body == get(proxy.address, target).body
        return
    assert (ours.status, ours.get("content-range")) == (theirs.status, theirs.get("content-range"))
    if ours.status == 206:
        assert ours.body == theirs.body and ours.get("content-length") == theirs.get("content-length")
        assert ours.get("etag") and ours.get("last-modified") == theirs.get("last-modified")


@pytest.mark.parametrize("value", ["bytes=", "bytes=a-b", "bytes=5-1", "bytes=-", "lines=0-1", "0-1", "bytes=1",
                                   "bytes=0-1,x", "bytes=--1", "bytes=0-0-0", "bytes=0-1 2-3", "\"bytes=0-1\""])
def test_what_is_no_range_gets_the_whole(proxy, value):
    got = ranged(proxy.address, value)
    assert got.status == 200 and got.body == CONTENT


def test_several_parts(proxy):
    got = ranged(proxy.address, "bytes=0-9,1000-1009,-10")
    assert got.status == 206 and got.get("content-range") is None
    assert got.get("content-type").startswith("multipart/byteranges; boundary=")
    assert parts_of(got) == [("bytes 0-9/100000", CONTENT[:10]), ("bytes 1000-1009/100000", CONTENT[1000:1010]),
                             ("bytes 99990-99999/100000", CONTENT[-10:])]
    assert int(got.get("content-length")) == len(got.body)


def test_several_parts_over_http2(proxy):
    done = curl("--http2-prior-knowledge", "-r", "0-9,70000-80000", proxy.url("/big.bin"))
    assert done.status == 206 and done.body.count(b"Content-Range: bytes ") == 2
    assert CONTENT[70000:80001] in done.body


def test_neighbours_are_joined(proxy):
    got = ranged(proxy.address, "bytes=0-9,10-19,100-200")
    assert (got.status, got.get("content-range"), got.body) == (206, "bytes 0-200/100000", CONTENT[:201])


@pytest.mark.parametrize("value", [
    "bytes=" + ",".join(f"{i * 1000}-{i * 1000}" for i in range(17)),
    "bytes=" + ",".join(f"{i}-" for i in range(1000)),
    "bytes=" + ",".join(["0-"] * 1300),
    "bytes=5000-5999,0-999",
    "bytes=0-999,500-1499,900-1999,1500-1600"],
    ids=["17 parts", "1000 overlapping", "1300 whole", "descending", "overlaps"])
def test_more_than_a_careful_server_answers(proxy, value):
    got = ranged(proxy.address, value)
    assert got.status == 200 and got.body == CONTENT


def test_nothing_lies_there(proxy):
    got = ranged(proxy.address, "bytes=100000-")
    assert (got.status, got.get("content-range")) == (416, "bytes */100000")
    assert proxy.wait_log(reason="range_not_satisfiable")["blame"] == "client"


def test_parts_of_nothing(proxy):
    assert ranged(proxy.address, "bytes=0-", "/empty.bin").status == 416
    assert ranged(proxy.address, "bytes=-5", "/empty.bin").status == 200


def test_only_get_has_ranges(proxy):
    got = get(proxy.address, "/big.bin", [("Range", "bytes=0-9")], method="HEAD")
    assert (got.status, got.get("content-length"), got.get("content-range")) == (200, str(LENGTH), None)


def test_a_range_of_the_version_that_the_client_has(proxy):
    whole = get(proxy.address, "/big.bin")
    tag, date = whole.get("etag"), whole.get("last-modified")
    for good in (tag, date):
        assert ranged(proxy.address, "bytes=0-9", more=[("If-Range", good)]).status == 206, good
    for other in ('"other"', "W/" + tag, "Tue, 14 Nov 2023 22:13:20 GMT", "yesterday", tag.strip('"')):
        got = ranged(proxy.address, "bytes=0-9", more=[("If-Range", other)])
        assert got.status == 200 and got.body == CONTENT, other


def test_conditions_come_before_ranges(proxy):
    tag = get(proxy.address, "/big.bin").get("etag")
    assert ranged(proxy.address, "bytes=0-9", more=[("If-None-Match", tag)]).status == 304
    assert ranged(proxy.address, "bytes=0-9", more=[("If-Match", '"x"')]).status == 412
    assert ranged(proxy.address, "bytes=0-9", more=[("If-Match", tag)]).status == 206
    assert proxy.wait_log(reason="precondition_failed")["blame"] == "client"


def test_not_modified_is_as_nginx_has_it(proxy, reference):
    """The dates: both know the file's."""
    date = get(reference.address, "/big.bin").get("last-modified")
    for name, value in (("If-Modified-Since", date), ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
                        ("If-Unmodified-Since", date), ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")):
        ours, theirs = (get(a, "/big.bin", [(name, value)]) for a in (proxy.address, reference.address))
        assert ours.status == theirs.status, (name, value)
    got = get(proxy.address, "/big.bin", [("If-Modified-Since", date)])
    assert got.status == 304 and got.get("etag") and got.get("content-type") is None and got.body == b""


def test_curl_goes_on_where_it_stopped(proxy, stage):
    path = f"{stage.folder()}/part"
    with open(path, "wb") as file:
        file.write(CONTENT[:31337])
    done = curl("-C", "-", "-o", path, proxy.url("/big.bin"))
    assert done.exit == 0
    with open(path, "rb") as file:
        # -i puts the head of the answer between what was there and what came
        assert re.sub(rb"HTTP/1.1 206.*?\r\n\r\n", b"", file.read(), flags=re.S) == CONTENT


def test_any_ranges(proxy):
    """Drawn by lot: what comes is always what stands at those places, whichever form the answer has."""
    dice = random.Random(20)
    with Client(proxy.address) as client:
        for _ in range(volume(400)):
            specs = []
            for _ in range(dice.randint(1, 5)):
                first = dice.randrange(LENGTH + 1000)
                specs.append(dice.choice([f"{first}-{first + dice.randrange(3000)}", f"-{first}", f"{first}-"]))
            got = client.get("/big.bin", [("Range", "bytes=" + ",".join(specs))])
            assert got.status in (200, 206, 416), specs
            if got.status == 200:
                assert got.body == CONTENT
                continue
            if got.status == 416:
                continue
            single = got.get("content-range")
            for said, piece in ([(single, got.body)] if single else parts_of(got)):
                first, last = map(int, re.fullmatch(rf"bytes (\d+)-(\d+)/{LENGTH}", said).groups())
                assert piece == CONTENT[first:last + 1], specs
