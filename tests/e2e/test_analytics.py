# SPDX-License-Identifier: Apache-2.0
"""Analytics through the API: what was asked is what is told, through reloads, restarts and trouble with the disk."""
import concurrent.futures
import os
import re
import sqlite3
import subprocess
import time
from urllib.parse import urlencode

import pytest

from support import mmdb
from support.admin import Admin, admin
from support.client import Client, exchange_bytes, get
from support.maitred import ROOT, Maitred, site
from support.origin import serve_forever
from support.wait import eventually

GUIDE = os.path.join(ROOT, "docs", "guide", "analytics.md")
LISTS = ["paths", "clients", "agents", "referrers", "hosts", "routes", "upstreams", "statuses", "countries", "threats",
         "methods", "versions"]
LOCAL = {"trusted_proxies": ["127.0.0.0/8"]}


def analysed(*servers, analytics=True, state="@dir@/state", **more):
    return site(*servers, admin={**admin(), "state": state}, analytics=analytics, **more)


def api_of(proxy):
    return Admin(f"{proxy.dir}/admin.sock")


def ask(proxy, **query):
    return api_of(proxy).get("/v1/analytics" + ("?" + urlencode(query) if query else "")).good


def series(proxy, **query):
    return api_of(proxy).get("/v1/analytics/series?" + urlencode(query)).good


def told(answer, what):
    """A list as {name: requests}."""
    return {item["name"]: item["requests"] for item in answer[what]["items"]}


def wait_for(proxy, requests, **query):
    """The answer that has so many requests: records travel for a second at most."""
    def settled():
        answer = ask(proxy, **query)
        return answer if answer["totals"]["requests"] >= requests else None

    answer = eventually(settled, 15, f"{requests} requests in the analytics")
    assert answer["totals"]["requests"] == requests
    return answer


def test_what_was_asked_is_told(stage):
    origin = stage.origin(serve_forever(lambda conn, request: conn.respond(404 if request.target == "/no" else 200, body=b"0123456789")))
    proxy = stage.run(analysed(origin, listener=LOCAL, route={"name": "shop"}))
    for address, path in (("192.0.2.1", "/a?q=1"), ("192.0.2.1", "/a?q=2"), ("2001:db8::7", "/no")):
        get(proxy.address, path, host="www.example:81",
            fields=[("X-Forwarded-For", address), ("User-Agent", "tester/1"), ("Referer", "http://other.example/x?secret")])
    answer = wait_for(proxy, 3)
    assert list(answer)[:3] == ["from", "to", "totals"] and list(answer)[3:] == LISTS
    totals = answer["totals"]
    assert {k: totals[k] for k in ("errors", "client_errors", "visitors", "bytes_out", "server_requests", "missed", "secure")} == {
        "errors": 0, "client_errors": 1, "visitors": 2, "bytes_out": 30, "server_requests": 3, "missed": 0, "secure": 0}
    assert totals["client_connections"] == 3 and 1 <= totals["server_connections"] <= 3
    assert totals["multiplexing"] == pytest.approx(3 / totals["server_connections"], abs=0.01)
    assert 0 < totals["origin"]["mean_us"] < totals["took"]["mean_us"]
    assert totals["took"]["p50_us"] <= totals["took"]["p99_us"] <= totals["took"]["p999_us"]
    assert told(answer, "paths") == {"www.example/a": 2, "www.example/no": 1}
    assert told(answer, "clients") == {"192.0.2.1": 2, "2001:db8::7": 1}
    assert told(answer, "agents") == {"tester/1": 3}
    assert told(answer, "referrers") == {"http://other.example/x": 3}
    assert told(answer, "hosts") == {"www.example": 3}
    assert told(answer, "routes") == {"shop": 3} and told(answer, "upstreams") == {"app": 3}
    assert told(answer, "statuses") == {"200": 2, "404": 1}
    assert told(answer, "methods") == {"GET": 3} and told(answer, "versions") == {"HTTP/1.1": 3}
    assert answer["countries"]["items"] == [] and answer["threats"]["items"] == []
    assert all(answer[name]["unseen"] == 0 for name in LISTS)


def test_one_list_and_its_length(stage):
    proxy = stage.run(analysed(routes=[{"use": [{"respond": {"status": 200}}]}], analytics={"top": 10}))
    with Client(proxy.address) as client:
        for i in range(40):
            for _ in range(40 - i):
                client.get(f"/{i}")
    wait_for(proxy, 820)
    answer = ask(proxy, what="paths", top=3)
    assert list(answer) == ["from", "to", "totals", "paths"]
    assert [item["requests"] for item in answer["paths"]["items"]] == [40, 39, 38]
    assert answer["paths"]["unseen"] == 37
    assert len(ask(proxy, what="paths", top=1000)["paths"]["items"]) == 10  # as configured
    assert ask(proxy)["totals"]["multiplexing"] is None


def test_wrong_questions(stage):
    proxy = stage.run(analysed(routes=[{"use": [{"respond": {"status": 200}}]}]))
    api = api_of(proxy)
    for query in ("what=colours", "from=200&to=100", "from=x", "top=5000", "to=99999999999999999999"):
        assert api.get("/v1/analytics?" + query).refused(400)["detail"]
    for query in ("step=5", "from=1&to=1700000000&step=3600", "step=-1"):
        assert api.get("/v1/analytics/series?" + query).refused(400)["detail"]


def test_off_until_a_reload_says_otherwise(stage):
    routes = [{"use": [{"respond": {"status": 200}}]}]
    proxy = stage.run(site(routes=routes, admin=admin()))
    get(proxy.address)
    assert api_of(proxy).get("/v1/analytics").status >= 400
    proxy.reload(analysed(routes=routes))
    get(proxy.address)
    wait_for(proxy, 1)
    proxy.reload(analysed(routes=routes, analytics={"enabled": False}))
    get(proxy.address)
    assert api_of(proxy).get("/v1/analytics").status >= 400
    proxy.reload(analysed(routes=routes, analytics={"memory": "16MiB"}))
    get(proxy.address)
    wait_for(proxy, 2)  # what was known before is in the history


def test_hits_save_the_servers_time(stage):
    def slowly(conn, request):
        time.sleep(0.2)
        conn.respond(200, fields=[("Cache-Control", "max-age=60")], body=b"x")

    proxy = stage.run(analysed(stage.origin(serve_forever(slowly)), use=["cache"]))
    for _ in range(4):
        get(proxy.address, "/slow")
    totals = wait_for(proxy, 4)["totals"]
    assert totals["hits"] == 3 and totals["server_requests"] == 1
    assert 3 * 150000 < totals["saved_us"] < 3 * 2000000


def test_refused_for_safety(stage):
    proxy = stage.run(analysed(routes=[{"path": "/private/", "use": [{"ip_filter": {"deny": ["127.0.0.0/8"]}}, {"respond": {"status": 200}}]},
                                       {"use": [{"respond": {"status": 200}}]}]))
    assert get(proxy.address, "/private/x").status == 403
    exchange_bytes(proxy.address, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    get(proxy.address)
    answer = wait_for(proxy, 3)
    assert told(answer, "threats") == {"not_allowed": 1, "bad_request": 1} and answer["totals"]["threats"] == 2


def test_countries_and_addresses_that_are_cut(stage):
    folder = stage.folder()
    path = os.path.join(folder, "countries.mmdb")
    mmdb.write(path, {"192.0.2.0/24": {"country": {"iso_code": "IE"}}, "2001:db8::/32": {"registered_country": {"iso_code": "JP"}}})
    os.chmod(path, 0o644)
    proxy = stage.run(analysed(listener=LOCAL, routes=[{"use": [{"respond": {"status": 200}}]}],
                               analytics={"database": path, "anonymize": "on"}))
    for address in ("192.0.2.1", "192.0.2.200", "2001:db8:1:2:3::4", "198.51.100.1"):
        get(proxy.address, fields=[("X-Forwarded-For", address)])
    answer = wait_for(proxy, 4)
    assert told(answer, "countries") == {"IE": 2, "JP": 1}
    assert told(answer, "clients") == {"192.0.2.0": 2, "2001:db8:1::": 1, "198.51.100.0": 1}
    assert answer["totals"]["visitors"] == 4
    # Another one under the same name is taken with the next reload.
    mmdb.write(path + ".new", {"192.0.2.0/24": {"country": {"iso_code": "FR"}}})
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)
    proxy.reload()
    get(proxy.address, fields=[("X-Forwarded-For", "192.0.2.1")])
    assert told(wait_for(proxy, 5), "countries") == {"IE": 2, "JP": 1, "FR": 1}


def test_a_database_that_cannot_be_read_is_an_error_of_the_configuration(stage):
    proxy = stage.run(analysed(routes=[{"use": [{"respond": {"status": 200}}]}]))
    new = proxy.reload(analysed(routes=[{"use": [{"respond": {"status": 200}}]}], analytics={"database": "@dir@/none.mmdb"}), good=False)
    assert "cannot open the database" in new


def test_a_series(stage):
    proxy = stage.run(analysed(stage.origin(serve_forever(lambda conn, _: conn.respond(200, body=b"12345")))))
    before = int(time.time())
    for _ in range(5):
        get(proxy.address)
    wait_for(proxy, 5)
    answer = series(proxy, **{"from": before - 600, "to": before + 120, "step": 60})
    points = answer["points"]
    assert answer["step"] == 60 and answer["from"] % 60 == 0
    assert [p["at"] for p in points] == list(range(answer["from"], answer["to"], 60))
    assert sum(p["requests"] for p in points) == 5 and sum(p["bytes_out"] for p in points) == 25
    busy = max(points, key=lambda p: p["requests"])
    assert before - 60 < busy["at"] <= before + 60 and busy["visitors"] == 1 and busy["p99_us"] > 0
    assert points[0]["requests"] == 0 and points[0]["p99_us"] == 0


def test_history_survives_a_restart(stage):
    folder = stage.folder()
    text = analysed(state=folder, routes=[{"use": [{"respond": {"status": 200}}]}])
    with Maitred(text) as proxy:
        get(proxy.address, "/before")
        wait_for(proxy, 1)
    assert os.stat(os.path.join(folder, "analytics.db")).st_mode & 0o777 == 0o600
    proxy = stage.run(text)
    get(proxy.address, "/after")
    answer = wait_for(proxy, 2)
    assert set(name.split("/")[1] for name in told(answer, "paths")) == {"before", "after"}
    assert answer["totals"]["visitors"] == 1  # the same visitor, whatever process saw him


def faults(proxy):
    return [f for f in api_of(proxy).get("/v1").good["faults"] if "analytics" in f]


def test_a_broken_database_is_moved_aside(stage):
    folder = stage.folder()
    os.chmod(folder, 0o777)
    with open(os.path.join(folder, "analytics.db"), "wb") as file:
        file.write(b"no database" * 1000)
    os.chmod(os.path.join(folder, "analytics.db"), 0o666)
    proxy = stage.run(analysed(state=folder, routes=[{"use": [{"respond": {"status": 200}}]}]))
    get(proxy.address)
    wait_for(proxy, 1)
    assert "is broken" in proxy.stderr and not faults(proxy)
    assert [name for name in os.listdir(folder) if re.fullmatch(r"analytics\.db\.broken-\d+", name)]


def test_a_locked_database_holds_nobody_up(stage):
    folder = stage.folder()
    text = analysed(state=folder, routes=[{"use": [{"respond": {"status": 200}}]}])
    with Maitred(text) as proxy:
        get(proxy.address)
        wait_for(proxy, 1)
    database = sqlite3.connect(os.path.join(folder, "analytics.db"), isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    proxy = stage.run(text)
    get(proxy.address)
    wait_for(proxy, 2)  # reading goes on
    proxy.reload(text.replace("analytics: true", "analytics: {memory: 16MiB}"))  # the minute is written: it cannot
    for _ in range(20):
        assert get(proxy.address).status == 200
    database.execute("ROLLBACK")
    database.close()


def test_a_folder_that_is_not_there(stage):
    proxy = stage.run(analysed(state="/proc/nowhere", routes=[{"use": [{"respond": {"status": 200}}]}]))
    get(proxy.address)
    wait_for(proxy, 1)  # in memory
    assert "cannot be opened" in faults(proxy)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk(stage):
    folder = stage.folder()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k,mode=777", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        text = analysed(state=folder, routes=[{"use": [{"respond": {"status": 200}}]}])
        with Maitred(text) as proxy:
            with Client(proxy.address) as client:
                for i in range(2000):
                    assert client.get(f"/{i:0100d}").status == 200
            wait_for(proxy, 2000)
            with open(os.path.join(folder, "filler"), "wb", buffering=0) as filler, pytest.raises(OSError):
                while True:
                    filler.write(bytes(4096))
            proxy.reload(text.replace("analytics: true", "analytics: {memory: 16MiB}"))
            assert get(proxy.address).status == 200
            assert "cannot be" in proxy.stderr
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_many_at_once_are_all_counted(stage):
    proxy = stage.run(analysed(routes=[{"use": [{"respond": {"status": 200}}]}]))

    def some(number):
        with Client(proxy.address) as client:
            for i in range(100):
                client.get(f"/{i}", fields=[("User-Agent", f"agent {number}")])

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(some, range(30)))
    answer = wait_for(proxy, 3000)
    assert set(told(answer, "paths").values()) == {30} and len(told(answer, "paths")) == 100
    assert answer["totals"]["visitors"] == 30 and answer["totals"]["client_connections"] == 30
    assert set(told(answer, "agents").values()) == {100}


# ---------------------------------------------------------------- the guide

def guide():
    with open(GUIDE) as file:
        return file.read()


def test_the_configurations_of_the_guide_work(stage):
    blocks = re.findall(r"```yaml\n(.*?)```", guide(), re.S)
    assert len(blocks) == 2
    path = os.path.join(stage.folder(), "countries.mmdb")
    mmdb.write(path, {"192.0.2.0/24": {"country": {"iso_code": "IE"}}})
    os.chmod(path, 0o644)
    for text in blocks:
        if "listeners:" not in text:
            text = analysed(analytics=None, routes=[{"use": [{"respond": {"status": 200}}]}]).replace("analytics: null\n", "") + text
        text = (text.replace('":8080"', '"@listen@"').replace("/run/maitred/admin.sock", "@dir@/admin.sock")
                .replace("/var/lib/maitred", "@dir@/state").replace("/etc/maitred/GeoLite2-Country.mmdb", path)
                .replace("10.0.0.1:8080", stage.origin().address))
        proxy = stage.run(text)
        get(proxy.address)
        wait_for(proxy, 1)


def test_the_guide_names_everything_in_an_answer(stage):
    proxy = stage.run(analysed(routes=[{"use": [{"respond": {"status": 200}}]}]))
    get(proxy.address)
    answer = wait_for(proxy, 1)
    text = guide()
    for name in [*answer, *answer["totals"], *answer["totals"]["took"], *answer["paths"]["items"][0]]:
        assert f"`{name}`" in text, name
    options = re.findall(r'\{"(\w+)", &option', open(os.path.join(ROOT, "src", "analytics", "options.c")).read())
    for name in options:
        assert f"`{name}`" in text, name
