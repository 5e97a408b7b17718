"""Sounds for tests: songs made by numpy, and files of them made by a real ffmpeg."""

import os
import shutil
import struct
import subprocess
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from core.audio.ffmpeg import FFMPEG_VARIABLE, bundled_ffmpeg_path, ffmpeg_path
from core.audio.spectrogram import FloatArray
from core.constants import SAMPLE_RATE

FFMPEGS: Final = ("system", "bundled")

CHORDS: Final = ((220.0, 277.2, 329.6), (146.8, 185.0, 220.0), (164.8, 207.7, 246.9), (220.0, 261.6, 329.6))


def program(kind: str) -> str:
    """Path of one of `FFMPEGS`; skips the test where the machine lacks it."""
    if kind == "bundled":
        return bundled_ffmpeg_path()
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("there is no ffmpeg on the PATH")
    return found


@contextmanager
def using_ffmpeg(kind: str) -> Iterator[str]:
    """Have everything use one of `FFMPEGS`."""
    path = program(kind)
    before = os.environ.get(FFMPEG_VARIABLE)
    os.environ[FFMPEG_VARIABLE] = path
    ffmpeg_path.cache_clear()
    try:
        yield path
    finally:
        del os.environ[FFMPEG_VARIABLE]
        if before is not None:
            os.environ[FFMPEG_VARIABLE] = before
        ffmpeg_path.cache_clear()


def make_song(seconds: float, seed: int = 0, rate: int = SAMPLE_RATE) -> FloatArray:
    """A song of chords, a bass drum on each beat and noise between: float32, mono, at most 0.7 of full scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tempo = rng.uniform(90, 150) / 60
    beat = time * tempo
    phase = 2 * np.pi * np.arange(4096) / 4096
    period = sum(np.sin(k * phase) / k**1.5 for k in range(1, 9))
    chords = rng.permutation(CHORDS)[(beat // 4 % len(CHORDS)).astype(int)]
    song = np.zeros_like(time)
    for note in chords.T:
        song += 0.1 * period[(note * time % 1 * period.size).astype(int)]
    since_beat = beat % 1 / tempo
    song += 0.4 * np.sin(2 * np.pi * 55 * since_beat) * np.exp(-since_beat * 18)
    song += 0.12 * rng.standard_normal(time.size) * np.exp(-((beat + 0.5) % 1) / tempo * 40)
    return (0.7 * song / np.abs(song).max()).astype(np.float32)


def make_noise(seconds: float, low: float, high: float, seed: int = 0) -> FloatArray:
    """Noise between two frequencies in Hz, float32 of full scale."""
    size = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * ((frequencies > low) & (frequencies < high)), size)
    return (noise / np.abs(noise).max()).astype(np.float32)


def make_speech(seconds: float, seed: int = 0) -> FloatArray:
    """Noise that comes in syllables and pauses, as speech does: float32 of full scale."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = np.clip(np.sin(2 * np.pi * 4 * time + 3 * np.sin(2 * np.pi * 0.7 * time)), 0, 1)
    pauses = np.sin(2 * np.pi * 0.3 * time) > -0.6
    return (make_noise(seconds, 150, 3_500, seed) * syllables * pauses).astype(np.float32)


def make_scale(seconds: int, rate: int = 44_100) -> FloatArray:
    """A tone for each second: `scale_pitch(k)` Hz in second `k`. Tells what was decoded, and from where."""
    time = np.arange(rate) / rate
    tones = [0.5 * np.sin(2 * np.pi * scale_pitch(second) * time) for second in range(seconds)]
    return np.concatenate(tones).astype(np.float32)


def scale_pitch(second: int) -> float:
    """Hz."""
    return 300.0 + 100 * second


def heard_pitches(samples: FloatArray, rate: int = SAMPLE_RATE) -> list[float]:
    """Loudest frequency in the middle of each whole second, Hz, to the nearest 2."""
    pitches = []
    for start in range(0, samples.size - rate + 1, rate):
        middle = samples[start + rate // 4 : start + rate * 3 // 4]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
        pitches.append(float(np.argmax(spectrum)) * rate / middle.size)
    return pitches


def write_wav(path: Path, samples: NDArray[np.floating], rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    """Write samples, full scale 1, as 16-bit WAV; more channels than one repeat them."""
    data = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(data, channels).tobytes())
    return path


def write_float_wav(path: Path, samples: NDArray[np.floating], rate: int = SAMPLE_RATE) -> Path:
    """Write samples `(n, channels)`, of whatever scale, as WAV of 32-bit floats."""
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    channels = samples.shape[1]
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3, channels, rate, rate * 4 * channels, 4 * channels, 32),
        *(b"data", len(data)),
    )
    path.write_bytes(header + data)
    return path


def mixed(stereo: FloatArray) -> FloatArray:
    """Both channels `(n, 2)` as decoded, in one `(n,)`: a mono file as it was."""
    mono: FloatArray = stereo.sum(axis=1) * np.float32(0.5**0.5)
    return mono


def encode(target: Path, *arguments: str | Path) -> Path:
    """Run ffmpeg with these arguments before the output's name; the other one where the first cannot.

    Skips the test where neither can.
    """
    told = ""
    for kind in FFMPEGS:
        if kind == "system" and shutil.which("ffmpeg") is None:
            continue
        command = [program(kind), "-v", "error", "-nostdin", "-y", *map(str, arguments), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return target
        told = done.stderr
    pytest.skip(f"no ffmpeg here can write {target.name}: {told[-200:]}")


def hits(pulse: FloatArray, per_second: int = 4, seconds: int = 30) -> FloatArray:
    """The same short sound again and again, silence between."""
    samples = np.zeros(seconds * SAMPLE_RATE, np.float32)
    for number in range(seconds * per_second):
        start = number * SAMPLE_RATE // per_second
        samples[start : start + pulse.size] += pulse
    return samples


def hi_hat() -> FloatArray:
    """Noise above 7 kHz that dies away in 50 ms."""
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 20)
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(noise.size, 1 / SAMPLE_RATE) < 7_000] = 0
    filtered = np.fft.irfft(spectrum, noise.size) * np.hanning(noise.size)
    return (filtered / np.abs(filtered).max() * 0.5).astype(np.float32)


def bass() -> FloatArray:
    """Fifty milliseconds of 80 Hz, without a click at either end."""
    time = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * 80 * time) * np.hanning(time.size)).astype(np.float32)
