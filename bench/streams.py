#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams that stay open: thousands of WebSockets and long downloads, both ends of them.

    bench/streams.py serve PORT
    bench/streams.py hold PORT WEBSOCKETS DOWNLOADS

The server answers `Upgrade: websocket` and echoes what comes, and sends everybody else bytes without end, 16 KiB four
times a second, whose content says where in the stream they belong.  The holder opens all, prints `ready`, keeps them
talking until its standard input ends, and prints as JSON what was carried and which streams ended or carried wrong
bytes.  Opcodes and masks do not matter to a proxy: what is echoed is one masked frame with a number in it.
"""
import heapq
import json
import select
import socket
import sys
import time

PIECE = 16384
EVERY_S = 0.25
PING_S = 5.0
PATTERN = bytes(i % 251 for i in range(251 * 200))
REPLY = (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
         b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
OPEN = (b'GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
ASK = b'GET /big HTTP/1.1\r\nHost: bench\r\n\r\n'
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000000000\r\n\r\n'


def pattern(offset, n):
    begin = offset % 251
    return PATTERN[begin:begin + n]


# ---------------------------------------------------------------------------------------- the server

class Served:
    def __init__(self, sock):
        self.sock, self.echo, self.offset = sock, None, 0


def serve(port):
    listener = socket.create_server(('127.0.0.1', port), backlog=4096)
    poll, conns, due = select.epoll(), {}, []
    poll.register(listener.fileno(), select.EPOLLIN)

    def close(conn):
        conns.pop(conn.sock.fileno(), None)
        conn.sock.close()
        conn.echo = True

    def begin(conn, data):
        conn.echo = b'upgrade: websocket' in data.lower()
        conn.sock.sendall(REPLY if conn.echo else HEAD)
        if not conn.echo:
            heapq.heappush(due, (time.monotonic() + EVERY_S, id(conn), conn))

    def receive(conn):
        try:
            data = conn.sock.recv(65536)
            if not data:
                close(conn)
            elif conn.echo is None:
                begin(conn, data)
            elif conn.echo:
                conn.sock.sendall(data)
        except OSError:
            close(conn)

    def send(conn, now):
        if conn.sock.fileno() < 0:
            return
        try:
            conn.offset += conn.sock.send(pattern(conn.offset, PIECE))
        except BlockingIOError:
            pass
        except OSError:
            close(conn)
            return
        heapq.heappush(due, (now + EVERY_S, id(conn), conn))

    while True:
        now = time.monotonic()
        while due and due[0][0] <= now:
            send(heapq.heappop(due)[2], now)
        for fd, _ in poll.poll(max(0.0, due[0][0] - now) if due else 1):
            if fd != listener.fileno():
                if fd in conns:
                    receive(conns[fd])
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            conns[sock.fileno()] = Served(sock)
            poll.register(sock.fileno(), select.EPOLLIN)


# ---------------------------------------------------------------------------------------- the clients

class Held:
    """One stream; `wrong` says what happened to it."""

    def __init__(self, port, websocket):
        self.websocket, self.wrong, self.bytes, self.turns = websocket, '', 0, 0
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=20)
        self.sock.sendall(OPEN if websocket else ASK)
        head = b''
        while b'\r\n\r\n' not in head:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError(f'no answer: {head[:100]!r}')
            head += more
        if not head.startswith(b'HTTP/1.1 101' if websocket else b'HTTP/1.1 200'):
            raise ConnectionError(f'not what was asked for: {head[:100]!r}')
        self.expected = b''
        self.take(head.partition(b'\r\n\r\n')[2])
        self.sock.setblocking(False)

    def ping(self):
        if self.expected:
            self.wrong = 'no echo within the time between two pings'
            return
        self.expected = b'\x82\x88' + b'\0' * 4 + b'%08d' % self.turns
        try:
            self.sock.sendall(self.expected)
        except OSError as problem:
            self.wrong = repr(problem)

    def take(self, data):
        if self.websocket:
            if not self.expected.startswith(data):
                self.wrong = f'{data[:40]!r} came, {self.expected[:40]!r} was sent'
            self.expected = self.expected[len(data):]
            self.turns += bool(data) and not self.expected
        else:
            if data != pattern(self.bytes, len(data)):
                self.wrong = f'wrong bytes behind {self.bytes}'
            self.bytes += len(data)

    def receive(self):
        try:
            data = self.sock.recv(49152)
        except BlockingIOError:
            return
        except OSError as problem:
            self.wrong = repr(problem)
            return
        if data:
            self.take(data)
        else:
            self.wrong = f'ended after {self.turns} turns, {self.bytes} bytes'


def hold(port, websockets, downloads):
    poll, held = select.epoll(), {}
    for i in range(websockets + downloads):
        stream = Held(port, i < websockets)
        held[stream.sock.fileno()] = stream
        poll.register(stream.sock.fileno(), select.EPOLLIN)
    streams = list(held.values())
    sockets = [s for s in streams if s.websocket]
    print('ready', flush=True)
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    begin, pinged, ending = time.monotonic(), 0, False
    while not ending:
        due = int((time.monotonic() - begin) / PING_S * len(sockets))
        for i in range(pinged, due):
            if not sockets[i % len(sockets)].wrong:
                sockets[i % len(sockets)].ping()
        pinged = max(due, pinged)
        for fd, _ in poll.poll(0.02):
            if fd == sys.stdin.fileno():
                ending = True
            elif not held[fd].wrong:
                held[fd].receive()
            if fd in held and held[fd].wrong:
                poll.unregister(fd)
    wrong = [s.wrong for s in streams if s.wrong]
    print(json.dumps({'websockets': len(sockets), 'downloads': len(streams) - len(sockets),
                      'turns': sum(s.turns for s in sockets), 'bytes': sum(s.bytes for s in streams),
                      'lost_websockets': sum(bool(s.wrong) for s in sockets),
                      'lost_downloads': sum(bool(s.wrong) for s in streams if not s.websocket),
                      'wrong': wrong[:5]}))


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(int(sys.argv[2]))
    else:
        hold(*map(int, sys.argv[2:]))
