# SPDX-License-Identifier: Apache-2.0
"""Plans: what another configuration would change in meaning, and which of the recent requests it would treat
differently; asked of the API, and printed by `maitred plan`."""
import os
import re
import shutil
import time

import pytest
import yaml

from support.admin import api_of
from support.client import get
from support.maitred import Maitred, command
from support.wait import seconds
from test_examples import FILES, FOLDER, relocate, secrets

ADMIN = 'admin: {listen: "unix:@dir@/admin.sock", state: "@dir@/state"}\n'

TEXT = """
listeners: [{address: "@listen@", name: public}]
process: {drain: 1s}
admin: {listen: "unix:@dir@/admin.sock", state: "@dir@/state"}
upstreams:
  app: {servers: [127.0.0.1:1, 127.0.0.1:2]}
routes:
  - {name: shop, host: shop.example.com, path: /, use: [{respond: {text: shop}}]}
  - {name: api, path: /api/, use: [{timeouts: {response: 30s}}], to: app}
  - {name: rest, use: [{respond: {text: rest}}]}
"""


@pytest.fixture
def proxy(stage):
    return stage.run(TEXT)


def planned(api, body, kind="application/yaml"):
    return api.ask("POST", "/v1/plan", body, kind=kind).good


def changes(plan):
    return [(c["kind"], c["what"], c["name"]) for c in plan["changes"]]


def test_what_is_served_changes_nothing(proxy):
    api = api_of(proxy)
    with open(proxy.config) as file:
        plan = planned(api, file.read())
    assert plan["changes"] == [] and plan["warnings"] == []
    merged = api.get("/v1/config", fields={"Accept": "application/yaml"}).text
    assert planned(api, merged)["changes"] == []


def test_what_it_tells(proxy):
    tree = yaml.safe_load(proxy.fill_in(TEXT))
    tree["upstreams"]["app"]["servers"] = ["127.0.0.1:2", {"address": "127.0.0.1:3", "weight": 4}]
    tree["routes"][1]["use"][0]["timeouts"]["response"] = "5s"
    tree["routes"] = [tree["routes"][0], tree["routes"][2], tree["routes"][1]]
    tree["routes"][0]["host"] = ["shop.example.com", "www.example.com"]
    plan = planned(api_of(proxy), yaml.safe_dump(tree))
    assert changes(plan) == [
        ("added", "server", "app/127.0.0.1:3"), ("removed", "server", "app/127.0.0.1:1"),
        ("added", "host", "www.example.com"), ("changed", "route", "shop"), ("moved", "route", "rest"),
        ("changed", "middleware", "api/timeouts"), ("unreachable", "route", "api")]
    by_name = {c["name"]: c for c in plan["changes"]}
    timeouts = by_name["api/timeouts"]
    assert (timeouts["path"], timeouts["before"], timeouts["after"]) == ("response", "30s", "5s")
    assert "rest takes all its requests" in by_name["api"]["after"]
    assert plan["counts"] == {"added": 2, "removed": 1, "changed": 2, "moved": 1, "unreachable": 1}
    assert get(proxy.address, "/", [("Host", "x")]).body == b"rest", "a plan changed something"


def test_places_lead_into_files_and_into_the_change(proxy):
    api = api_of(proxy)
    removed = planned(api, [{"op": "remove", "path": "/routes/api"}], "application/json-patch+json")
    change = next(c for c in removed["changes"] if c["kind"] == "removed" and c["what"] == "route")
    line = proxy.fill_in(TEXT).split("\n").index(next(x for x in TEXT.split("\n") if "name: api" in x)) + 1
    assert change["where"].endswith(f"site.yaml:{line}:5")
    added = planned(api, {"process": {"drain": "9s"}}, "application/merge-patch+json")
    assert changes(added) == [("changed", "process", "")]
    assert added["changes"][0]["where"].startswith("request body:1:")


def test_recent_requests_are_put_to_both(proxy):
    api = api_of(proxy)
    for _ in range(5):
        get(proxy.address, "/cart/1", [("Host", "shop.example.com")])
        get(proxy.address, "/", [("Host", "other.example.com")])
    patch = [{"op": "add", "path": "/routes/shop",
              "value": {"name": "cart", "path": "/cart/", "use": [{"respond": {"text": "cart"}}]}}]
    plan = planned(api, patch, "application/json-patch+json")
    assert plan["replayed"] >= 10 and plan["differing"] == 5
    (different,) = plan["different"]
    assert different["url"] == "http://shop.example.com/cart/1" and different["method"] == "GET"
    assert different["count"] == 5
    assert different["before"]["route"] == "shop" and different["after"]["route"] == "cart"
    assert "respond" in different["after"]["middleware"] and different["after"]["to"] is None


def test_credentials_of_requests_are_not_told(proxy):
    api = api_of(proxy)
    for path in ("/?token=hunter2", "/api/?password=hunter2"):
        get(proxy.address, path, [("Host", "shop.example.com"), ("Authorization", "Bearer hunter2")])
    plan = api.ask("POST", "/v1/plan", [{"op": "remove", "path": "/routes/shop"}],
                   kind="application/json-patch+json")
    assert plan.good["differing"] == 2
    assert "hunter2" not in plan.text


def test_secrets_of_the_configuration_are_not_told(stage):
    proxy = stage.run(TEXT.replace('state: "@dir@/state"}', 'state: "@dir@/state", '
                                   'tokens: [{name: ci, token: hunter2-hunter2-1}]}'))
    answer = api_of(proxy).ask("POST", "/v1/plan", {"admin": {"tokens": [
        {"name": "ci", "token": "hunter2-hunter2-2"}, {"name": "new", "token": "hunter2-hunter2-3"}]}},
        kind="application/merge-patch+json")
    assert ("added", "token", "new") in changes(answer.good)
    assert ("changed", "token", "ci") in changes(answer.good)
    assert "hunter2" not in answer.text


def test_a_plan_of_what_cannot_work(proxy):
    problem = api_of(proxy).ask("POST", "/v1/plan", "routes: [{to: nobody}]\nlisteners: [':1']\n",
                                kind="application/yaml").refused(422)
    assert "there is no upstream `nobody`" in problem["errors"][0]["detail"]


def test_many_routes_are_planned_in_a_moment(stage):
    def text(changed):
        routes = "".join(f"  - {{host: h{i}.example.com, use: [{{respond: {{text: a}}}}]}}\n"
                         for i in range(10000) if i != changed)
        return TEXT.partition("routes:")[0] + "routes:\n" + routes

    proxy = stage.run(text(-1))
    began = time.monotonic()
    plan = planned(api_of(proxy), proxy.fill_in(text(5000)))
    assert time.monotonic() - began < seconds(5)
    assert [c[:2] for c in changes(plan)] == [("removed", "host"), ("removed", "route")]


def test_printed(proxy, tmp_path):
    with open(proxy.config) as file:
        text = file.read()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("response: 30s", "response: 5s"))
    done = command("plan", "-c", str(other), "--admin", f"unix:{proxy.dir}/admin.sock")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 changed\n\n  ~ middleware  api/timeouts\n        response: 30s -> 5s")
    assert "no recent requests" in done.stdout
    done = command("plan", "-c", proxy.config, "--admin", f"unix:{proxy.dir}/admin.sock")
    assert done.stdout.startswith("Nothing changes.\n")


@pytest.mark.parametrize("name", FILES)
def test_an_example_against_itself_and_another(stage, name):
    """Every kind of option there is: what is the same is no change, written out or not."""

    def furnished(name, folder):
        with open(os.path.join(FOLDER, name)) as file:
            text, _ = relocate(file.read(), origin, folder)
        return re.sub(r"^admin:.*\n(?:[ \t]+.*\n|\n(?=[ \t]))*", "", text, flags=re.M) + proxy.fill_in(ADMIN)

    origin, proxy = stage.origin(), Maitred(start=False, env={})
    with stage.use(proxy):
        shutil.copytree(FOLDER, f"{proxy.dir}/examples")
        proxy.config = f"{proxy.dir}/examples/{name}"
        text = furnished(name, proxy.dir)
        proxy.env.update(secrets(text))
        proxy.write(text)
        proxy.start()
        api = api_of(proxy)
        assert planned(api, text)["changes"] == []
        merged = api.get("/v1/config", fields={"Accept": "application/yaml"}).text
        assert planned(api, merged)["changes"] == []
        other = furnished(FILES[(FILES.index(name) + 1) % len(FILES)], proxy.dir)
        assert "${env:" in other or planned(api, other)["changes"]
