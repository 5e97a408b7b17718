"""A child's memory, and the end of all its descendants, on every platform."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.sandbox.processes import kill_tree
from core.sandbox.supervisor import resident_bytes
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


def test_a_tree_is_killed_whole(family: subprocess.Popen[bytes]) -> None:
    children = living_children(family.pid)
    assert children
    kill_tree(family.pid)
    family.wait(60)
    wait_until(lambda: not any(map(is_alive, children)), 10, "the end of the tree")
    kill_tree(family.pid)  # one that is gone is fine
