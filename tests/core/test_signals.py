"""Stop signals reach the event loop."""

import asyncio
import os
import signal
import sys

import pytest

from core.signals import on_stop_signal


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself these signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_calls_back_in_the_loop(number: signal.Signals) -> None:
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    try:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(30):
            await stop.wait()
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)
