"""Rows, results and settings for the tests of the stores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.settings import BotSettings
from bot.storage.requests import RequestRow
from core.audio.spectrogram import QuantizedMel
from core.constants import FRONT_END_VERSION, GENRES, HOP_LENGTH, N_MELS
from core.service.identify import CachedResult, CacheKey
from core.verdict import ModelInfo, Prediction, Section, Segment

HOME, ELSEWHERE = 1, 2
ANN, BEA = 10, 20

ON_BOTH = pytest.mark.parametrize("stores", ["sqlite", "postgres"], indirect=True)
"""Runs a test on an SQLite file and on a PostgreSQL."""


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def settings(directory: Path, **values: Any) -> BotSettings:
    return BotSettings(_env_file=None, data_dir=directory, **values)


def spectrogram(seconds: float = 35.0) -> QuantizedMel:
    samples = int(seconds * 22_050)
    frames = 1 + samples // HOP_LENGTH
    rng = np.random.default_rng(0)
    mel = rng.integers(0, 255, (N_MELS, frames), dtype=np.uint8)
    return QuantizedMel(mel, np.full(frames, 200, np.uint8), -3.0, samples)


def result(*, mel: QuantizedMel | None = None) -> CachedResult:
    probabilities = tuple(0.55 if genre == "rock" else 0.05 for genre in GENRES)
    prediction = Prediction(
        215.0,
        0.9,
        "rock",
        {"rock": 1},
        probabilities,
        Section(62.0, 65.0),
        (Segment(62.0, 65.0, probabilities),),
        ModelInfo("plain", "1", "m" * 64),
    )
    return CachedResult(prediction, mel)


def key(sha256: str = "a" * 64, part: str = "main") -> CacheKey:
    return CacheKey(sha256, "m" * 64, FRONT_END_VERSION, part)


def row(**values: Any) -> RequestRow:
    known = RequestRow(HOME, ANN, "slash", False, 1_700_000_000.0, 1.0, "verdict", "rock", "a" * 64, "song.mp3")
    return replace(known, model="plain 1", part="main", start=62.0, end=92.0, duration=215.0, **values)
