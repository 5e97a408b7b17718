"""What a child process may touch: a policy, and the command line that applies it before the program starts.

How much of it is enforced depends on the platform; `protections` reports what this one has:

- Linux: resource limits, a guard that ends whatever a child has started, no new privileges, a filter for system calls
  (`core.sandbox.seccomp`), and Landlock where the kernel has it (from 5.13: files; from 6.7: TCP; from 6.12: signals
  and abstract sockets).
- macOS: resource limits (it does not enforce the one on address space).
- Windows: a job object that ends with the process that created it.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.sandbox.landlock import landlock_abi

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
PROBE: Final = Path(__file__).with_name("probe.py")

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
        ports: TCP ports that it may connect to; without any it has no sockets at all.
        limits: its resource limits.
        own_groups: whether it may make process groups, as a worker does for its ffmpeg; the others stay in theirs.
        guarded: whether a guard process ends it, with all that it has started.
        max_tasks: processes and threads that it may have, itself counted, if it is guarded.
    """

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    ports: Sequence[int] = ()
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    own_groups: bool = False
    guarded: bool = False
    max_tasks: int = 256


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
        *(["groups=own"] if policy.own_groups else []),
        *([f"guard={policy.max_tasks}"] if policy.guarded else []),
    ]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *arguments, "--", *argv]


def minimal_environment(directory: Path, **more: str) -> dict[str, str]:
    """Return a child's environment: none of our variables, so no token; its home and TMPDIR are `directory`."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COMSPEC") if name in os.environ}
    home = str(directory)
    return {**kept, "HOME": home, "TMPDIR": home, "TEMP": home, "TMP": home, "LANG": "C.UTF-8", **more}


def protections() -> list[tuple[str, bool, str]]:
    """List the protections: what each does, whether it is on here, and how or what is missing.

    On Linux that is tried out, in a sandbox like ffmpeg's and in one like yt-dlp's; it takes a fraction of a second.
    """
    linux, windows = sys.platform.startswith("linux"), os.name == "nt"
    limits = ("limits on processor, memory and files", not windows, "Windows has none" if windows else "")
    if not linux:
        needs_linux = "needs Linux"
        return [
            limits,
            ("children end with the bot", windows, "" if windows else "an ffmpeg ends when its pipe breaks"),
            ("no files beyond input and output", False, needs_linux),
            ("no sockets for ffmpeg, none but to the proxy's port for yt-dlp", False, needs_linux),
        ]
    try:
        decoder, _ = _probe(SandboxPolicy(read=_python()))
        fetcher, all_ended = _probe(SandboxPolicy(read=_python(), ports=[1], guarded=True))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return [limits, ("the sandbox", False, f"it could not be entered: {type(error).__name__}")]
    possible, abi = decoder | fetcher, landlock_abi()
    landlock, unfiltered = f"Landlock {abi}", "needs a kernel with seccomp filters, on x86_64 or aarch64"

    def line(what: str, names: set[str], how: str, lacking: str) -> tuple[str, bool, str]:
        on = not possible & names
        return what, on, how if on else lacking

    return [
        limits,
        (
            "what children start is counted, and ends with them, also if the bot is killed",
            all_ended,
            "" if all_ended else "the guard could not see it",
        ),
        line("no files beyond input and output", {"files"}, landlock, "needs Linux 5.13 or newer with Landlock"),
        line(
            "no TCP for ffmpeg, none but to the proxy's port for yt-dlp",
            {"tcp"},
            landlock if abi >= 4 else "seccomp",
            "needs Linux 6.7 or newer with Landlock",
        ),
        line(
            "no other sockets: UDP, Unix, MPTCP, TCP Fast Open",
            {"mptcp", "fast-open", "udp", "unix"},
            "seccomp",
            unfiltered,
        ),
        line("no signals to other processes", {"signals"}, landlock, "needs Linux 6.12 or newer with Landlock"),
    ]


def _python() -> list[Path]:
    return [Path(sys.prefix), Path(sys.base_prefix), PROBE]


def _probe(policy: SandboxPolicy) -> tuple[set[str], bool]:
    """Try a sandbox out; what was possible, and whether what it left behind has ended with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(server.getsockname()[1]), str(os.getpid())]
        done = subprocess.run(  # noqa: S603 - our own program
            sandboxed_command([sys.executable, "-I", "-S", str(PROBE), *arguments], policy),
            capture_output=True,
            timeout=30,
            check=True,
            env=minimal_environment(Path(os.devnull).parent),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    left, *possible = done.stdout.decode().split()
    try:
        os.kill(int(left), signal.SIGKILL)
    except ProcessLookupError:
        return set(possible), True
    return set(possible), False
