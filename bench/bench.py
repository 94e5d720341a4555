#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures maitred beside other proxies on this machine; see docs/guide/benchmarks.md.

  bench.py run all [--rounds N] [--secs N] [--only small,16k,...] [--peers maitred,nginx,...]
  bench.py report results/FILE.jsonl      prints the table of an earlier run again
  bench.py list                           works and peers
"""
import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import acceleration  # noqa: E402
import buffering  # noqa: E402
import caching  # noqa: E402
import https  # noqa: E402
import lib  # noqa: E402
import observe  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402

SHOWN = ('cpu_us', 'mib_us', 'rps', 'per_s_left', 'server_conns', 'proxy_util', 'load_util', 'p50', 'p99', 'per_conn',
         'start_s', 'pss_kb', 'lost', 'reloads', 'noise', 'resumed', 'failed', 'bad_status', 'socket_errors',
         'origin_requests', 'answer_us', 'work_us', 'sweep_us', 'took_us', 'of_budget', 'wire')


class Session:
    """A proxy that runs: peer, ctx, launch, proc, start_s."""


class Bench:
    def __init__(self, args, chosen):
        self.secs, self.rounds, self.only, self.chosen = args.secs, args.rounds, set(args.only), chosen
        self.records, self.failed = [], set()
        results = os.path.join(lib.HERE, 'results')
        os.makedirs(results, exist_ok=True)
        self.out = os.path.join(results, time.strftime('%Y%m%d-%H%M%S.jsonl'))
        self.dir = os.path.join(lib.tmp_base(), f'maitred-bench-{os.getpid()}')
        os.makedirs(self.dir)
        try:
            self.origin = lib.Origin(self.dir)
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def close(self):
        self.origin.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    @contextlib.contextmanager
    def session(self, peer, opts):
        """Starts the peer alone on its core, and stops it at the end."""
        folder = os.path.join(self.dir, peer.name)
        os.makedirs(folder)
        s = Session()
        s.peer, s.ctx = peer, peers.Ctx(folder, lib.PORT, bin=peer.bin, **{'origin': lib.ORIGIN, **opts})
        s.launch = peer.config(s.ctx)
        for name, text in s.launch.files.items():
            with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
                file.write(text)
        cores = (lib.PROXY_CORE,) if s.ctx.workers == 1 else (lib.PROXY_CORE, lib.LOAD_CORE)
        s.proc = lib.Proc(s.launch.argv, cores, folder, os.path.join(folder, 'out.log'))
        try:
            s.start_s = lib.wait_ready(lib.PORT, s.proc, 'h0.bench.test', 60, bool(s.ctx.certs))
            yield s
        finally:
            s.proc.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def interleave(self, *cases, peers=None):
        """(session, round) over rounds, peers and cases (options of Ctx); what fails is left out from then on."""
        for rnd in range(self.rounds):
            for peer in self.chosen:
                if peers and peer.name not in peers:
                    continue
                for case in cases or ({},):
                    if peer.only and peer.only not in case:
                        continue
                    key = (peer.name, tuple(case.items()))
                    if key in self.failed:
                        continue
                    try:
                        with self.session(peer, case) as s:
                            yield s, rnd
                    except (RuntimeError, OSError) as e:
                        lib.log(peer.name, case, e)
                        self.failed.add(key)
                        self.write({'peer': peer.name, 'case': case, 'error': ' '.join(str(e).split())[:300]})

    def write(self, record):
        self.records.append(record)
        with open(self.out, 'a', encoding='utf-8') as file:
            file.write(json.dumps(record) + '\n')

    def record(self, s, rnd, sample, m):
        self.write({'sample': sample, 'peer': s.peer.name, 'round': rnd, **m})
        lib.log(f'{rnd} {s.peer.name:11s} {sample:11s}',
                ' '.join(f'{k}={m[k]:.2f}' if isinstance(m[k], float) else f'{k}={m[k]}' for k in SHOWN if k in m))

    def sample(self, s, rnd, name, work, origin=None, attempts=2):
        """One sample, taken a second time when something else used the cores meanwhile."""
        origin = origin or self.origin
        best, lost = None, 0
        for _ in range(attempts):
            quiet, slow = lib.wait_quiet(), lib.calibrate()
            before = origin.stats()
            m = lib.measure(s.proc, origin, work)
            after = origin.stats()
            m['origin_requests'] = after['requests'] - before['requests']
            m['server_conns'] = after['peak']
            m['origin_accepted'] = after['accepted'] - before['accepted']
            m['cpu_us'] = m['cpu_total_us'] / m['requests'] if m['requests'] else None
            if m['requests'] and 'size' in m:
                m['mib_us'] = m['cpu_us'] * 1024 * 1024 / m['size']
            m['slow'] = round(max(slow, lib.calibrate()), 2)
            m['noise'] = round(m['foreign'] + m['steal'] + max(0, m['slow'] - lib.SLOW), 3)
            lost += m.get('lost', 0)
            if best is None or m['noise'] < best['noise']:
                best = m
            if best['noise'] < lib.DISTURBED or not quiet:
                break
        if 'lost' in best:
            best['lost'] = lost     # also of the sample that is not used: no noise excuses a lost request
        self.record(s, rnd, name, best)


def machine():
    model = '?'
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        model = next((line.split(':', 1)[1].strip() for line in file if line.startswith('model name')), model)
    return f'{model}, {os.cpu_count()} cores, Linux {platform.release()}'


def run(args):
    chosen = [p for p in peers.PEERS if p.bin and (not args.peers or p.name in args.peers)]
    if {lib.PROXY_CORE, lib.LOAD_CORE} - os.sched_getaffinity(0) or lib.PROXY_CORE == lib.LOAD_CORE:
        sys.exit('bench: two cores are needed, one for the proxy and one for load and origin')
    os.sched_setaffinity(0, {lib.LOAD_CORE})
    lib.raise_limits()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    b = Bench(args, chosen)
    try:
        b.write({'versions': {p.name: p.version() for p in chosen}, 'machine': machine(), 'rounds': args.rounds,
                 'secs': args.secs, 'only': sorted(b.only), 'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())})
        for part in (scenarios, https, caching, acceleration, buffering, observe):
            for scenario in part.RUN:
                scenario(b)
    finally:
        b.close()
    lib.log(f'{time.monotonic() - start:.0f} s; samples in {os.path.relpath(b.out)}')
    print(report.table(b.records))


def names(choices):
    def parse(text):
        wrong = [name for name in text.split(',') if name not in choices]
        if wrong:
            raise argparse.ArgumentTypeError(f'unknown: {", ".join(wrong)} (there are {", ".join(choices)})')
        return text.split(',')
    return parse


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('command', choices=['run', 'report', 'list'])
    ap.add_argument('what', nargs='?', default='all', help='run: all; report: a file of results')
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--secs', type=int, default=2, help='length of one sample')
    ap.add_argument('--only', type=names(report.KEYS), default=report.KEYS, help=','.join(report.KEYS))
    ap.add_argument('--peers', type=names([p.name for p in peers.PEERS]), help='some of the peers')
    args = ap.parse_args()
    if args.command == 'run':
        if args.what != 'all':
            ap.error('run all, and --only for a part')
        run(args)
    elif args.command == 'report':
        with open(args.what, encoding='utf-8') as file:
            print(report.table([json.loads(line) for line in file]))
    else:
        for key, _, work, _ in report.ROWS:
            print(f'{key:11s} {work}')
        for p in peers.PEERS:
            print(f'{p.name:12s} {p.env:12s} {p.version() if p.bin else "(not found)"}')


if __name__ == '__main__':
    main()
