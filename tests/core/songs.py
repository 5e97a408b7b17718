"""Songs put together from real parts, so that it is known which part stands for them."""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from core.audio.decode import DecodeLimits, FfmpegDecoder
from core.audio.spectrogram import FloatArray, LogMel, log_mel
from core.constants import (
    HOP_LENGTH,
    N_MELS,
    POWER_MIN,
    SAMPLE_RATE,
    SECTION_SECONDS,
    frame_to_seconds,
    seconds_to_frame,
)
from tests.support.audio import make_noise, make_speech, mixed

SILENCE_DB: Final = 10 * np.log10(POWER_MIN)

Mel = FloatArray
"""A part of a song: dB, float32 `(N_MELS, n_frames)`. Parts are put together as spectrograms: that is quick."""


def _at_level(samples: FloatArray, dbfs: float) -> FloatArray:
    level = np.sqrt(np.mean(np.square(samples)) + 1e-12)
    return (samples * (10 ** (dbfs / 20) / level)).astype(np.float32)


@functools.lru_cache(200)
def mel_of(path: Path) -> Mel:
    """A recording at -18 dBFS."""
    samples = mixed(np.concatenate(list(FfmpegDecoder(path, DecodeLimits(2**30, 600, 60)))))
    return log_mel([_at_level(samples, -18)]).db


def gain(mel: Mel, db: float | FloatArray) -> Mel:
    """Louder, or quieter."""
    return np.maximum(mel + db, SILENCE_DB).astype(np.float32)


def cut(mel: Mel, start: float, end: float | None = None) -> Mel:
    """From one second to another."""
    return mel[:, seconds_to_frame(start) : None if end is None else seconds_to_frame(end)]


def silence(seconds: float) -> Mel:
    """Digital silence."""
    return np.full((N_MELS, seconds_to_frame(seconds)), SILENCE_DB, np.float32)


@functools.cache
def speech_like(seconds: int) -> Mel:
    """Noise that comes in syllables and pauses, at -18 dBFS."""
    return log_mel([_at_level(make_speech(seconds, seed=seconds), -18)]).db


@functools.cache
def applause(seconds: int) -> Mel:
    """Noise that swells and falls a little, at -18 dBFS."""
    rng = np.random.default_rng(seconds)
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    swell = np.interp(time, np.arange(0, seconds + 1, 0.25), rng.uniform(0.7, 1, (seconds + 1) * 4))
    return log_mel([_at_level(make_noise(seconds, 300, 6_000, seed=seconds) * swell, -18)]).db


def recordings(paths: Sequence[Path], seconds: float, rng: np.random.Generator) -> Mel:
    """Recordings one after another."""
    parts: list[Mel] = []
    for index in rng.permutation(len(paths)):
        parts.append(mel_of(paths[index]))
        if sum(part.shape[1] for part in parts) >= seconds_to_frame(seconds):
            break
    return cut(np.concatenate(parts, axis=1), 0, seconds)


@dataclass(frozen=True)
class Parts:
    """What songs are put together from.

    Attributes:
        tracks: music, a folder a genre.
        speech: recordings, a minute together.
        rain: likewise.
    """

    tracks: Sequence[Path]
    speech: Sequence[Path]
    rain: Sequence[Path]


@dataclass
class Song:
    """Parts in a row, and which of them stand for the whole: `(start, end)` in seconds."""

    parts: list[Mel] = field(default_factory=list)
    representative: list[tuple[float, float]] = field(default_factory=list)

    def add(self, mel: Mel, representative: bool = False) -> None:
        """Append a part."""
        start = frame_to_seconds(sum(part.shape[1] for part in self.parts))
        self.parts.append(mel)
        if representative:
            self.representative.append((start, start + frame_to_seconds(mel.shape[1])))

    @property
    def recording(self) -> LogMel:
        """The whole song."""
        db = np.concatenate(self.parts, axis=1)
        return LogMel(db, np.ones(db.shape[1], np.float32), (db.shape[1] - 1) * HOP_LENGTH)

    def share(self, start: float) -> float:
        """How much of the section that starts here stands for the song, 0 to 1."""
        end = start + SECTION_SECONDS
        inside = sum(max(0.0, min(end, b) - max(start, a)) for a, b in self.representative)
        return min(1.0, inside / SECTION_SECONDS)


def _quiet_intro(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(silence(8))
    song.add(gain(speech_like(15), -6))
    song.add(gain(cut(track, 0, 15), -22))
    for _ in range(3):
        song.add(track, representative=True)
    song.add(silence(10))
    return song


def _verse_and_chorus(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(silence(3))
    for k in range(3):
        song.add(gain(cut(other, 3 * k, 3 * k + 18), -6))
        song.add(track, representative=True)
    return song


def _spoken_intro(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(recordings(parts.speech, 60, rng), -2))
    for _ in range(3):
        song.add(track, representative=True)
    song.add(gain(recordings(parts.speech, 15, rng), -2))
    return song


def _fades(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    whole = np.concatenate((track, track, track), axis=1)
    ramp = np.zeros(whole.shape[1], np.float32)
    steps = seconds_to_frame(25)
    ramp[:steps] = 40 * np.log10(np.linspace(1e-3, 1, steps))  # the square of time
    whole = gain(whole, np.minimum(ramp, ramp[::-1]))
    end = frame_to_seconds(whole.shape[1])
    song = Song()
    song.add(cut(whole, 0, 15))
    song.add(cut(whole, 15, end - 15), representative=True)
    song.add(cut(whole, end - 15))
    return song


def _applause_at_the_end(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(applause(10), -2))
    for part in (track, track, cut(track, 0, 20)):
        song.add(part, representative=True)
    song.add(gain(applause(35), 2))
    return song


def _live(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(applause(20), -2))
    song.add(gain(recordings(parts.speech, 25, rng), -2))
    for part in (track, track, cut(track, 0, 25)):
        song.add(part, representative=True)
    song.add(applause(25))
    return song


def _bridge(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(cut(other, 0, 12), -15))
    song.add(track, representative=True)
    song.add(track, representative=True)
    song.add(cut(other, 0, 25))
    song.add(track, representative=True)
    song.add(cut(other, 10, 25))
    return song


def _rain(track: Mel, other: Mel, parts: Parts, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(recordings(parts.rain, 25, rng), -4))
    for part in (track, track, cut(track, 0, 20)):
        song.add(part, representative=True)
    song.add(gain(recordings(parts.rain, 20, rng), -4))
    return song


KINDS: Final[dict[str, Callable[[Mel, Mel, Parts, np.random.Generator], Song]]] = {
    "quiet intro": _quiet_intro,
    "fades": _fades,
    "applause": _applause_at_the_end,
    "rain": _rain,
    "live": _live,
    "spoken intro": _spoken_intro,
    "bridge": _bridge,
    "verse and chorus": _verse_and_chorus,
}


def compose(kind: str, track: Path, parts: Parts) -> Song:
    """A song of which `track` is the representative part; another genre's track is the rest."""
    choose = random.Random(f"{kind} {track.stem}")
    other = choose.choice([path for path in parts.tracks if path.parent != track.parent])
    rng = np.random.default_rng(choose.randrange(2**32))
    return KINDS[kind](mel_of(track), mel_of(other), parts, rng)
