# SPDX-License-Identifier: Apache-2.0
"""Load generators: each runs on the load core and gives (figures, its CPU in microseconds)."""
import os
import re
import resource
import subprocess

import lib

CIPHER = 'TLS_AES_128_GCM_SHA256'     # as in clients.cnf
ENVIRONMENT = dict(os.environ, OPENSSL_CONF=os.path.join(lib.HERE, 'clients.cnf'))


def run_load(argv, timeout_s=60, cores=(lib.LOAD_CORE,)):
    """Runs the program once on each of the cores at the same time; (what each printed, their CPU together)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                env=ENVIRONMENT, preexec_fn=lib.pin(core)) for core in cores]
    try:
        texts = [process.communicate(timeout=timeout_s)[0].decode('utf-8', 'replace') for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return texts, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e6


def _duration_us(text):
    match = re.match(r'([\d.]+)(us|ms|s|m)$', text)
    return float(match.group(1)) * {'us': 1, 'ms': 1e3, 's': 1e6, 'm': 6e7}[match.group(2)]


def _figures(name, text, needed):
    m = {k: float(v) for k, v in re.findall(r'(\w+)=([\d.]+)', text)}
    if needed not in m:
        raise RuntimeError(f'{name}: ' + text[-300:])
    return m


def wrk(port, path, conns, secs, headers=(), script=None, scheme='http'):
    argv = [lib.tool('wrk'), '-t1', f'-c{conns}', f'-d{secs}s', '--latency', '--timeout', '5s']
    for header in headers:
        argv += ['-H', header]
    if script:
        argv += ['-s', script]
    (out,), cpu = run_load(argv + [f'{scheme}://127.0.0.1:{port}{path}'])
    match = re.search(r'(\d+) requests in ([\d.]+)(us|ms|s|m),', out)
    if not match:
        raise RuntimeError('wrk: ' + out[-400:])
    m = {'requests': int(match.group(1))}
    m['rps'] = m['requests'] / (_duration_us(match.group(2) + match.group(3)) / 1e6)
    for percent in ('50', '99'):
        match = re.search(rf'^\s+{percent}%\s+(\S+)', out, re.M)
        m['p' + percent] = _duration_us(match.group(1)) if match else None
    match = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', out)
    m['socket_errors'] = sum(int(x) for x in match.groups()) if match else 0
    match = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    m['bad_status'] = int(match.group(1)) if match else 0
    return m, cpu


def h2load(port, path, conns, streams, secs):
    """HTTP/2 over TLS, so many streams under way on each connection."""
    argv = [lib.tool('h2load'), '-t1', f'-c{conns}', f'-m{streams}', f'-D{secs}', f'--tls13-ciphers={CIPHER}',
            f'https://127.0.0.1:{port}{path}']
    (out,), cpu = run_load(argv)
    count = re.search(r'(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored', out)
    rate = re.search(r'finished in \S+ ([\d.]+) req/s', out)
    protocol = re.search(r'Application protocol: (\S+)', out)
    if not count or not rate or not protocol or protocol.group(1) != 'h2' or CIPHER not in out:
        raise RuntimeError('h2load: ' + out[-400:])
    done, good, _, errors = (int(x) for x in count.groups())
    return {'requests': done, 'rps': float(rate.group(1)), 'bad_status': done - good, 'socket_errors': errors}, cpu


def openloop(port, rate, conns, secs, tick_us, path='/s/128'):
    argv = [lib.helper('openloop'), str(port), f'{rate:.1f}', str(conns), str(secs), path, str(tick_us)]
    (out,), cpu = run_load(argv, secs * 3 + 30)
    m = _figures('openloop', out, 'ok')
    m['requests'] = m['ok']
    m['lost'] = sum(m[k] for k in ('err_status', 'err_eof', 'err_reset', 'err_connect', 'unsent'))
    return m, cpu


def handshakes(port, kind, conns, secs, names=1, cores=(lib.LOAD_CORE,)):
    """TLS handshakes, full or resumed, so many under way from each of the cores; secs 0: one for each name."""
    argv = [lib.helper('handshakes'), str(port), str(conns), str(secs), kind, str(names)]
    texts, cpu = run_load(argv, 150, cores)
    found = [_figures('handshakes', text, 'handshakes') for text in texts]
    m = {k: sum(f[k] for f in found) for k in ('handshakes', 'resumed', 'failed')}
    secs = max(f['secs'] for f in found)
    return dict(m, requests=m['handshakes'], rps=m['handshakes'] / secs, secs=secs), cpu


class Hold:
    """Idle connections, one request each sent before, until close()."""

    def __init__(self, port, count, tls=False):
        argv = [lib.helper('holdconns'), str(port), str(count), '/s/128'] + (['tls'] if tls else [])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT,
                                        preexec_fn=lib.pin(lib.LOAD_CORE))
        line = self.process.stdout.readline().split()
        if not line or line[0] != b'READY':
            raise RuntimeError('holdconns failed')
        self.ok, self.failed = int(line[1]), int(line[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
