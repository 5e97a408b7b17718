"""Process groups: children that are killed with everything that they started, and end with their parent."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio  # a worker's start need not wait for it

_CHUNK_BYTES: Final = 1 << 16

_job_objects: Final[list[Any]] = []
"""Keeps the Windows job object as long as this process lives."""


def group_options() -> Mapping[str, Any]:
    """Return options for `Popen` and `create_subprocess_exec` that give the child a process group of its own."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def kill_group(pid: int) -> None:
    """Kill a child started with `group_options` and everything that it started; do nothing if it has ended."""
    if os.name == "nt":
        kill_tree(pid)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_guarded(process: "asyncio.subprocess.Process") -> None:
    """End a child whose policy is `guarded`, and all that it has started; do nothing if that is done.

    The guard does it; where there are none, the process group is killed.
    """
    if not sys.platform.startswith("linux"):
        kill_group(process.pid)
    elif process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # it may have been stopped


async def wait_for_end(process: "asyncio.subprocess.Process") -> None:
    """Wait for the end of a child that was told to end, and of its pipes, which nothing else may be reading.

    `Process.wait` alone is not enough. It returns at once where the exit is known already, and a pipe that is open then
    can outlive the event loop: asyncio prints `Event loop is closed` when it is collected. Otherwise it waits for the
    pipes, of which one that is full and that nobody reads is never seen to end.
    """
    if process.stdin is not None:
        process.stdin.close()
    for stream in (process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            while stream is not None and await stream.read(_CHUNK_BYTES):
                pass
    with contextlib.suppress(ProcessLookupError):
        await process.wait()


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants, where process groups cannot be killed."""
    import psutil  # needed on Windows only; a worker's start need not wait for it

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                member.kill()


def end_with_parent() -> None:
    """Make this process end with its parent, and its children with it, as far as the platform can.

    On Linux the kernel kills it when its parent dies. On Windows it enters a job object whose members are killed
    when this process ends (https://learn.microsoft.com/windows/win32/procthread/job-objects).
    """
    if sys.platform.startswith("linux"):
        from core.sandbox.launcher import die_with_parent

        die_with_parent(os.getppid())
    elif sys.platform == "win32":
        _enter_job_object()


def _enter_job_object() -> None:
    import ctypes

    class BasicLimits(ctypes.Structure):
        _fields_ = [
            ("per_process_user_time", ctypes.c_int64),
            ("per_job_user_time", ctypes.c_int64),
            ("limit_flags", ctypes.c_uint32),
            ("minimum_working_set", ctypes.c_size_t),
            ("maximum_working_set", ctypes.c_size_t),
            ("active_process_limit", ctypes.c_uint32),
            ("affinity", ctypes.c_size_t),
            ("priority_class", ctypes.c_uint32),
            ("scheduling_class", ctypes.c_uint32),
        ]

    class ExtendedLimits(ctypes.Structure):
        _fields_ = [
            ("basic", BasicLimits),
            ("io_counters", ctypes.c_uint64 * 6),
            ("process_memory", ctypes.c_size_t),
            ("job_memory", ctypes.c_size_t),
            ("peak_process_memory", ctypes.c_size_t),
            ("peak_job_memory", ctypes.c_size_t),
        ]

    kill_on_job_close, extended_limit_information = 0x2000, 9
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    kernel32.CreateJobObjectW.restype = ctypes.c_void_p
    kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel32.CreateJobObjectW(None, None))
    limits = ExtendedLimits()
    limits.basic.limit_flags = kill_on_job_close
    kernel32.SetInformationJobObject(job, extended_limit_information, ctypes.byref(limits), ctypes.sizeof(limits))
    kernel32.AssignProcessToJobObject(job, ctypes.c_void_p(kernel32.GetCurrentProcess()))
    _job_objects.append(job)
