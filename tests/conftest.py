"""Fixtures that the tests of all parts share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.audio import FFMPEGS, make_song, using_ffmpeg, write_wav
from tests.support.processes import disregard_others, is_alive, living_children, wait_until


@pytest.fixture(params=FFMPEGS)
def each_ffmpeg(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test with the system's ffmpeg and with the bundled one; gives its path."""
    with using_ffmpeg(request.param) as path:
        yield path


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made song of twelve seconds, WAV."""
    return write_wav(tmp_path_factory.mktemp("song") / "song.wav", make_song(12))


@pytest.fixture(scope="session")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made song of ninety seconds, WAV: longer than a section."""
    return write_wav(tmp_path_factory.mktemp("long_song") / "long.wav", make_song(90, seed=1))


@pytest.fixture
def leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fail the test if a child process or a temporary file is left after it; gives the place of the latter.

    Ask for it before what is to be gone by the end of the test.
    """
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    disregard_others()
    yield place
    new = living_children()
    wait_until(lambda: not any(map(is_alive, new)), 10, f"the end of {new}")
    assert [path.name for path in place.rglob("*")] == []
