# SPDX-License-Identifier: Apache-2.0
"""The table: from samples to medians, ratios, and whether the target was reached."""
import collections
import statistics

import lib

# key of --only, sample, work, target, limits: {family of peers: at most this many times its figure}
ROWS = [
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
    ('reload', 'reload', 'a reload each second: p99', {'own': ('reload-none', 1.5, 'without')}),
    ('paced', 'paced', '10,000 evenly spaced requests/s', {'nginx': 0.9}),
    ('multiplex', 'multiplex-0', 'server connections, 1,000 clients, a request each 100 ms, servers answer at once',
     {'best': 0.6, 'field': ('server_conns', 'conns')}),
    ('multiplex', 'multiplex-10', 'the same, servers answer in 10 ms', {'best': 0.6, 'field': ('server_conns', 'conns')}),
    ('log', 'log', 'access log on, JSON', {'own': ('log-off', 1.08, 'off')}),
]
KEYS = list(dict.fromkeys(row[0] for row in ROWS))
SHOWN = {'bytes': lambda v: f'{v:,.0f} bytes', 's': lambda v: f'{v:.3f} s', 'MiB': lambda v: f'{v / 1024:.1f} MiB',
         'requests': lambda v: f'{v:.0f}', 'us': lambda v: f'{v:.2f} us', 'conns': lambda v: f'{v:.0f}', 'p99': lambda v: f'{v:,.0f} us'}


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


def against_peers(samples, peers, sample, limits):
    """(target, unit, field, [(name, ratio, limit)])"""
    limits = dict(limits)
    field, unit = limits.pop('field', ('cpu_us', 'us'))
    ours, found, words = samples.value('maitred', sample, field), [], []
    figures = {p: samples.value(p, sample, field) for p in peers if p != 'maitred'}
    figures = {p: v for p, v in figures.items() if v}
    for family, limit in limits.items():
        words.append(f'{limit:g} x ' + ('the best' if family == 'best' else family))
        chosen = figures if family == 'best' else {p: v for p, v in figures.items() if p.startswith(family)}
        if family == 'best' and chosen:
            name = min(chosen, key=chosen.get)
            chosen = {name: chosen[name]}
        if ours:
            found += [(p, ours / v, limit) for p, v in chosen.items()]
    return ', '.join(words), unit, field, found


def against_own(samples, sample, other, limit, words):
    field = 'p99' if sample == 'reload' else 'cpu_us'
    ours, base = samples.value('maitred', sample, field), samples.value('maitred', other, field)
    return (f'{limit:g} x {words}', 'p99' if field == 'p99' else 'us', field,
            [(words, ours / base, limit)] if ours and base else [])


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
    other = limits['own'][0] if 'own' in limits else None
    if 'own' in limits:
        target, unit, field, ratios = against_own(samples, sample, *limits['own'])
        work += f' (in brackets: {limits["own"][2]})'
    elif 'at most' in limits:
        field, limit, unit = limits['at most']
        ours, target, ratios = samples.value('maitred', sample, field), SHOWN[unit](limit), []
        if unit == 'requests':
            target = 'none'
    else:
        target, unit, field, ratios = against_peers(samples, peers, sample, limits)
    if 'at most' in limits:
        reached = None if ours is None else ours <= limit
    else:
        # Without one of the peers that it is measured by, a target can be missed but not reached.
        enough = 'own' in limits or all(any(n.startswith(f) for n, _, _ in ratios)
                                     for f in limits if f not in ('best', 'field'))
        missed = any(ratio > most for _, ratio, most in ratios)
        reached = False if missed else True if ratios and enough else None
    return [work, target, *(cell(samples, p, sample, field, unit, other) for p in peers),
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
        missing = sum(max(0, r['requests'] - r['log_lines']) for r in records if 'log_lines' in r)
        if missing:
            yield f'{peer}, {sample}: {missing} records missing in the log'


def table(records):
    """The Markdown text for the records of a run."""
    head = next((r for r in records if 'versions' in r), {'versions': {}, 'only': KEYS})
    samples, peers = Samples(records), list(head['versions'])
    columns = ['work', 'target', *peers, 'ratio', 'reached']
    out = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    out += ['| ' + ' | '.join(row(samples, peers, sample, work, limits)) + ' |'
            for key, sample, work, limits in ROWS if key in head['only']]
    out += ['', 'CPU microseconds of the proxy per request where no other unit stands; medians of '
            f'{head.get("rounds", "?")} rounds of {head.get("secs", "?")} s.', '']
    out += [f'- {name}: {version}' for name, version in head['versions'].items()]
    if 'machine' in head:
        out.append(f'- machine: {head["machine"]}')
    out += ['- ' + note for note in notes(samples)]
    out += [f'- failed: {r["peer"]}: {r["error"]}' for r in records if 'error' in r]
    return '\n'.join(out)
