# SPDX-License-Identifier: Apache-2.0
"""TLS clients: Python's ssl for conversations, curl and `openssl s_client` for second opinions."""
import os
import socket
import ssl
import subprocess

from support.client import Client
from support.wait import seconds
from support.wire import Stream

# Everything that a listener of these tests speaks unless a test says otherwise.
HTTP1 = {"http2": False}


def context(ca=None, alpn=("http/1.1",), version=None, certificate=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        c.load_verify_locations(ca)
    else:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols(list(alpn))
    if version:
        c.minimum_version = c.maximum_version = version
    if certificate:
        c.load_cert_chain(certificate.chain, certificate.key)
    return c


def connect(address, name="example.test", ctx=None, session=None, timeout=10):
    """A TLS connection after its handshake."""
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=seconds(timeout))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return (ctx or context()).wrap_socket(plain, server_hostname=name, session=session,
                                                    suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise



class SecureClient(Client):
    """A Client over TLS.  sock is the ssl.SSLSocket."""

    def __init__(self, address, name="example.test", timeout=10, **more):
        Stream.__init__(self, connect(address, name, timeout=timeout, **more), timeout)
        self.host = name or address


def curl(url, *args, ca=None, address=None, timeout=20, http="--http1.1"):
    """(exit status, output, errors); address: where the host of the URL is."""
    trust = ["--cacert", ca] if ca else ["-k"]
    to = []
    if address:
        host = url.split("/")[2]
        name, _, port = host.partition(":")
        to = ["--connect-to", f"{name}:{port or 443}:{address}"]
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(["curl", "-sS", http, *trust, *to, *args, url], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=seconds(timeout), env=env, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def s_client(address, *args, text="", timeout=20):
    """Output of openssl s_client, both streams, after it has sent `text`."""
    done = subprocess.run(["openssl", "s_client", "-connect", address, *args], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds(timeout), check=False)
    return done.stdout.decode("latin-1")
