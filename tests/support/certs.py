# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made with the openssl command as they are needed.

    ca = Authority(folder)
    cert = ca.issue("site", names=["example.test", "*.example.test"])
    cert.chain, cert.key        paths of PEM files
"""
import datetime
import os
import subprocess


def openssl(*args, text=None):
    done = subprocess.run(["openssl", *args], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, f"openssl {args}: {done.stderr}"
    return done.stdout


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    """The worker that has dropped root may read it too."""
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


def new_key(path, kind):
    if kind == "rsa":
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    else:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o644)


class Certificate:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = os.path.join(folder, f"{name}.key")
        self.leaf = os.path.join(folder, f"{name}.leaf.pem")
        self.chain = os.path.join(folder, f"{name}.pem")

    def join(self, name, *paths):
        """A new file of these, in that order."""
        return write(os.path.join(self.folder, name), "".join(read(p) for p in paths))

    @property
    def serial(self):
        return openssl("x509", "-in", self.leaf, "-noout", "-serial").strip().partition("=")[2]


class Authority:
    """A root, and an intermediate that issues."""

    def __init__(self, folder, name="Test"):
        self.folder, self.name = folder, name
        self.root = self._authority("root", None)
        self.middle = self._authority("intermediate", self.root)
        self.root_path = self.root.leaf

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _authority(self, kind, issuer):
        made = Certificate(self.folder, f"{self.name}-{kind}")
        new_key(made.key, "ec")
        self._sign(made, issuer, f"/CN={self.name} {kind}",
                   "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign,digitalSignature\n", days=3650)
        return made

    def _sign(self, made, issuer, subject, extensions, days):
        request = made.key + ".csr"
        extra = write(made.key + ".ext", extensions)
        openssl("req", "-new", "-key", made.key, "-subj", subject, "-out", request)
        by = ["-CA", issuer.leaf, "-CAkey", issuer.key, "-CAcreateserial"] if issuer else ["-signkey", made.key]
        openssl("x509", "-req", "-in", request, *by, "-days", str(days), "-extfile", extra, "-out", made.leaf)

    def issue(self, name, names=(), kind="ec", days=90, subject=None, more=""):
        made = Certificate(self.folder, name)
        new_key(made.key, kind)
        san = f"subjectAltName={','.join(self._alternative(n) for n in names)}\n" if names else ""
        self._sign(made, self.middle, subject or f"/CN={names[0] if names else name}",
                   "basicConstraints=CA:FALSE\n" + san + more, days)
        made.join(f"{name}.pem", made.leaf, self.middle.leaf)
        return made

    @staticmethod
    def _alternative(name):
        return name if ":" in name else f"DNS:{name}"

    def expired(self, name, names):
        """Valid from ten days ago until yesterday; made with the `ca` command, which takes dates."""
        return self._dated(name, names, -10, -1)

    def future(self, name, names):
        return self._dated(name, names, 1, 10)

    def _dated(self, name, names, first_day, last_day):
        made = Certificate(self.folder, name)
        now = datetime.datetime.utcnow()
        start, end = ((now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in (first_day, last_day))
        new_key(made.key, "ec")
        openssl("req", "-new", "-key", made.key, "-subj", f"/CN={names[0]}", "-out", made.key + ".csr")
        database = self._path(f"{name}-index")
        config = write(self._path(f"{name}-ca.cnf"),
                       f"[ca]\ndefault_ca=c\n[c]\ndatabase={database}\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
                       "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n"
                       f"[e]\nsubjectAltName={','.join('DNS:' + n for n in names)}\n")
        write(database, "")
        openssl("ca", "-batch", "-config", config, "-cert", self.middle.leaf, "-keyfile", self.middle.key, "-in",
                made.key + ".csr", "-startdate", start, "-enddate", end, "-notext", "-out", made.leaf)
        made.join(f"{name}.pem", made.leaf, self.middle.leaf)
        return made

    def ocsp(self, cert, revoked=False):
        """A response that says `good` or `revoked`, signed by the issuer (DER)."""
        index = self._path(f"{cert.name}-ocsp-index")
        request, answer = self._path(f"{cert.name}.req"), self._path(f"{cert.name}-{revoked}.ocsp")
        write(index, f"{'R' if revoked else 'V'}\t331231235959Z\t{'200101000000Z' if revoked else ''}\t{cert.serial}\t"
                     "unknown\t/CN=x\n")
        openssl("ocsp", "-issuer", self.middle.leaf, "-cert", cert.leaf, "-reqout", request)
        openssl("ocsp", "-index", index, "-CA", self.middle.leaf, "-rsigner", self.middle.leaf, "-rkey",
                self.middle.key, "-reqin", request, "-respout", answer, "-ndays", "5")
        os.chmod(answer, 0o644)
        return answer

    def expired_ocsp(self, cert):
        """A response that was good until yesterday; the openssl command makes none."""
        from cryptography import x509  # pylint: disable=import-outside-toplevel
        from cryptography.hazmat.primitives import hashes, serialization  # pylint: disable=import-outside-toplevel
        from cryptography.x509 import ocsp  # pylint: disable=import-outside-toplevel

        leaf, issuer = (x509.load_pem_x509_certificate(read(path).encode()) for path in (cert.leaf, self.middle.leaf))
        key = serialization.load_pem_private_key(read(self.middle.key).encode(), None)
        now, day = datetime.datetime.utcnow(), datetime.timedelta(days=1)
        response = ocsp.OCSPResponseBuilder().add_response(
            leaf, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now - 3 * day, now - day, None, None).responder_id(
                ocsp.OCSPResponderEncoding.HASH, issuer).sign(key, hashes.SHA256())
        path = self._path(f"{cert.name}-expired.ocsp")
        with open(path, "wb") as file:
            file.write(response.public_bytes(serialization.Encoding.DER))
        os.chmod(path, 0o644)
        return path
