# SPDX-License-Identifier: Apache-2.0
"""Who the client is: X-Forwarded-*, Forwarded and Via, from strangers and from trusted proxies."""
import re

import pytest

from support.client import get
from support.origin import echoed
from support.ports import free_port

FORGED = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "7.7.7.7"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "666"), ("Forwarded", "for=6.6.6.6;proto=https")]


def forwarded(told):
    """The elements of Forwarded (RFC 7239), each as a dictionary."""
    elements = ",".join(told["by_name"]["forwarded"]).split(",")
    return [{k.strip().lower(): v.strip('"') for k, v in (pair.split("=", 1) for pair in e.split(";"))} for e in elements]


@pytest.fixture(scope="module")
def stranger(module_stage):
    return module_stage.proxy(module_stage.origin())


@pytest.fixture(scope="module")
def trusting(module_stage):
    return module_stage.proxy(module_stage.origin(), listener={"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]})


@pytest.mark.parametrize("fields", [[], FORGED], ids=["plain", "forged"])
def test_set_from_scratch_for_strangers(stranger, fields):
    told = echoed(get(stranger.address, fields=fields, host=f"www.example:{stranger.port}"))
    names = told["by_name"]
    assert names["x-forwarded-for"] == ["127.0.0.1"]
    assert names["x-forwarded-proto"] == ["http"]
    assert names["x-forwarded-host"] == [f"www.example:{stranger.port}"]
    assert names["x-forwarded-port"] == [str(stranger.port)]
    assert len(forwarded(told)) == 1
    element = forwarded(told)[0]
    assert (element["for"], element["proto"], element["host"]) == ("127.0.0.1", "http", f"www.example:{stranger.port}")
    assert "6.6.6.6" not in str(told) and "evil" not in str(told)


def test_the_log_names_the_peer(stranger):
    get(stranger.address, "/forged", FORGED)
    record = stranger.wait_log(target="/forged")
    assert (record["client"], record["scheme"]) == ("127.0.0.1", "http")


def test_each_client_is_told_apart(stranger):
    for source in ("127.0.0.5", "127.0.0.6"):
        told = echoed(get(stranger.address, source=source))
        assert told["by_name"]["x-forwarded-for"] == [source] and forwarded(told)[0]["for"] == source


def test_appended_to_for_trusted_proxies(trusting):
    fields = [("X-Forwarded-For", "192.0.2.1, 10.1.1.1"), ("X-Forwarded-Proto", "https"),
              ("X-Forwarded-Host", "www.example"), ("X-Forwarded-Port", "443"), ("Forwarded", "for=192.0.2.1;proto=https")]
    told = echoed(get(trusting.address, "/trusted", fields))
    names = told["by_name"]
    assert re.split(r", *", ",".join(names["x-forwarded-for"])) == ["192.0.2.1", "10.1.1.1", "127.0.0.1"]
    assert (names["x-forwarded-proto"], names["x-forwarded-host"], names["x-forwarded-port"]) == (
        ["https"], ["www.example"], ["443"])
    assert [e["for"] for e in forwarded(told)] == ["192.0.2.1", "127.0.0.1"]
    record = trusting.wait_log(target="/trusted")
    assert (record["client"], record["scheme"]) == ("192.0.2.1", "https")


def test_trusted_proxies_that_say_nothing(trusting):
    names = echoed(get(trusting.address))["by_name"]
    assert (names["x-forwarded-for"], names["x-forwarded-proto"]) == (["127.0.0.1"], ["http"])


def test_the_client_is_the_last_one_that_is_not_trusted(trusting):
    """What lies before the first stranger, seen from us, was written by that stranger."""
    get(trusting.address, "/chain", [("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.0.0.1, 10.0.0.2")])
    assert trusting.wait_log(target="/chain")["client"] == "192.0.2.7"


def test_several_fields_are_one_list(trusting):
    get(trusting.address, "/fields", [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.8, 10.0.0.1")])
    assert trusting.wait_log(target="/fields")["client"] == "192.0.2.8"


@pytest.mark.parametrize("number, junk", enumerate(["unknown", "not an address", "1.2.3.4.5", ",,", "10.0.0.1, <script>"]))
def test_junk_in_the_list_is_no_client(trusting, number, junk):
    target = f"/junk{number}"
    assert get(trusting.address, target, [("X-Forwarded-For", junk)]).status == 200
    assert trusting.wait_log(target=target)["client"] in ("127.0.0.1", "10.0.0.1")


def test_ipv6_clients(stage):
    port = free_port()
    stage.run("listeners: [{address: '[::1]:%d'}]\nroutes: [{to: 'http://@origin@'}]\n" % port, origin=stage.origin())
    told = echoed(get(f"[::1]:{port}"))
    assert told["by_name"]["x-forwarded-for"] == ["::1"]
    assert 'for="[::1]"' in told["by_name"]["forwarded"][0]  # RFC 7239 6: in brackets and quotes


def test_ipv4_clients_of_a_listener_on_all_addresses(stage):
    """No ::ffff: prefix leaks out of the dual-stack socket."""
    port = free_port()
    stage.run("listeners: [{address: ':%d'}]\nroutes: [{to: 'http://@origin@'}]\n" % port, origin=stage.origin())
    assert echoed(get(f"127.0.0.1:{port}"))["by_name"]["x-forwarded-for"] == ["127.0.0.1"]


def test_hosts_are_quoted_where_they_must_be(stranger):
    told = echoed(get(stranger.address, host="h:8080"))
    assert 'host="h:8080"' in told["by_name"]["forwarded"][0]


def test_connection_cannot_take_our_fields_away(stranger):
    """`Connection: X-Forwarded-For` speaks of the client's own field, which is gone already."""
    told = echoed(get(stranger.address, fields=[("Connection", "close, X-Forwarded-For, Forwarded, Via, X-Forwarded-Host")]))
    assert told["by_name"]["x-forwarded-for"] == ["127.0.0.1"] and "forwarded" in told["by_name"]
