"""Data sets of synthetic sounds."""

import os
from pathlib import Path

# TensorFlow's notices of missing GPUs would bury a test's own output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from core.constants import GENRES, N_MELS, SAMPLE_RATE, SECTION_FRAMES
from tests.support.audio import make_song, write_wav
from training.data.gtzan import Gtzan
from training.data.other_sounds import Recordings


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


@pytest.fixture
def recordings() -> Recordings:
    """Six recordings of music, four of which are long, and six of noise."""
    mel = np.random.default_rng(0).integers(0, 255, (12, N_MELS, SECTION_FRAMES)).astype(np.uint8)
    is_music = np.arange(12) < 6
    labels = ("gtzan/archive",) * 4 + ("gtzan/as-is",) * 2 + ("rain/as-is",) * 3 + ("speech/as-is",) * 3
    return Recordings(mel, is_music, np.where(np.arange(12) < 4, 10, 1), labels)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with its card."""
    # Only tests that need a network wait for TensorFlow.
    import keras

    from training import export, networks

    keras.utils.set_random_seed(0)
    content = export.convert(networks.study_cnn((2, 4, 8), 8), "int8")
    fields = export.CardFields("small", "1", {}, "filtered", 0, {})
    return export.write_model(tmp_path_factory.mktemp("model"), fields, content)
