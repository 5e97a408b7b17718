"""Media bombs: each ends in an answer or in its error, within bounds of time, memory and disk."""

import random
import struct
from pathlib import Path

import pytest

from tests.core.fetch.media import tones
from tests.core.fetch.servers import Server
from tests.hostile import bombs as make
from tests.hostile.conftest import MIB, Outcome, WatchedIdentifier, processor_seconds_of_ffmpegs

USUAL = 400 * MIB
"""A worker takes 130 MB, ffmpeg 60 MB; a bomb that goes off takes gigabytes."""

MOST = 1024 * MIB
"""The address space that ffmpeg is given."""


def bounded(outcome: Outcome, *, seconds: float = 150.0, memory: int = USUAL) -> Outcome:
    """Say that a request was answered within its bounds of time and memory."""
    assert outcome.seconds < seconds + 5
    assert outcome.memory < memory
    return outcome


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [MIB, pytest.param(10 * MIB, marks=pytest.mark.slow)])
async def test_hours_of_silence_in_each_mebibyte_are_too_long(
    watched: WatchedIdentifier, bombs: Path, size: int, announced: bool
) -> None:
    seconds = make.flac_of_silence(bombs / "silence.flac", size, announced=announced)
    assert seconds > 20 * 3_600 * size / MIB
    assert bounded(await watched.identify(bombs / "silence.flac")).code == "too-long"


async def test_ten_hours_of_opus_are_too_long(watched: WatchedIdentifier, bombs: Path) -> None:
    make.opus_of_silence(bombs / "silence.opus", 10)
    assert (bombs / "silence.opus").stat().st_size < 2 * MIB
    assert bounded(await watched.identify(bombs / "silence.opus")).code == "too-long"


async def test_a_thousand_streams_are_refused(watched: WatchedIdentifier, bombs: Path) -> None:
    assert bounded(await watched.identify(make.many_streams(bombs, 1_000))).code in ("not-audio", "damaged")


async def test_a_cover_of_gigapixels_is_not_opened(watched: WatchedIdentifier, bombs: Path) -> None:
    song = tones(bombs, "song.mp3", 6, "-b:a", "64k").read_bytes()
    cover = make.png_of_pixels(60_000, 60_000)
    (bombs / "covered.mp3").write_bytes(make.mp3_with_cover(song, cover))
    outcome = bounded(await watched.identify(bombs / "covered.mp3"))
    assert outcome.verdict is not None
    assert outcome.verdict.prediction.duration == pytest.approx(6, abs=0.3)


async def test_a_cover_of_many_megabytes_does_not_hide_the_song(watched: WatchedIdentifier, bombs: Path) -> None:
    song = tones(bombs, "song.mp3", 6, "-b:a", "64k").read_bytes()
    (bombs / "covered.mp3").write_bytes(make.mp3_with_cover(song, random.Random(0).randbytes(40 * MIB)))
    assert bounded(await watched.identify(bombs / "covered.mp3")).verdict is not None


@pytest.mark.slow
async def test_a_million_tags_end_in_processor_seconds_for_the_size(watched: WatchedIdentifier, bombs: Path) -> None:
    song = tones(bombs, "song.flac", 6).read_bytes()
    (bombs / "tagged.flac").write_bytes(make.flac_with_tags(song, 1_000_000))  # ffmpeg compares for hours, if it may
    before = processor_seconds_of_ffmpegs()
    outcome = await watched.identify(bombs / "tagged.flac")
    assert outcome.code == "timeout"
    assert outcome.memory < USUAL
    mebibytes = (bombs / "tagged.flac").stat().st_size / MIB
    assert 3 < processor_seconds_of_ffmpegs() - before < 3 + 0.25 * mebibytes + 2


async def test_two_gigabytes_of_nothing_are_too_large(watched: WatchedIdentifier, bombs: Path) -> None:
    outcome = bounded(await watched.identify(make.sparse(bombs / "sparse.wav", 2_000_000_000)), seconds=5)
    assert outcome.code == "too-large"
    assert outcome.disk < MIB


async def test_a_hole_in_a_file_of_the_allowed_size_is_silent(watched: WatchedIdentifier, bombs: Path) -> None:
    head = make.wav(b"", riff=50 * MIB - 8, data=50 * MIB - 44)
    assert bounded(await watched.identify(make.sparse(bombs / "hole.wav", 50 * MIB, head))).code == "silent"


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ({"riff": 0xFFFFFFFF, "data": 0xFFFFFFFF}, {None, "damaged"}),
        ({"riff": 0, "data": 0}, {None, "damaged", "too-short"}),
        ({"riff": 100, "data": 0x7FFFFFFF}, {None, "damaged", "too-long"}),
        ({"riff": 0, "data": 2**31, "rate": 1}, {"damaged", "not-audio", "too-long", "too-short"}),
        ({"riff": 0, "data": 2**31, "rate": 2**31 - 1}, {"damaged", "not-audio", "too-short", None}),
        ({"riff": 0, "data": 2**31, "channels": 65_535}, {"damaged", "not-audio", "too-short"}),
        ({"riff": 0, "data": 2**31, "channels": 0}, {"damaged", "not-audio"}),
        ({"riff": 0, "data": 2**31, "bits": 0}, {"damaged", "not-audio"}),
        ({"riff": 0, "data": 2**31, "bits": 65_528}, {"damaged", "not-audio", "too-short"}),
    ],
    ids=["endless", "none", "much", "slow", "fast", "channels", "no-channels", "no-bits", "bits"],
)
async def test_a_wav_header_that_lies_is_survived(
    watched: WatchedIdentifier, bombs: Path, header: dict[str, int], codes: set[str | None]
) -> None:
    rng = random.Random(0)
    samples = b"".join(struct.pack("<h", rng.randint(-9_000, 9_000)) for _ in range(22_050 * 5))
    (bombs / "liar.wav").write_bytes(make.wav(samples, **header))
    # A sample that lasts a second swells to 22,050: that much ffmpeg may take before its own limit ends it.
    memory = MOST if header.get("rate") == 1 else USUAL
    # What can be decoded is noise: a music detector may say that it is not music.
    codes = codes | {"not-music"} if None in codes else codes
    assert bounded(await watched.identify(bombs / "liar.wav"), memory=memory).code in codes


@pytest.mark.parametrize("name", ["silence.flac", "sparse.wav"])
async def test_a_bomb_behind_a_link_is_no_worse(
    watched: WatchedIdentifier, server: Server, bombs: Path, name: str
) -> None:
    if name == "silence.flac":
        make.flac_of_silence(bombs / name, 2 * MIB, announced=True)
        server.serve(f"/{name}", (bombs / name).read_bytes(), "audio/flac")
    else:
        server.serve(f"/{name}", bytes(64 * MIB), "audio/wav")
    outcome = bounded(await watched.identify(server.url(f"/{name}")))
    assert outcome.code == ("too-long" if name == "silence.flac" else "too-large")
    assert outcome.disk < 160 * MIB


HIDDEN = (
    # What ffmpeg would follow, were it let: scripts and playlists under a sound's name.
    "ffconcat version 1.0\nfile '{url}'\n",
    "ffconcat version 1.0\nfile {path}\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9,\nconcat:{url}|file://{path}\n#EXT-X-ENDLIST\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><BaseURL>{url}</BaseURL>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="0" bandwidth="1"/></AdaptationSet></Period></MPD>',
    "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
    "[playlist]\nFile1={url}\n",
    '<smil><body><audio src="{url}"/></body></smil>',
    "{url}\n",
)


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg", ".flac", ".wav", ".m3u8"])
async def test_scripts_under_a_sounds_name_lead_nowhere(
    watched: WatchedIdentifier, forbidden: Server, bombs: Path, suffix: str
) -> None:
    secret = tones(bombs, "secret.wav", 4)
    for text in HIDDEN:
        path = bombs / f"song{suffix}"
        path.write_text(text.format(url=forbidden.url("/a.mp3"), path=secret, port=forbidden.port), "utf-8")
        assert bounded(await watched.identify(path)).code == "not-audio", text


@pytest.mark.parametrize("texts", [HIDDEN[:1], pytest.param(HIDDEN[1:6], marks=pytest.mark.slow)], ids=["one", "more"])
async def test_scripts_behind_a_link_lead_nowhere(
    watched: WatchedIdentifier, server: Server, forbidden: Server, bombs: Path, texts: tuple[str, ...]
) -> None:
    secret = tones(bombs, "secret.wav", 4)
    for text in texts:
        body = text.format(url=forbidden.url("/a.mp3"), path=secret, port=forbidden.port)
        outcome = bounded(await watched.identify(server.serve("/song.mp3", body, "audio/mpeg")))
        assert outcome.code in ("not-audio", "blocked-address", "unsupported-link", "unavailable"), text
