"""How good a model's neighbours are: the share of the nearest songs that are of the same genre, against chance."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import FloatArray
from core.inference.pipeline import Models
from training.config import EvaluationConfig, collection_name
from training.data.collections import load
from training.data.gtzan import DataError, to_db
from training.data.splits import make_split
from training.experiment import split_of, write_json

NEAREST: Final = (1, 5)
SIMILARITIES: Final = (0.9, 0.7, 0.5)
"""Lower ends of the bands of the cosine that the bot has words for."""


def measure_neighbours(model: str, config: EvaluationConfig) -> dict[str, Any]:
    """Compare the tracks of a subset with each other, by the mean embedding of their segments.

    Args:
        model: a name under `models/` or a file.
        config: what it is measured on, where `neighbours-MODEL.json` is written (`neighbours-MODEL-fma.json` of FMA).

    Returns:
        As from `compare`, with `model`, `collection`, `split`, `seed`, `subset` and `tracks`.

    Raises:
        FileNotFoundError: there is no such data or list.
        DataError: the data is not valid, the split has no such subset, the model has no embedding, or it was trained on
            another split.
    """
    gtzan = load(config.data)
    classifier = Models().genre(model)
    split, seed = split_of(classifier.card.described, gtzan, config)
    made = make_split(split, gtzan, seed, config.lists)
    made.require(config.subset)
    subset = made.subset(config.subset)
    embeddings = classifier.run(to_db(subset.segments(gtzan))).embedding
    if embeddings is None:
        raise DataError(f"{classifier.card.name} has no embedding")
    means = np.stack([embeddings[subset.track == track].mean(axis=0) for track in subset.tracks])
    compared = compare(means / np.linalg.norm(means, axis=1, keepdims=True), gtzan.labels[subset.tracks])
    measured = {
        "model": classifier.card.name,
        "collection": gtzan.collection,
        "split": str(split),
        "seed": seed,
        "subset": str(config.subset),
        "tracks": len(subset.tracks),
        **compared,
    }
    name = collection_name(classifier.card.name, gtzan.collection)
    write_json(config.figures / f"neighbours-{name}.json", measured)
    return measured


def compare(embeddings: FloatArray, genres: NDArray[np.int64]) -> dict[str, Any]:
    """Compare songs with each other.

    Args:
        embeddings: of length 1, float32 `(n, d)`.
        genres: `(n,)`.

    Returns:
        `same`: for each of `NEAREST`, the share of so many nearest songs that are of the same genre; `chance`: that
        share of all pairs; `bands`: for each of `SIMILARITIES`, the share of all pairs that are so near and below the
        band before (`pairs`), and the share of these that are of the same genre (`same`; None where there is none).
    """
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    alike = genres[:, np.newaxis] == genres
    order = np.argsort(-similarity, axis=1, kind="stable")
    pairs = np.triu_indices(len(genres), 1)
    values, same = similarity[pairs], alike[pairs]
    bands, upper = {}, np.inf
    for lower in SIMILARITIES:
        inside = (values >= lower) & (values < upper)
        bands[str(lower)] = {
            "pairs": round(float(inside.mean()), 4),
            "same": round(float(same[inside].mean()), 4) if inside.any() else None,
        }
        upper = lower
    nearest = {str(k): round(float(np.take_along_axis(alike, order[:, :k], axis=1).mean()), 4) for k in NEAREST}
    return {"same": nearest, "chance": round(float(same.mean()), 4), "bands": bands}
