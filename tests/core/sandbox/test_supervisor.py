"""A child's memory, and the end of all its descendants, on every platform."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.sandbox.policy import SandboxPolicy, minimal_environment, sandboxed_command
from core.sandbox.processes import kill_tree
from core.sandbox.supervisor import Bounds, Overrun, resident_bytes, run_child, used_bytes
from tests.support.processes import is_alive, living_children, wait_until

MIB = 1024 * 1024

FAMILY = f"""
import subprocess, sys, time
child = "import time; memory = bytearray(b'x' * {64 * MIB}); print(1, flush=True); time.sleep(600)"
# A session of its own: no signal to the parent's group reaches it.
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True)
process.stdout.readline()
memory = bytearray(b"x" * {64 * MIB})
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process and its child, each with 64 MiB of memory."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"ready"
        children = living_children(process.pid)
        yield process
        process.kill()
        for child in filter(is_alive, children):
            child.kill()


def test_memory_is_that_of_the_whole_family(family: subprocess.Popen[bytes]) -> None:
    assert 128 * MIB <= resident_bytes(family.pid) < 256 * MIB


def test_what_has_ended_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    assert resident_bytes(process.pid) == 0


async def test_a_child_that_writes_lines_without_end_is_ended_and_lets_others_run(tmp_path: Path) -> None:
    turns = 0
    turns_at_lines: list[int] = []

    def count(line: bytes) -> None:
        turns_at_lines.append(turns)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    policy = SandboxPolicy(read=[Path("/")], write=[tmp_path], guarded=True)
    child = "while True: print('{}')"
    child_exit = await run_child(
        sandboxed_command([sys.executable, "-c", child], policy),
        directory=tmp_path,
        environment=minimal_environment(tmp_path),
        stdin=b"",
        bounds=Bounds(1024 * MIB, MIB, tmp_path),
        on_line=count,
    )
    others.cancel()
    assert child_exit.overrun is Overrun.OUTPUT
    assert len(turns_at_lines) > 1000
    assert turns_at_lines[-1] - turns_at_lines[0] >= len(turns_at_lines) // 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir(mode=0o300)
    with pytest.raises(PermissionError):
        used_bytes(tmp_path)
    (tmp_path / "hidden").chmod(0o700)
    assert used_bytes(tmp_path) == 0


def test_a_tree_is_killed_whole(family: subprocess.Popen[bytes]) -> None:
    children = living_children(family.pid)
    assert children
    kill_tree(family.pid)
    family.wait(60)
    wait_until(lambda: not any(map(is_alive, children)), 10, "the end of the tree")
    kill_tree(family.pid)  # one that is gone is fine
