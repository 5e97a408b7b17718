"""Tags of a song, and when it is said to be of a kind outside the ten genres."""

from dataclasses import replace

import numpy as np
import pytest

from core.audio.spectrogram import FloatArray
from core.inference.model_card import ModelCard, OutsideRule
from core.inference.outside import find_outside, shown_tags

TAGS = ("Techno", "House music", "Folk music", "Banjo")


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="genie",
        version="2",
        sha256="00",
        temperature=1.0,
        threshold=0.5,
        described={},
        outputs=("genre", "music", "tags", "embedding"),
        tags=TAGS,
        tag_thresholds={"Techno": 0.3, "Banjo": 0.2},
        outside=OutsideRule({"electronic": ("Techno", "House music"), "folk": ("Folk music",)}, least=0.5, weight=1.0),
    )


def tags(**probabilities: float) -> FloatArray:
    return np.array([probabilities.get(tag.split()[0].lower(), 0.01) for tag in TAGS], np.float32)


def test_the_likeliest_kind_is_named_with_its_probability(card: ModelCard) -> None:
    outside = find_outside(card, tags(house=0.9, folk=0.8), confidence=0.4)
    assert outside is not None
    assert (outside.name, outside.probability) == ("electronic", pytest.approx(0.9))


@pytest.mark.parametrize(
    ("confidence", "said"), [(0.3, True), (0.55, True), (0.75, False), (0.99, False), (1.0, False)]
)
def test_the_surer_the_genre_the_surer_the_kind_has_to_be(card: ModelCard, confidence: float, said: bool) -> None:
    assert (find_outside(card, tags(techno=0.7), confidence) is not None) == said


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certainty_has_finite_odds(card: ModelCard, probability: float) -> None:
    assert (find_outside(card, tags(techno=probability), 0.5) is not None) == (probability == 1.0)


def test_a_model_without_a_rule_says_nothing_of_kinds(card: ModelCard) -> None:
    assert find_outside(replace(card, outside=None), tags(techno=1.0), 0.1) is None


def test_only_tags_above_their_thresholds_are_shown_the_likeliest_first(card: ModelCard) -> None:
    shown = shown_tags(card, tags(techno=0.4, house=0.99, banjo=0.6))
    assert list(shown.items()) == [("Banjo", pytest.approx(0.6)), ("Techno", pytest.approx(0.4))]
    assert shown_tags(card, tags(techno=0.29, banjo=0.19)) == {}
