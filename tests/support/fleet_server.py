# SPDX-License-Identifier: Apache-2.0
"""The process behind support/fleet.py: a server that behaves as it is told, well or badly.

One loop over epoll, so that it answers thousands of requests a second, and can be killed or stopped as
a whole.  argv: host, port, name.  Each line of standard input is a JSON object: settings to change, or
{"tell": true}; each is answered by a line.  The end of standard input is the end of the server.
"""
import collections
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

now_s = time.monotonic
NAMES_OF_TARGETS_MAX = 200000
TOLD = ("requests", "accepted", "most", "most_waiting", "over", "abandoned", "seen")
# More than was announced: a whole answer, such as nobody asked for.
EXTRA = b"HTTP/1.1 200 Because\r\nContent-Length: 4\r\n\r\nEVIL"


class Settings:
    play = "answer"      # or hang, drop, reset, cut, early, extra, later: see Conn.request() and answer()
    status = 200
    delay = 0.0          # seconds before each answer
    spread = 0.0         # ... and up to so much more
    busy = 0.0           # seconds of work for each answer, one after the other: others wait meanwhile
    share = 1.0          # of the requests, those that are played with; others are just answered
    closing = 0.0        # share of answers after which the connection is closed without a word
    linger = 0.0         # ... after up to so many seconds; with `later` what was not announced comes then
    max_connections = 0  # more are reset
    journal = None       # a file for the targets that are counted in `seen`: it outlives a kill


class Conn:
    def __init__(self, server, sock):
        self.server, self.sock, self.buffer = server, sock, b""
        self.head = None      # of the request that is being read
        self.left = 0         # of its body
        self.waiting = False  # a request is unanswered
        self.answered = False  # the request was answered before its body was there

    def receive(self):
        try:
            more = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.server.abandoned += self.waiting
            self.close()
            return
        self.buffer += more
        self.read()

    def read(self):
        """Requests out of what is there; the next only after the answer to the one before."""
        while self.sock and not self.waiting and self.buffer:
            if self.head is None and not self.read_head():
                return
            took = min(self.left, len(self.buffer))
            self.buffer, self.left = self.buffer[took:], self.left - took
            if self.left:
                return
            self.head = None
            if not self.answered:
                self.request()
            self.answered = False

    def read_head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.head, self.buffer = self.buffer[:end], self.buffer[end + 4:]
        at = self.head.lower().find(b"\r\ncontent-length: ")
        self.left = int(self.head[at + 18:].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self.server.note(self.head)
        if self.server.settings.play == "early" and self.left > len(self.buffer):
            self.answered = True
            self.answer()
        return self.sock is not None

    def request(self):
        """A whole request is there."""
        settings = self.server.settings
        play = settings.play if settings.share >= 1 or random.random() < settings.share else "answer"
        if play == "drop":
            self.close()
        elif play == "reset":
            self.close(reset=True)
        elif play == "cut":
            self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            self.close(reset=True)
        elif play == "hang" or settings.delay or settings.spread:
            self.wait(True)
            if play != "hang":
                self.server.later(settings.delay + settings.spread * random.random(), self.answer_late)
        else:
            self.answer()

    def wait(self, waiting):
        server = self.server
        server.waiting += waiting - self.waiting
        server.most_waiting = max(server.most_waiting, server.waiting)
        self.waiting = waiting

    def answer_late(self):
        if self.sock and self.waiting:
            self.wait(False)
            self.answer()
            self.read()

    def answer(self):
        server, settings = self.server, self.server.settings
        if settings.busy:
            time.sleep(settings.busy)
        self.send(server.answer + (EXTRA if settings.play == "extra" else b""))
        if settings.play == "later":
            server.later(settings.linger * random.random(), lambda: self.sock and self.send(EXTRA))
        if self.sock and settings.closing and random.random() < settings.closing:
            if settings.linger:
                server.later(settings.linger * random.random(), self.close)
            else:
                self.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.close()

    def close(self, reset=False):
        if not self.sock:
            return
        self.wait(False)
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        del self.server.conns[self.sock.fileno()]
        self.sock.close()
        self.sock = None


class Server:
    def __init__(self, host, port, name):
        self.name, self.settings = name, Settings()
        self.conns, self.timers, self.made = {}, [], 0
        self.requests = self.accepted = self.most = self.over = self.abandoned = 0
        self.waiting = self.most_waiting = 0  # requests without an answer: now, and most at a time
        self.seen = collections.Counter()  # targets of requests that change something
        self.answer, self.journal = b"", None
        self.prepare()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(4096)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.epoll.register(sys.stdin.fileno(), select.EPOLLIN)

    def prepare(self):
        body = self.name.encode()
        self.answer = (f"HTTP/1.1 {self.settings.status} Because\r\nX-Origin: {self.name}\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    def note(self, head):
        self.requests += 1
        if head.startswith(b"GET ") or len(self.seen) == NAMES_OF_TARGETS_MAX:
            return
        target = head.split(b" ", 2)[1]
        self.seen[target.decode("latin-1")] += 1
        if self.journal is not None:
            os.write(self.journal, target + b"\n")

    def later(self, delay, run):
        self.made += 1
        heapq.heappush(self.timers, (now_s() + delay, self.made, run))

    def drop_ended(self):
        """Those that the peer has closed do not count any more, though their turn has not come."""
        for conn in list(self.conns.values()):
            try:
                ended = conn.sock.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if ended:
                conn.receive()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            conn = Conn(self, sock)
            limit = self.settings.max_connections
            if limit and len(self.conns) >= limit:
                self.drop_ended()
            self.conns[sock.fileno()] = conn
            self.most = max(self.most, len(self.conns))
            if limit and len(self.conns) > limit:
                self.over += 1
                conn.close(reset=True)
            else:
                self.epoll.register(sock.fileno(), select.EPOLLIN)

    def obey(self, line):
        wish = json.loads(line)
        if wish.pop("tell", False):
            told = {k: getattr(self, k) for k in TOLD}
            told["connections"] = len(self.conns)
        else:
            for name, value in wish.items():
                assert hasattr(Settings, name), name
                setattr(self.settings, name, value)
            if "journal" in wish:
                self.journal = os.open(self.settings.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self.prepare()
            told = {}
        print(json.dumps(told), flush=True)

    def run(self):
        while True:
            wait = max(0.0, self.timers[0][0] - now_s()) if self.timers else 1
            for fd, _ in self.epoll.poll(wait):
                if fd == self.listener.fileno():
                    self.accept()
                elif fd == sys.stdin.fileno():
                    line = sys.stdin.buffer.readline()
                    if not line:
                        return
                    self.obey(line)
                elif fd in self.conns:
                    self.conns[fd].receive()
            while self.timers and self.timers[0][0] <= now_s():
                heapq.heappop(self.timers)[2]()


if __name__ == "__main__":
    server = Server(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    print("{}", flush=True)
    server.run()
