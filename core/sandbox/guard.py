"""The guard: a process between us and a sandboxed child that ends all that the child has started.

A process can leave its parent behind (fork twice, `setsid`), and then no signal to a process group reaches it. The
guard is the parent that the kernel gives to such orphans (`PR_SET_CHILD_SUBREAPER`), so it sees and kills them: when
the child has ended, when it is told to (SIGTERM), when we have ended, whatever ended us, or when they are too many.
With the standard library only: the launcher imports it between `fork` and the sandboxed program.
"""

import contextlib
import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

WATCH_SECONDS = 0.25


def guard(parent: int, max_tasks: int) -> None:
    """Return in a child of this process, which is its guard and never returns.

    Args:
        parent: process that the guard ends with.
        max_tasks: processes and threads that the child may have, itself counted; 0 for any number.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # one that is ignored would not wait for us
    signals = (signal.SIGTERM, signal.SIGCHLD)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    child = os.fork()
    if child == 0:
        # Its own session: what kills the child's groups does not kill the guard.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return
    _let_go_of_pipes()
    _exit_like(_watch(child, max_tasks))


def _watch(child: int, max_tasks: int) -> int:
    """Wait for the child's end, kill what it leaves behind and give its wait status."""
    while True:
        received = signal.sigtimedwait((signal.SIGTERM, signal.SIGCHLD), WATCH_SECONDS)
        too_many = max_tasks > 0 and _count_tasks(child, max_tasks) > max_tasks
        if too_many or (received is not None and received.si_signo == signal.SIGTERM):
            return _end_all(child)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return _end_all(child)
        _reap_orphans(child)


def _reap_orphans(child: int) -> None:
    """Wait for orphans that have ended, but leave the child itself to `_end_all`."""
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None or ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)


def _end_all(child: int) -> int:
    """Kill all that is beneath this process, until nothing is; give the child's wait status.

    By process groups: a fork in the middle of it is killed, too. What has a group of its own becomes ours, at the
    latest when its parent has ended.
    """
    status = 0
    while True:
        groups = set()
        for pid in _children(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                group = os.getpgid(pid)
                if group == os.getpgrp():
                    os.kill(pid, signal.SIGKILL)
                elif group not in groups:  # thousands may be in one
                    groups.add(group)
                    os.killpg(group, signal.SIGKILL)
        ended = -1
        while ended != 0:
            try:
                ended, its_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return status
            if ended == child:
                status = its_status
        time.sleep(0.001)


def _children(pid: int) -> list[int]:
    """List the children of a process."""
    if not os.path.exists("/proc/thread-self/children"):  # a kernel without CONFIG_PROC_CHILDREN
        return _searched_children(pid)
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _searched_children(pid: int) -> list[int]:
    """List the children of a process by looking at all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and _parent(name) == pid]


def _parent(name: str) -> int | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def _count_tasks(child: int, most: int) -> int:
    """Count the threads of all that is beneath this process; stops beyond `most`."""
    pids, total = _children(os.getpid()), 0
    while pids and total <= most:
        pid = pids.pop()
        with contextlib.suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/task"))
            pids += _children(pid)
    return total


def _let_go_of_pipes() -> None:
    """Close the child's pipes here: what reads them waits for their end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _exit_like(status: int) -> None:
    """End as the child has: with its exit status, or by the same signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # SIGKILL cannot be set
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
