# SPDX-License-Identifier: Apache-2.0
"""
Changes on trial: kept when somebody confirms them in time and the guard holds, else what was before returns by
itself, whatever happens to the process meanwhile.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import threading
import time

import pytest

from support.admin import api_of
from support.client import Client, get
from support.maitred import Maitred, command
from support.wait import eventually, seconds, stays

TEXT = """
listeners: [{address: "@listen@"}]
process: {drain: 1s}
admin: {listen: "unix:@dir@/admin.sock", state: "@dir@/state"}
routes:
  - {name: word, path: /word, use: [{respond: {text: one}}]}
  - {name: slow, path: /slow, use: [{respond: {text: one}}]}
  - {name: rest, use: [{respond: {text: rest}}]}
"""


@pytest.fixture
def proxy(stage):
    return stage.run(TEXT)


def change(api, text="two", status=None, route="word", use=None, **query):
    respond = {"respond": {"text": text, **({"status": status} if status else {})}}
    return api.put(f"/v1/config/routes/{route}/use", [*(use or []), respond], **query)


def said(proxy):
    return get(proxy.address, "/word").body.decode()


def trial(api):
    return api.get("/v1/trial").good


def ended(api, within=10):
    return eventually(lambda: trial(api)["state"] != "running" and trial(api), within, "the trial's end")


@contextlib.contextmanager
def load(proxy, path="/word", pause=0.0):
    """One request after the other; gives the list of their statuses."""
    stop, statuses = threading.Event(), []

    def run():
        with Client(proxy.address) as client:
            while not stop.is_set():
                statuses.append(client.get(path).status)
                time.sleep(pause)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


# ---------------------------------------------------------------------------- confirmations

def test_nothing_is_on_trial(proxy):
    api = api_of(proxy)
    api.get("/v1/trial").refused(404)
    api.post("/v1/trial/confirm").refused(409)
    api.post("/v1/trial/abort").refused(409)


def test_confirmed(proxy):
    api = api_of(proxy)
    began = change(api, confirm="30s", comment="shall stay").good
    assert began["revision"] is None and began["trial"]["state"] == "running"
    assert said(proxy) == "two"
    assert not [r for r in api.get("/v1/revisions").good["revisions"] if r["cause"] == "change"]
    assert api.post("/v1/trial/confirm").good["state"] == "kept"
    assert said(proxy) == "two"
    newest = api.get("/v1/revisions").good["revisions"][0]
    assert newest["comment"] == "shall stay" and newest["current"]
    api.post("/v1/trial/confirm").refused(409)


def test_nobody_confirms(proxy):
    api = api_of(proxy)
    change(api, confirm="1s").good
    assert said(proxy) == "two"
    end = ended(api)
    assert end["state"] == "reverted" and "nobody confirmed" in end["why"]
    assert said(proxy) == "one"
    assert api.get("/v1/config/routes/word/use/0/respond/text").good == "one"
    entries = api.get("/v1/audit").good["entries"]
    assert entries[0]["action"] == "trial" and "nobody confirmed" in entries[0]["outcome"]


def test_aborted(proxy):
    api = api_of(proxy)
    change(api, confirm="30s").good
    assert api.post("/v1/trial/abort").good["state"] == "reverted"
    assert said(proxy) == "one"


def test_one_at_a_time(proxy):
    api = api_of(proxy)
    change(api, confirm="30s").good
    problem = change(api, "three").refused(409)
    assert "on trial" in problem["detail"]
    change(api, "three", confirm="30s").refused(409)
    api.post("/v1/rollback").refused(409)
    assert said(proxy) == "two"
    api.post("/v1/trial/confirm").good
    change(api, "three").good
    assert said(proxy) == "three"


@pytest.mark.parametrize("how", ["killed", "worker", "stopped"])
def test_a_process_that_ends_meanwhile(proxy, how):
    """Nobody confirmed: what comes back is what was before."""
    api = api_of(proxy)
    change(api, "kept").good
    change(api, confirm="60s").good
    assert said(proxy) == "two"
    if how == "worker":
        proxy.worker_may_die = True
        os.kill(proxy.worker_pid(), signal.SIGKILL)
    elif how == "killed":
        worker = proxy.worker_pid()
        os.kill(proxy.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        proxy.popen.wait(seconds(10))
        eventually(lambda: not os.path.exists(f"/proc/{worker}"))
        proxy.start()
    else:
        proxy.signal(signal.SIGTERM)
        proxy.finish()
        proxy.start()

    def word():
        with contextlib.suppress(OSError, AssertionError):
            return said(proxy)

    assert eventually(word) == "kept"
    eventually(lambda: os.path.exists(f"{proxy.dir}/admin.sock") and api.get("/v1/trial").status == 404)


def test_a_reload_ends_it(proxy):
    api = api_of(proxy)
    change(api, confirm="60s").good
    proxy.reload()
    assert ended(api)["state"] == "reverted"
    assert said(proxy) == "one"


def test_whole_configurations_and_going_back_can_be_on_trial(proxy):
    api = api_of(proxy)
    api.ask("POST", "/v1/apply", proxy.fill_in(TEXT.replace("text: one", "text: whole")),
            kind="application/yaml", confirm="30s").good
    assert said(proxy) == "whole"
    api.post("/v1/trial/confirm").good
    api.post("/v1/rollback", confirm="1s").good
    assert said(proxy) == "one"
    assert ended(api)["state"] == "reverted"
    assert said(proxy) == "whole"


def test_no_request_fails_while_it_goes_back(proxy):
    api = api_of(proxy)
    with load(proxy) as statuses:
        for _ in range(5):
            change(api, confirm="60s").good
            api.post("/v1/trial/abort").good
    assert len(statuses) > 20 and set(statuses) == {200}


@pytest.mark.parametrize("query", [
    {"confirm": "soon"}, {"confirm": "0s"}, {"confirm": "400d"}, {"guard": "errors"}, {"guard": "p99 < 5%"},
    {"guard": "p99 < 1s,"}, {"confirm": "10s", "guard": "happiness > 3/s"}])
def test_what_cannot_be_understood(proxy, query):
    api = api_of(proxy)
    api_problem = change(api, **query).refused(400)
    assert api_problem["detail"]
    assert said(proxy) == "one"


@pytest.mark.parametrize("query, word", [
    ("guard=errors<1%,p99<+20%", "guard"), ("confirm=60s&guard=errors<1%,p99<+20%", "guard"), ("confirm=5%", "confirm"),
    ("comment=%zz", "comment"), ("guard=", "guard"), ("guard", "guard"), ("confirm=", "confirm"),
    ("guard=errors<1%25&guard=p99<1s", "guard"), ("dry-run", "dry-run"), ("dry%2drun", "dry%2drun"), ("dry%=1", "dry%"),
    ("dry_run=on", "dry_run"), ("=1", "parameter"), ("confirm=60s&gaurd=errors<1%25", "gaurd")])
def test_what_is_misspelt_is_not_passed_over(proxy, query, word):
    """It would be made for good, or without its guard."""
    api = api_of(proxy)
    problem = api.ask("PATCH", "/v1/config/routes/word?" + query, '{"path": "/ga/"}').refused(400)
    assert f"`{word}" in problem["detail"] or problem["detail"].startswith(word) or word == "parameter"
    assert said(proxy) == "one"
    assert api.get("/v1/trial").status == 404


def test_a_guard_as_it_stands_in_an_address(proxy):
    api = api_of(proxy)
    assert api.ask("PATCH", "/v1/config/routes/word?&dry_run=false&guard=errors<1%25,p99+<+%2B20%25&",
                   '{"method": "GET"}').good["trial"]["guard"] == "errors<1%,p99 < +20%"
    api.post("/v1/trial/abort").good


# ---------------------------------------------------------------------------- guards

def test_errors_bring_back_what_was(proxy):
    api = api_of(proxy)
    with load(proxy, pause=0.001) as statuses:
        eventually(lambda: len(statuses) > 100)
        began = time.monotonic()
        change(api, status=503, confirm="60s", guard="errors < 1%").good
        end = ended(api)
        assert time.monotonic() - began < seconds(10)
        assert end["state"] == "reverted" and end["verdict"] == "broken"
        assert end["why"].startswith("errors are ") and "wanted: errors < 1%" in end["why"]
        stays(lambda: said(proxy) == "one", 0.3)
    assert 503 in statuses and statuses[-1] == 200
    assert "was taken back: errors are" in proxy.stderr


def test_a_guard_that_holds_keeps_it_at_the_end(proxy):
    """Without `confirm` nobody has to be there: a minute of grace is all."""
    api = api_of(proxy)
    with load(proxy, pause=0.001):
        change(api, guard="errors < 1%, p99 < 5s").good
        eventually(lambda: trial(api)["verdict"] == "holds")
        assert trial(api)["state"] == "running"
        assert "errors 0 %" in trial(api)["why"]
        assert api.post("/v1/trial/confirm").good["state"] == "kept"
    assert said(proxy) == "two"


def test_a_guard_alone_does_not_confirm(proxy):
    api = api_of(proxy)
    with load(proxy, pause=0.001):
        change(api, confirm="2s", guard="errors < 1%").good
        end = ended(api)
    assert end["state"] == "reverted" and "nobody confirmed" in end["why"]


def test_too_few_requests_to_judge(proxy):
    api = api_of(proxy)
    change(api, status=503, confirm="30s", guard="errors < 1%").good
    for _ in range(5):
        get(proxy.address, "/word")
    eventually(lambda: "5 of 100 requests seen" in trial(api)["why"])
    assert trial(api)["verdict"] == "too_early" and trial(api)["state"] == "running"


def test_slower_than_before(proxy):
    """A body that takes its time: the same clients, before and after."""
    api = api_of(proxy)
    fault = {"fault": {"delay": {"for": "20ms", "share": "100%"}}}
    with load(proxy, pause=0.001) as statuses:
        eventually(lambda: len(statuses) > 500)
        time.sleep(5.5)  # there must have been a look at what was before
        change(api, use=[fault], confirm="60s", guard="p50 < +50%").good
        end = ended(api, 20)
    assert end["verdict"] == "broken" and "p50 is 2" in end["why"] and "above the" in end["why"], end
    assert said(proxy) == "one"


def test_of_one_route(proxy):
    """Other routes' traffic says nothing about it."""
    api = api_of(proxy)
    with load(proxy, "/", pause=0.001), load(proxy, "/slow", pause=0.001) as statuses:
        eventually(lambda: len(statuses) > 200)
        change(api, route="slow", status=500, confirm="60s", guard="errors(slow) < 50%, errors(rest) < 1%").good
        end = ended(api)
    assert end["verdict"] == "broken" and end["why"].startswith("errors(slow) are ")


def test_requests_that_stay_away(proxy):
    api = api_of(proxy)
    with load(proxy, pause=0.001):
        time.sleep(1)
    change(api, confirm="60s", guard="requests > 5/s").good
    end = ended(api, 15)
    assert end["verdict"] == "broken" and "requests are 0/s" in end["why"]


# ---------------------------------------------------------------------------- trouble at its end

SECRET = TEXT.replace("text: one", 'text: "${file:@dir@/secret}"', 1).replace(
    "process: {drain: 1s}", 'process: {drain: 1s}\naccess_log: {to: "@dir@/logs/access.log"}')
TWO = TEXT.replace('{address: "@listen@"}', '{address: "@listen@"}, {address: "@listen2@"}')


def secretive(stage):
    proxy = stage.use(Maitred(SECRET, start=False))
    os.mkdir(f"{proxy.dir}/logs")
    os.chmod(f"{proxy.dir}/logs", 0o777)
    pathlib.Path(f"{proxy.dir}/secret").write_text("one")
    proxy.start()
    return proxy


@contextlib.contextmanager
def taken(address):
    """Once nobody listens there."""
    host, port = address.rsplit(":", 1)

    def bound():
        with contextlib.suppress(OSError):
            other.bind((host, int(port)))
            return True

    with socket.socket() as other:
        eventually(bound, 5)
        other.listen()
        yield


def patch(api, changes, **query):
    changes = [{"op": "remove", "path": path} if value is None else {"op": "replace", "path": path, "value": value}
               for path, value in changes.items()]
    return api.patch("/v1/config", changes, kind="application/json-patch+json", **query)



def test_what_was_before_stays_ready(stage):
    """Its secrets, logs and folders may go while it is not served."""
    proxy = secretive(stage)
    api = api_of(proxy)
    patch(api, {"/access_log": None, "/routes/word/use/0/respond/text": "two"}, confirm="1s").good
    assert said(proxy) == "two"
    os.unlink(f"{proxy.dir}/secret")
    shutil.rmtree(f"{proxy.dir}/logs")
    assert ended(api)["state"] == "reverted"
    assert said(proxy) == "one"


def test_without_a_way_back_nothing_is_tried(stage):
    proxy = secretive(stage)
    os.unlink(f"{proxy.dir}/secret")
    api = api_of(proxy)
    problem = change(api, use=[], confirm="1s").refused(422)
    assert "could not be served again" in problem["detail"] and "secret" in str(problem["errors"])
    assert said(proxy) == "one"


def test_it_goes_back_as_soon_as_it_can(stage):
    proxy = stage.run(TWO)
    api = api_of(proxy)
    patch(api, {"/listeners/1": None, "/routes/word/use/0/respond/text": "two"}, confirm="2s").good
    with taken(proxy.names["listen2"]):
        end = ended(api)
        assert end["state"] == "failed" and "nobody confirmed it in time; but the configuration before" in end["why"]
        assert said(proxy) == "two"
        assert api.get("/v1/config/routes/word/use/0/respond/text").good == "two"
        assert any("cannot be served" in fault for fault in api.get("/v1").good["faults"])
        done = command("status", "--admin", f"unix:{proxy.dir}/admin.sock")
        assert "could not be taken back" in done.stdout, done
    eventually(lambda: trial(api)["state"] == "reverted", 10)
    assert said(proxy) == "one" and not api.get("/v1").good["faults"]
    assert get(proxy.names["listen2"], "/word").body == b"one"


def test_what_comes_next_is_not_undone(stage):
    proxy = stage.run(TWO)
    api = api_of(proxy)
    patch(api, {"/listeners/1": None}, confirm="1s").good
    with taken(proxy.names["listen2"]):
        assert ended(api)["state"] == "failed"
        change(api, "three").good
        assert not api.get("/v1").good["faults"]
    stays(lambda: said(proxy) == "three", 3)


def test_confirmed_while_nothing_can_be_kept(proxy):
    api = api_of(proxy)
    change(api, confirm="60s").good
    other = sqlite3.connect(f"{proxy.dir}/state/revisions.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    problem = api.post("/v1/trial/confirm").refused(503)
    assert "still on trial" in problem["detail"]
    done = command("confirm", "--admin", f"unix:{proxy.dir}/admin.sock")
    assert done.returncode != 0 and "could not be kept" in done.stderr, done
    assert trial(api)["state"] == "running" and said(proxy) == "two"
    other.execute("ROLLBACK")
    other.close()
    assert eventually(lambda: api.post("/v1/trial/confirm").status == 200, 20)
    assert trial(api)["state"] == "kept" and said(proxy) == "two"
    assert api.get("/v1/revisions").good["revisions"][0]["current"]


# ---------------------------------------------------------------------------- the command line

def test_on_the_command_line(proxy, tmp_path):
    where = ["--admin", f"unix:{proxy.dir}/admin.sock"]
    other = tmp_path / "other.yaml"
    other.write_text(proxy.fill_in(TEXT.replace("text: one", "text: two")))
    done = command("apply", "-c", str(other), "--confirm", "60s", "--guard", "errors < 1%", *where)
    assert done.returncode == 0, done.stderr
    assert said(proxy) == "two"
    done = command("confirm", *where)
    assert done.returncode == 0, done.stderr
    done = command("rollback", *where)
    assert done.returncode == 0, done.stderr
    assert said(proxy) == "one"
    done = command("revisions", *where)
    assert done.returncode == 0 and "rollback" in done.stdout
    done = command("apply", "-c", str(other), "--guard", "errors", *where)
    assert done.returncode != 0 and "expected <, >, <= or >=" in done.stderr
