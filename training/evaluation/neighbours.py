"""How good a model's neighbours are: the share of the nearest songs that are of the same genre, against chance."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.audio.spectrogram import FloatArray
from core.inference.pipeline import Models
from training.data.gtzan import DataError, load, to_db
from training.data.splits import SplitName, SubsetName, make_split

NEAREST: Final = (1, 5)
SIMILARITIES: Final = (0.9, 0.7, 0.5)
"""Lower ends of the bands of the cosine that the bot has words for."""


def measure_neighbours(model: str, data: Path, split: SplitName, lists: Path | None) -> dict[str, Any]:
    """Compare the tracks of a split's test subset with each other, by the mean embedding of their segments.

    Args:
        model: a name under `models/` or a file; one that was not trained on these tracks.
        data: a GTZAN folder or `mel.npz`.
        split: how tracks are split.
        lists: folder of the filtered lists, where they are not beside the data.

    Returns:
        As from `compare`, with `model`, `split` and `tracks`.

    Raises:
        FileNotFoundError: there is no such data or list.
        DataError: the data is not valid, or the model has no embedding.
    """
    gtzan = load(data)
    subset = make_split(split, gtzan, 0, lists).subset(SubsetName.TEST)
    classifier = Models().genre(model)
    embeddings = classifier.run(to_db(subset.segments(gtzan))).embedding
    if embeddings is None:
        raise DataError(f"{classifier.card.name} has no embedding")
    means = np.stack([embeddings[subset.track == track].mean(axis=0) for track in subset.tracks])
    compared = compare(means / np.linalg.norm(means, axis=1, keepdims=True), gtzan.labels[subset.tracks])
    return {"model": classifier.card.name, "split": split.value, "tracks": len(subset.tracks), **compared}


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
