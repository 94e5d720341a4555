#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figure of reloads: a thousand of them in ten minutes under 2,000 requests a second, with 2,000 WebSockets and 200
downloads open; the same for nginx and HAProxy.

    bench/reloads.py [--reloads 1000] [--every 0.6] [--rate 2000] [--websockets 2000] [--downloads 200]
                     [--peers maitred,nginx,haproxy]

Says for each: requests that failed, streams that ended, memory (PSS of all its processes) before and after, processes
left, and the p99 of requests with reloads against a stretch of time without.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [HERE, os.path.join(os.path.dirname(HERE), 'tests')]
import lib  # noqa: E402
from support.load import Load  # noqa: E402
from support.ports import free_port  # noqa: E402

MAITRED = '''process: {{workers: 1{user}, drain: 30s}}
listeners: ['127.0.0.1:{port}']
upstreams:
  origin: {{servers: ['127.0.0.1:{origin}']}}
  streams: {{servers: ['127.0.0.1:{streams}']}}
routes:
  - {{path: [/ws, /big], use: [{{timeouts: {{tunnel: 1h}}}}], to: streams}}
  - {{use: [{{headers: {{response: {{set: {{X-Revision: 'r{revision}'}}}}}}}}], to: origin}}
'''
NGINX = '''daemon off; worker_processes 1; {user} pid {dir}/pid; error_log {dir}/error.log error;
worker_rlimit_nofile 16384; events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_timeout 300s; keepalive_requests 100000000; proxy_http_version 1.1;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
  scgi_temp_path {dir}/t5; proxy_max_temp_file_size 0; proxy_read_timeout 1h;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /ws {{ proxy_pass http://127.0.0.1:{streams}; proxy_set_header Upgrade $http_upgrade;
                   proxy_set_header Connection upgrade; }}
    location /big {{ proxy_pass http://127.0.0.1:{streams}; proxy_buffering off; }}
    location / {{ proxy_pass http://origin; proxy_set_header Connection ""; add_header X-Revision r{revision}; }}
  }}
}}
'''
HAPROXY = '''global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  http-response set-header X-Revision r{revision}
  use_backend streams if {{ path /ws /big }}
  default_backend origin
backend origin
  server o 127.0.0.1:{origin}
backend streams
  server s 127.0.0.1:{streams}
'''
PEERS = {
    'maitred': (MAITRED, lambda c: [c['bin'], 'run', '-c', c['file']], signal.SIGHUP,
                os.path.join(os.path.dirname(HERE), 'build', 'maitred')),
    'nginx': (NGINX, lambda c: [c['bin'], '-c', c['file'], '-p', c['dir']], signal.SIGHUP, 'nginx'),
    'haproxy': (HAPROXY, lambda c: [c['bin'], '-W', '-f', c['file']], signal.SIGUSR2, 'haproxy'),
}


class Peer:
    def __init__(self, name, origin, streams):
        self.template, argv, self.signal, binary = PEERS[name]
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix=f'reloads-{name}-')
        self.file = os.path.join(self.dir, f'{name}.conf')
        root = os.geteuid() == 0
        self.words = {'port': self.port, 'origin': origin, 'streams': streams, 'dir': self.dir,
                      'user': ({'maitred': ', user: root', 'nginx': 'user root;'}.get(name, '') if root else '')}
        self.write(0)
        path = os.environ.get(name.upper()) or shutil.which(binary, path=os.environ['PATH'] + ':/usr/sbin') or binary
        self.log = open(os.path.join(self.dir, 'log'), 'wb')
        self.proc = subprocess.Popen(argv({'bin': path, 'file': self.file, 'dir': self.dir}), stdin=subprocess.DEVNULL,
                                     stdout=self.log, stderr=self.log)

    def write(self, revision):
        with open(self.file + '.new', 'w', encoding='utf-8') as file:
            file.write(self.template.format(revision=revision, **self.words))
        os.rename(self.file + '.new', self.file)

    def reload(self, revision):
        self.write(revision)
        self.proc.send_signal(self.signal)

    def stop(self):
        for pid in reversed(lib.tree(self.proc.pid)):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        for pid in reversed(lib.tree(self.proc.pid)):
            os.kill(pid, signal.SIGKILL)
        self.proc.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_for(port):
    import socket
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f'nobody listens on {port}')


def measure(name, options, origin, streams):
    peer = Peer(name, origin, streams)
    holder = None
    try:
        wait_for(peer.port)
        holder = subprocess.Popen([sys.executable, os.path.join(HERE, 'streams.py'), 'hold', str(peer.port),
                                   str(options.websockets), str(options.downloads)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline().strip() == 'ready'
        quiet_s = max(10.0, min(60.0, options.reloads * options.every / 10))
        with Load(f'127.0.0.1:{peer.port}', connections=32, rate=options.rate) as calm:
            time.sleep(quiet_s)
        before = lib.memory_kb(peer.proc.pid)
        with Load(f'127.0.0.1:{peer.port}', connections=32, rate=options.rate) as load:
            began = time.monotonic()
            for i in range(options.reloads):
                peer.reload(i + 1)
                time.sleep(max(0.0, began + (i + 1) * options.every - time.monotonic()))
            processes = len(lib.tree(peer.proc.pid))
            time.sleep(2)
        after = lib.memory_kb(peer.proc.pid)
        told, _ = holder.communicate('', timeout=60)
        holder = None
        streams_seen = json.loads(told)
        return {'peer': name, 'reloads': options.reloads, 'seconds': round(options.reloads * options.every),
                'requests': load.done, 'failed': len(load.failed), 'reopened': load.reopened,
                'why': load.failed[:3], 'p99_ms': round(1000 * load.percentile(0.99), 2),
                'p99_calm_ms': round(1000 * calm.percentile(0.99), 2),
                'p99_ratio': round(load.percentile(0.99) / calm.percentile(0.99), 2),
                'memory_before_kb': before, 'memory_after_kb': after, 'memory_ratio': round(after / before, 3),
                'processes': processes, **streams_seen}
    finally:
        if holder is not None:
            holder.kill()
            holder.wait()
        peer.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--reloads', type=int, default=1000)
    parser.add_argument('--every', type=float, default=0.6)
    parser.add_argument('--rate', type=int, default=2000)
    parser.add_argument('--websockets', type=int, default=2000)
    parser.add_argument('--downloads', type=int, default=200)
    parser.add_argument('--peers', default='maitred,nginx,haproxy')
    options = parser.parse_args()
    lib.raise_limits()
    origin, stats, streams = free_port(), free_port(), free_port()
    servers = [subprocess.Popen([lib.helper('origin'), str(origin), str(stats)]),
               subprocess.Popen([sys.executable, os.path.join(HERE, 'streams.py'), 'serve', str(streams)])]
    try:
        wait_for(origin)
        wait_for(streams)
        for name in options.peers.split(','):
            print(json.dumps(measure(name, options, origin, streams)), flush=True)
    finally:
        for server in servers:
            server.kill()
            server.wait()


if __name__ == '__main__':
    main()
