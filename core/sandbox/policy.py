"""What a child process may touch: a policy, and the command line that puts it on before the program starts.

What is on depends on the platform; `protections` says what this one has:

- Linux: resource limits, `PR_SET_PDEATHSIG`, no new privileges, and Landlock where the kernel has it (5.13 or
  newer: files; 6.7: no TCP; 6.12: no signals to or abstract sockets of others).
- macOS: resource limits (address space is not one that macOS enforces).
- Windows: a job object that ends with the process that made it.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.sandbox.launcher import landlock_abi

LAUNCHER: Final = Path(__file__).with_name("launcher.py")

SYSTEM_PATHS: Final = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/etc/ld.so.conf")
"""Programs and their shared libraries: what a child may read beside its input."""

DEVICE_PATHS: Final = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class ResourceLimits:
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
class SandboxPolicy:
    """What a child may touch.

    Attributes:
        read: files, or directories with all beneath, that it may read and run.
        write: likewise, to read and write.
        ports: TCP ports that it may connect to; where there are none it has no TCP.
    """

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    ports: Sequence[int] = ()
    limits: ResourceLimits = field(default_factory=ResourceLimits)


def sandboxed_command(argv: Sequence[str], jail: SandboxPolicy) -> list[str]:
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


def minimal_environment(directory: Path, **more: str) -> dict[str, str]:
    """Minimal environment of a child: no variable of ours, so no token, and `directory` for what is temporary."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COMSPEC") if name in os.environ}
    own = str(directory)
    return {**kept, "HOME": own, "TMPDIR": own, "TEMP": own, "TMP": own, "LANG": "C.UTF-8", **more}


def protections() -> list[tuple[str, bool, str]]:
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
