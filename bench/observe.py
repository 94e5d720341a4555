# SPDX-License-Identifier: Apache-2.0
"""What is measured of being observed; like scenarios.py.  Only maitred: against itself with everything off."""
import http.client
import os
import socket
import time

import lib
import loads

# What is added to the configuration.
LEVELS = {'off': 'metrics: off', 'metrics': 'metrics: on', 'all': 'metrics: on\nanalytics: on'}
UPSTREAMS, ROUTES, SCRAPES = 1000, 10000, 10


def observed(b):
    """CPU time of all threads, those that keep what workers hand over included."""
    if 'observe' not in b.only:
        return
    for s, rnd in b.interleave(*({'observe': text} for text in LEVELS.values()), peers=('maitred',)):
        level = next(name for name, text in LEVELS.items() if text == s.ctx.observe)
        loads.wrk(s.ctx.port, '/s/128', 64, 1)
        for conns in (16, 64):
            b.sample(s, rnd, f'observe-{level}-{conns}',
                     lambda: loads.wrk(s.ctx.port, '/s/128', conns, b.secs, ('User-Agent: Mozilla/5.0 (X11; bench)',)))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def big_site(folder):
    servers = '{servers: [127.0.0.1:1, 127.0.0.1:2]}'
    return ''.join([f'admin: {{listen: "unix:{folder}/admin.sock", state: {folder}/state}}\n',
                    'process: {workers: 1, user: root}\n' if os.geteuid() == 0 else 'process: {workers: 1}\n',
                    f'listeners: ["127.0.0.1:{lib.PORT}"]\nupstreams:\n',
                    *(f'  app{i}: {servers}\n' for i in range(UPSTREAMS)),
                    'routes:\n- {path: /s/128, use: [{respond: {status: 200}}]}\n',
                    *(f'- {{name: r{i}, path: /r{i}, to: app{i % UPSTREAMS}}}\n' for i in range(ROUTES))])


def scrape(b):
    """GET /metrics of many upstreams, of which nobody has asked anything: the best of ten."""
    peer = next((p for p in b.chosen if p.name == 'maitred'), None)
    if 'observe' not in b.only or not peer:
        return
    folder = os.path.join(b.dir, 'scrape')
    os.makedirs(folder)
    with open(os.path.join(folder, 'maitred.yaml'), 'w', encoding='utf-8') as file:
        file.write(big_site(folder))
    proc = lib.Proc([peer.bin, 'run', '-c', os.path.join(folder, 'maitred.yaml')], (lib.PROXY_CORE,), folder,
                    os.path.join(folder, 'out.log'))
    took = []
    try:
        lib.wait_ready(lib.PORT, proc, 'localhost', 30)
        for _ in range(SCRAPES):
            connection = UnixConnection(os.path.join(folder, 'admin.sock'))
            start = time.monotonic()
            connection.request('GET', '/metrics')
            size = len(connection.getresponse().read())
            took.append((time.monotonic() - start) * 1e6)
            connection.close()
    finally:
        proc.stop()
    b.write({'sample': 'scrape', 'peer': 'maitred', 'round': 0, 'took_us': min(took), 'bytes': size})


RUN = [observed, scrape]
