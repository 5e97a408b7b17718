"""Connections: capped in all and per address, with deadlines for what a client may take its time for.

The longest idle connection makes room for a new one, so that whoever opens many of them closes their own.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from web.addresses import visitor_of

MAX_CONNECTIONS: Final = 512
MAX_PER_ADDRESS: Final = 96
"""A browser opens six for each of its windows' networks; a household has several browsers."""

IDLE_S: Final = 20.0
"""How long a client may take to send a whole head, from its connection or from the last response's start."""

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Connections:
    """The open connections.

    Args:
        trusted: whether an address is that of our own reverse proxy, whose connections are many visitors'.

    Attributes:
        idle_s: seconds that a head may take.
    """

    def __init__(self, trusted: Callable[[str], bool]) -> None:
        self.idle_s = IDLE_S
        self._trusted = trusted
        self._open: Counter[str] = Counter()
        self._idle: OrderedDict[Connection, None] = OrderedDict()

    def __len__(self) -> int:
        """Count the open connections."""
        return self._open.total()

    def admit(self, connection: "Connection") -> bool:
        """Take a connection in, if need be in the place of one that waits for a request; False refuses it."""
        self._open[connection.visitor] += 1
        if self._open[connection.visitor] > MAX_PER_ADDRESS and not self._trusted(connection.address):
            return self._close_idle(connection.visitor)
        return len(self) <= MAX_CONNECTIONS or self._close_idle(None)

    def wait_for_head(self, connection: "Connection") -> asyncio.TimerHandle:
        """Start the deadline for a request's head."""
        self._idle[connection] = None
        self._idle.move_to_end(connection)
        return asyncio.get_running_loop().call_later(self.idle_s, connection.abort)

    def head_received(self, connection: "Connection") -> None:
        """Take a connection for busy."""
        self._idle.pop(connection, None)

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""
        self._idle.pop(connection, None)
        self._open[connection.visitor] -= 1
        if not self._open[connection.visitor]:
            del self._open[connection.visitor]

    def _close_idle(self, visitor: str | None) -> bool:
        """Close the connection that has been idle for longest, of one visitor or of all; False if there is none."""
        longest = next((one for one in self._idle if visitor is None or one.visitor == visitor), None)
        if longest is None:
            return False
        del self._idle[longest]
        longest.abort()
        return True


class Connection(asyncio.Protocol):
    """One connection: passes everything on to the HTTP server's protocol, and counts it.

    Args:
        connections: all of them.
        server: the HTTP server's own protocol for this connection.
    """

    def __init__(self, connections: Connections, server: asyncio.Protocol) -> None:
        self._connections = connections
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self.address = ""
        self.visitor = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or refuse it."""
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.visitor = visitor_of(self.address)
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        if not self._connections.admit(self):
            self._refused = True
            if self._transport is not None:
                self._transport.write(_REFUSAL)
                self._transport.close()
            return
        self._deadline = self._connections.wait_for_head(self)
        self._server.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrived."""
        if not self._refused:
            self._server.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of what arrives on."""
        return None if self._refused else self._server.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads slowly."""
        if not self._refused:
            self._server.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads again."""
        if not self._refused:
            self._server.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._connections.closed(self)
        if not self._refused:
            self._server.connection_lost(exc)

    def request_began(self) -> None:
        """End the wait for a head: it has arrived."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._connections.head_received(self)

    def request_ended(self) -> None:
        """Give the client time to take the response and to send another request."""
        if self._transport is not None and not self._transport.is_closing():
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self._connections.wait_for_head(self)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
