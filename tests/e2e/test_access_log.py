# SPDX-License-Identifier: Apache-2.0
"""The access log: what a record says, where it goes, and that nobody waits for it."""
import json
import os
import re
import signal
import socket
import threading

import pytest

from support.client import Client, exchange_bytes, get
from support.maitred import Maitred, site
from support.origin import serve_forever
from support.wait import eventually, seconds, volume

KEYS = ["time", "id", "trace_id", "client", "listener", "connection", "method", "scheme", "host", "target", "version",
        "status", "reason", "blame", "limit", "error", "detail", "route", "upstream", "server", "attempts", "reused",
        "request_bytes", "response_bytes", "received_us", "queued_us", "connected_us", "first_byte_us", "total_us",
        "user_agent", "referer"]
QUOTED = r'"((?:[^"\\]|\\.)*)"'
COMBINED = re.compile(r'(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] @Q@ (\d{3}) (\d+) @Q@ @Q@'.replace("@Q@", QUOTED))


def test_a_record(stage):
    origin = stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=b"0123456789")), name="a")
    proxy = stage.proxy(origin, listener={"name": "front"}, route={"name": "all"})
    get(proxy.address, "/a?b", method="POST", body=b"hello", host="WWW.Example:81",
        fields=[("User-Agent", "tester/1"), ("Referer", "http://x/")])
    record = proxy.wait_log()
    wanted = {"client": "127.0.0.1", "listener": "front", "method": "POST", "scheme": "http", "host": "www.example",
              "target": "/a?b", "version": "1.1", "status": 200, "route": "all", "upstream": "app", "server": origin.address,
              "attempts": 1, "reused": False, "request_bytes": 5, "response_bytes": 10, "user_agent": "tester/1",
              "referer": "http://x/"}
    assert {k: record.get(k) for k in wanted} == wanted
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert isinstance(record["connection"], int)
    for key in ("reason", "blame", "limit", "error", "detail"):
        assert record.get(key) is None
    assert [k for k in KEYS if k in record] == list(record)  # known keys, in their order


def test_every_key_is_known_whatever_happens(stage):
    proxy = stage.proxy(stage.origin(), use=["request_id", {"body_limit": 10}])
    get(proxy.address)
    get(proxy.address, method="POST", body=b"x" * 20)
    exchange_bytes(proxy.address, b"bad\r\n\r\n")
    proxy.wait_log(3)
    for record in proxy.log():
        assert [k for k in KEYS if k in record] == list(record)


def test_connections_have_numbers(stage):
    proxy = stage.proxy(stage.origin())
    for _ in range(2):
        with Client(proxy.address) as client:
            client.get("/1")
            client.get("/2")
    proxy.wait_log(4)
    numbers = [r["connection"] for r in proxy.log()]
    assert len(set(numbers)) == 2 and sorted(numbers.count(n) for n in set(numbers)) == [2, 2]


def test_odd_bytes_are_escaped(stage):
    proxy = stage.proxy(stage.origin(), access_log=[{"to": "@dir@/access.json"}, {"to": "@dir@/combined", "format": "combined"}])
    get(proxy.address, '/q"uote|{}', fields=[("User-Agent", 'a"b\\c\td\xe4\xff'), ("Referer", "</script>\x80")])
    record = proxy.wait_log()
    assert record["target"] == '/q"uote|{}' and record["user_agent"].startswith('a"b\\c\td')
    eventually(lambda: proxy.log_lines("combined"))
    line, = proxy.log_lines("combined")
    assert line.isprintable() and COMBINED.fullmatch(line), line


def test_a_malformed_request_cannot_forge_a_line(stage):
    proxy = stage.proxy(stage.origin(), access_log=[{"to": "@dir@/access.json"}, {"to": "@dir@/combined", "format": "combined"}])
    exchange_bytes(proxy.address, b"GET /\n127.0.0.1 - - \x1b[2J HTTP/1.1\r\n\r\n")
    proxy.wait_log(status=400)
    eventually(lambda: proxy.log_lines("combined"))
    assert len(proxy.log_lines("combined")) == 1 and COMBINED.fullmatch(proxy.log_lines("combined")[0])


def test_combined(stage):
    proxy = stage.proxy(stage.origin(serve_forever(lambda conn, _: conn.respond(404, body=b"0123456789"))),
                        access_log={"to": "@dir@/combined", "format": "combined"})
    get(proxy.address, "/a?b", fields=[("User-Agent", "tester/1"), ("Referer", "http://x/")])
    get(proxy.address, "/plain")
    eventually(lambda: len(proxy.log_lines("combined")) == 2)
    found = sorted(COMBINED.fullmatch(line).groups()[2:] for line in proxy.log_lines("combined"))
    assert found == [("GET /a?b HTTP/1.1", "404", "10", "http://x/", "tester/1"), ("GET /plain HTTP/1.1", "404", "10", "-", "-")]


def test_when(stage):
    proxy = stage.proxy(stage.origin(), use=[{"respond": {"status": 404, "when": "path == '/missing'"}}],
                        access_log=[{"to": "@dir@/errors.json", "when": "status >= 400"}, {"to": "@dir@/access.json"}])
    for target in ("/a", "/missing", "/b"):
        get(proxy.address, target)
    proxy.wait_log(3)
    eventually(lambda: proxy.log("errors.json"))
    assert [r["target"] for r in proxy.log("errors.json")] == ["/missing"]


@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_standard_streams(stage, to):
    proxy = stage.proxy(stage.origin(), access_log=to)
    get(proxy.address, "/std")
    text = eventually(lambda: [line for line in getattr(proxy, to).splitlines() if line.startswith("{")])
    assert json.loads(text[0])["target"] == "/std"


def test_syslog_by_udp(stage):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(seconds(10))
        proxy = stage.proxy(stage.origin(), access_log={"to": "syslog://127.0.0.1:%d" % sink.getsockname()[1]})
        get(proxy.address, "/udp")
        message = sink.recv(65536).decode()
    assert re.match(r"<\d+>1 \d{4}-\d\d-\d\dT\S+ \S+ maitred ", message), message
    assert json.loads(message[message.index("{"):])["target"] == "/udp"


def test_nothing_is_lost_at_the_end(stage):
    folder, n = stage.folder(), 500
    with Maitred(site(stage.origin(), access_log=f"{folder}/log")) as proxy:
        with Client(proxy.address) as client:
            for number in range(n):
                client.get(f"/{number}")
    with open(f"{folder}/log") as file:
        assert [json.loads(line)["target"] for line in file] == [f"/{number}" for number in range(n)]


def test_reopened_after_rotation(stage):
    proxy = stage.proxy(stage.origin())
    get(proxy.address, "/before")
    proxy.wait_log(target="/before")
    path = os.path.join(proxy.dir, "access.json")
    os.rename(path, path + ".1")
    get(proxy.address, "/between")
    proxy.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(path), what="a new file")
    get(proxy.address, "/after")
    proxy.wait_log(target="/after")
    both = [r["target"] for r in proxy.log("access.json.1") + proxy.log()]
    assert sorted(both) == ["/after", "/before", "/between"] and proxy.log("access.json.1")[0]["target"] == "/before"


def test_reloads_lose_no_record(stage):
    origin = stage.origin()
    proxy = stage.proxy(origin)
    n = volume(300)
    with Client(proxy.address) as client:
        for number in range(n):
            client.get(f"/{number}")
            if number % 100 == 50:
                proxy.reload(site(origin, route={"name": f"v{number}"}))
    proxy.wait_log(n)
    assert [r["target"] for r in proxy.log()] == [f"/{number}" for number in range(n)]


def test_a_reader_that_stands_still_stops_nobody(stage):
    """stdout is a pipe that nobody reads: requests go on, what does not fit is dropped and counted."""
    read, write = os.pipe()
    n = volume(3000, 1000)
    proxy = stage.run(site(stage.origin(), access_log={"to": "stdout", "queue": "128KiB"}), stdout=write, workers=1)
    os.close(write)
    with Client(proxy.address) as client:
        for number in range(n):
            assert client.get(f"/{number}", [("User-Agent", "x" * 1900)]).status == 200
    lines = []

    def drain():
        with os.fdopen(read, "rb") as pipe:
            lines.extend(pipe)

    reader = threading.Thread(target=drain)
    reader.start()
    proxy.signal(signal.SIGTERM)
    proxy.finish()
    reader.join(seconds(10))
    numbers = [int(json.loads(line)["target"][1:]) for line in lines]
    dropped = sum(int(count) for count in re.findall(r"dropped.*\bcount=(\d+)", proxy.stderr))
    assert numbers == sorted(set(numbers)) and numbers
    assert dropped > 0 and dropped + len(numbers) == n


def test_a_client_that_went_away(stage):
    go = threading.Event()

    def answer(conn, request):
        go.wait(seconds(30))

    origin = stage.origin(serve_forever(answer))
    proxy = stage.proxy(origin)
    client = Client(proxy.address)
    client.request("GET", "/gone")
    origin.wait_requests(1)
    client.reset()
    record = proxy.wait_log(target="/gone")
    assert (record["reason"], record["blame"]) == ("client_gone", "client")
    assert record.get("status") in (None, 499)
    go.set()


def test_a_log_that_cannot_be_opened(stage):
    proxy = Maitred(site(stage.origin(), access_log="/nonexistent/folder/log"), start=False)
    with pytest.raises(AssertionError, match="/nonexistent/folder/log"):
        proxy.start()
