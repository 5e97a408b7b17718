"""Servers that stand for the internet and for the network inside, and the proxy before them: fixtures to import."""

import shutil
from collections.abc import AsyncIterator

import pytest

from core.proxy.proxy import FetchProxy
from tests.core.fetch.certificates import Authority, make_authority
from tests.core.fetch.servers import Server, running_server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The one host that the settings of these tests allow."""
    async with running_server() as running:
        yield running


@pytest.fixture
async def forbidden() -> AsyncIterator[Server]:
    """A server that must never be reached: each test that uses it ends by looking at its connections."""
    async with running_server() as running:
        running.routes["*"] = lambda exchange: exchange.respond(b"the secrets of this network")
        yield running
        assert running.connections == 0


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[FetchProxy]:
    async with FetchProxy(allowed_hosts=[server.host], resolver=no_names) as running:
        yield running


async def no_names(host: str) -> list[str]:
    """A resolver that knows no name: these tests query no server outside."""
    raise OSError(f"{host} has no address")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return make_authority(tmp_path_factory.mktemp("authority"))
