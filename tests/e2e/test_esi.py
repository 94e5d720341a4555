# SPDX-License-Identifier: Apache-2.0
"""Pages made of fragments: what stands where, what is asked at the same time, and what becomes of trouble."""
import gzip
import os
import subprocess
import threading
import time

import pytest

from support.client import Client, get
from support.daemons import nginx
from support.maitred import sanitized
from support.origin import serve_forever
from support.wait import eventually, seconds, settled, volume
from support.wire import encode

HTML = ("Content-Type", "text/html; charset=utf-8")
ESI = ("Surrogate-Control", 'max-age=60, content="ESI/1.0"')


def include(src, **attributes):
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<esi:include src="{src}"{more}/>'


def attempt(tried, otherwise):
    return f"<esi:try><esi:attempt>{tried}</esi:attempt><esi:except>{otherwise}</esi:except></esi:try>"


class Site:
    """An origin with pages: text that is ESI, bytes that are not, or a script of (conn, request)."""

    def __init__(self, stage, **more):
        self.pages = {"/f": b"[f]", "/g": b"[g]"}
        self.origin = stage.origin(serve_forever(self.answer), **more)
        self.address = self.origin.address

    def answer(self, conn, request):
        page = self.pages.get(request.target) or self.pages.get(request.target.split("?")[0])
        if page is None:
            conn.respond(404, [HTML], b"there is no such fragment")
        elif callable(page):
            page(conn, request)
        elif isinstance(page, str):
            conn.respond(200, [HTML, ESI, ("ETag", '"1"'), ("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT"),
                               ("Accept-Ranges", "bytes")], page.encode())
        else:
            conn.respond(200, [HTML, ("Set-Cookie", "fragment=1")], page)

    def targets(self):
        return [r.target for r in self.origin.requests]

    def asked(self, target):
        return [r for r in self.origin.requests if r.target == target]


def after(pause, body):
    def script(conn, request):
        time.sleep(pause)
        conn.respond(200, [HTML], body)
    return script


def never(conn, request):
    conn.wait_end(30)


def half(conn, request):
    """Promises more than it sends."""
    conn.send(encode("HTTP/1.1 200 OK", [HTML, ("Content-Length", "100")], b"a half"))
    conn.close()


@pytest.fixture
def site(stage):
    return Site(stage)


@pytest.fixture
def proxy(stage, site):
    return stage.proxy(site, use=["esi"])


def esi(**options):
    return [{"esi": options}]


def breaks_off(proxy, target="/"):
    """What comes of an answer that ends before its end."""
    with Client(proxy.address) as client:
        client.request("GET", target)
        got = client.read_all()
    assert not got.endswith(b"0\r\n\r\n"), got
    return got


# ---------------------------------------------------------------- what stands where

def test_fragments_stand_in_their_places(site, proxy):
    site.pages["/"] = f"<html>{include('/f')}, {include('g')}<esi:remove>no</esi:remove></html>"
    got = get(proxy.address)
    assert (got.status, got.body) == (200, b"<html>[f], [g]</html>")
    for name in ("etag", "last-modified", "content-length", "accept-ranges", "surrogate-control", "set-cookie"):
        assert not got.has(name), name


def test_servers_are_told_and_not_asked_for_encodings(site, proxy):
    site.pages["/"] = include("/f")
    get(proxy.address, fields=[("Accept-Encoding", "gzip"), ("Surrogate-Capability", 'cdn="ESI/1.0"')])
    page, fragment = site.asked("/")[0], site.asked("/f")[0]
    assert page.get("surrogate-capability") == 'cdn="ESI/1.0", maitred="ESI/1.0"'
    assert page.get("accept-encoding") == fragment.get("accept-encoding") == "identity"
    assert page.get("x-forwarded-for") == fragment.get("x-forwarded-for") == "127.0.0.1"


def test_what_does_not_say_so_is_no_page(site, proxy):
    raw = include("/f").encode()
    site.pages["/plain"] = raw
    site.pages["/image"] = lambda conn, r: conn.respond(200, [("Content-Type", "image/png"), ESI], raw)
    site.pages["/part"] = lambda conn, r: conn.respond(
        206 if r.get("range") else 200, [HTML, ("Content-Range", "bytes 0-2/9")] if r.get("range") else [HTML], b"raw")
    site.pages["/same"] = lambda conn, r: conn.respond(304 if r.get("if-none-match") else 200, [HTML], b"")
    assert get(proxy.address, "/plain").body == raw
    assert get(proxy.address, "/image").body == raw
    assert get(proxy.address, "/part", [("Range", "bytes=0-2")]).status == 206
    assert get(proxy.address, "/same", [("If-None-Match", '"1"')]).status == 304
    assert "/f" not in site.targets()


def test_always_reads_every_document_of_its_types(stage, site):
    proxy = stage.proxy(site, use=esi(always=True, types=["text/html"]))
    site.pages["/"] = include("/f").encode()
    assert get(proxy.address, fields=[("If-None-Match", '"1"')]).body == b"[f]"
    assert not site.asked("/")[0].has("if-none-match")


@pytest.mark.parametrize("field, status", [("Range", 206), ("If-None-Match", 304)])
def test_half_a_page_is_asked_for_again(site, proxy, field, status):
    def page(conn, request):
        if request.get(field):
            conn.respond(status, [HTML, ESI, ("ETag", '"1"')] + [("Content-Range", "bytes 0-2/9")] * (status == 206),
                         b"" if status == 304 else b"abc")
        else:
            conn.respond(200, [HTML, ESI], include("/f").encode())
    site.pages["/"] = page
    got = get(proxy.address, fields=[(field, "bytes=0-2" if status == 206 else '"1"')])
    assert (got.status, got.body) == (200, b"[f]")
    assert len(site.asked("/")) == 2


def test_head_has_no_fragments(site, proxy):
    site.pages["/"] = include("/f")
    got = get(proxy.address, method="HEAD")
    assert got.status == 200 and not got.has("content-length") and not got.has("etag")
    assert site.targets() == ["/"]


def test_what_a_client_says_is_no_markup(site, proxy):
    site.pages["/"] = ("<esi:vars>$(QUERY_STRING{q}) $(HTTP_COOKIE{c})</esi:vars>"
                       + include("/f?x=$(QUERY_STRING{q})&amp;y=1"))
    got = get(proxy.address, "/?q=%3Cscript%3E%26x%3D2", [("Cookie", "c=<b>")])
    assert got.body == b"&lt;script&gt;&amp;x=2 &lt;b&gt;[f]"
    assert "/f?x=%3Cscript%3E%26x%3D2&y=1" in site.targets()


def test_a_document_may_be_cut_anywhere(site, proxy):
    text = f"a<!--esi {include('/f')}-->{attempt(include('/none'), include('/g'))}<esi:vars>$(HTTP_HOST)</esi:vars>z"

    def page(conn, request):
        conn.send(encode("HTTP/1.1 200 OK", [HTML, ESI, ("Transfer-Encoding", "chunked")]))
        for byte in text.encode():
            conn.send(b"1\r\n%c\r\n" % byte)
        conn.send(b"0\r\n\r\n")
    site.pages["/"] = page
    assert get(proxy.address).body == f"a [f][g]{proxy.address}z".encode()


def test_a_fragment_may_be_a_page(site, proxy):
    site.pages["/"] = f"({include('/a/b')})"
    site.pages["/a/b"] = f"<{include('c')}>"  # as seen from /a/b
    site.pages["/a/c"] = f"{include('/f')}{include('/g')}"
    assert get(proxy.address).body == b"(<[f][g]>)"


def test_credentials_are_for_the_same_host_only(stage, site):
    other = Site(stage)
    proxy = stage.proxy(routes=[{"host": "other.example", "to": "other"}, {"use": ["esi"], "to": "app"}],
                        upstreams={"app": {"servers": [site.address]}, "other": {"servers": [other.address]}})
    site.pages["/"] = include("/f") + include("http://other.example/g")
    secret = [("Cookie", "id=1"), ("Authorization", "Basic eDp5")]
    assert get(proxy.address, fields=secret).body == b"[f][g]"
    mine, theirs = site.asked("/f")[0], other.asked("/g")[0]
    assert mine.get("cookie") == "id=1" and mine.get("authorization")
    assert not theirs.has("cookie") and not theirs.has("authorization")
    assert theirs.get("host") == "other.example"


def test_fragments_pass_routes_and_middleware(stage, site):
    proxy = stage.proxy(routes=[
        {"path": "/own", "use": [{"respond": {"text": "mine", "type": "text/html"}}]},
        {"path": "/secret", "use": [{"respond": 403}]},
        {"use": ["esi"], "to": "app"}], upstreams={"app": {"servers": [site.address]}})
    site.pages["/"] = include("/own") + include("/secret", onerror="continue")
    assert get(proxy.address).body == b"mine"
    assert site.targets() == ["/"]


def test_cached_fragments_and_pages_are_not_asked_for_again(stage, site):
    site.pages["/"] = include("/kept") + include("/f")
    site.pages["/kept"] = lambda conn, r: conn.respond(200, [HTML, ("Cache-Control", "max-age=60")], b"[kept]")
    proxy = stage.proxy(site, use=["esi", "cache"])
    for _ in range(5):
        assert get(proxy.address).body == b"[kept][f]"
    assert len(site.asked("/kept")) == 1 and len(site.asked("/f")) == 5


def test_the_page_is_compressed_as_a_whole(stage, site):
    site.pages["/"] = "x" * 5000 + include("/f")
    proxy = stage.proxy(site, use=["compress", "esi"])
    got = get(proxy.address, fields=[("Accept-Encoding", "gzip")])
    assert got.get("content-encoding") == "gzip"
    assert gzip.decompress(got.body) == b"x" * 5000 + b"[f]"


@pytest.mark.parametrize("version", ["--http2-prior-knowledge", "--http1.0"])
def test_other_versions_of_http(site, proxy, version):
    site.pages["/"] = f"<{include('/f')}>"
    got = subprocess.run(["curl", "-s", version, proxy.url()], stdout=subprocess.PIPE, timeout=seconds(10), check=True)
    assert got.stdout == b"<[f]>"


# ---------------------------------------------------------------- at the same time, in order

def test_fragments_are_asked_for_at_the_same_time(site, proxy):
    site.pages["/slow"] = after(0.4, b"s")
    site.pages["/"] = "".join(include(f"/slow?{i}") for i in range(12)) + include("/f")
    began = time.monotonic()
    assert get(proxy.address).body == b"s" * 12 + b"[f]"
    assert time.monotonic() - began < seconds(2)


def test_no_more_than_so_many_at_a_time(stage, site):
    lock, now, most = threading.Lock(), [0], [0]

    def counted(conn, request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        conn.respond(200, [HTML], b"s")
    site.pages["/slow"] = counted
    # An attempt, and what stands in for it, have more fragments than that.
    many = "".join(include(f"/slow?{i}") for i in range(9))
    site.pages["/"] = many + attempt(many, "") + attempt(include("/none"), many)
    proxy = stage.proxy(site, use=esi(parallel=3))
    assert get(proxy.address).body == b"s" * 27
    assert 1 < most[0] <= 3


def test_what_stands_before_a_slow_fragment_does_not_wait(site, proxy):
    go = threading.Event()

    def held(conn, request):
        assert go.wait(seconds(20))
        conn.respond(200, [HTML], b"late")
    site.pages["/held"] = held
    site.pages["/"] = f"before{include('/f')}{include('/held')}after"
    with Client(proxy.address) as client:
        client.request()
        assert b"[f]" in client.read_until(b"[f]")
        go.set()
        assert b"after" in client.read_until(b"0\r\n\r\n")


def test_a_server_with_one_connection_is_enough(stage, site):
    """The document is read to its end, so that its connection is free for the fragments."""
    proxy = stage.proxy({"address": site.address, "max_connections": 1}, use=["esi"])
    site.pages["/"] = "x" * 30000 + "".join(include(f"/f?{i}") for i in range(20)) + "y" * 100000
    assert get(proxy.address).body == b"x" * 30000 + b"[f]" * 20 + b"y" * 100000


def test_thousands_of_fragments(stage):
    server = stage.use(nginx("""
        types { text/plain txt; text/html html; } location = /page.html { add_header Surrogate-Control content=\\"ESI/1.0\\"; }
        location /f { default_type text/html; return 200 $arg_n; }"""))
    n = volume(3000, 500)
    with open(os.path.join(server.dir, "www", "page.html"), "w") as file:
        file.write("".join(f"{include(f'/f?n={i}')}\n" for i in range(n)))
    proxy = stage.proxy(server, use=esi(fragments=n))
    want = "".join(f"{i}\n" for i in range(n)).encode()
    assert get(proxy.address, "/page.html").body == want
    before = proxy.rss_kib()
    for _ in range(3):
        assert get(proxy.address, "/page.html").body == want
    if not sanitized():
        assert proxy.rss_kib() - before < 4096


@pytest.mark.parametrize("size, n", [(6_000_000, 8), (60_000, 500)])
def test_what_is_held_for_a_slow_client_is_bounded(stage, site, size, n):
    site.pages["/large"] = lambda conn, r: conn.respond(200, [HTML], b"x" * size)
    site.pages["/"] = "".join(include(f"/large?{i}") for i in range(n))
    proxy = stage.proxy(site, use=["esi"], workers=1)
    get(proxy.address, "/f")
    before = proxy.rss_kib()
    with Client(proxy.address, timeout=30) as client:
        client.request()
        settled(lambda: len(site.targets()), quiet=0.3)  # nobody reads: what can be held is held now
        held = proxy.rss_kib() - before
        got = client.response()
    assert got.body == b"x" * (n * size)
    if not sanitized():
        assert held < 8192, held


# ---------------------------------------------------------------- trouble

def test_a_failed_fragment_has_another_answer(site, proxy):
    site.pages["/half"] = half
    site.pages["/packed"] = lambda conn, r: conn.respond(200, [HTML, ("Content-Encoding", "gzip")], gzip.compress(b"x"))
    for bad in ("/none", "/half", "/packed", "http://no.such.host:99999/"):
        site.pages["/"] = (f"1{include(bad, alt='/f')}2{include(bad, onerror='continue')}"
                           f"3{include(bad, alt='/none', onerror='continue')}4{attempt('no' + include(bad), 'yes')}5")
        assert get(proxy.address).body == b"1[f]234yes5", bad


def test_attempts_in_attempts(site, proxy):
    bad, good = include("/none"), include("/f")
    site.pages["/"] = attempt("a" + attempt("b" + bad, "c" + good) + "d", "e")
    assert get(proxy.address).body == b"ac[f]d"
    site.pages["/"] = attempt("a" + attempt("b" + bad, "c" + bad) + "d", "e" + attempt(bad, "g"))
    assert get(proxy.address).body == b"eg"
    site.pages["/"] = "before" + attempt(bad, bad)
    assert b"before" in breaks_off(proxy)
    assert proxy.wait_log(reason="part_failed")


def test_a_fragment_that_never_comes(site, proxy):
    site.pages["/never"] = never
    site.pages["/"] = (include("/never", maxwait=200, onerror="continue") + include("/never?2", maxwait=200, alt="/f")
                       + attempt(include("/never?3", maxwait=200), "instead"))
    began = time.monotonic()
    assert get(proxy.address).body == b"[f]instead"
    assert time.monotonic() - began < seconds(2)
    eventually(lambda: all(c.ended for c in site.origin.connections if c.bytes.startswith(b"GET /never")))


def test_a_server_that_is_not_there(stage, site, deaf):
    proxy = stage.proxy(routes=[{"path": "/deaf", "to": "deaf"}, {"use": esi(timeout="300ms"), "to": "app"}],
                        upstreams={"app": {"servers": [site.address]}, "deaf": {"servers": [deaf]}})
    site.pages["/"] = "a" + include("/deaf", onerror="continue") + "b"
    began = time.monotonic()
    assert get(proxy.address).body == b"ab"
    assert time.monotonic() - began < seconds(2)


def test_without_another_answer_the_page_breaks_off(site, proxy):
    site.pages["/"] = f"before{include('/none')}after"
    got = breaks_off(proxy)
    assert b"before" in got and b"after" not in got
    log = proxy.wait_log(reason="part_failed")
    assert "/none" in log["detail"] and "404" in log["detail"]


def test_or_says_what_the_configuration_says(stage, site):
    proxy = stage.proxy(site, use=esi(on_error="<!-- missing -->"))
    site.pages["/"] = f"before{include('/none')}after{attempt(include('/none'), 'except')}"
    assert get(proxy.address).body == b"before<!-- missing -->afterexcept"


def test_a_long_fragment_that_breaks_off(site, proxy):
    """Some of it is on its way to the client already: nothing can take its place."""
    site.pages["/long"] = lambda conn, r: (conn.send(encode("HTTP/1.1 200 OK", [HTML, ("Content-Length", "500000")],
                                                            b"x" * 200000)), conn.close())
    site.pages["/"] = f"<{include('/long', alt='/f', onerror='continue')}>"
    got = breaks_off(proxy)
    assert b"[f]" not in got and b">" not in got.split(b"\r\n\r\n", 1)[1]
    assert "broke off" in proxy.wait_log(reason="part_failed")["detail"]


def test_the_document_breaks_off(site, proxy):
    def page(conn, request):
        conn.send(encode("HTTP/1.1 200 OK", [HTML, ESI, ("Content-Length", "1000")], include("/f").encode()))
        conn.close()
    site.pages["/"] = page
    breaks_off(proxy)
    assert proxy.wait_log(reason="response_incomplete")


def test_malformed_pages(site, proxy):
    site.pages["/tag"] = "good<esi:nosuch/>bad"
    site.pages["/open"] = "good<esi:choose>"
    for target in ("/tag", "/open"):
        got = breaks_off(proxy, target)
        assert b"good" in got and b"bad" not in got
    assert proxy.wait_log(2, reason="esi_malformed")
    site.pages["/gzip"] = lambda conn, r: conn.respond(200, [HTML, ESI, ("Content-Encoding", "gzip")],
                                                       gzip.compress(b"x"))
    assert get(proxy.address, "/gzip").status == 502


def test_a_loop_ends(site, proxy):
    site.pages["/"] = f"({include('/', onerror='continue')})"
    assert get(proxy.address).body == b"((()))"  # the fourth one fails, alone
    assert len(site.asked("/")) <= 4


def test_a_loop_of_many_ends_too(stage, site):
    """Each of them within its own limits; the limit is the page's."""
    site.pages["/"] = "".join(include(f"/?{i}", onerror="continue") for i in range(30))
    proxy = stage.proxy(site, use=esi(fragments=100, depth=5))
    assert get(proxy.address).body == b""
    assert settled(lambda: len(site.targets())) <= 101
    assert get(proxy.address, "/f").body == b"[f]"


def test_a_page_has_only_so_many_fragments(stage, site):
    proxy = stage.proxy(site, use=esi(fragments=3))
    site.pages["/"] = include("/f") * 4
    breaks_off(proxy)
    assert proxy.wait_log(reason="composition_limit")["limit"].startswith("esi.fragments")


def test_fragments_are_only_so_long(stage, site):
    site.pages["/long"] = b"x" * 5000
    site.pages["/"] = include("/long", onerror="continue") + include("/f")
    assert get(stage.proxy(site, use=esi(fragment_bytes=4096)).address).body == b"[f]"
    site.pages["/"] = include("/long") * 2 + include("/long", onerror="continue") + "z"
    proxy = stage.proxy(site, use=esi(page_bytes=12000))
    assert get(proxy.address).body == b"x" * 10000 + b"z"


def test_an_attempt_has_to_fit_ahead(stage, site):
    proxy = stage.proxy(site, use=esi(ahead="16KiB"))
    site.pages["/"] = attempt("x" * 10000, "no")
    assert get(proxy.address).body == b"x" * 10000
    site.pages["/long"] = b"y" * 1_000_000  # of which a part is held
    site.pages["/"] = attempt("x" * 1000 + include("/long"), "no")
    assert get(stage.proxy(site, use=esi(ahead="80KiB")).address).body == b"x" * 1000 + b"y" * 1_000_000
    site.pages["/"] = "before" + attempt("x" * 30000 + include("/f"), "no")
    breaks_off(proxy)
    assert proxy.wait_log(reason="composition_limit")["limit"].startswith("esi.ahead")


def test_a_client_that_leaves_takes_its_fragments_along(site, proxy):
    site.pages["/never"] = never
    site.pages["/inner"] = include("/never?inner")
    site.pages["/"] = "before" + include("/inner") + "".join(include(f"/never?{i}") for i in range(5))
    client = Client(proxy.address)
    client.request()
    client.read_until(b"before")
    eventually(lambda: len([t for t in site.targets() if t.startswith("/never")]) == 6)
    client.reset()
    eventually(lambda: all(c.ended for c in site.origin.connections if b"/never" in c.bytes), 5,
               "the connections of fragments end")
    assert get(proxy.address, "/f").body == b"[f]"


def test_clients_that_leave_at_any_time(site, proxy):
    site.pages["/slow"] = after(0.02, b"s" * 1000)
    site.pages["/page"] = attempt(include("/slow?a") + include("/none"), include("/slow?b")) + "x" * 1000
    site.pages["/"] = "".join(include(f"/{'page' if i % 3 else 'slow'}?{i}", onerror="continue") for i in range(20))
    for i in range(volume(40, 20)):
        client = Client(proxy.address)
        client.request()
        time.sleep(i * 0.004)
        client.reset() if i % 2 else client.close()
    assert get(proxy.address, "/page").body == b"s" * 1000 + b"x" * 1000


def test_a_reload_in_the_middle(stage, site):
    go = threading.Event()

    def held(conn, request):
        assert go.wait(seconds(20))
        conn.respond(200, [HTML], b"late")
    site.pages["/held"] = held
    site.pages["/"] = include("/held") + attempt(include("/none"), include("/f"))
    proxy = stage.proxy(site, use=["esi"])
    with Client(proxy.address) as client:
        client.request()
        site.origin.wait_requests(2)
        for _ in range(3):
            proxy.reload()
        go.set()
        assert client.response().body == b"late[f]"


# ---------------------------------------------------------------- what nobody should be able to do

def test_values_do_not_choose_whom_to_ask(site, proxy):
    """A value that is empty or begins with slashes makes no host of what follows, nor is one that begins the URL."""
    site.pages["/"] = include("/$(QUERY_STRING{none})/f", onerror="continue") \
        + include("$(QUERY_STRING)", onerror="continue")
    for query in ("//evil.example/f", "http://evil.example/f"):
        get(proxy.address, f"/?{query}")
    assert {r.get("host") for r in site.origin.requests} == {proxy.address}
    assert get(proxy.address, "/?/f").body == b"[f][f]"


@pytest.mark.parametrize("again", ["in text", "by name"])
def test_excepts_in_excepts_come_to_an_end(site, proxy, again):
    """They are settled by functions that call themselves: a stack is small."""
    page = "[end]"
    for _ in range(900):
        page = attempt(include("/none"), page)
    if again == "by name":
        page = f'<esi:inline name="/again">{attempt(include("/none"), include("/again"))}</esi:inline>{include("/again")}'
    worker = proxy.worker_pid
    site.pages["/"] = page
    breaks_off(proxy)
    site.pages["/few"] = attempt(include("/none"), attempt(include("/none"), "[few]"))
    assert get(proxy.address, "/few").body == b"[few]"
    assert proxy.worker_pid == worker
