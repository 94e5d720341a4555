# SPDX-License-Identifier: Apache-2.0
"""What is measured of TLS and HTTP/2; like scenarios.py, which is about HTTP/1 in clear."""
import os

import lib
import loads
import peers
import scenarios

KIB = 1024
HELD = 2000
MANY = 10000
CONNS = 16
STREAMS = 32
# name, size, connections
BODIES = [('tls-small', 128, 64), ('tls-64k', 64 * KIB, 64), ('tls-1m', KIB * KIB, 16)]
# name, size
STREAMED = [('h2-small', 128), ('h2-16k', 16 * KIB)]


def certs(b, kind, count=1):
    """The folder of so many certificates, made when it is asked for first."""
    folder = os.path.join(b.dir, f'certs-{kind}-{count}')
    return folder if os.path.isdir(folder) else lib.certificates(folder, kind, count)


def without_nghttpx(b):
    """Only the target of HTTP/2 names it; elsewhere it would cost time."""
    return [p.name for p in b.chosen if p.name != 'nghttpx']


def body(port, size, conns, secs):
    """Keep-alive requests for a body of that size, from which CPU per MiB is computed."""
    m, cpu = loads.wrk(port, f'/s/{size}', conns, secs, scheme='https')
    return dict(m, size=size), cpu


def https(b):
    """Bodies, handshakes with an ECDSA certificate and HTTP/2: one start of each proxy per round for all of them."""
    if not b.only & {'tls', 'handshakes', 'h2'}:
        return
    for s, rnd in b.interleave({'certs': certs(b, 'ecdsa')}, peers=None if 'h2' in b.only else without_nghttpx(b)):
        port, nghttpx = s.ctx.port, s.peer.name == 'nghttpx'
        if 'tls' in b.only and not nghttpx:
            loads.wrk(port, '/s/128', 64, 1, scheme='https')
            for name, size, conns in BODIES:
                b.sample(s, rnd, name, lambda: body(port, size, conns, b.secs))
        if 'handshakes' in b.only and not nghttpx:
            for kind in ('full', 'resumed'):
                b.sample(s, rnd, f'{kind}-ecdsa', lambda: loads.handshakes(port, kind, CONNS, b.secs))
        if 'h2' in b.only:
            loads.h2load(port, '/s/128', CONNS, STREAMS, 1)
            for name, size in STREAMED:
                b.sample(s, rnd, name, lambda: loads.h2load(port, f'/s/{size}', CONNS, STREAMS, b.secs))


def rsa(b):
    """Full handshakes with an RSA certificate."""
    if 'handshakes' not in b.only:
        return
    for s, rnd in b.interleave({'certs': certs(b, 'rsa')}, peers=without_nghttpx(b)):
        b.sample(s, rnd, 'full-rsa', lambda: loads.handshakes(s.ctx.port, 'full', CONNS, b.secs))


def workers(b):
    """Handshakes of one worker on one core and of two on two.

    There is no third core for the load, so it shares: one generator beside each worker, on the same core.  What counts
    is the time that it leaves, so that a core that idles because a worker waits for the other's lock counts against
    the proxy.
    """
    if 'workers' not in b.only:
        return
    folder = certs(b, 'ecdsa')
    for s, rnd in b.interleave({'certs': folder}, {'certs': folder, 'workers': 2}, peers=('maitred', 'nginx')):
        cores = (lib.PROXY_CORE, lib.LOAD_CORE)[:s.ctx.workers]

        def shared():
            m, cpu = loads.handshakes(s.ctx.port, 'full', CONNS, b.secs, cores=cores)
            left_s = m['secs'] * len(cores) - cpu / 1e6
            return dict(m, per_s_left=m['handshakes'] * len(cores) / left_s), cpu
        b.sample(s, rnd, f'workers-{s.ctx.workers}', shared)


def idle(b):
    """Memory per idle TLS connection, in user space."""
    if 'tls-idle' not in b.only:
        return
    for s, rnd in b.interleave({'certs': certs(b, 'ecdsa')}, peers=without_nghttpx(b)):
        scenarios.held_memory(b, s, rnd, 'tls-idle', HELD)


def certificates(b):
    """10,000 certificates: start, memory, and handshakes for names in turn against those with one certificate.

    Who makes a certificate ready when it is first asked for pays then, so the first round through all is a sample
    of its own; it cannot be taken again.
    """
    if 'certs' not in b.only:
        return
    cases = [{'certs': certs(b, 'ecdsa', n), 'n_certs': n} for n in (1, MANY)]
    for s, rnd in b.interleave(*cases, peers=('maitred', 'nginx')):
        many = s.ctx.n_certs > 1
        if many:
            b.record(s, rnd, 'certs-start', {'start_s': s.start_s, 'pss_kb': lib.memory_kb(s.proc.pid)})
            b.sample(s, rnd, 'certs-first', lambda: loads.handshakes(s.ctx.port, 'full', CONNS, 0, MANY), attempts=1)
            b.record(s, rnd, 'certs-used', {'pss_kb': lib.memory_kb(s.proc.pid)})
        b.sample(s, rnd, 'certs' if many else 'certs-one',
                 lambda: loads.handshakes(s.ctx.port, 'full', CONNS, b.secs, s.ctx.n_certs))


# The answer of c/origin.c to /s/128, by a server that speaks both versions: in clear nginx tells them apart by port.
NGINX_ORIGIN = '''daemon off;
worker_processes 1;
{user}
pid {dir}/nginx.pid;
error_log {dir}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{
    listen 127.0.0.1:{http1};
    listen 127.0.0.1:{http2} http2;
    location / {{ return 200 {body}; }}
    location = /status {{ stub_status; }}
  }}
}}
'''


class NginxOrigin(lib.Proc):
    """An nginx as the server behind the proxy; http1 and http2 are its ports."""

    def __init__(self, folder, binary):
        self.http1, self.http2 = lib.ORIGIN + 2, lib.ORIGIN + 3
        os.makedirs(folder)
        conf = os.path.join(folder, 'nginx.conf')
        with open(conf, 'w', encoding='utf-8') as file:
            file.write(NGINX_ORIGIN.format(dir=folder, http1=self.http1, http2=self.http2, body='x' * 128,
                                           user='user root;' if os.geteuid() == 0 else ''))
        super().__init__([binary, '-p', folder, '-e', os.path.join(folder, 'error.log'), '-c', conf], (lib.LOAD_CORE,),
                         folder, os.path.join(folder, 'out.log'))
        lib.wait_ready(self.http1, self, 'localhost', 5)

    def stats(self):
        return lib.stub_status(self.http1)


def servers(b):
    """The proxy's own HTTP/2 to servers, beside its HTTP/1 to the same server."""
    nginx = next((p.bin for p in peers.PEERS if p.name == 'nginx'), None)
    if 'servers' not in b.only or not nginx:
        return
    origin = NginxOrigin(os.path.join(b.dir, 'origin'), nginx)
    try:
        for s, rnd in b.interleave({'origin': origin.http1}, {'origin': origin.http2, 'servers_http2': True},
                                   peers=('maitred',)):
            scenarios.warm(s)
            b.sample(s, rnd, 'servers-http2' if s.ctx.servers_http2 else 'servers-http1',
                     lambda: loads.wrk(s.ctx.port, '/s/128', 64, b.secs), origin)
    finally:
        origin.stop()


RUN = [https, rsa, workers, idle, certificates, servers]
