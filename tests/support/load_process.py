# SPDX-License-Identifier: Apache-2.0
"""The process behind support/load.py: keeps connections busy until its standard input ends, then tells.

One loop over epoll and plain sockets, because 5,000 requests a second are to cost little of a core.
Each connection has one request under way at most; when requests have a rhythm, one that is late
because its predecessor took long is left out, not caught up with.

argv[1] is a JSON object: host, port, connections, head (with %d where each request's number goes, or
without), body, interval, pause, timeout.  The result, pickled, goes to standard output.
"""
import array
import base64
import heapq
import json
import pickle
import select
import socket
import sys
import time

now_s = time.monotonic
TICK_S = 0.25


class Result:
    """Columns, one row for each request: when it was sent, how long it took, its status, its body."""

    def __init__(self):
        self.sent, self.took = array.array("d"), array.array("f")
        self.status, self.body = array.array("H"), array.array("H")
        self.names = {}  # body -> number
        self.failures = []  # (when, words)
        self.reopened = 0

    def add(self, sent, status, body):
        self.sent.append(sent)
        self.took.append(now_s() - sent)
        self.status.append(status)
        self.body.append(self.names.setdefault(body, len(self.names)))

    def fail(self, sent, words):
        self.failures.append((sent, words))


class Conn:
    def __init__(self, load, index):
        self.load, self.index = load, index
        self.sock, self.buffer, self.sent, self.due = None, b"", None, 0.0

    def open(self):
        self.sock = socket.create_connection(self.load.peer, timeout=self.load.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buffer = b""
        self.load.by_fd[self.sock.fileno()] = self
        self.load.epoll.register(self.sock.fileno(), select.EPOLLIN)

    def close(self):
        del self.load.by_fd[self.sock.fileno()]
        self.sock.close()
        self.sock, self.sent = None, None

    def ask(self):
        load = self.load
        self.sent = now_s()
        try:
            if self.sock is None:
                self.open()
            load.number += 1
            self.sock.sendall((load.head % load.number if load.numbered else load.head) + load.body)
        except OSError as problem:
            self.broken(repr(problem))

    def broken(self, words):
        """With a request under way that is a failure; without one the connection was just closed."""
        sent = self.sent
        if self.sock is not None:
            self.close()
        if sent is None:
            self.load.result.reopened += 1
            return
        self.load.result.fail(sent, words)
        self.sent = None
        self.load.plan(self)

    def receive(self):
        try:
            more = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as problem:
            self.broken(repr(problem))
            return
        if not more:
            self.broken(f"closed after {self.buffer[:200]!r}")
            return
        self.buffer += more
        end = self.buffer.find(b"\r\n\r\n")
        if end >= 0:
            self.answered(end + 4)

    def answered(self, begin):
        head = self.buffer[:begin].lower()
        at = head.find(b"\r\ncontent-length: ")
        if self.sent is None or at < 0 or not head.startswith(b"http/1.1 "):
            self.broken(f"not an answer: {self.buffer[:200]!r}")
            return
        end = begin + int(head[at + 18:head.index(b"\r\n", at + 18)])
        if len(self.buffer) < end:
            return
        if len(self.buffer) > end:
            self.broken(f"more than was announced: {self.buffer[:200]!r}")
            return
        body, status = self.buffer[begin:], int(head[9:12])
        self.load.result.add(self.sent, status, body)
        if status != 200:
            self.load.result.fail(self.sent, f"{status} {body[:100]!r}")
        self.buffer, self.sent = b"", None
        if b"\r\nconnection: close" in head:
            self.close()
        self.load.plan(self)


class Load:
    def __init__(self, host, port, connections, head, body, interval, pause, timeout):
        self.peer, self.timeout, self.interval, self.pause = (host, port), timeout, interval, pause
        self.head, self.body = base64.b64decode(head), base64.b64decode(body)
        self.numbered = b"%d" in self.head
        self.epoll, self.by_fd, self.heap, self.number = select.epoll(), {}, [], 0
        self.result, self.stopping = Result(), False
        self.conns = [Conn(self, i) for i in range(connections)]
        begin = now_s()
        for conn in self.conns:
            conn.due = begin + interval * conn.index / connections
            heapq.heappush(self.heap, (conn.due, conn.index))

    def plan(self, conn):
        """When its next request is due."""
        now = now_s()
        conn.due = max(conn.due + self.interval, now) if self.interval else now + self.pause
        heapq.heappush(self.heap, (conn.due, conn.index))

    def send_due(self):
        now = now_s()
        while self.heap and self.heap[0][0] <= now and not self.stopping:
            self.conns[heapq.heappop(self.heap)[1]].ask()

    def give_up_late(self):
        now = now_s()
        for conn in self.conns:
            if conn.sent is not None and now > conn.sent + self.timeout:
                conn.broken(f"no answer within {self.timeout} s")

    def run(self):
        self.epoll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
        look = now_s() + TICK_S
        while not self.stopping or any(c.sent is not None for c in self.conns):
            self.send_due()
            wait = max(0.0, min(look, self.heap[0][0] if self.heap and not self.stopping else look) - now_s())
            for fd, _ in self.epoll.poll(wait):
                if fd == sys.stdin.fileno():
                    self.stopping = True
                    self.epoll.unregister(fd)
                elif fd in self.by_fd:
                    self.by_fd[fd].receive()
            if now_s() >= look:
                self.give_up_late()
                look = now_s() + TICK_S


def main():
    load = Load(**json.loads(sys.argv[1]))
    load.run()
    r = load.result
    pickle.dump({"sent": r.sent, "took": r.took, "status": r.status, "body": r.body, "names": list(r.names),
                 "failures": r.failures, "reopened": r.reopened}, sys.stdout.buffer)


if __name__ == "__main__":
    main()
