"""What is near although its addresses are global: neighbours on the link, and IPv4 behind a NAT64."""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

import psutil

from core.proxy.url_policy import IPAddress

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64_NAME: Final = "ipv4only.arpa"
"""A name that has IPv4 addresses only: an IPv6 address of it shows the network's NAT64 prefix (RFC 7050)."""

_NAT64_ADDRESSES: Final = (b"\xc0\x00\x00\xaa", b"\xc0\x00\x00\xab")
_NAT64_LENGTHS: Final = (96, 64, 56, 48, 40, 32)

_ROUTES_V4: Final = Path("/proc/net/route")
_ROUTES_V6: Final = Path("/proc/net/ipv6_route")
_ROUTES_BYTES: Final = 1024 * 1024
_RTF_GATEWAY: Final = 2
_SHORTEST_PREFIX: Final = {4: 8, 6: 32}
"""Shorter routes without a router are a default route into a tunnel, not a link."""


def on_link_networks() -> set[IPNetwork]:
    """List the networks that this machine reaches without a router, as they are now.

    They are the prefixes of its interfaces and, on Linux, the routes without a gateway: with DHCPv6, an interface has
    an address without a prefix, and its link is only in the routes. A route into a tunnel is no link.

    Raises:
        OSError: the system does not tell.
    """
    found: set[IPNetwork] = set()
    failure = None
    try:
        found.update(_interface_networks())
    except OSError as error:
        failure = error  # where netlink is forbidden, the routes say nearly as much
    with contextlib.suppress(OSError, ValueError):
        found.update(_linux_routes())
    if failure is not None and not found:
        raise failure
    return found


def is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    """Return whether an address belongs to one of the networks."""
    return any(address in network for network in networks)


def nat64_prefixes(addresses: Collection[str]) -> set[IPNetwork]:
    """Find the NAT64 prefixes in the addresses of `ipv4only.arpa` (RFC 7050; the positions are RFC 6052's)."""
    found: set[IPNetwork] = set()
    for text in addresses:
        with contextlib.suppress(ValueError):
            address = ipaddress.IPv6Address(text.partition("%")[0])
            found.update(_nat64_prefixes_of(address))
    return found


def _nat64_prefixes_of(address: ipaddress.IPv6Address) -> Iterator[IPNetwork]:
    packed = address.packed
    for length in _NAT64_LENGTHS:
        start = length // 8
        # The eighth byte is left out: it is zero wherever an IPv4 address would cross it.
        embedded = packed[start:] if length == 96 else (packed[start:8] + packed[9:])
        if embedded[:4] in _NAT64_ADDRESSES:
            yield ipaddress.IPv6Network((packed, length), strict=False)
            return


def _interface_networks() -> Iterator[IPNetwork]:
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                yield _network(address, entry.netmask)
                if entry.ptp:
                    yield _network(ipaddress.ip_address(entry.ptp.partition("%")[0]), None)


def _network(address: IPAddress, netmask: str | None) -> IPNetwork:
    length = address.max_prefixlen if netmask is None else int(ipaddress.ip_address(netmask)).bit_count()
    return ipaddress.ip_network((address.packed, length), strict=False)


def _linux_routes() -> Iterator[IPNetwork]:
    """Read the routes without a gateway."""
    tunnels = {name for name, state in psutil.net_if_stats().items() if "pointopoint" in state.flags}
    routes: list[tuple[str, bytes, int, int]] = []
    for line in _lines(_ROUTES_V4)[1:]:
        fields = line.split()
        destination, mask = (struct.pack("=I", int(fields[column], 16)) for column in (1, 7))
        routes.append((fields[0], destination, int.from_bytes(mask).bit_count(), int(fields[3], 16)))
    for line in _lines(_ROUTES_V6):
        fields = line.split()
        routes.append((fields[9], bytes.fromhex(fields[0]), int(fields[1], 16), int(fields[8], 16)))
    for interface, destination, length, flags in routes:
        version = 4 if len(destination) == 4 else 6
        if not flags & _RTF_GATEWAY and interface not in tunnels and length >= _SHORTEST_PREFIX[version]:
            yield ipaddress.ip_network((destination, length), strict=False)


def _lines(path: Path) -> list[str]:
    """Read the beginning of a table; the last line may be cut where it is longer."""
    try:
        with path.open("rb") as file:
            return file.read(_ROUTES_BYTES).decode("ascii", "replace").rpartition("\n")[0].splitlines()
    except FileNotFoundError:  # no Linux, or no IPv6
        return []
