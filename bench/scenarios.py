# SPDX-License-Identifier: Apache-2.0
"""What is measured.  Each function takes a bench.Bench and records samples under the names of report.ROWS."""
import os
import threading
import time

import lib
import loads

KIB = 1024
HOSTS = 10000
HELD = 5000
BURST_US = 250      # arrivals under reloads come this far apart, which spares the generator timers

# name, path, connections, headers
SATURATED = {
    'small': [('small-16', '/s/128', 16, ()), ('small-64', '/s/128', 64, ()), ('small-512', '/s/128', 512, ())],
    '16k': [('16k', f'/s/{16 * KIB}', 64, ())],
    '1m': [('1m', f'/s/{KIB * KIB}', 16, ())],
    'connect': [('connect', '/s/128', 64, ('Connection: close',))],
}


def warm(s, script=None):
    loads.wrk(s.ctx.port, '/s/128', 64, 1, script=script)


def plain(b):
    """Saturated, and 10,000 evenly spaced requests a second: one start of each proxy per round for all of them."""
    runs = [run for key, runs in SATURATED.items() if key in b.only for run in runs]
    if not runs and 'paced' not in b.only:
        return
    for s, rnd in b.interleave():
        warm(s)
        for name, path, conns, headers in runs:
            b.sample(s, rnd, name, lambda: loads.wrk(s.ctx.port, path, conns, b.secs, headers))
        if 'paced' in b.only:
            b.sample(s, rnd, 'paced', lambda: loads.openloop(s.ctx.port, 10000, 64, b.secs, 0))


def hosts_script(b, count):
    """The same script for one host and for many, so that the load costs the same."""
    path = os.path.join(b.dir, f'hosts{count}.lua')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'''local r = {{}}
init = function(args)
  for i = 1, {count} do
    r[i] = wrk.format("GET", "/s/128", {{["Host"] = "h" .. (i - 1) .. ".bench.test"}})
  end
end
request = function() return r[math.random({count})] end
''')
    return path


def hosts(b):
    """10,000 virtual hosts: start, memory, and a random host per request against the same with one host."""
    if not b.only & {'hosts', 'start'}:
        return
    scripts = {count: hosts_script(b, count) for count in (1, HOSTS)}
    cases = [{'hosts': 1}] if 'hosts' in b.only else []
    for s, rnd in b.interleave(*cases, {'hosts': HOSTS}):
        many = s.ctx.hosts == HOSTS
        if many:
            b.record(s, rnd, 'start', {'start_s': s.start_s, 'pss_kb': lib.memory_kb(s.proc.pid)})
        if 'hosts' in b.only:
            script = scripts[s.ctx.hosts]
            warm(s, script)
            b.sample(s, rnd, 'hosts' if many else 'hosts-one',
                     lambda: loads.wrk(s.ctx.port, '/s/128', 64, b.secs, script=script))


def multiplex(b):
    """How many server connections 1,000 clients need that send one request each 100 ms."""
    if 'multiplex' not in b.only:
        return
    for s, rnd in b.interleave():
        for ms, path in ((0, '/s/128'), (10, '/d/10/128')):
            loads.openloop(s.ctx.port, 10000, 1000, 2, 0, path)
            time.sleep(0.2)
            b.sample(s, rnd, f'multiplex-{ms}', lambda: loads.openloop(s.ctx.port, 10000, 1000, b.secs, 0, path))


def held_memory(b, s, rnd, name, count):
    """Growth of memory by so many idle connections, one request each sent before."""
    tls = bool(s.ctx.certs)
    for _ in range(20):
        lib.wait_ready(s.ctx.port, s.proc, 'h0.bench.test', 5, tls)
    time.sleep(0.3)
    before = lib.memory_kb(s.proc.pid)
    held = loads.Hold(s.ctx.port, count, tls)
    try:
        time.sleep(1)
        during = lib.memory_kb(s.proc.pid)
    finally:
        held.close()
    b.record(s, rnd, name, {'held': held.ok, 'failed': held.failed, 'before_kb': before, 'held_kb': during,
                            'per_conn': (during - before) * 1024 / max(1, held.ok)})


def idle(b):
    """Memory per idle keep-alive connection."""
    if 'idle' not in b.only:
        return
    for s, rnd in b.interleave():
        held_memory(b, s, rnd, 'idle', HELD)


class Reloads:
    """A reload each second, in a thread of its own, while the `with` lasts."""

    def __init__(self, s):
        self.s, self.done, self.stop = s, 0, threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.stop.wait(1.0 if self.done else 0.5) and self.s.proc.alive():
            os.kill(self.s.proc.pid, self.s.launch.reload)
            self.done += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def reload(b):
    """Latency at 60 % of the proxy's own capacity, steady and with a reload each second."""
    if 'reload' not in b.only:
        return
    secs = b.secs + 1
    for s, rnd in b.interleave({'reload': True}):
        warm(s)
        rate = loads.wrk(s.ctx.port, '/s/128', 64, 1)[0]['rps'] * 0.6

        def steady():
            m, cpu = loads.openloop(s.ctx.port, rate, 64, secs, BURST_US)
            return dict(m, rate=rate), cpu

        def reloading():
            with Reloads(s) as reloads:
                m, cpu = loads.openloop(s.ctx.port, rate, 64, secs, BURST_US)
            return dict(m, rate=rate, reloads=reloads.done, alive=s.proc.alive()), cpu

        b.sample(s, rnd, 'reload-none', steady)
        b.sample(s, rnd, 'reload', reloading)


def lines(path):
    with open(path, 'rb') as file:
        return sum(block.count(b'\n') for block in iter(lambda: file.read(1 << 20), b''))


def access_log(b):
    """Access log in JSON, to memory, against none."""
    if 'log' not in b.only:
        return
    for s, rnd in b.interleave({}, {'log': True}, peers=('maitred', 'nginx', 'nginx-new')):
        path = s.ctx.path('access.log')
        warm(s)
        if not s.ctx.log:
            b.sample(s, rnd, 'log-off', lambda: loads.wrk(s.ctx.port, '/s/128', 64, b.secs))
            continue

        def logged():
            os.truncate(path, 0)
            m, cpu = loads.wrk(s.ctx.port, '/s/128', 64, b.secs)
            time.sleep(1.2)     # what is still buffered
            return dict(m, log_lines=lines(path), log_bytes=os.path.getsize(path)), cpu
        b.sample(s, rnd, 'log', logged)


RUN = [plain, hosts, multiplex, idle, reload, access_log]
