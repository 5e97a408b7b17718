"""A sandboxed child process: its output, memory and disk are bounded, and it never outlives the call."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil

from core.sandbox.processes import end_guarded, group_options

_WATCH_SECONDS: Final = 0.2
_LINE_BYTES: Final = 256 * 1024
_ERROR_BYTES: Final = 64 * 1024
_MAX_LINES: Final = 20_000
_LINES_A_TURN: Final = 64


class Overrun(StrEnum):
    """What a child used too much of."""

    MEMORY = "memory"
    DISK = "disk"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is polled because no resource limit covers it.

    Attributes:
        memory: resident bytes of the child and its descendants together.
        disk: bytes of all files beneath `directory`.
        directory: where the child writes.
    """

    memory: int
    disk: int
    directory: Path


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended.

    Attributes:
        status: its exit status, negative for a signal.
        stderr: the last 64 KiB of its standard error.
        overrun: what it was killed for; None if it was not.
    """

    status: int
    stderr: str
    overrun: Overrun | None


async def run_child(
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    bounds: Bounds,
    on_line: Callable[[bytes], None],
) -> ChildExit:
    """Run a program to its end; it and everything that it started have ended when this returns or raises.

    Args:
        argv: as from `core.sandbox.policy.sandboxed_command`, with a policy that is guarded.
        directory: its working directory.
        environment: its whole environment.
        stdin: its standard input.
        bounds: it is killed when it exceeds them.
        on_line: called with each line of its output; what it raises ends the child.

    Raises:
        OSError: it could not be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=directory,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        **group_options(),
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("the child has no pipes")
    stderr = asyncio.create_task(_tail(process.stderr))
    watch = asyncio.create_task(_watch(process, bounds))
    overrun = None
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()
        try:
            lines = 0
            while line := await process.stdout.readline():
                lines += 1
                if lines > _MAX_LINES:
                    raise ValueError(f"more than {_MAX_LINES} lines")
                on_line(line)
                if lines % _LINES_A_TURN == 0:  # what has come already is read without a pause
                    await asyncio.sleep(0)
        except ValueError:  # also what asyncio raises for a line over the limit
            overrun = Overrun.OUTPUT
            end_guarded(process)
            await _tail(process.stdout)  # a pipe that nobody reads is never seen to end, and asyncio waits for that
        status = await process.wait()
    finally:
        end_guarded(process)
        watch.cancel()
        await asyncio.gather(process.wait(), _tail(process.stdout), stderr, watch, return_exceptions=True)
    if watch.done() and not watch.cancelled() and overrun is None:
        overrun = watch.result()
    return ChildExit(status, stderr.result().decode("utf-8", "replace"), overrun)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Read to the end and return the last 64 KiB."""
    kept = b""
    while data := await stream.read(_ERROR_BYTES):
        kept = (kept + data)[-_ERROR_BYTES:]
    return kept


async def _watch(process: asyncio.subprocess.Process, bounds: Bounds) -> Overrun | None:
    """Kill the group when it exceeds its bounds and return which; kill what outlives the child, too.

    What the child has started may hold its pipes open, and asyncio waits until they are closed.
    """
    overrun = None
    while overrun is None and process.returncode is None:
        await asyncio.sleep(_WATCH_SECONDS)
        overrun = await asyncio.to_thread(_measure, process.pid, bounds)
    end_guarded(process)
    return overrun


def _measure(pid: int, bounds: Bounds) -> Overrun | None:
    if resident_bytes(pid) > bounds.memory:
        return Overrun.MEMORY
    try:
        return Overrun.DISK if used_bytes(bounds.directory) > bounds.disk else None
    except PermissionError:  # the child hides what it writes
        return Overrun.DISK


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its descendants, bytes; 0 if it has ended."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                total += member.memory_info().rss
    return total


def used_bytes(directory: Path) -> int:
    """Return the size of all files beneath a directory, bytes.

    Raises:
        PermissionError: a folder in it cannot be listed.
    """
    total = 0
    for folder, _, names in os.walk(directory, onerror=_raise_if_hidden):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total


def _raise_if_hidden(error: OSError) -> None:
    if isinstance(error, PermissionError):  # others have gone meanwhile
        raise error
