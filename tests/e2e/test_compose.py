# SPDX-License-Identifier: Apache-2.0
"""One JSON document out of several answers."""
import gzip
import json
import time

import pytest

from support.client import Client, get
from support.maitred import command
from support.origin import serve_forever
from support.wait import eventually, seconds, volume

JSON = ("Content-Type", "application/json")


class Api:
    """An origin with answers by path: JSON as text, or a script of (conn, request)."""

    def __init__(self, stage):
        self.answers = {"/a": '{"id": 1, "name": "Ann"}', "/b": "[1, 2.50, 1e999]\n"}
        self.origin = stage.origin(serve_forever(self.answer))
        self.address = self.origin.address

    def answer(self, conn, request):
        answer = self.answers.get(request.target, self.answers.get(request.target.split("?")[0]))
        if answer is None:
            conn.respond(404, [JSON], b'{"error": "none"}')
        elif callable(answer):
            answer(conn, request)
        else:
            conn.respond(200, [JSON, ("X-Total", "7"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], answer.encode())

    def asked(self, target):
        return [r for r in self.origin.requests if r.target == target]


def never(conn, request):
    conn.wait_end(30)


@pytest.fixture
def api(stage):
    return Api(stage)


def composed(stage, api, parts, **options):
    """A proxy that composes these parts at /all and passes everything else."""
    return stage.proxy(routes=[{"path": "/all", "use": [{"compose": {"parts": parts, **options}}]}, {"to": "app"}],
                       upstreams={"app": {"servers": [api.address]}})


def test_parts_stand_under_their_names_byte_for_byte(stage, api):
    proxy = composed(stage, api, {"user": "/a", 'odd "name"': "/b"})
    got = get(proxy.address, "/all")
    assert (got.status, got.get("content-type")) == (200, "application/json")
    assert got.body == b'{"user":{"id": 1, "name": "Ann"},"odd \\"name\\"":[1, 2.50, 1e999]}\n'
    assert got.get("content-length") == str(len(got.body)) and not got.has("x-total")


def test_flat_members_the_first_part_counts(stage, api):
    api.answers["/c"] = ' { "name" : "Bob", "deep": {"id": [1, "}"]} , "last":null } '
    api.answers["/empty"] = "{}"
    proxy = composed(stage, api, {"e": "/empty", "a": "/a", "c": "/c"}, shape="flat")
    got = get(proxy.address, "/all")
    assert json.loads(got.body) == {"id": 1, "name": "Ann", "deep": {"id": [1, "}"]}, "last": None}
    assert got.body.count(b'"name"') == 1
    assert get(composed(stage, api, {"e": "/empty"}, shape="flat").address, "/all").body == b"{}\n"
    assert get(composed(stage, api, {"b": "/b"}, shape="flat").address, "/all").status == 502


def test_flat_keys_are_compared_as_they_are_read(stage, api):
    api.answers |= {"/c": r'{"\u0061":1,"b":2,"\ud83d\ude00":3,"":4}',
                    "/d": r'{"a":9,"\u0062":3,"c":4,"😀":5,"\u00e9":6,"":7}', "/e": r'{"\u0063":1,"é":1,"\\":8}'}
    proxy = composed(stage, api, {"c": "/c", "d": "/d", "e": "/e"}, shape="flat")
    got = get(proxy.address, "/all")
    assert got.body.decode() == (r'{"\u0061":1,"b":2,"\ud83d\ude00":3,"":4,"c":4,"\u00e9":6,"\\":8}' + "\n")


def test_urls_take_values_that_cannot_break_out(stage, api):
    proxy = composed(stage, api, {"a": {"url": "/u/${query('id')}?x=${header('x-y')}&z=1", "optional": True}})
    get(proxy.address, "/all?id=1%2F..%2Fb%3Fc", [("X-Y", "a&b=c d")])
    assert api.asked("/u/1%2F..%2Fb%3Fc?x=a%26b%3Dc%20d&z=1")
    assert get(proxy.address, "/all?id=..").body == b'{"a":null}\n'
    assert len(api.origin.requests) == 1


def test_parts_are_asked_for_at_the_same_time(stage, api):
    def slow(conn, request):
        time.sleep(0.4)
        conn.respond(200, [JSON], b"1")
    api.answers["/slow"] = slow
    proxy = composed(stage, api, {str(i): f"/slow?{i}" for i in range(10)})
    began = time.monotonic()
    assert json.loads(get(proxy.address, "/all").body) == {str(i): 1 for i in range(10)}
    assert time.monotonic() - began < seconds(2)


def test_requests_are_as_if_a_client_had_asked(stage, api):
    other = Api(stage)
    proxy = stage.proxy(routes=[
        {"path": "/all", "use": [{"compose": {"parts": {
            "a": "/a", "own": "/own", "b": "http://other.example/b"}}}]},
        {"path": "/own", "use": [{"respond": {"text": '"mine"', "type": "application/json"}}]},
        {"host": "other.example", "to": "other"}, {"to": "app"}],
        upstreams={"app": {"servers": [api.address]}, "other": {"servers": [other.address]}})
    got = get(proxy.address, "/all", [("Cookie", "id=1"), ("Authorization", "Basic eDp5"), ("Accept-Encoding", "gzip")])
    assert json.loads(got.body)["own"] == "mine"
    mine, theirs = api.asked("/a")[0], other.asked("/b")[0]
    assert mine.get("cookie") == "id=1" and mine.get("authorization") == "Basic eDp5"
    assert mine.get("accept") == "application/json" and mine.get("accept-encoding") == "identity"
    assert not theirs.has("cookie") and not theirs.has("authorization")


def test_fields_that_pass(stage, api):
    proxy = composed(stage, api, {"a": {"url": "/a", "fields": ["x-total", "Set-Cookie"]}, "b": "/b"})
    got = get(proxy.address, "/all")
    assert got.get("x-total") == "7" and got.all("set-cookie") == ["a=1", "b=2"]


def test_a_part_that_fails(stage, api):
    def half(conn, request):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}")
        conn.close()
    api.answers.update({
        "/half": half, "/never": never, "/text": "{'id': 1}", "/nothing": "",
        "/packed": lambda conn, r: conn.respond(200, [JSON, ("Content-Encoding", "gzip")], gzip.compress(b"{}"))})
    bad = {"/none": 502, "/half": 502, "/text": 502, "/nothing": 502, "/packed": 502, "/never": 504}
    routes = [{"to": "app"}]
    for url in bad:
        part = {"url": url, "timeout": "300ms"}
        routes[:0] = [
            {"path": f"/needed{url}", "use": [{"compose": {"parts": {"a": "/b", "x": part}}}]},
            {"path": f"/optional{url}",
             "use": [{"compose": {"parts": {"x": {**part, "optional": True}, "a": "/b"}}}]}]
    proxy = stage.proxy(routes=routes, upstreams={"app": {"servers": [api.address]}})
    for url, status in bad.items():
        assert get(proxy.address, f"/needed{url}").status == status, url
        assert get(proxy.address, f"/optional{url}").body == b'{"x":null,"a":[1, 2.50, 1e999]}\n', url
    proxy.wait_log(len(bad), reason="part_failed")
    assert all("part x" in r["detail"] for r in proxy.log() if r.get("reason") == "part_failed")


def test_a_missing_part_is_not_waited_for_by_the_others(stage, api):
    api.answers["/never"] = never
    proxy = composed(stage, api, {"slow": "/never", "x": "/none"})
    began = time.monotonic()
    assert get(proxy.address, "/all").status == 502
    assert time.monotonic() - began < seconds(2)
    eventually(lambda: all(c.ended for c in api.origin.connections if b"/never" in c.bytes), 5)


def test_parts_are_only_so_long(stage, api):
    api.answers["/long"] = json.dumps("x" * 3000)
    two = {"a": "/long", "b": "/long"}
    assert get(composed(stage, api, two, bytes="4KiB").address, "/all").status == 502
    assert get(composed(stage, api, two, bytes="8KiB").address, "/all").status == 200
    endless = composed(stage, api, {"a": "/endless"}, bytes="1MiB")

    def flood(conn, request):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            conn.send(b"[" * 65536)
    api.answers["/endless"] = flood
    assert get(endless.address, "/all").status == 502


def test_head_and_other_methods(stage, api):
    proxy = composed(stage, api, {"a": "/b"})
    whole = get(proxy.address, "/all")
    head = get(proxy.address, "/all", method="HEAD")
    assert head.status == 200 and head.get("content-length") == whole.get("content-length")
    refused = get(proxy.address, "/all", method="POST", body=b"{}")
    assert refused.status == 405 and refused.get("allow") == "GET, HEAD"


def test_a_document_may_be_a_part_but_a_loop_ends(stage, api):
    parts = {"parts": {"inner": "/inner", "b": "/b"}}
    proxy = stage.proxy(routes=[
        {"path": "/all", "use": [{"compose": parts}]},
        {"path": "/inner", "use": [{"compose": {"parts": {"a": "/a"}}}]},
        {"path": "/loop", "use": [{"compose": {"parts": {str(i): "/loop" for i in range(32)}}}]},
        {"to": "app"}], upstreams={"app": {"servers": [api.address]}})
    assert json.loads(get(proxy.address, "/all").body) == {"inner": {"a": {"id": 1, "name": "Ann"}},
                                                           "b": [1, 2.5, float("inf")]}
    began = time.monotonic()
    assert get(proxy.address, "/loop").status == 502
    assert time.monotonic() - began < seconds(3)


def test_a_client_that_leaves_takes_its_parts_along(stage, api):
    api.answers["/never"] = never
    proxy = composed(stage, api, {str(i): f"/never?{i}" for i in range(5)})
    client = Client(proxy.address)
    client.request("GET", "/all")
    api.origin.wait_requests(5)
    client.reset()
    eventually(lambda: all(c.ended for c in api.origin.connections), 5, "the connections of parts end")
    assert get(proxy.address, "/a").status == 200


def test_clients_that_leave_at_any_time(stage, api):
    def slow(conn, request):
        time.sleep(0.02)
        conn.respond(200, [JSON], b"1")
    api.answers["/slow"] = slow
    proxy = composed(stage, api, {str(i): f"/slow?{i}" for i in range(8)})
    for i in range(volume(40, 20)):
        client = Client(proxy.address)
        client.request("GET", "/all")
        time.sleep(i * 0.001)
        client.reset() if i % 2 else client.close()
    assert get(proxy.address, "/all").status == 200


def test_explain_tells_where_it_would_ask(stage, api):
    proxy = composed(stage, api, {"a": "/u/${query('id')}", "b": "/b"})
    said = command("explain", "-c", proxy.config, "GET", "http://example.com/all?id=7")
    assert said.returncode == 0 and "a from /u/7, b from /b" in said.stdout, said
