# SPDX-License-Identifier: Apache-2.0
"""
Revisions: what the API changes survives restarts, crashes and edits of the files; one goes back to what was;
who did what is known; and a state folder in trouble costs changes, not requests.
"""
import os
import resource
import signal
import sqlite3
import threading
import time

import pytest

from support.admin import api_of
from support.client import get
from support.wait import SLOW, eventually, seconds


def words(word="one", more=""):
    return f"""
listeners: [{{address: "@listen@"}}]
process: {{drain: 1s}}
admin: {{listen: "unix:@dir@/admin.sock", state: "@dir@/state"}}
routes:
  - {{name: word, path: /word, use: [{{respond: {{text: {word}}}}}]}}
  - {{name: rest, use: [{{respond: {{text: rest}}}}]}}
{more}"""


def say(api, word, **query):
    return api.put("/v1/config/routes/word/use", [{"respond": {"text": word}}], **query)


def said(proxy, path="/word"):
    return get(proxy.address, path).body.decode()


def restart(proxy, kill=False):
    if kill:
        worker = proxy.worker_pid()
        os.kill(proxy.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        proxy.popen.wait(seconds(10))
        eventually(lambda: not os.path.exists(f"/proc/{worker}"))
    else:
        proxy.signal(signal.SIGTERM)
        proxy.finish()
    proxy.start()


def listed(api, **query):
    return api.get("/v1/revisions", **query).good["revisions"]


# ---------------------------------------------------------------------------- what is kept

@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_changes_survive_a_restart(stage, kill):
    proxy = stage.run(words())
    api = api_of(proxy)
    number = say(api, "two", comment="for the test").good["revision"]
    assert said(proxy) == "two"
    restart(proxy, kill)
    assert said(proxy) == "two"
    with open(proxy.config) as file:
        assert file.read() == proxy.fill_in(words()), "the user's file was written"
    kept = {r["number"]: r for r in listed(api)}
    assert kept[number]["comment"] == "for the test"
    assert kept[number]["cause"] == "change"
    assert kept[number]["who"] == f"socket:{os.getuid()}"
    assert [r["current"] for r in kept.values()].count(True) == 1


def test_changes_stay_over_files_that_are_edited(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    say(api, "two").good
    proxy.write(words(more="  - {name: third, path: /third, use: [{respond: {text: third}}]}").replace(
        "  - {name: rest", "  - {name: new, path: /new, use: [{respond: {text: new}}]}\n  - {name: rest"))
    proxy.reload()
    assert (said(proxy), said(proxy, "/new")) == ("two", "new")
    restart(proxy)
    assert (said(proxy), said(proxy, "/new")) == ("two", "new")
    api.post("/v1/reset").good
    assert (said(proxy), said(proxy, "/new")) == ("one", "new")


def test_changes_that_do_not_fit_the_files_any_more(stage):
    """A reload changes nothing and says why; a start serves what was."""
    proxy = stage.run(words())
    api = api_of(proxy)
    say(api, "two").good
    proxy.write(words().replace("name: word", "name: other"))
    assert "does not fit the files any more" in proxy.reload(good=False)
    assert said(proxy) == "two"
    restart(proxy)
    assert said(proxy) == "two"
    assert "serving revision" in proxy.stderr
    api.post("/v1/reset").good
    assert said(proxy) == "one"
    assert not api.get("/v1/config-sources").good["patch"]


def test_what_is_refused_is_no_revision(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    before = listed(api)
    api.put("/v1/config/routes/word/to", "nobody").refused(422)
    api.put("/v1/config/routes/word/use", [{"respond": {"text": "dry"}}], dry_run="1").good
    assert listed(api) == before
    assert said(proxy) == "one"


def test_a_list_in_pages(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    for i in range(5):
        say(api, f"w{i}").good
    all_of_them = listed(api)
    numbers = [r["number"] for r in all_of_them]
    assert numbers == sorted(numbers, reverse=True)
    assert listed(api, most=2) == all_of_them[:2]
    assert listed(api, most=2, before=numbers[1]) == all_of_them[2:4]
    api.get("/v1/revisions", most="many").refused(400)


def test_only_so_many_are_kept(stage):
    proxy = stage.run(words().replace('state: "@dir@/state"', 'state: "@dir@/state", keep: 3'))
    api = api_of(proxy)
    last = [say(api, f"w{i}").good["revision"] for i in range(6)][-1]
    assert [r["number"] for r in listed(api)] == [last, last - 1, last - 2]
    api.get(f"/v1/revisions/{last - 3}").refused(404)


# ---------------------------------------------------------------------------- going back

def test_one_revision_and_the_difference_of_two(stage):
    proxy = stage.run(words(more="defaults: {}\n"))
    api = api_of(proxy)
    first = say(api, "two").good["revision"]
    second = say(api, "three").good["revision"]
    assert "text: two" in api.get(f"/v1/revisions/{first}").good["text"]
    patch = api.get(f"/v1/revisions/{first}/diff", to=second).good["patch"]
    changes = [p for p in patch if p["op"] != "test"]
    assert len(changes) == 1 and "three" in str(changes[0]["value"])
    assert api.get(f"/v1/revisions/{second}/diff").good["patch"] == []
    api.get("/v1/revisions/4711").refused(404)
    api.get("/v1/revisions/first").refused(404)


def test_rollback_and_restore(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    first = say(api, "two").good["revision"]
    say(api, "three").good
    back = api.post("/v1/rollback", comment="three was bad").good["revision"]
    assert said(proxy) == "two"
    newest = listed(api)[0]
    assert (newest["number"], newest["cause"], newest["current"]) == (back, "rollback", True)
    say(api, "four").good
    api.post(f"/v1/revisions/{first}/restore").good
    assert said(proxy) == "two"
    api.post("/v1/revisions/4711/restore").refused(404)
    restart(proxy)
    assert said(proxy) == "two"


def test_secrets_are_masked_and_survive_going_back(stage):
    proxy = stage.run(words(more="") .replace(
        'state: "@dir@/state"', 'state: "@dir@/state", tokens: [{name: ci, token: 0123456789abcdef, right: admin}]'))
    api = api_of(proxy)
    first = say(api, "two").good["revision"]
    say(api, "three").good
    text = api.get(f"/v1/revisions/{first}").good["text"]
    assert "***" in text and "0123456789abcdef" not in text
    api.post(f"/v1/revisions/{first}/restore").good
    api.token = "0123456789abcdef"
    assert api.get("/v1/whoami").good["name"] == "ci"
    assert os.stat(f"{proxy.dir}/state/revisions.db").st_mode & 0o777 == 0o600


# ---------------------------------------------------------------------------- who did what

def test_the_audit_log(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    say(api, "two").good
    api.patch("/v1/config", {"no_such_section": 1}).refused(422)
    api.get("/v1/config").good
    entries = api.get("/v1/audit").good["entries"]
    done = [(e["action"], e["target"].partition("?")[0], e["outcome"]) for e in entries]
    assert done == [("PATCH", "/v1/config", "422"), ("PUT", "/v1/config/routes/word/use", "200")]
    assert {e["who"] for e in entries} == {f"socket:{os.getuid()}"}
    assert all(abs(e["at"] - time.time()) < 60 for e in entries)
    restart(proxy)
    assert api.get("/v1/audit", most=1).good["entries"] == entries[:1]


# ---------------------------------------------------------------------------- trouble

def faults(api):
    return " ".join(api.get("/v1").good["faults"])


def test_a_damaged_store_is_moved_aside(stage):
    proxy = stage.run(words(), start=False)
    os.makedirs(f"{proxy.dir}/state")
    os.chmod(f"{proxy.dir}/state", 0o777)
    with open(f"{proxy.dir}/state/revisions.db", "wb") as file:
        file.write(os.urandom(20000))
    os.chmod(f"{proxy.dir}/state/revisions.db", 0o666)
    proxy.start()
    api = api_of(proxy)
    assert said(proxy) == "one"
    assert "was damaged: moved to" in faults(api)
    assert "was damaged: moved to" in proxy.stderr
    assert [n for n in os.listdir(f"{proxy.dir}/state") if ".corrupt-" in n]
    say(api, "two").good
    restart(proxy)
    assert said(proxy) == "two"


def test_a_store_that_is_locked(stage):
    """Requests go on, reading too; a change is refused after a while, and works once the lock is gone."""
    proxy = stage.run(words())
    api = api_of(proxy)
    say(api, "two").good
    other = sqlite3.connect(f"{proxy.dir}/state/revisions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    problem = say(api, "three").refused(503)
    assert time.monotonic() - began < seconds(12)
    assert "locked by another process" in problem["detail"]
    assert said(proxy) == "two"
    assert "locked" in faults(api)
    assert listed(api)
    other.execute("ROLLBACK")
    other.close()
    say(api, "three").good
    assert said(proxy) == "three"
    assert "locked" not in faults(api)


def test_requests_do_not_wait_for_a_lock(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    other = sqlite3.connect(f"{proxy.dir}/state/revisions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    change = threading.Thread(target=lambda: say(api, "two"))
    change.start()
    n = 0
    while time.monotonic() - began < 1:
        at = time.monotonic()
        assert said(proxy, "/") == "rest"
        assert time.monotonic() - at < seconds(0.5)
        n += 1
    other.execute("ROLLBACK")
    other.close()
    change.join()
    assert n > 50 or SLOW


def test_a_full_disk(stage):
    """In place of one: no file may grow beyond 300 kB."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))

    proxy = stage.run(words(), before=limit)
    api = api_of(proxy)
    word, outcome = "", None
    for i in range(12):
        text = f"{i} " + os.urandom(25000).hex()  # what cannot be made smaller
        outcome = say(api, text)
        if outcome.status != 200:
            break
        word = text
    problem = outcome.refused(503)
    assert "cannot" in problem["detail"]
    assert word and said(proxy) == word
    assert "cannot" in faults(api)
    assert get(proxy.address, "/").body == b"rest"
    proxy.signal(signal.SIGTERM)
    proxy.finish()
    proxy.before = None
    proxy.start()
    assert said(proxy) == word
    say(api, "small").good


def test_a_folder_that_cannot_be_written(stage):
    proxy = stage.run(words(), start=False)
    os.makedirs(f"{proxy.dir}/state", mode=0o555)
    proxy.start()
    api = api_of(proxy)
    if os.geteuid() != 0 and os.access(f"{proxy.dir}/state", os.W_OK):
        pytest.skip("the folder can be written nevertheless")
    assert said(proxy) == "one"
    assert "Permission denied" in faults(api)
    say(api, "two").refused(503)
    assert said(proxy) == "one"
    os.chmod(f"{proxy.dir}/state", 0o777)
    say(api, "two").good
    assert said(proxy) == "two"


def test_a_store_that_is_taken_away(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    say(api, "two").good
    for name in os.listdir(f"{proxy.dir}/state"):
        if name.startswith("revisions.db"):
            os.unlink(f"{proxy.dir}/state/{name}")
    say(api, "three").good
    restart(proxy)
    assert said(proxy) == "three"


def test_many_reloads_do_not_fill_the_disk(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    for i in range(30):
        assert api.post("/v1/reload").status == 200
    say(api, "two").good
    assert os.stat(f"{proxy.dir}/state/revisions.db").st_size < 1000000
    assert len(listed(api)) < 5, "what means the same is no revision of its own"


def test_killed_in_the_middle_of_changes(stage):
    proxy = stage.run(words())
    api = api_of(proxy)
    done = None
    for i in range(5):
        for j in range(i + 1):
            done = f"w{i}-{j}"
            say(api, done).good
        restart(proxy, kill=True)
        assert said(proxy) == done
        assert not api.get("/v1").good["faults"]


def test_two_configurations_share_a_folder(stage):
    """Each goes on with its own."""
    folder = stage.folder()
    texts = [words(w).replace("@dir@/state", f"{folder}/state") for w in ("one", "other")]
    first = stage.run(texts[0])
    say(api_of(first), "two").good
    second = stage.run(texts[1])
    assert said(second) == "other"
    say(api_of(second), "another").good
    restart(first)
    restart(second)
    assert (said(first), said(second)) == ("two", "another")
    mine = {r["number"] for r in listed(api_of(first))}
    assert not mine & {r["number"] for r in listed(api_of(second))}
