"""Quotas of what is kept of songs, and of what is shared and corrected."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import web.corrections
import web.kept
import web.shares
from core.audio.spectrogram import QuantizedMel
from core.errors import GenreGenieError
from core.fetch.tempfiles import TemporaryFiles
from core.settings import MIB
from core.verdict import ModelInfo, Segment, SongInfo
from tests.support.processes import eventually
from tests.support.verdicts import make_verdict
from web.app import build_app, listen, open_service
from web.corrections import Corrections
from web.kept import KeptSong, KeptSongs
from web.settings import WebSettings
from web.shares import SHARE_S, Shares
from web.static import Static
from web.view import shared_html

MEL = QuantizedMel(np.zeros((128, 100), np.uint8), np.zeros(100, np.uint8), 0.0, 91_400)
SIZE = MEL.mel.nbytes + MEL.peaks.nbytes
VERDICT = make_verdict(Segment(0.0, 3.0, (0.1,) * 10))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[TemporaryFiles]:
    with TemporaryFiles(tmp_path, quota=16 * MIB, min_free=0) as files:
        yield files


def test_the_oldest_spectrograms_make_room(files: TemporaryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.kept, "MAX_SPECTROGRAM_BYTES", 8 * SIZE)
    kept = KeptSongs(files, WebSettings())
    own = [KeptSong("ana") for _ in range(3)]
    for song in own:
        kept.keep(song, MEL)
    assert [song.spectrogram is None for song in own] == [True, False, False]  # a quarter is ana's
    others = [KeptSong(f"visitor {i}") for i in range(7)]
    for song in others:
        kept.keep(song, MEL)
    assert [song.spectrogram is None for song in own] == [True, True, False]
    assert kept.spectrogram_bytes == 8 * SIZE
    for song in (*own, *others):
        kept.release(song)
    assert kept.spectrogram_bytes == 0


def fetched(tmp_path: Path, size: int = MIB) -> Path:
    path = tmp_path / "fetched"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_the_sounds_of_links_are_bounded_and_end_with_their_answers(files: TemporaryFiles, tmp_path: Path) -> None:
    kept = KeptSongs(files, WebSettings(max_file_mb=3))  # 4 MB for sounds, 1 MB for each visitor
    own = [KeptSong("ana") for _ in range(2)]
    for song in own:
        kept.keep_sound(song, fetched(tmp_path))
    assert [song.sound is None for song in own] == [True, False]
    kept.keep_sound(own[0], fetched(tmp_path, MIB + 1))  # too large for one visitor: nothing goes for it
    assert [song.sound is None for song in own] == [True, False]
    for number in range(4):
        kept.keep_sound(KeptSong(f"visitor {number}"), fetched(tmp_path))
    assert own[1].sound is None
    assert files.reserved == kept.sound_bytes == 4 * MIB


def test_a_song_that_was_given_up_keeps_nothing(files: TemporaryFiles, tmp_path: Path) -> None:
    kept, song = KeptSongs(files, WebSettings()), KeptSong("ana")
    kept.release(song)
    kept.keep(song, MEL)
    kept.keep_sound(song, fetched(tmp_path))
    assert (song.spectrogram, song.sound, files.reserved) == (None, None, 0)


def test_where_one_link_needs_all_the_space_no_sound_is_kept(files: TemporaryFiles, tmp_path: Path) -> None:
    kept, song = KeptSongs(files, WebSettings(max_file_mb=5)), KeptSong("ana")
    kept.keep_sound(song, fetched(tmp_path, 1))
    assert song.sound is None


def test_what_is_shared_ends_after_a_week(tmp_path: Path) -> None:
    now = 1_000_000_000.0
    shares = Shares(tmp_path / "shared", clock=lambda: now)
    token, _ = shares.start("ana", [VERDICT], b"png")
    answer = shares.find(token)
    assert answer is not None
    assert answer.verdicts[0].prediction.genre == VERDICT.prediction.genre
    assert answer.picture == b"png"
    now += SHARE_S
    assert shares.find(token) is None
    assert not list((tmp_path / "shared").iterdir())


SIGNED = "https://music.example/private/song.mp3?signature=hush"


def test_where_a_shared_link_leads_is_neither_stored_nor_shown(tmp_path: Path) -> None:
    shares = Shares(tmp_path)
    token, _ = shares.start("ana", [replace(VERDICT, song=SongInfo(SIGNED))], None)
    answer = shares.find(token)
    assert answer is not None
    assert answer.verdicts[0].song.name == "music.example"
    (file,) = tmp_path.iterdir()
    assert "hush" not in file.read_text("utf-8")


@pytest.mark.parametrize("title", ["A song", None])
def test_what_an_earlier_version_shared_is_shown_without_its_link(tmp_path: Path, title: str | None) -> None:
    shares = Shares(tmp_path)
    token, _ = shares.start("ana", [replace(VERDICT, song=SongInfo("source", title))], None)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text("utf-8").replace('"source": "source"', f'"source": "{SIGNED}"'), "utf-8")
    answer = shares.find(token)
    assert answer is not None
    page = shared_html(answer, "en", WebSettings(), Static(), token=token, path="/en/shared/a")
    assert (title or "music.example") in page
    assert not re.search("private|signature|hush", page)


def test_a_shared_file_may_be_called_anything(tmp_path: Path) -> None:
    shares = Shares(tmp_path)
    for name in ("http://[", "https://[:::]/song.mp3", "//", "a: b"):
        token, _ = shares.start("ana", [replace(VERDICT, song=SongInfo(name))], None)
        answer = shares.find(token)
        assert answer is not None
        assert name in shared_html(answer, "en", WebSettings(), Static(), token=token, path="/en/shared/a")


def test_nobody_pushes_out_what_others_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.shares, "MAX_PER_VISITOR", 2)
    monkeypatch.setattr(web.shares, "MAX_SHARES", 3)
    shares = Shares(tmp_path)
    token, secret = shares.start("ana", [VERDICT], None)
    shares.start("ana", [VERDICT], None)
    with pytest.raises(GenreGenieError, match="busy"):
        shares.start("ana", [VERDICT], None)
    shares.start("ben", [VERDICT], None)
    with pytest.raises(GenreGenieError, match="busy"):
        shares.start("eve", [VERDICT], None)
    assert shares.end(token, secret)
    shares.start("eve", [VERDICT], None)


def test_what_has_ended_counts_for_nobody_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.shares, "MAX_PER_VISITOR", 2)
    now = 1_000_000_000.0
    shares = Shares(tmp_path, clock=lambda: now)
    for _ in range(3):
        for _ in range(2):
            shares.start("ana", [VERDICT], None)
        with pytest.raises(GenreGenieError, match="busy"):
            shares.start("ana", [VERDICT], None)
        now += SHARE_S
    shares.start("ana", [VERDICT], None)
    assert len(list(tmp_path.iterdir())) == 1


async def test_what_has_ended_is_deleted_while_the_page_runs(
    model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.shares, "TIDY_S", 0.05)
    settings = WebSettings(data_dir=tmp_path)
    folder = tmp_path / web.shares.FOLDER
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(settings, [model]))
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        await stack.enter_async_context(listen(build_app(service, settings), settings, sock))
        long_ago, now = (Shares(folder, clock=lambda at=at: at) for at in (1_000_000_000.0, time.time()))
        now.start("ana", [VERDICT], None)
        long_ago.start("ana", [VERDICT], None)
        await eventually(lambda: len(list(folder.iterdir())) == 1, what="the end of what nobody sees any more")


def test_a_file_of_a_shared_answer_that_is_none_shows_nothing(tmp_path: Path) -> None:
    shares = Shares(tmp_path)
    token, _ = shares.start("ana", [VERDICT], None)
    (file,) = tmp_path.iterdir()
    for content in ('{"verdicts": [{}], "picture": null}', "[]", "no", '{"verdicts": 7, "picture": null}'):
        file.write_text(content, "utf-8")
        assert shares.find(token) is None


async def test_corrections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.corrections, "MAX_BYTES", 400)
    corrections = Corrections(tmp_path / "corrections")
    said = ("answer", "00" * 32, "rock", "jazz", ModelInfo("genie", "2", "00" * 32), 1.0)
    for _ in range(2):
        await corrections.add(*said)
    with pytest.raises(GenreGenieError, match="busy"):
        await corrections.add(*said)
    assert 0 < (tmp_path / "corrections").stat().st_size <= 400
