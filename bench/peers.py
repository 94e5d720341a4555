# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured: for each a configuration and how to start it.

Binaries come from PATH; the environment variable of a peer overrides.  A peer that is not found is left out.
All use one worker or thread, forward Host and X-Forwarded-For, keep connections on both sides, and log nothing
unless a log is asked for.
"""
import dataclasses
import functools
import os
import shutil
import signal
import subprocess

import lib


@dataclasses.dataclass
class Ctx:
    """What a configuration is made for."""
    dir: str
    port: int
    origin: int
    bin: str
    hosts: int = 0          # virtual hosts, each setting X-Vhost; 0: one route for everything
    log: bool = False       # access log in JSON to access.log in dir
    reload: bool = False
    certs: str = ''         # HTTPS with HTTP/2: folder with h0.bench.test.pem, ..., certificate and key in each
    n_certs: int = 1        # how many of the folder; with more than one, all of it
    workers: int = 1
    servers_http2: bool = False
    cache: int = 0          # MiB of memory for responses; 0: nothing is kept
    compress: str = ''      # coding and level: 'gzip 4'
    use: str = ''           # of maitred: middleware for the one route; others stay as they are
    observe: str = ''       # of maitred: lines for the top level

    def path(self, name):
        return os.path.join(self.dir, name)

    def names(self):
        return [f'h{i}.bench.test' for i in range(self.hosts)]

    def level(self):
        """(coding, level), None where nothing is compressed"""
        coding, _, level = self.compress.partition(' ')
        return (coding, int(level)) if level else None

    def cert(self, i=0):
        return os.path.join(self.certs, f'h{i}.bench.test.pem')


@dataclasses.dataclass
class Launch:
    argv: list
    files: dict
    reload: int             # the signal, sent to the process that was started; None: it cannot


@dataclasses.dataclass
class Peer:
    name: str
    env: str
    binary: str             # in PATH or below the checkout; None: only by the variable
    config: object
    version_flag: str = '-v'
    only: str = ''          # the field of Ctx without which it is not measured

    @functools.cached_property
    def bin(self):
        path = os.environ.get(self.env) or (self.binary and shutil.which(self.binary, path=search_path()))
        return os.path.abspath(path) if path and os.access(path, os.X_OK) else None

    def version(self):
        done = subprocess.run([self.bin, self.version_flag], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, check=False)
        return (done.stdout.decode('utf-8', 'replace').strip().splitlines() or ['?'])[0][:90]


def search_path():
    """PATH, with sbin for users whose PATH lacks it."""
    return os.environ.get('PATH', '') + ':/usr/sbin:/usr/local/sbin'


def maitred(c):
    user = ', user: root' if os.geteuid() == 0 else ''
    tls = ''
    if c.certs:
        tls = f', tls: {{folder: {c.certs}}}' if c.n_certs > 1 else f', tls: {{certificates: [{c.cert()}]}}'
    http = ', http: http2' if c.servers_http2 else ''
    conf = (f'process: {{workers: {c.workers}{user}}}\n'
            f"listeners: [{{address: '127.0.0.1:{c.port}', idle_timeout: 300s{tls}}}]\n"
            f"upstreams:\n  origin: {{servers: ['127.0.0.1:{c.origin}']{http}}}\n")
    if c.hosts:
        conf += 'routes:\n' + ''.join(
            f'  - {{host: {h}, use: [{{headers: {{request: {{set: {{X-Vhost: {h}}}}}}}}}], to: origin}}\n'
            for h in c.names())
    else:
        use = [c.use] if c.use else []
        if c.cache:
            conf += f'stores: {{bench: {c.cache}MiB}}\n'
            use.append('{cache: {store: bench, purge: [127.0.0.1]}}')
        if c.level():
            use.append('{compress: {%s_level: %d}}' % c.level())
        conf += f"routes: [{{use: [{', '.join(use)}], to: origin}}]\n"
    if c.log:
        conf += f"access_log: {{to: {c.path('access.log')}, format: json}}\n"
    if c.observe:
        conf += c.observe + '\n'
    return Launch([c.bin, 'run', '-c', c.path('maitred.yaml')], {'maitred.yaml': conf}, signal.SIGHUP)


NGINX = '''daemon off;
worker_processes {workers};
{user}
pid {dir}/nginx.pid;
error_log {dir}/error.log error;
worker_rlimit_nofile {nofile};
events {{ worker_connections {conns}; }}
http {{
  {log}
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 128;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; }}
{more}{servers}}}
'''

# About what maitred's record says; written in blocks of 64 KiB, the usual way to make it cheap.
NGINX_LOG = '''log_format bench escape=json '{"time":"$time_iso8601","client":"$remote_addr",'
    '"connection":$connection,"method":"$request_method","scheme":"$scheme","host":"$host",'
    '"target":"$request_uri","version":"$server_protocol","status":$status,"server":"$upstream_addr",'
    '"request_bytes":$request_length,"response_bytes":$body_bytes_sent,"connected":"$upstream_connect_time",'
    '"first_byte":"$upstream_header_time","total":$request_time,"user_agent":"$http_user_agent",'
    '"referer":"$http_referer"}';
  access_log %s bench buffer=64k flush=1s;'''


def nginx_https(c):
    """Tickets are on by default; the cache is what its manual advises, so that clients without them resume too."""
    return ('  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:10m;\n' + ''.join(
        f'  server {{ listen 127.0.0.1:{c.port} ssl http2{" backlog=4096" if i == 0 else ""};\n'
        f'    server_name h{i}.bench.test; ssl_certificate {c.cert(i)}; ssl_certificate_key {c.cert(i)};\n'
        '    location / { proxy_pass http://origin; } }\n' for i in range(c.n_certs)))


# On a file system in memory (dir is on one), and no look-up of files that are open already.
NGINX_CACHE = '''  proxy_cache_path {dir}/cache levels=1:2 keys_zone=c:32m max_size={cache}m inactive=1h
    use_temp_path=off;
  open_file_cache max=10000 inactive=60s;
  proxy_cache c;
  proxy_cache_lock on;
'''


NGINX_GZIP = '  gzip on; gzip_comp_level {level}; gzip_proxied any; gzip_types application/json;\n'


def nginx(c):
    more = NGINX_CACHE.format(dir=c.dir, cache=c.cache) if c.cache else ''
    if c.level():
        more += NGINX_GZIP.format(level=c.level()[1])
    if c.hosts:
        # proxy_set_header in a location replaces all that is inherited.
        servers = ''.join(
            f'  server {{ listen 127.0.0.1:{c.port}{" backlog=4096" if i == 0 else ""}; server_name {h};\n'
            f'    location / {{ proxy_set_header X-Vhost {h}; proxy_set_header Host $host;\n'
            '      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n'
            '      proxy_set_header Connection ""; proxy_pass http://origin; } }\n'
            for i, h in enumerate(c.names()))
    elif c.certs:
        servers = nginx_https(c)
    else:
        servers = (f'  server {{ listen 127.0.0.1:{c.port} backlog=4096; server_name _;\n'
                   '    location / { proxy_pass http://origin; } }\n')
    conf = NGINX.format(dir=c.dir, workers=c.workers, origin=c.origin, servers=servers, nofile=lib.nofile(),
                        more=more,
                        conns=lib.nofile() - 500, user='user root;' if os.geteuid() == 0 else '',
                        log=NGINX_LOG % c.path('access.log') if c.log else 'access_log off;')
    return Launch([c.bin, '-p', c.dir, '-e', c.path('error.log'), '-c', c.path('nginx.conf')],
                  {'nginx.conf': conf}, signal.SIGHUP)


HAPROXY = '''global
  maxconn {conns}
  nbthread {workers}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  timeout http-keep-alive 300s
  option http-keep-alive
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096{tls}
  option forwardfor
{hosts}  default_backend b
{cache}backend b
{more}  server s 127.0.0.1:{origin}
'''

HAPROXY_CACHED = '''  http-request cache-use c
  http-response cache-store c
'''

# Of levels there is one.
HAPROXY_GZIP = '''  compression algo gzip
  compression type application/json
'''

HAPROXY_CACHE = '''cache c
  total-max-size {mib}
  max-object-size 1000000
  max-age 3600
'''


def haproxy(c):
    files, hosts, more = {}, '', HAPROXY_CACHED if c.cache else ''
    if c.level():
        more += HAPROXY_GZIP
    if c.hosts:
        files['hosts.map'] = ''.join(f'{h} {h}\n' for h in c.names())
        hosts = ('  http-request set-header X-Vhost '
                 f"%[req.hdr(host),field(1,:),lower,map_str({c.path('hosts.map')},none)]\n")
    tls = f' ssl crt {c.certs if c.n_certs > 1 else c.cert()} alpn h2,http/1.1' if c.certs else ''
    files['haproxy.cfg'] = HAPROXY.format(conns=(lib.nofile() - 500) // 2, workers=c.workers, port=c.port,
                                          origin=c.origin, hosts=hosts, tls=tls,
                                          cache=HAPROXY_CACHE.format(mib=c.cache) if c.cache else '',
                                          more=more)
    # -W: a master process, which can reload; elsewhere one process, as it is smaller.
    return Launch([c.bin] + (['-W'] if c.reload else []) + ['-db', '-f', c.path('haproxy.cfg')], files, signal.SIGUSR2)


def h2o(c):
    conf = (f'num-threads: {c.workers}\nmax-connections: {lib.nofile() - 500}\n'
            + ('user: root\n' if os.geteuid() == 0 else '')
            + 'http1-request-timeout: 300\nhttp2-idle-timeout: 300\n'
            f"pid-file: {c.path('h2o.pid')}\nerror-log: {c.path('error.log')}\n"
            'proxy.preserve-host: ON\nproxy.timeout.keepalive: 60000\n'
            f'listen: {{host: 127.0.0.1, port: {c.port}, ssl: {{certificate-file: {c.cert()}, key-file: {c.cert()},\n'
            '  minimum-version: TLSv1.2, ocsp-update-interval: 0}}\n'
            f'hosts:\n  default: {{paths: {{/: {{proxy.reverse.url: "http://127.0.0.1:{c.origin}/"}}}}}}\n')
    return Launch([c.bin, '-c', c.path('h2o.conf')], {'h2o.conf': conf}, signal.SIGHUP)


def nghttpx(c):
    conf = (f'workers={c.workers}\nfrontend=127.0.0.1,{c.port}\nbackend=127.0.0.1,{c.origin}\nbacklog=4096\n'
            'add-x-forwarded-for=yes\nfrontend-keep-alive-timeout=300s\nfrontend-read-timeout=300s\n'
            'backend-keep-alive-timeout=60s\nno-ocsp=yes\naccesslog-file=/dev/null\n'
            f"pid-file={c.path('nghttpx.pid')}\nerrorlog-file={c.path('error.log')}\n"
            f'private-key-file={c.cert()}\ncertificate-file={c.cert()}\n')
    return Launch([c.bin, '--conf=' + c.path('nghttpx.conf')], {'nghttpx.conf': conf}, signal.SIGHUP)


def varnish(c):
    vcl = (f'vcl 4.1;\nbackend b {{ .host = "127.0.0.1"; .port = "{c.origin}"; }}\n'
           'sub vcl_recv { return (hash); }\n')
    return Launch([c.bin, '-F', '-j', 'none', '-n', c.path('v'), '-a', f'127.0.0.1:{c.port}', '-f', c.path('b.vcl'),
                   '-s', f'malloc,{c.cache}m', '-p', 'thread_pools=1', '-p', 'thread_pool_min=100',
                   '-p', 'thread_pool_max=4000', '-p', 'timeout_idle=300', '-p', 'listen_depth=4096'],
                  {'b.vcl': vcl}, None)


def trafficserver(c):
    """All its folders in one of its own; its disk cache lies in memory like the rest of them."""
    records = {
        'exec_thread.autoconfig': 0, 'exec_thread.limit': 1, 'accept_threads': 0, 'task_threads': 1,
        'cache.threads_per_disk': 1, 'exec_thread.affinity': 0, 'admin.user_id': '#-1',
        'http.server_ports': f'{c.port}:ipv4:ip-in=127.0.0.1', 'http.cache.http': 1,
        'http.cache.required_headers': 0, 'log.logging_enabled': 0, 'url_remap.remap_required': 1,
        'url_remap.pristine_host_hdr': 1, 'reverse_proxy.enabled': 1, 'http.keep_alive_no_activity_timeout_in': 300,
        'http.keep_alive_no_activity_timeout_out': 300, 'net.connections_throttle': lib.nofile() - 1000,
        'net.max_connections_in': lib.nofile() - 1000, 'cache.ram_cache.size': c.cache << 20,
        'http.server_session_sharing.pool': 'global', 'http.insert_response_via_str': 0,
    }
    lines = ''.join(f"CONFIG proxy.config.{name} {'STRING' if isinstance(value, str) else 'INT'} {value}\n"
                    for name, value in records.items())
    folders = ('prefix', 'exec_prefix', 'bindir', 'sbindir', 'sysconfdir', 'datadir', 'includedir', 'libdir',
               'libexecdir', 'localstatedir', 'runtimedir', 'logdir', 'cachedir')
    files = {name: '' for name in ('plugin.config', 'cache.config', 'hosting.config', 'volume.config', 'parent.config',
                                   'socks.config', 'splitdns.config', 'ssl_multicert.config', 'logging.yaml',
                                   'sni.yaml', 'strategies.yaml')}
    files.update({'records.config': lines, 'remap.config': f'map / http://127.0.0.1:{c.origin}/\n',
                  'runroot.yaml': ''.join(f'{name}: {c.dir}\n' for name in folders),
                  'storage.config': f'{c.dir} {c.cache}M\n',
                  'ip_allow.yaml': 'ip_allow: [{apply: in, ip_addrs: 0/0, action: allow, methods: ALL}]\n'})
    return Launch([c.bin, '--run-root=' + c.path('runroot.yaml')], files, None)


BUILT = os.path.join(os.path.dirname(lib.HERE), 'build', 'maitred')

PEERS = [
    Peer('maitred', 'MAITRED', BUILT, maitred, 'version'),
    Peer('nginx', 'NGINX', 'nginx', nginx),
    Peer('haproxy', 'HAPROXY', 'haproxy', haproxy),
    Peer('h2o', 'H2O', 'h2o', h2o, only='certs'),
    Peer('nghttpx', 'NGHTTPX', 'nghttpx', nghttpx, '--version', only='certs'),
    Peer('varnish', 'VARNISHD', 'varnishd', varnish, '-V', only='cache'),
    Peer('ats', 'TRAFFIC_SERVER', 'traffic_server', trafficserver, '--version', only='cache'),
    Peer('nginx-new', 'NGINX_NEW', None, nginx),
    Peer('haproxy-new', 'HAPROXY_NEW', None, haproxy),
]
