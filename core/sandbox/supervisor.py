"""A jailed child process, its output bounded, its memory and disk watched, gone when the caller is."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from core.sandbox.processes import group_options, kill_group

_WATCH_SECONDS: Final = 0.2
_LINE_BYTES: Final = 256 * 1024
_ERROR_BYTES: Final = 64 * 1024


class Overrun(StrEnum):
    """What a child took too much of."""

    MEMORY = "memory"
    DISK = "disk"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is watched because no resource limit covers it.

    Attributes:
        memory: resident bytes of the child and its children together (Linux only).
        disk: bytes of all files beneath `directory`.
    """

    memory: int
    disk: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit status, the last 64 KiB that it complained, and why we killed it, if we did."""

    status: int
    errors: str
    overrun: Overrun | None


async def run_child(
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    bounds: Bounds,
    on_line: Callable[[bytes], None],
) -> Ended:
    """Run a program to its end; it and all that it started are gone when this returns or raises.

    Args:
        argv: as `core.sandbox.policy.command` gives it.
        directory: where it runs.
        environment: all of it.
        stdin: what it is told.
        bounds: it is killed over them.
        on_line: told of each line of its output; what it raises ends the child.

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
        raise RuntimeError("a child without pipes")
    complaints = asyncio.create_task(_tail(process.stderr))
    watch = asyncio.create_task(_watch(process, bounds))
    overrun = None
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()
        try:
            while line := await process.stdout.readline():
                on_line(line)
        except ValueError:  # what asyncio makes of a line over the limit
            overrun = Overrun.OUTPUT
            kill_group(process.pid)
        status = await process.wait()
    finally:
        kill_group(process.pid)
        watch.cancel()
        await asyncio.gather(process.wait(), complaints, watch, return_exceptions=True)
    if watch.done() and not watch.cancelled() and overrun is None:
        overrun = watch.result()
    return Ended(status, complaints.result().decode("utf-8", "replace"), overrun)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Read to the end, keep the last part."""
    kept = b""
    while data := await stream.read(_ERROR_BYTES):
        kept = (kept + data)[-_ERROR_BYTES:]
    return kept


async def _watch(process: asyncio.subprocess.Process, bounds: Bounds) -> Overrun | None:
    """Kill the group when it is over its bounds, and say which; kill, too, what outlives the child.

    What the child has started may hold its pipes open, and without their end asyncio waits on.
    """
    overrun = None
    while overrun is None and process.returncode is None:
        await asyncio.sleep(_WATCH_SECONDS)
        overrun = await asyncio.to_thread(_measure, process.pid, bounds)
    kill_group(process.pid)
    return overrun


def _measure(pid: int, bounds: Bounds) -> Overrun | None:
    if resident_bytes(pid) > bounds.memory:
        return Overrun.MEMORY
    return Overrun.DISK if used_bytes(bounds.directory) > bounds.disk else None


def resident_bytes(pid: int) -> int:
    """Memory of a process and its descendants, in bytes; 0 where there is no Linux `/proc`."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0  # it has ended meanwhile
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident_bytes(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    """List what a process has started; nothing where the kernel does not say."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text("ascii").split()]
    return found


def used_bytes(directory: Path) -> int:
    """Disk that the files beneath a directory take, in bytes."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total
