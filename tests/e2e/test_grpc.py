# SPDX-License-Identifier: Apache-2.0
"""gRPC end to end, with gRPC's own client and server (python3-grpcio) on both sides of the proxy."""
import json
import queue
import socket
import threading
import time

import grpc
import pytest

from support.certs import Authority
from support.client import get
from support.grpc_server import CHECK, SERVICE, GrpcServer, call, channel, unary
from support.h2 import (CANCEL, DATA, END_HEADERS, END_STREAM, H2, HEADERS, INTERNAL_ERROR, NO_ERROR, PING,
                        PREFACE, REFUSED_STREAM, RST_STREAM, SETTINGS)
from support.maitred import sanitized
from support.wait import eventually, seconds, volume

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
H2C = {"http": "http2"}
MIB = 1 << 20
NAME = "example.test"
HEALTH = {"probe": "grpc", "every": "100ms", "timeout": "5s", "rise": 1, "fall": 1}


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def clear(module_stage):
    """In clear on both sides."""
    server = module_stage.use(GrpcServer("clear"))
    proxy = module_stage.proxy(server, upstream=H2C)
    proxy.server, proxy.channel = server, lambda: channel(proxy.address)
    return proxy


@pytest.fixture(scope="module")
def secure(module_stage, ca):
    """TLS on both sides."""
    certificate = ca.issue("site", [NAME])
    server = module_stage.use(GrpcServer("secure", tls=certificate))
    proxy = module_stage.proxy(
        server, upstream={**H2C, "tls": {"ca": ca.root_path, "name": NAME}},
        listener={"tls": {"certificates": {"certificate": certificate.chain, "key": certificate.key}}})
    proxy.server, proxy.channel = server, lambda: channel(proxy.address, ca.root_path, NAME)
    return proxy


@pytest.fixture(params=["clear", "secure"])
def path(request):
    """A proxy with its server, and how to get there."""
    return request.getfixturevalue(request.param)


def ended(stream):
    """(status, details, trailing metadata) of a stream that is read to its end."""
    try:
        for _ in stream:
            pass
    except grpc.RpcError:
        pass
    return stream.code(), stream.details(), dict(stream.trailing_metadata() or ())


class Talk:
    """A call with streams both ways, one message at a time."""

    def __init__(self, on, method="Chat", timeout=20):
        self.queue = queue.Queue()
        self.stream = on.stream_stream(SERVICE + method)(iter(self.queue.get, None), timeout=seconds(timeout))

    def say(self, message):
        self.queue.put(message)
        return next(self.stream)

    def finish(self):
        self.queue.put(None)
        return ended(self.stream)


def message(data=b""):
    return b"\0" + len(data).to_bytes(4, "big") + data


class Puppet:
    """
    A server of HTTP/2 that plays one trick with every request: play(say, number, stream) is called when its head
    has come, and say(kind, flags, stream, payload) sends a frame; if it gives True, that was the last one.
    """

    def __init__(self, play):
        self.play, self.heads, self.listener = play, 0, socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        def say(*frame):
            sock.sendall(H2.bytes_of(*frame))

        with sock, sock.makefile("rb") as file:
            file.read(len(PREFACE))
            say(SETTINGS)
            while len(head := file.read(9)) == 9:
                payload = file.read(int.from_bytes(head[:3], "big"))
                if head[3] == SETTINGS and not head[4]:
                    say(SETTINGS, 1)
                elif head[3] == PING and not head[4]:
                    say(PING, 1, 0, payload)
                elif head[3] == HEADERS:
                    self.heads += 1
                    if self.play(say, self.heads, int.from_bytes(head[5:], "big")):
                        sock.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()


# :status 200 and content-type, in HPACK by hand.
GRPC_HEAD = b"\x88\x00\x0ccontent-type\x10application/grpc"


def silent(say, number, stream):
    """No answer, and no clock."""


def refusing(say, number, stream):
    say(RST_STREAM, 0, stream, REFUSED_STREAM.to_bytes(4, "big"))


def beginning(say, number, stream):
    """A whole message, then nothing."""
    say(HEADERS, END_HEADERS, stream, GRPC_HEAD)
    say(DATA, 0, stream, message(b"whole"))


def stumbling(say, number, stream):
    """The same, and the end of the connection."""
    beginning(say, number, stream)
    return True


def halving(say, number, stream):
    """The same in the middle of a message."""
    beginning(say, number, stream)
    say(DATA, 0, stream, message(b"half")[:7])
    return True


def blundering(say, number, stream):
    """The same, and a frame that must not be."""
    beginning(say, number, stream)
    say(HEADERS, END_HEADERS, stream, b"\x88")


# ---------------------------------------------------------------- the four kinds of calls

def test_unary(path):
    with path.channel() as on:
        done = unary(on, "Unary", b"hello")
    assert (done.code, done.response) == (OK, b"hello")
    assert done.get("behind") == path.server.name and done.get("bytes-bin") == b"\x00\xff\x01"


def test_metadata_goes_both_ways(path):
    sent = [("x-one", "1"), ("x-one", "2"), ("x-bin", b"\x00\x01\xff"), ("authorization", "Bearer secret")]
    with path.channel() as on:
        told = unary(on, "Metadata", metadata=sent).told
        front = unary(on, "Unary").get("by", "head")
    assert [v for k, v in told if k == "x-one"] == ["1", "2"]
    assert ["x-bin", "0001ff"] in told and ["authorization", "Bearer secret"] in told
    assert front == path.server.name


def test_client_streaming(path):
    with path.channel() as on:
        answer = on.stream_unary(SERVICE + "Collect")(iter([b"x" * 1000] * 200), timeout=seconds(20))
    assert answer == b'{"messages": 200, "bytes": 200000}'


def test_server_streaming(path):
    with path.channel() as on:
        messages = list(on.unary_stream(SERVICE + "Count")(b"500 100", timeout=seconds(20)))
    assert len(messages) == 500 and messages[499] == b"499 ".ljust(100, b".")


def test_messages_flow_each_way_while_both_are_open(path):
    """Each question waits for its answer: whoever kept a message back would stop it."""
    with path.channel() as on:
        talk = Talk(on)
        for i in range(50):
            assert talk.say(b"m%d" % i) == b"M%d" % i
        assert talk.finish()[0] == OK


def test_an_answer_begins_before_the_request_ends(path):
    with path.channel() as on:
        talk = Talk(on)
        assert talk.say(b"one") == b"ONE"
        began = time.monotonic()
        assert talk.say(b"two") == b"TWO"
        assert time.monotonic() - began < 1
        talk.stream.cancel()


def test_large_messages(path):
    data = bytes(range(256)) * (3 * MIB // 256)
    with path.channel() as on:
        assert unary(on, "Unary", data, timeout=30).response == data


def test_an_empty_message(path):
    with path.channel() as on:
        assert unary(on, "Unary", b"").response == b""


def test_many_at_once_over_one_connection(path):
    n = volume(400)
    with path.channel() as on:
        stub = on.unary_unary(SERVICE + "Unary")
        calls = [stub.future(b"%d" % i, timeout=seconds(30)) for i in range(n)]
        assert [c.result() for c in calls] == [b"%d" % i for i in range(n)]


def test_a_slow_reader_costs_no_memory(clear):
    """64 MiB that nobody reads stay where they are."""
    if sanitized():
        pytest.skip("figures of memory mean nothing under a sanitizer")
    with clear.channel() as on:
        unary(on, "Unary")
        before = clear.rss_kib()
        streams = [on.unary_stream(SERVICE + "Count")(b"256 65536", timeout=seconds(30)) for _ in range(4)]
        firsts = [next(stream) for stream in streams]
        time.sleep(1)
        assert len(firsts) == 4 and clear.rss_kib() - before < 8 * 1024
        assert all(sum(1 for _ in stream) == 255 for stream in streams)


# ---------------------------------------------------------------- how calls end

@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c != OK])
def test_a_status_without_an_answer(path, code):
    """Trailers-only: the server answers with one head."""
    with path.channel() as on:
        done = unary(on, "Fail", b"%d no such thing" % code.value[0])
    assert (done.code, done.details, done.get("behind")) == (code, "no such thing", path.server.name)


def test_details_with_any_character(path):
    details = "größer als 100 % \n\t\u263a"
    with path.channel() as on:
        assert unary(on, "Fail", b"9 " + details.encode()).details == details


def test_a_status_behind_messages(path):
    with path.channel() as on:
        stream = on.unary_stream(SERVICE + "FailLate")(b"", timeout=seconds(10))
        assert next(stream) == b"one"
        code, details, trailers = ended(stream)
    assert (code, details) == (grpc.StatusCode.DATA_LOSS, "half of it")
    assert trailers["behind"] == path.server.name


@pytest.mark.parametrize("again", range(5))
def test_a_server_that_ends_a_call_before_its_client_does(path, again):
    """The status comes through while the client still sends: in the head, and behind a message."""
    more = threading.Event()

    def endless():
        yield b"one"
        more.wait(seconds(10))

    with path.channel() as on:
        done = on.stream_unary(SERVICE + "Reject").future(endless(), timeout=seconds(10))
        assert (done.code(), done.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        talk = on.stream_stream(SERVICE + "First")(endless(), timeout=seconds(10))
        assert list(talk) == [b"ONE"] and talk.code() == OK
        more.set()


def test_an_early_answer_is_whole_and_then_the_client_is_told_to_stop(clear):
    """RST_STREAM with NO_ERROR, behind the answer (RFC 9113 8.1)."""
    with H2(clear.address) as h2:
        for stream, method in enumerate(["Reject", "First"] * 20):
            stream = 2 * stream + 1
            h2.request(stream, "POST", SERVICE + method, end=False, body=message(b"one"),
                       fields=[("content-type", "application/grpc"), ("te", "trailers")])
            answer = h2.response(stream)
            assert ("grpc-status", "8" if method == "Reject" else "0") in (answer.trailers or answer.head)
            assert answer.ended
            assert h2.until(lambda f, n=stream: f.kind == RST_STREAM and f.stream == n).code == NO_ERROR


def test_large_metadata(path):
    with path.channel() as on:
        done = unary(on, "Large", b"7000")
        told = unary(on, "Metadata", metadata=[("x-large", "l" * 7000)]).told
    assert done.code == OK and done.get("front", "head") == "f" * 7000 and done.get("behind") == "b" * 7000
    assert ["x-large", "l" * 7000] in told


def test_metadata_above_the_limit(clear):
    with clear.channel() as on:
        front = unary(on, "Large", b"20000")
        back = unary(on, "Metadata", metadata=[("x-large", "l" * 20000)])
        assert unary(on, "Unary", b"still").response == b"still"
    assert (front.code, front.details) == (UNAVAILABLE, "the server's fields are larger than the limit")
    assert back.code == grpc.StatusCode.UNKNOWN and back.details == "the request's fields are larger than the limit"


def test_cancelling_a_call_reaches_the_server(path):
    before = path.server.cancelled("Sleep")
    with path.channel() as on:
        future = on.unary_unary(SERVICE + "Sleep").future(b"20", timeout=seconds(20))
        calls = path.server.calls("Sleep")
        eventually(lambda: path.server.calls("Sleep") >= max(calls, 1), 5)
        time.sleep(0.1)
        future.cancel()
        eventually(lambda: path.server.cancelled("Sleep") == before + 1, 5, "the server is told")


def test_cancelling_a_stream_reaches_the_server(path):
    before = path.server.cancelled("Forever")
    with path.channel() as on:
        stream = on.unary_stream(SERVICE + "Forever")(b"", timeout=seconds(20))
        next(stream), next(stream)
        stream.cancel()
        eventually(lambda: path.server.cancelled("Forever") == before + 1, 5, "the server is told")
        assert unary(on, "Unary", b"on").response == b"on"


def test_a_client_that_dies_is_a_cancelled_call(clear):
    before = clear.server.cancelled("Forever")
    on = clear.channel()
    stream = on.unary_stream(SERVICE + "Forever")(b"", timeout=seconds(20))
    next(stream)
    on.close()
    eventually(lambda: clear.server.cancelled("Forever") == before + 1, 5, "the server is told")


# ---------------------------------------------------------------- deadlines

def test_the_server_knows_the_deadline(path):
    with path.channel() as on:
        assert unary(on, "Sleep", b"0", timeout=7).code == OK
    assert seconds(7) - 3 < path.server.say()["left"] <= seconds(7) + 0.5


def test_a_client_stops_waiting(path):
    before = path.server.cancelled("Sleep")
    with path.channel() as on:
        assert unary(on, "Sleep", b"20", timeout=0.3).code == DEADLINE_EXCEEDED
    eventually(lambda: path.server.cancelled("Sleep") == before + 1, 5, "the server is told")


def ask(h2, method, data=b"", *more, stream=1, end=True):
    """A call by a client that has no clock of its own."""
    h2.request(stream, "POST", SERVICE + method, end=end, body=message(data),
               fields=[("content-type", "application/grpc"), ("te", "trailers"), *more])
    return h2.response(stream)


def test_the_deadline_ends_a_call_that_has_no_answer(stage):
    proxy = stage.proxy(stage.use(Puppet(silent)), upstream=H2C)
    with H2(proxy.address) as h2:
        began = time.monotonic()
        answer = ask(h2, "Sleep", b"10", ("grpc-timeout", "400m"))
        took = time.monotonic() - began
    assert (answer.status, answer.get("grpc-status"), answer.ended) == (200, "4", True)
    assert answer.get("grpc-message") == "the exchange took longer than its limit"
    assert 0.35 < took < seconds(3)
    record = proxy.wait_log(reason="total_timeout", limit="grpc-timeout")
    assert record["status"] == 200 and record["target"] == SERVICE + "Sleep"


def test_the_deadline_ends_an_answer_that_has_begun(stage):
    proxy = stage.proxy(stage.use(Puppet(beginning)), upstream=H2C)
    with H2(proxy.address) as h2:
        began = time.monotonic()
        answer = ask(h2, "Forever", b"", ("grpc-timeout", "400m"))
        took = time.monotonic() - began
    assert answer.body.startswith(message(b"whole")) and answer.ended and answer.reset is None
    assert ("grpc-status", "4") in answer.trailers
    assert 0.35 < took < seconds(3)
    assert proxy.wait_log(reason="total_timeout", limit="grpc-timeout")["status"] == 200


def test_the_deadline_ends_a_request_that_never_does(clear):
    with H2(clear.address) as h2:
        answer = ask(h2, "Collect", b"one", ("grpc-timeout", "400m"), end=False)
    assert (answer.status, answer.get("grpc-status")) == (200, "4")


def test_the_server_hears_of_the_deadline(clear):
    before = clear.server.cancelled("Forever")
    with H2(clear.address) as h2:
        assert ("grpc-status", "4") in ask(h2, "Forever", b"", ("grpc-timeout", "300m")).trailers
    eventually(lambda: clear.server.cancelled("Forever") == before + 1, 5, "the server is told")


def test_the_smaller_limit_counts(stage):
    proxy = stage.proxy(stage.use(Puppet(silent)), upstream=H2C, timeouts={"total": "400ms"})
    with H2(proxy.address) as h2:
        for stream, limit in (1, "20S"), (3, None), (5, "100m"):
            more = [("grpc-timeout", limit)] if limit else []
            assert ask(h2, "Sleep", b"10", *more, stream=stream).get("grpc-status") == "4"
    assert proxy.wait_log(2, reason="total_timeout")["limit"].startswith("timeouts.total at ")
    assert proxy.wait_log(limit="grpc-timeout")["reason"] == "total_timeout"


def test_a_timeout_that_is_none_is_passed_on(clear):
    with H2(clear.address) as h2:
        assert ask(h2, "Sleep", b"0.2", ("grpc-timeout", "1x")).status == 200


def test_who_waits_too_short_does_servers_no_harm(stage, pair):
    """No failure of theirs: else any client could have servers ejected, or their connections given up."""
    proxy = stage.proxy(*pair, upstream=H2C, workers=1, routes=[{"path": "/status", "use": ["status"]}, {"to": "app"}])
    with channel(proxy.address) as on:
        assert went_to(on, 4) == {"a", "b"}
    for limit in ("1u", "3m"):
        with H2(proxy.address) as h2:
            for stream in range(1, 121, 2):
                assert ask(h2, "Sleep", b"0.02", ("grpc-timeout", limit), stream=stream).get("grpc-status") == "4"
    told = json.loads(get(proxy.address, "/status").body)["upstreams"][0]
    assert [(s["state"], s["usable"], s["failures"], s["connections_made"]) for s in told["servers"]] \
        == [("up", True, 0, 1)] * 2
    with channel(proxy.address) as on:
        assert went_to(on, 4) == {"a", "b"}


def test_a_deadline_that_ends_connecting_says_nothing_of_the_server(stage, deaf):
    proxy = stage.proxy(deaf, upstream=H2C, timeouts={"connect": "1s"},
                        routes=[{"path": "/status", "use": ["status"]}, {"to": "app"}])
    with H2(proxy.address) as h2:
        for stream in range(1, 21, 2):
            assert ask(h2, "Unary", b"", ("grpc-timeout", "5m"), stream=stream).get("grpc-status") == "4"
    server = json.loads(get(proxy.address, "/status").body)["upstreams"][0]["servers"][0]
    assert (server["usable"], server["failures"]) == (True, 0)
    assert proxy.wait_log(reason="total_timeout", limit="grpc-timeout")


def test_a_deadline_ends_connecting(stage, deaf):
    proxy = stage.proxy(deaf, upstream=H2C, timeouts={"connect": "20s"})
    with H2(proxy.address) as h2:
        began = time.monotonic()
        assert ask(h2, "Unary", b"", ("grpc-timeout", "300m")).get("grpc-status") == "4"
        assert time.monotonic() - began < seconds(3)


# ---------------------------------------------------------------- what the proxy says itself

def test_no_server(stage):
    proxy = stage.proxy(GONE, upstream=H2C)
    done = call(proxy.address, "Unary")
    assert (done.code, done.details) == (UNAVAILABLE, "the server refused the connection")
    assert "connection_refused" in done.get("proxy-status")
    assert proxy.wait_log(reason="connect_refused")["status"] == 200


GONE = "127.0.0.1:9"


def test_no_route(stage):
    proxy = stage.proxy(GONE, upstream=H2C, route={"path": "/other.Service/"})
    done = call(proxy.address, "Unary")
    assert (done.code, done.details) == (grpc.StatusCode.UNIMPLEMENTED, "no route matches the request")


def test_a_refusal_while_the_client_still_sends(stage):
    proxy = stage.proxy(GONE, upstream=H2C, route={"path": "/other.Service/"})
    with H2(proxy.address) as h2:
        for stream in range(1, 41, 2):
            answer = ask(h2, "Unary", b"", stream=stream, end=False)
            assert (answer.get("grpc-status"), answer.ended) == ("12", True)
            assert h2.until(lambda f, n=stream: f.kind == RST_STREAM and f.stream == n).code == NO_ERROR


def test_not_allowed(stage):
    proxy = stage.proxy(GONE, upstream=H2C, use=[{"ip_filter": {"deny": ["127.0.0.0/8"]}}])
    assert call(proxy.address, "Unary").code == grpc.StatusCode.PERMISSION_DENIED


def test_a_page_of_the_route_is_not_for_grpc(stage):
    proxy = stage.proxy(GONE, upstream=H2C, route={"errors": {"5xx": {"text": "sorry"}}})
    assert call(proxy.address, "Unary").code == UNAVAILABLE
    with H2(proxy.address) as h2:
        h2.request(1)
        assert h2.response(1).body == b"sorry" and h2.response(1).status == 502


def test_a_client_of_http1_hears_it_too(clear):
    """Without HTTP/2 there is no gRPC, but whoever says that it speaks it is answered so."""
    proxy_answer = ask_http1(clear.address, "/nowhere/at/all")
    assert b"grpc-status: 12\r\n" in proxy_answer


def ask_http1(address, target):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds(10)) as sock:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nTE: trailers\r\n"
                     b"Connection: close, TE\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0" % target.encode())
        answer = b""
        while more := sock.recv(65536):
            answer += more
    return answer


# ---------------------------------------------------------------- several servers

@pytest.fixture
def pair(stage):
    return stage.use(GrpcServer("a")), stage.use(GrpcServer("b"))


def test_calls_are_spread_not_connections(stage, pair):
    proxy = stage.proxy(*pair, upstream=H2C, workers=1)
    with channel(proxy.address) as on:
        for _ in range(40):
            assert unary(on, "Unary").code == OK
    assert [server.calls("Unary") for server in pair] == [20, 20]


def test_what_a_server_refuses_another_one_gets(stage):
    """REFUSED_STREAM: not looked at, so that even a POST may be sent again."""
    server, refuser = stage.use(GrpcServer("a")), stage.use(Puppet(refusing))
    proxy = stage.proxy(refuser, server, upstream=H2C, workers=1)
    with channel(proxy.address) as on:
        for i in range(20):
            assert unary(on, "Unary", b"%d" % i).response == b"%d" % i
    assert server.calls("Unary") == 20 and refuser.heads > 0


def test_what_all_servers_refuse_is_unavailable(stage):
    proxy = stage.proxy(stage.use(Puppet(refusing)), upstream=H2C)
    assert call(proxy.address, "Unary").code == UNAVAILABLE


def test_a_server_that_dies_in_the_middle_of_a_stream(stage, pair):
    proxy = stage.proxy(*pair, upstream=H2C, workers=1)
    with channel(proxy.address) as on:
        stream = on.unary_stream(SERVICE + "Forever")(b"", timeout=seconds(20))
        name = next(stream).decode()
        next(server for server in pair if server.name == name).kill()
        code, details, _ = ended(stream)
        assert (code, details) == (UNAVAILABLE, "the server's answer broke off")
        for _ in range(10):
            assert unary(on, "Unary").get("behind") != name
    assert proxy.wait_log(reason="response_incomplete")["target"] == SERVICE + "Forever"


@pytest.mark.parametrize("play, code", [(stumbling, UNAVAILABLE), (blundering, grpc.StatusCode.INTERNAL)])
def test_an_answer_that_breaks_off_between_messages(stage, play, code):
    """What has come is passed on, and a status behind it."""
    proxy = stage.proxy(stage.use(Puppet(play)), upstream=H2C)
    with channel(proxy.address) as on:
        stream = on.unary_stream(SERVICE + "Count")(b"", timeout=seconds(10))
        assert next(stream) == b"whole"
        assert ended(stream)[0] == code


def test_an_answer_that_breaks_off_in_a_message(stage):
    """The client of gRPC would wait for the rest if the stream were not reset."""
    proxy = stage.proxy(stage.use(Puppet(halving)), upstream=H2C)
    with H2(proxy.address) as h2:
        answer = ask(h2, "Unary")
    assert answer.reset == INTERNAL_ERROR and not answer.trailers and answer.body.endswith(b"ha")
    assert call(proxy.address, "Unary").code == grpc.StatusCode.INTERNAL


def test_a_server_that_dies_with_many_streams(stage, pair):
    """Every call gets a status; those that follow are served by the other one."""
    proxy = stage.proxy(*pair, upstream=H2C)
    with channel(proxy.address) as on:
        streams = [on.unary_stream(SERVICE + "Forever")(b"", timeout=seconds(20)) for _ in range(40)]
        names = [next(stream) for stream in streams]
        pair[0].kill()
        for stream, name in zip(streams, names):
            if name == b"a":
                assert ended(stream)[0] == UNAVAILABLE
            else:
                assert next(stream) == b"b"
                stream.cancel()
        assert names.count(b"a") == 20
        assert all(unary(on, "Unary").code == OK for _ in range(20))


def test_a_server_that_comes_back(stage):
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream=H2C)
    with channel(proxy.address) as on:
        assert unary(on, "Unary").code == OK
        server.kill()
        assert unary(on, "Unary").code == UNAVAILABLE
        server.start()
        eventually(lambda: unary(on, "Unary").code == OK, 5)


# ---------------------------------------------------------------- health

def went_to(on, n=20):
    return {unary(on, "Unary").get("behind") for _ in range(n)}


@pytest.mark.parametrize("service", [None, "shop.Cart"])
def test_a_server_that_does_not_serve_gets_no_calls(stage, pair, service):
    a, b = pair
    wish = {"service": service} if service else {}
    for server in pair:
        server.say(health="SERVING", **wish)
    proxy = stage.proxy(a, b, upstream={**H2C, "health": {**HEALTH, **wish}})
    with channel(proxy.address) as on:
        eventually(lambda: went_to(on) == {"a", "b"}, 10)
        a.say(health="NOT_SERVING", **wish)
        eventually(lambda: went_to(on) == {"b"}, 10)
        assert "NOT_SERVING" in proxy.stderr
        a.say(health="SERVING", **wish)
        eventually(lambda: went_to(on) == {"a", "b"}, 10)
        assert a.calls("Check") > 2


def test_a_service_that_nobody_knows_is_not_healthy(stage):
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream={**H2C, "health": {**HEALTH, "service": "shop.Cart"}})
    eventually(lambda: "grpc-status 5: unknown service" in proxy.stderr, 10)
    assert call(proxy.address, "Unary").details == "no server is available"


def test_a_server_without_grpc_is_not_healthy(stage):
    origin = stage.origin(lambda conn: (conn.respond(400), conn.wait_end()))
    proxy = stage.proxy(origin, upstream={"health": HEALTH})
    eventually(lambda: "does not speak HTTP/2" in proxy.stderr, 10)


def test_health_over_tls(stage, ca):
    server = stage.use(GrpcServer("a", tls=ca.issue("inside", [NAME])))
    proxy = stage.proxy(server, upstream={**H2C, "tls": {"ca": ca.root_path, "name": NAME}, "health": HEALTH})
    eventually(lambda: server.calls("Check") > 1, 10)
    assert call(proxy.address, "Unary").code == OK
    server.say(health="NOT_SERVING")
    eventually(lambda: call(proxy.address, "Unary").code == UNAVAILABLE, 10)


def test_the_health_service_is_passed_on_like_any_other(clear):
    with clear.channel() as on:
        assert unary(on, "Check", service=CHECK.removesuffix("Check")).response == b"\x08\x01"


# ---------------------------------------------------------------- reload and the end

def test_streams_go_on_through_a_reload(stage):
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream=H2C)
    with channel(proxy.address) as on:
        talk = Talk(on)
        assert talk.say(b"before") == b"BEFORE"
        for _ in range(3):
            proxy.reload()
            assert talk.say(b"after") == b"AFTER"
            assert unary(on, "Unary", b"new").response == b"new"
        assert talk.finish()[0] == OK


def test_a_stream_ends_well_when_the_proxy_is_stopped(stage):
    server = stage.use(GrpcServer("a"))
    proxy = stage.proxy(server, upstream=H2C, process={"drain": "10s"})
    with channel(proxy.address) as on:
        talk = Talk(on)
        assert talk.say(b"before") == b"BEFORE"
        proxy.signal(15)
        time.sleep(0.3)
        assert talk.say(b"while") == b"WHILE"
        assert talk.finish()[0] == OK
        proxy.finish()


# ---------------------------------------------------------------- frames

def test_the_head_leaves_before_the_first_message(clear):
    """A client that waits for the server's metadata before it says anything must not wait for ever."""
    with H2(clear.address) as h2:
        h2.headers(1, h2.fields("POST", SERVICE + "Forever", more=[("content-type", "application/grpc"),
                                                                   ("te", "trailers")]), end=False)
        h2.data(1, message(), end=True)
        assert h2.head(1).status == 200
        h2.reset(1, CANCEL)
        assert h2.ping()


def test_trailers_only_is_one_frame(clear):
    with H2(clear.address) as h2:
        answer = ask(h2, "Fail", b"5 nothing")
        frames = [f for f in h2.frames if f.stream == 1]
    assert answer.get("grpc-status") == "5"
    assert [f.kind for f in frames] == [HEADERS] and frames[0].flags & END_STREAM and frames[0].flags & END_HEADERS
