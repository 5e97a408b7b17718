"""Fixtures that the tests of all parts share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.constants import SAMPLE_RATE
from tests.support.audio import FFMPEGS, make_noise, make_song, make_speech, using_ffmpeg, write_wav
from tests.support.data import DATA, gtzan_tracks, rain_recordings, speech_recordings, tenth
from tests.support.postgres import Cluster, running_cluster
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


@pytest.fixture(scope="session")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight pieces of thirty seconds, a folder a genre: a seeded tenth of GTZAN, made songs where that is absent."""
    if gtzan_tracks():
        return tenth(gtzan_tracks())
    made = []
    for number in range(8):
        folder = tmp_path_factory.mktemp(f"genre{number}")
        # Played at another rate than it was made for, a song is in another key: a quarter of an octave or more apart.
        factor = 2 ** (-(number * 7 % 8) / 4)
        samples = make_song(31 / factor, seed=number, rate=round(SAMPLE_RATE * factor))[: 30 * SAMPLE_RATE]
        made.append(write_wav(folder / f"made.{number:05d}.wav", samples))
    return made


@pytest.fixture(params=range(8))
def track(request: pytest.FixtureRequest, tracks: list[Path]) -> Path:
    """Run the test with each of `tracks`."""
    return tracks[request.param]


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Recordings of speech, a minute or more; noise in syllables and pauses where there are none."""
    folder = tmp_path_factory.mktemp("speech")
    return speech_recordings() or tuple(
        write_wav(folder / f"{seed}.wav", make_speech(20, seed=seed)) for seed in range(4)
    )


@pytest.fixture(scope="session")
def rain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Recordings of rain and waves, a minute or more; noise where there are none."""
    folder = tmp_path_factory.mktemp("rain")
    return rain_recordings() or tuple(
        write_wav(folder / f"{seed}.wav", 0.3 * make_noise(20, 100, 10_000, seed=seed)) for seed in range(4)
    )


@pytest.fixture(scope="session")
def real_gtzan() -> Path:
    """GTZAN itself, for what no other sound can show; skips the test where it is absent."""
    if not gtzan_tracks():
        pytest.skip(f"needs GTZAN, as audio and as spectrograms, under {DATA / 'gtzan'}")
    return DATA / "gtzan"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A server for all tests of this process; each makes a database of its own, and none stops it."""
    with running_cluster() as cluster:
        yield cluster


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
