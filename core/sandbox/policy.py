"""What a child process may touch: a policy, and the command line that applies it before the program starts.

How much of it is enforced depends on the platform; `protections` reports what this one has:

- Linux: resource limits, `PR_SET_PDEATHSIG`, no new privileges, and Landlock where the kernel has it (from 5.13:
  files; from 6.7: TCP; from 6.12: signals and abstract sockets).
- macOS: resource limits (it does not enforce the one on address space).
- Windows: a job object that ends with the process that created it.
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
"""Programs and their shared libraries: what every child may read."""

DEVICE_PATHS: Final = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Resource limits of one child; None leaves a limit as it is.

    Attributes:
        address_space: bytes.
        cpu_seconds: processor time.
        file_size: bytes of any one file that it writes.
        open_files: file descriptors.
    """

    address_space: int | None = None
    cpu_seconds: int | None = None
    file_size: int | None = None
    open_files: int | None = 256

    def rlimits(self) -> dict[str, int]:
        """Return the limits by their `RLIMIT_*` names, core dumps off."""
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
        read: files, or directories with everything beneath, that it may read and execute.
        write: likewise, to read and write.
        ports: TCP ports that it may connect to; without any it has no TCP.
        limits: its resource limits.
    """

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    ports: Sequence[int] = ()
    limits: ResourceLimits = field(default_factory=ResourceLimits)


def sandboxed_command(argv: Sequence[str], policy: SandboxPolicy) -> list[str]:
    """Return the command that enters the sandbox and becomes `argv`, whose first word must be an absolute path."""
    if os.name == "nt":
        return list(argv)
    program = os.path.realpath(argv[0])
    # A virtual environment's interpreter is a symbolic link: both ends must be readable.
    read = [*SYSTEM_PATHS, *DEVICE_PATHS, argv[0], program, *(os.path.realpath(path) for path in policy.read)]
    arguments = [
        f"parent={os.getpid()}",
        *(f"read={path}" for path in read),
        "write=/dev/null",
        *(f"write={os.path.realpath(path)}" for path in policy.write),
        *(f"port={port}" for port in policy.ports),
        *(f"limit={name}:{value}" for name, value in policy.limits.rlimits().items()),
    ]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *arguments, "--", *argv]


def minimal_environment(directory: Path, **more: str) -> dict[str, str]:
    """Return a child's environment: none of our variables, so no token; its home and TMPDIR are `directory`."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COMSPEC") if name in os.environ}
    home = str(directory)
    return {**kept, "HOME": home, "TMPDIR": home, "TEMP": home, "TMP": home, "LANG": "C.UTF-8", **more}


def protections() -> list[tuple[str, bool, str]]:
    """List the protections: what each does, whether it is on here, and how or what is missing."""
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
