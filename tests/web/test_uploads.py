"""Uploads on a real disk."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import web.uploads
from core.errors import ErrorCode, GenreGenieError
from core.fetch.tempfiles import TemporaryFiles
from tests.support.processes import eventually
from web.settings import WebSettings
from web.uploads import Uploads

QUOTA = 4 * 2**20


@pytest.fixture
def files(tmp_path: Path) -> Iterator[TemporaryFiles]:
    with TemporaryFiles(tmp_path / "tmp", quota=QUOTA, min_free=0) as opened:
        yield opened


@pytest.fixture
def uploads(files: TemporaryFiles) -> Iterator[Uploads]:
    opened = Uploads(files, WebSettings(max_file_mb=2, web_max_jobs_per_visitor=3))
    yield opened
    opened.close()
    assert files.reserved == 0


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk


async def test_an_upload_can_be_claimed_once_and_is_deleted_after_it(uploads: Uploads, files: TemporaryFiles) -> None:
    key = await uploads.receive("ana", "my song.mp3", 6, chunks(b"abc", b"def"))
    with uploads.claim(key, "ana") as upload:
        assert (upload.path.read_bytes(), upload.name) == (b"abcdef", "my song.mp3")
    assert not upload.path.parent.exists()
    assert files.reserved == 0
    with pytest.raises(GenreGenieError) as refused, uploads.claim(key, "ana"):
        pass
    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_another_visitor_cannot_claim_it(uploads: Uploads) -> None:
    key = await uploads.receive("ana", "song", 1, chunks(b"a"))
    with pytest.raises(GenreGenieError) as refused, uploads.claim(key, "ben"):
        pass
    assert refused.value.code is ErrorCode.NOT_FOUND
    with uploads.claim(key, "ana") as upload:
        assert upload.path.exists()


@pytest.mark.parametrize("given", [b"abc", b"abcdefgh", b""])
async def test_an_upload_that_is_not_as_long_as_announced_is_not_kept(
    uploads: Uploads, files: TemporaryFiles, given: bytes
) -> None:
    with pytest.raises(GenreGenieError) as refused:
        await uploads.receive("ana", "song", 6, chunks(given))
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert (len(uploads), files.reserved) == (0, 0)


async def test_an_upload_over_the_limit_is_refused_unread(uploads: Uploads, tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("read")
        yield b""

    with pytest.raises(GenreGenieError) as refused:
        await uploads.receive("ana", "song", 2 * 2**20 + 1, never())
    assert (refused.value.code, refused.value.params) == (ErrorCode.TOO_LARGE, {"limit_mb": 2})


async def test_one_visitor_cannot_fill_the_disk(uploads: Uploads) -> None:
    for _ in range(3):
        await uploads.receive("ana", "song", 1, chunks(b"a"))
    with pytest.raises(GenreGenieError) as refused:
        await uploads.receive("ana", "song", 1, chunks(b"a"))
    assert refused.value.code is ErrorCode.BUSY
    assert await uploads.receive("ben", "song", 1, chunks(b"a"))


async def test_all_visitors_together_cannot_fill_the_disk(uploads: Uploads) -> None:
    large = bytes(2 * 2**20)
    await uploads.receive("ana", "song", len(large), chunks(large))
    await uploads.receive("ben", "song", len(large), chunks(large))
    with pytest.raises(GenreGenieError) as refused:
        await uploads.receive("eva", "song", 1, chunks(b"a"))
    assert refused.value.code is ErrorCode.BUSY


async def test_an_unclaimed_upload_is_deleted(
    uploads: Uploads, files: TemporaryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.uploads, "UNCLAIMED_S", 0.05)
    await uploads.receive("ana", "song", 1, chunks(b"a"))
    await eventually(lambda: len(uploads) == 0 and files.reserved == 0)


async def test_a_cancelled_upload_is_deleted(uploads: Uploads, files: TemporaryFiles) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    task = asyncio.create_task(uploads.receive("ana", "song", 2, stalled()))
    await eventually(lambda: files.reserved == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files.reserved == 0


async def test_a_stalled_upload_times_out(
    uploads: Uploads, files: TemporaryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.uploads, "STALL_TIMEOUT_S", 0.05)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    with pytest.raises(GenreGenieError) as refused:
        await uploads.receive("ana", "song", 2, stalled())
    assert refused.value.code is ErrorCode.TIMEOUT
    assert files.reserved == 0


async def test_an_upload_s_name_is_one_clean_line(uploads: Uploads) -> None:
    key = await uploads.receive("ana", "a\nb\u202e\x00.mp3", 1, chunks(b"a"))
    with uploads.claim(key, "ana") as upload:
        assert upload.name == "a b.mp3"
