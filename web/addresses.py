"""Who a request comes from."""

import ipaddress
import re
from typing import Final

from aiohttp import web

from web.settings import WebSettings, is_reverse_proxy

_FORWARDED: Final = "X-Forwarded-For"
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+")
"""An address as proxies write it who name the port too: `[2001:db8::1]:443`, `192.0.2.1:443`."""


def visitor_of(address: str) -> str:
    """Visitor that an address stands for: itself, or its /64 network under IPv6, where one household has them all."""
    ip = _parse(address)
    if ip is None:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, maybe with a port; IPv4 within IPv6 (`::ffff:192.0.2.1`) is IPv4."""
    with_port = _WITH_PORT.fullmatch(address)
    try:
        ip = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else address)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if ip.version == 6 else ip


def visitor(request: web.BaseRequest, settings: WebSettings) -> str:
    """Visitor who sends a request.

    A reverse proxy's word for it is taken only where one is configured: the last address that it names and that is not
    its own. Where that is no address, what stands before it is anybody's word, and the visitor is the proxy itself.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peer[0]) if peer else ""
    if is_reverse_proxy(address, settings):
        named = [part.strip() for value in request.headers.getall(_FORWARDED, ()) for part in value.split(",")]
        for part in filter(None, reversed(named)):
            ip = _parse(part)
            if ip is None or not is_reverse_proxy(str(ip), settings):
                return visitor_of(address if ip is None else str(ip))
    return visitor_of(address)
