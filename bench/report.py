# SPDX-License-Identifier: Apache-2.0
"""The table: from samples to medians, ratios, and whether the target was reached."""
import collections
import statistics

import lib

MIB_US = ('mib_us', 'us')

# key of --only, sample, work, limits: what our figure may be at most.
#   family of peers or 'best': so many times its figure       'own': (other sample, times its figure, its words)
#   'at most': (field, figure, unit)                          'field': (field, unit) that is compared, if not CPU time
#   'at least': True: the other way round; a limit of None: stated, nothing to reach
#   'their': the sample of the peers, if it is another one
CLEAR = [
    ('small', 'small-16', '128 B, keep-alive, 16 connections', {'nginx': 0.85, 'haproxy': 0.62}),
    ('small', 'small-64', '128 B, keep-alive, 64 connections', {'nginx': 0.85, 'haproxy': 0.62}),
    ('small', 'small-512', '128 B, keep-alive, 512 connections', {'nginx': 0.72, 'haproxy': 0.5}),
    ('16k', '16k', '16 KiB bodies, 64 connections', {'nginx': 0.9}),
    ('1m', '1m', '1 MiB bodies, 16 connections', {'nginx': 0.6}),
    ('connect', 'connect', 'a new client connection per request', {'best': 0.9}),
    ('hosts', 'hosts', '10,000 hosts, random host per request', {'own': ('hosts-one', 1.05, 'one host')}),
    ('idle', 'idle', 'memory per idle connection, 5,000 held', {'at most': ('per_conn', 512, 'bytes')}),
    ('start', 'start', '10,000 hosts: start', {'at most': ('start_s', 0.2, 's')}),
    ('start', 'start', '10,000 hosts: memory', {'at most': ('pss_kb', 32 * 1024, 'MiB')}),
    ('reload', 'reload', 'a reload each second: requests lost', {'at most': ('lost', 0, 'requests')}),
    ('reload', 'reload', 'a reload each second: p99',
     {'own': ('reload-none', 1.5, 'without'), 'field': ('p99', 'p99')}),
    ('paced', 'paced', '10,000 evenly spaced requests/s', {'nginx': 0.9}),
    ('multiplex', 'multiplex-0', 'server connections, 1,000 clients, a request each 100 ms, servers answer at once',
     {'best': 0.6, 'field': ('server_conns', 'conns')}),
    ('multiplex', 'multiplex-10', 'the same, servers answer in 10 ms',
     {'best': 0.6, 'field': ('server_conns', 'conns')}),
    ('log', 'log', 'access log on, JSON', {'own': ('log-off', 1.08, 'off')}),
]
HTTPS = [
    ('tls', 'tls-small', 'HTTPS, 128 B, keep-alive, 64 connections', {'nginx': 0.85, 'h2o': 0.95}),
    ('tls', 'tls-64k', 'HTTPS, 64 KiB bodies, 64 connections: per MiB', {'nginx': 0.95, 'h2o': None, 'field': MIB_US}),
    ('tls', 'tls-1m', 'HTTPS, 1 MiB bodies, 16 connections: per MiB', {'nginx': 0.95, 'h2o': None, 'field': MIB_US}),
    ('handshakes', 'full-ecdsa', 'full handshake, ECDSA P-256', {'nginx': 0.8, 'h2o': None}),
    ('handshakes', 'full-rsa', 'full handshake, RSA-2048', {'nginx': 0.8, 'h2o': None}),
    ('handshakes', 'resumed-ecdsa', 'resumed handshake', {'nginx': 0.7, 'h2o': None}),
    ('workers', 'workers-2', 'full handshakes a second, two workers on two cores',
     {'own': ('workers-1', 1.8, 'one worker'), 'field': ('per_s_left', '1/s'), 'at least': True}),
    ('h2', 'h2-small', 'HTTP/2 over TLS, 128 B, 16 connections x 32 streams', {'best': 1.0}),
    ('h2', 'h2-16k', 'the same, 16 KiB bodies', {'best': None}),
    ('tls-idle', 'tls-idle', 'memory per idle TLS connection, 2,000 held',
     {'at most': ('per_conn', 10 * 1024, 'bytes')}),
    ('certs', 'certs-start', '10,000 certificates: start', {'at most': ('start_s', None, 's')}),
    ('certs', 'certs-start', '10,000 certificates: memory', {'at most': ('pss_kb', None, 'MiB')}),
    ('certs', 'certs-used', '10,000 certificates: memory after a handshake for each',
     {'at most': ('pss_kb', None, 'MiB')}),
    ('certs', 'certs-first', '10,000 certificates: the first handshake for each',
     {'own': ('certs-one', None, 'one certificate')}),
    ('certs', 'certs', '10,000 certificates: further handshakes',
     {'own': ('certs-one', 1.05, 'one certificate')}),
    ('servers', 'servers-http2', 'HTTP/2 to the server, 128 B, 64 connections of clients',
     {'own': ('servers-http1', None, 'HTTP/1')}),
]
CACHE = [
    ('hit', 'hit-1k-16', 'cache hit, 1 KiB, 16 connections',
     {'nginx': 0.6, 'haproxy': 0.7, 'varnish': 0.35, 'ats': None}),
    ('hit', 'hit-1k-64', 'cache hit, 1 KiB, 64 connections',
     {'nginx': 0.6, 'haproxy': 0.7, 'varnish': 0.35, 'ats': None}),
    ('hit', 'hit-64k-16', 'cache hit, 64 KiB, 16 connections',
     {'nginx': 0.8, 'haproxy': None, 'varnish': None, 'ats': None}),
    ('hit', 'hit-64k-64', 'cache hit, 64 KiB, 64 connections',
     {'nginx': 0.8, 'haproxy': None, 'varnish': None, 'ats': None}),
    ('coalesce', 'coalesce', '1,000 requests at once for one cold response: fetches',
     {'at most': ('origin_requests', 1, 'requests')}),
    ('purge', 'purge', '100,000 responses purged by one tag: CPU until it is answered',
     {'at most': ('answer_us', None, 'us')}),
    ('purge', 'purge', "the same: the worker's in the two seconds from then on", {'at most': ('work_us', 10000, 'us')}),
    ('purge', 'purge', 'the same: of other threads, which sweep', {'at most': ('sweep_us', None, 'us')}),
    ('cache-memory', 'cache-memory', 'memory of a store of 64 MiB that 640 MiB go through, of its budget',
     {'at most': ('of_budget', 1.02, 'x')}),
]
JSON = 'a JSON document of 64 KiB'
COMPRESSION = [
    ('compression', 'gzip-4', f'gzip 4 of {JSON}', {'nginx': 0.4, 'haproxy': None}),
    ('compression', 'gzip-4', 'the same: bytes', {'nginx': 1.0, 'haproxy': None, 'field': ('wire', 'bytes')}),
    *((('compression', f'{coding}-{level}', f'{coding} {level}, against gzip 5', {'nginx': limit, 'their': 'gzip-5'}))
      for coding, level, limit in (('gzip', 1, None), ('gzip', 2, None), ('zstd', 3, 1.0), ('zstd', 6, None),
                                   ('zstd', 7, None), ('br', 3, None), ('br', 4, 1.0), ('br', 5, None))),
    *((('compression', f'{coding}-{level}', f'{coding} {level}: bytes',
        {'nginx': None, 'their': 'gzip-5', 'field': ('wire', 'bytes')}))
      for coding, level in (('gzip', 1), ('gzip', 2), ('zstd', 3), ('zstd', 6), ('zstd', 7), ('br', 3), ('br', 4),
                            ('br', 5))),
    ('compression', 'identity', 'the document as it is', {'nginx': None}),
]
BUFFERING = [
    *((('buffer', f'buffer-{name}', f'`buffer`, {words}', {'own': (f'plain-{name}', None, 'without')}))
      for name, words in (('128', '128 B'), ('64k', '64 KiB'), ('1m', '1 MiB'))),
    ('buffer', 'shape-64k', '`shape` that never slows, 64 KiB', {'own': ('plain-64k', None, 'without')}),
    ('slow-clients', 'slow-clients', '1,000 slow clients, 10 connections to the server: its time, of its own',
     {'at most': ('of_own', 1.2, 'x')}),
]
OBSERVE = [
    *(('observe', f'observe-{level}-{conns}', f'{words}, 128 B, {conns} connections',
       {'own': (f'observe-off-{conns}', limit, 'all off')})
      for level, words, limit in (('metrics', 'metrics', 1.05), ('all', 'metrics and analytics', 1.05))
      for conns in (16, 64)),
    ('observe', 'scrape', 'GET /metrics with 1,000 upstreams and 10,000 routes',
     {'at most': ('took_us', 50000, 'us')}),
]
PARTS = (CLEAR, HTTPS, CACHE, COMPRESSION, BUFFERING, OBSERVE)
ROWS = [row for part in PARTS for row in part]
KEYS = list(dict.fromkeys([*(row[0] for row in ROWS), 'hit-ratio']))
SHOWN = {'bytes': lambda v: f'{v:,.0f} bytes', 's': lambda v: f'{v:.3f} s', 'MiB': lambda v: f'{v / 1024:.1f} MiB',
         'requests': lambda v: f'{v:.0f}', 'x': lambda v: f'{v:.3f}', 'conns': lambda v: f'{v:.0f}',
         '1/s': lambda v: f'{v:,.0f}/s',
         'us': lambda v: f'{v:.2f} us' if v < 100 else f'{v:.0f} us', 'p99': lambda v: f'{v:,.0f} us'}


class Samples:
    def __init__(self, records):
        self.by = collections.defaultdict(list)
        for r in records:
            if 'sample' in r:
                self.by[r['peer'], r['sample']].append(r)

    def of(self, peer, sample, field):
        """The values to go by: of undisturbed samples where there are two at least, else of all."""
        found = [r for r in self.by[peer, sample] if r.get(field) is not None]
        quiet = [r for r in found if r.get('noise', 0) < lib.DISTURBED]
        return [r[field] for r in (quiet if len(quiet) >= min(2, len(found)) else found)]

    def value(self, peer, sample, field):
        """The median; of requests lost the sum over all rounds, for one bad round is a bad one."""
        if field == 'lost':
            records = self.by[peer, sample]
            return sum(r['lost'] for r in records) if records else None
        values = self.of(peer, sample, field)
        return statistics.median(values) if values else None


def against_peers(samples, peers, sample, their, field, limits):
    """(target, [(name, ratio, limit)])"""
    ours, found, words = samples.value('maitred', sample, field), [], []
    figures = {p: samples.value(p, their, field) for p in peers if p != 'maitred'}
    figures = {p: v for p, v in figures.items() if v}
    for family, limit in limits.items():
        if limit is not None:
            words.append(f'{limit:g} x ' + ('the best' if family == 'best' else family))
        chosen = figures if family == 'best' else {p: v for p, v in figures.items() if p.startswith(family)}
        if family == 'best' and chosen:
            name = min(chosen, key=chosen.get)
            chosen = {name: chosen[name]}
        if ours:
            found += [(p, ours / v, limit) for p, v in chosen.items()]
    return ', '.join(words) or 'stated', found


def against_own(samples, sample, field, other, limit, words):
    ours, base = samples.value('maitred', sample, field), samples.value('maitred', other, field)
    return ('stated' if limit is None else f'{limit:g} x {words}',
            [(words, ours / base, limit)] if ours and base else [])


def against_figure(samples, sample, field, limit, unit):
    """(target, whether it was reached)"""
    ours = samples.value('maitred', sample, field)
    if limit is None:
        return 'stated', None
    return 'none' if unit == 'requests' else SHOWN[unit](limit), None if ours is None else ours <= limit


def is_reached(ratios, families, at_least):
    """None where nothing was to be reached, or too little is known."""
    judged = [(ratio, limit) for _, ratio, limit in ratios if limit is not None]
    if any(ratio < limit if at_least else ratio > limit for ratio, limit in judged):
        return False
    # Without one of the peers that it is measured by, a target can be missed but not reached.
    enough = all(any(name.startswith(family) for name, _, _ in ratios) for family in families)
    return True if judged and enough else None


def cell(samples, peer, sample, field, unit, other):
    value = samples.value(peer, sample, field)
    if value is None:
        return '-'
    text = SHOWN[unit](value)
    base = other and samples.value(peer, other, field)
    if base:
        text += f' ({SHOWN[unit](base)})'
    return text


def row(samples, peers, sample, work, limits):
    limits = dict(limits)
    (field, unit), at_least = limits.pop('field', ('cpu_us', 'us')), limits.pop('at least', False)
    their = limits.pop('their', sample)
    other, ratios = None, []
    if 'at most' in limits:
        field, limit, unit = limits['at most']
        target, reached = against_figure(samples, sample, field, limit, unit)
    elif 'own' in limits:
        other, _, words = limits['own']
        work += f' (in brackets: {words})'
        target, ratios = against_own(samples, sample, field, *limits['own'])
        reached = is_reached(ratios, (), at_least)
    else:
        target, ratios = against_peers(samples, peers, sample, their, field, limits)
        families = [family for family, limit in limits.items() if family != 'best' and limit is not None]
        reached = is_reached(ratios, families, at_least)
    return [work, target, *(cell(samples, p, sample if p == 'maitred' else their, field, unit, other) for p in peers),
            ', '.join(f'{ratio:.2f} {name}' for name, ratio, _ in ratios) or '-',
            '-' if reached is None else 'yes' if reached else '**no**']


def notes(samples):
    """What makes a figure doubtful."""
    noisy = [f'{peer} {sample}' for (peer, sample), records in sorted(samples.by.items())
             if sum(r.get('noise', 0) < lib.DISTURBED for r in records) < min(2, len(records))]
    if noisy:
        yield 'disturbed by other processes, measure again: ' + ', '.join(noisy)
    for (peer, sample), records in sorted(samples.by.items()):
        bad = sum(r.get('bad_status', 0) + r.get('socket_errors', 0) + r.get('failed', 0) for r in records)
        if bad:
            yield f'{peer}, {sample}: {bad} errors'
        if sample in ('paced', 'reload-none') and any(r['lost'] for r in records):
            yield f'{peer}, {sample}: {sum(r["lost"] for r in records):.0f} requests lost'
        asked = sum(r['origin_requests'] for r in records if sample.startswith('hit-'))
        if asked:
            yield f'{peer}, {sample}: {asked} requests were no hits'
        full = sum(r['requests'] - r['resumed'] for r in records if sample.startswith('resumed'))
        if full:
            yield f'{peer}, {sample}: {full:.0f} handshakes were full ones'
        missing = sum(max(0, r['requests'] - r['log_lines']) for r in records if 'log_lines' in r)
        if missing:
            yield f'{peer}, {sample}: {missing} records missing in the log'


def rows_of(samples, peers, rows):
    """A Markdown table, with a column for each peer that was measured in one of the rows."""
    peers = [p for p in peers if any(samples.by[p, sample] for _, sample, _, _ in rows)]
    columns = ['work', 'target', *peers, 'ratio', 'reached']
    return ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns),
            *('| ' + ' | '.join(row(samples, peers, *rest)) + ' |' for _, *rest in rows), '']


def traces(records):
    """Hits in percent by policy, a row for each trace."""
    found = [r for r in records if 'trace' in r]
    if not found:
        return []
    policies = list(found[0]['hits'])
    return ['| hits, % | ' + ' | '.join(policies) + ' |', '|---' + '|---:' * len(policies) + '|',
            *(f'| {r["trace"]} | ' + ' | '.join(r['hits'].get(p, '-') for p in policies) + ' |' for r in found), '']


def table(records):
    """The Markdown text for the records of a run."""
    head = next((r for r in records if 'versions' in r), {'versions': {}, 'only': KEYS})
    samples, peers, out = Samples(records), list(head['versions']), []
    for part in PARTS:
        rows = [r for r in part if r[0] in head['only']]
        out += rows_of(samples, peers, rows) if rows else []
    out += traces(records)
    out += ['CPU microseconds of the proxy per request, or handshake, where no other unit stands; medians of '
            f'{head.get("rounds", "?")} rounds of {head.get("secs", "?")} s.', '']
    out += [f'- {name}: {version}' for name, version in head['versions'].items()]
    if 'machine' in head:
        out.append(f'- machine: {head["machine"]}')
    out += ['- ' + note for note in notes(samples)]
    out += [f'- failed: {r["peer"]}: {r["error"]}' for r in records if 'error' in r]
    return '\n'.join(out)
