#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Answers questions about tools/layers.txt, for meson.build and tools/lint.

  tools/layers.py rooms        the rooms that exist, one layer a line, lowest first
  tools/layers.py supplied     the symbols that main/ supplies to lower layers
  tools/layers.py depth FILE   the number of the highest layer that FILE includes a header of
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


class Layers:
    """tools/layers.txt, read."""

    def __init__(self):
        self.layers = []  # lists of rooms, lowest first
        self.exceptions = {}  # (file, header) -> why
        self.supplied = {}  # symbol -> why
        self.conditional = {}  # file -> why
        with open(os.path.join(ROOT, 'tools/layers.txt'), encoding='utf-8') as text:
            for number, line in enumerate(text, 1):
                words = line.split()
                if words and not words[0].startswith('#'):
                    self._take(words, f'tools/layers.txt:{number}')
        self.layers = [rooms for rooms in self.layers if rooms]

    def _take(self, words, where):
        verb, rest = words[0], words[1:]
        if verb == 'layer' and rest:
            self.layers.append([r for r in rest if os.path.isdir(os.path.join(ROOT, 'src', r))])
        elif verb == 'except' and len(rest) > 2:
            self.exceptions[rest[0], rest[1]] = ' '.join(rest[2:])
        elif verb == 'supplied' and len(rest) > 1:
            self.supplied[rest[0]] = ' '.join(rest[1:])
        elif verb == 'if' and len(rest) > 1:
            self.conditional[rest[0]] = ' '.join(rest[1:])
        else:
            sys.exit(f'{where}: not understood: {" ".join(words)}; the head of the file says what may '
                     'stand here (an exception needs its reason)')

    def of_room(self, room):
        """Number of the room's layer, or None."""
        for number, rooms in enumerate(self.layers):
            if room in rooms:
                return number
        return None

    def depth(self, path):
        """Of a file outside src/, given from the root; it may include headers that lie beside it."""
        with open(os.path.join(ROOT, path), encoding='utf-8') as text:
            headers = INCLUDE.findall(text.read())
        beside = [os.path.join(os.path.dirname(path), h) for h in headers if '/' not in h]
        return max([self.of_room(h.split('/')[0]) or 0 for h in headers] + [self.depth(h) for h in beside], default=0)


def main(args):
    layers = Layers()
    if args == ['rooms']:
        print('\n'.join(' '.join(rooms) for rooms in layers.layers))
    elif args == ['supplied']:
        print('\n'.join(layers.supplied))
    elif len(args) == 2 and args[0] == 'depth':
        print(layers.depth(args[1]))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv[1:])
