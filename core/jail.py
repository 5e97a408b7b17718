"""A jail for child processes: limits, no way out, and death with their parent.

What is on depends on the platform; `report` says what this one has:

- Linux: resource limits, `PR_SET_PDEATHSIG`, no new privileges, and Landlock where the kernel has it (5.13 or
  newer: files; 6.7: no TCP; 6.12: no signals to or abstract sockets of others).
- macOS: resource limits (address space is not one that macOS enforces).
- Windows: a job object that ends with the process that made it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.launcher import landlock_abi

LAUNCHER: Final = Path(__file__).with_name("launcher.py")

SYSTEM_PATHS: Final = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/etc/ld.so.conf")
"""Programs and their shared libraries: what a child may read beside its input."""

DEVICE_PATHS: Final = ("/dev/null", "/dev/zero", "/dev/urandom")

_kept_handles: list[Any] = []
"""The Windows job object lives as long as this process."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one child; None leaves one as it is.

    Attributes:
        address_space: bytes.
        cpu_seconds: of processor time.
        file_size: bytes of any file that it writes.
        open_files: descriptors.
    """

    address_space: int | None = None
    cpu_seconds: int | None = None
    file_size: int | None = None
    open_files: int | None = 256

    def rlimits(self) -> dict[str, int]:
        """Return the limits under the names of `RLIMIT_*`, core dumps off."""
        named = {
            "AS": self.address_space,
            "CPU": self.cpu_seconds,
            "FSIZE": self.file_size,
            "NOFILE": self.open_files,
            "CORE": 0,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Jail:
    """What a child may touch.

    Attributes:
        read: files, or directories with all beneath, that it may read and run.
        write: likewise, to read and write.
        ports: TCP ports that it may connect to; where there are none it has no TCP.
    """

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    ports: Sequence[int] = ()
    limits: Limits = field(default_factory=Limits)


def command(argv: Sequence[str], jail: Jail) -> list[str]:
    """Command line that enters the jail and becomes `argv`, whose first word must be an absolute path."""
    if os.name == "nt":
        return list(argv)
    program = os.path.realpath(argv[0])
    # A virtual environment's interpreter is found through a link: both its ends count.
    read = [*SYSTEM_PATHS, *DEVICE_PATHS, argv[0], program, *(os.path.realpath(path) for path in jail.read)]
    described = [
        f"parent={os.getpid()}",
        *(f"read={path}" for path in read),
        "write=/dev/null",
        *(f"write={os.path.realpath(path)}" for path in jail.write),
        *(f"port={port}" for port in jail.ports),
        *(f"limit={name}:{value}" for name, value in jail.limits.rlimits().items()),
    ]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *described, "--", *argv]


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Minimal environment of a child: no variable of ours, so no token, and `directory` for what is temporary."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COMSPEC") if name in os.environ}
    own = str(directory)
    return {**kept, "HOME": own, "TMPDIR": own, "TEMP": own, "TMP": own, "LANG": "C.UTF-8", **more}


def group_options() -> Mapping[str, Any]:
    """Options for `Popen` and `create_subprocess_exec` that give the child a process group of its own."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True}


def kill_group(pid: int) -> None:
    """Kill a child started with `group_options`, and whatever it started; one that is gone is fine."""
    try:
        if os.name == "nt":
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end_with_parent() -> None:
    """Tie this process to its parent, and its children to it, as far as the platform can.

    On Linux the kernel kills it when its parent dies. On Windows it enters a job object whose members are killed
    when this process ends (https://learn.microsoft.com/windows/win32/procthread/job-objects).
    """
    if sys.platform.startswith("linux"):
        from core.launcher import die_with_parent

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
    _kept_handles.append(job)


def report() -> list[tuple[str, bool, str]]:
    """Which protections this platform has: (what, whether it is on, what is missing or how)."""
    abi = landlock_abi()
    linux, windows = sys.platform.startswith("linux"), os.name == "nt"
    return [
        ("limits on processor, memory and files", not windows, "" if not windows else "Windows has none"),
        (
            "children die with their parent",
            linux or windows,
            "" if linux or windows else "an ffmpeg ends when its pipe breaks",
        ),
        (
            "no files beyond input and output",
            abi >= 1,
            f"Landlock {abi}" if abi else "needs Linux 5.13 or newer with Landlock",
        ),
        (
            "no TCP for ffmpeg, none but the proxy's port for yt-dlp",
            abi >= 4,
            f"Landlock {abi}" if abi >= 4 else "needs Linux 6.7: by their own options only",
        ),
    ]
