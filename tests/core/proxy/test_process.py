"""The proxy in a process of its own: started again, never left behind, and as strict as in this one."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from core.proxy.lease import ProxyLease
from core.proxy.process import ProxyProcess
from core.proxy.url_policy import Refusal
from tests.core.fetch.servers import Server
from tests.core.proxy.test_proxy import MIB, get, request, status
from tests.support.data import ROOT
from tests.support.processes import eventually, is_alive, wait_until

SECRET = "the-bot's-token"

PARENT = """
import asyncio
from core.proxy.process import ProxyProcess
async def main():
    async with ProxyProcess() as proxy, proxy.lease(max_bytes=1):
        print(proxy.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
async def running(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProxyProcess]:
    monkeypatch.setenv("DISCORD_TOKEN", SECRET)
    async with ProxyProcess(allowed_hosts=[server.host]) as proxy:
        yield proxy
        pid = proxy.pid
    assert pid is None or not psutil.pid_exists(pid)


@pytest.fixture
async def lease(running: ProxyProcess) -> AsyncIterator[ProxyLease]:
    async with running.lease(max_bytes=MIB) as leased:
        yield leased


async def test_it_serves_a_job_and_counts(running: ProxyProcess, lease: ProxyLease, server: Server) -> None:
    server.serve("/", "hello")
    assert (await request(running, lease, get(server.url()), "Host: x")).endswith(b"hello")
    assert status(await request(running, lease, get("http://10.0.0.1/"), "Host: x")) == 403
    await lease.sync()
    assert lease.refusals == {Refusal.ADDRESS: 1}
    assert running.refusals == {"address": 1}
    assert running.connections == 1
    assert running.bytes_in > 5


async def test_a_job_that_is_over_has_no_access(running: ProxyProcess, server: Server) -> None:
    async with running.lease(max_bytes=MIB) as lease:
        pass
    assert status(await request(running, lease, get(server.url()), "Host: x")) == 407
    assert server.connections == 0


async def test_it_is_started_again_on_the_same_port_and_knows_its_jobs(
    running: ProxyProcess, lease: ProxyLease, server: Server
) -> None:
    server.serve("/", "hello")
    assert status(await request(running, lease, get(server.url()), "Host: x")) == 200
    await lease.sync()
    port, first = running.port, running.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: running.pid not in (None, first))
    assert running.port == port
    assert status(await request(running, lease, get(server.url()), "Host: x")) == 200
    async with running.lease(max_bytes=MIB) as another:
        assert status(await request(running, another, get(server.url()), "Host: x")) == 200
    assert (running.restarts, running.connections) == (1, 3)


async def test_a_process_that_hangs_is_replaced(running: ProxyProcess, lease: ProxyLease, server: Server) -> None:
    server.serve("/", "hello")
    first = running.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.proxy.process.ANSWER_SECONDS", 0.2)
        await lease.sync()
    await eventually(lambda: running.pid not in (None, first))
    assert status(await request(running, lease, get(server.url()), "Host: x")) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_it_knows_nothing_of_the_bots_secrets(running: ProxyProcess, lease: ProxyLease) -> None:
    assert running.pid is not None
    environment = psutil.Process(running.pid).environ()
    assert SECRET not in environment.values()
    assert not any(name.startswith(("DISCORD_", "GENREGENIE_")) for name in environment)


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert is_alive(child)
    finally:
        parent.kill()
        parent.communicate()
    wait_until(lambda: not is_alive(child), what="the proxy's end")
