# SPDX-License-Identifier: Apache-2.0
"""Facts about processes, from /proc."""
import os


def status(pid):
    """/proc/PID/status as a dictionary; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def alive(pid):
    return status(pid).get("State", "Z")[0] not in "ZX"


def children(pid):
    """Direct children that are alive, in the order in which they were started."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return [child for child in sorted(found) if alive(child)]


def kib(pid, key):
    """A figure of /proc/PID/status in KiB, such as VmHWM or VmRSS."""
    return int(status(pid)[key].split()[0])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def reset_peak(pid):
    """Makes VmHWM start anew from the present size."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")
