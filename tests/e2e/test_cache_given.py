# SPDX-License-Identifier: Apache-2.0
"""
Large objects leave the cache without being copied: what the kernel still holds for a client who reads late must be
what it was, though the object is long gone and its memory full of others.
"""
import hashlib
import random

import pytest

from support.client import Client, get
from support.pages import Pages
from support.wait import volume

LENGTHS = [40_000, 65_536, 100_001, 262_144, 300_000, 700_001]


def body_of(path):
    return random.Random(path).randbytes(int(path.split("/")[1]))


@pytest.fixture
def pages(stage):
    class Made(Pages):
        def get(self, path, default=None):
            return {"status": 200, "fields": [("Cache-Control", "max-age=600"), ("ETag", f'"{path}"')],
                    "body": body_of(path)}

    return Made(stage)


def hit(proxy, path):
    """It is in the cache, and has been asked for."""
    for _ in range(2):
        assert get(proxy.address, path).body == body_of(path)


def churn(proxy, count):
    """So many others come and are asked for twice."""
    for i in range(count):
        hit(proxy, f"/{LENGTHS[i % len(LENGTHS)]}/other{i}")


@pytest.mark.parametrize("workers", [1, 2])
def test_late_readers_get_what_they_asked_for(stage, pages, workers):
    proxy = stage.proxy(pages.origin, use=["cache"], workers=workers, stores={"default": "8MiB"})
    late = []
    for i in range(volume(30)):
        path = f"/{LENGTHS[i % len(LENGTHS)]}/late{i}"
        hit(proxy, path)
        client = stage.use(Client(proxy.address, timeout=60))
        client.request(target=path)
        late.append((path, client))
    churn(proxy, volume(150))
    for path, client in late:
        answer = client.response()
        assert answer.get("cache-status").startswith("maitred; hit")
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body_of(path)).digest(), path


def test_ranges_and_pipelined_requests(stage, pages):
    proxy = stage.proxy(pages.origin, use=["cache"], stores={"default": "8MiB"})
    path = "/700001/x"
    hit(proxy, path)
    body = body_of(path)
    with Client(proxy.address) as client:
        for first, last in [(0, 700_000), (1, 65_536), (5000, 400_000), (4096, 36_863), (650_000, 700_000)]:
            client.request(target=path, fields=[("Range", f"bytes={first}-{last}")])
            client.request(target="/40000/small")
            client.request(target=path, fields=[("Range", f"bytes=0-40000,{first}-{last}")])
            answer = client.response()
            assert answer.status == 206 and answer.body == body[first:last + 1]
            assert client.response().body == body_of("/40000/small")
            answer = client.response()
            assert answer.status == 206 and body[first:last + 1] in answer.body and body[:40_001] in answer.body


def test_old_clients_and_those_who_leave(stage, pages):
    """HTTP/1.0 and a client that breaks off; the next one has the object whole."""
    proxy = stage.proxy(pages.origin, use=["cache"], stores={"default": "8MiB"})
    hit(proxy, "/700001/y")
    with Client(proxy.address) as client:
        client.request(target="/700001/y", version="HTTP/1.0")
        assert client.response().body == body_of("/700001/y")
    for _ in range(5):
        with Client(proxy.address) as client:
            client.request(target="/700001/y")
            client.read_exact(1000)
    assert get(proxy.address, "/700001/y").body == body_of("/700001/y")
