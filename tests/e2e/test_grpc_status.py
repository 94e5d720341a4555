# SPDX-License-Identifier: Apache-2.0
"""What gRPC's own status means to the proxy: to health, to the access log, to expressions."""
import pytest

from support.client import get
from support.fleet import states, with_status
from support.grpc_server import GrpcServer, call, channel, unary
from support.maitred import Maitred, site
from support.wait import eventually

H2C = {"http": "http2"}
EJECT = {"passive": {"errors": 3, "eject": "30s"}}


@pytest.fixture(scope="module")
def servers(module_stage):
    return [module_stage.use(GrpcServer(name)) for name in "ab"]


def front(stage, servers, **upstream):
    return stage.proxy(*servers, upstream={**H2C, **upstream}, routes=with_status(), workers=1)


def fail(proxy, n, data, method="Fail"):
    with channel(proxy.address) as on:
        for _ in range(n):
            if method == "Fail":
                unary(on, method, data)
            else:
                with pytest.raises(Exception):
                    list(on.unary_stream("/test.Service/" + method)(data, timeout=10))


# ---------------------------------------------------------------- health

@pytest.mark.parametrize("status", [2, 13, 14, 15, 4])
def test_a_server_that_fails_is_ejected(stage, servers, status):
    proxy = front(stage, servers, **EJECT)
    fail(proxy, 12, b"%d it" % status)
    eventually(lambda: sorted(states(proxy, *servers)) == ["ejected", "up"])


def test_a_status_behind_messages_counts_too(stage, servers):
    proxy = front(stage, servers, **EJECT)
    fail(proxy, 12, b"", "FailLate")
    eventually(lambda: sorted(states(proxy, *servers)) == ["ejected", "up"])


@pytest.mark.parametrize("status", [1, 3, 5, 7, 8, 9, 12, 16])
def test_a_call_that_is_wrong_is_no_servers_fault(stage, servers, status):
    proxy = front(stage, servers, **EJECT)
    fail(proxy, 12, b"%d you" % status)
    assert states(proxy, *servers) == ["up", "up"]
    assert call(proxy.address, "Unary", b"x").response == b"x"


def test_the_clients_own_deadline_is_not_either(stage, servers):
    proxy = front(stage, servers, **EJECT)
    with channel(proxy.address) as on:
        for _ in range(12):
            unary(on, "Sleep", b"5", timeout=0.05)
    assert states(proxy, *servers) == ["up", "up"]


# ---------------------------------------------------------------- telling

def test_the_log_knows_it(stage, servers):
    proxy = front(stage, servers)
    call(proxy.address, "Unary", b"x")
    call(proxy.address, "Fail", b"5 nothing")
    with channel(proxy.address) as on, pytest.raises(Exception):
        list(on.unary_stream("/test.Service/FailLate")(b"", timeout=10))
    assert [proxy.wait_log(n)["grpc_status"] for n in (1, 2, 3)] == [0, 5, 15]
    assert {r["status"] for r in proxy.log()} == {200}


def test_of_our_own_answers_as_well(stage, servers):
    proxy = stage.proxy(routes=[{"use": [{"respond": {"status": 403}}]}])
    nobody = stage.proxy("127.0.0.1:1", upstream=H2C)
    call(nobody.address, "Unary", b"x")
    assert nobody.wait_log()["grpc_status"] == 14
    assert get(proxy.address).status == 403 and "grpc_status" not in proxy.wait_log()


def test_a_condition_may_ask_for_it(stage, servers):
    text = site(*servers, upstream=H2C, log=False, access_log=[
        {"to": "@dir@/access.json", "format": "json", "when": "grpc_status == 14 || grpc_status == -1"}])
    proxy = stage.use(Maitred(text, workers=1))
    for data in (b"5 x", b"14 x", b"3 x"):
        call(proxy.address, "Fail", data)
    get(proxy.address)
    records = [proxy.wait_log(n) for n in (1, 2)]
    assert [r.get("grpc_status") for r in records] == [14, None] and len(proxy.log()) == 2
