"""Try what the sandbox should prevent: `python -I -S probe.py PORT PID` prints what was possible all the same.

Run in the sandbox by `core.sandbox.policy.protections`; leaves a process behind, whose id it prints first.
"""

import os
import socket
import sys
from collections.abc import Callable

MPTCP = 262
MSG_FASTOPEN = 0x2000_0000


def possible(port: int, pid: int) -> list[str]:
    """Name what this process can do: read files, reach `port` of this machine, send otherwise, signal `pid`."""
    here = ("127.0.0.1", port)
    tries: dict[str, Callable[[], object]] = {
        "files": lambda: os.listdir("/"),
        "tcp": lambda: socket.create_connection(here, 5),
        "mptcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP),
        "fast-open": lambda: socket.socket().sendto(b"x", MSG_FASTOPEN, here),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "unix": lambda: socket.socket(socket.AF_UNIX),
        "signals": lambda: os.kill(pid, 0),
    }
    return [name for name, work in tries.items() if _works(work)]


def _works(work: Callable[[], object]) -> bool:
    try:
        work()
    except OSError:
        return False
    return True


def leave_behind() -> int:
    """Start a process that outlives this one, in a session of its own if it may have one, and give its id."""
    pid = os.fork()
    if pid == 0:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        _works(os.setsid)
        os.execv("/bin/sleep", ["sleep", "60"])  # noqa: S606 - no shell is what we want
    return pid


if __name__ == "__main__":
    print(leave_behind(), *possible(int(sys.argv[1]), int(sys.argv[2])))
