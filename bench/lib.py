# SPDX-License-Identifier: Apache-2.0
"""Processes and measurement (Linux, standard library only)."""
import contextlib
import hashlib
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PROXY_CORE = int(os.environ.get('BENCH_PROXY_CORE', '0'))
LOAD_CORE = int(os.environ.get('BENCH_LOAD_CORE', '1'))
PORT = int(os.environ.get('BENCH_PORT', '18080'))
ORIGIN = int(os.environ.get('BENCH_ORIGIN_PORT', '19000'))
HZ = os.sysconf('SC_CLK_TCK')
DISTURBED = 0.10    # share of one core used by processes outside the test
SLOW = 1.30         # the calibration loop, relative to its best: above it a neighbour slows the core


def log(*words):
    print(time.strftime('%H:%M:%S'), *words, file=sys.stderr, flush=True)


def tmp_base():
    """Scratch files (configurations, access logs) go to memory where there is some."""
    return os.environ.get('BENCH_TMP') or ('/dev/shm' if os.path.isdir('/dev/shm') else tempfile.gettempdir())


def raise_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def nofile():
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)


def pin(*cores):
    return lambda: os.sched_setaffinity(0, set(cores))


def tool(name):
    path = os.environ.get(name.upper()) or shutil.which(name)
    if not path:
        raise RuntimeError(f'{name} not found in PATH')
    return path


_helpers = {}


def helper(name):
    """Path of the program made from c/NAME.c, built on first use."""
    if name in _helpers:
        return _helpers[name]
    source = os.path.join(HERE, 'c', name + '.c')
    with open(source, 'rb') as file:
        text = file.read()
    tag = hashlib.sha256(text).hexdigest()[:12]
    libraries = ['-lssl', '-lcrypto'] if b'#include <openssl/' in text else []
    folder = os.path.join(HERE, 'results', 'helpers')
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, f'{name}-{tag}')
    if not os.path.exists(out):
        subprocess.run([os.environ.get('CC', 'cc'), '-O2', '-o', out + '.new', source, *libraries], check=True)
        os.rename(out + '.new', out)
    _helpers[name] = out
    return out


# ---------------------------------------------------------------------------------------- /proc

def _stat(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(')') + 2:].split()


def tree(root):
    """The process and all its descendants."""
    children = {}
    for name in os.listdir('/proc'):
        stat = _stat(int(name)) if name.isdigit() else None
        if stat:
            children.setdefault(int(stat[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        if _stat(pid):
            found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_us(root):
    """User and system time of a process tree, waited-for children included."""
    stats = [_stat(pid) for pid in tree(root)]
    return sum(int(v) for stat in stats if stat for v in stat[11:15]) * 1000000 // HZ


def memory_kb(root):
    """Proportional set size of a process tree: pages that its processes share count once."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/smaps_rollup', encoding='utf-8') as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith('Pss:'))
    return total


def busy_us():
    """(busy, stolen) time of the two cores of the test."""
    busy = steal = 0
    with open('/proc/stat', encoding='utf-8') as file:
        for line in file:
            match = re.match(r'cpu(\d+) (.*)', line)
            if match and int(match.group(1)) in (PROXY_CORE, LOAD_CORE):
                v = [int(x) for x in match.group(2).split()]
                busy += v[0] + v[1] + v[2] + v[5] + v[6]
                steal += v[7]
    return busy * 1000000 // HZ, steal * 1000000 // HZ


_best_calibration = [None]


def calibrate():
    """CPU time of a fixed loop of socket calls on the proxy's core, relative to the best seen."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {PROXY_CORE})
    a, b = socket.socketpair()
    data, best = b'x' * 256, None
    try:
        for _ in range(3):
            took = time.thread_time()
            for _ in range(4000):
                a.send(data)
                b.recv(256)
            took = time.thread_time() - took
            best = took if best is None else min(best, took)
    finally:
        a.close()
        b.close()
        os.sched_setaffinity(0, before)
    if _best_calibration[0] is None or best < _best_calibration[0]:
        _best_calibration[0] = best
    return best / _best_calibration[0]


# ---------------------------------------------------------------------------------------- processes

class Proc:
    """A started server, pinned to a core or some; only its own process tree is ever signalled."""

    def __init__(self, argv, cores, cwd, log_path):
        self.log_path = log_path
        self.started = time.monotonic()
        with open(log_path, 'ab') as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                            preexec_fn=pin(*cores), start_new_session=True)
        self.pid = self.process.pid

    def alive(self):
        return self.process.poll() is None

    def tail(self):
        with open(self.log_path, 'rb') as file:
            return file.read()[-600:].decode('utf-8', 'replace')

    def stop(self):
        pids = tree(self.pid) if self.alive() else []
        if self.alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        # What did not end by itself: members of the session that was made for this process.
        for pid in pids:
            stat = _stat(pid)
            if stat and stat[0] != 'Z' and int(stat[3]) == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)


def connect(port, tls):
    """A connection for one request; whose certificate it is does not matter."""
    if not tls:
        return http.client.HTTPConnection('127.0.0.1', port, timeout=5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection('127.0.0.1', port, timeout=5, context=context)


def wait_ready(port, proc, host, timeout_s, tls=False):
    """Seconds from the start of the process to its first answer with status 200."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if not proc.alive():
            raise RuntimeError('exited at start: ' + proc.tail())
        connection = connect(port, tls)
        try:
            connection.request('GET', '/s/128', headers={'Host': host})
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return time.monotonic() - proc.started
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.002)
    raise RuntimeError('not ready: ' + proc.tail())


class Origin(Proc):
    def __init__(self, folder):
        super().__init__([helper('origin'), str(ORIGIN), str(ORIGIN + 1)], (LOAD_CORE,), folder,
                         os.path.join(folder, 'origin.log'))
        end = time.monotonic() + 5
        while True:
            time.sleep(0.02)
            if not self.alive():
                raise RuntimeError(self.tail())
            try:
                self.stats()
                return
            except OSError:
                if time.monotonic() > end:
                    raise

    def stats(self):
        with socket.create_connection(('127.0.0.1', ORIGIN + 1), 2) as s:
            text = b''.join(iter(lambda: s.recv(4096), b''))
        return {k: int(v) for k, v in (pair.split('=') for pair in text.decode().split())}


def stub_status(port):
    """The same of an nginx that has its stub_status at /status."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/status', timeout=2) as answer:
        numbers = [int(word) for word in answer.read().split() if word.isdigit()]
    return {'peak': numbers[0], 'accepted': numbers[1], 'requests': numbers[3]}


# ---------------------------------------------------------------------------------------- certificates

def certificates(folder, kind, count=1):
    """A new folder with h0.bench.test.pem, ...: certificate and key, ECDSA P-256 or RSA-2048."""
    os.makedirs(folder)
    subprocess.run([helper('certs'), folder, kind, str(count)], check=True)
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)     # for proxies that drop root before they read
    return folder


# ---------------------------------------------------------------------------------------- measuring

_gave_up = [False]


def wait_quiet(limit_s=4.0):
    """Waits until nothing uses the two cores (nothing of the test runs now); False when it gave up.

    After that the next call hardly waits, so that a neighbour that never stops costs little time.
    """
    start = time.monotonic()
    if _gave_up[0]:
        limit_s = 0.1
    while True:
        before, t = sum(busy_us()), time.monotonic()
        time.sleep(0.2)
        _gave_up[0] = (sum(busy_us()) - before) / ((time.monotonic() - t) * 1e6) >= DISTURBED
        if not _gave_up[0]:
            return True
        if time.monotonic() - start > limit_s:
            return False
        time.sleep(0.3)


def measure(proc, origin, work):
    """Runs work() -> (figures, CPU of the load) and adds the accounting of all CPU time around it."""
    busy0, steal0 = busy_us()
    proxy0, origin0, me0 = cpu_us(proc.pid), cpu_us(origin.pid), time.process_time()
    start = time.monotonic()
    m, load = work()
    wall = (time.monotonic() - start) * 1e6
    proxy, served = cpu_us(proc.pid) - proxy0, cpu_us(origin.pid) - origin0
    busy1, steal1 = busy_us()
    mine = (time.process_time() - me0) * 1e6
    m['cpu_total_us'] = proxy
    m['proxy_util'] = round(proxy / wall, 3)
    m['load_util'] = round((load + served) / wall, 3)
    m['foreign'] = round(max(0, busy1 - busy0 - proxy - served - load - mine) / wall, 3)
    m['steal'] = round((steal1 - steal0) / wall, 3)
    return m
