# SPDX-License-Identifier: Apache-2.0
"""An origin whose responses come in pieces, each when the test says so."""
import threading

from support.wait import seconds
from support.wire import encode

MINUTE = ("Cache-Control", "max-age=60")


class Gate:
    """
    gate = Gate(stage, total=10)
    ... a client asks for it ...
    gate.head()
    gate.send(b"01234")
    """

    def __init__(self, stage, fields=(MINUTE,), total=None):
        self.steps = []
        self.fields = [*fields, *([("Content-Length", str(total))] if total else [])]
        self.ready = threading.Condition()
        self.origin = stage.origin(self.script)

    def script(self, conn):
        while True:
            conn.read_request()
            for piece in self.pieces():
                conn.send(piece)

    def pieces(self):
        sent = 0
        while True:
            with self.ready:
                assert self.ready.wait_for(lambda: len(self.steps) > sent, seconds(15))
                piece = self.steps[sent]
            if piece is None:
                return
            yield piece
            sent += 1

    def send(self, *pieces):
        with self.ready:
            self.steps += pieces
            self.ready.notify_all()

    def head(self):
        self.send(encode("HTTP/1.1 200 OK", self.fields, b""))

    @property
    def asked(self):
        return len(self.origin.requests)
