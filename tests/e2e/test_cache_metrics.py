# SPDX-License-Identifier: Apache-2.0
"""What the caches have done, as `use: [status]` tells it: per route, and per store."""
import json

from support.client import get
from support.maitred import command

CONFIG = '''
listeners: [{address: "@listen@"}]
stores: {pages: 8MiB}
routes:
  - {path: /status, use: [status]}
  - {name: site, use: [{cache: {store: pages, ttl: {200: 1m}}}], to: "http://@app@"}
'''


def told(proxy):
    return json.loads(get(proxy.address, "/status").body)


def test_each_route_and_store_is_counted(stage):
    proxy = stage.run(CONFIG, app=stage.origin())
    for path in ("/a", "/a", "/a", "/b"):
        assert get(proxy.address, path).status == 200
    get(proxy.address, "/a", method="POST", body=b"x")
    status = told(proxy)
    (cache,), stores = status["caches"], {s["name"]: s for s in status["stores"]}
    assert (cache["name"], cache["store"]) == ("site", "pages")
    assert (cache["hits"], cache["misses"], cache["stored"], cache["passed"]) == (2, 2, 2, 1)
    assert cache["hit_bytes"] > 0 and cache["saved_seconds"] >= 0
    assert stores["pages"]["objects"] == 1  # what was written to has gone
    assert 0 < stores["pages"]["memory_bytes"] <= stores["pages"]["memory_max"] == 8 * 1024 * 1024
    assert status["upstreams"]


def test_a_store_that_nobody_declared_is_an_error(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text("""
listeners: [":8080"]
stores: {pages: 8MiB}
routes: [{use: [{cache: {store: page}}], to: "http://127.0.0.1:1"}]
""")
    done = command("check", "-c", str(site))
    assert done.returncode != 0
    assert "there is no store `page`" in done.stderr and "site.yaml:4:" in done.stderr
