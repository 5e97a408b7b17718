"""Songs put together from real parts, so that it is known which part stands for them."""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from core.constants import SAMPLE_RATE, SECTION_SECONDS
from core.decode import DecodeLimits, Decoding
from core.spectrogram import FloatArray
from tests.support.data import GTZAN_TRACKS, SOUNDS, SPEECH


@functools.lru_cache(64)
def samples_of(path: Path) -> FloatArray:
    """A recording as it is decoded."""
    return np.concatenate(list(Decoding(path, DecodeLimits(2**30, 600, 60))))


def at_level(samples: FloatArray, dbfs: float) -> FloatArray:
    """Samples with this root mean square."""
    level = np.sqrt(np.mean(np.square(samples)) + 1e-12)
    return (samples * (10 ** (dbfs / 20) / level)).astype(np.float32)


def gain(samples: FloatArray, db: float) -> FloatArray:
    """Louder, or quieter."""
    return (samples * 10 ** (db / 20)).astype(np.float32)


def cut(samples: FloatArray, start: float, end: float | None = None) -> FloatArray:
    """From one second to another."""
    return samples[int(start * SAMPLE_RATE) : None if end is None else int(end * SAMPLE_RATE)]


def silence(seconds: float) -> FloatArray:
    """Digital silence."""
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def noise(seconds: float, rng: np.random.Generator, low: float, high: float) -> FloatArray:
    """Noise between two frequencies, Hz."""
    size = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * ((frequencies > low) & (frequencies < high)), size).astype(np.float32)


def speech_like(seconds: float, rng: np.random.Generator) -> FloatArray:
    """Noise that comes in syllables and pauses."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = np.clip(np.sin(2 * np.pi * 4 * time + 3 * np.sin(2 * np.pi * 0.7 * time)), 0, 1)
    return (noise(seconds, rng, 150, 3_500) * syllables * (np.sin(2 * np.pi * 0.3 * time) > -0.6)).astype(np.float32)


def applause(seconds: float, rng: np.random.Generator) -> FloatArray:
    """Noise that swells and falls a little."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swell = np.interp(time, np.arange(0, seconds + 1, 0.25), rng.uniform(0.7, 1, int((seconds + 1) * 4)))
    return (noise(seconds, rng, 300, 6_000) * swell).astype(np.float32)


def recordings(paths: tuple[Path, ...], seconds: float, rng: np.random.Generator) -> FloatArray:
    """Recordings one after another, each as loud as the others."""
    parts: list[FloatArray] = []
    for index in rng.permutation(len(paths)):
        parts.append(at_level(samples_of(paths[index]), -20))
        if sum(part.size for part in parts) >= seconds * SAMPLE_RATE:
            break
    return cut(np.concatenate(parts), 0, seconds)


@dataclass
class Song:
    """Parts in a row, and which of them stand for the whole: `(start, end)` in seconds."""

    parts: list[FloatArray] = field(default_factory=list)
    representative: list[tuple[float, float]] = field(default_factory=list)

    def add(self, samples: FloatArray, representative: bool = False) -> None:
        """Append a part."""
        start = sum(part.size for part in self.parts) / SAMPLE_RATE
        self.parts.append(samples)
        if representative:
            self.representative.append((start, start + samples.size / SAMPLE_RATE))

    @property
    def samples(self) -> FloatArray:
        """The whole song."""
        return np.concatenate(self.parts)

    def share(self, start: float) -> float:
        """How much of the section that starts here stands for the song, 0 to 1."""
        end = start + SECTION_SECONDS
        inside = sum(max(0.0, min(end, b) - max(start, a)) for a, b in self.representative)
        return min(1.0, inside / SECTION_SECONDS)


Parts = tuple[FloatArray, FloatArray, np.random.Generator]


def _quiet_intro(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(silence(8))
    song.add(at_level(speech_like(15, rng), -24))
    song.add(gain(cut(track, 0, 15), -22))
    for _ in range(3):
        song.add(track, representative=True)
    song.add(silence(10))
    return song


def _verse_and_chorus(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(silence(3))
    for k in range(3):
        song.add(gain(cut(other, 3 * k, 3 * k + 18), -6))
        song.add(track, representative=True)
    return song


def _spoken_intro(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(recordings(SPEECH, 60, rng))
    for _ in range(3):
        song.add(track, representative=True)
    song.add(recordings(SPEECH, 15, rng))
    return song


def _fades(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    whole = np.concatenate((track, track, track))
    ramp = np.linspace(0, 1, 25 * SAMPLE_RATE, dtype=np.float32) ** 2
    whole[: ramp.size] *= ramp
    whole[-ramp.size :] *= ramp[::-1]
    song = Song()
    song.add(cut(whole, 0, 15))
    song.add(cut(whole, 15, whole.size / SAMPLE_RATE - 15), representative=True)
    song.add(cut(whole, whole.size / SAMPLE_RATE - 15))
    return song


def _applause_at_the_end(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(at_level(applause(10, rng), -20))
    for part in (track, track, cut(track, 0, 20)):
        song.add(part, representative=True)
    song.add(at_level(applause(35, rng), -16))
    return song


def _live(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(at_level(applause(20, rng), -20))
    song.add(recordings(SPEECH, 25, rng))
    for part in (track, track, cut(track, 0, 25)):
        song.add(part, representative=True)
    song.add(at_level(applause(25, rng), -18))
    return song


def _bridge(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    song = Song()
    song.add(gain(cut(other, 0, 12), -15))
    song.add(track, representative=True)
    song.add(track, representative=True)
    song.add(cut(other, 0, 25))
    song.add(track, representative=True)
    song.add(cut(other, 10, 25))
    return song


def _rain(track: FloatArray, other: FloatArray, rng: np.random.Generator) -> Song:
    rain = tuple(path for path in SOUNDS if path.parent.name in ("rain", "sea_waves"))
    song = Song()
    song.add(gain(recordings(rain, 25, rng), -2))
    for part in (track, track, cut(track, 0, 20)):
        song.add(part, representative=True)
    song.add(gain(recordings(rain, 20, rng), -2))
    return song


KINDS: Final[dict[str, Callable[[FloatArray, FloatArray, np.random.Generator], Song]]] = {
    "quiet intro": _quiet_intro,
    "fades": _fades,
    "applause": _applause_at_the_end,
    "rain": _rain,
    "live": _live,
    "spoken intro": _spoken_intro,
    "bridge": _bridge,
    "verse and chorus": _verse_and_chorus,
}


def compose(kind: str, track: Path) -> Song:
    """A song of which `track` is the representative part; another genre's track is the rest."""
    choose = random.Random(f"{kind} {track.stem}")
    other = choose.choice([path for path in GTZAN_TRACKS if path.parent != track.parent])
    rng = np.random.default_rng(choose.randrange(2**32))
    return KINDS[kind](at_level(samples_of(track), -18), at_level(samples_of(other), -18), rng)
