# SPDX-License-Identifier: Apache-2.0
"""OCSP responses that the proxy fetches, verifies, staples, renews and keeps."""
import os
import re
import shutil
import signal
import time

import pytest
from cryptography.x509 import ocsp

from support.certs import Authority, write
from support.maitred import command, site
from support.ocsp import MUST_STAPLE, Puppet, Responder, load_certificate, names_responder, response
from support.ports import free_port
from support.tls import HTTP1, s_client
from support.wait import eventually, seconds

HELLO = [{"use": [{"respond": {"status": 200, "text": "hello"}}]}]
NAME = "example.test"
DELEGATED = "extendedKeyUsage=OCSPSigning\n"


@pytest.fixture(scope="module")
def ca(module_stage):
    return Authority(module_stage.folder())


@pytest.fixture(name="port")
def _port():
    return free_port()


def issue(ca, port, name=NAME, kind="ec", more=""):
    return ca.issue(f"site-{port}-{kind}-{name}", [name], kind=kind, more=names_responder(port) + more)


def secure(*certs, **more):
    pairs = [{"certificate": cert.chain, "key": cert.key} for cert in certs]
    return {"tls": {**({"certificates": pairs} if pairs else {}), "state": "@dir@/state", **more}, **HTTP1}


def start(stage, *certs, **more):
    return stage.proxy(routes=HELLO, listener=secure(*certs, **more))


def stapled(proxy, name=NAME, *args):
    """`good`, or None: nothing; what the openssl command says of the response."""
    said = s_client(proxy.address, "-servername", name, "-status", *args)
    if "OCSP response: no response sent" in said:
        return None
    assert "OCSP Response Status: successful" in said, said
    return re.search(r"Cert Status: (\w+)", said)[1]


def next_update(proxy):
    found = re.search(r"Next Update: (.*)", s_client(proxy.address, "-servername", NAME, "-status"))
    return found and found[1]


def staples(proxy, name=NAME):
    return eventually(lambda: stapled(proxy, name) == "good", what="a response is stapled")


def end(proxy):
    proxy.signal(signal.SIGTERM)
    proxy.finish()


def stays_bare(proxy):
    time.sleep(0.3)
    assert stapled(proxy) is None
    return True


# ------------------------------------------------------------------ fetching


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_fetched_from_an_independent_responder(stage, ca, port, kind):
    cert = issue(ca, port, kind=kind)
    with Responder(ca, port, {cert.serial: "V"}):
        proxy = start(stage, cert)
        staples(proxy)
        assert stapled(proxy, NAME, "-tls1_2") == "good"
    assert "is stapled until" in proxy.stderr
    files = os.listdir(f"{proxy.dir}/state/ocsp")
    assert files == [f"{NAME}-{'rsa' if kind == 'rsa' else 'ecdsa'}.der"]


def test_two_kinds_of_key_have_each_their_own(stage, ca, port):
    both = [issue(ca, port), issue(ca, port, kind="rsa")]
    with Responder(ca, port, {cert.serial: "V" for cert in both}):
        proxy = start(stage, *both)
        for algorithm in ("ECDSA+SHA256", "RSA-PSS+SHA256"):
            eventually(lambda: stapled(proxy, NAME, "-sigalgs", algorithm) == "good")
    serials = [re.search(r"Serial Number: (\w+)", s_client(proxy.address, "-servername", NAME, "-status", "-sigalgs",
                                                           a))[1] for a in ("ECDSA+SHA256", "RSA-PSS+SHA256")]
    assert serials == [cert.serial for cert in both]


def test_the_issuer_may_have_delegated_it(stage, ca, port):
    cert, helper = issue(ca, port), ca.issue(f"helper-{port}", [], more=DELEGATED)
    with Responder(ca, port, {cert.serial: "V"}, signer=helper):
        staples(start(stage, cert))


def test_revoked_is_not_stapled(stage, ca, port):
    cert = issue(ca, port)
    with Responder(ca, port, {cert.serial: "R"}):
        proxy = start(stage, cert)
        eventually(lambda: "says `revoked`; it is not stapled" in proxy.stderr)
        stays_bare(proxy)


def test_revoked_later(stage, ca, port):
    """What was good must not be shown on, though its time has not come."""
    cert = issue(ca, port)

    def play(n):
        if n == 0:
            return response(ca, cert, life=8)
        return response(ca, cert, status=ocsp.OCSPCertStatus.REVOKED)

    with Puppet(port, play) as puppet:
        proxy = start(stage, cert)
        staples(proxy)
        eventually(lambda: len(puppet.asked) > 1)
        eventually(lambda: stapled(proxy) is None, within=2)


# ------------------------------------------------------------------ whom to believe


def forgeries(ca, port, cert):
    other = Authority(ca.folder, name=f"Other{port}")
    helper = ca.issue(f"plain-{port}", [])
    strange = other.issue(f"strange-{port}", [], more=DELEGATED)
    neighbour = issue(ca, port, "other.test")
    return {
        "another authority": response(ca, cert, signer=other.middle, with_signer=True),
        "nobody it delegated to": response(ca, cert, signer=helper, with_signer=True),
        "delegated by another": response(ca, cert, signer=strange, with_signer=True),
        "for another certificate": response(ca, neighbour),
        "same serial, other issuer": response(ca, cert, about=(load_certificate(cert.leaf),
                                                               load_certificate(other.middle.leaf))),
        "expired": response(ca, cert, life=60, age=120),
        "of the future": response(ca, cert, life=3600, age=-1800),
        "cut": response(ca, cert)[:-20],
        "no response": b"hello",
        "an error": 500,
        "too long": b"x" * 100000,
    }


def test_what_is_not_believed(stage, ca, port):
    cert = issue(ca, port)
    for what, answer in forgeries(ca, port, cert).items():
        with Puppet(port, lambda n: answer) as puppet:
            proxy = start(stage, cert)
            eventually(lambda: puppet.asked and "no OCSP response for" in proxy.stderr, what=what)
            assert stapled(proxy) is None, what
        proxy.stop()


def test_what_is_not_believed_does_not_replace_what_is_good(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert, life=20) if n == 0 else b"junk") as puppet:
        proxy = start(stage, cert)
        staples(proxy)
        eventually(lambda: len(puppet.asked) > 1, within=15)
        eventually(lambda: "the last response is still shown" in proxy.stderr)
        assert stapled(proxy) == "good"


# ------------------------------------------------------------------ time


def test_renewed_at_half_of_its_life(stage, ca, port):
    cert, times = issue(ca, port), []

    def play(n):
        times.append(time.monotonic())
        return response(ca, cert, life=8)

    with Puppet(port, play):
        proxy = start(stage, cert)
        staples(proxy)
        first = next_update(proxy)
        eventually(lambda: len(times) > 1 and next_update(proxy) != first, within=10)
    assert 2.5 < times[1] - times[0] < seconds(5.5)


def test_never_after_its_time(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert, life=4)):
        proxy = start(stage, cert)
        staples(proxy)
    end = time.time() + 4
    eventually(lambda: stapled(proxy) is None, within=10)
    assert time.time() < end + seconds(2)
    eventually(lambda: "nothing is stapled" in proxy.stderr, within=15)


def test_a_responder_that_comes_later(stage, ca, port):
    cert = issue(ca, port)
    proxy = start(stage, cert)
    eventually(lambda: "no OCSP response for example.test, attempt 1: " in proxy.stderr)
    assert stapled(proxy) is None
    with Responder(ca, port, {cert.serial: "V"}):
        eventually(lambda: stapled(proxy) == "good", within=15)


def test_the_responder_is_left_alone_more_and_more(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: 503) as puppet:
        proxy = start(stage, cert)
        time.sleep(2)
        assert len(puppet.asked) == 1
    waits = [int(w) for w in re.findall(r"the responder answers 503; next in (\d+) s", proxy.stderr)]
    assert len(waits) == 1 and 4 <= waits[0] <= 6


# ------------------------------------------------------------------ restart and reload


def test_a_restart_staples_at_once(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert)) as puppet:
        proxy = start(stage, cert)
        staples(proxy)
        eventually(lambda: os.path.exists(f"{proxy.dir}/state/ocsp/{NAME}-ecdsa.der"))
    end(proxy)
    proxy.start()
    assert stapled(proxy) == "good" and len(puppet.asked) == 1


@pytest.mark.parametrize("spoil", ["cut", "another", "expired"])
def test_a_file_that_is_of_no_use(stage, ca, port, spoil):
    cert, other = issue(ca, port), issue(ca, port, "other.test")
    with Puppet(port, lambda n: response(ca, cert, life=2 if spoil == "expired" else 3600)):
        proxy = start(stage, cert)
        staples(proxy)
        path = f"{proxy.dir}/state/ocsp/{NAME}-ecdsa.der"
        eventually(lambda: os.path.exists(path))
    end(proxy)
    if spoil == "cut":
        os.truncate(path, os.path.getsize(path) // 2)
    elif spoil == "another":
        shutil.copy(path, path + ".old")
        with open(path, "wb") as file:
            file.write(response(ca, other))
    else:
        time.sleep(2.5)
    proxy.start()
    assert stapled(proxy) is None
    with Puppet(port, lambda n: response(ca, cert)):
        eventually(lambda: stapled(proxy) == "good", within=15)


def test_a_reload_keeps_what_is_there(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert)) as puppet:
        proxy = start(stage, cert)
        staples(proxy)
        shutil.rmtree(f"{proxy.dir}/state")
        for _ in range(3):
            proxy.reload()
            assert stapled(proxy) == "good"
        assert len(puppet.asked) == 1


def test_a_reload_that_turns_it_off_and_on(stage, ca, port):
    cert = issue(ca, port)
    with Responder(ca, port, {cert.serial: "V"}):
        proxy = start(stage, cert)
        staples(proxy)
        proxy.reload(site(routes=HELLO, listener=secure(cert, stapling="off")))
        assert stapled(proxy) is None
        proxy.reload(site(routes=HELLO, listener=secure(cert)))
        staples(proxy)


def test_a_folder_that_changes(stage, ca, port):
    one, two = issue(ca, port), issue(ca, port, "two.test")
    folder = stage.folder()
    one.join(f"{folder}/one.pem", one.chain, one.key)
    with Responder(ca, port, {one.serial: "V", two.serial: "V"}):
        proxy = start(stage, folder=folder)
        staples(proxy)
        two.join(f"{folder}/two.pem", two.chain, two.key)
        staples(proxy, "two.test")
        assert stapled(proxy) == "good"
        os.remove(f"{folder}/one.pem")
        eventually(lambda: stapled(proxy, "two.test") == "good")


# ------------------------------------------------------------------ what can be configured


def test_a_file_wins(stage, ca, port):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert)) as puppet:
        proxy = stage.proxy(routes=HELLO, listener={"tls": {
            "certificates": {"certificate": cert.chain, "key": cert.key, "ocsp": ca.ocsp(cert)},
            "state": "@dir@/state"}, **HTTP1})
        assert stapled(proxy) == "good"
        time.sleep(1.2)
        assert not puppet.asked and not os.path.exists(f"{proxy.dir}/state")


@pytest.mark.parametrize("stapling", ["file", "off"])
def test_nobody_is_asked(stage, ca, port, stapling):
    cert = issue(ca, port)
    with Puppet(port, lambda n: response(ca, cert)) as puppet:
        proxy = start(stage, cert, stapling=stapling)
        time.sleep(1.2)
        assert stapled(proxy) is None and not puppet.asked


def test_off_and_a_file_contradict_each_other(stage, ca, port):
    cert = issue(ca, port)
    path = write(f"{stage.folder()}/site.yaml", site(routes=HELLO, listener={"address": ":1", "tls": {
        "certificates": {"certificate": cert.chain, "key": cert.key, "ocsp": ca.ocsp(cert)}, "stapling": "off"},
        **HTTP1}, log=False))
    done = command("check", "-c", path)
    assert done.returncode != 0 and "nothing is to be stapled" in done.stderr


def test_certificates_without_a_responder_cost_nothing(stage, ca):
    cert = ca.issue("plain", [NAME])
    proxy = start(stage, cert)
    time.sleep(1.2)
    assert stapled(proxy) is None and not os.path.exists(f"{proxy.dir}/state")
    assert "certificates:" not in proxy.stderr


# ------------------------------------------------------------------ must-staple


def test_must_staple_is_told(stage, ca, port):
    cert = issue(ca, port, more=MUST_STAPLE)
    proxy = start(stage, cert)
    eventually(lambda: "clients may refuse the certificate: it must be stapled" in proxy.stderr)
    off = start(stage, cert, stapling="file")
    assert "the certificate of `example.test` must be stapled: clients may refuse it" in off.stderr
    mute = ca.issue(f"mute-{port}", ["mute.test"], more=MUST_STAPLE)
    assert "mute.test must be stapled, but names no responder" in start(stage, mute).stderr
    with Responder(ca, port, {cert.serial: "V"}):
        eventually(lambda: stapled(proxy) == "good", within=15)
