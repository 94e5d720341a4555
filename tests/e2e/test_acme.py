# SPDX-License-Identifier: Apache-2.0
"""
Certificates that look after themselves: each way to prove a name, against Debian's pebble, with its refusals;
renewal, outages, restarts, reloads, names on demand, and the authority for localhost.
"""
import base64
import os
import re
import signal
import struct
import subprocess
import time

import dns.name
import dns.tsig
import pytest
import yaml

from support import process
from support.acme import EAB, KEY_NAME, Front, NameServer, Pebble, forget_files, is_trusted, shown
from support.certs import Authority, openssl
from support.client import get
from support.dns import can_unshare
from support.maitred import BINARY, ROOT, Maitred, command, environment, to_yaml
from support.ports import free_port
from support.wait import eventually, seconds, stays

NAME = "www.example.test"


class Scene:
    """An authority, and proxies whose names it is asked for; the state outlives the proxies."""

    def __init__(self, stage, shared=None, **more):
        self.stage = stage
        self.names, self.ca = shared or (more.get("dns"), stage.use(Pebble(stage.folder(), **more)))
        self.state = os.path.join(stage.folder(), "state")
        self.secure = f"127.0.0.1:{self.ca.tls_port}"
        self.plain = f"127.0.0.1:{self.ca.http_port}"

    def text(self, *hosts, tls=None, plain=None, **acme):
        options = {"directory": self.ca.directory, "ca": self.ca.ca, "state": self.state, "retry": "300ms", **acme}
        options = {k: v for k, v in options.items() if v is not None}
        routes = [{"host": list(hosts), "use": [{"respond": {"status": 200, "text": "hello"}}]}] if hosts else []
        return to_yaml({
            "process": {"drain": "1s", "log_level": "debug"},
            "listeners": [{"address": self.plain, **(plain or {})},
                          {"address": self.secure, "tls": {"acme": options, **(tls or {})}}],
            "routes": [*routes, {"use": [{"respond": {"status": 404, "text": "who?"}}]}]})

    def proxy(self, *hosts, **more):
        return self.stage.run(self.text(*hosts, **more))

    def issued(self, name=NAME, within=10):
        """Waits until the name has a certificate of the authority; its serial number."""
        root = self.ca.root()
        eventually(lambda: is_trusted(self.secure, name, root), within, f"{name} has a certificate")
        return shown(self.secure, name)[2]

    def files(self, what):
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.state) for name in names
                      if what in os.path.join(folder, name))

    def certificate(self, name=NAME):
        return next(p for p in self.files("/certificates/") if p.endswith(f"/{name}.pem"))


@pytest.fixture(scope="module")
def shared(module_stage):
    """To start an authority takes a second: most tests have one in common."""
    names = module_stage.use(NameServer())
    yield names, module_stage.use(Pebble(module_stage.folder(), names))
    forget_files()


@pytest.fixture
def scene(stage, shared):
    names, ca = shared
    names.reset()
    ca.mark()
    yield Scene(stage, shared)
    ca.thaw()


@pytest.fixture
def alone(stage, shared):
    """For those that need an authority of another kind."""
    names, _ = shared
    names.reset()
    return lambda **more: Scene(stage, dns=names, **more)


def is_self_signed(address, name):
    subject, issuer, _, _ = shown(address, name)
    return subject == issuer == f"CN={name}"


# ---------------------------------------------------------------------------- proofs

@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_a_name_is_proved(scene, kind):
    proxy = scene.proxy(NAME, challenge=kind, plain={"redirect": "https"})
    scene.issued()
    assert get(scene.plain, "/.well-known/acme-challenge/nobody").status == 404  # no proof, no redirect: the route's
    for path in scene.files(""):
        assert os.stat(path).st_mode & 0o077 == 0, path
    proxy.check_stderr()


def test_without_a_word_one_kind_after_the_other_is_tried(scene):
    """TLS first; where the authority cannot come by TLS, plain HTTP."""
    elsewhere = f"127.0.0.1:{free_port()}"
    scene.stage.run(scene.text(NAME).replace(f"address: {scene.secure}", f"address: {elsewhere}"))
    eventually(lambda: is_trusted(elsewhere, NAME, scene.ca.root()), 10)
    assert scene.ca.orders() == 2


def test_clients_must_show_certificates_but_the_authority_need_not(scene):
    clients = Authority(scene.stage.folder())
    proxy = scene.proxy(NAME, challenge="tls-alpn-01", tls={"client": {"ca": clients.root_path}})
    eventually(lambda: "has one of https://" in proxy.stderr, 10, proxy.stderr)


def test_an_authority_with_moods(alone):
    """It refuses every second nonce; and what was proved once need not be proved again."""
    scene = alone(reject=50, reuse=100)
    proxy = scene.proxy(NAME, "a.example.test", "b.example.test")
    serials = [scene.issued(name) for name in (NAME, "a.example.test", "b.example.test")]
    assert scene.ca.count("POST /(order-plz|chalZ|finalize-order|certZ)") > 4 * 3  # some were sent again
    proxy.stop()
    os.unlink(scene.certificate())
    scene.names.hosts[NAME] = "127.0.0.9"  # nobody is there
    scene.proxy(NAME)
    assert scene.issued() not in serials


def test_accounts_that_belong_to_others(alone):
    scene = alone(eab=True)
    proxy = scene.proxy(NAME)
    eventually(lambda: "set `eab`" in proxy.stderr, 10)
    proxy.reload(scene.text(NAME, eab=EAB))
    scene.issued()


def test_many_names_at_once(scene):
    names = [f"n{i}.example.test" for i in range(25)]
    proxy = scene.proxy(*names)
    eventually(lambda: len(scene.files("/certificates/")) == len(names), 20, proxy.stderr)
    root = scene.ca.root()
    eventually(lambda: all(is_trusted(scene.secure, name, root) for name in names), 10)
    assert len(scene.files("/accounts/")) == 2  # one account: its key and its address


# ---------------------------------------------------------------------------- proofs in the DNS

def test_wildcards_by_signed_updates(scene):
    """Each update is what dnspython makes of it, to the byte; the records are gone afterwards."""
    scene.proxy("example.test", "*.example.test", "deep.example.test", dns=scene.names.options(ttl="90s"))
    scene.issued("example.test")
    scene.issued("any.example.test")
    assert scene.ca.orders() == 2  # deep.example.test is covered by the wildcard
    eventually(lambda: len(scene.names.updates) == 4, 5)
    assert not any(scene.names.records.values()), scene.names.records
    for wire, seen in scene.names.updates:
        assert wire == _by_the_book(scene.names, seen)


def _by_the_book(names, seen):
    """RFC 2136 2.4, 2.5 and RFC 8945 4.2, names without compression, signed by dnspython."""
    record, tsig = seen.authority[0], seen.tsig[0]
    adds = record.deleting is None
    data = record[0].to_wire()
    wire = (struct.pack("!6H", seen.id, 5 << 11, 1, 0, 1, 0) + dns.name.from_text("example.test").to_wire()
            + struct.pack("!2H", 6, 1) + dns.name.from_text("_acme-challenge.example.test").to_wire()
            + struct.pack("!2HIH", 16, 1 if adds else 254, 90 if adds else 0, len(data)) + data)
    name = dns.name.from_text(KEY_NAME)
    signed, _ = dns.tsig.sign(wire, dns.tsig.Key(name, names.secret, "hmac-sha256"), tsig, tsig.time_signed)
    data = signed.to_wire()
    return (wire[:10] + b"\0\1" + wire[12:] + name.to_wire() + struct.pack("!2HIH", 250, 255, 0, len(data)) + data)


@pytest.mark.parametrize("trouble", ["lost", "late", "long"])
def test_a_name_server_has_its_ways(scene, trouble):
    if trouble == "lost":
        scene.names.mute = 1
    elif trouble == "late":
        scene.names.slow = 2
    else:
        scene.names.truncates = True
    scene.proxy(NAME, dns=scene.names.options())
    scene.issued()
    assert bool(scene.names.streams) == (trouble == "long")


def test_a_name_server_that_does_not_take_our_signature(scene):
    options = scene.names.options(key_secret=base64.b64encode(b"x" * 32).decode())
    proxy = scene.proxy(NAME, dns=options)
    eventually(lambda: re.search(r"attempt 2: name server \S+ .*(BADSIG|NOTAUTH)", proxy.stderr), 10, proxy.stderr)
    assert scene.names.refused >= 2 and not scene.names.updates and is_self_signed(scene.secure, NAME)
    proxy.reload(scene.text(NAME, dns=scene.names.options()))
    scene.issued()


def _command(folder, text):
    path = os.path.join(folder, "hook.sh")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def test_records_by_a_command(scene):
    folder = scene.stage.folder()
    scene.names.file = os.path.join(folder, "zone")
    hook = _command(folder, f"""
echo "$1 $2 $3" >> {folder}/calls
test "$1" = extra || exit 3
case $2 in
add) echo "$3 $4" >> {folder}/zone ;;
remove) grep -vxF "$3 $4" {folder}/zone > {folder}/zone.new; cat {folder}/zone.new > {folder}/zone ;;
esac
""")
    scene.proxy("*.example.test", dns={"command": [hook, "extra"]})
    scene.issued("any.example.test")

    def calls():
        with open(f"{folder}/calls") as file:
            return file.read().split("\n")[:-1]

    eventually(lambda: calls() == ["extra add _acme-challenge.example.test",
                                   "extra remove _acme-challenge.example.test"], 5)
    eventually(lambda: os.path.getsize(f"{folder}/zone") == 0, 5)


@pytest.mark.parametrize("text, said", [
    ("echo 'the zone is locked' >&2; exit 7", "status 7: the zone is locked"),
    ("sleep 30 & sleep 30", "waiting for the command to end: the deadline has passed"),
    ("kill -9 $$", "signal 9"),
])
def test_a_command_that_fails(scene, text, said):
    hook = _command(scene.stage.folder(), text)
    proxy = scene.proxy(NAME, dns={"command": hook, "timeout": "200ms"})
    eventually(lambda: f"attempt 1: the command ended with {said}" in proxy.stderr or
               f"attempt 1: the command was ended by {said}" in proxy.stderr or
               f"attempt 1: {said}" in proxy.stderr, 10)
    assert is_self_signed(scene.secure, NAME)


# ---------------------------------------------------------------------------- trouble

def attempts(proxy):
    """(number, seconds since the epoch) of each failed attempt, as told."""
    found = re.findall(r"T(\d\d):(\d\d):(\d\d\.\d+)Z.*attempt (\d+):", proxy.stderr)
    return [(int(n), int(h) * 3600 + int(m) * 60 + float(s)) for h, m, s, n in found]


def test_a_proof_that_fails_is_tried_again_ever_more_slowly(scene):
    scene.names.hosts[NAME] = "127.0.0.9"  # nobody is there
    proxy = scene.proxy(NAME, challenge="http-01", retry="160ms")
    eventually(lambda: len(attempts(proxy)) >= 4, 15)
    assert "does not accept the proof by http-01: " in proxy.stderr and "refused" in proxy.stderr
    times = [at for _, at in attempts(proxy)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[0] >= 0.11 and gaps[1] >= 0.23 and gaps[2] >= 0.47, gaps  # doubled, less a quarter
    assert is_self_signed(scene.secure, NAME)
    del scene.names.hosts[NAME]
    scene.issued()


def test_an_authority_that_wants_to_be_left_alone(scene):
    """Retry-After counts, and other authorities are asked meanwhile."""
    def busy(path):
        return 429, {"Retry-After": 1}, {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}

    front = scene.stage.use(Front(scene.ca, newOrder=busy))
    proxy = scene.proxy(NAME, directory=front.directory)
    eventually(lambda: front.count("newOrder") == 1, 10)
    stays(lambda: front.count("newOrder") == 1, 0.7)
    assert "rateLimited: too many" in proxy.stderr and len(attempts(proxy)) == 1
    eventually(lambda: front.count("newOrder") == 2, 5)
    proxy.reload(scene.text(NAME, directory=[front.directory, scene.ca.directory]))
    scene.issued()


def test_the_next_authority_is_asked(scene):
    dead = f"https://127.0.0.1:{free_port()}/dir"
    proxy = scene.proxy(NAME, directory=[dead, scene.ca.directory])
    scene.issued()
    assert not attempts(proxy) and f"connecting to `127.0.0.1:{dead.split(':')[2].split('/')[0]}`" in proxy.stderr


def test_an_authority_that_we_have_no_reason_to_trust(scene):
    proxy = scene.proxy(NAME, ca=None)
    eventually(lambda: attempts(proxy), 10)
    assert "certificate not accepted" in proxy.stderr and scene.ca.orders() == 0


def test_a_state_folder_that_cannot_be_written(scene):
    os.mkdir(scene.state, 0o700)  # root's, and the worker is not
    proxy = scene.proxy(NAME)
    eventually(lambda: attempts(proxy), 10)
    if os.getuid() == 0:
        assert "cannot be kept in" in proxy.stderr and scene.ca.orders() == 0
    assert is_self_signed(scene.secure, NAME)


# ---------------------------------------------------------------------------- renewal

def test_renewal_under_load(alone):
    """At two thirds of a life of four seconds; not one handshake fails, and none is shown what has expired."""
    scene = alone(validity=4)
    proxy = scene.proxy(NAME)
    serials = [scene.issued()]
    end = time.monotonic() + seconds(12)
    while len(serials) < 2 and time.monotonic() < end:
        _, issuer, serial, pem = shown(scene.secure, NAME)
        assert "Pebble" in issuer
        done = subprocess.run(["openssl", "x509", "-noout", "-checkend", "0"], input=pem, text=True,
                              stdout=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, "expired"
        if serial != serials[-1]:
            serials.append(serial)
        time.sleep(0.05)
    assert len(serials) == 2 and scene.ca.orders() <= 3, proxy.stderr
    assert not attempts(proxy)


def test_outages(alone):
    """
    At the start: a self-signed one is shown.  At the time of renewal: what is there is shown on, even expired.
    Whoever the authority is afterwards, we get an account with it.
    """
    scene = alone(validity=3, start=False)
    proxy = scene.proxy(NAME, retry="200ms", tls={"unknown_names": "refuse"})
    assert is_self_signed(scene.secure, NAME)
    eventually(lambda: attempts(proxy), 10)
    assert "a self-signed certificate is shown meanwhile" in proxy.stderr
    scene.ca.start()
    serial = scene.issued()
    failed = len(attempts(proxy))
    scene.ca.stop()
    eventually(lambda: len(attempts(proxy)) >= failed + 2, 10)
    assert "the certificate in use lasts until" in proxy.stderr
    eventually(lambda: "the certificate in use has expired" in proxy.stderr, 15)
    assert shown(scene.secure, NAME)[2] == serial
    scene.ca.start()
    eventually(lambda: shown(scene.secure, NAME)[2] != serial, 15)
    assert proxy.stderr.count("account with") >= 2


def _window(start, end):
    def text(at):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

    return 200, {"Retry-After": 21600}, {"suggestedWindow": {"start": text(start), "end": text(end)}}


def _renewal_id(pem):
    """RFC 9773 4.1, by other means."""
    text = subprocess.run(["openssl", "x509", "-noout", "-serial", "-ext", "authorityKeyIdentifier"], input=pem,
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    key = bytes.fromhex(re.search(r"((?:[0-9A-F]{2}:){19}[0-9A-F]{2})", text)[1].replace(":", ""))
    serial = bytes.fromhex(re.search(r"serial=([0-9A-F]+)", text)[1])
    serial = b"\0" + serial if serial[0] & 0x80 else serial
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (key, serial))


def test_the_authority_says_when_to_renew(scene):
    """RFC 9773: the first certificate is to be replaced at once (as after an incident), the next one later."""
    now = time.time()
    windows = {}

    def window(path):
        windows.setdefault(path.split("/")[2], len(windows))
        return _window(now - 7200, now - 3600) if windows[path.split("/")[2]] == 0 else _window(now + 1e6, now + 2e6)

    front = scene.stage.use(Front(scene.ca, renewalInfo=window))
    scene.proxy(NAME, directory=front.directory)
    scene.issued()
    first = shown(scene.secure, NAME)
    eventually(lambda: shown(scene.secure, NAME)[2] != first[2], 10)
    second = shown(scene.secure, NAME)
    eventually(lambda: len(windows) == 2, 10)
    assert list(windows) == [_renewal_id(first[3]), _renewal_id(second[3])]
    stays(lambda: scene.ca.orders() == 2, 1.0)


# ---------------------------------------------------------------------------- lives

def test_restart(scene):
    """Certificates and account are there again, and the authority is not needed for that."""
    first = scene.proxy(NAME)
    serial = scene.issued()
    root = scene.ca.root()
    first.stop()
    scene.ca.freeze()
    second = scene.proxy(NAME)
    assert shown(scene.secure, NAME)[2] == serial and is_trusted(scene.secure, NAME, root)
    second.worker_may_die = True
    os.kill(second.worker, signal.SIGKILL)
    eventually(lambda: process.children(second.pid) not in ([], [second.worker]), 10)
    eventually(lambda: second.stderr.count("ready: listening on") == 2, 10)
    assert shown(scene.secure, NAME)[2] == serial and not attempts(second)
    assert len(scene.files("/accounts/")) == 2


def test_reload(scene):
    """A new host gets one, the others keep theirs; one that comes back has not lost its own."""
    proxy = scene.proxy(NAME)
    serial = scene.issued()
    proxy.reload(scene.text(NAME, "new.example.test"))
    new = scene.issued("new.example.test")
    assert shown(scene.secure, NAME)[2] == serial
    proxy.reload(scene.text("new.example.test"))
    assert shown(scene.secure, NAME)[2] == new  # the only one, and so the default
    proxy.reload(scene.text(NAME, "new.example.test"))
    assert shown(scene.secure, NAME)[2] == serial and scene.ca.orders() == 2


def test_a_reload_in_the_middle_of_an_order(scene):
    scene.names.slow = 1000
    proxy = scene.proxy(NAME, dns=scene.names.options(timeout="20s"))
    eventually(lambda: scene.names.updates, 10)
    proxy.reload(scene.text(NAME, "new.example.test", dns=scene.names.options(timeout="20s")))
    proxy.reload(scene.text("new.example.test", dns=scene.names.options(timeout="20s")))  # NAME is wanted no more
    eventually(lambda: not scene.names.records.get(f"_acme-challenge.{NAME}"), 10)  # and tidied up
    scene.names.slow = 0
    scene.issued("new.example.test")


@pytest.mark.parametrize("mute", [0, 1000])
def test_the_end_in_the_middle_of_an_order(scene, mute):
    """The record is taken away first; where the name server does not answer, that is not waited for."""
    scene.names.slow = 1000
    proxy = scene.proxy(NAME, dns=scene.names.options(timeout="30s"))
    eventually(lambda: scene.names.updates, 10)
    scene.names.mute = mute
    started = time.monotonic()
    proxy.stop()
    assert time.monotonic() - started < seconds(4)
    assert any(scene.names.records.values()) == bool(mute)


def _spoil(path, how):
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(b"" if how == "empty" else content[:len(content) // 2] if how == "half" else b"\0garbage\xff" * 99)


@pytest.mark.parametrize("how", ["empty", "half", "garbage"])
def test_state_that_is_spoiled(scene, how):
    proxy = scene.proxy(NAME)
    serial = scene.issued()
    proxy.stop()
    for path in scene.files(""):
        _spoil(path, how)
    proxy = scene.proxy(NAME)
    assert scene.issued() != serial
    assert proxy.stderr.count("is of no use (it is not as it was written)") == 2
    assert scene.ca.count("accounts in memory") == 2


def test_a_certificate_of_another_name_in_its_place(scene):
    proxy = scene.proxy(NAME, "b.example.test")
    scene.issued()
    scene.issued("b.example.test")
    proxy.stop()
    os.replace(scene.certificate("b.example.test"), scene.certificate())
    proxy = scene.proxy(NAME)
    scene.issued()
    assert "it is not for this name" in proxy.stderr


# ---------------------------------------------------------------------------- names

def test_names_that_have_certificates_get_no_other(scene):
    mine, folder = Authority(scene.stage.folder()), scene.stage.folder()
    fixed = mine.issue("fixed", names=["*.fixed.test"])
    watched = mine.issue("watched", names=["watched.test"])
    watched.join(os.path.join(folder, "watched.pem"), watched.chain, watched.key)
    scene.proxy("a.fixed.test", "watched.test", NAME,
                tls={"certificates": [{"certificate": fixed.chain, "key": fixed.key}], "folder": folder})
    scene.issued()
    for name in ("a.fixed.test", "watched.test"):
        assert is_trusted(scene.secure, name, mine.root_path)
    later = mine.issue("later", names=["later.test"])
    later.join(os.path.join(folder, "later.pem"), later.chain, later.key)
    eventually(lambda: is_trusted(scene.secure, "later.test", mine.root_path), 10)
    scene.issued()  # the folder's change has not taken it away
    assert scene.ca.orders() == 1


def test_names_beside_those_of_routes(scene):
    scene.proxy(names=["extra.example.test"])
    scene.issued("extra.example.test")


def test_a_wildcard_without_dns_is_told(scene):
    proxy = scene.proxy("*.example.test", NAME)
    scene.issued()
    assert "none for *.example.test: a wildcard takes a proof by DNS" in proxy.stderr and scene.ca.orders() == 1
    assert "takes a proof" not in proxy.reload(scene.text("*.example.test", NAME, on_demand="*.example.test"))


def test_the_default_is_the_one_that_is_asked_for(scene):
    scene.proxy("a.example.test", NAME, tls={"default": NAME})
    scene.issued()
    eventually(lambda: shown(scene.secure, None)[0] == shown(scene.secure, NAME)[0], 5)


def test_on_demand(scene):
    """The first client waits, and is shown a good one; who may not have one costs the authority nothing."""
    proxy = scene.proxy(on_demand=["*.customers.test", "vip.test"])
    root = scene.ca.root()
    for name in ("a.customers.test", "b.c.customers.test", "vip.test"):
        assert is_trusted(scene.secure, name, root), proxy.stderr
    assert scene.ca.orders() == 3
    for name in ("stranger.test", "customers.test", "x.vip.test"):
        assert not is_trusted(scene.secure, name, root)
    assert scene.ca.orders() == 3
    serial = shown(scene.secure, "vip.test")[2]
    proxy.reload(scene.text(NAME, on_demand=["vip.test"]))
    assert shown(scene.secure, "vip.test")[2] == serial
    assert not is_trusted(scene.secure, "a.customers.test", root)  # it is not allowed any more
    proxy.stop()
    orders = scene.ca.orders()
    scene.proxy(on_demand=["vip.test"])
    assert shown(scene.secure, "vip.test")[2] == serial and scene.ca.orders() == orders  # it was in the state


def test_on_demand_in_vain(scene):
    """A name that cannot be proved: the client gets what there is, and nobody can make us storm the authority."""
    scene.names.hosts["bad.customers.test"] = "127.0.0.9"
    scene.proxy(on_demand="*.customers.test", challenge="http-01", retry="30s")
    for _ in range(3):
        assert shown(scene.secure, "bad.customers.test")[0] == "CN=maitred.invalid"
    assert scene.ca.orders() == 1


# ---------------------------------------------------------------------------- localhost

LOCAL = ["localhost", "app.localhost"]


def _local(stage):
    scene = Scene(stage, start=False)
    return scene, os.path.join(scene.state, "local", "ca.pem")


def test_localhost_has_an_authority_of_its_own(stage):
    scene, ca = _local(stage)
    proxy = scene.proxy(*LOCAL)
    for name in [*LOCAL, "127.0.0.1"]:
        assert is_trusted(scene.secure, name, ca)
    assert not attempts(proxy) and not os.path.exists(os.path.join(scene.state, "acme"))
    with open(ca, "rb") as file:
        first = file.read()
    assert b"PRIVATE KEY" not in first
    proxy.stop()
    proxy = scene.proxy(*LOCAL)
    with open(ca, "rb") as file:
        assert file.read() == first
    assert all(is_trusted(scene.secure, name, ca) for name in LOCAL)
    proxy.stop()
    _spoil(ca, "half")
    proxy = scene.proxy(*LOCAL)
    assert is_trusted(scene.secure, "localhost", ca) and "wants to be trusted anew" in proxy.stderr


def test_who_trusts_it_trusts_it_for_localhost_only(stage):
    """With its stolen key nobody could pass for a bank."""
    scene, ca = _local(stage)
    scene.proxy("localhost")
    folder = stage.folder()
    request, extensions = os.path.join(folder, "csr"), os.path.join(folder, "ext")
    key, made = os.path.join(folder, "key"), os.path.join(folder, "made.pem")
    for name, good in (("bank.test", False), ("x.localhost", True)):
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=x", "-out", request)
        with open(extensions, "w") as file:
            file.write(f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.replace("ca.pem", "ca.key"), "-extfile",
                extensions, "-days", "1", "-out", made, "-set_serial", "7")
        done = subprocess.run(["openssl", "verify", "-CAfile", ca, made], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        assert (done.returncode == 0) == good, done.stdout
        assert good or "permitted subtree violation" in done.stdout


def test_trust(stage):
    scene, ca = _local(stage)
    proxy = scene.proxy("localhost")
    told = command("trust", "-c", proxy.config)
    assert told.returncode == 0 and ca in told.stdout and "maitred trust --install" in told.stdout
    done = command("trust", "-c", os.path.join(stage.folder(), "none.yaml"))
    assert done.returncode == 2 and "none.yaml" in done.stderr
    proxy.stop()
    os.unlink(ca)
    plain = Maitred(scene.text("localhost"), start=False)
    with stage.use(plain):
        done = command("trust", "-c", plain.config)
    assert done.returncode == 1 and "first serves a host such as localhost" in done.stderr


@pytest.mark.skipif(not can_unshare(), reason="needs root")
def test_trust_install(stage):
    """In a namespace where the machine's lists may be changed: curl believes it then, without a word."""
    scene, _ = _local(stage)
    proxy = scene.proxy("localhost")
    script = f"""
        mount -t tmpfs none /usr/local/share/ca-certificates
        cp -a /etc/ssl/certs {proxy.dir}/certs && mount --bind {proxy.dir}/certs /etc/ssl/certs
        curl -sS https://localhost:{scene.ca.tls_port}/ && exit 9
        {BINARY} trust -c {proxy.config} --install || exit 8
        curl -sS https://localhost:{scene.ca.tls_port}/
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds(40), env=environment(), check=False)
    assert done.returncode == 0 and "This machine trusts" in done.stdout and done.stdout.endswith("hello"), done.stdout


# ---------------------------------------------------------------------------- the guide

with open(os.path.join(ROOT, "docs", "guide", "acme.md")) as _file:
    EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", _file.read(), re.M | re.S)


def _furnished(folder, text):
    """With the file that an example names beside it."""
    if "internal-root.pem" in text:
        Authority(folder, name="internal")
        os.rename(f"{folder}/internal-root.leaf.pem", f"{folder}/internal-root.pem")
    path = os.path.join(folder, "site.yaml")
    with open(path, "w") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_valid(stage, number):
    done = command("check", "-c", _furnished(stage.folder(), EXAMPLES[number]))
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_gets_its_certificates(scene, number):
    """With our authority, name server and ports in place of those that it names."""
    tree, folder = yaml.safe_load(EXAMPLES[number]), scene.stage.folder()
    secure = tree["listeners"][-1]
    acme = secure["tls"]["acme"]
    acme = {"email": acme} if isinstance(acme, str) else acme
    scene.names.file = os.path.join(folder, "zone")
    hook = _command(folder, f'[ "$3" = remove ] || echo "$4 $5" >> {folder}/zone\n')
    secure["address"] = scene.secure
    if len(tree["listeners"]) == 2:
        tree["listeners"][0]["address"] = scene.plain
    if "server" in acme.get("dns", {}):
        acme["dns"] = {**scene.names.options(zone=acme["dns"]["zone"]), "delay": "10ms"}
    elif "dns" in acme:
        acme["dns"] = {"command": [hook, *acme["dns"]["command"][1:]], "delay": "10ms"}
    secure["tls"]["acme"] = {**acme, "directory": [scene.ca.directory] * len(acme.get("directory", "x")[:1]),
                             "ca": scene.ca.ca, "state": scene.state, "retry": "300ms"}
    scene.stage.run(to_yaml(tree))
    hosts = tree["routes"][0].get("host", "shop.example.net")
    for host in [hosts] if isinstance(hosts, str) else hosts:
        host = host.replace("*", "any")
        root = f"{scene.state}/local/ca.pem" if "localhost" in host else scene.ca.root()
        eventually(lambda h=host, r=root: is_trusted(scene.secure, h, r), 10, f"{host} has a certificate")


# ---------------------------------------------------------------------------- mistakes

DNS = {"server": "192.0.2.1", "zone": "example.com", "key_name": "k", "key_secret": "c2VjcmV0LXNlY3JldA=="}


@pytest.mark.parametrize("acme, said", [
    ({"directory": "http://ca.test/dir"}, "is not the address of a directory"),
    ({"directory": [f"https://ca{i}.test/" for i in range(9)]}, "more than 8 authorities"),
    ({"email": "me"}, "is not an address for mail"),
    ({"challenge": "dns-01"}, "dns-01 needs to know how records are made"),
    ({"names": "*.example.com"}, "takes a proof by DNS"),
    ({"names": "a b"}, "is not a host name"),
    ({"on_demand": "*"}, "is not a host name"),
    ({"dns": {}}, "records are made by a server or by a command"),
    ({"dns": {**DNS, "command": "/bin/true"}}, "records are made by a server or by a command"),
    ({"dns": {**DNS, "zone": None}}, "an update needs to know the zone"),
    ({"dns": {**DNS, "key_secret": "!"}}, "the secret is not base64"),
    ({"dns": {"command": "true"}}, "is not the path of a program"),
    ({"eab": {"key_id": "x", "hmac": "short"}}, "the secret is not base64, or shorter than"),
    ({"ca": "/none.pem"}, "/none.pem"),
    ({"renew": "0%"}, "renew"),
    ({}, None),  # a warning, for no route names a host
])
def test_mistakes_are_told(stage, acme, said):
    path = os.path.join(stage.folder(), "site.yaml")
    with open(path, "w") as file:
        file.write(to_yaml({"listeners": [{"address": ":443", "tls": {"acme": acme}}],
                            "routes": [{"use": [{"respond": {"status": 200, "text": "x"}}]}]}))
    done = command("check", "-c", path)
    assert done.returncode == (2 if said else 0), done.stderr
    assert (said or "warning: no certificate will be got") in done.stderr


def test_looking_orders_nothing(scene):
    """`check` and `explain` do not touch the state, nor the authority."""
    plain = Maitred(scene.text(NAME), start=False)
    with scene.stage.use(plain):
        assert command("check", "-c", plain.config).returncode == 0
        assert command("explain", "-c", plain.config, "GET", f"https://{NAME}/").returncode == 0
    assert scene.ca.orders() == 0 and not os.path.exists(scene.state)
