# SPDX-License-Identifier: Apache-2.0
"""
What certificates that look after themselves are tested with: Debian's pebble (a certificate authority), a name
server that takes signed updates (python3-dnspython), and a front for the authority that says what pebble cannot.

    names = stage.use(NameServer())
    ca = stage.use(Pebble(stage.folder(), names))
    proxy = stage.run(text, ...)            # listeners on ca.http_port and ca.tls_port
"""
import base64
import functools
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring

from support.certs import Authority
from support.ports import free_port
from support.wait import eventually

EAB = {"key_id": "kid-1", "hmac": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}


@functools.lru_cache(None)
def _server_files():
    """A certificate for the authority's own https, made once: path of its root, chain, key."""
    folder = os.path.join("/tmp", f"maitred-acme-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    authority = Authority(folder)
    made = authority.issue("pebble", names=["localhost", "IP:127.0.0.1"])
    return authority.root_path, made.chain, made.key


def forget_files():
    """At the end of the module."""
    if _server_files.cache_info().currsize:
        shutil.rmtree(os.path.dirname(_server_files()[0]), ignore_errors=True)
        _server_files.cache_clear()


def _trusting():
    return ssl.create_default_context(cafile=_server_files()[0])


class Pebble:
    """The authority.  Its ports stay the same when it is stopped and started again; all else is forgotten."""

    def __init__(self, folder, dns=None, reject=0, reuse=0, validity=None, eab=False, start=True):
        self.folder, self.dns, self.validity, self.eab = folder, dns, validity, eab
        self.percent = {"PEBBLE_WFE_NONCEREJECT": str(reject), "PEBBLE_AUTHZREUSE": str(reuse)}
        self.port, self.management = free_port(), free_port()
        self.http_port, self.tls_port = free_port(), free_port()
        self.ca = _server_files()[0]
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.log_path = os.path.join(folder, "pebble.log")
        self.popen = None
        self.marked = 0
        if start:
            self.start()

    def start(self):
        _, chain, key = _server_files()
        more = {"certificateValidityPeriod": self.validity} if self.validity else {}
        config = {"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": chain, "privateKey": key, "httpPort": self.http_port, "tlsPort": self.tls_port,
            "externalAccountBindingRequired": self.eab,
            "externalAccountMACKeys": {EAB["key_id"]: EAB["hmac"]}, **more}}
        path = os.path.join(self.folder, "pebble.json")
        with open(path, "w") as file:
            json.dump(config, file)
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", **self.percent}
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                ["pebble", "-config", path, "-dnsserver", self.dns.address if self.dns else "127.0.0.1:1"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        eventually(self._accepts, 10, "pebble accepts")

    def _accepts(self):
        assert self.popen.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.popen is not None:
            self.thaw()
            self.popen.terminate()
            self.popen.wait(10)
        self.popen = None

    def freeze(self):
        """It takes connections, and says nothing."""
        self.popen.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.popen.send_signal(signal.SIGCONT)

    def mark(self):
        """What it has done before does not count any more."""
        self.marked += len(self.log)

    @property
    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()[self.marked:]

    def count(self, what):
        """How often the log has this (a regular expression)."""
        return len(re.findall(what, self.log))

    def orders(self):
        return self.count(r"Added order ")

    def _managed(self, path):
        with urllib.request.urlopen(f"https://127.0.0.1:{self.management}{path}", context=_trusting(),
                                    timeout=10) as answer:
            return answer.read()

    def root(self):
        """Path of the root that its certificates lead to."""
        path = os.path.join(self.folder, "issuer.pem")
        with open(path, "wb") as file:
            file.write(self._managed("/roots/0"))
        return path

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


# -------------------------------------------------------------------- a name server

KEY_NAME = "update.test."


class NameServer:
    """
    Every name is at 127.0.0.1 unless `hosts` says otherwise; TXT records come by signed updates (RFC 2136), or out
    of `file`, one `name value` a line.  Over UDP and TCP.
    """

    def __init__(self):
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.keyring = dns.tsigkeyring.from_text({KEY_NAME: self.secret})
        self.reset()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._datagrams, daemon=True).start()
        threading.Thread(target=self._streams, daemon=True).start()

    def reset(self):
        """As new, but for address and key."""
        self.file = None       # a path
        self.hosts = {}        # name without final dot -> address
        self.records = {}      # the same -> set of values
        self.updates = []      # (wire, message) that were taken
        self.refused = 0       # for a bad signature
        self.truncates = False  # over UDP no answer to an update fits
        self.slow = 0          # so often records that are there are not shown yet
        self.mute = 0          # so many datagrams are lost
        self.streams = 0       # messages over TCP

    # ---------------------------------------------------------------- wire

    def _datagrams(self):
        while True:
            try:
                wire, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            if self.mute:
                self.mute -= 1
                continue
            answer = self._answer(wire, False)
            if answer:
                self.udp.sendto(answer, peer)

    def _streams(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(5)
                try:
                    n = int.from_bytes(conn.recv(2, socket.MSG_WAITALL), "big")
                    wire = conn.recv(n, socket.MSG_WAITALL)
                    self.streams += 1
                    answer = self._answer(wire, True)
                    conn.sendall(len(answer).to_bytes(2, "big") + answer)
                except OSError:
                    pass

    def _answer(self, wire, stream):
        try:
            query = dns.message.from_wire(wire, keyring=self.keyring)
        except (dns.tsig.BadSignature, dns.message.UnknownTSIGKey):
            self.refused += 1
            return wire[:2] + b"\xa8\x09" + wire[4:6] + bytes(6) + wire[12:12 + self._question(wire)]
        response = dns.message.make_response(query)
        if query.opcode() == dns.opcode.UPDATE:
            if self.truncates and not stream:
                response.flags |= dns.flags.TC
            else:
                self._update(query, wire, response)
        else:
            self._look_up(query, response)
        return response.to_wire()

    @staticmethod
    def _question(wire):
        at = 12
        while wire[at]:
            at += 1 + wire[at]
        return at + 5 - 12

    # ---------------------------------------------------------------- meaning

    def _update(self, query, wire, response):
        if not query.had_tsig:
            response.set_rcode(dns.rcode.REFUSED)
            return
        self.updates.append((wire, query))
        for rrset in query.authority:
            name = rrset.name.to_text(omit_final_dot=True)
            values = {b"".join(r.strings).decode() for r in rrset}
            if rrset.deleting == dns.rdataclass.NONE:
                self.records.setdefault(name, set()).difference_update(values)
            else:
                self.records.setdefault(name, set()).update(values)

    def _values(self, name):
        values = set(self.records.get(name, ()))
        if self.file and os.path.exists(self.file):
            with open(self.file) as lines:
                values |= {line.split()[1] for line in lines if line.split()[:1] == [name]}
        return values

    def _look_up(self, query, response):
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, 1, "IN", "A",
                                                       self.hosts.get(name, "127.0.0.1")))
        elif question.rdtype == dns.rdatatype.TXT:
            values = self._values(name)
            if values and self.slow > 0:
                self.slow -= 1
            elif values:
                response.answer.append(dns.rrset.from_text(question.name, 1, "IN", "TXT", *sorted(values)))

    def options(self, zone="example.test", **more):
        """What `dns:` says to use it."""
        return {"server": self.address, "zone": zone, "key_name": KEY_NAME.rstrip("."), "key_secret": self.secret,
                **more}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.udp.close()
        self.tcp.close()


# -------------------------------------------------------------------- a front for the authority

class Front:
    """
    https in front of an authority: the directory is the authority's, but for some services, which are functions
    of a path that give (status, fields, object).
    """

    def __init__(self, ca, **services):
        self.ca, self.services = ca, services
        self.asked = []
        root, chain, key = _server_files()
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, fields, tree = front.answer(self.path)
                body = json.dumps(tree).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **fields}.items():
                    self.send_header(name, str(value))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *unused):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.root = root

    def answer(self, path):
        self.asked.append(path)
        if path == "/dir":
            with urllib.request.urlopen(self.ca.directory, context=_trusting(), timeout=10) as answer:
                tree = json.load(answer)
            return 200, {}, {**tree, **{name: f"https://127.0.0.1:{self.port}/{name}" for name in self.services}}
        name = path.split("/")[1]
        return self.services[name](path)

    def count(self, name):
        return sum(1 for path in list(self.asked) if path.startswith(f"/{name}"))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()


# -------------------------------------------------------------------- looking

def shown(address, name, alpn=("http/1.1",)):
    """The certificate that a client is shown: (subject, issuer, serial, PEM)."""
    host, port = address.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            pem = ssl.DER_cert_to_PEM_cert(secure.getpeercert(True))
    done = subprocess.run(["openssl", "x509", "-noout", "-subject", "-issuer", "-serial", "-nameopt", "RFC2253"],
                          input=pem, stdout=subprocess.PIPE, text=True, timeout=10, check=True)
    fields = dict(line.split("=", 1) for line in done.stdout.strip().split("\n"))
    return fields["subject"], fields["issuer"], fields["serial"], pem


def is_trusted(address, name, root):
    """A client that trusts only this root gets an answer for this name."""
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cafile=root)
    try:
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname=name):
                return True
    except ssl.SSLError:
        return False
