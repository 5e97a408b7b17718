"""Which hosts, ports and addresses may be fetched from: the public internet's web ports, and nothing else."""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

WEB_PORTS: Final = {"http": 80, "https": 443}

_NOT_PUBLIC_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        # All of the IANA IPv4 Special-Purpose Address Registry (RFC 6890). Not `ipaddress.is_global`, whose
        # results differ between Python's patch releases.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service is in it
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; most clouds' metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # Public by the registry, but Azure's metadata service for its guests.
        "168.63.129.16/32",
    )
)

_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
"""The only block that IANA assigns as global unicast: mapped, compatible, NAT64 (64:ff9b::/96), unique
local, link-local, site-local and multicast addresses all lie outside it."""

_NOT_PUBLIC_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)

_LOCAL_NAMES: Final = ("localhost", "local", "internal", "home.arpa", "lan", "intranet", "onion", "alt")
"""Suffixes of names that resolve only inside a network (RFC 6761, RFC 6762, ICANN's `.internal`)."""

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_MAX_URL: Final = 4_096


class Refusal(StrEnum):
    """Why the proxy refused something; the values are labels of the metrics."""

    SECRET = "secret"  # noqa: S105 -- a reason, not a password
    REQUEST = "request"
    PORT = "port"
    ADDRESS = "address"
    NAME = "name"
    CONNECTIONS = "connections"
    BYTES = "bytes"
    TIME = "time"
    UNREACHABLE = "unreachable"


class RefusedError(Exception):
    """The policy forbids this."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port that the policy allows as they are written.

    Attributes:
        host: a lower-case ASCII name, or an address in canonical form.
        port: its TCP port.
        address: `host` as an address, None for a name.
        path: path and query, at least `/`.
        allowed: whether the settings allow `host:port` whatever its address.
    """

    host: str
    port: int
    address: IPAddress | None
    path: str = "/"
    allowed: bool = False

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == WEB_PORTS["http"] else f"{host}:{self.port}"


def is_public(address: IPAddress) -> bool:
    """Return whether an address belongs to the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def is_local(address: IPAddress) -> bool:
    """Return whether an address is one of this machine's own, whose services no firewall protects from it.

    Connecting a datagram socket shows which source address the kernel would use; no packet is sent.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
            return bool(ipaddress.ip_address(probe.getsockname()[0]) == address)
        except OSError:
            return False  # no route: connecting will fail as well


def parse_authority(text: str, default_port: int | None, allowed_hosts: Collection[str]) -> Target:
    """Parse `host`, `host:port` or `[address]:port`.

    Raises:
        RefusedError: malformed (`REQUEST`); an address that is not public, an address in an unusual spelling, or a
            name that only a local network knows (`ADDRESS`); not a web port (`PORT`).
    """
    host, port = _split_authority(text, default_port)
    if f"{host}:{port}" in allowed_hosts or f"[{host}]:{port}" in allowed_hosts:
        return Target(host, port, _literal(host), allowed=True)
    address = _literal(host)
    if address is None:
        _check_name(host)
    elif not is_public(address):
        raise RefusedError(Refusal.ADDRESS)
    if port not in WEB_PORTS.values():
        raise RefusedError(Refusal.PORT)
    return Target(host, port, address)


def parse_url(url: str, allowed_hosts: Collection[str]) -> Target:
    """Parse an absolute `http` or `https` URL; its host is not resolved.

    Raises:
        RefusedError: as `parse_authority`; `REQUEST` also for other schemes, user names, and characters that
            two URL parsers might read differently.
    """
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        raise RefusedError(Refusal.REQUEST)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise RefusedError(Refusal.REQUEST) from None
    if parts.scheme not in WEB_PORTS or "@" in parts.netloc:
        raise RefusedError(Refusal.REQUEST)
    target = parse_authority(parts.netloc, WEB_PORTS[parts.scheme], allowed_hosts)
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    return Target(target.host, target.port, target.address, path, target.allowed)


def _split_authority(text: str, default_port: int | None) -> tuple[str, int]:
    """Split an authority into a canonical lower-case host and a port."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:/?#@%\s]+)(?::([0-9]{1,5}))?", text.lower(), re.ASCII)
    if match is None:
        raise RefusedError(Refusal.REQUEST)
    host, digits = match.groups()
    port = int(digits) if digits is not None else default_port
    if port is None or not 0 < port < 65_536:
        raise RefusedError(Refusal.REQUEST)
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), port
        except ValueError:
            raise RefusedError(Refusal.REQUEST) from None
    return host.removesuffix("."), port


def _literal(host: str) -> IPAddress | None:
    """Return the host as an address if it is one in the usual spelling."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedError(Refusal.REQUEST)
    # The C library, which resolves names, reads `2130706433`, `0x7f.1` and `127.1` as addresses.
    if _NUMBER.fullmatch(labels[-1]):
        raise RefusedError(Refusal.ADDRESS)
    if len(labels) == 1 or host.endswith(tuple(f".{name}" for name in _LOCAL_NAMES)):
        raise RefusedError(Refusal.ADDRESS)
