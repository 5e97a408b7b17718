"""What the tests of fetching share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.settings import Settings
from tests.core.fetch.media import tones
from tests.core.fetch.servers import Server
from tests.support.network import authority, forbidden, proxy, server  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Eight seconds of tones as an MP3."""
    return tones(tmp_path_factory.mktemp("song"), "song.mp3", 8.0, "-b:a", "64k").read_bytes()


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
