"""Make `demo.ogg`, the song that comes with the project: `python examples/make_demo.py`.

Forty seconds of a small dance tune, synthesised from nothing but sines, noise and envelopes: an intro, a theme, a
quiet bridge and the theme again. Like the rest of the project it is under the MIT licence.
"""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.audio.ffmpeg import ffmpeg_path

RATE = 44_100
BEAT = 60 / 118
CHORDS = ((57, 60, 64, 67), (53, 57, 60, 64), (48, 55, 60, 64), (55, 59, 62, 65))
BASS = (45, 41, 36, 43)
MELODY = (76, 0, 74, 72, 0, 74, 76, 79, 0, 76, 74, 0, 72, 0, 69, 0)

Samples = NDArray[np.float64]


def seconds(length: float) -> Samples:
    """Time axis of a sound."""
    return np.arange(round(length * RATE)) / RATE


def tone(note: float, length: float, partials: int, decay: float) -> Samples:
    """Saw-like tone of a MIDI note: some harmonics, softer the higher, dying away."""
    t = seconds(length)
    hertz = 440 * 2 ** ((note - 69) / 12)
    waves = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, partials + 1))
    return np.asarray(waves) * np.exp(-t * decay) * np.minimum(1, t * 200) * np.minimum(1, (length - t) * 100)


def kick() -> Samples:
    """Sine that falls from 150 Hz to 45 Hz."""
    t = seconds(0.28)
    phase = 2 * np.pi * (45 * t + 105 / 30 * (1 - np.exp(-30 * t)))
    return np.asarray(np.sin(phase) * np.exp(-9 * t))


def noise(length: float, decay: float, rng: np.random.Generator) -> Samples:
    """Burst of bright noise."""
    t = seconds(length)
    return np.asarray(np.diff(rng.standard_normal(t.size + 1)) * np.exp(-decay * t))


def song() -> Samples:
    """Mono samples, full scale 1."""
    rng = np.random.default_rng(118)
    bars = 20
    track = np.zeros(round((bars * 4 + 2) * BEAT * RATE))

    def put(sound: Samples, beat: float, level: float) -> None:
        start = round(beat * BEAT * RATE)
        track[start : start + sound.size] += level * sound[: track.size - start]

    for bar in range(bars):
        quiet, intro = 10 <= bar < 12, bar < 2
        first, chord = bar * 4, bar % 4
        for step in range(8):
            half = first + step / 2
            if not quiet:
                put(noise(0.05, 60, rng), half, 0.10 if step % 2 == 0 else 0.2)
            if not intro:
                octave = 12 if step % 2 else 0
                put(tone(BASS[chord] + octave, BEAT * 0.45, 8, 5), half, 0.22)
            if step % 2 and not intro:
                for note in CHORDS[chord]:
                    put(tone(note, BEAT * 0.3, 6, 9), half, 0.07)
        for beat in range(4):
            if not quiet:
                put(kick(), first + beat, 0.7)
                if beat % 2:
                    put(noise(0.18, 22, rng), first + beat, 0.3)
        if bar >= 4:
            for step in range(4):
                note = MELODY[(bar % 4) * 4 + step]
                if note:
                    put(tone(note, BEAT * 0.9, 5, 3), first + step, 0.12)
    return np.tanh(track * 0.9)


def main() -> None:
    """Write the song beside this script."""
    out = Path(__file__).with_name("demo.ogg")
    pcm = song().astype("<f4").tobytes()
    encode = [
        "-f",
        "f32le",
        "-ar",
        str(RATE),
        "-ac",
        "1",
        "-i",
        "pipe:0",
        "-c:a",
        "libvorbis",
        "-q:a",
        "3",
        "-bitexact",
    ]
    subprocess.run([ffmpeg_path(), "-v", "error", "-y", *encode, str(out)], input=pcm, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
