"""Processes that tests watch: which there are, and whether they are gone."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable

import psutil


def heed_interrupts() -> None:
    """Let SIGINT end the child also where whoever started the tests has it ignored; for `preexec_fn`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


_others: list[psutil.Process] = []
"""Children of this process that belong to more than one test: a session's bot or page."""


def disregard_others() -> None:
    """Leave those children out from now on that there are already: they are no test's own."""
    _others[:] = [child for child in psutil.Process().children() if is_alive(child)]


def own_children() -> list[psutil.Process]:
    """What this process has started since `disregard_others` and that still runs."""
    return [child for child in psutil.Process().children() if child not in _others and is_alive(child)]


def own_workers() -> list[psutil.Process]:
    """What the guards among `own_children` watch over; `own_children` themselves where there are no guards."""
    own = own_children()
    return [child for guard in own for child in guard.children()] if sys.platform.startswith("linux") else own


def living_children(pid: int | None = None) -> list[psutil.Process]:
    """All that a process has started, and they have, and that still runs; by default `own_children` and theirs."""
    if pid is None:
        own = own_children()
        return own + [below for child in own for below in living_children(child.pid)]
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if is_alive(child)]


def is_ffmpeg(process: psutil.Process) -> bool:
    """Whether a process is an ffmpeg (and not the launcher that is about to become one)."""
    try:
        return process.name().startswith("ffmpeg")
    except psutil.NoSuchProcess:
        return False


def runs_module(process: psutil.Process, module: str) -> bool:
    """Whether a process runs a Python module (`-m`); one that has ended meanwhile does not."""
    try:
        return module in process.cmdline()
    except psutil.Error:
        return False


def ffmpegs(pid: int | None = None) -> list[psutil.Process]:
    """The ffmpegs at work beneath a process."""
    return [child for child in living_children(pid) if is_ffmpeg(child)]


def held(found: list[psutil.Process]) -> list[psutil.Process]:
    """Hold processes where they are, and give those that were still there: they end by being killed, or not at all."""
    stopped = []
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            stopped.append(process)
    return stopped


async def held_ffmpeg() -> psutil.Process:
    """Wait for an ffmpeg to start, and hold it where it is."""
    stopped: list[psutil.Process] = []
    await eventually(lambda: stopped or stopped.extend(held(ffmpegs())) or stopped, 60, "the start of ffmpeg")
    return stopped[0]


def wait_until(holds: Callable[[], object], seconds: float = 15, what: str = "it") -> None:
    """Wait for something to be so.

    Raises:
        AssertionError: it was not so in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.01)


async def eventually(holds: Callable[[], object], seconds: float = 15, what: str = "it") -> None:
    """`wait_until`, while the event loop runs."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:g} s"
        await asyncio.sleep(0.01)
