# SPDX-License-Identifier: Apache-2.0
"""What is measured of compression on the fly; like scenarios.py.  The document is 64 KiB of JSON, and not cached."""
import os
import urllib.request

import lib
import loads
import peers

DOCUMENT_BYTES, DOCUMENT_PORT = 65536, lib.ORIGIN + 7
CONNS = 16
WORDS = ('alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec '
         'romeo sierra tango uniform victor whiskey xray yankee zulu').split()
# coding and level, who has it
LEVELS = [
    ('identity', ('maitred', 'nginx')),
    ('gzip 1', ('maitred',)), ('gzip 2', ('maitred',)),
    ('gzip 4', ('maitred', 'nginx', 'haproxy')),    # of haproxy it is the only one
    ('gzip 5', ('nginx',)),
    ('zstd 3', ('maitred',)), ('zstd 6', ('maitred',)), ('zstd 7', ('maitred',)),
    ('br 3', ('maitred',)), ('br 4', ('maitred',)), ('br 5', ('maitred',)),
]


def document(count):
    """Records of JSON, the same bytes each time."""
    state, out, number = 1, ['['], 1000

    def draw(n=1 << 24):
        nonlocal state
        state = (state * 1664525 + 1013904223) & 0xffffffff
        return (state >> 8) % n

    def word():
        return WORDS[draw(26)]

    length = 1
    while length < count:
        record = (f'{{"id":{number},"user":"{word()}.{word()}","email":"{word()}{draw(1000)}@example.org",'
                  f'"active":{"true" if draw(3) else "false"},"score":{draw(100)}.{draw(100):02},'
                  f'"created":"2024-{draw(12) + 1:02}-{draw(28) + 1:02}T{draw(24):02}:{draw(60):02}:{draw(60):02}Z",'
                  f'"tags":["{word()}","{word()}"],"token":"{draw():06x}{draw():06x}"}},\n')
        out.append(record)
        length += len(record)
        number += 1
    return ''.join(out)[:count].encode()


class Documents(lib.Proc):
    """The server: another nginx, which has the document in a file."""

    def __init__(self, folder, binary):
        os.makedirs(os.path.join(folder, 's'))
        for name, content in (('document.json', document(DOCUMENT_BYTES)), (os.path.join('s', '128'), b'x' * 128)):
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(content)
        conf = os.path.join(folder, 'nginx.conf')
        user = 'user root;' if os.geteuid() == 0 else ''
        with open(conf, 'w', encoding='utf-8') as file:
            file.write(f'daemon off; worker_processes 1; {user} pid {folder}/pid; error_log {folder}/error.log;\n'
                       'events { worker_connections 4096; }\n'
                       'http { types { application/json json; } keepalive_requests 1000000000; access_log off;\n'
                       f'  server {{ listen 127.0.0.1:{DOCUMENT_PORT}; root {folder};\n'
                       '    location = /status { stub_status; } } }\n')
        super().__init__([binary, '-c', conf, '-e', f'{folder}/error.log'], (lib.LOAD_CORE,), folder,
                         os.path.join(folder, 'out.log'))
        lib.wait_ready(DOCUMENT_PORT, self, 'h0.bench.test', 10)

    def stats(self):
        return lib.stub_status(DOCUMENT_PORT)


def wire_bytes(port, coding):
    request = urllib.request.Request(f'http://127.0.0.1:{port}/document.json', headers={'Accept-Encoding': coding})
    with urllib.request.urlopen(request, timeout=10) as response:
        if response.headers.get('Content-Encoding', 'identity') != coding:
            raise RuntimeError(f'not in {coding}: {response.headers}')
        return len(response.read())


def compression(b):
    """A document of JSON in several codings and levels."""
    nginx = next((p.bin for p in peers.PEERS if p.name == 'nginx'), None)
    if 'compression' not in b.only or not nginx:
        return
    origin = Documents(os.path.join(b.dir, 'documents'), nginx)
    try:
        for s, rnd in b.interleave(*({'origin': DOCUMENT_PORT, 'compress': level} for level, _ in LEVELS)):
            if s.peer.name not in dict(LEVELS)[s.ctx.compress]:
                continue
            coding = s.ctx.compress.split()[0]
            headers, size = [f'Accept-Encoding: {coding}'], wire_bytes(s.ctx.port, coding)

            def load(secs=b.secs):
                m, cpu = loads.wrk(s.ctx.port, '/document.json', CONNS, secs, headers)
                return dict(m, wire=size), cpu
            load(1)
            b.sample(s, rnd, s.ctx.compress.replace(' ', '-'), load, origin)
    finally:
        origin.stop()


RUN = [compression]
