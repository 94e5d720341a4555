# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx as the server: what it can do must still work through the proxy."""
import gzip
import hashlib
import os
import re
import subprocess

import pytest

from support.client import Client, curl, get
from support.daemons import nginx
from support.wait import seconds, volume

SERVER = """
    types { text/plain txt; text/html html; }
    gzip on; gzip_min_length 100; gzip_types text/plain; gzip_proxied any;
    location /files/ { alias @dir@/www/; }
    location = /count { return 200 $connection_requests; }
    location = /took { client_max_body_size 0; return 200 $content_length; }
    location /limited/ { client_max_body_size 1k; alias @dir@/www/; }
    location = /error { return 500; }
"""


@pytest.fixture(scope="module")
def server(module_stage):
    server = module_stage.use(nginx(SERVER))
    www = os.path.join(server.dir, "www")
    with open(os.path.join(www, "large.bin"), "wb") as file:
        file.write(os.urandom(3_000_001))
    with open(os.path.join(www, "text.txt"), "w") as file:
        file.write("a line of text\n" * 1000)
    os.mkdir(os.path.join(www, "folder"))
    with open(os.path.join(www, "folder", "index.html"), "w") as file:
        file.write("<p>index")
    return server


@pytest.fixture(scope="module")
def proxy(module_stage, server):
    return module_stage.proxy(server)


def content(server, name):
    with open(os.path.join(server.dir, "www", name), "rb") as file:
        return file.read()


def test_a_file(proxy, server):
    got = curl(proxy.url("/files/large.bin"))
    assert got.status == 200 and got.body == content(server, "large.bin")
    assert got.get("content-length") == "3000001" and got.get("accept-ranges") == "bytes" and got.get("etag")
    assert not got.message.has("server")


def test_ranges(proxy, server):
    data = content(server, "large.bin")
    got = curl("-r", "1000-1999", proxy.url("/files/large.bin"))
    assert (got.status, got.body) == (206, data[1000:2000]) and got.get("content-range") == "bytes 1000-1999/3000001"
    got = curl("-r", "-5", proxy.url("/files/large.bin"))
    assert got.body == data[-5:]
    got = curl("-r", "0-9,100-109", proxy.url("/files/large.bin"))
    assert got.status == 206 and data[:10] in got.body and data[100:110] in got.body
    assert curl("-r", "9999999-", proxy.url("/files/large.bin")).status == 416


def test_conditional_requests(proxy):
    first = curl(proxy.url("/files/text.txt"))
    again = curl("-H", f"If-None-Match: {first.get('etag')}", proxy.url("/files/text.txt"))
    assert (again.status, again.body) == (304, b"")
    again = curl("-z", first.get("last-modified"), proxy.url("/files/text.txt"))
    assert again.status == 304
    assert curl("-H", 'If-Match: "other"', proxy.url("/files/text.txt")).status == 412


def test_gzip_passes(proxy, server):
    got = curl("-H", "Accept-Encoding: gzip", proxy.url("/files/text.txt"))
    assert got.get("content-encoding") == "gzip" and gzip.decompress(got.body) == content(server, "text.txt")
    assert not curl(proxy.url("/files/text.txt")).get("content-encoding")


def test_head(proxy):
    got = curl("-I", proxy.url("/files/large.bin"))
    assert got.status == 200 and got.get("content-length") == "3000001"


def test_a_redirect_does_not_tell_where_nginx_listens(proxy, server):
    got = get(proxy.address, "/files/folder", host="www.example")
    assert got.status == 301 and str(server.port) not in got.get("location")
    assert got.get("location") == "http://www.example/files/folder/"


def test_keep_alive(stage, server):
    proxy = stage.proxy(server, workers=1)
    numbers = []
    for _ in range(10):
        with Client(proxy.address) as client:
            numbers.append(int(client.get("/count").body))
    assert numbers == list(range(numbers[0], numbers[0] + 10))


def test_uploads(proxy, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(os.urandom(2_000_000))
    got = curl("-T", str(file), proxy.url("/took"))
    assert (got.status, got.text) == (200, "2000000")
    got = curl("-F", f"a=@{file}", proxy.url("/took"))
    assert got.status == 200 and int(got.text) > 2_000_000


def test_an_upload_that_nginx_refuses(proxy, tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(os.urandom(2_000_000))
    assert curl("-T", str(file), proxy.url("/limited/x")).status == 413


def test_errors_of_nginx_pass(proxy):
    got = curl(proxy.url("/nothing"))
    assert got.status == 404 and "nginx" in got.text and not got.get("proxy-status")
    assert curl(proxy.url("/error")).status == 500


def test_many_files_at_once(proxy, server):
    done = subprocess.run(["curl", "-q", "-s", "-Z", "--parallel-max", "16", "-w", "%{http_code}\n",
                           *[a for n in range(40) for a in ("-o", "/dev/null", proxy.url(f"/files/large.bin?{n}"))]],
                          stdout=subprocess.PIPE, text=True, timeout=seconds(60))
    assert done.stdout.split() == ["200"] * 40


def test_h2load(proxy):
    n = volume(5000, 500)
    done = subprocess.run(["h2load", "--h1", "-n", str(n), "-c", "32", "-t", "1", proxy.url("/count")],
                          stdout=subprocess.PIPE, text=True, timeout=seconds(60))
    assert re.search(rf"requests: {n} total, {n} started, {n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout", done.stdout)


def test_wrk(proxy):
    done = subprocess.run(["wrk", "-t1", "-c64", "-d2s", proxy.url("/files/folder/")],
                          stdout=subprocess.PIPE, text=True, timeout=seconds(30))
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    assert int(re.search(r"(\d+) requests in", done.stdout)[1]) > 50


def test_the_body_is_what_nginx_sent(proxy, server):
    """Over one connection, again and again, byte for byte."""
    want = hashlib.sha256(content(server, "large.bin")).digest()
    with Client(proxy.address, timeout=30) as client:
        for _ in range(volume(16, 4)):
            assert hashlib.sha256(client.get("/files/large.bin").body).digest() == want
