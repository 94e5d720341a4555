# SPDX-License-Identifier: Apache-2.0
"""
Bodies that lie in the store in many pieces, some of them short, are sent several at once: each byte once, in order, and
the store's own bytes stay as they are.
"""
from support.client import Client
from support.origin import serve_forever

KIB = 1024
SMALL = [120, 300, 700, 1300, 2500, 5000]
LARGE = [3 * KIB, 64 * KIB, 256 * KIB + 14, 400 * KIB]


def body_of(path):
    """Each eight bytes say where they are."""
    length = int(path.split("/")[1])
    return b"".join(b"%08d" % at for at in range(0, length, 8))[:length]


def answer(conn, request):
    conn.respond(200, [("Cache-Control", "max-age=600")], body_of(request.target))


def ask(client, path):
    """True for a hit."""
    response = client.get(path)
    assert response.status == 200 and response.body == body_of(path), path
    return "; hit" in response.get("cache-status")


def test_bodies_in_pieces(stage):
    proxy = stage.proxy(stage.origin(serve_forever(answer)), use=[{"cache": {"store": "small"}}],
                        stores={"small": {"memory": "2MiB", "max_object": "1MiB"}})
    hits = 0
    with Client(proxy.address, timeout=20) as client:
        for turn in range(4):
            for n in range(500):    # what is long finds room where these stood
                ask(client, f"/{SMALL[n % len(SMALL)]}/{turn}/{n}")
            for length in LARGE:
                ask(client, f"/{length}/{turn}")
                hits += sum(ask(client, f"/{length}/{turn}") for _ in range(3))
    assert hits >= 30, "hardly anything was kept"
