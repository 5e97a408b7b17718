"""The proxy's process: what strangers' servers send keeps this event loop busy, and no other.

Started by `core.proxy.process` with an environment that holds no secret and with the socket that it accepts from. It
ends with its parent: the kernel sees to it where it can, and the end of standard input everywhere.
"""

import asyncio
import base64
import logging
import os
import signal
import socket
import sys
from typing import Any

from core.proxy import messages
from core.proxy.lease import ProxyLease
from core.proxy.proxy import FetchProxy
from core.sandbox.launcher import prefer_for_oom_kill
from core.sandbox.processes import end_with_parent


class _LogToParent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _send(messages.LOG, level=record.levelno, text=self.format(record)[:1_000])


class ProxyChild:
    """Serves one parent.

    Args:
        proxy: started.
    """

    def __init__(self, proxy: FetchProxy) -> None:
        self._proxy = proxy
        self._leases: dict[int, ProxyLease] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def handle(self, message: dict[str, Any]) -> None:
        """Do what one message says; its answer may come later."""
        number: int = message["lease"]
        match message["kind"]:
            case messages.OPEN:
                self._leases[number] = lease = ProxyLease(
                    message["max_bytes"], message["max_connections"], secret=message["secret"]
                )
                self._proxy.open_lease(lease)
                self._answer(messages.OPENED, number)
            case messages.SYNC:
                self._answer(messages.SYNCED, number)
            case messages.CLOSE:
                task = asyncio.create_task(self._close(number))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _close(self, number: int) -> None:
        lease = self._leases.pop(number, None)
        if lease is not None:
            await self._proxy.close_lease(lease)
        self._answer(messages.CLOSED, number)

    def _answer(self, kind: str, number: int) -> None:
        lease = self._leases.get(number)
        proxy = self._proxy
        _send(
            kind,
            lease=number,
            lease_refusals=dict(lease.refusals) if lease else {},
            refusals=dict(proxy.refusals),
            connections=proxy.connections,
            bytes_in=proxy.bytes_in,
            bytes_out=proxy.bytes_out,
        )


def _send(kind: str, **fields: object) -> None:
    data = messages.encode(kind, **fields)
    while data:
        data = data[os.write(1, data) :]


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=messages.MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    settings = messages.decode(await reader.readline())
    logging.basicConfig(level=settings["log_level"], handlers=[_LogToParent()])
    async with FetchProxy(
        allowed_hosts=settings["allowed_hosts"],
        blocked_networks=settings["blocked_networks"],
        listener=_listener(settings["socket"]),
    ) as proxy:
        child = ProxyChild(proxy)
        _send(messages.READY)
        while line := await reader.readline():
            child.handle(messages.decode(line))


def _listener(shared: int | str) -> socket.socket:
    """Take the parent's socket: by its descriptor, or on Windows by what `socket.share` has written."""
    if isinstance(shared, int):
        return socket.socket(fileno=shared)
    return socket.fromshare(base64.b64decode(shared))  # type: ignore[attr-defined, no-any-return, unused-ignore]


def main() -> None:
    """Serve, and end at once when the parent has: nothing of a lease is worth finishing."""
    end_with_parent()
    prefer_for_oom_kill()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)  # a service manager's are for the parent, whose last jobs need us
    try:
        asyncio.run(serve())
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()
