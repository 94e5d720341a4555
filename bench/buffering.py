#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what buffering costs, beside nginx with its own (on by default), and what it is for.

  buffering.py [--rounds N] [--secs N] [--clients N]

Cost: CPU time of the proxy per request, for clients as fast as they can be.  Use: so many clients read 1 MiB at
50 KiB/s each from a server that has ten connections and thinks for 50 ms; how long the server is busy, with and
without.  That part needs root, for a network whose kernel does not buffer by itself (tests/support/slow_readers.py).
The binary is build/maitred, or what MAITRED says.
"""
import argparse
import functools
import os
import statistics
import subprocess
import sys
import types

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench  # noqa: E402
import lib  # noqa: E402
import loads  # noqa: E402
import peers  # noqa: E402

KIB = 1024
# name, bytes, connections
WORKS = (('128', 128, 64), ('16k', 16 * KIB, 64), ('64k', 64 * KIB, 64), ('1m', KIB * KIB, 16))


def maitred(use, c):
    launch = peers.maitred(c)
    text = launch.files['maitred.yaml']
    launch.files['maitred.yaml'] = text.replace('[{to: origin}]', f'[{{use: [{use}], to: origin}}]')
    return launch


def chosen_peers():
    built = ('MAITRED', peers.BUILT)
    return [peers.Peer('nginx', 'NGINX', 'nginx', peers.nginx),
            peers.Peer('plain', *built, functools.partial(maitred, ''), 'version'),
            peers.Peer('buffer', *built, functools.partial(maitred, 'buffer'), 'version'),
            peers.Peer('shape', *built, functools.partial(maitred, 'shape: 10GiB/s'), 'version')]


def measure(b):
    for s, rnd in b.interleave():
        loads.wrk(s.ctx.port, '/s/128', 64, 1)
        for name, size, conns in WORKS:
            b.sample(s, rnd, name, functools.partial(loads.wrk, s.ctx.port, f'/s/{size}', conns, b.secs))


def table(records):
    found = {}
    for r in records:
        if r.get('cpu_us'):
            found.setdefault((r['sample'], r['peer']), []).append(r['cpu_us'])
    medians = {key: statistics.median(values) for key, values in found.items()}
    names = [peer.name for peer in chosen_peers()]
    lines = ['| us/request | ' + ' | '.join(names) + ' | buffer to plain |', '|---|' + '---:|' * (len(names) + 1)]
    for work, _, _ in WORKS:
        cells = [f'{medians[work, name]:.1f}' if (work, name) in medians else '-' for name in names]
        ratio = f"{medians[work, 'buffer'] / medians[work, 'plain']:.2f}" if (work, 'plain') in medians else '-'
        lines.append(f'| {work} | ' + ' | '.join(cells) + f' | {ratio} |')
    return '\n'.join(lines)


def slow_clients(clients):
    """The test of the figure, which prints what it sees."""
    root = os.path.dirname(lib.HERE)
    env = {'MAITRED': os.path.join(root, 'build', 'maitred'), **os.environ}
    if clients >= 1000:
        env['MAITRED_FULL'] = '1'
    done = subprocess.run(['/usr/bin/python3', '-m', 'pytest', '-q', '-s', '-k', 'thousand_slow',
                           os.path.join(root, 'tests', 'e2e', 'test_buffer.py')],
                          env=env, stdout=subprocess.PIPE, text=True, check=False, timeout=300)
    return next((line for line in done.stdout.splitlines() if ' clients at ' in line), done.stdout[-400:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--secs', type=int, default=2)
    ap.add_argument('--clients', type=int, default=1000, help='1000, or fewer: the small variant')
    args = ap.parse_args()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {lib.LOAD_CORE})
    lib.raise_limits()
    b = bench.Bench(types.SimpleNamespace(secs=args.secs, rounds=args.rounds, only=()), chosen_peers())
    try:
        measure(b)
    finally:
        b.close()
    os.sched_setaffinity(0, cores)
    print(table(b.records))
    print(slow_clients(args.clients))


if __name__ == '__main__':
    main()
