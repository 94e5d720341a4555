# SPDX-License-Identifier: Apache-2.0
"""A cache on disk: what was kept is there after a restart, and trouble with the disk costs hits only."""
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import maitred
from support.client import get
from support.pages import Pages, ask, page
from support.wait import eventually

HOUR = ("Cache-Control", "max-age=3600")


@pytest.fixture
def folder():
    path = maitred.folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def pages(stage):
    return Pages(stage)


def store(folder, size="64MiB", memory="8MiB"):
    return {"default": {"memory": memory, "disk": {"folder": folder, "size": size}}}


def start(stage, pages, folder, **more):
    # Ports differ from proxy to proxy, and would be part of the key.
    options = {"purge": ["127.0.0.0/8"], "key": "${path}"}
    return stage.proxy(pages.origin, use=[{"cache": options}], stores=store(folder, **more))


def body_of(path, n=3000):
    return (path * (n // len(path) + 1))[:n]


def fill(proxy, pages, paths, n=3000):
    for path in paths:
        pages[path] = page(body_of(path, n), HOUR, ("ETag", f'"{path}"'), ("Cache-Tag", "all"))
        ask(proxy, path)


def kept(proxy, path, n=3000):
    """From the cache, and right."""
    response = ask(proxy, path)
    assert response.body == body_of(path, n).encode(), path
    return response.cache["hit"]


def written(folder, least):
    """So many bytes of segments have reached the folder."""

    def there():
        return sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)
                   if f.startswith("segment-")) >= least

    eventually(there, 10, f"{least} bytes in {folder}")


def kill_worker(proxy):
    before = proxy.worker_pid()
    ready = proxy.stderr.count("ready: listening")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: proxy.stderr.count("ready: listening") > ready, 10, "a new worker")
    proxy.worker = proxy.worker_pid()


PATHS = [f"/page/{i}" for i in range(50)]


def test_a_restart_finds_it_again(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS)
    proxy.stop()
    proxy = start(stage, pages, folder)
    assert all(kept(proxy, path) for path in PATHS)
    assert all(pages.asked(path) == 1 for path in PATHS)


def test_what_memory_has_no_room_for(stage, pages, folder):
    proxy = start(stage, pages, folder, memory="1MiB")
    paths = [f"/large/{i}" for i in range(40)]
    for number, path in enumerate(paths, 1):
        # So small a memory lets one at a time wait for the disk.
        fill(proxy, pages, [path], 100000)
        written(folder, number * 100000)
    assert sum(kept(proxy, path, 100000) for path in paths) == 40


def test_a_large_one_comes_while_it_is_read(stage, pages, folder):
    proxy = start(stage, pages, folder, memory="16MiB")
    fill(proxy, pages, ["/huge"], 3000000)
    written(folder, 3000000)
    kill_worker(proxy)
    part = ask(proxy, "/huge", ("Range", "bytes=2000000-2000009"))
    assert part.status == 206 and part.body == body_of("/huge", 3000000)[2000000:2000010].encode()
    assert kept(proxy, "/huge", 3000000)
    assert pages.asked("/huge") == 1


def test_what_is_stale_is_not_fresh_because_it_is_just_being_read(stage, pages, folder):
    """Many ask at once for something large that was softly purged: the server is asked before it is used."""
    proxy = start(stage, pages, folder, memory="16MiB")
    fill(proxy, pages, ["/huge"], 3000000)
    written(folder, 3000000)
    assert ask(proxy, "/huge", ("Cache-Purge", "soft"), method="PURGE").status == 200
    kill_worker(proxy)
    pages["/huge"] = page("new", HOUR)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(proxy, "/huge").body, range(16)))
    assert answers == [b"new"] * 16


def test_variants_come_back(stage, pages, folder):
    def tongue(request, before):
        return page(request.get("accept-language"), HOUR, ("Vary", "Accept-Language"))

    pages["/tongues"] = tongue
    proxy = start(stage, pages, folder)
    for language in ("de", "fr"):
        ask(proxy, "/tongues", ("Accept-Language", language))
    written(folder, 500)
    time.sleep(0.3)
    kill_worker(proxy)
    for language in ("de", "fr"):
        response = ask(proxy, "/tongues", ("Accept-Language", language))
        assert response.body == language.encode() and response.cache["hit"]


# ---------------------------------------------------------------- purges


def test_a_purge_holds_when_the_process_is_killed_at_once(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS)
    written(folder, 150000)
    assert ask(proxy, PATHS[0], method="PURGE").status == 200
    kill_worker(proxy)
    assert not kept(proxy, PATHS[0])
    assert kept(proxy, PATHS[1])
    assert get(proxy.address, "/", [("Cache-Tag", "all")], method="PURGE").status == 200
    kill_worker(proxy)
    assert not any(kept(proxy, path) for path in PATHS[1:])


def test_a_soft_purge_holds(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS[:3])
    written(folder, 9000)
    assert ask(proxy, PATHS[0], ("Cache-Purge", "soft"), method="PURGE").status == 200
    kill_worker(proxy)
    response = ask(proxy, PATHS[0])
    assert response.cache["fwd"] == "stale" and response.body == body_of(PATHS[0]).encode()
    assert kept(proxy, PATHS[1])


def test_variants_on_disk_are_purged_with_their_uri(stage, pages, folder):
    pages["/v"] = lambda request, before: page(f"{before}", HOUR, ("Vary", "Accept-Language"))
    proxy = start(stage, pages, folder)
    ask(proxy, "/v", ("Accept-Language", "de"))
    written(folder, 300)
    time.sleep(0.3)
    kill_worker(proxy)
    assert ask(proxy, "/v", method="PURGE").status == 200
    kill_worker(proxy)
    assert ask(proxy, "/v", ("Accept-Language", "de")).body == b"1"


def test_what_an_unsafe_method_changed(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS[:2])
    written(folder, 6000)
    ask(proxy, PATHS[0], method="POST")
    kill_worker(proxy)
    assert not kept(proxy, PATHS[0])
    assert kept(proxy, PATHS[1])


# ---------------------------------------------------------------- reloads


def test_another_folder_and_back(stage, pages, folder):
    other = maitred.folder()
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS)
    written(folder, 150000)
    here = open(proxy.config).read()
    proxy.reload(here.replace(folder, other))
    fill(proxy, pages, ["/other"])
    written(other, 3000)
    proxy.reload(here)
    assert all(kept(proxy, path) for path in PATHS)
    proxy.reload(here.replace("64MiB", "16MiB"))
    assert all(kept(proxy, path) for path in PATHS)
    proxy.stop()
    shutil.rmtree(other)


# ---------------------------------------------------------------- trouble


def test_two_on_one_folder(stage, pages, folder):
    first = start(stage, pages, folder)
    fill(first, pages, PATHS[:5])
    second = start(stage, pages, folder)
    eventually(lambda: "another process uses" in second.stderr, 5, "a warning")
    fill(second, pages, PATHS[:5])
    assert kept(first, PATHS[0]) and kept(second, PATHS[0])
    first.stop()
    eventually(lambda: "can be used now" in second.stderr, 5, "the folder is taken over")
    assert kept(second, PATHS[1])


@pytest.mark.parametrize("why", ["missing", "denied", "file"])
def test_a_folder_that_cannot_be_used(stage, pages, folder, why):
    if why == "denied":
        os.chmod(folder, 0o555)
    path = {"missing": folder + "/no/such", "denied": folder, "file": folder + "/file"}[why]
    with open(folder + "/file", "w") as file:
        file.write("mine")
    if why == "denied" and os.geteuid() != 0:
        os.remove(folder + "/file")
    proxy = start(stage, pages, path)
    eventually(lambda: "memory only" in proxy.stderr, 5, "a warning")
    assert "process.user" in proxy.stderr
    fill(proxy, pages, PATHS[:5])
    assert kept(proxy, PATHS[0])


def test_wrong_bytes_on_disk_are_never_served(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS)
    proxy.stop()
    for name in os.listdir(folder):
        if not name.startswith("segment-"):
            continue
        with open(os.path.join(folder, name), "r+b") as file:
            data = bytearray(file.read())
            # Every tenth record or so; the footer, at the end, stays.
            for at in range(5000, len(data) - 10000, 30011):
                data[at] ^= 1
            file.seek(0)
            file.write(data)
    proxy = start(stage, pages, folder)
    hits = sum(kept(proxy, path) for path in PATHS)
    assert 30 <= hits < 50, hits
    assert "not what was written" in proxy.stderr


def test_files_of_others_in_the_folder(stage, pages, folder):
    with open(os.path.join(folder, "segment-readme"), "w") as file:
        file.write("not ours")
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS[:5])
    proxy.stop()
    with open(os.path.join(folder, "segment-readme")) as file:
        assert file.read() == "not ours"


def test_the_folder_goes_away(stage, pages, folder):
    proxy = start(stage, pages, folder)
    fill(proxy, pages, PATHS[:5])

    def gone():
        shutil.rmtree(folder, ignore_errors=True)  # somebody may be writing into it
        return not os.path.exists(folder)

    eventually(gone)
    fill(proxy, pages, PATHS[5:20])
    assert all(kept(proxy, path) for path in PATHS[:20])
