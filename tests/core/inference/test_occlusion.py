"""Occlusion on made sound, where it is known which bands hold the sound."""

from dataclasses import replace

import numpy as np
import pytest

from core.audio.spectrogram import FloatArray, log_mel, mel_band_edge, segments_db
from core.constants import FMAX, GENRES, N_MELS
from core.errors import ConfigurationError
from core.inference.classifier import Classifier
from core.inference.model_card import model_file
from core.inference.occlusion import BAND_CELLS, BANDS, FRAMES, TIME_CELLS, importance, occlude
from core.inference.pipeline import ClassifyOptions, Models, classify_spectrogram
from tests.support.audio import bass, hi_hat, hits, make_song


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(model_file("plain"))


def share_by_band(samples: FloatArray, classifier: Classifier) -> FloatArray:
    recording = log_mel([samples])
    segments = segments_db(recording, recording.segment_starts(most=3))
    genre = GENRES[int(classifier.probabilities(segments).mean(axis=0).argmax())]
    falls = np.abs(importance(segments, genre, classifier)).sum(axis=(0, 2))
    shares: FloatArray = falls / falls.sum()
    return shares


def test_of_a_hi_hat_alone_only_the_highest_bands_matter(classifier: Classifier) -> None:
    shares = share_by_band(hits(hi_hat()), classifier)
    assert shares[-2:].sum() > 0.95


def test_of_a_bass_alone_only_the_lowest_bands_matter(classifier: Classifier) -> None:
    shares = share_by_band(hits(bass(), per_second=2), classifier)
    assert shares[:2].sum() > 0.9


def test_one_cell_is_silenced_and_no_other() -> None:
    segments = np.random.default_rng(0).uniform(-60, 0, (2, N_MELS, 72)).astype(np.float32)
    occluded = occlude(segments, 3, 2)
    changed = (occluded != segments).any(axis=0)
    assert changed[3 * BANDS : 4 * BANDS, 2 * FRAMES : 3 * FRAMES].all()
    changed[3 * BANDS : 4 * BANDS, 2 * FRAMES : 3 * FRAMES] = False
    assert not changed.any()
    np.testing.assert_array_equal(occluded.min(axis=(1, 2)), segments.min(axis=(1, 2)))


def test_cells_cover_the_segment() -> None:
    assert BAND_CELLS * BANDS == N_MELS
    assert TIME_CELLS * FRAMES == 72
    assert mel_band_edge(0) == 0
    assert mel_band_edge(N_MELS) == pytest.approx(FMAX)


def test_a_prediction_says_why_where_that_is_asked_for() -> None:
    recording = log_mel([make_song(30)])
    models = Models("plain")
    result = classify_spectrogram(recording, ClassifyOptions(why=True, picture=True), models=models)
    why = result.prediction.why
    assert why is not None
    assert sum(share for *_, share in why.by_band()) == pytest.approx(1)
    assert sum(share for *_, share in why.by_time()) == pytest.approx(1)
    assert len(why.importance[0]) == TIME_CELLS * len(why.segments)
    plain = classify_spectrogram(recording, ClassifyOptions(picture=True), models=models)
    assert plain.prediction.why is None
    assert result.picture != plain.picture, "what spoke for the genre stands out"


def test_a_model_without_genres_explains_none(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "card", replace(classifier.card, outputs=("music",)))
    with pytest.raises(ConfigurationError, match="no model of genres"):
        importance(np.zeros((1, N_MELS, 72), np.float32), "rock", classifier)
