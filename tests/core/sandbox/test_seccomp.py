"""The filter for system calls: what it gives for both architectures, and what is left to a process behind it."""

import ctypes
import dataclasses
import errno
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.sandbox import seccomp
from core.sandbox.landlock import landlock_abi
from core.sandbox.policy import SandboxPolicy, minimal_environment, sandboxed_command
from core.workers.pool import WORKER_POLICY

PYTHON = (Path(sys.prefix), Path(sys.base_prefix))
DECODER = SandboxPolicy(read=PYTHON)
FETCHER = SandboxPolicy(read=PYTHON, ports=[1])
NOBODY = 65_534

needs_filter = pytest.mark.skipif(seccomp.machine() is None, reason="no filter for this machine")


def open_python() -> str | None:
    """A Python that every user can run, and that can read this project; None where there is none."""

    def is_open(path: Path) -> bool:
        return all(folder.stat().st_mode & 1 for folder in (*path.parents, *path.resolve().parents))

    found = (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin"))
    return next((path for path in found if path and is_open(Path(path)) and is_open(Path(__file__))), None)


USERS = ["this one", "nobody"]


def run(script: str, *arguments: object, policy: SandboxPolicy, user: str = USERS[0]) -> Any:
    """Run Python in the sandbox, entered as this user or as one without privileges, and parse its output as JSON."""
    python, uid = sys.executable, None
    if user == "nobody":
        found = open_python()
        if os.geteuid() != 0 or found is None:
            pytest.skip("needs root, to become somebody else, and a Python that all can run")
        python, uid = found, NOBODY
        policy = dataclasses.replace(policy, read=[path for path in policy.read if path not in PYTHON])
    command = sandboxed_command([python, "-c", textwrap.dedent(script), *map(str, arguments)], policy)
    done = subprocess.run(
        [python, *command[1:]],
        capture_output=True,
        timeout=60,
        env=minimal_environment(Path("/dev")),
        check=False,
        start_new_session=True,
        user=uid,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


# ---- The program, carried out as the kernel would


def verdict(machine: str, number: int, *arguments: int, tcp: bool, own_groups: bool = False, audit: int = 0) -> int:
    """Carry a filter out for a system call and give what it returns."""
    data = struct.pack("<IIQ6Q", number, audit or seccomp.ARCHITECTURES[machine][0], 0, *(*arguments, *(0,) * 6)[:6])
    program = seccomp.program(machine, tcp=tcp, own_groups=own_groups)
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == seccomp.RETURN:
            return k
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == seccomp.MASK:
            accumulator &= k
        else:
            holds = accumulator == k if code == seccomp.EQUAL else accumulator >= k
            assert code in (seccomp.EQUAL, seccomp.AT_LEAST)
            at += if_true if holds else if_false


def refusal(machine: str, name: str, *arguments: int, tcp: bool, own_groups: bool = False) -> int | None:
    """The error number that a filter gives to a call; None where it allows it."""
    number = seccomp.CALLS[name][seccomp.ARCHITECTURES[machine][1]]
    assert number is not None
    result = verdict(machine, number, *arguments, tcp=tcp, own_groups=own_groups)
    return None if result == seccomp.ALLOW else result & 0xFFFF


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
class TestTheProgram:
    @pytest.mark.parametrize("tcp", [False, True])
    def test_only_plain_tcp_has_sockets(self, machine: str, tcp: bool) -> None:
        kinds = itertools.product(range(48), range(11), (0, 6, 262))
        allowed = {kind for kind in kinds if refusal(machine, "socket", *kind, tcp=tcp) is None}
        assert allowed == ({(family, 1, protocol) for family in (2, 10) for protocol in (0, 6)} if tcp else set())
        flags = 0o2004000  # SOCK_CLOEXEC | SOCK_NONBLOCK
        # The kernel takes the lower half of each argument: what stands above it must not hide it.
        high = 0xFFFF_FFFF << 32
        assert refusal(machine, "socket", 2 | high, 1 | flags, 262 | high, tcp=tcp) is not None
        assert (refusal(machine, "socket", 2, 1 | flags, 6, tcp=tcp) is None) == tcp

    def test_a_pair_of_sockets_sends_to_nobody_else(self, machine: str) -> None:
        assert refusal(machine, "socketpair", 1, 1, 0, tcp=True) is None
        assert refusal(machine, "socketpair", 1, 2, 0, tcp=True) == errno.EPROTONOSUPPORT
        assert refusal(machine, "socketpair", 1, 1, 0, tcp=False) == errno.EAFNOSUPPORT

    @pytest.mark.parametrize(("name", "flags"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
    def test_nothing_is_sent_with_the_first_packet(self, machine: str, name: str, flags: int) -> None:
        arguments = [3, 0, 0, 0, 0, 0]
        assert refusal(machine, name, *arguments, tcp=True) is None
        arguments[flags] = seccomp.MSG_FASTOPEN | 0x4000
        assert refusal(machine, name, *arguments, tcp=True) == errno.EPERM

    def test_options_that_make_another_protocol_are_refused(self, machine: str) -> None:
        refused = {o for o in range(64) if refusal(machine, "setsockopt", 3, 6, o, tcp=True)}
        assert refused == {seccomp.TCP_FASTOPEN, seccomp.TCP_FASTOPEN_CONNECT, seccomp.TCP_ULP}
        assert not any(refusal(machine, "setsockopt", 3, 1, option, tcp=True) for option in range(64))

    def test_threads_and_processes_are_made_but_no_namespaces(self, machine: str) -> None:
        thread, fork, spawn = 0x3D0F00, 0x1200011, 0x4111
        assert [refusal(machine, "clone", flags, tcp=False) for flags in (thread, fork, spawn)] == [None] * 3
        for bit in range(64):
            refused = refusal(machine, "clone", 17 | 1 << bit, tcp=False) is not None
            assert refused == bool(1 << bit & seccomp.NAMESPACES), bit
        assert refusal(machine, "clone3", tcp=False) == errno.ENOSYS

    def test_only_a_worker_makes_process_groups(self, machine: str) -> None:
        for name in ("setsid", "setpgid"):
            assert refusal(machine, name, tcp=True, own_groups=False) == errno.EPERM
            assert refusal(machine, name, tcp=True, own_groups=True) is None

    def test_files_attributes_and_other_processes_are_left_alone(self, machine: str) -> None:
        column = seccomp.ARCHITECTURES[machine][1]
        for name in (*seccomp.ATTRIBUTES, *seccomp.MANAGING, *seccomp.SHARED):
            if seccomp.CALLS[name][column] is not None:
                for tcp in (False, True):
                    assert refusal(machine, name, tcp=tcp, own_groups=True) == errno.EPERM
        assert refusal(machine, "prlimit64", 0, 7, tcp=False) is None
        assert refusal(machine, "prlimit64", 1234, 7, tcp=False) == errno.EPERM

    def test_what_is_newer_or_foreign_does_not_exist(self, machine: str) -> None:
        for number in (seccomp.NEWEST + 1, 0x4000_0000 + 41, 0xFFFF_FFFF):
            assert verdict(machine, number, tcp=True) == seccomp.FAIL | errno.ENOSYS
        assert verdict(machine, 102, tcp=True, audit=0x40000003) == seccomp.KILL

    def test_everything_else_is_allowed(self, machine: str) -> None:
        column = seccomp.ARCHITECTURES[machine][1]
        named = [numbers[column] for numbers in seccomp.CALLS.values() if numbers[column] is not None]
        assert len(set(named)) == len(named)
        others = set(range(seccomp.NEWEST + 1)) - set(named)
        assert {verdict(machine, number, tcp=False) for number in others} == {seccomp.ALLOW}


@pytest.mark.parametrize(("header", "column"), [("x86_64-linux-gnu/asm/unistd_64.h", 0), ("asm-generic/unistd.h", 1)])
def test_the_numbers_are_the_kernels(header: str, column: int) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"there is no {path} here")
    defined = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", path.read_text("ascii")))
    named = {name: numbers[column] for name, numbers in seccomp.CALLS.items() if numbers[column] is not None}
    # The kernel's own, newer than some header's, is in the list all the same.
    assert {name: int(defined.get(name, number)) for name, number in named.items()} == named


# ---- The filter at work


SOCKETS = """
    import json, socket
    made = []
    for family in range(1, 46):
        for kind in (1, 2, 3, 4, 5, 10):
            for protocol in (0, 1, 6, 17, 132, 262):
                try:
                    socket.socket(family, kind, protocol).close()
                except OSError:
                    continue
                made.append([family, kind, protocol])
    for kind in (1, 2, 5):
        try:
            [end.close() for end in socket.socketpair(1, kind)]
        except OSError:
            continue
        made.append(["pair", kind])
    print(json.dumps(made))
"""

PLAIN_TCP = [[family, 1, protocol] for family in (2, 10) for protocol in (0, 6)]


@needs_filter
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    ("policy", "left"),
    [(DECODER, []), (WORKER_POLICY, []), (FETCHER, [*PLAIN_TCP, ["pair", 1]])],
    ids=["ffmpeg", "worker", "yt-dlp"],
)
def test_of_all_sockets_only_plain_tcp_is_left(policy: SandboxPolicy, left: list[Any], user: str) -> None:
    made = run(SOCKETS, policy=policy, user=user)
    if not socket.has_ipv6:
        left = [kind for kind in left if kind[0] != socket.AF_INET6]
    assert made == left


WAYS = """
    import ctypes, json, os, socket, sys
    port, path = int(sys.argv[1]), sys.argv[2]
    there = ("127.0.0.1", port)
    libc = ctypes.CDLL(None, use_errno=True)

    def tcp(protocol=0):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)

    def fast_message():
        with tcp() as s:
            s.sendmsg([b"x"], [], 0x20000000, there)

    def fast_connect():
        with tcp() as s:
            s.setsockopt(6, 30, 1)
            s.connect(there)
            s.send(b"x")

    def smc():
        with tcp() as s:
            s.setsockopt(6, 31, b"smc")
            s.connect(there)

    def pair():
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.connect(path)

    def unix():
        socket.socket(socket.AF_UNIX).connect(path)

    def io_uring():
        if libc.syscall(425, 8, ctypes.create_string_buffer(256)) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")

    ways = {
        "tcp": lambda: tcp().connect(there),
        "mptcp": lambda: tcp(262).connect(there),
        "fast open": lambda: tcp().sendto(b"x", 0x20000000, there),
        "fast message": fast_message,
        "fast connect": fast_connect,
        "smc": smc,
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", there),
        "unix": unix,
        "pair": pair,
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0)),
        "listen": lambda: tcp().listen(),
        "io_uring": io_uring,
        "session": os.setsid,
        "group": lambda: os.setpgid(0, 0),
    }
    found = {}
    for name, way in ways.items():
        pid = os.fork()
        if pid == 0:
            try:
                way()
            except OSError as error:
                os._exit(error.errno)
            os._exit(0)
        found[name] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps(found))
"""


@needs_filter
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("policy", [DECODER, FETCHER], ids=["ffmpeg", "yt-dlp"])
def test_no_way_leads_around_it(policy: SandboxPolicy, user: str, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as by_path:
        by_path.bind(str(path))
        by_path.listen()
        path.chmod(0o666)
        server.settimeout(0.2)
        found = run(WAYS, server.getsockname()[1], path, policy=policy, user=user)
        if landlock_abi() < 4 and policy.ports:
            del found["tcp"]  # without Landlock any port can be reached
        assert 0 not in found.values(), found
        assert found["io_uring"] == errno.ENOSYS
        assert found["session"] == found["group"] == errno.EPERM
        with pytest.raises(TimeoutError):
            server.accept()


HARM = """
    import ctypes, json, os, resource, sys
    pid, path = int(sys.argv[1]), sys.argv[2]
    libc = ctypes.CDLL(None, use_errno=True)

    def system_v_memory():
        if libc.shmget(0, 4096, 0o600) < 0:
            raise OSError(ctypes.get_errno(), "shmget")

    def root():
        status = open("/dev/null")  # only to show that files can still be opened
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, sets)
        if not sets[0] & ~6 and not sets[3]:
            raise PermissionError(1, "no capabilities")

    ways = {
        "mode": lambda: os.chmod(path, 0o666),
        "owner": lambda: os.chown(path, os.getuid(), -1),
        "times": lambda: os.utime(path, (0, 0)),
        "attribute": lambda: os.setxattr(path, "user.x", b"y"),
        "limit": lambda: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "processors": lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid)),
        "scheduler": lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)),
        "memory": system_v_memory,
        "root": root,
    }
    found = {}
    for name, way in ways.items():
        try:
            way()
            found[name] = 0
        except OSError as error:
            found[name] = error.errno
    print(json.dumps(found))
"""


@needs_filter
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("policy", [DECODER, FETCHER, WORKER_POLICY], ids=["ffmpeg", "yt-dlp", "worker"])
def test_neither_files_nor_processes_of_its_user_can_be_harmed(
    policy: SandboxPolicy, user: str, tmp_path: Path
) -> None:
    path = tmp_path / "database"
    path.touch(0o600)
    uid = NOBODY if user == "nobody" and os.geteuid() == 0 else None
    with subprocess.Popen([sys.executable if uid is None else "/bin/cat"], stdin=subprocess.PIPE, user=uid) as victim:
        found = run(HARM, victim.pid, path, policy=policy, user=user)
        victim.kill()
    assert set(found.values()) == {errno.EPERM}, found


@needs_filter
def test_the_proxy_is_reached_by_name_and_address() -> None:
    """Without netlink and UDP, libc finds addresses all the same."""
    script = """
        import socket, sys
        for host in ("localhost", "127.0.0.1"):
            with socket.create_connection((host, int(sys.argv[1])), 10) as s:
                s.sendall(b"x")
        print(1)
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        policy = SandboxPolicy(read=(*PYTHON, Path("/etc")), ports=[port])
        threading.Thread(target=lambda: [server.accept() for _ in range(2)], daemon=True).start()
        assert run(script, port, policy=policy) == 1


@needs_filter
def test_threads_children_and_pipes_work_behind_it() -> None:
    script = """
        import subprocess, threading
        done = []
        threads = [threading.Thread(target=done.append, args=(i,)) for i in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert subprocess.run(["/bin/sh", "-c", "cat | cat"], input=b"x", capture_output=True).stdout == b"x"
        print(len(done))
    """
    for policy in (DECODER, FETCHER, WORKER_POLICY):
        assert run(script, policy=policy) == 8


def test_a_kernel_without_filters_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def __init__(self, error: int) -> None:
            self.error = error

        def prctl(self, *_: object) -> int:
            ctypes.set_errno(self.error)
            return -1

    monkeypatch.setattr(seccomp, "machine", lambda: "aarch64")
    enter: Callable[[], None] = lambda: seccomp.enter(tcp=True, own_groups=False)  # noqa: E731 - called twice
    for error in (errno.EINVAL, errno.ENOSYS):
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, error=error, **__: Libc(error))
        enter()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc(errno.EACCES))
    with pytest.raises(OSError, match="seccomp"):
        enter()
