"""On which addresses of the public internet a server of ours can be reached."""

import contextlib
import ipaddress
import socket

import psutil


def public_addresses(host: str) -> list[str]:
    """List the addresses of the public internet on which `host` is served.

    Args:
        host: an address, which may be all of this machine's, or a name of one.
    """
    try:
        addresses = {ipaddress.ip_address(host)}
    except ValueError:
        addresses = _addresses_of(host)
    found = {str(address) for address in addresses if address.is_global}
    unspecified = [address for address in addresses if address.is_unspecified]
    for interface in psutil.net_if_addrs().values() if unspecified else ():
        for entry in interface:
            if entry.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            own = ipaddress.ip_address(entry.address.partition("%")[0])
            # On `::` Linux serves both families, on `0.0.0.0` the one.
            if own.is_global and any(own.version == 4 or address.version == 6 for address in unspecified):
                found.add(str(own))
    return sorted(found)


def _addresses_of(name: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    found = set()
    with contextlib.suppress(OSError, UnicodeError):
        for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
            found.add(ipaddress.ip_address(str(address[0]).partition("%")[0]))
    return found
