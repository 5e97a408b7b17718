"""The pace at which sound without a length arrives, against the pace at which it is played."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.fetch import radio
from core.fetch.radio import StreamPace, bytes_per_second
from tests.core.fetch.media import tones

Watch = Callable[..., float | None]


@pytest.fixture
def judged_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Seconds after which a stream of so many bytes a second is called endless; None if it never is."""

    def watch(sound: bytes, rate: float, *, burst: int = 0, stall: float = 0.0) -> float | None:
        file, now = tmp_path / "media", 1_000.0
        pace = StreamPace(file)
        monkeypatch.setattr(radio.time, "monotonic", lambda: now)
        received = burst
        for step in range(120):
            if step % 14 == 13:
                now += stall
            received += int(rate / 2)
            file.write_bytes((sound * (received // len(sound) + 1))[:received])
            if pace.is_endless(received):
                return now - 1_000.0
            now += 0.5
        return None

    return watch


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sounds")
    return {
        "mp3": tones(folder, "song.mp3", 8.0, "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0").read_bytes(),
        "vbr": tones(folder, "vbr.mp3", 8.0, "-q:a", "4").read_bytes(),
        "aac": tones(folder, "song.aac", 8.0, "-b:a", "64k").read_bytes(),
        "mp2": tones(folder, "song.mp2", 8.0, "-ar", "44100", "-b:a", "192k").read_bytes(),
        "ogg": tones(folder, "song.opus", 8.0, "-b:a", "64k").read_bytes(),
    }


@pytest.mark.parametrize("kind", ["mp3", "vbr", "aac", "mp2"])
def test_the_frames_say_how_long_they_play(sounds: dict[str, bytes], kind: str) -> None:
    assert bytes_per_second(sounds[kind][333:]) == pytest.approx(len(sounds[kind]) / 8.0, rel=0.1)


@pytest.mark.parametrize("data", [b"", b"\xff" * 100_000, b"\xff\xfb\x90\x00" * 20_000, bytes(range(256)) * 400])
def test_what_is_no_mpeg_audio_says_nothing(data: bytes) -> None:
    assert bytes_per_second(data) is None


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xfb\x90\x00", b"\xff\xf1\x50\x80\x00\xff"])
def test_headers_that_only_cost_time_are_not_read_to_the_end(sounds: dict[str, bytes], filler: bytes) -> None:
    assert bytes_per_second(filler * (100_000 // len(filler)) + sounds["mp3"][:16_000]) is None
    assert bytes_per_second(filler * (1_000 // len(filler)) + sounds["mp3"][:16_000]) is not None


def test_the_bytes_are_looked_at_once_a_second(
    sounds: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, known = tmp_path / "media", []
    pace = StreamPace(file)
    for moment in (n / 4 for n in range(28)):
        monkeypatch.setattr(radio.time, "monotonic", lambda moment=moment: moment)
        # First what arrives faster than it is played, then what does not say how long it plays.
        file.write_bytes(sounds["mp3"] if moment <= 5.0 else b"no sound")
        if pace.is_endless(int(moment * 3 * 16_000)):
            known.append(moment)
    assert known == [6.0]


@pytest.mark.parametrize("kind", ["mp3", "vbr", "aac", "ogg"])
@pytest.mark.parametrize("burst", [0, 300_000])
def test_a_station_is_known_within_seconds(
    sounds: dict[str, bytes], judged_after: Watch, kind: str, burst: int
) -> None:
    played = len(sounds[kind]) / 8.0
    after = judged_after(sounds[kind], played, burst=burst)
    assert after is not None
    assert after <= 6.0


def test_a_song_that_arrives_faster_than_it_is_played_is_none(sounds: dict[str, bytes], judged_after: Watch) -> None:
    assert judged_after(sounds["mp3"], 3 * 16_000) is None
    assert judged_after(sounds["ogg"], 200_000) is None


@pytest.mark.parametrize("stall", [1.4, 3.0, 8.0])
def test_a_connection_that_stalls_makes_no_station_of_a_song(
    sounds: dict[str, bytes], judged_after: Watch, stall: float
) -> None:
    assert judged_after(sounds["mp3"], 5 * 16_000, stall=stall) is None
