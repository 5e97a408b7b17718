"""A GTZAN of made sounds, and a network small enough to be trained in a test."""

import os
from pathlib import Path

# TensorFlow's notices of missing GPUs would bury a test's own words.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from core.constants import GENRES, N_MELS, SAMPLE_RATE, SECTION_FRAMES
from tests.support.audio import make_song, write_wav
from training.data.gtzan import Gtzan


@pytest.fixture(scope="session")
def gtzan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tracks of hiss and chords under `genres_original/`, and three that cannot be used."""
    folder = tmp_path_factory.mktemp("gtzan")
    generator = np.random.default_rng(0)
    for genre in ("metal", "classical"):
        (folder / "genres_original" / genre).mkdir(parents=True)
        for number in range(3):
            samples = make_song(30, seed=number)
            if genre == "metal":
                samples = 0.3 * generator.standard_normal(30 * SAMPLE_RATE).astype(np.float32)
            write_wav(folder / "genres_original" / genre / f"{genre}.{number:05d}.wav", samples)
    jazz = folder / "genres_original" / "jazz"
    jazz.mkdir()
    write_wav(jazz / "jazz.00054.wav", make_song(30, seed=9))
    write_wav(jazz / "jazz.00001.wav", make_song(12))
    (jazz / "jazz.00002.wav").write_bytes(b"RIFF but nothing that follows it")
    (folder / "genres_original" / "jazz" / "notes.txt").write_text("not a track")
    return folder


@pytest.fixture(scope="session")
def made_gtzan(tmp_path_factory: pytest.TempPathFactory) -> Gtzan:
    """Ten tracks a genre; each genre beats in bands and at a pace of its own."""
    generator = np.random.default_rng(0)
    mel = generator.integers(0, 120, (100, N_MELS, SECTION_FRAMES)).astype(np.uint8)
    names = [f"{genre}.{number:05d}" for genre in GENRES for number in range(10)]
    for track in range(100):
        genre = track // 10
        beats = mel[track, genre * 12 : genre * 12 + 6, :: genre + 2]
        beats[:] = 255 - generator.integers(0, 30, beats.shape)
    return Gtzan(mel, tuple(names), "archive", tmp_path_factory.mktemp("made"), {})
