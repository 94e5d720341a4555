# SPDX-License-Identifier: Apache-2.0
"""A token in software (SoftHSM), in which private keys are kept."""
import os
import shutil
import subprocess

from support.certs import openssl

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
ENGINE = "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so"
REASON = "softhsm2 or libengine-pkcs11-openssl is not installed"
PIN = "4711"


def is_available():
    return shutil.which("softhsm2-util") and os.path.exists(MODULE) and os.path.exists(ENGINE)


class Token:
    """In a new folder, or one that is empty."""

    def __init__(self, folder, label="web"):
        self.folder, self.label = folder, label
        os.makedirs(folder, exist_ok=True)
        tokens = os.path.join(folder, "tokens")
        os.mkdir(tokens)
        with open(os.path.join(folder, "softhsm2.conf"), "w") as file:
            file.write(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        with open(os.path.join(folder, "pin"), "w") as file:
            file.write(PIN)
        self.env = {"SOFTHSM2_CONF": os.path.join(folder, "softhsm2.conf")}
        self.run("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "0815")

    def run(self, *args):
        subprocess.run(["softhsm2-util", *args], env={**os.environ, **self.env}, check=True, timeout=30,
                       stdout=subprocess.DEVNULL)

    def take(self, cert, number, label=None):
        """The key moves in: its file is gone.  The URI that names it."""
        pkcs8 = cert.key + ".p8"
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", cert.key, "-out", pkcs8)
        self.run("--import", pkcs8, "--token", self.label, "--label", label or cert.name,
                 "--id", f"{number:02x}", "--pin", PIN)
        os.unlink(pkcs8)
        os.unlink(cert.key)
        for path, folders, files in os.walk(self.folder):  # for the worker, who has dropped root
            for name in folders + files + ["."]:
                os.chmod(os.path.join(path, name), 0o777)
        return f"pkcs11:token={self.label};object={label or cert.name}?module-path={MODULE}&pin-source=file:{self.folder}/pin"
