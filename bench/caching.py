# SPDX-License-Identifier: Apache-2.0
"""What is measured of the cache; like scenarios.py.  What is behind the size in a path makes it another response."""
import http.client
import os
import random
import re
import subprocess
import threading
import time

import lib
import loads

KIB = 1024
MEMORY_MIB = 256
# name, size, connections
HITS = [('hit-1k-16', KIB, 16), ('hit-1k-64', KIB, 64), ('hit-64k-16', 64 * KIB, 16), ('hit-64k-64', 64 * KIB, 64)]
CROWD = 1000
TAGGED = 100000
FILLED_MIB = 64         # budget of the store whose memory is measured
FILLS = 10              # budgets that are put in
SETTLE_S = 2            # what a purge leaves behind is swept within this


def hits(b):
    """Responses from memory, all of them: the origin gets no request meanwhile."""
    if 'hit' not in b.only:
        return
    for s, rnd in b.interleave({'cache': MEMORY_MIB}):
        for size in dict.fromkeys(size for _, size, _ in HITS):
            loads.wrk(s.ctx.port, f'/c/{size}', 64, 1)
        for name, size, conns in HITS:
            b.sample(s, rnd, name, lambda: loads.wrk(s.ctx.port, f'/c/{size}', conns, b.secs))


def coalesce(b):
    """So many requests at once for one response that takes 300 ms: how often is the origin asked?"""
    if 'coalesce' not in b.only:
        return
    for s, rnd in b.interleave({'cache': MEMORY_MIB}):
        # Once only: a second time it would not be cold.
        b.sample(s, rnd, 'coalesce', lambda: loads.wrk(s.ctx.port, f'/w/300/{KIB}', CROWD, 1), attempts=1)


class Filler:
    """Asks for one path after the other, none of them twice but for a few, until the origin has made `count`."""

    SCRIPT = '''local sizes, n = {{{sizes}}}, {first}
request = function()
  n = n + 1
  return wrk.format("GET", "/c/" .. sizes[n % #sizes + 1] .. "/" .. n)
end
'''
    CONNS = 64

    def __init__(self, b, s, sizes):
        self.b, self.s, self.sizes = b, s, sizes

    def fill(self, count):
        path = os.path.join(self.b.dir, 'fill.lua')
        start = made = self.b.origin.stats()['requests']
        while made - start < count:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(self.SCRIPT.format(sizes=', '.join(map(str, self.sizes)),
                                              first=max(0, made - start - self.CONNS)))
            loads.wrk(self.s.ctx.port, '/', self.CONNS, 1, script=path)
            before, made = made, self.b.origin.stats()['requests']
            if made - before < self.CONNS:
                raise RuntimeError('the origin is not asked')


def fetch(port, path, method='GET', headers=None):
    """(status, fields)"""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    try:
        connection.request(method, path, headers={'Host': 'h0.bench.test', **(headers or {})})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()


class Threads:
    """CPU time as the scheduler counts it, which is finer than ticks of the clock: of the worker, and of the others."""

    def __init__(self, root):
        self.root = root
        self.begun, self.worker = self.all_us(), None

    def all_us(self):
        found = {}
        for pid in lib.tree(self.root):
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/schedstat', encoding='utf-8') as file:
                    found[task] = int(file.read().split()[0]) / 1000
        return found

    def find_worker(self):
        """It is who has worked most since the beginning."""
        now = self.all_us()
        self.worker = max(now, key=lambda task: now[task] - self.begun.get(task, 0))

    def us(self):
        now = self.all_us()
        worker = now.pop(self.worker)
        return worker, sum(now.values())


def purge(b):
    """All of 100,000 responses by their one tag: CPU until it is answered, of the worker altogether, and of the sweep.

    Some are asked for at once, which must not be hits, and others when the sweep has been through.
    """
    if 'purge' not in b.only:
        return
    for s, rnd in b.interleave({'cache': MEMORY_MIB}, peers=('maitred',)):
        threads, port = Threads(s.proc.pid), s.ctx.port
        Filler(b, s, [128]).fill(TAGGED)
        threads.find_worker()
        paths = [f'/c/128/{n}' for n in random.sample(range(1, TAGGED), 20)]
        asked = b.origin.stats()['requests']
        time.sleep(0.5)
        (worker0, others0), start = threads.us(), time.monotonic()
        status, _ = fetch(port, '/', 'PURGE', {'Cache-Tag': 'bench'})
        took_us, (worker1, others1) = (time.monotonic() - start) * 1e6, threads.us()
        found = sum('hit' in fetch(port, path)[1]['Cache-Status'] for path in paths[:3])
        time.sleep(SETTLE_S)
        worker2, others2 = threads.us()
        found += sum('hit' in fetch(port, path)[1]['Cache-Status'] for path in paths[3:])
        missed = b.origin.stats()['requests'] - asked
        b.record(s, rnd, 'purge', {'took_us': took_us, 'answer_us': worker1 + others1 - worker0 - others0,
                                   'work_us': worker2 - worker0, 'sweep_us': others2 - others0,
                                   'failed': found + (missed != len(paths)) + (status // 100 != 2)})


class Peak:
    """The most memory of the process tree while the `with` lasts."""

    def __init__(self, pid):
        self.pid, self.kb, self.stop = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.stop.wait(0.05):
            self.kb = max(self.kb, lib.memory_kb(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def memory(b):
    """Growth by ten times the budget of a store in bodies of all sizes, against the budget."""
    if 'cache-memory' not in b.only:
        return
    sizes = [128, 700, KIB, 3 * KIB, 5000, 10 * KIB, 16 * KIB, 40 * KIB, 64 * KIB, 200 * KIB]
    count = FILLS * FILLED_MIB * KIB * KIB // (sum(sizes) // len(sizes))
    for s, rnd in b.interleave({'cache': FILLED_MIB}, peers=('maitred', 'haproxy', 'varnish')):
        loads.wrk(s.ctx.port, f'/s/{64 * KIB}', Filler.CONNS, 1)    # buffers of connections are not the cache's
        before = lib.memory_kb(s.proc.pid)
        with Peak(s.proc.pid) as peak:
            Filler(b, s, sizes).fill(count)
        b.record(s, rnd, 'cache-memory', {'before_kb': before, 'peak_kb': peak.kb,
                                          'of_budget': (peak.kb - before) / (FILLED_MIB * KIB)})


def ratios(b):
    """How often policies hit, from the store's own test, which simulates them on the same traces."""
    if 'hit-ratio' not in b.only:
        return
    ours = next((p.bin for p in b.chosen if p.name == 'maitred'), None)
    if not ours:
        return
    build = os.path.dirname(ours)
    subprocess.run(['ninja', '-C', build, 'store-policies-test'], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([os.path.join(build, 'store-policies-test')], env=dict(os.environ, MAITRED_FULL='1'),
                          stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        match = re.match(r'# (.*?): (.*)', line)
        if match:
            b.write({'trace': match.group(1), 'hits': dict(re.findall(r'(\S+) ([\d.]+)', match.group(2)))})


RUN = [hits, coalesce, purge, memory, ratios]
