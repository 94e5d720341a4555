# SPDX-License-Identifier: Apache-2.0
"""OCSP responders: the openssl command's, which is independent of us, and one that answers what a test wants.

    port = free_port()
    site = ca.issue("site", ["example.test"], more=names_responder(port))
    with Responder(ca, port, {site.serial: "V"}): ...
    with Puppet(port, lambda n: response(ca, site, life=6)): ...
"""
import datetime
import http.server
import os
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from support.certs import write
from support.wait import readable, seconds

MUST_STAPLE = "tlsfeature=status_request\n"


def names_responder(port):
    """For Authority.issue(more=...)."""
    return f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/ocsp\n"


class Responder:
    """`openssl ocsp`; statuses: by serial number, V (good) or R (revoked)."""

    def __init__(self, ca, port, statuses, signer=None):
        self.signer, self.issuer, self.port = signer or ca.middle, ca.middle, port
        lines = (f"{status}\t331231235959Z\t{'200101000000Z' if status == 'R' else ''}\t{serial}\tunknown\t/CN={serial}\n"
                 for serial, status in statuses.items())
        self.index = write(os.path.join(ca.folder, f"index-{port}"), "".join(lines))
        self._popen = None

    def __enter__(self):
        self._popen = subprocess.Popen(
            ["openssl", "ocsp", "-port", str(self.port), "-index", self.index, "-CA", self.issuer.leaf, "-rsigner",
             self.signer.leaf, "-rkey", self.signer.key, "-ndays", "5"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # Not by a connection: it would wait for a question on that one, and for nobody else's.
        assert readable(self._popen.stderr, seconds(10)) and b"waiting" in self._popen.stderr.readline()
        return self

    def __exit__(self, *unused):
        self._popen.kill()
        self._popen.wait()
        self._popen.stderr.close()


class Puppet:
    """play(n) gives the n-th answer (from 0): bytes, or a status."""

    def __init__(self, port, play):
        self.asked, puppet = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/ocsp-request"
                puppet.asked.append(ocsp.load_der_ocsp_request(question).serial_number)
                answer = play(len(puppet.asked) - 1)
                body = answer if isinstance(answer, bytes) else b""
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *unused):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._server.shutdown()
        self._server.server_close()


def load_certificate(path):
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificate(file.read())


def load_key(path):
    with open(path, "rb") as file:
        return serialization.load_pem_private_key(file.read(), None)


def response(ca, cert, life=3600, age=0, signer=None, about=None, with_signer=False, status=ocsp.OCSPCertStatus.GOOD):
    """
    DER, good from `age` seconds ago for so many seconds.  signer: a Certificate, instead of the issuer; with_signer:
    it lies in the response.  about: (certificate, issuer) that it speaks of instead.
    """
    signer = signer or ca.middle
    leaf, issuer = about or (load_certificate(cert.leaf), load_certificate(ca.middle.leaf))
    now = datetime.datetime.utcnow().replace(microsecond=0) - datetime.timedelta(seconds=age)
    built = ocsp.OCSPResponseBuilder().add_response(
        leaf, issuer, hashes.SHA1(), status, now, now + datetime.timedelta(seconds=life),
        now if status is ocsp.OCSPCertStatus.REVOKED else None, None)
    built = built.responder_id(ocsp.OCSPResponderEncoding.HASH, load_certificate(signer.leaf))
    if with_signer:
        built = built.certificates([load_certificate(signer.leaf)])
    return built.sign(load_key(signer.key), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
