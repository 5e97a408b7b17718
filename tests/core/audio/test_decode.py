import mmap
import random
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.audio.cancel import CancelToken
from core.audio.decode import DecodeLimits, FfmpegDecoder, LogReader, StreamInfo, log_pipe, opened, read_stream_info
from core.audio.ffmpeg import ffmpeg_path
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE
from core.errors import ErrorCode, GenreGenieError
from tests.core.files import FORMATS, UNDECODABLE, VIDEOS, cut, encoded, make_bad, picture, random_files
from tests.support.audio import encode, heard_pitches, make_scale, mixed, scale_pitch, write_wav
from tests.support.processes import ffmpegs, is_alive, living_children, wait_until
from tests.support.users import as_another_user

SECONDS = 8
INDEX_LAST = ("index-at-the-end", "lossless", "film.mp4", "film.mov")
"""Files of which nothing can be decoded without their end."""
LIMITS = DecodeLimits(max_bytes=200 * 1024**2, max_seconds=1_800, timeout_s=60)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ffmpeg's writes cannot be told apart")

Blocks = Generator[FloatArray, None, None]


def decoding(path: Path, limits: DecodeLimits = LIMITS, cancel: CancelToken | None = None) -> Blocks:
    yield from FfmpegDecoder(path, limits, cancel)


def decode(path: Path, limits: DecodeLimits = LIMITS) -> FloatArray:
    return mixed(np.concatenate([np.zeros((0, 2), np.float32), *decoding(path, limits)]))


def drain(blocks: Blocks, pause: float = 0) -> tuple[int, ErrorCode | None]:
    """Take all blocks: how many samples there were, and the error that they ended in."""
    samples = 0
    try:
        for block in blocks:
            assert np.isfinite(block).all()
            samples += len(block)
            time.sleep(pause)
    except GenreGenieError as error:
        return samples, error.code
    return samples, None


def error_of(path: Path) -> ErrorCode | None:
    return drain(decoding(path))[1]


def assert_is_scale(samples: FloatArray, first: int = 0, seconds: int = SECONDS) -> None:
    assert samples.size / SAMPLE_RATE == pytest.approx(seconds, abs=0.15)
    expected = [scale_pitch(first + second) for second in range(seconds)]
    # The last second of a lossy file may lack its end.
    assert heard_pitches(samples)[: seconds - 1] == pytest.approx(expected[:-1], abs=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@pytest.fixture(scope="module")
def scale(folder: Path) -> Path:
    return write_wav(folder / "scale.wav", make_scale(SECONDS), 44_100, channels=2)


@pytest.mark.parametrize("name", [*FORMATS, *VIDEOS])
def test_every_format_is_decoded(each_ffmpeg: str, folder: Path, scale: Path, name: str) -> None:
    path = folder / name
    assert_is_scale(decode(path if path.exists() else encoded(folder, name, scale, SECONDS)))


def test_the_name_of_a_file_does_not_matter(each_ffmpeg: str, folder: Path, scale: Path) -> None:
    flac = encoded(folder, "flac.flac", scale, SECONDS).read_bytes()
    for name in (
        "song.mp3",
        "song",
        "-song.wav",
        "-i",
        "line\nbreak.mp3",
        "per%03dcent.png",
        "a:b|c.m3u8",
        "ä\udcff.txt",
    ):
        path = folder / name
        path.write_bytes(flac)
        assert_is_scale(decode(path))


def test_a_relative_path_with_a_leading_dash_is_a_file(
    each_ffmpeg: str, scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-y.wav").write_bytes(scale.read_bytes())
    assert_is_scale(decode(Path("-y.wav")))


def test_only_the_first_audio_track_is_decoded(each_ffmpeg: str, folder: Path, scale: Path) -> None:
    path = encode(
        folder / "two.mkv", "-i", scale, "-f", "lavfi", "-i", f"sine=5000:d={SECONDS}", "-map", "0", "-map", "1"
    )
    assert_is_scale(decode(path))


def test_a_cover_is_no_hindrance(each_ffmpeg: str, folder: Path, scale: Path) -> None:
    cover = encode(folder / "cover.png", *picture(0.1), "-frames:v", "1")
    path = encode(
        folder / "cover.mp3",
        *("-i", scale, "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic"),
    )
    assert_is_scale(decode(path))


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_whose_audio_ends_early_is_decoded(each_ffmpeg: str, folder: Path, scale: Path, name: str) -> None:
    path = folder / f"long-{name}"
    if not path.exists():
        encode(path, *picture(3 * SECONDS), "-i", scale, *VIDEOS[name])
    assert_is_scale(decode(path))


def test_channels_are_mixed(each_ffmpeg: str, tmp_path: Path) -> None:
    left = make_scale(4)
    stereo = np.stack((left, np.zeros_like(left)), axis=1).ravel()
    path = write_wav(tmp_path / "left.wav", stereo, 88_200)  # as mono at twice the rate, for its header to be changed
    data = bytearray(path.read_bytes())
    data[22:36] = struct.pack("<HIIHH", 2, 44_100, 44_100 * 4, 4, 16)
    path.write_bytes(data)
    assert_is_scale(decode(path), seconds=4)


def test_eight_channels_at_192_khz_are_decoded(each_ffmpeg: str, tmp_path: Path) -> None:
    assert_is_scale(decode(write_wav(tmp_path / "8.wav", make_scale(4, 192_000), 192_000, channels=8)), seconds=4)


@pytest.mark.parametrize("name", UNDECODABLE)
def test_bad_input_has_its_error(each_ffmpeg: str, tmp_path: Path, name: str) -> None:
    path, code = make_bad(tmp_path, name)
    assert error_of(path) is code


@pytest.mark.parametrize("name", [name for name in (*FORMATS, *VIDEOS) if not name.startswith(INDEX_LAST)])
def test_a_cut_off_file_is_decoded_to_the_cut_and_is_said_to_be_one(
    each_ffmpeg: str, folder: Path, scale: Path, name: str
) -> None:
    path = folder / name
    whole = FfmpegDecoder(path if path.exists() else encoded(folder, name, scale, SECONDS), LIMITS)
    assert sum(len(block) for block in whole) == pytest.approx(SECONDS * SAMPLE_RATE, rel=0.03)
    assert not whole.stream_info.cut_off
    decoder = FfmpegDecoder(cut(path, 0.7), LIMITS)
    assert_is_scale(mixed(np.concatenate(list(decoder)))[: 4 * SAMPLE_RATE], seconds=4)
    assert decoder.stream_info.cut_off


def _lie(path: Path, *, after: bytes, skip: int, number: bytes) -> None:
    """Overwrite a number in a file's header."""
    data = bytearray(path.read_bytes())
    at = data.index(after) + len(after) + skip
    data[at : at + len(number)] = number
    path.write_bytes(data)


def _long_lyrics(folder: Path) -> Path:
    (folder / "lyrics.srt").write_text("1\n00:00:00,000 --> 00:09:00,000\nla\n")
    return folder / "lyrics.srt"


class TestWhatHeadersSayOfTheLength:
    """A header, a start time or another track that says more than there is costs nothing."""

    LIMITS = DecodeLimits(LIMITS.max_bytes, SECONDS + 2, 60)

    def decoded(self, path: Path) -> FfmpegDecoder:
        decoder = FfmpegDecoder(path, self.LIMITS)
        assert_is_scale(mixed(np.concatenate(list(decoder))))
        return decoder

    @pytest.mark.parametrize("name", ["late.opus", "late.webm", "late.mka", "late.ts", "late.m4a"])
    def test_a_start_time_is_no_length(self, each_ffmpeg: str, tmp_path: Path, scale: Path, name: str) -> None:
        late = ("-itsoffset", "60") if name == "late.m4a" else ()  # as an empty edit
        shift = ("-output_ts_offset", "3600") if not late else ()
        codec = {".mka": "libvorbis", ".ts": "aac", ".m4a": "aac"}.get(Path(name).suffix, "libopus")
        path = encode(tmp_path / name, *late, "-i", scale, "-c:a", codec, *shift)
        assert not self.decoded(path).stream_info.cut_off

    def test_a_file_from_a_pipe_says_nothing_of_its_length(self, each_ffmpeg: str, tmp_path: Path, scale: Path) -> None:
        path = encode(tmp_path / "pipe.aiff", "-i", scale)
        _lie(path, after=b"FORM", skip=0, number=struct.pack(">I", 0x7F00_0050))
        _lie(path, after=b"COMM", skip=6, number=struct.pack(">I", 0x1FC0_0000))
        _lie(path, after=b"SSND", skip=0, number=struct.pack(">I", 0x7F00_0008))
        assert not self.decoded(path).stream_info.cut_off
        path = encode(tmp_path / "pipe.wav", "-i", scale, "-bitexact")
        for chunk in (b"RIFF", b"data"):
            _lie(path, after=chunk, skip=0, number=b"\xff" * 4)
        assert not self.decoded(path).stream_info.cut_off

    def test_matroskas_duration_is_not_believed(self, each_ffmpeg: str, tmp_path: Path, scale: Path) -> None:
        path = encode(tmp_path / "long.mka", "-i", scale, "-c:a", "libvorbis")
        _lie(path, after=b"\x44\x89\x88", skip=0, number=struct.pack(">d", 36e6))
        assert not self.decoded(path).stream_info.cut_off

    def test_avis_frame_count_is_not_believed(self, each_ffmpeg: str, tmp_path: Path, scale: Path) -> None:
        path = encode(tmp_path / "long.avi", *picture(SECONDS), "-i", scale, "-c:v", "mpeg4", "-c:a", "libmp3lame")
        _lie(path, after=b"avih", skip=4 + 16, number=struct.pack("<I", 1_000_000))
        for kind in (b"strhvids", b"strhauds"):
            _lie(path, after=kind[:4] + path.read_bytes().split(kind[:4])[1][:4], skip=32, number=b"\0\0\x0f\0")
        assert not self.decoded(path).stream_info.cut_off

    def test_a_piece_of_a_longer_mp3_is_decoded_and_called_cut_off(
        self, each_ffmpeg: str, tmp_path: Path, scale: Path
    ) -> None:
        path = encode(tmp_path / "piece.mp3", "-i", scale, "-q:a", "4")
        _lie(path, after=b"Xing", skip=4, number=struct.pack(">I", 1_000_000))
        assert self.decoded(path).stream_info.cut_off

    def test_lyrics_may_be_longer_than_the_song(self, each_ffmpeg: str, tmp_path: Path, scale: Path) -> None:
        path = tmp_path / "lyrics.mp4"
        encode(path, "-i", scale, "-i", _long_lyrics(tmp_path), "-c:a", "aac", "-c:s", "mov_text")
        assert not self.decoded(path).stream_info.cut_off


def id3_tag(size: int) -> bytes:
    """An ID3v2.3 tag with a picture of noise."""
    picture = b"\0image/jpeg\0\3\0" + random.Random(0).randbytes(size)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    return b"ID3\3\0\0" + bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame


def radio(stream: bytes, interval: int = 8_192) -> bytes:
    """What a radio station sends: a reply, and the title after each `interval` bytes of sound."""
    title = b"StreamTitle='Somebody - Something';".ljust(48, b"\0")
    pieces = [stream[at : at + interval] for at in range(0, len(stream), interval)]
    reply = b"ICY 200 OK\r\nicy-name: Radio\r\nicy-metaint: %d\r\n\r\n" % interval
    return reply + b"".join(piece + (b"\3" + title if i % 4 == 0 else b"\0") for i, piece in enumerate(pieces))


MP3, AAC = "cbr-without-header.mp3", "adts.aac"
UNCLEAR = {
    "flac-behind-a-cover": ("flac.flac", lambda data: id3_tag(1_500_000) + data),
    "wav-behind-two-tags": ("16-bit.wav", lambda data: id3_tag(1_200_000) + id3_tag(100) + data),
    "mp3-from-within-a-frame.mp3": (MP3, lambda data: data[100:]),
    "aac-from-within-a-frame": (AAC, lambda data: data[100:]),
    "radio.mp3": (MP3, radio),
    "radio-from-within-a-frame": (MP3, lambda data: radio(data[100:])[1_000:]),
    "radio.aac": (AAC, lambda data: radio(data, 16_000)),
    "mp3-behind-zeros.mp3": (MP3, lambda data: bytes(3 << 20) + data),
    "m4a-behind-zeros": ("index-at-the-end.m4a", lambda data: bytes(3 << 20) + data),
    "mp3-behind-junk.mp3": (MP3, lambda data: b"junk" * 50_000 + data),
}
"""Name → a format, and what happened to the file."""


@pytest.mark.parametrize("name", UNCLEAR)
def test_sound_is_found_where_its_beginning_is_unclear(each_ffmpeg: str, folder: Path, scale: Path, name: str) -> None:
    original, spoil = UNCLEAR[name]
    path = folder / f"unclear-{name}"
    path.write_bytes(spoil(encoded(folder, original, scale, SECONDS).read_bytes()))
    pitches = heard_pitches(decode(path))
    # What lies between the frames may cost some of them.
    assert len(pitches) >= SECONDS - 2
    assert pitches[0] == pytest.approx(scale_pitch(0), abs=4)
    assert all(min(abs(pitch - scale_pitch(second)) for second in range(SECONDS)) < 6 for pitch in pitches)


class TestTracks:
    """Which of several audio tracks is decoded."""

    def tracks(self, path: Path, *more: str, suffix_codec: str = "libvorbis") -> Path:
        tone = ("-f", "lavfi", "-i", f"sine=5000:d={SECONDS}")
        scale = ("-i", str(path.with_name("scale.wav")))
        return encode(path, *tone, *scale, "-map", "0", "-map", "1", "-c:a", suffix_codec, *more)

    def test_the_default_one_is(self, each_ffmpeg: str, folder: Path, scale: Path) -> None:
        path = self.tracks(folder / "default.mka", "-disposition:a:0", "0", "-disposition:a:1", "default")
        decoder = FfmpegDecoder(path, LIMITS)
        assert_is_scale(mixed(np.concatenate(list(decoder))))
        assert (decoder.stream_info.track, len(decoder.stream_info.tracks)) == (1, 2)
        assert decoder.next_track()
        assert heard_pitches(mixed(np.concatenate(list(decoder))))[3] == pytest.approx(5_000, abs=4)
        assert not decoder.next_track()

    def test_else_the_first_that_can_be_decoded(self, each_ffmpeg: str, folder: Path, scale: Path) -> None:
        path = self.tracks(folder / "unknown.mka")
        path.write_bytes(path.read_bytes().replace(b"A_VORBIS", b"A_NOBODY", 1))
        decoder = FfmpegDecoder(path, LIMITS)
        assert_is_scale(mixed(np.concatenate(list(decoder))))
        assert decoder.stream_info.track == 1


def test_random_bytes_are_not_audio(each_ffmpeg: str, tmp_path: Path) -> None:
    for path in random_files(tmp_path, 25, seed=0):
        assert error_of(path) is ErrorCode.NOT_AUDIO, path.name


@pytest.mark.slow
def test_many_random_bytes_are_not_audio(each_ffmpeg: str, tmp_path: Path) -> None:
    for path in random_files(tmp_path, 500, seed=1):
        assert error_of(path) is ErrorCode.NOT_AUDIO, path.name


def test_random_bytes_after_a_real_beginning_end_in_sound_or_an_error(
    each_ffmpeg: str, folder: Path, scale: Path
) -> None:
    rng = random.Random(2)
    for name in ("vbr.mp3", "index-at-the-start.m4a", "vorbis.ogg", "flac.flac", "opus.webm"):
        data = bytearray(encoded(folder, name, scale, SECONDS).read_bytes())
        middle = len(data) // 3
        data[middle : middle + 3_000] = rng.randbytes(3_000)
        path = folder / f"holed-{name}"
        path.write_bytes(data)
        assert error_of(path) in (None, ErrorCode.DAMAGED, ErrorCode.NOT_AUDIO)


def test_a_file_over_the_limit_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    assert error_of(path) is ErrorCode.TOO_LARGE


def test_a_file_that_may_not_be_read_is_not_found() -> None:
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        closed, public = Path(place, "closed.wav"), Path(place, "public.wav")
        for path, mode in ((closed, 0o000), (public, 0o644)):
            path.write_bytes(b"RIFF")
            path.chmod(mode)
        with as_another_user(), opened(public, 10):
            pass
        with as_another_user(), pytest.raises(GenreGenieError) as raised, opened(closed, 10):
            pass
    assert raised.value.code is ErrorCode.NOT_FOUND


def test_a_length_that_is_announced_is_refused_at_once(each_ffmpeg: str, scale: Path) -> None:
    blocks = decoding(scale, DecodeLimits(LIMITS.max_bytes, SECONDS - 2, 60))
    assert drain(blocks) == (0, ErrorCode.TOO_LONG)


def test_a_length_that_is_not_announced_is_refused_when_it_is_reached(
    each_ffmpeg: str, folder: Path, scale: Path
) -> None:
    path = encoded(folder, "cbr-without-header.mp3", scale, SECONDS)
    got, code = drain(decoding(path, DecodeLimits(LIMITS.max_bytes, SECONDS - 2, 60)))
    assert code is ErrorCode.TOO_LONG
    assert got <= (SECONDS - 1) * SAMPLE_RATE


def test_a_song_of_exactly_the_allowed_length_is_decoded(each_ffmpeg: str, folder: Path, scale: Path) -> None:
    limits = DecodeLimits(LIMITS.max_bytes, SECONDS, 60)
    for name in ("vbr.mp3", "index-at-the-end.m4a", "flac.flac"):
        assert_is_scale(decode(encoded(folder, name, scale, SECONDS), limits))


def test_a_header_that_promises_more_than_there_is_ends_in_an_error(each_ffmpeg: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "lies.wav", make_scale(2), 44_100)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", 0x7FFF_FFF0)
    path.write_bytes(data)
    got, code = drain(decoding(path))
    assert got <= 2.1 * SAMPLE_RATE
    assert code in (None, ErrorCode.TOO_LONG, ErrorCode.DAMAGED)


def test_what_is_no_number_is_silence_and_what_is_huge_is_bounded(each_ffmpeg: str, tmp_path: Path) -> None:
    samples = np.full(SAMPLE_RATE * 4, 0.25, "<f4")
    samples[100:200] = np.nan
    samples[300:400] = np.inf
    samples[500:600] = -3e38
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + samples.nbytes, b"WAVE", b"fmt ", 16, 3, 1, SAMPLE_RATE, SAMPLE_RATE * 4, 4, 32),
        *(b"data", samples.nbytes),
    )
    path = tmp_path / "float.wav"
    path.write_bytes(header + samples.tobytes())
    decoded = decode(path)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded).max() <= 1_000
    assert decoded[1000] == pytest.approx(0.25)


def test_tags_do_not_pass_for_what_ffmpeg_says(each_ffmpeg: str, folder: Path, scale: Path) -> None:
    spoof = "x\n[mp3 @ 0x1] misdetection possible\n  Duration: 99:00:00.00, start\n  Stream #0:7: Video: h264"
    path = encode(folder / "tags.mp3", "-i", scale, "-metadata", f"title={spoof}", "-metadata", f"comment={spoof * 9}")
    assert_is_scale(decode(path))


@pytest.mark.parametrize(("rate", "error"), [(1, ErrorCode.DAMAGED), (999, ErrorCode.DAMAGED), (1_000, None)])
def test_a_rate_that_is_none_of_sound_costs_no_resampler(
    each_ffmpeg: str, tmp_path: Path, rate: int, error: ErrorCode | None
) -> None:
    samples = bytes(range(256)) * 10
    path = tmp_path / "slow.wav"
    header = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    parts = b"WAVEfmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(samples)) + samples
    path.write_bytes(b"RIFF" + struct.pack("<I", len(parts)) + parts)
    assert error_of(path) is error


FORGED_LINES = """x
[mp3 @ 0x1] Format mp3 detected only with low score of 1, misdetection possible!
[mov @ 0x1] stream 0, offset 0x1: partial file
[mov @ 0x1] Number of streams exceeds max_streams parameter (64)
Input #0, wav, from 'x':
  Duration: 99:00:00.00, start: 0.000000
  Stream #0:0: Audio: opus
  Stream #0:1: Audio: opus (default)
Output #0, f32le, to 'pipe:1':
"""


def described(path: Path) -> tuple[StreamInfo, int]:
    decoder = FfmpegDecoder(path, LIMITS)
    samples = sum(len(block) for block in decoder)
    return decoder.stream_info, samples


@linux_only
@pytest.mark.parametrize("padding", [0, 20_000])
def test_the_name_of_a_tag_does_not_pass_for_what_ffmpeg_says(
    each_ffmpeg: str, scale: Path, tmp_path: Path, padding: int
) -> None:
    keys = ("x", FORGED_LINES + "y" * padding)
    options = ("-t", "3", "-movflags", "use_metadata_tags")
    plain, forged = (
        described(encode(tmp_path / f"{number}.m4a", "-i", scale, *options, "-metadata", f"{key}=value"))
        for number, key in enumerate(keys)
    )
    assert plain[0].tracks
    assert plain == forged


@linux_only
@pytest.mark.parametrize(
    ("messages", "container"),
    [
        ([b"x" * (mmap.PAGESIZE - 1) + b"\nInput #0, wav, from 'x':\n"], ""),  # the newline is the end of a page
        ([b"x" * (mmap.PAGESIZE - 1) + b"\n", b"[info] ", b"Input #0, wav, from 'x':\n"], "wav"),
        ([b"x" * ((1 << 16) - 1), b"Input #0, wav, from 'x':\n"], "wav"),  # ffmpeg has cut the first
        ([b"  Stream #0:0", b"(x\nInput #0, wav, from 'x':\n)", b": Audio: mp3\n"], ""),
    ],
)
def test_only_the_end_of_a_message_ends_a_line(messages: list[bytes], container: str) -> None:
    ours, theirs = log_pipe()
    log = LogReader(ours)
    with theirs:
        for message in messages:
            assert theirs.write(message) == len(message)
    log.wait_for_input()
    log.close()
    assert read_stream_info(log.description()).container == container


@linux_only
def test_a_language_does_not_pass_for_what_ffmpeg_says(each_ffmpeg: str, scale: Path, tmp_path: Path) -> None:
    text = "x): Video: h264 (\n  Duration: 99:00:00.00, start\n  Stream #0:1: Audio: opus (default)"
    infos = [
        described(encode(tmp_path / f"{number}.ogg", "-i", scale, "-metadata:s:a", f"language={language}"))[0]
        for number, language in enumerate(("eng", text))
    ]
    assert infos[0].tracks
    assert infos[0] == infos[1]


def test_an_ffmpeg_that_cannot_reach_its_file_says_so_without_the_path(tmp_path: Path) -> None:
    with pytest.raises(GenreGenieError) as raised:
        decode(tmp_path / "secret-name.mp3")
    assert "secret-name" not in f"{raised.value} {raised.value.params}"


@pytest.fixture(scope="module")
def endless(folder: Path) -> Path:
    """Ten minutes: long enough to be ended in the middle."""
    noise = ("-f", "lavfi", "-i", "anoisesrc=r=22050:a=0.1", "-t", "600")
    return encode(folder / "endless.flac", *noise, "-compression_level", "0")


class TestEnding:
    """However a decoding ends, its ffmpeg ends with it (`leaves_nothing` looks again after each of these)."""

    @pytest.fixture
    def blocks(self, each_ffmpeg: str, endless: Path) -> Iterator[tuple[Blocks, CancelToken]]:
        cancel = CancelToken()
        blocks = decoding(endless, LIMITS, cancel)
        assert next(blocks).size > 0
        assert len(living_children()) == 1
        yield blocks, cancel
        blocks.close()

    def test_cancelling_from_another_thread_ends_it(self, blocks: tuple[Blocks, CancelToken]) -> None:
        threading.Timer(0.05, blocks[1].set).start()
        assert drain(blocks[0], 0.01)[1] is ErrorCode.CANCELLED
        assert not living_children()

    def test_the_first_reason_counts(self, blocks: tuple[Blocks, CancelToken]) -> None:
        blocks[1].set(ErrorCode.TIMEOUT)
        blocks[1].set(ErrorCode.CANCELLED)
        assert drain(blocks[0])[1] is ErrorCode.TIMEOUT

    def test_a_reader_that_goes_away_ends_it(self, blocks: tuple[Blocks, CancelToken]) -> None:
        blocks[0].close()
        assert not living_children()

    def test_its_deadline_ends_it(self, each_ffmpeg: str, endless: Path) -> None:
        blocks = decoding(endless, DecodeLimits(LIMITS.max_bytes, 1_800, 0.5))
        assert drain(blocks, 0.05)[1] is ErrorCode.TIMEOUT
        assert not living_children()

    def test_a_killed_ffmpeg_is_an_error(self, blocks: tuple[Blocks, CancelToken]) -> None:
        for child in living_children():
            child.kill()
        assert drain(blocks[0])[1] is ErrorCode.DAMAGED

    def test_it_does_not_start_once_cancelled(self, endless: Path) -> None:
        cancel = CancelToken()
        cancel.set()
        assert drain(decoding(endless, LIMITS, cancel)) == (0, ErrorCode.CANCELLED)

    def test_ffmpeg_runs_with_one_thread_of_work_and_bounded_memory(self, blocks: tuple[Blocks, CancelToken]) -> None:
        wait_until(ffmpegs, what="ffmpeg's start")
        (child,) = ffmpegs()
        assert child.memory_info().vms <= 1024**3
        assert child.memory_info().rss <= 150 * 1024**2
        assert is_alive(child)


def test_ffmpeg_is_the_one_that_is_named(each_ffmpeg: str) -> None:
    assert ffmpeg_path() == each_ffmpeg
