# SPDX-License-Identifier: Apache-2.0
"""The command line: help, versions, exit statuses."""
import re
import subprocess
import urllib.request

import pytest

from support.client import get
from support.maitred import BINARY, Maitred, command
from support.ports import free_port

COMMANDS = ["run", "check", "proxy", "schema", "reference", "explain", "demo", "version"]


def test_help_names_every_command():
    done = command("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", done.stdout), name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name):
    done = command(name, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert f"maitred {name}" in done.stdout


@pytest.mark.parametrize("name, options", [
    ("run", ["-c", "--io", "--workers"]), ("check", ["-c"]), ("proxy", ["--from", "--to"]),
    ("explain", ["-c", "-H", "--client"]), ("demo", ["--from"]),
])
def test_help_tells_the_options(name, options):
    said = command(name, "--help").stdout
    assert all(option in said for option in options)


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_version(args):
    done = command(*args)
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


@pytest.mark.parametrize("args, word", [
    ([], "usage"), (["nonsense"], "nonsense"), (["chekc", "-c", "x"], "check"), (["run"], "-c"), (["check"], "-c"),
    (["run", "-c"], "-c"), (["run", "-c", "x", "--nonsense"], "--nonsense"), (["proxy"], "--from"), (["proxy", "--from", ":80"], "--to"),
    (["explain", "-c", "x"], "explain"), (["run", "-c", "x", "--workers", "many"], "--workers"),
    (["run", "-c", "x", "--io", "magic"], "--io"), (["proxy", "--from", "nonsense", "--to", "127.0.0.1:1"], "nonsense"),
    (["version", "extra"], "extra"),
])
def test_bad_usage(args, word):
    done = command(*args)
    assert done.returncode == 2 and done.stdout == "" and word in done.stderr.lower(), done


@pytest.mark.parametrize("name", ["run", "check", "explain"])
def test_a_file_that_is_not_there(name):
    done = command(name, "-c", "/nonexistent/site.yaml", *(["GET", "/"] if name == "explain" else []))
    assert done.returncode == 2 and "/nonexistent/site.yaml" in done.stderr


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "schema"], stdout=full, stderr=subprocess.PIPE, timeout=20)
    assert done.returncode == 1


def test_log_lines_have_a_time_and_a_level():
    with Maitred("listeners: [{address: '@listen@'}]\nroutes: [{use: [{respond: 204}]}]\n") as proxy:
        for line in proxy.stderr.splitlines():
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|debug) +\S", line), line


def test_log_level():
    text = "listeners: [{address: '@listen@'}]\nroutes: []\nprocess: {log_level: %s}\n"
    with Maitred(text % "debug") as proxy:
        assert get(proxy.address).status == 404


def test_demo():
    """Two servers brought along, a proxy in front of them, and a word about what to try."""
    port = free_port()
    with Maitred(args=["demo", "--from", f"127.0.0.1:{port}"]) as proxy:
        proxy.worker_may_die = True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.status == 200 and answer.read()
        assert str(port) in proxy.stdout + proxy.stderr
        assert "curl" in proxy.stdout + proxy.stderr


@pytest.mark.parametrize("io", ["epoll", "auto"])
def test_io(stage, io):
    proxy = Maitred("listeners: [{address: '@listen@'}]\nroutes: []\n", start=False)
    proxy.args = ["run", "-c", proxy.config, "--io", io, "--workers", "1"]
    proxy.start()
    with proxy:
        assert get(proxy.address).status == 404


def test_workers_auto():
    proxy = Maitred("listeners: [{address: '@listen@'}]\nroutes: []\n", start=False)
    proxy.args = ["run", "-c", proxy.config]
    proxy.start()
    with proxy:
        assert get(proxy.address).status == 404
