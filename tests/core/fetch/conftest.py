"""What the tests of fetching share."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from core.fetch.proxy import FetchProxy
from core.settings import Settings
from tests.core.fetch.certificates import Authority, make_authority
from tests.core.fetch.media import tones
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
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Eight seconds of tones as an MP3."""
    return tones(tmp_path_factory.mktemp("song"), "song.mp3", 8.0, "-b:a", "64k").read_bytes()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A job's own directory."""
    path = tmp_path / "job"
    path.mkdir()
    return path


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    return make_settings(server, tmp_path)


@pytest.fixture
def make(server: Server, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with other limits."""
    return lambda **changes: make_settings(server, tmp_path, **changes)


def make_settings(server: Server, data_dir: Path, **changes: object) -> Settings:
    values = {"allowed_hosts": server.host, "data_dir": data_dir, "job_timeout_s": 150.0, **changes}
    return Settings.model_validate(values)
