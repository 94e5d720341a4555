# SPDX-License-Identifier: Apache-2.0
"""Servers of HTTP/2 that do exactly what a test tells them (Debian's python3-h2; TLS or in clear).

    def part(call):
        call.wait_body()
        call.respond(200, body=b"hello")

    with H2Server(part) as server: ...

A part runs once for each request, on a thread of its own, as soon as the request's head has come.  What python3-h2
would not do, conn.raw() and conn.frame() do.  That the peer leaves is its own business; what it sends against the
protocol, and any other exception, is kept in server.failures, which must be empty at the end.
"""
import hashlib
import socket
import ssl
import struct
import threading
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (ConnectionTerminated, DataReceived, RequestReceived, SettingsAcknowledged, StreamEnded,
                       StreamReset, TrailersReceived)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from support.wait import eventually, readable, seconds

MAX_STREAMS, WINDOW = SettingCodes.MAX_CONCURRENT_STREAMS, SettingCodes.INITIAL_WINDOW_SIZE
REFUSED, CANCEL, NO_ERROR, INTERNAL = (ErrorCodes.REFUSED_STREAM, ErrorCodes.CANCEL, ErrorCodes.NO_ERROR,
                                       ErrorCodes.INTERNAL_ERROR)


class Gone(Exception):
    """The stream or the connection has ended before what a part wanted to do."""


class Call:
    """One request, and how it is answered."""

    def __init__(self, conn, stream, fields):
        self.conn, self.stream, self.number = conn, stream, len(conn.server.calls)
        self.fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in fields]
        self.method, self.path = self.get(":method"), self.get(":path")
        self.length, self.kept, self._digest, self.trailers = 0, b"", hashlib.sha256(), None
        self.ended = False       # the request is complete
        self.reset = None        # code by which the peer gave up
        self.unacknowledged = 0  # bytes of the body, while the server holds back its window

    def get(self, name, default=None):
        return next((v for n, v in self.fields if n == name), default)

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    @property
    def sha256(self):
        return self._digest.hexdigest()

    def add(self, data):
        self.length += len(data)
        self.kept += data[:max(0, 65536 - len(self.kept))]
        self._digest.update(data)

    def wait_body(self, within=15):
        self.conn.wait(lambda: self.ended, self, within)
        return self

    def head(self, status, fields=(), end=False):
        self.conn.send_headers(self, [(":status", str(status)), *fields], end)

    def data(self, data=b"", end=False):
        """As the peer's window allows."""
        self.conn.send_data(self, data, end)

    def end(self, trailers=None):
        if trailers:
            self.conn.send_headers(self, trailers, True)
        else:
            self.conn.send_data(self, b"", True)

    def respond(self, status=200, fields=(), body=b""):
        self.head(status, fields, end=not body)
        if body:
            self.data(body, end=True)

    def give_up(self, code=CANCEL):
        self.conn.do(lambda h2: h2.reset_stream(self.stream, code))


class H2Conn:
    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.calls, self.open, self.peak, self.limit = {}, set(), 0, server.settings[MAX_STREAMS]
        self.closed = False    # by either side
        self.reading = threading.Event()
        self.reading.set()
        self.acknowledged = 0  # SETTINGS of ours
        self.goaways = 0
        self._changed = threading.Condition(threading.RLock())

    # ---------------------------------------------------------------- out

    def _write(self, data):
        """With the lock held."""
        until = time.monotonic() + seconds(20)
        while data:
            try:
                data = data[self.sock.send(data):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                if not readable(self.sock, until - time.monotonic(), write=True):
                    raise Gone("the peer does not read") from None
            except OSError:
                self.closed = True
                raise Gone("the connection has ended") from None

    def do(self, act):
        """act(self.h2), and what comes of it is sent."""
        with self._changed:
            if self.closed:
                raise Gone("the connection has ended")
            try:
                result = act(self.h2)
            except ProtocolError as problem:
                raise Gone(repr(problem)) from None
            self._write(self.h2.data_to_send())
            return result

    def raw(self, data):
        with self._changed:
            self._write(data)

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.raw(struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload)

    def block(self, fields):
        """Fields as HPACK, for frame()."""
        return self.h2.encoder.encode(fields)

    def _room(self, call):
        """What may be sent at once; asking h2 of a stream that was reset would be an error."""
        if call.reset is not None:
            return 0
        return min(self.h2.local_flow_control_window(call.stream), self.h2.max_outbound_frame_size)

    def send_headers(self, call, fields, end):
        with self._changed:
            self._leave(call, end)
            self.do(lambda h2: h2.send_headers(call.stream, fields, end_stream=end))

    def send_data(self, call, data, end):
        at = 0
        while at < len(data) or end:
            self.wait(lambda: at >= len(data) or self._room(call) > 0, call, 30)
            with self._changed:
                if self.closed or call.reset is not None:
                    raise Gone("given up")
                piece = data[at:at + self._room(call)]
                if not piece and at < len(data):
                    continue
                at += len(piece)
                last = end and at >= len(data)
                self._leave(call, last)
                self.do(lambda h2: h2.send_data(call.stream, piece, end_stream=last))
            if last:
                return

    def settings(self, changes, wait=True):
        """New SETTINGS; waits until they are acknowledged."""
        before, self.limit = self.acknowledged, changes.get(MAX_STREAMS, self.limit)
        self.do(lambda h2: h2.update_settings(changes))
        if wait:
            self.wait(lambda: self.acknowledged > before, None, 10)

    def goaway(self, last, code=NO_ERROR):
        self.frame(7, 0, 0, struct.pack(">II", last, code))

    def close(self):
        """In order: what was sent still arrives."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        """By a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            self.sock.close()

    # ---------------------------------------------------------------- in

    def wait(self, probe, call, within):
        until = time.monotonic() + seconds(within)
        with self._changed:
            while not probe():
                if self.closed or (call and call.reset is not None):
                    raise Gone("given up")
                left = until - time.monotonic()
                assert left > 0, "a part waited in vain"
                self._changed.wait(left)

    def _leave(self, call, last):
        """Its place is free before the peer hears of the end."""
        if last and call.ended:
            self.open.discard(call.stream)

    def begin(self):
        """Its own settings bind the peer as soon as it has acknowledged them, not before."""
        self.h2.initiate_connection()
        self.h2.update_settings(self.server.settings)

    def run(self, opening):
        (opening or H2Conn.begin)(self)
        with self._changed:
            self._write(self.h2.data_to_send())
        while not self.closed:
            self.reading.wait()
            data = self._receive()
            if data is None:
                continue
            with self._changed:
                if not data:
                    self.closed = True
                elif not self.closed:
                    self._take(data)
                self._changed.notify_all()

    def _receive(self):
        """None: nothing yet."""
        try:
            if not (self.server.tls and self.sock.pending()) and not readable(self.sock, 0.05):
                return None
            with self._changed:
                return self.sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        except (OSError, ValueError):
            return b""

    def _take(self, data):
        for event in self.h2.receive_data(data):
            self._note(event)
        self._write(self.h2.data_to_send())

    def _note(self, event):
        call = self.calls.get(getattr(event, "stream_id", None))
        if isinstance(event, RequestReceived):
            if len(self.open) >= self.limit:
                self.server.refused += 1
                return self.h2.reset_stream(event.stream_id, REFUSED)
            call = self.calls[event.stream_id] = Call(self, event.stream_id, event.headers)
            self.server.calls.append(call)
            self.open.add(event.stream_id)
            self.peak = max(self.peak, len(self.open))
            self.server.spawn(self.server.play, call)
        elif isinstance(event, DataReceived) and call:
            call.add(event.data)
            if self.server.windows:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                call.unacknowledged += event.flow_controlled_length
        elif isinstance(event, TrailersReceived):
            call.trailers = [(n.decode(), v.decode()) for n, v in event.headers]
        elif isinstance(event, StreamEnded) and call:
            call.ended = True
            stream = self.h2.streams.get(call.stream)
            if stream is None or stream.closed:
                self.open.discard(call.stream)
        elif isinstance(event, StreamReset) and call:
            call.reset = event.error_code
            self.open.discard(event.stream_id)
        elif isinstance(event, SettingsAcknowledged):
            self.acknowledged += 1
        elif isinstance(event, ConnectionTerminated):
            self.goaways += 1
            assert event.error_code in self.server.endings, f"GOAWAY {event.error_code!r}: {event.additional_data}"

    def acknowledge(self, call):
        """Opens the window by what has come, where windows=False."""
        n, call.unacknowledged = call.unacknowledged, 0
        self.do(lambda h2: h2.acknowledge_received_data(n, call.stream))


class H2Server:
    """
    opening(conn) runs instead of the server's own SETTINGS.  settings: what it announces.  windows: whether bodies
    are acknowledged by themselves.  tls: an ssl.SSLContext.  endings: codes of GOAWAY that the peer may send.
    """

    def __init__(self, part=None, *, opening=None, settings=None, windows=True, tls=None, endings=(0,), accepted=None,
                 host="127.0.0.1"):
        self.part, self.opening, self.windows, self.tls = part or answer, opening, windows, tls
        self.settings = {MAX_STREAMS: 1000, **(settings or {})}
        self.endings, self.accepted, self.host = endings, accepted, host
        self.connections, self.calls, self.failures, self.facts = [], [], [], []
        self.refused = 0  # streams, beyond what settings allow
        self.port = 0
        self._listener = None
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        """Listens; again on the same port after stop()."""
        self._listener = socket.create_server((self.host, self.port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.spawn(self._accept, self._listener)

    def spawn(self, run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.spawn(self._serve, sock)

    def _serve(self, sock):
        conn = None
        try:
            sock.settimeout(seconds(10))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.accepted:
                self.accepted(sock)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.facts.append({"resumed": sock.session_reused, "alpn": sock.selected_alpn_protocol(),
                                   "peer": sock.getpeercert(), "version": sock.version()})
            sock.setblocking(False)
            conn = H2Conn(self, sock, len(self.connections))
            self.connections.append(conn)
            conn.run(self.opening)
        except (Gone, OSError):
            pass
        except Exception as problem:
            self.failures.append(problem)
        finally:
            if conn:
                conn.close()
            sock.close()

    def play(self, call):
        try:
            self.part(call)
        except Gone:
            pass
        except Exception as problem:
            self.failures.append(problem)

    def wait_calls(self, n, within=10):
        eventually(lambda: len(self.calls) >= n, within, f"{n} requests")
        return self.calls[n - 1]

    def alive(self):
        """Connections that neither side has closed."""
        return [c for c in self.connections if not c.closed]

    def stop(self):
        """Stops listening, and resets all connections."""
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for conn in self.connections:
            if not conn.closed:
                conn.cut()

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        self.stop()
        assert kind or not self.failures, f"what the proxy sent, or a part, failed: {self.failures!r}"


def answer(call):
    """/N: so many bytes; /slow/S: after so many seconds; else what has come, in fields."""
    words = call.path.split("?")[0].strip("/").split("/")
    if words[0] == "slow":
        time.sleep(float(words[1]))
    call.wait_body()
    if words[0].isdigit():
        return call.respond(200, [("content-type", "text/plain")], pattern(int(words[0])))
    told = [("x-method", call.method), ("x-path", call.path), ("x-length", str(call.length)),
            ("x-sha256", call.sha256), ("x-connection", str(call.conn.number)), ("x-stream", str(call.stream))]
    return call.respond(200, told, b"" if call.method == "HEAD" else b"hello")


def pattern(n):
    block = bytes(range(251))
    return (block * (n // len(block) + 1))[:n]


__all__ = ["CANCEL", "INTERNAL", "MAX_STREAMS", "NO_ERROR", "REFUSED", "WINDOW", "Gone", "H2Server", "answer",
           "pattern"]
