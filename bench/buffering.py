# SPDX-License-Identifier: Apache-2.0
"""What is measured of buffering and shaping; like scenarios.py.  nginx buffers by default."""
import os
import re
import subprocess

import lib
import loads

KIB = 1024
# name, size, connections
BODIES = [('128', 128, 64), ('64k', 64 * KIB, 64), ('1m', KIB * KIB, 16)]
USES = {'': 'plain', 'buffer': 'buffer', 'shape: 10GiB/s': 'shape'}


def buffering(b):
    """What it costs where clients are as fast as they can be, so that it is of no use."""
    if 'buffer' not in b.only:
        return
    for s, rnd in b.interleave(*({'use': use} for use in USES), peers=('maitred', 'nginx')):
        if s.peer.name == 'nginx' and s.ctx.use != 'buffer':
            continue
        loads.wrk(s.ctx.port, '/s/128', 64, 1)
        for name, size, conns in BODIES:
            b.sample(s, rnd, f'{USES[s.ctx.use]}-{name}', lambda: loads.wrk(s.ctx.port, f'/s/{size}', conns, b.secs))


def slow_clients(b):
    """1,000 of them read 1 MiB at 50 KiB/s each from a server with ten connections that thinks for 50 ms.

    It is the test of that figure, once: a minute, and root, for a network whose kernel does not buffer by itself
    (tests/support/slow_readers.py).
    """
    ours = next((p.bin for p in b.chosen if p.name == 'maitred'), None)
    if 'slow-clients' not in b.only or not ours:
        return
    test = os.path.join(os.path.dirname(lib.HERE), 'tests', 'e2e', 'test_buffer.py')
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {lib.PROXY_CORE, lib.LOAD_CORE})
    try:
        done = subprocess.run(['/usr/bin/python3', '-m', 'pytest', '-q', '-s', '-k', 'thousand_slow', test],
                              env={**os.environ, 'MAITRED': ours, 'MAITRED_FULL': '1'}, stdout=subprocess.PIPE,
                              text=True, check=False, timeout=300)
    finally:
        os.sched_setaffinity(0, cores)
    match = re.search(r'server busy ([\d.]+) s, its own time ([\d.]+) s \(([\d.]+) x\)', done.stdout)
    if match:
        b.write({'sample': 'slow-clients', 'peer': 'maitred', 'round': 0, 'busy_s': float(match.group(1)),
                 'own_s': float(match.group(2)), 'of_own': float(match.group(3))})
    else:
        b.write({'peer': 'maitred', 'case': 'slow-clients', 'error': ' '.join(done.stdout.split())[-300:]})


RUN = [buffering, slow_clients]
