# SPDX-License-Identifier: Apache-2.0
"""Origins (support.origin) behind TLS, which remember what they saw of each handshake.

    server = stage.use(SecureOrigin(certificate))
    server.handshakes       # [Handshake]: those that came to an end
    server.failed           # exceptions of those that did not
"""
import ssl

from support.origin import Origin
from support.wait import seconds


class Handshake:
    def __init__(self, sock, sni):
        self.sni, self.alpn, self.version = sni, sock.selected_alpn_protocol(), sock.version()
        self.resumed, self.peer = sock.session_reused, sock.getpeercert()


def server_context(certificate, *, alpn=("http/1.1",), version=None, client_ca=None, tickets=None):
    """version: the only one that is spoken; client_ca: clients must show a certificate of it."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        ctx.set_alpn_protocols(list(alpn))
    if version:
        ctx.minimum_version = ctx.maximum_version = version
    if client_ca:
        ctx.load_verify_locations(client_ca)
        ctx.verify_mode = ssl.CERT_REQUIRED
    if tickets is not None:
        ctx.num_tickets = tickets
    return ctx


class SecureOrigin(Origin):
    """before(sock) sees the connection first: it takes a PROXY header off it, or does not go on at all."""

    def __init__(self, certificate, script=None, *, before=None, origin=None, **context):
        self.context, self.before = server_context(certificate, **context), before
        self.handshakes, self.failed, self._names = [], [], {}
        self.context.sni_callback = lambda sock, name, _: self._names.__setitem__(sock, name)
        super().__init__(script, **(origin or {}))

    def _play(self, conn):
        try:
            conn.sock.settimeout(seconds(10))
            if self.before:
                self.before(conn.sock)
            conn.sock = self.context.wrap_socket(conn.sock, server_side=True, suppress_ragged_eofs=False)
            self.handshakes.append(Handshake(conn.sock, self._names.pop(conn.sock, None)))
        except (OSError, ValueError) as problem:
            self.failed.append(problem)
            conn.close()
            conn.done = True
            return
        super()._play(conn)

    def alive(self):
        return [c for c in self.connections if not c.done]


__all__ = ["SecureOrigin", "server_context"]
