"""Landlock: a process gives up files, TCP ports and signals. https://docs.kernel.org/userspace-api/landlock.html.

With the standard library only: the launcher imports it between `fork` and the sandboxed program.
"""

import ctypes
import os
import sys

# The Landlock system calls have the same numbers on every architecture.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LANDLOCK_RULE_NET_PORT = 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE
# Rights that came with each version of the ABI: files, refer, truncate, (network), device control.
FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1, 2  # from ABI 4
SCOPES = 3  # abstract Unix sockets and signals, from ABI 6


class RulesetAttributes(ctypes.Structure):
    """`struct landlock_ruleset_attr`."""

    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


class NetPort(ctypes.Structure):
    """`struct landlock_net_port_attr`."""

    _fields_ = [("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64)]


def landlock_abi() -> int:
    """Return the version of the kernel's Landlock; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    return max(0, version)


def restrict(read: list[str], write: list[str], ports: list[int]) -> None:
    """Restrict the process to the files beneath `read` (to read and execute) and `write`, and to TCP on `ports`.

    Raises:
        OSError: the kernel has Landlock but refused the rules; the program must not start then.
    """
    abi = landlock_abi()
    if abi < 1:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments: object) -> int:
        result: int = libc.syscall(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "landlock")
        return result

    handled = FS_RIGHTS[min(abi, max(FS_RIGHTS))]
    attributes = RulesetAttributes(handled, BIND_TCP | CONNECT_TCP if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = call(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    for paths, rights in ((read, EXECUTE | READ_FILE | READ_DIR), (write, handled & ~EXECUTE)):
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            applicable = handled if os.path.isdir(path) else FILE_RIGHTS | TRUNCATE | IOCTL_DEV
            rule = PathBeneath(rights & applicable & handled, descriptor)
            call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)
            os.close(descriptor)
    for port in ports if abi >= 4 else []:
        open_port = NetPort(CONNECT_TCP, port)
        call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_NET_PORT, ctypes.byref(open_port), 0)
    call(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
