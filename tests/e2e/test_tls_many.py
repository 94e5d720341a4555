# SPDX-License-Identifier: Apache-2.0
"""Thousands of certificates: start, memory, and the right one for each name; one more while running."""
import datetime
import os
import random
import ssl
import time

import pytest

from support.maitred import sanitized
from support.tls import HTTP1, connect, context
from support.wait import eventually, seconds, volume

pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from cryptography import x509  # noqa: E402 pylint: disable=wrong-import-position
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402 pylint: disable=wrong-import-position
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402 pylint: disable=wrong-import-position

HELLO = [{"use": [{"respond": {"status": 200, "text": "hello"}}]}]
MANY = volume(10000, 500)
NOW = datetime.datetime.utcnow()


def write_certificate(folder, number):
    """Self-signed, for two names; the openssl command would take ten times as long."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"h{number}.test")])
    names = [x509.DNSName(f"h{number}.test"), x509.DNSName(f"*.h{number}.test")]
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(number + 1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=90))
            .add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256()))
    path = os.path.join(folder, f"h{number}.pem")
    with open(path + ".new", "wb") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def number_shown(address, name):
    with connect(address, name) as sock:
        return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True)).serial_number - 1


@pytest.fixture(scope="module")
def folder(module_stage):
    made = module_stage.folder()
    for number in range(MANY):
        write_certificate(made, number)
    return made


def start(stage, tls):
    """(the proxy, how long it took to start)"""
    began = time.monotonic()
    return stage.proxy(routes=HELLO, listener={"tls": tls, **HTTP1}, workers=1), time.monotonic() - began


@pytest.mark.parametrize("listed", [False, True])
def test_thousands_of_certificates(stage, folder, listed):
    paths = [f"{folder}/h{number}.pem" for number in range(MANY)]
    one, _ = start(stage, {"certificates": paths[:1]})
    many, took = start(stage, {"certificates": paths} if listed else {"folder": folder})
    assert took < seconds(30)
    each = (many.rss_kib() - one.rss_kib()) / MANY
    assert sanitized() or each < 6, f"{each:.1f} KiB a certificate"
    for number in random.sample(range(MANY), 40):
        assert number_shown(many.address, f"h{number}.test") == number
        assert number_shown(many.address, f"Any.H{number}.TEST") == number


def test_one_more_while_running(stage, folder):
    proxy, _ = start(stage, {"folder": folder, "unknown_names": "refuse"})
    with pytest.raises(ssl.SSLError):
        number_shown(proxy.address, f"h{MANY}.test")
    write_certificate(folder, MANY)

    def has_come():
        try:
            return number_shown(proxy.address, f"h{MANY}.test") == MANY
        except ssl.SSLError:
            return False

    try:
        eventually(has_come, 30)
    finally:
        os.unlink(f"{folder}/h{MANY}.pem")
