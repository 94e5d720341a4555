# SPDX-License-Identifier: Apache-2.0
"""Thousands of servers that cost nothing: one listener on a port of all of 127.0.0.0/8, which answers everything by
200 and notes which of its addresses was asked when.

    crowd = stage.use(Crowd())
    crowd.addresses(1000)     # "127.1.0.0:PORT", "127.1.0.1:PORT", ...
    crowd.seen                # [(time.monotonic(), "127.1.0.7")]: of each connection, in their order
"""
import select
import socket
import threading
import time

from support.ports import free_port

ANSWER = b"HTTP/1.1 200 Because\r\nContent-Length: 2\r\n\r\nok"


class Crowd:
    def __init__(self):
        self.port, self.seen, self._ending, self._conns = free_port(), [], False, {}
        self._listener = socket.create_server(("0.0.0.0", self.port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def addresses(self, n):
        return [f"127.1.{i // 256}.{i % 256}:{self.port}" for i in range(n)]

    def _run(self):
        while not self._ending:
            for fd, _ in self._epoll.poll(0.1):
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._answer(self._conns[fd])

    def _accept(self):
        while True:
            try:
                conn, _ = self._listener.accept()
            except BlockingIOError:
                return
            self.seen.append((time.monotonic(), conn.getsockname()[0]))
            self._conns[conn.fileno()] = conn
            self._epoll.register(conn.fileno(), select.EPOLLIN)

    def _answer(self, conn):
        """Requests have no bodies and come whole."""
        try:
            n = conn.recv(65536).count(b"\r\n\r\n")
            if n:
                conn.sendall(n * ANSWER)
                return
        except OSError:
            pass
        del self._conns[conn.fileno()]
        conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._ending = True
        self._thread.join()
        self._listener.close()
        for conn in self._conns.values():
            conn.close()
