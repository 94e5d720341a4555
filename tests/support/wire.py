# SPDX-License-Identifier: Apache-2.0
"""Bytes on sockets and HTTP/1 messages, for scripted origins and raw clients.

Deliberately small and independent of the proxy's own codec: it reads what well-behaved peers write
and complains about the rest, so that a test sees what really came over the wire.
"""
import socket
import struct
import time

from support.wait import readable, seconds


class Closed(Exception):
    """The peer closed the connection before what was wanted had come."""


def connect(address, source=None, timeout=10):
    """A connected socket; address is "host:port", "[v6]:port" or "unix:/path"."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(seconds(timeout))
        sock.connect(address[len("unix:"):])
        return sock
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=seconds(timeout),
                                    source_address=(source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Message:
    """A head, and once read its body and trailers.  Text is latin-1, so that every byte survives."""

    def __init__(self, raw_head):
        lines = raw_head.decode("latin-1").split("\r\n")
        self.raw_head = raw_head
        self.start = lines[0]
        self.fields = [_split_field(line) for line in lines[1:] if line]
        self.body = b""
        self.trailers = []

    def get(self, name, default=None):
        """Value of the first field of that name, any case."""
        return next(iter(self.all(name)), default)

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def has(self, name):
        return bool(self.all(name))


def _split_field(line):
    name, colon, value = line.partition(":")
    assert colon, f"not a field: {line!r}"
    return name, value.strip(" \t")


class Request(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        self.method, self.target, self.version = self.start.split(" ")


class Response(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        self.version, status, *reason = self.start.split(" ", 2)
        self.status = int(status)
        self.reason = reason[0] if reason else ""
        self.informational = []


class Stream:
    """A socket with a buffer; every read has a deadline."""

    def __init__(self, sock, timeout=10):
        self.sock = sock
        self.timeout = seconds(timeout)
        self.buffer = b""
        self.received = 0

    def fill(self, deadline=None):
        """Reads some more; False at the end of the stream."""
        end = deadline if deadline is not None else time.monotonic() + self.timeout
        self.sock.settimeout(max(0.001, end - time.monotonic()))
        more = self.sock.recv(262144)
        self.buffer += more
        self.received += len(more)
        return bool(more)

    def take(self, n):
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read_exact(self, n):
        end = time.monotonic() + self.timeout
        while len(self.buffer) < n:
            if not self.fill(end):
                raise Closed(f"closed after {len(self.buffer)} of {n} bytes: {self.buffer[:200]!r}")
        return self.take(n)

    def read_until(self, mark, limit=1 << 22):
        end = time.monotonic() + self.timeout
        while mark not in self.buffer:
            assert len(self.buffer) < limit, f"no {mark!r} in {limit} bytes"
            if not self.fill(end):
                raise Closed(f"closed before {mark!r}: {self.buffer[:200]!r}")
        return self.take(self.buffer.index(mark) + len(mark))

    def read_some(self):
        """What is there, waiting for at least one byte; b"" at the end."""
        if not self.buffer and not self.fill():
            return b""
        return self.take(len(self.buffer))

    def read_all(self):
        """Everything until the peer closes; a reset counts as the end."""
        end = time.monotonic() + self.timeout
        try:
            while self.fill(end):
                pass
        except ConnectionResetError:
            pass
        return self.take(len(self.buffer))

    def has_input(self):
        """True when there is something to read, if only the end; does not wait."""
        return bool(self.buffer or readable(self.sock))

    def is_closed(self, within=10):
        """True when the peer closes or resets within that time, without sending anything more."""
        try:
            self.fill(time.monotonic() + seconds(within))
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return not self.buffer

    def is_silent(self, during):
        """True when for that long nothing comes, not even the end."""
        if self.buffer:
            return False
        try:
            self.fill(time.monotonic() + during)
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False
        return False

    def send(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def read_head(self, kind):
        raw = self.read_until(b"\r\n\r\n")
        return kind(raw[:-4])

    def read_chunk(self):
        """Content of the next chunk of a chunked body; b"" after the last one (trailers follow)."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            return b""
        data = self.read_exact(size)
        assert self.read_exact(2) == b"\r\n", "no CRLF after a chunk"
        return data

    def read_trailers(self):
        fields = []
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            fields.append(_split_field(line[:-2].decode("latin-1")))
        return fields

    def pieces(self, message, until_close=False):
        """The body piece by piece, as it comes; fills message.trailers."""
        coding, length = message.get("transfer-encoding"), message.get("content-length")
        if coding is not None:
            assert coding.lower() == "chunked" and length is None, message.raw_head
            while piece := self.read_chunk():
                yield piece
            message.trailers = self.read_trailers()
        elif length is not None:
            left = int(length)
            while left:
                if not self.buffer and not self.fill():
                    raise Closed(f"{left} bytes of the body are missing")
                piece = self.take(left)
                left -= len(piece)
                yield piece
        elif until_close:
            while piece := self.read_some():
                yield piece

    def reset(self):
        """Closes with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def shutdown_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def encode(start, fields=(), body=b""):
    """A message's bytes.  Adds no field by itself."""
    lines = [start] + [f"{n}: {v}" for n, v in fields]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head + (body.encode("latin-1") if isinstance(body, str) else body)


def chunked(*pieces, trailers=()):
    """The chunked coding of some pieces."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p)
    return out + b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in trailers) + b"\r\n"
