"""Who a request comes from."""

import ipaddress
from typing import Final

from aiohttp import web

from web.settings import WebSettings, is_reverse_proxy

_FORWARDED: Final = "X-Forwarded-For"


def visitor_of(address: str) -> str:
    """Visitor that an address stands for: itself, or its /64 network under IPv6, where one household has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def visitor(request: web.BaseRequest, settings: WebSettings) -> str:
    """Visitor who sends a request.

    A reverse proxy's word for it is taken only where one is configured: the last address that it names and that is not
    its own.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peer[0]) if peer else ""
    if is_reverse_proxy(address, settings):
        named = [part.strip() for value in request.headers.getall(_FORWARDED, ()) for part in value.split(",")]
        address = next((part for part in reversed(named) if part and not is_reverse_proxy(part, settings)), address)
    return visitor_of(address)
