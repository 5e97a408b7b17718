"""Ten distortions that music goes through before it is posted, rendered by ffmpeg."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import ffmpeg

from core.audio.ffmpeg import ffmpeg_path


@dataclass(frozen=True)
class Distortion:
    """One distortion.

    Attributes:
        about: what it stands for.
        suffix: of the file that is written.
        options: of ffmpeg's output: filters (`af`), sample rate (`ar`), codec (`acodec`), bit rate (`audio_bitrate`).
    """

    about: str
    suffix: str = ".wav"
    options: Mapping[str, str | int] = field(default_factory=dict)


_PHONE = (
    "highpass=f=300:poles=2,lowpass=f=5000:poles=2,aecho=0.8:0.7:23|41:0.35|0.2,"
    "acompressor=threshold=0.1:ratio=4:makeup=2"
)

DISTORTIONS: Final[dict[str, Distortion]] = {
    "mp3-64": Distortion("MP3 at 64 kbit/s", ".mp3", {"acodec": "libmp3lame", "audio_bitrate": "64k"}),
    "mp3-32": Distortion("MP3 at 32 kbit/s", ".mp3", {"acodec": "libmp3lame", "audio_bitrate": "32k"}),
    "telephone": Distortion("8 kHz, µ-law", ".wav", {"ar": 8_000, "acodec": "pcm_mulaw"}),
    "voice-message": Distortion(
        "Opus at 16 kbit/s, tuned for voice",
        ".ogg",
        {"ar": 16_000, "acodec": "libopus", "audio_bitrate": "16k", "application": "voip"},
    ),
    "phone-recording": Distortion("a loudspeaker in a room, recorded by a phone", ".wav", {"af": _PHONE}),
    "loud-master": Distortion(
        "a modern master: compressed hard and limited",
        ".wav",
        {"af": "acompressor=threshold=0.03:ratio=8:attack=5:release=50:makeup=8,alimiter=limit=0.95"},
    ),
    "clipped": Distortion("15 dB too loud", ".wav", {"af": "volume=15dB:precision=fixed", "acodec": "pcm_s16le"}),
    "quiet": Distortion("40 dB too quiet, 16 bits", ".wav", {"af": "volume=-40dB", "acodec": "pcm_s16le"}),
    "one-side": Distortion("sound on the left side only", ".wav", {"af": "pan=stereo|c0=c0|c1=0*c0"}),
    "long-recording": Distortion(
        "played three times in a longer recording, with silence around it",
        ".wav",
        {"af": "aloop=loop=2:size=661500,adelay=20000:all=1,apad=pad_dur=15"},
    ),
}


def distort(path: Path, distortion: Distortion, folder: Path) -> Path:
    """Write a distorted copy of a file.

    Args:
        path: the file.
        distortion: what is done to it.
        folder: where the copy is written, under the file's name.

    Raises:
        RuntimeError: ffmpeg failed.
    """
    copy = folder / f"{path.stem}{distortion.suffix}"
    stream = ffmpeg.input(str(path)).output(str(copy), threads=1, **distortion.options)
    try:
        stream.overwrite_output().run(cmd=ffmpeg_path(), quiet=True)
    except ffmpeg.Error as error:
        raise RuntimeError(f"ffmpeg could not distort {path.name}: {error.stderr[-300:]!r}") from None
    return copy
