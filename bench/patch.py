#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figure of changes by the API: one route of 10,000 is patched, again and again, while a client asks without pause.

    bench/patch.py [--routes 10000] [--patches 30] [--alone]

Says how long it takes from the PATCH's first byte until the route answers in the new way, until the API has answered,
how long a worker was away from everybody else (rounds of its loop), and the client's slowest request in the meantime against
as long a time without patches.  --alone: the worker has a core to itself, everything else is on the other one; without, rounds
are long when somebody else has the core.  What a shared machine takes away shows in both halves.
"""
import argparse
import http.client
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [HERE, os.path.join(os.path.dirname(HERE), 'tests')]
from support.ports import free_port  # noqa: E402


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('maitred', timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def configuration(folder, port, routes):
    lines = [f"listeners: ['127.0.0.1:{port}']", f"admin: {{listen: 'unix:{folder}/admin', state: {folder}/state}}",
             'process: {workers: 1' + (', user: root}' if os.geteuid() == 0 else '}'), 'routes:']
    lines += [f'  - {{name: r{i}, host: h{i}.test, path: /, use: [{{respond: {{text: "0"}}}}]}}' for i in range(routes)]
    return '\n'.join(lines) + '\n'


class Asker(threading.Thread):
    """One kept connection, one request after the other; the answers' texts and when they came."""

    def __init__(self, port, host):
        super().__init__(daemon=True)
        self.port, self.request = port, f'GET / HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode()
        self.seen, self.ending = [], False

    def run(self):
        with socket.create_connection(('127.0.0.1', self.port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self.ending:
                began = time.perf_counter()
                s.sendall(self.request)
                text = s.recv(4096).partition(b'\r\n\r\n')[2]
                now = time.perf_counter()
                self.seen.append((now, now - began, text))
                time.sleep(0.0002)


def pauses(path):
    """Of all workers together: rounds of more than a millisecond, and the longest in milliseconds (0: none was)."""
    connection = Unix(path)
    connection.request('GET', '/metrics')
    text = connection.getresponse().read().decode()
    connection.close()

    def of(name):
        return [float(v) for v in re.findall(rf'^{name}{{worker="[0-9]+"}} (.*)$', text, re.M)]
    return sum(of('maitred_worker_long_rounds_total')), max(of('maitred_worker_longest_round_seconds')) * 1e3


def part_cores(supervisor):
    """The worker on core 0, its other threads and we on core 1."""
    os.sched_setaffinity(0, {1})
    with open(f'/proc/{supervisor}/task/{supervisor}/children', encoding='ascii') as file:
        process = int(file.read().split()[0])
    for tid in os.listdir(f'/proc/{process}/task'):
        with open(f'/proc/{process}/task/{tid}/comm', encoding='ascii') as file:
            os.sched_setaffinity(int(tid), {0 if file.read().startswith('worker-') else 1})


def slowest(seen, begin, end):
    took = sorted(t for at, t, _ in seen if begin <= at <= end)
    return took[-1] * 1e3, took[int(len(took) * 0.99)] * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--routes', type=int, default=10000)
    parser.add_argument('--patches', type=int, default=30)
    parser.add_argument('--alone', action='store_true')
    options = parser.parse_args()
    binary = os.environ.get('MAITRED') or os.path.join(os.path.dirname(HERE), 'build', 'maitred')
    folder, port = tempfile.mkdtemp(prefix='patch-'), free_port()
    with open(os.path.join(folder, 'site.yaml'), 'w', encoding='utf-8') as file:
        file.write(configuration(folder, port, options.routes))
    proc = subprocess.Popen([binary, 'run', '-c', os.path.join(folder, 'site.yaml')], stdin=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            time.sleep(0.05)
            if os.path.exists(os.path.join(folder, 'admin')):
                break
        time.sleep(0.5)
        if options.alone:
            part_cores(proc.pid)
        asker = Asker(port, f'h{options.routes // 2}.test')
        asker.start()
        api_path = os.path.join(folder, 'admin')
        api = Unix(api_path)
        live, answered = [], []
        calm = time.perf_counter()
        time.sleep(0.3 * options.patches)
        before = pauses(api_path)
        begin = time.perf_counter()
        for i in range(options.patches):
            start = time.perf_counter()
            api.request('PATCH', f'/v1/config/routes/r{options.routes // 2}',
                        f'{{"use": [{{"respond": {{"text": "{i + 1}"}}}}]}}')
            answer = api.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            answered.append(time.perf_counter() - start)
            time.sleep(0.3 - min(0.25, answered[-1]))
            live.append(next(at for at, _, text in asker.seen if text == str(i + 1).encode()) - start)
        end = time.perf_counter()
        asker.ending = True
        asker.join()
        print(f'{options.patches} patches of one route of {options.routes}: live after '
              f'{1e3 * statistics.median(live):.0f} ms (slowest {1e3 * max(live):.0f}), answered after '
              f'{1e3 * statistics.median(answered):.0f} ms (slowest {1e3 * max(answered):.0f})')
        print('rounds of a worker above 1 ms: without patches %d, with %d; the longest in all %.2f ms' %
              (before[0], pauses(api_path)[0] - before[0], pauses(api_path)[1]))
        print('slowest request, p99: without patches %.2f ms, %.2f ms; with %.2f ms, %.2f ms' % (
            *slowest(asker.seen, calm, begin), *slowest(asker.seen, begin, end)))
    finally:
        proc.send_signal(signal.SIGTERM)
        proc.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    main()
