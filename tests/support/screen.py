# SPDX-License-Identifier: Apache-2.0
"""
A terminal for a program that draws: a pseudo-terminal, and what a person would see on it.

    with Screen([BINARY, "top"]) as screen:
        eventually(lambda: "routes" in screen.text)
        screen.type("q")

errors: standard error goes there too.  Knows the few sequences that maitred writes: where the cursor goes, what is erased, the other screen.
"""
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

from support.maitred import environment
from support.wait import seconds

SEQUENCE = re.compile(rb"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Screen:
    def __init__(self, args, columns=100, lines=30, env=None, errors=False):
        self.columns, self.lines = columns, lines
        self.rows, self.row, self.column = [""], 0, 0
        self.other = False       # the other screen is shown
        self.cursor = True       # the cursor can be seen
        self.unknown = []        # sequences
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.lock = threading.Lock()
        self.popen = subprocess.Popen(args, stdin=self.slave, stdout=self.slave,
                                      stderr=self.slave if errors else subprocess.PIPE,
                                      env=environment({"TERM": "xterm", **(env or {})}),
                                      preexec_fn=self._become_session)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _become_session(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self):
        pending = b""
        while True:
            try:
                got = os.read(self.master, 65536)
            except OSError:
                return
            if not got:
                return
            with self.lock:
                pending = self._draw(pending + got)

    def _draw(self, data):
        while data:
            found = SEQUENCE.match(data)
            if found:
                self._obey(found[1].decode(), found[2].decode())
                data = data[found.end():]
            elif data[:1] == b"\x1b" and len(data) < 12:
                return data  # the rest of it is still to come
            else:
                end = data.find(b"\x1b")
                self._put(data[:end] if end > 0 else data)
                data = data[end:] if end > 0 else b""
        return b""

    def _obey(self, numbers, letter):
        if (numbers, letter) in (("?1049", "h"), ("?1049", "l")):
            self.other, self.rows, self.row, self.column = letter == "h", [""], 0, 0
        elif numbers == "?25":
            self.cursor = letter == "h"
        elif letter == "H":
            self.row = self.column = 0
        elif letter == "K":
            self._line(self.rows[self.row][:self.column])
        elif letter == "J":
            self._line(self.rows[self.row][:self.column])
            del self.rows[self.row + 1:]
        elif letter != "m" and numbers != "?2004":  # colours; how pasted text is marked
            self.unknown.append(numbers + letter)

    def _line(self, text):
        self.rows[self.row] = text

    def _put(self, data):
        for char in data.decode("utf-8", "replace"):
            if char == "\n":
                self.row += 1
                if self.row == len(self.rows):
                    self.rows.append("")
            elif char == "\r":
                self.column = 0
            else:
                row = self.rows[self.row].ljust(self.column)
                self._line(row[:self.column] + char + row[self.column + 1:])
                self.column += 1

    @property
    def text(self):
        with self.lock:
            assert not self.unknown, f"sequences that this terminal does not know: {self.unknown}"
            return "\n".join(row.rstrip() for row in self.rows)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def signal(self, number):
        os.kill(self.popen.pid, number)

    def wait(self, within=10):
        """Its exit status."""
        return self.popen.wait(seconds(within))

    def is_restored(self):
        """The terminal is as it was before."""
        return not self.other and self.cursor and termios.tcgetattr(self.slave) == self.before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()
        if self.popen.stderr:
            self.popen.stderr.close()
        os.close(self.slave)
        os.close(self.master)
        self.reader.join(5)
