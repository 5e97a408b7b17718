"""The guard: whatever a child starts ends with it, and it cannot start too much."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from core.sandbox import guard
from core.sandbox.policy import SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.processes import end_guarded
from tests.support.data import ROOT
from tests.support.processes import is_alive, living_children, wait_until

pytestmark = [
    pytest.mark.usefixtures("leaves_nothing"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux gives orphans to a guard"),
]

STAYS = SandboxPolicy(read=(Path("/"),), guarded=True)
"""Like yt-dlp: it cannot leave its process group."""

LEAVES = SandboxPolicy(read=(Path("/"),), guarded=True, own_groups=True)
"""Like a worker: it can. A kernel without the filter lets all of them."""

DAEMON = """
import os, time, sys
out = os.fdopen(os.dup(1), "w")
for leave in (os.setsid, os.setpgrp):
    if os.fork() == 0:
        try:
            leave()
        except OSError:
            pass
        if os.fork() == 0:
            os.close(0), os.close(1), os.close(2)
            out.write("%d\\n" % os.getpid())
            out.close()
            time.sleep(600)
        os._exit(0)
    os.wait()
out.close()
"""
"""Starts two processes that leave it, writes their ids, and stays or goes, as what follows says."""


def start(script: str, policy: SandboxPolicy) -> "subprocess.Popen[bytes]":
    command = sandboxed_command([sys.executable, "-c", script], policy)
    environment = minimal_environment(Path("/dev"))
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment, start_new_session=True
    )


def daemons(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    assert process.stdout is not None
    return [psutil.Process(int(process.stdout.readline())) for _ in range(2)]


@pytest.mark.parametrize("policy", [STAYS, LEAVES], ids=["yt-dlp", "worker"])
class TestTheEnd:
    def test_of_the_child_is_that_of_all(self, policy: SandboxPolicy) -> None:
        with start(DAEMON + "sys.stdin.read(); os._exit(7)", policy) as process:
            left = daemons(process)
            assert all(map(is_alive, left))
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 7
            assert not any(map(is_alive, left))

    def test_can_be_asked_for(self, policy: SandboxPolicy) -> None:
        async def end() -> int:
            process = await asyncio.create_subprocess_exec(
                *sandboxed_command([sys.executable, "-c", DAEMON + "time.sleep(600)"], policy),
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stdout is not None
            left = [psutil.Process(int(await process.stdout.readline())) for _ in range(2)]
            os.kill(process.pid, signal.SIGSTOP)
            end_guarded(process)
            status = await process.wait()
            end_guarded(process)  # one that has ended is fine
            assert not any(map(is_alive, left))
            return status

        assert asyncio.run(end()) == -signal.SIGKILL

    def test_of_the_parent_is_that_of_all_however_it_ends(self, policy: SandboxPolicy) -> None:
        argv = [sys.executable, "-c", DAEMON + "time.sleep(600)"]
        script = (
            f"import subprocess, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path\nfrom core.sandbox.policy import SandboxPolicy, sandboxed_command\n"
            f"policy = SandboxPolicy(read=(Path('/'),), guarded=True, own_groups={policy.own_groups})\n"
            f"subprocess.run(sandboxed_command({argv!r}, policy), start_new_session=True)"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            left = daemons(parent)
            below = living_children(parent.pid)
            assert len(below) == 4  # the guard, the child, and the two daemons that have become the guard's
            assert set(left) < set(below)
            parent.kill()
        wait_until(lambda: not any(map(is_alive, below)), 10, "the end of all")


@pytest.mark.parametrize("status", [0, 3, -signal.SIGTERM, -signal.SIGSEGV, -signal.SIGKILL])
def test_the_childs_status_is_handed_on(status: int) -> None:
    script = f"import os\nos._exit({status})" if status >= 0 else f"import os\nos.kill(os.getpid(), {-status})"
    assert start(script, STAYS).wait(20) == status


def test_output_ends_when_the_child_does() -> None:
    with start("print('x')", STAYS) as process:
        assert process.communicate(timeout=20)[0] == b"x\n"


BOMBS = {
    "processes": "import os, time\nfor _ in range(300):\n    os.fork() or time.sleep(600)\ntime.sleep(600)",
    "threads": "import threading, time\nfor _ in range(300): threading.Thread(target=time.sleep, args=(600,)).start()",
    "a bomb": "import os, time\nfor _ in range(11):\n    os.fork()\ntime.sleep(600)",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_too_many_are_ended(bomb: str) -> None:
    with start(BOMBS[bomb], SandboxPolicy(read=(Path("/"),), guarded=True, max_tasks=100)) as process:
        assert process.wait(60) == -signal.SIGKILL


def test_as_many_as_allowed_may_stay() -> None:
    script = (
        "import os, threading, time\n"
        "for _ in range(20): threading.Thread(target=time.sleep, args=(1,)).start()\n"
        "for _ in range(20):\n    if os.fork() == 0:\n        time.sleep(1)\n        os._exit(0)\n"
    )
    assert start(script, SandboxPolicy(read=(Path("/"),), guarded=True, max_tasks=60)).wait(60) == 0


def test_a_kernel_that_lists_no_children_is_looked_through() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        children = sorted(process.pid for process in psutil.Process().children())
        assert sorted(guard._searched_children(os.getpid())) == sorted(guard._children(os.getpid())) == children
        assert guard._searched_children(child.pid) == guard._children(child.pid) == []
        child.kill()
