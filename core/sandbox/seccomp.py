"""A seccomp filter: which system calls a process gives up. https://docs.kernel.org/userspace-api/seccomp_filter.html.

Landlock's rule for TCP knows `bind` and `connect` of plain TCP; what it does not know is closed here: every other kind
of socket, MPTCP, data sent with TCP's first packet, io_uring, which would do all that unseen, and leaving the process
group, by which children are killed. What is not named stays allowed, so that a new libc goes on working; a system call
newer than `NEWEST` does not exist for the process.

The filter is a program for the classic Berkeley Packet Filter (`struct sock_filter`), here as a list of instructions.
With the standard library only: the launcher imports it between `fork` and the sandboxed program.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
"""What a filter returns; to FAIL the error number is added."""

LOAD, MASK, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""BPF's operations: load a word of `struct seccomp_data`, and it with k, jump if equal, if at least, end."""

NUMBER, ARCHITECTURE = 0, 4
"""Offsets in `struct seccomp_data`."""

NEWEST = 462
"""`mseal`, of Linux 6.10: the last system call that this list was checked with."""

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF
IPPROTO_TCP = 6
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_ULP = 23, 30, 31
MSG_FASTOPEN = 0x2000_0000
NAMESPACES = 0x7E02_0000
"""The flags of `clone` that make namespaces, in which a process has rights that it has not outside."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""`AUDIT_ARCH_*`, and which column of `CALLS` has the numbers."""

CALLS = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "setsockopt": (54, 208),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
"""Numbers on x86_64 and aarch64 (`asm/unistd_64.h`, `asm-generic/unistd.h`); None where there is no such call."""

ATTRIBUTES = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("utime", "utimes", "futimesat", "utimensat"),
)
"""What Landlock leaves to a process on every file of its user: modes, owners and times, also of the bot's database."""

MANAGING = (
    *("setpriority", "ioprio_set", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr"),
    *("kcmp", "migrate_pages", "move_pages", "process_madvise", "process_mrelease"),
)
"""What slows down or looks into other processes of the same user, the bot among them, without a signal."""

SHARED = (
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)
"""Memory and queues of other processes, which have no path that Landlock could close."""

OTHER_PROCESSES = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "unshare", "setns")
RARE = ("bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl")
"""Parts of the kernel that no child needs, and that have often had holes."""

ABSENT = ("io_uring_setup", "io_uring_enter", "io_uring_register", "pidfd_send_signal", "clone3")
"""What libraries do without where the kernel has none. `clone3` has its flags in memory, where no filter sees them."""

SERVING = ("bind", "listen", "accept", "accept4")
SENDING = ("connect", "sendto", "sendmsg", "sendmmsg")
LEAVING_THE_GROUP = ("setsid", "setpgid")

Instruction = tuple[int, int, int, int]
"""Operation, how many instructions to skip if true and if false, and k."""


def program(machine: str, *, tcp: bool, own_groups: bool) -> list[Instruction]:
    """Make the filter.

    Args:
        machine: a key of `ARCHITECTURES`.
        tcp: whether it may open connections of plain TCP; without it there is no socket of any kind.
        own_groups: whether it may make process groups.
    """
    architecture, column = ARCHITECTURES[machine]

    def on(name: str, *rule: Instruction) -> list[Instruction]:
        """Apply a rule, which ends with a RETURN, to one system call; its number is loaded before and after."""
        number = CALLS[name][column]
        return [] if number is None else [(EQUAL, 0, len(rule), number), *rule]

    def refuse(names: tuple[str, ...], error: int) -> list[Instruction]:
        return [instruction for name in names for instruction in on(name, _fail(error))]

    filters = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),  # 32-bit system calls, with numbers of their own
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, NEWEST + 1),
        _fail(errno.ENOSYS),  # x32's are beyond it, too
        *refuse((*OTHER_PROCESSES, *RARE, *SERVING, *ATTRIBUTES, *MANAGING, *SHARED), errno.EPERM),
        *on("prlimit64", *_one_of(0, (0,), errno.EPERM), _allow()),  # its own limits, not those of others
        *refuse(ABSENT, errno.ENOSYS),
        *on("clone", *_no_bits(0, NAMESPACES, errno.EPERM), _allow()),
    ]
    if not own_groups:
        filters += refuse(LEAVING_THE_GROUP, errno.EPERM)
    if not tcp:
        filters += refuse(("socket", "socketpair"), errno.EAFNOSUPPORT)
        filters += refuse(SENDING, errno.EPERM)
        return [*filters, _allow()]
    filters += on(
        "socket",
        *_one_of(0, (AF_INET, AF_INET6), errno.EAFNOSUPPORT),
        *_one_of(1, (SOCK_STREAM,), errno.EPROTONOSUPPORT, SOCK_TYPE_MASK),
        *_one_of(2, (0, IPPROTO_TCP), errno.EPROTONOSUPPORT),
        _allow(),
    )
    # A pair of datagram sockets could send to any path, a pair of streams only to each other.
    filters += on(
        "socketpair",
        *_one_of(0, (AF_UNIX,), errno.EAFNOSUPPORT),
        *_one_of(1, (SOCK_STREAM,), errno.EPROTONOSUPPORT, SOCK_TYPE_MASK),
        _allow(),
    )
    for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        filters += on(name, *_no_bits(flags, MSG_FASTOPEN, errno.EPERM), _allow())
    filters += on(
        "setsockopt",
        *_argument(1),
        (EQUAL, 1, 0, IPPROTO_TCP),
        _allow(),
        *_argument(2),
        (EQUAL, 2, 0, TCP_FASTOPEN),
        (EQUAL, 1, 0, TCP_FASTOPEN_CONNECT),
        (EQUAL, 0, 1, TCP_ULP),  # makes an SMC socket of it
        _fail(errno.EPERM),
        _allow(),
    )
    return [*filters, _allow()]


def _allow() -> Instruction:
    return (RETURN, 0, 0, ALLOW)


def _fail(error: int) -> Instruction:
    return (RETURN, 0, 0, FAIL | error)


def _argument(index: int) -> list[Instruction]:
    """Load the lower half of an argument: the kernel takes these as `int`, and both architectures are little-endian."""
    return [(LOAD, 0, 0, 16 + 8 * index)]


def _one_of(index: int, values: tuple[int, ...], error: int, mask: int = 0xFFFF_FFFF) -> list[Instruction]:
    """Go on if an argument is one of the values, else fail."""
    last = len(values)
    tests = [(EQUAL, last - i, 0, value) for i, value in enumerate(values)]
    return [*_argument(index), (MASK, 0, 0, mask), *tests, _fail(error)]


def _no_bits(index: int, bits: int, error: int) -> list[Instruction]:
    """Go on if an argument has none of the bits, else fail."""
    return _one_of(index, (0,), error, bits)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def machine() -> str | None:
    """Give this machine's architecture; None where there is no filter for it."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return None
    name = os.uname().machine
    return name if name in ARCHITECTURES else None


def enter(*, tcp: bool, own_groups: bool) -> None:
    """Apply the filter to this process and all that it starts; it must have given up new privileges.

    Raises:
        OSError: the kernel has filters but refused this one; the program must not start then.
    """
    name = machine()
    if name is None:
        return
    packed = b"".join(struct.pack("HBBI", *i) for i in program(name, tcp=tcp, own_groups=own_groups))
    libc = ctypes.CDLL(None, use_errno=True)
    argument = _Program(len(packed) // 8, packed)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(argument), 0, 0) == 0:
        return
    error = ctypes.get_errno()
    if error not in (errno.EINVAL, errno.ENOSYS):  # those are kernels without filters
        raise OSError(error, "seccomp")
