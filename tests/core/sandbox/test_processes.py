"""Children are waited for with their pipes, also where more is in a pipe than anybody reads."""

import asyncio
import gc
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from core.sandbox.processes import wait_for_end

FILLS_ITS_PIPE = "import sys; sys.stdout.buffer.write(bytes(1 << 22))"


async def child_with_full_pipe() -> Process:
    """Start a child and kill it when asyncio has stopped reading what it writes, so that its pipe's end is not seen."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FILLS_ITS_PIPE, stdin=PIPE, stdout=PIPE)
    await asyncio.sleep(0.5)
    process.kill()
    return process


async def test_a_child_whose_output_nobody_reads_is_seen_to_end() -> None:
    process = await child_with_full_pipe()
    async with asyncio.timeout(20):
        await wait_for_end(process)
    assert process.returncode is not None


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_no_pipe_of_a_child_outlives_the_event_loop() -> None:
    async def run() -> Process:
        process = await child_with_full_pipe()
        while process.returncode is None:  # noqa: ASYNC110 - asyncio tells nobody of it
            await asyncio.sleep(0.01)
        await wait_for_end(process)
        return process

    loop = asyncio.new_event_loop()
    process = loop.run_until_complete(run())
    loop.close()
    del process
    gc.collect()
