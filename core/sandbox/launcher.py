"""Enter the sandbox, then become the program: `python -I -S launcher.py NAME=VALUE... -- program arguments...`.

Runs as a script of its own, with the standard library only, between `fork` and the sandboxed program: a `preexec_fn`
would run Python after a fork of a process that has threads. What the platform lacks is skipped;
`core.sandbox.policy.protections` reports it. Linux's Landlock: https://docs.kernel.org/userspace-api/landlock.html.
"""

# Each import here costs time with every song: `json` alone would double the start.
import ctypes
import os
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9

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

EXIT_NOT_STARTED = 127
"""Exit status where the sandbox could not be entered or the program not started."""


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


def limit(rlimits: dict[str, int]) -> None:
    """Set resource limits (`{"AS": bytes, ...}`); one that the platform lacks or refuses is skipped."""
    for name, value in rlimits.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is None:
            continue
        _, hard = resource.getrlimit(number)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (bound, bound))
        except (OSError, ValueError):
            continue


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; exit now if that has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def prefer_for_oom_kill() -> None:
    """Have the kernel kill this process, not the bot, when the machine runs out of memory."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return


def parse(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Split the arguments into the policy, a list of values for each name, and the program after `--`."""
    end = words.index("--")
    policy: dict[str, list[str]] = {"parent": [], "read": [], "write": [], "port": [], "limit": []}
    for word in words[:end]:
        name, _, value = word.partition("=")
        policy[name].append(value)
    return policy, words[end + 1 :]


def main() -> None:
    """Read the policy from the arguments, apply it and run the program."""
    policy, program = parse(sys.argv[1:])
    limits = (word.split(":") for word in policy["limit"])
    try:
        if sys.platform.startswith("linux"):
            die_with_parent(int(policy["parent"][0]))
            prefer_for_oom_kill()
            restrict(policy["read"], policy["write"], [int(port) for port in policy["port"]])
        limit({name: int(value) for name, value in limits})
        os.execv(program[0], program)  # noqa: S606 - no shell is what we want
    except OSError:
        os._exit(EXIT_NOT_STARTED)


if __name__ == "__main__":
    main()
