"""A link with a neighbour, in network namespaces of its own: run under `unshare -rn`, prints what the proxy answered.

The neighbour has addresses on our link, and others behind it as behind a router. All are global: nothing but their
being near can have them refused.
"""

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from core.proxy.proxy import FetchProxy

NEIGHBOUR = ("93.184.216.20/24", "2a00:1450:4001::20/64", "2a00:1450:4005::20/64", "2a00:1450:4009::20/64")
BEYOND = ("93.184.217.20/32", "2a00:1450:4002::20/128", "2a00:1450:4006:7::20/128", "2a00:1450:4003::a00:1/128")
NAT64 = "2a00:1450:4003::c000:aa"
DELEGATED = "2a00:1450:4006::/56"


def ip(*words: str, of: int | None = None) -> None:
    enter = ["nsenter", "-t", str(of), "-n"] if of else []
    subprocess.run([*enter, "ip", *words], check=True)


@contextlib.contextmanager
def neighbour() -> Iterator[int]:
    """Start a server in a namespace at the other end of a cable."""
    server = [sys.executable, "-m", "http.server", "80", "--bind", "::", "--directory", "/proc/self/net"]
    process = subprocess.Popen(["unshare", "-n", *server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(process.pid))
        ip("link", "set", "near", "up")
        ip("link", "set", "far", "up", of=process.pid)
        for address in (*NEIGHBOUR, *BEYOND):
            ip("addr", "add", address, "dev", "far", *(["nodad"] if ":" in address else []), of=process.pid)
        ip("addr", "add", "93.184.216.10/24", "dev", "near")
        ip("addr", "add", "2a00:1450:4001::10/64", "dev", "near", "nodad")
        for address in BEYOND:
            via = "2a00:1450:4001::20" if ":" in address else "93.184.216.20"
            ip("route", "add", address, "via", via)
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def resolve(host: str) -> list[str]:
    """Know the addresses by name, and a DNS64's answer to `ipv4only.arpa`."""
    if host == "ipv4only.arpa":
        return ["192.0.0.170", NAT64]
    return [host.removesuffix(".example").replace("-", ":" if host.count("-") > 3 else ".")]


async def status(proxy: FetchProxy, address: str) -> int:
    """Ask the proxy for a page of an address, and return the status that it answers with."""
    async with proxy.lease(max_bytes=1_000_000) as lease:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        secret = base64.b64encode(f"x:{lease.secret}".encode()).decode()
        host = f"[{address}]" if ":" in address else address
        head = f"GET http://{host}/route HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {secret}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])


async def main() -> dict[str, int]:
    ip("link", "set", "lo", "up")
    with neighbour() as other:
        async with FetchProxy(resolver=resolve, blocked_networks=[DELEGATED]) as proxy:
            deadline = time.monotonic() + 60
            while await status(proxy, "93.184.217.20") != 200 and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the server starts
            found = {
                "a routed IPv4 address": await status(proxy, "93.184.217.20"),
                "a routed IPv6 address": await status(proxy, "2a00:1450:4002::20"),
                "an IPv4 neighbour": await status(proxy, "93.184.216.20"),
                "an IPv6 neighbour": await status(proxy, "2a00:1450:4001::20"),
                "a delegated prefix": await status(proxy, "2a00:1450:4006:7::20"),
                "10.0.0.1 behind a NAT64": await status(proxy, "2a00:1450:4003::a00:1"),
            }
            ip("route", "add", "2a00:1450:4005::/64", "via", "2a00:1450:4001::20")
            found["before an address is added"] = await status(proxy, "2a00:1450:4005::20")
            ip("route", "del", "2a00:1450:4005::/64")
            ip("addr", "add", "2a00:1450:4005::10/64", "dev", "near", "nodad")
            found["after an address is added"] = await status(proxy, "2a00:1450:4005::20")
            # As DHCPv6 has it: an address without a prefix, and the link in the routes only.
            ip("addr", "add", "2a00:1450:4009::10/128", "dev", "near", "nodad")
            ip("route", "add", "2a00:1450:4009::/64", "dev", "near")
            found["a neighbour by a route only"] = await status(proxy, "2a00:1450:4009::20")
            del other
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
