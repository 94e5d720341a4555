#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figure of upgrades in place: every five seconds for a minute, under keep-alive clients, newcomers,
WebSockets and long downloads, and how many requests were refused, reset or failed.

    bench/upgrade.py [MAITRED]

It is the test of that figure (tests/e2e/test_upgrade_in_place.py), in full; it prints what was carried.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TEST = os.path.join(os.path.dirname(HERE), 'tests', 'e2e', 'test_upgrade_in_place.py')


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, '..', 'build', 'maitred'))
    done = subprocess.run(['/usr/bin/python3', '-m', 'pytest', '-q', '-s', '-k', 'under_load', TEST],
                          env={**os.environ, 'MAITRED': binary, 'MAITRED_FULL': '1'}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
    told = [line for line in done.stdout.splitlines() if line.startswith('upgrades: ')]
    print('\n'.join(told) or done.stdout[-2000:])
    return done.returncode


sys.exit(main())
