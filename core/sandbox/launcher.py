"""Enter the sandbox, then become the program: `python -I -S launcher.py NAME=VALUE... -- program arguments...`.

Runs as a script of its own, with the standard library only, between `fork` and the sandboxed program: a `preexec_fn`
would run Python after a fork of a process that has threads. What the platform lacks is skipped;
`core.sandbox.policy.protections` reports it.
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
CAPABILITY_VERSION_3 = 0x20080522
FILE_CAPABILITIES = 1 << 1 | 1 << 2
"""`CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`: root may classify everybody's files."""

EXIT_NOT_STARTED = 127
"""Exit status where the sandbox could not be entered or the program not started."""


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


def drop_capabilities() -> None:
    """Give up root's rights but to files, which Landlock bounds: where the bot runs as root, its children are a user.

    https://man7.org/linux/man-pages/man7/capabilities.7.html: after `PR_SET_NO_NEW_PRIVS` no program gives them back.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice 32 each
    if libc.capget(header, sets) == 0 and (sets[1] or sets[4]):
        sets[0], sets[1], sets[2] = sets[0] & FILE_CAPABILITIES, sets[1] & FILE_CAPABILITIES, 0
        sets[3] = sets[4] = sets[5] = 0
        libc.capset(header, sets)


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
    policy: dict[str, list[str]] = {
        name: [] for name in ("parent", "read", "write", "port", "limit", "groups", "guard")
    }
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
            # Our own folder is not on the path of a script that runs isolated.
            sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
            from core.sandbox import landlock, seccomp

            parent = int(policy["parent"][0])
            for most in policy["guard"]:
                from core.sandbox import guard  # an ffmpeg has none, and starts sooner without

                guard.guard(parent, int(most))
                parent = os.getppid()
            die_with_parent(parent)
            drop_capabilities()
            prefer_for_oom_kill()
            landlock.restrict(policy["read"], policy["write"], [int(port) for port in policy["port"]])
        limit({name: int(value) for name, value in limits})
        if sys.platform.startswith("linux"):
            seccomp.enter(tcp=bool(policy["port"]), own_groups=bool(policy["groups"]))
        os.execv(program[0], program)  # noqa: S606 - no shell is what we want
    except OSError:
        os._exit(EXIT_NOT_STARTED)


if __name__ == "__main__":
    main()
