"""Ten distortions that music goes through before it is posted, by ffmpeg, and ten changes that nobody hears."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from core.audio.ffmpeg import ffmpeg_path
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE
from core.settings import Settings, load_settings


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


@dataclass(frozen=True)
class Change:
    """A change that a listener does not notice.

    Attributes:
        about: what it is.
        apply: gives both channels, float32 `(n, 2)`, of one channel's samples, float32 `(n,)`.
    """

    about: str
    apply: Callable[[FloatArray], FloatArray]


def _added(about: str, dc: float = 0, hertz: float = 0, amplitude: float = 0) -> Change:
    """Add a constant and a tone at half the volume, so that nothing clips."""

    def apply(samples: FloatArray) -> FloatArray:
        time = np.arange(samples.size) / SAMPLE_RATE
        return _stereo(0.5 * samples + dc + amplitude * np.sin(2 * np.pi * hertz * time))

    return Change(about, apply)


def _stereo(left: NDArray[np.floating], right: NDArray[np.floating] | None = None) -> FloatArray:
    stereo: FloatArray = np.stack((left, left if right is None else right), axis=1).astype(np.float32)
    return stereo


def _treble_inverted(samples: FloatArray) -> FloatArray:
    """Invert the right channel above 500 Hz: a first-order all-pass filter, applied to its spectrum."""
    tangent = np.tan(np.pi * np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)[:-1] / SAMPLE_RATE)
    ratio = np.append(tangent / np.tan(np.pi * 500 / SAMPLE_RATE), np.inf)
    phase = np.exp(-2j * np.arctan(ratio))
    return _stereo(samples, np.fft.irfft(np.fft.rfft(samples) * phase, samples.size))


INAUDIBLE: Final[dict[str, Change]] = {
    "dc-0.1": _added("half the volume, plus a constant (DC) of 0.1 of full scale", dc=0.1),
    "dc-0.2": _added("half the volume, plus a constant of 0.2", dc=0.2),
    "rumble-8": _added("half the volume, plus 8 Hz at 0.1", hertz=8, amplitude=0.1),
    "rumble-10": _added("half the volume, plus 10 Hz at 0.1", hertz=10, amplitude=0.1),
    "rumble-15": _added("half the volume, plus 15 Hz at 0.1", hertz=15, amplitude=0.1),
    "anti-phase": Change("the right channel inverted", lambda samples: _stereo(samples, -samples)),
    "treble-anti-phase": Change("the right channel inverted above 500 Hz", _treble_inverted),
    "delayed": Change(
        "the right channel 10 ms late",
        lambda samples: _stereo(samples, np.pad(samples, (SAMPLE_RATE // 100, 0))[: samples.size]),
    ),
    "float-x4": Change("floats of four times full scale", lambda samples: _stereo(4 * samples)),
    "float-int16": Change("floats in the range of 16-bit integers", lambda samples: _stereo(32_768 * samples)),
}
"""Changes of the signal that change neither what is heard nor, therefore, what it is."""


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
        stream.overwrite_output().run(cmd=ffmpeg_path(load_settings(Settings).ffmpeg), quiet=True)
    except ffmpeg.Error as error:
        raise RuntimeError(f"ffmpeg could not distort {path.name}: {error.stderr[-300:]!r}") from None
    return copy
