# SPDX-License-Identifier: Apache-2.0
"""The process behind support/line.py: carries IP packets between two TUN devices, late, or not at all.

argv: descriptors of the far and the near end.  Each line of standard input is a JSON object of settings to change, and
is answered by one; its end is the end of the line.
"""
import heapq
import json
import os
import random
import select
import socket
import sys
import time

now_s = time.monotonic
PACKET_MAX = 65536


class Line:
    def __init__(self, far, near):
        self.far, self.near = far, near
        self.delay = self.jitter = self.loss = 0.0
        self.cut, self.delays = set(), {}  # by the address of the far host, as bytes
        self.waiting, self.number = [], 0
        self.last = {}  # (host, end) -> when its last packet is due: they keep their order

    def obey(self, settings):
        for name, value in settings.items():
            if name == "cut":
                value = {socket.inet_aton(host) for host in value}
            elif name == "delays":
                value = {socket.inet_aton(host): delay for host, delay in value.items()}
            assert hasattr(self, name), name
            setattr(self, name, value)

    def take(self, end):
        packet = os.read(end, PACKET_MAX)
        if packet[0] >> 4 != 4:
            return  # IPv6 neighbours looking for each other
        host = packet[12:16] if end == self.far else packet[16:20]
        if host in self.cut or random.random() < self.loss:
            return
        due = now_s() + self.delays.get(host, self.delay) + self.jitter * random.random()
        due = self.last[host, end] = max(due, self.last.get((host, end), 0))
        self.number += 1
        heapq.heappush(self.waiting, (due, self.number, self.near if end == self.far else self.far, packet))

    def deliver(self):
        while self.waiting and self.waiting[0][0] <= now_s():
            _, _, end, packet = heapq.heappop(self.waiting)
            os.write(end, packet)

    def run(self):
        while True:
            wait = max(0.0, self.waiting[0][0] - now_s()) if self.waiting else 1
            ready, _, _ = select.select([self.far, self.near, sys.stdin], [], [], wait)
            for end in ready:
                if end is sys.stdin:
                    text = sys.stdin.buffer.readline()
                    if not text:
                        return
                    self.obey(json.loads(text))
                    print("{}", flush=True)
                else:
                    self.take(end)
            self.deliver()


if __name__ == "__main__":
    Line(*map(int, sys.argv[1:])).run()
