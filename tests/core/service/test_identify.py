import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.constants import FRONT_END_VERSION, GENRES
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, Step
from core.service.fetcher import open_fetcher
from core.service.identify import CachedResult, CacheKey, LocalIdentifier, Request
from core.service.sources import AttachmentSource, LinkSource, PathSource, SpectrogramSource
from core.settings import Settings
from core.workers.pool import WorkerPool
from tests.core.conftest import OpenPool
from tests.core.fetch.servers import running_server
from tests.support.processes import eventually, ffmpegs, held_ffmpeg

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class MemoryCache:
    """A cache in memory: keeps everything."""

    def __init__(self) -> None:
        self.kept: dict[CacheKey, CachedResult] = {}

    async def get(self, key: CacheKey) -> CachedResult | None:
        return self.kept.get(key)

    async def put(self, key: CacheKey, result: CachedResult) -> None:
        self.kept[key] = result


@pytest.fixture
async def pool(open_pool: OpenPool) -> AsyncIterator[WorkerPool]:
    async with open_pool(model="plain") as pool:
        yield pool


async def code_of(identifier: LocalIdentifier, request: Request) -> ErrorCode:
    with pytest.raises(GenreGenieError) as raised:
        await identifier.identify(request)
    return raised.value.code


async def test_a_path_becomes_a_verdict(pool: WorkerPool, song: Path) -> None:
    steps: list[Step] = []
    result = await LocalIdentifier(Settings(), pool=pool).identify(
        Request(PathSource(song)), on_progress=lambda step, share: steps.append(step)
    )
    assert result.prediction.genre in GENRES
    assert result.verdict.song.source == str(song)
    assert result.verdict.song.title is None
    assert not result.cached
    assert len(result.sha256) == 64
    assert result.verdict.elapsed.total > 0
    assert result.verdict.elapsed.fetch == 0
    assert list(dict.fromkeys(steps)) == [Step.QUEUED, Step.DECODING, Step.LISTENING, Step.DONE]


async def test_what_is_known_is_answered_without_work_under_the_askers_own_name(
    pool: WorkerPool, song: Path, tmp_path: Path
) -> None:
    cache = MemoryCache()
    identifier = LocalIdentifier(Settings(), pool=pool, cache=cache)
    first = await identifier.identify(Request(PathSource(song, "hers")))
    copy = tmp_path / "copy.bin"
    shutil.copy(song, copy)
    await pool.close()  # from here on nobody listens
    second = await identifier.identify(Request(PathSource(copy, "his")))
    assert (first.cached, second.cached) == (False, True)
    assert (first.verdict.song.source, second.verdict.song.source) == ("hers", "his")
    assert second.prediction.votes == first.prediction.votes
    assert await code_of(identifier, Request(PathSource(song), ClassifyOptions(whole=True))) is ErrorCode.BUSY


async def test_a_key_is_made_of_bytes_model_front_end_and_part(pool: WorkerPool, long_song: Path) -> None:
    cache = MemoryCache()
    identifier = LocalIdentifier(Settings(model="plain"), pool=pool, cache=cache)
    source = PathSource(long_song)
    requests = [
        Request(source),
        Request(source, ClassifyOptions(whole=True)),
        Request(source, ClassifyOptions(start=6.0)),
        Request(source, ClassifyOptions(start=7.0)),
        Request(source, ClassifyOptions(model="augmented")),
        Request(source, ClassifyOptions(locale="es")),  # the same answer as the first
    ]
    result = [await identifier.identify(request) for request in requests]
    assert [one.cached for one in result] == [False] * 5 + [True]
    assert {key.part for key in cache.kept} == {"main", "whole", "start:6.0", "start:7.0"}
    assert {key.front_end for key in cache.kept} == {FRONT_END_VERSION}
    assert {key.sha256 for key in cache.kept} == {result[0].sha256}
    assert len({key.model_sha256 for key in cache.kept}) == 2


async def test_an_answer_without_a_picture_is_none_to_who_wants_one(pool: WorkerPool, song: Path) -> None:
    identifier = LocalIdentifier(Settings(), pool=pool, cache=MemoryCache())
    await identifier.identify(Request(PathSource(song)))
    result = await identifier.identify(Request(PathSource(song), ClassifyOptions(picture=True)))
    assert not result.cached
    assert result.picture is not None
    assert (await identifier.identify(Request(PathSource(song)))).cached, "what is kept is kept without it"


async def test_a_picture_of_an_answer_shows_the_votes_that_were_counted(pool: WorkerPool, long_song: Path) -> None:
    """It is drawn later, from the spectrogram that was kept, in the language of whoever wants to see it."""
    identifier = LocalIdentifier(Settings(), pool=pool)
    first = await identifier.identify(Request(PathSource(long_song), ClassifyOptions(keep_spectrogram=True)))
    assert first.spectrogram is not None
    kept = SpectrogramSource(first.spectrogram, "song", first.sha256)
    drawn = {locale: await identifier.illustrate(first.prediction, kept, locale) for locale in ("en", "es")}
    assert drawn["en"].picture != drawn["es"].picture
    why = drawn["en"].prediction.why
    assert why is not None
    assert replace(drawn["en"].prediction, why=None) == first.prediction
    voters = {segment.start for segment in first.prediction.segments if segment.genre == first.prediction.genre}
    assert set(why.segments) == voters
    another = replace(first.prediction, model=replace(first.prediction.model, sha256="f" * 64))
    of_another = await identifier.illustrate(another, kept, "en")
    assert (of_another.prediction, bool(of_another.picture)) == (another, True), "this model cannot say why"


async def test_a_stored_spectrogram_is_classified_under_its_own_name(pool: WorkerPool, long_song: Path) -> None:
    cache = MemoryCache()
    identifier = LocalIdentifier(Settings(), pool=pool, cache=cache)
    first = await identifier.identify(Request(PathSource(long_song, "hers"), ClassifyOptions(keep_spectrogram=True)))
    assert first.spectrogram is not None
    source = SpectrogramSource(first.spectrogram, "his", first.sha256)
    known = await identifier.identify(Request(source))
    whole = await identifier.identify(Request(source, ClassifyOptions(whole=True)))
    assert (known.cached, whole.cached) == (True, False)
    assert known.verdict.song.source == whole.verdict.song.source == "his"
    assert len(whole.prediction.segments) == 30


async def test_errors_come_as_they_are(pool: WorkerPool, tmp_path: Path) -> None:
    identifier = LocalIdentifier(Settings(max_file_mb=1), pool=pool, cache=MemoryCache())
    text, large = tmp_path / "text.mp3", tmp_path / "large.mp3"
    text.write_text("not a song")
    large.write_bytes(bytes(1024**2 + 1))
    assert await code_of(identifier, Request(PathSource(text))) is ErrorCode.NOT_AUDIO
    assert await code_of(identifier, Request(PathSource(large))) is ErrorCode.TOO_LARGE
    assert await code_of(identifier, Request(PathSource(tmp_path / "none"))) is ErrorCode.NOT_FOUND
    assert await code_of(identifier, Request(PathSource(tmp_path))) is ErrorCode.NOT_AUDIO


async def test_an_unknown_model_is_named(pool: WorkerPool, song: Path) -> None:
    for cache in (None, MemoryCache()):
        with pytest.raises(ConfigurationError, match="nonesuch"):
            await LocalIdentifier(Settings(), pool=pool, cache=cache).identify(
                Request(PathSource(song), ClassifyOptions(model="nonesuch"))
            )


async def test_without_a_way_out_nothing_is_fetched(pool: WorkerPool) -> None:
    identifier = LocalIdentifier(Settings(), pool=pool)
    for source in (LinkSource("https://example.com/song.mp3"), AttachmentSource("https://cdn.discordapp.com/s", "s")):
        assert await code_of(identifier, Request(source)) is ErrorCode.UNSUPPORTED_LINK


async def test_cancelling_ends_the_work(open_pool: OpenPool, hours: Path) -> None:
    async with open_pool(max_duration_s=21_600) as pool:
        job = asyncio.ensure_future(LocalIdentifier(Settings(), pool=pool).identify(Request(PathSource(hours))))
        await held_ffmpeg()
        job.cancel()
        await asyncio.wait([job])
        await eventually(lambda: not ffmpegs(), what="the end of ffmpeg")


@pytest.fixture
def song_bytes(song: Path) -> bytes:
    return song.read_bytes()


async def test_an_attachment_is_fetched_classified_and_removed(
    pool: WorkerPool, song_bytes: bytes, tmp_path: Path
) -> None:
    async with running_server() as server, contextlib.AsyncExitStack() as stack:
        settings = Settings.model_validate({"allowed_hosts": server.host, "data_dir": tmp_path / "data"})
        fetcher = await open_fetcher(stack, settings)
        identifier = LocalIdentifier(settings, pool=pool, fetcher=fetcher)
        url = server.serve("/attachments/1/2/song.wav", song_bytes, "audio/wav")
        steps: list[Step] = []
        request = Request(AttachmentSource(url, "my song.wav", len(song_bytes)))
        result = await identifier.identify(request, on_progress=lambda step, share: steps.append(step))
        assert result.verdict.song.source == "my song.wav"
        assert result.prediction.genre in GENRES
        assert result.verdict.elapsed.fetch > 0
        assert list(dict.fromkeys(steps))[0] is Step.FETCHING
        assert fetcher.files.reserved == 0
        assert await code_of(identifier, Request(AttachmentSource(url + "x", "gone"))) is ErrorCode.UNAVAILABLE
        assert [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name != "lock"] == []
