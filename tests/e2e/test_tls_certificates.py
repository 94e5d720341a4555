# SPDX-License-Identifier: Apache-2.0
"""Certificates in files and folders: what is wrong is said at load, what changes is used while running."""
import os
import shutil
import ssl
import threading

import pytest

from support.certs import Authority, openssl, write
from support.maitred import Maitred, command, site
from support.tls import HTTP1, SecureClient, connect, context, s_client
from support.wait import eventually, seconds, volume

HELLO = [{"use": [{"respond": {"status": 200, "text": "hello"}}]}]


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(scope="module")
def good(ca):
    return ca.issue("good", ["example.test"])


def secure(certificates=None, **more):
    return {"tls": {**({"certificates": certificates} if certificates else {}), **more}, **HTTP1}


def complaint(stage, listener):
    """What `maitred check` says of a configuration that is wrong."""
    path = os.path.join(stage.folder(), "site.yaml")
    write(path, site(routes=HELLO, listener={"address": ":1", **listener}).replace("@dir@", "/tmp"))
    done = command("check", "-c", path)
    assert done.returncode != 0, done.stderr
    assert f"{path}:" in done.stderr + done.stdout
    return done.stderr + done.stdout


def shown(address, name, ca):
    """Serial number of the certificate that a client gets."""
    ctx = context(ca.root_path)
    ctx.check_hostname = False
    with connect(address, name, ctx) as sock:
        return sock.getpeercert()["serialNumber"]


# ------------------------------------------------------------------ at load


def test_any_order_in_one_file(stage, ca, good):
    mixed = good.join("mixed.pem", ca.root_path, good.key, ca.middle.leaf, good.leaf)
    proxy = stage.proxy(routes=HELLO, listener=secure(mixed))
    with SecureClient(proxy.address, ctx=context(ca.root_path)) as client:
        assert client.get().status == 200


def test_a_list_of_paths_may_stand_for_everything(stage, ca, good):
    both = good.join("both.pem", good.chain, good.key)
    proxy = stage.proxy(routes=HELLO, listener={"tls": [both], **HTTP1})
    assert shown(proxy.address, "example.test", ca)


def test_relative_paths_start_at_the_configuration(stage, good):
    proxy = Maitred(start=False)
    stage.use(proxy)
    good.join("both2.pem", good.chain, good.key)
    shutil.copy(os.path.join(good.folder, "both2.pem"), os.path.join(proxy.dir, "rel.pem"))
    proxy.write(site(routes=HELLO, listener=secure("rel.pem")))
    proxy.start()
    with SecureClient(proxy.address) as client:
        assert client.get().status == 200


def test_what_is_wrong_with_a_certificate_is_said(stage, ca, good):
    other, late = ca.issue("stray", ["stray.test"]), ca.expired("late", ["late.test"])
    early = ca.future("early", ["early.test"])
    locked = os.path.join(good.folder, "locked.key")
    openssl("pkey", "-in", good.key, "-aes256", "-passout", "pass:secret", "-out", locked)
    os.chmod(locked, 0o644)
    stranger = Authority(stage.folder(), "Stranger")
    broken = good.join("broken.pem", good.leaf, stranger.root_path)
    cases = [
        (good.chain, other.key, "the private key belongs to none of the 2 certificates"),
        (good.leaf, other.key, "the private key does not belong to the certificate `CN=example.test`"),
        (good.chain, None, "there is no private key"),
        (good.key, None, "there is no certificate"),
        (good.chain, locked, "protected by a passphrase"),
        (late.chain, late.key, "the certificate `CN=late.test` expired on 20"),
        (early.chain, early.key, "the certificate `CN=early.test` is not valid before 20"),
        (broken, good.key, "the chain is broken: `CN=Stranger root` did not issue `CN=example.test`"),
        ("/nowhere.pem", None, "cannot read `/nowhere.pem`: No such file or directory"),
    ]
    for certificate, key, words in cases:
        entry = {"certificate": certificate, **({"key": key} if key else {})}
        said = complaint(stage, secure([entry]))
        assert words in said and certificate in said, said


def test_a_key_that_is_too_short(stage):
    folder = stage.folder()
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", f"{folder}/k", "-out", f"{folder}/c", "-subj", "/CN=x")
    assert "OpenSSL refuses it: ee key too small" in complaint(
        stage, secure([{"certificate": f"{folder}/c", "key": f"{folder}/k"}]))


def test_soon_expired_is_a_warning(stage, ca):
    soon = ca.issue("soon", ["soon.test"], days=3)
    proxy = stage.proxy(routes=HELLO, listener=secure([{"certificate": soon.chain, "key": soon.key}]))
    assert "the certificate `CN=soon.test` expires on 20" in proxy.stderr


def test_other_mistakes(stage, good):
    entry = [{"certificate": good.chain, "key": good.key}]
    assert "there is no certificate" in complaint(stage, {"tls": {}})
    assert "no certificate is for `other.test`" in complaint(stage, secure(entry, default="other.test"))
    assert "there is no certificate of an authority" in complaint(stage, secure(entry, client={"ca": good.key}))
    assert "nothing to redirect to" in complaint(stage, {**secure(entry), "redirect": "https"})
    assert "cannot write `/nowhere/keys`" in complaint(stage, secure(entry, keylog="/nowhere/keys"))
    assert "there is no certificate in" in complaint(stage, secure(folder=stage.folder()))


def test_a_reload_with_a_broken_certificate_changes_nothing(stage, ca, good):
    both = good.join("reloaded.pem", good.chain, good.key)
    text = site(routes=HELLO, listener=secure(both))
    proxy = stage.run(text)
    before = shown(proxy.address, "example.test", ca)
    good.join("reloaded.pem", good.chain)
    assert "there is no private key" in proxy.reload(text, good=False)
    assert shown(proxy.address, "example.test", ca) == before


def test_a_reload_takes_the_new_certificate_and_keeps_connections(stage, ca):
    first, second = ca.issue("one", ["example.test"]), ca.issue("two", ["example.test"])
    path = first.join("current.pem", first.chain, first.key)
    text = site(routes=HELLO, listener=secure(path))
    proxy = stage.run(text)
    with SecureClient(proxy.address) as client:
        assert client.get().status == 200
        second.join("current.pem", second.chain, second.key)
        proxy.reload(text)
        assert int(shown(proxy.address, "example.test", ca), 16) == int(second.serial, 16)
        assert client.get().status == 200


# ------------------------------------------------------------------ folders


def put(folder, cert, name=None, split=False):
    """Into the folder, whole at once (a rename), or as certificate and key."""
    name = name or cert.name
    if split:
        shutil.copy(cert.key, f"{folder}/{name}.key")
        shutil.copy(cert.chain, f"{folder}/{name}.crt")
        return
    new = cert.join(f"{cert.name}.new", cert.chain, cert.key)
    os.rename(new, f"{folder}/{name}.pem")


@pytest.fixture
def folder(stage):
    return stage.folder()


def test_a_folder_of_certificates(stage, ca, folder):
    a, b = ca.issue("a", ["a.test"]), ca.issue("b", ["b.test"], kind="rsa")
    put(folder, a)
    put(folder, b, split=True)
    write(f"{folder}/README", "not a certificate")
    proxy = stage.proxy(routes=HELLO, listener=secure(folder=folder, default="b.test"))
    for cert in (a, b):
        assert int(shown(proxy.address, f"{cert.name}.test", ca), 16) == int(cert.serial, 16)
    assert int(shown(proxy.address, "unknown.test", ca), 16) == int(b.serial, 16)


def test_a_broken_file_does_not_stop_the_others(stage, ca, folder):
    put(folder, ca.issue("sound", ["sound.test"]))
    write(f"{folder}/zzz.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    proxy = stage.proxy(routes=HELLO, listener=secure(folder=folder))
    assert "zzz.pem`: certificate 1 cannot be read" in proxy.stderr
    assert shown(proxy.address, "sound.test", ca)


def test_what_changes_in_the_folder_is_used(stage, ca, folder):
    old, new, added = (ca.issue(n, names) for n, names in (
        ("old", ["site.test"]), ("new", ["site.test"]), ("added", ["added.test"])))
    put(folder, old, "site")
    proxy = stage.proxy(routes=HELLO, listener=secure(folder=folder, unknown_names="refuse"))

    def is_shown(name, cert):
        return int(shown(proxy.address, name, ca), 16) == int(cert.serial, 16)

    assert is_shown("site.test", old)
    put(folder, new, "site")
    eventually(lambda: is_shown("site.test", new))
    put(folder, added)

    def appeared():
        try:
            return is_shown("added.test", added)
        except ssl.SSLError:
            return False

    eventually(appeared)
    os.unlink(f"{folder}/added.pem")
    eventually(lambda: not appeared())
    write(f"{folder}/site.pem", "rubbish")
    eventually(lambda: "what was there before stays in use" in proxy.stderr)
    assert is_shown("site.test", new)
    os.unlink(f"{folder}/site.pem")
    eventually(lambda: "no certificate is left" in proxy.stderr)
    assert is_shown("site.test", new)


def test_a_folder_that_is_rewritten_under_load(stage, ca, folder):
    certs = [ca.issue(f"gen{i}", ["site.test"]) for i in range(4)]
    put(folder, certs[0], "site")
    proxy = stage.proxy(routes=HELLO, listener=secure(folder=folder))
    stop, failures, served = threading.Event(), [], [0]
    ctx = context(ca.root_path)

    def visit():
        while not stop.is_set():
            try:
                with SecureClient(proxy.address, "site.test", ctx=ctx) as client:
                    assert client.get().body == b"hello"
                served[0] += 1
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for thread in visitors:
        thread.start()
    try:
        for i in range(volume(12, 4)):
            cert = certs[(i + 1) % 4]
            put(folder, cert, "site")
            eventually(lambda c=cert: int(shown(proxy.address, "site.test", ca), 16) == int(c.serial, 16))
    finally:
        stop.set()
        for thread in visitors:
            thread.join(seconds(10))
    assert not failures and served[0] > 10, (failures[:3], served)


def test_a_reload_keeps_watching(stage, ca, folder):
    old, new = ca.issue("before", ["site.test"]), ca.issue("after", ["site.test"])
    put(folder, old, "site")
    text = site(routes=HELLO, listener=secure(folder=folder))
    proxy = stage.run(text)
    for _ in range(3):
        proxy.reload(text)
    put(folder, new, "site")
    eventually(lambda: int(shown(proxy.address, "site.test", ca), 16) == int(new.serial, 16))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
def test_a_folder_that_only_root_may_read(stage, ca, folder):
    """It is outside of the configuration's folder; the supervisor reads it for the worker, at every change."""
    old, new, added = (ca.issue(n, names) for n, names in (
        ("rooted", ["site.test"]), ("rooted-new", ["site.test"]), ("rooted-more", ["more.test"])))

    def put_closed(cert, name):
        put(folder, cert, name)
        os.chmod(f"{folder}/{name}.pem", 0o600)

    put_closed(old, "site")
    os.chmod(folder, 0o700)
    text = site(routes=HELLO, listener=secure(folder=folder))
    proxy = stage.run(text)

    def is_shown(name, cert):
        return int(shown(proxy.address, name, ca), 16) == int(cert.serial, 16)

    assert is_shown("site.test", old)
    put_closed(new, "site")
    eventually(lambda: is_shown("site.test", new))
    proxy.reload(text)
    put_closed(added, "more")
    eventually(lambda: is_shown("more.test", added))
    put_closed(old, "site")
    eventually(lambda: is_shown("site.test", old))
    assert is_shown("more.test", added)


# ------------------------------------------------------------------ OCSP


def status_of(proxy, name):
    return s_client(proxy.address, "-servername", name, "-status")


def test_a_folder_holds_responses_to_staple(stage, ca, folder):
    cert = ca.issue("stapled", ["stapled.test"])
    put(folder, cert)
    proxy = stage.proxy(routes=HELLO, listener=secure(folder=folder))
    assert "OCSP response: no response sent" in status_of(proxy, "stapled.test")
    shutil.copy(ca.ocsp(cert), f"{folder}/stapled.ocsp")
    os.chmod(f"{folder}/stapled.ocsp", 0o644)
    eventually(lambda: "Cert Status: good" in status_of(proxy, "stapled.test"))


def test_responses_that_are_of_no_use(stage, ca):
    cert, other = ca.issue("checked", ["checked.test"]), ca.issue("else", ["else.test"])

    def entry(response):
        return secure([{"certificate": cert.chain, "key": cert.key, "ocsp": response}])

    assert "the OCSP response is for another certificate" in complaint(stage, entry(ca.ocsp(other)))
    assert "the OCSP response cannot be read" in complaint(stage, entry(cert.chain))
    for response, words in ((ca.expired_ocsp(cert), "the OCSP response has expired; it is not stapled"),
                            (ca.ocsp(cert, revoked=True), "the OCSP response says `revoked`; it is not stapled")):
        proxy = stage.proxy(routes=HELLO, listener=entry(response))
        assert words in proxy.stderr
        assert "OCSP response: no response sent" in status_of(proxy, "checked.test")
