# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol headers, written and read by hand after the specification."""
import socket
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v1(source, destination, source_port=1111, port=80):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {port}\r\n".encode()


def v2(source, destination, source_port=1111, port=80, tlvs=b"", command=1):
    six = ":" in source
    pack = lambda address: socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)  # noqa: E731
    body = pack(source) + pack(destination) + struct.pack("!HH", source_port, port) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x21 if six else 0x11]) + struct.pack("!H", len(body)) + body


def v2_local():
    return SIGNATURE + b"\x20\x00\x00\x00"


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def read(conn):
    """Takes a header off an origin's connection: (version, source, source port, destination, port)."""
    first = conn.read_exact(6)
    if first == b"PROXY ":
        words = (first + conn.read_until(b"\r\n", 107)).decode().split()
        if words[1] == "UNKNOWN":
            return 1, None, 0, None, 0
        return 1, words[2], int(words[4]), words[3], int(words[5])
    head = first + conn.read_exact(10)
    assert head[:12] == SIGNATURE, head
    command, family, length = head[12], head[13], struct.unpack("!H", head[14:16])[0]
    body = conn.read_exact(length)
    if command == 0x20:
        return 2, None, 0, None, 0
    assert command == 0x21
    size, kind = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}[family]
    ports = struct.unpack("!HH", body[2 * size:2 * size + 4])
    return (2, socket.inet_ntop(kind, body[:size]), ports[0], socket.inet_ntop(kind, body[size:2 * size]), ports[1])
