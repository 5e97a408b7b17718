"""Mutated real files through everything: no crash, no hang, nothing left, and good files still answered right."""

import asyncio
from pathlib import Path

import pytest

from core.errors import ErrorCode
from tests.core.fetch.media import ffmpeg
from tests.hostile.bombs import mutate
from tests.hostile.conftest import WatchedIdentifier
from tests.support.audio import make_song, write_wav
from tests.support.seeds import corpus_random, corpus_seed

FORMATS = {
    "song.mp3": ("-b:a", "64k"),
    "song.m4a": ("-b:a", "64k"),
    "song.ogg": ("-c:a", "libvorbis"),
    "song.flac": (),
    "song.webm": ("-c:a", "libopus", "-b:a", "48k"),
}

ANSWERS = {None, *ErrorCode} - {ErrorCode.INTERNAL, ErrorCode.TIMEOUT, ErrorCode.BUSY, ErrorCode.CANCELLED}


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Seven seconds of a song in five formats."""
    directory = tmp_path_factory.mktemp("originals")
    write_wav(directory / "song.wav", make_song(7))
    for name, options in FORMATS.items():
        ffmpeg("-i", "song.wav", *options, name, cwd=directory)
    return {name: (directory / name).read_bytes() for name in FORMATS}


async def check(watched: WatchedIdentifier, originals: dict[str, bytes], directory: Path, count: int) -> None:
    """Classify mutated files, two at a time, a good one among each ten."""
    good = {name: directory / f"good-{name}" for name in originals}
    for name, path in good.items():
        path.write_bytes(originals[name])
    right = {name: await watched.identify(path) for name, path in good.items()}
    names = list(originals)

    async def classify(number: int) -> None:
        name = names[number % len(names)]
        if number % 10 == 9:
            again = (await watched.identify(good[name])).verdict
            before = right[name].verdict
            assert before is not None
            assert again is not None
            assert again.prediction == before.prediction
            return
        path = directory / f"{number}-{name}"
        path.write_bytes(mutate(originals[name], corpus_random(number)))
        outcome = await watched.identify(path)
        assert outcome.code in ANSWERS, f"mutation {number} of {name}, seed {corpus_seed()}"
        assert (outcome.code is None) == (outcome.verdict is not None)
        path.unlink()

    for number in range(0, count, 2):
        await asyncio.gather(classify(number), classify(number + 1))


async def test_two_hundred_mutated_files_are_answered(
    watched: WatchedIdentifier, originals: dict[str, bytes], tmp_path: Path
) -> None:
    await check(watched, originals, tmp_path, 220)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_two_thousand_mutated_files_are_answered(
    watched: WatchedIdentifier, originals: dict[str, bytes], tmp_path: Path
) -> None:
    await check(watched, originals, tmp_path, 2_220)
