"""How good neighbours are, of made-up embeddings."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from training.config import EvaluationConfig
from training.data.gtzan import Gtzan
from training.data.splits import SplitName
from training.evaluation import neighbours
from training.evaluation.neighbours import compare, measure_neighbours


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


def test_another_collection_has_a_file_of_its_own(
    made_gtzan: Gtzan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(name="genie-filtered", described={"split": "track", "seed": 0, "data": {"name": "GTZAN"}})
    embed = SimpleNamespace(card=card, run=lambda db: SimpleNamespace(embedding=db.mean(axis=2)))
    monkeypatch.setattr(neighbours, "Models", lambda: SimpleNamespace(genre=lambda name: embed))
    for collection, name in (("GTZAN", "neighbours-genie-filtered"), ("FMA", "neighbours-genie-filtered-fma")):
        loaded = replace(made_gtzan, collection=collection)
        monkeypatch.setattr(neighbours, "load", lambda path, loaded=loaded: loaded)
        measure_neighbours("genie-filtered", EvaluationConfig(tmp_path, SplitName.TRACK, 0, figures=tmp_path))
        assert json.loads((tmp_path / f"{name}.json").read_text())["collection"] == collection
