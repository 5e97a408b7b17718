"""The proxy in a process of its own, started again when it ends: strangers' bytes cannot hold up the caller's loop."""

import asyncio
import base64
import contextlib
import itertools
import logging
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Final

from core.errors import ErrorCode, GenreGenieError
from core.proxy import messages
from core.proxy.interface import MAX_CONNECTIONS, Proxy
from core.proxy.lease import ProxyLease
from core.proxy.proxy import listen_on_loopback
from core.proxy.url_policy import Refusal
from core.sandbox.policy import minimal_environment
from core.sandbox.processes import group_options, kill_group, wait_for_end

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 30.0
"""How long the process may take to answer before it is replaced."""

STEADY_SECONDS: Final = 10.0
"""A process that has run for so long is started again at once; others after a pause that grows."""

MAX_PAUSE: Final = 30.0

_ANSWERS: Final = {
    messages.OPEN: messages.OPENED,
    messages.SYNC: messages.SYNCED,
    messages.CLOSE: messages.CLOSED,
}
_COUNTERS: Final = ("connections", "bytes_in", "bytes_out")


class ProcessLease(ProxyLease):
    """A lease that the proxy's process keeps count of; `sync` fetches its refusals.

    Args:
        number: what the two processes call it.
        proxy: to ask.
        max_bytes: how many bytes the job may receive.
        max_connections: how many connections it may make.
    """

    def __init__(self, number: int, proxy: "ProxyProcess", max_bytes: int, max_connections: int) -> None:
        super().__init__(max_bytes, max_connections)
        self.number = number
        self._proxy = proxy

    async def sync(self) -> None:
        """Fetch the refusals; a proxy that has just ended has none to tell."""
        await self._proxy.ask(messages.SYNC, self)


class ProxyProcess(Proxy):
    """The proxy in a process of its own.

    The socket that it accepts from is ours: whoever connects while it is started again waits, and nobody else can take
    the port meanwhile. Leases outlive it, with fresh quotas.

    Args:
        allowed_hosts: `host:port` pairs that may be reached although they are private.
        blocked_networks: may not be reached although they are public, in CIDR notation.
        ca_file: one more trusted authority (PEM) for those who fetch through the proxy.

    Attributes:
        restarts: how often it was started again.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str] = (),
        blocked_networks: Collection[str] = (),
        ca_file: Path | None = None,
    ) -> None:
        super().__init__(allowed_hosts, ca_file)
        self.restarts = 0
        self._blocked_networks = tuple(blocked_networks)
        self._listener: socket.socket | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._numbers = itertools.count(1)
        self._leases: dict[int, ProcessLease] = {}
        self._answers: dict[tuple[str, int], asyncio.Future[None]] = {}
        self._before: dict[str, Any] = {}  # the counters, when this process began

    @property
    def port(self) -> int:
        """The TCP port that the proxy listens on."""
        if self._listener is None:
            raise RuntimeError("the proxy has not been started")
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Listen; the process that accepts starts meanwhile."""
        self._listener = listen_on_loopback()
        self._supervisor = asyncio.create_task(self._keep_running(self._listener), name="proxy")

    async def close(self) -> None:
        """End the process, and with it every connection."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @contextlib.asynccontextmanager
    async def lease(self, *, max_bytes: int, max_connections: int = MAX_CONNECTIONS) -> AsyncIterator[ProxyLease]:
        """Let one job use the proxy, as `Proxy.lease` says.

        Raises:
            GenreGenieError: `internal`: no process serves it.
        """
        lease = ProcessLease(next(self._numbers), self, max_bytes, max_connections)
        self._leases[lease.number] = lease
        try:
            await self.ask(messages.OPEN, lease)
            yield lease
        finally:
            del self._leases[lease.number]
            await self.ask(messages.CLOSE, lease)

    async def ask(self, kind: str, lease: ProcessLease) -> None:
        """Send a message of a lease and wait for its answer; only an opening waits for a process that starts.

        Raises:
            GenreGenieError: `internal`: no process serves the lease.
        """
        if self._process is None and kind != messages.OPEN:
            return
        key = (_ANSWERS[kind], lease.number)
        answer = self._answers[key] = asyncio.get_running_loop().create_future()
        self._send(kind, lease)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await answer
        except TimeoutError:
            logger.error("The proxy's process does not answer")
            if self._process is not None:
                kill_group(self._process.pid)
            if kind == messages.OPEN:
                raise GenreGenieError(ErrorCode.INTERNAL) from None
        finally:
            del self._answers[key]

    def _send(self, kind: str, lease: ProcessLease) -> None:
        if self._process is None or self._process.stdin is None:
            return
        fields: dict[str, object] = {}
        if kind == messages.OPEN:
            fields = {
                "secret": lease.secret,
                "max_bytes": lease.bytes_left,
                "max_connections": lease.connections_left,
            }
        self._process.stdin.write(messages.encode(kind, lease=lease.number, **fields))

    async def _keep_running(self, listener: socket.socket) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._run(listener)
            except Exception:
                logger.exception("The proxy's process failed")
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            self.restarts += 1
            logger.warning("The proxy's process has ended and is started again")
            await asyncio.sleep(min(MAX_PAUSE, failures * failures / 4))

    async def _run(self, listener: socket.socket) -> None:
        """Start the process and follow it to its end."""
        process = await _spawn(listener)
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the process has no pipes")
            process.stdin.write(messages.encode("settings", **self._settings(listener, process.pid)))
            while line := await process.stdout.readline():
                message = messages.decode(line)
                if message["kind"] == messages.READY:
                    self._begin(process)
                else:
                    self._receive(message)
        finally:
            self._process = None
            for (kind, _), answer in self._answers.items():
                if kind != messages.OPENED and not answer.done():
                    answer.set_result(None)  # what it asks about went with the process
            await _end(process)

    def _begin(self, process: Process) -> None:
        """Tell a process that is ready of all leases, those that began before it among them."""
        self._process = process
        self._before = {name: getattr(self, name) for name in _COUNTERS} | {"refusals": Counter(self.refusals)}
        for lease in self._leases.values():
            self._send(messages.OPEN, lease)

    def _settings(self, listener: socket.socket, pid: int) -> dict[str, object]:
        shared: object = listener.fileno()
        if sys.platform == "win32":
            shared = base64.b64encode(listener.share(pid)).decode()
        return {
            "allowed_hosts": sorted(self.allowed_hosts),
            "blocked_networks": self._blocked_networks,
            "socket": shared,
            "log_level": logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.WARNING,
        }

    def _receive(self, message: dict[str, Any]) -> None:
        if message["kind"] == messages.LOG:
            logger.log(int(message["level"]), "%s", message["text"])
            return
        for name in _COUNTERS:
            setattr(self, name, self._before[name] + int(message[name]))
        self.refusals = self._before["refusals"] + Counter(message["refusals"])
        number = int(message["lease"])
        if number in self._leases:
            refusals = message["lease_refusals"].items()
            self._leases[number].refusals = Counter({Refusal(reason): int(count) for reason, count in refusals})
        answer = self._answers.get((message["kind"], number))
        if answer is not None and not answer.done():
            answer.set_result(None)


async def _spawn(listener: socket.socket) -> Process:
    environment = minimal_environment(Path(tempfile.gettempdir()), PYTHONPATH=str(Path(__file__).parents[2]))
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "core.proxy.child",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=environment,
        limit=messages.MAX_LINE,
        pass_fds=() if sys.platform == "win32" else (listener.fileno(),),
        **group_options(),
    )


async def _end(process: Process) -> None:
    """Kill the process and wait for its end."""
    if process.returncode is None:
        kill_group(process.pid)
    await wait_for_end(process)
