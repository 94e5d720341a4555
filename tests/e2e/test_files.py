# SPDX-License-Identifier: Apache-2.0
"""A site out of a folder: what is served, what is not, and what happens when the disk changes under it."""
import gzip
import hashlib
import html.parser
import os
import random
import re
import resource
import shutil
import socket
import threading
import time
import urllib.parse

import brotli
import pytest
import zstandard

from support.client import Client, curl, exchange_bytes, get, status_of
from support.maitred import ROOT, Maitred, command, site
from support.origin import echoed
from support.wait import eventually, seconds, volume
from support.wire import Closed, Response

SECRET = b"nobody may read this"
# Around what is kept in memory (64 KiB), and the pieces of larger files (256 KiB).
SIZES = [0, 1, 1024, 16384, 16385, 65536, 65537, 262144, 262145, 1 << 20, 3000001]


def put(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def noise(n, seed=1):
    return random.Random(seed).randbytes(n)


@pytest.fixture
def place(stage):
    """A folder with a site in www/ and a secret beside it."""
    path = stage.folder()
    put(f"{path}/secret.txt", SECRET)
    put(f"{path}/www/index.html", b"<h1>home")
    put(f"{path}/www/docs/a.txt", b"text")
    put(f"{path}/www/docs/index.html", b"<h1>docs")
    return path


def serving(stage, place, routes=None, start=None, **options):
    files = {"files": {"root": f"{place}/www", **options}}
    return stage.run(site(routes=routes or [{"use": [files]}]), **(start or {}))


# ---------------------------------------------------------------- what is served


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_every_byte_arrives(stage, place, version):
    for n in SIZES:
        put(f"{place}/www/{n}.bin", noise(n, n))
    proxy = serving(stage, place)
    for _ in range(2):  # opened, and found open
        for n in SIZES:
            done = curl(version, proxy.url(f"/{n}.bin"))
            assert (done.status, len(done.body)) == (200, n) and done.body == noise(n, n)
            assert done.get("content-length") == str(n)


def test_a_cold_disk_is_waited_for(stage, place):
    for n in SIZES:
        put(f"{place}/www/{n}.bin", noise(n, n))
    os.sync()
    for n in SIZES:
        fd = os.open(f"{place}/www/{n}.bin", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    proxy = serving(stage, place)
    for n in SIZES:
        assert get(proxy.address, f"/{n}.bin").body == noise(n, n)


def test_head_says_what_get_would(stage, place):
    proxy = serving(stage, place)
    got, head = get(proxy.address, "/docs/a.txt"), get(proxy.address, "/docs/a.txt", method="HEAD")
    assert [f for f in head.fields if f[0] != "Date"] == \
        sorted((f for f in got.fields if f[0] != "Date"), key=head.fields.index)
    assert head.get("content-length") == "4" and head.body == b""


def test_fields(stage, place):
    os.utime(f"{place}/www/docs/a.txt", (1700000000, 1700000000))
    got = get(serving(stage, place, cache_control="max-age=60").address, "/docs/a.txt")
    assert got.get("content-type") == "text/plain; charset=utf-8"
    assert got.get("last-modified") == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert re.fullmatch(r'"[0-9a-f]+-4-[0-9a-f]+"', got.get("etag"))
    assert (got.get("cache-control"), got.get("accept-ranges")) == ("max-age=60", "bytes")


def test_a_date_that_is_still_to_come_is_not_told(stage, place):
    os.utime(f"{place}/www/docs/a.txt", (time.time() + 9999, time.time() + 9999))
    assert get(serving(stage, place).address, "/docs/a.txt").get("last-modified") is None


def test_a_folder_leads_to_its_slash_and_its_index(stage, place):
    proxy = serving(stage, place)
    assert get(proxy.address, "/").body == b"<h1>home"
    assert get(proxy.address, "/docs?a=b").get("location") == "./docs/?a=b"
    done = curl("-L", proxy.url("/docs?a=b"))
    assert (done.status, done.body) == (200, b"<h1>docs")


def test_a_prefix_is_taken_off(stage, place):
    files = {"files": {"root": f"{place}/www", "strip_prefix": "/static/"}}
    proxy = serving(stage, place, routes=[{"path": "/static/", "use": [files]}])
    assert get(proxy.address, "/static/docs/a.txt").body == b"text"
    assert curl("-L", proxy.url("/static/docs")).body == b"<h1>docs"
    assert get(proxy.address, "/docs/a.txt").status == 404


def test_other_methods_are_refused(stage, place):
    proxy = serving(stage, place)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"):
        got = get(proxy.address, "/docs/a.txt", method=method)
        assert (got.status, got.get("allow")) == (405, "GET, HEAD")


def test_not_found_has_the_routes_own_page(stage, place):
    put(f"{place}/404.html", b"<h1>nothing here")
    files = {"files": {"root": f"{place}/www"}}
    proxy = serving(stage, place, routes=[{"use": [files], "errors": {"404": {"file": f"{place}/404.html"}}}])
    got = get(proxy.address, "/none")
    assert (got.status, got.body) == (404, b"<h1>nothing here")
    assert proxy.wait_log(reason="not_found")["blame"] == "client"


def test_applications_that_route_in_the_browser(stage, place):
    proxy = serving(stage, place, fallback="/index.html")
    for target in ("/", "/users/5", "/docs/none", "/.env", "/a%2Fb"):
        got = get(proxy.address, target)
        assert (got.status, got.body) == (200, b"<h1>home"), target
    assert get(proxy.address, "/docs/a.txt").body == b"text"


def test_what_is_not_there_goes_to_the_server(stage, place):
    files = {"files": {"root": f"{place}/www", "next": True}}
    proxy = stage.proxy(stage.origin(), use=[files])
    assert get(proxy.address, "/docs/a.txt").body == b"text"
    assert echoed(get(proxy.address, "/api"))["target"] == "/api"
    assert echoed(get(proxy.address, "/docs/a.txt", method="POST", body=b"x"))["method"] == "POST"


def test_explain(stage, place):
    proxy = serving(stage, place)
    said = command("explain", "-c", proxy.config, "GET", "http://example.test/docs/a.txt").stdout
    assert f"looks for {place}/www/docs/a.txt" in said
    said = command("explain", "-c", proxy.config, "GET", "http://example.test/.git").stdout
    assert "begin with a dot" in said


# ---------------------------------------------------------------- precompressed


@pytest.fixture
def pressed(place):
    plain = b"body { color: black }\n" * 500
    put(f"{place}/www/a.css", plain)
    put(f"{place}/www/a.css.gz", gzip.compress(plain))
    put(f"{place}/www/a.css.br", brotli.compress(plain))
    put(f"{place}/www/a.css.zst", zstandard.compress(plain))
    return plain


def test_clients_decode_what_they_get(stage, place, pressed):
    proxy = serving(stage, place)
    for coding in ("gzip", "br", "zstd"):
        done = curl("--compressed", "-H", f"Accept-Encoding: {coding}", proxy.url("/a.css"))
        assert done.body == pressed and done.get("content-encoding") == coding
        assert int(done.get("content-length")) < len(pressed)
        assert done.get("content-type") == "text/css; charset=utf-8" and done.get("vary") == "Accept-Encoding"


@pytest.mark.parametrize("accept, coding", [
    ("gzip, deflate, br, zstd", "br"), ("gzip, zstd", "zstd"), ("br;q=0.1, gzip", "gzip"), ("*", "br"),
    ("br;q=0, *", "zstd"), ("deflate", None), ("", None), ("gzip;q=0", None), ("identity, gzip;q=0.3", None)])
def test_the_client_chooses(stage, place, pressed, accept, coding):
    got = get(serving(stage, place).address, "/a.css", [("Accept-Encoding", accept)])
    assert got.status == 200 and got.get("content-encoding") == coding and got.get("vary") == "Accept-Encoding"


def test_each_form_has_validators_of_its_own(stage, place, pressed):
    proxy = serving(stage, place)
    tags = {c: get(proxy.address, "/a.css", [("Accept-Encoding", c)]).get("etag") for c in ("", "br", "gzip", "zstd")}
    assert len(set(tags.values())) == 4
    ask = [("Accept-Encoding", "br"), ("If-None-Match", tags["br"])]
    assert get(proxy.address, "/a.css", ask).status == 304
    assert get(proxy.address, "/a.css", [("Accept-Encoding", "gzip"), ("If-None-Match", tags["br"])]).status == 200


def test_a_form_older_than_the_file_is_not_its_form(stage, place, pressed):
    os.utime(f"{place}/www/a.css.br", (1, 1))
    got = get(serving(stage, place).address, "/a.css", [("Accept-Encoding", "br")])
    assert got.get("content-encoding") is None and got.body == pressed


# ---------------------------------------------------------------- what is not served

OUT = ["/../secret.txt", "/docs/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt",
       "/docs/..%2f..%2fsecret.txt", "/..%5csecret.txt", "/..\\secret.txt", "/%252e%252e/secret.txt",
       "/..%00/secret.txt", "/secret.txt%00", "/docs/%2e%2e/%2e%2e/secret.txt", "//../secret.txt", "/....//secret.txt",
       "/%c0%ae%c0%ae/secret.txt", "/..;/secret.txt", "/./../secret.txt", "http://x/../secret.txt",
       "/link.txt", "/up/secret.txt", "/absolute", "/proc/self/root/etc/passwd", "/chain/secret.txt"]


@pytest.mark.parametrize("hidden", [False, True])
def test_nothing_outside_of_the_root(stage, place, hidden):
    os.symlink("../secret.txt", f"{place}/www/link.txt")
    os.symlink("..", f"{place}/www/up")
    os.symlink(f"{place}/secret.txt", f"{place}/www/absolute")
    os.symlink("/proc", f"{place}/www/proc")
    os.symlink("up", f"{place}/www/chain")
    proxy = serving(stage, place, hidden=hidden, listing=True)
    for target in OUT:
        answer = exchange_bytes(proxy.address, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) in (400, 404), (target, answer[:200])
        assert SECRET not in answer and b"root:" not in answer, target
    listed = get(proxy.address, "/nowhere/../up/")
    assert listed.status == 404 and b"secret" not in listed.body


def test_links_inside_are_followed(stage, place):
    os.symlink("docs/a.txt", f"{place}/www/link.txt")
    os.symlink("docs", f"{place}/www/manual")
    proxy = serving(stage, place)
    assert get(proxy.address, "/link.txt").body == b"text"
    assert get(proxy.address, "/manual/a.txt").body == b"text"


def test_a_link_that_is_swapped_at_the_wrong_moment(stage, place):
    """Somebody who may write to the folder flips a link between inside and outside while it is asked for."""
    count = volume(3000)
    for i in range(count):  # each name is looked up once: nothing is answered from what was opened before
        put(f"{place}/www/docs/{i}.txt", b"text")
        put(f"{place}/out/{i}.txt", SECRET)
    os.symlink("docs", f"{place}/www/flip")
    proxy, over = serving(stage, place), threading.Event()

    def flip():
        while not over.is_set():
            for target in ("../out", "docs"):
                os.symlink(target, f"{place}/www/new")
                os.rename(f"{place}/www/new", f"{place}/www/flip")

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        with Client(proxy.address) as client:
            seen = [client.get(f"/flip/{i}.txt") for i in range(count)]
    finally:
        over.set()
        flipper.join()
    assert {got.status for got in seen} == {200, 404}, "the race was never met"
    assert not any(SECRET in got.body for got in seen)


def test_hidden_files_are_not_there(stage, place):
    put(f"{place}/www/.git/config", SECRET)
    put(f"{place}/www/docs/.htpasswd", SECRET)
    put(f"{place}/www/.well-known/security.txt", b"mailto:us")
    proxy = serving(stage, place)
    for target in ("/.git/config", "/%2egit/config", "/docs/.htpasswd", "/.git/", "/.git"):
        assert get(proxy.address, target).status == 404, target
    assert get(proxy.address, "/.well-known/security.txt").body == b"mailto:us"


def test_only_regular_files(stage, place):
    os.mkfifo(f"{place}/www/pipe")
    os.chmod(f"{place}/www/pipe", 0o644)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{place}/www/socket")
    os.chmod(f"{place}/www/socket", 0o777)
    proxy = serving(stage, place)
    assert [get(proxy.address, path).status for path in ("/pipe", "/socket")] == [404, 404]
    assert get(proxy.address, "/docs/a.txt").status == 200


@pytest.mark.skipif(os.getuid() != 0, reason="only root has a worker that may read less than the test")
def test_what_the_worker_may_not_read(stage, place):
    os.chmod(f"{place}/www/docs/a.txt", 0)
    proxy = serving(stage, place)
    assert get(proxy.address, "/docs/a.txt").status == 403
    assert proxy.wait_log(reason="file_denied")["blame"] == "configuration"


# ---------------------------------------------------------------- listings


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs)["href"])


NAMES = ["plain.txt", "with blank.txt", "ünïcode.txt", "<b>&amp;.txt", "100%41.txt", "a:b.txt", "q?x=1.txt", "#hash.txt",
         "'quotes\".txt", "new\nline.txt", "+plus.txt", "%2e%2e.txt"]


def test_each_link_of_a_listing_leads_to_its_file(stage, place):
    for name in NAMES:
        put(f"{place}/www/docs/many/{name}", name.encode())
    put(f"{place}/www/docs/many/.hidden", SECRET)
    put(f"{place}/www/docs/many/back\\slash.txt", b"x")
    os.mkdir(f"{place}/www/docs/many/deeper")
    os.mkdir(f"{place}/www/docs/many/back\\slash")
    os.symlink("../../../secret.txt", f"{place}/www/docs/many/out")
    proxy = serving(stage, place, listing=True)
    page = get(proxy.address, "/docs/many/")
    assert page.status == 200 and page.get("content-type") == "text/html; charset=utf-8"
    links = Links(page.body.decode()).found
    assert links[:2] == ["../", "./deeper/"] and len(links) == 2 + len(NAMES) and b"<b>" not in page.body
    bodies = {get(proxy.address, urllib.parse.urljoin("/docs/many/", link)).body.decode() for link in links[2:]}
    assert bodies == set(NAMES)


def test_without_the_option_nothing_is_listed(stage, place):
    put(f"{place}/www/bare/x.txt", b"x")
    assert get(serving(stage, place).address, "/bare/").status == 404


# ---------------------------------------------------------------- a disk that changes


def test_a_new_version_is_served_within_a_second(stage, place):
    path = f"{place}/www/docs/a.txt"
    proxy = serving(stage, place, start={"workers": 1})
    old = get(proxy.address, "/docs/a.txt").get("etag")
    put(f"{place}/new", b"new text")
    os.rename(f"{place}/new", path)
    eventually(lambda: get(proxy.address, "/docs/a.txt").body == b"new text", 3)
    assert get(proxy.address, "/docs/a.txt").get("etag") != old
    os.remove(path)
    eventually(lambda: get(proxy.address, "/docs/a.txt").status == 404, 3)


def test_a_root_that_is_a_link_may_be_swapped(stage, place):
    put(f"{place}/release2/index.html", b"<h1>second")
    os.symlink("www", f"{place}/current")
    files = {"files": f"{place}/current"}
    proxy = serving(stage, place, routes=[{"use": [files]}])
    assert get(proxy.address, "/").body == b"<h1>home"
    os.symlink("release2", f"{place}/next")
    os.rename(f"{place}/next", f"{place}/current")
    eventually(lambda: get(proxy.address, "/").body == b"<h1>second", 3)


def slow_download(proxy, change, target="/big.bin"):
    """Reads a little, lets the file be changed, reads the rest: what came, and what was promised."""
    with Client(proxy.address) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.request("GET", target)
        head = client.read_head(Response)
        got = client.read_exact(1000)
        change()
        wanted = int(head.get("content-length"))
        try:
            got += client.read_exact(wanted - len(got))
        except (Closed, ConnectionResetError):
            got += client.buffer
        return got, wanted


def rewrite(path, content):
    with open(path, "r+b") as file:
        file.write(content)


BIG = 24 << 20


@pytest.mark.parametrize("change", ["shrinks", "is overwritten", "is appended to"])
def test_a_file_that_changes_breaks_off(stage, place, change):
    path, old = f"{place}/www/big.bin", noise(BIG)
    put(path, old)
    proxy = serving(stage, place)
    changes = {"shrinks": lambda: os.truncate(path, 4096), "is overwritten": lambda: rewrite(path, b"\0" * BIG),
               "is appended to": lambda: open(path, "ab").write(b"more")}
    got, wanted = slow_download(proxy, changes[change])
    assert wanted == BIG and len(got) < wanted
    assert got == old[:len(got)], "a wrong byte"
    record = proxy.wait_log(reason="file_changed")
    assert record["blame"] == "proxy" and "were not sent" in record["detail"]


@pytest.mark.parametrize("change", ["is removed", "is replaced"])
def test_a_file_that_goes_away_is_sent_to_its_end(stage, place, change):
    path, old = f"{place}/www/big.bin", noise(BIG)
    put(path, old)
    put(f"{place}/new", b"other")
    proxy = serving(stage, place)
    got, _ = slow_download(proxy, lambda: os.remove(path) if change == "is removed" else
                           os.rename(f"{place}/new", path))
    assert got == old


def test_versions_are_never_mixed(stage, place):
    """Files of all sizes are replaced while they are fetched: each answer is one version, and its tag is that one's."""
    path, over = f"{place}/www/v.txt", threading.Event()
    versions = [bytes([65 + i]) * (1000 * 4 ** i) for i in range(6)]
    put(path, versions[0])
    proxy = serving(stage, place)

    def replace():
        for i in range(10 ** 9):
            if over.is_set():
                return
            put(f"{place}/www/new", versions[i % 6])
            os.rename(f"{place}/www/new", path)
            time.sleep(0.005)

    writer, tags = threading.Thread(target=replace), {}
    writer.start()
    try:
        end = time.monotonic() + 3
        with Client(proxy.address) as client:
            while time.monotonic() < end:
                got = client.get("/v.txt")
                assert got.status == 200 and got.body in versions
                assert tags.setdefault(got.get("etag"), got.body) == got.body
    finally:
        over.set()
        writer.join()
    assert len(tags) >= 2


# ---------------------------------------------------------------- limits


def test_descriptors_are_shared_out(stage, place):
    """Far more large files than descriptors, one after the other and all at once."""
    count = 300
    for i in range(count):
        put(f"{place}/www/{i}.bin", noise(70000, i))
    proxy = serving(stage, place, start={
        "workers": 1, "before": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))})
    with Client(proxy.address) as client:
        for i in range(count):
            got = client.get(f"/{i}.bin")
            assert got.status == 200 and got.body == noise(70000, i), i
    assert len(os.listdir(f"/proc/{proxy.worker}/fd")) < 160


def test_slow_clients_of_one_file_share_a_descriptor(stage, place):
    put(f"{place}/www/big.bin", noise(BIG))
    proxy = serving(stage, place, start={"workers": 1})
    clients = [stage.use(Client(proxy.address)) for _ in range(40)]
    for client in clients:
        client.request("GET", "/big.bin")
        client.read_exact(1000)
    links = [os.readlink(f"/proc/{proxy.worker}/fd/{fd}") for fd in os.listdir(f"/proc/{proxy.worker}/fd")
             if os.path.exists(f"/proc/{proxy.worker}/fd/{fd}")]
    assert 1 <= sum(link.endswith("big.bin") for link in links) <= 2


def test_many_clients_at_once(stage, place):
    for n in SIZES:
        put(f"{place}/www/{n}.bin", noise(n, n))
    want = {n: hashlib.sha1(noise(n, n)).digest() for n in SIZES}
    proxy, failures = serving(stage, place), []

    def fetch(seed):
        dice = random.Random(seed)
        with Client(proxy.address) as client:
            for _ in range(volume(40)):
                n = dice.choice(SIZES)
                if hashlib.sha1(client.get(f"/{n}.bin").body).digest() != want[n]:
                    failures.append(n)

    threads = [threading.Thread(target=fetch, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(30))
    assert not failures and not any(t.is_alive() for t in threads)


# ---------------------------------------------------------------- the guide

with open(os.path.join(ROOT, "docs", "guide", "files.md")) as _file:
    EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", _file.read(), re.M | re.S)


def relocated(text, place, origin):
    text = re.sub(r'"?:80\d*"?', '"@listen@"', text, count=1)
    return text.replace("/srv/", f"{place}/").replace("10.0.0.1:8080", origin.address)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_guide_answers(stage, place, number):
    shutil.copytree(f"{place}/www", f"{place}/app")
    proxy = Maitred(start=False)
    stage.use(proxy)
    proxy.write(relocated(EXAMPLES[number], place, stage.origin()))
    done = command("check", "-c", proxy.config)
    assert done.returncode == 0 and not done.stderr, done.stderr
    proxy.start()
    paths = re.findall(r"path: (/\S+)", EXAMPLES[number]) + ["/"]
    assert any(get(proxy.address, path).status == 200 for path in paths)


def test_there_are_examples():
    assert len(EXAMPLES) >= 4
