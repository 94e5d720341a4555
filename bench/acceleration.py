#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures compression on the fly beside nginx: a JSON document of 64 KiB, 16 connections, nothing cached.

  acceleration.py [--rounds N] [--secs N] [--only NAME,...]

The binary is build/maitred, or what MAITRED says.  What is told of each: CPU time of the proxy per request, bytes
on the wire, and the ratio to nginx at gzip level 4 and 5.
"""
import argparse
import functools
import os
import shutil
import statistics
import sys
import types
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench  # noqa: E402
import lib  # noqa: E402
import loads  # noqa: E402
import peers  # noqa: E402

DOCUMENT_BYTES, DOCUMENT_PORT = 65536, lib.ORIGIN + 7
WORDS = ('alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec '
         'romeo sierra tango uniform victor whiskey xray yankee zulu').split()

# name, proxy, what it is told, Accept-Encoding
CASES = [
    ('nginx', 'nginx', '', 'identity'),
    ('nginx-gzip-4', 'nginx', 'gzip on; gzip_comp_level 4;', 'gzip'),
    ('nginx-gzip-5', 'nginx', 'gzip on; gzip_comp_level 5;', 'gzip'),
    ('plain', 'maitred', '{}', 'identity'),
    *((f'gzip-{n}', 'maitred', f'{{gzip_level: {n}}}', 'gzip') for n in (1, 2, 3, 4, 5)),
    *((f'zstd-{n}', 'maitred', f'{{zstd_level: {n}}}', 'zstd') for n in (3, 5, 6, 7, 8)),
    *((f'br-{n}', 'maitred', f'{{br_level: {n}}}', 'br') for n in (3, 4, 5)),
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


def nginx(told, c):
    launch = peers.nginx(c)
    text = launch.files['nginx.conf']
    compression = f'{told} gzip_proxied any; gzip_types application/json;' if told else ''
    launch.files['nginx.conf'] = text.replace('sendfile on;', f'sendfile on; {compression}', 1)
    return launch


def maitred(told, c):
    launch = peers.maitred(c)
    text = launch.files['maitred.yaml']
    launch.files['maitred.yaml'] = text.replace('[{to: origin}]', f'[{{use: [{{compress: {told}}}], to: origin}}]')
    return launch


PROXIES = {'nginx': ('NGINX', 'nginx', nginx, '-v'), 'maitred': ('MAITRED', peers.BUILT, maitred, 'version')}


def peer(name, proxy, told):
    env, binary, config, flag = PROXIES[proxy]
    return peers.Peer(name, env, binary, functools.partial(config, told), flag)


class Documents(lib.Proc):
    """The server: another nginx, which has the document in a file."""

    def __init__(self, folder):
        os.makedirs(folder)
        os.makedirs(os.path.join(folder, 's'))
        with open(os.path.join(folder, 'document.json'), 'wb') as file:
            file.write(document(DOCUMENT_BYTES))
        with open(os.path.join(folder, 's', '128'), 'wb') as file:
            file.write(b'x' * 128)
        conf = os.path.join(folder, 'nginx.conf')
        user = 'user root;' if os.geteuid() == 0 else ''
        with open(conf, 'w', encoding='utf-8') as file:
            file.write(f'daemon off; worker_processes 1; {user} pid {folder}/pid; error_log {folder}/error.log;\n'
                       'events { worker_connections 4096; }\n'
                       'http { types { application/json json; } keepalive_requests 1000000000; access_log off;\n'
                       f'  server {{ listen 127.0.0.1:{DOCUMENT_PORT}; root {folder}; }} }}\n')
        binary = shutil.which('nginx', path=peers.search_path())
        super().__init__([binary, '-c', conf, '-e', f'{folder}/error.log'], (lib.LOAD_CORE,), folder,
                         os.path.join(folder, 'out.log'))
        lib.wait_ready(DOCUMENT_PORT, self, 'h0.bench.test', 10)


def wire_bytes(port, accept):
    request = urllib.request.Request(f'http://127.0.0.1:{port}/document.json', headers={'Accept-Encoding': accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert accept == 'identity' or response.headers['Content-Encoding'] == accept, response.headers
        return len(response.read())


def measure(b, cases):
    accepts = {name: accept for name, _, _, accept in cases}
    for s, rnd in b.interleave({'origin': DOCUMENT_PORT}):
        accept = accepts[s.peer.name]
        size = wire_bytes(s.ctx.port, accept)
        headers = [f'Accept-Encoding: {accept}']

        def work():
            return loads.wrk(s.ctx.port, '/document.json', 16, b.secs, headers)

        loads.wrk(s.ctx.port, '/document.json', 16, 1, headers)
        b.sample(s, rnd, 'compress', lambda: with_size(work(), size))


def with_size(measured, size):
    """A load gives (figures, its CPU)."""
    figures, cpu = measured
    return {**figures, 'wire': size}, cpu


def table(records):
    by_peer = {}
    for r in records:
        if r.get('sample') == 'compress' and r.get('cpu_us'):
            by_peer.setdefault(r['peer'], []).append(r)
    medians = {name: statistics.median(r['cpu_us'] for r in rows) for name, rows in by_peer.items()}
    lines = ['| | us/request | bytes | ratio | to nginx-gzip-4 | to nginx-gzip-5 |', '|---|---:|---:|---:|---:|---:|']
    for name, rows in by_peer.items():
        against = [f'{medians[name] / medians[other]:.2f}' if other in medians else '-'
                   for other in ('nginx-gzip-4', 'nginx-gzip-5')]
        lines.append(f'| {name} | {medians[name]:.0f} | {rows[0]["wire"]} | {DOCUMENT_BYTES / rows[0]["wire"]:.2f} | '
                     f'{against[0]} | {against[1]} |')
    return '\n'.join(lines)


def main():
    names = [case[0] for case in CASES]
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--secs', type=int, default=2)
    ap.add_argument('--only', default=','.join(names), help='some of: ' + ', '.join(names))
    args = ap.parse_args()
    chosen = args.only.split(',')
    if set(chosen) - set(names):
        ap.error('unknown: ' + ', '.join(set(chosen) - set(names)))
    cases = [case for case in CASES if case[0] in chosen]
    os.sched_setaffinity(0, {lib.LOAD_CORE})
    lib.raise_limits()
    b = bench.Bench(types.SimpleNamespace(secs=args.secs, rounds=args.rounds, only=()),
                    [peer(name, proxy, told) for name, proxy, told, _ in cases])
    documents = None
    try:
        documents = Documents(os.path.join(b.dir, 'documents'))
        measure(b, cases)
    finally:
        if documents:
            documents.stop()
        b.close()
    print(table(b.records))


if __name__ == '__main__':
    main()
