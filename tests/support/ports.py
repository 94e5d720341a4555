# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports that stay ours.

The proxy listens with SO_REUSEPORT, so two tests that guessed the same port would silently share its
connections.  An abstract Unix socket per port, bound until this process ends, makes the choice
exclusive among all test processes; the range lies below the kernel's ephemeral ports.
"""
import random
import socket

_FIRST, _LAST = 10240, 32000
_held = []


def free_port():
    """A port on which nobody listens, reserved for this process."""
    for _ in range(1000):
        port = random.randint(_FIRST, _LAST)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0maitred-test-port-{port}")
        except OSError:
            claim.close()
            continue
        if _can_bind(port):
            _held.append(claim)
            return port
        claim.close()
    raise RuntimeError("no free port")


def _can_bind(port):
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        probe = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        except OSError:
            return False
        finally:
            probe.close()
    return True
