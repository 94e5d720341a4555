# SPDX-License-Identifier: Apache-2.0
"""A small writer of MaxMind databases (https://maxmind.github.io/MaxMind-DB/), for tests of what reads them.

    write("places.mmdb", {"192.0.2.0/24": place(53.3, -6.3), "2001:db8::/32": place(40.7, -74.0)})

The tree is that of IPv6, with IPv4 networks in ::/96, as in MaxMind's own files.  Networks must not
contain each other.
"""
import ipaddress
import struct

_MARKER = b"\xab\xcd\xefMaxMind.com"
_TEXT, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 3, 5, 6, 7, 9, 11


class Sized(int):
    """An integer with the type that the metadata wants for it."""
    def __new__(cls, value, kind):
        self = super().__new__(cls, value)
        self.kind = kind
        return self


def place(latitude, longitude):
    """The record of a network, as far as a City database has to do with places."""
    return {"location": {"latitude": float(latitude), "longitude": float(longitude)}}


def _control(kind, size):
    first, more = (kind << 5, b"") if kind <= 7 else (0, bytes([kind - 7]))
    if size < 29:
        return bytes([first | size]) + more
    if size < 29 + 256:
        return bytes([first | 29]) + more + bytes([size - 29])
    raise ValueError("longer than a test needs")


def _encode(value):
    if isinstance(value, dict):
        members = b"".join(_encode(k) + _encode(v) for k, v in value.items())
        return _control(_MAP, len(value)) + members
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encode, value))
    if isinstance(value, str):
        return _control(_TEXT, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return _control(_DOUBLE, 8) + struct.pack(">d", value)
    raw = int(value).to_bytes(8, "big").lstrip(b"\0")
    return _control(value.kind, len(raw)) + raw


def _bits(network):
    """The path of a network in the tree, as a list of 0 and 1."""
    network = ipaddress.ip_network(network)
    address, length = int(network.network_address), network.prefixlen
    if network.version == 4:
        length += 96
    return [address >> (127 - i) & 1 for i in range(length)]


def build(networks):
    """The bytes of a database. networks: {"192.0.2.0/24": record}."""
    nodes, data = [[None, None]], b""
    for network, record in networks.items():
        bits, at = _bits(network), 0
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][bits[-1]] = ("data", len(data))
        data += _encode(record)

    def child(value):
        if value is None:
            number = len(nodes)
        elif isinstance(value, tuple):
            number = len(nodes) + 16 + value[1]
        else:
            number = value
        return number.to_bytes(3, "big")

    tree = b"".join(child(left) + child(right) for left, right in nodes)
    metadata = _encode({
        "binary_format_major_version": Sized(2, _UINT16),
        "binary_format_minor_version": Sized(0, _UINT16),
        "build_epoch": Sized(1700000000, _UINT64),
        "database_type": "Test-City",
        "description": {"en": "for tests"},
        "ip_version": Sized(6, _UINT16),
        "languages": ["en"],
        "node_count": Sized(len(nodes), _UINT32),
        "record_size": Sized(24, _UINT16),
    })
    return tree + bytes(16) + data + _MARKER + metadata


def write(path, networks):
    with open(path, "wb") as file:
        file.write(build(networks))
