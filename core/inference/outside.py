"""Tags of a song → whether it is of a kind outside the ten genres."""

import math

import numpy as np

from core.audio.spectrogram import FloatArray
from core.inference.model_card import ModelCard
from core.verdict import Outside

_SMALLEST = 1e-6


def find_outside(card: ModelCard, tags: FloatArray, confidence: float) -> Outside | None:
    """Find the kind of music outside the ten genres that a song is of, if it is of one.

    Args:
        card: of the model, with its rule.
        tags: mean probability of each of the card's tags over the song's segments, float32 `(n_tags,)`.
        confidence: mean probability of the genre voted for.
    """
    rule = card.outside
    if rule is None:
        return None
    by_tag = dict(zip(card.tags, tags.tolist(), strict=True))
    scores = {kind: max(by_tag[tag] for tag in meant) for kind, meant in rule.kinds.items()}
    kind = max(scores, key=scores.__getitem__)
    if _log_odds(scores[kind]) <= _log_odds(rule.least) + rule.weight * _log_odds(confidence):
        return None
    return Outside(kind, scores[kind])


def shown_tags(card: ModelCard, tags: FloatArray) -> dict[str, float]:
    """Give the tags that are certain enough to be shown, the likeliest first; arguments as of `find_outside`."""
    by_tag = zip(card.tags, np.asarray(tags, float).tolist(), strict=True)
    shown = {tag: p for tag, p in by_tag if tag in card.tag_thresholds and p >= card.tag_thresholds[tag]}
    return dict(sorted(shown.items(), key=lambda pair: -pair[1]))


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, _SMALLEST), 1 - _SMALLEST)
    return math.log(clipped / (1 - clipped))
