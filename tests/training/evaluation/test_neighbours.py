"""How good neighbours are, of made-up embeddings."""

import numpy as np
import pytest

from training.evaluation.neighbours import compare


def test_neighbours_of_the_same_genre_are_counted_against_chance() -> None:
    angles = np.radians([0, 5, 90, 97, 10])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    compared = compare(embeddings, np.array([0, 0, 1, 1, 1]))
    # Only the last has its nearest in another genre.
    assert compared["same"]["1"] == pytest.approx(0.8)
    assert compared["chance"] == pytest.approx(0.4)
    # Near pairs: three among 0°, 5° and 10°, of which one agrees, and 90° with 97°.
    assert compared["bands"]["0.9"] == {"pairs": 0.4, "same": 0.5}
    assert compared["bands"]["0.5"] == {"pairs": 0.0, "same": None}
