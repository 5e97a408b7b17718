import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from training import experiment, networks, recipes, study
from training.config import ExperimentConfig, Kind, OutputFolders
from training.data.gtzan import Gtzan
from training.data.splits import SplitName
from training.recipes import TrainConfig

RUNS = [
    "plain-track-0",
    "augmented-track-0",
    "plain-filtered-0",
    "augmented-filtered-0",
    "plain-segment-0",
    "augmented-segment-0",
    "plain-stretched-0",
    "augmented-stretched-0",
    "plain-cross-0",
    "augmented-cross-0",
    "plain-track-1",
    "augmented-track-1",
    "plain-track-2",
    "augmented-track-2",
]


@pytest.fixture
def config(made_gtzan: Gtzan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentConfig:
    """Two tracks per genre and subset, and networks that are trained in a moment."""
    names = [name for name in made_gtzan.names if int(name[-5:]) < 5]
    mel = made_gtzan.mel[[made_gtzan.index[name] for name in names]]
    np.savez(tmp_path / "mel.npz", mel=mel, track=np.array(names))
    for subset, numbers in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4,))):
        lines = [f"{genre}/{genre}.{number:05d}.wav" for genre in GENRES for number in numbers]
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(lines))
    recipe = TrainConfig(lambda: networks.study_cnn((1, 2, 2), 4), 1, 8, 64)
    monkeypatch.setattr(recipes, "RECIPES", {"plain": recipe, "augmented": replace(recipe, stretched=True)})
    return ExperimentConfig(
        Kind.STUDY,
        tmp_path / "mel.npz",
        lists=tmp_path,
        out=OutputFolders.all_in(tmp_path / "out"),
        runs=tmp_path / "runs",
    )


def test_the_list_begins_with_what_is_wanted_most() -> None:
    assert [str(run) for run in study.study_runs()] == RUNS


def test_recipes_train_until_validation_no_longer_improves() -> None:
    assert {name: (recipe.epochs, recipe.patience, recipe.stretched) for name, recipe in recipes.RECIPES.items()} == {
        "plain": (60, 8, False),
        "augmented": (60, 8, True),
    }


def test_a_measurement_of_a_training_that_was_not_ended_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "plain-track-0-test.json"
    assert not study.is_done(file)
    file.write_text(json.dumps({"trained_on": {"split": "track", "seed": 0}}))
    assert not study.is_done(file)
    file.write_text(json.dumps({"trained_on": {"split": "track", "seed": 0, "converged": True}}))
    assert study.is_done(file)


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_the_rest_follows(
    config: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [study.StudyRun(kind, SplitName.STRETCHED, 0) for kind in (Kind.PLAIN, Kind.AUGMENTED)]
    wanted += [study.StudyRun(Kind.PLAIN, split, 0) for split in (SplitName.TRACK, SplitName.CROSS)]
    monkeypatch.setattr(study, "study_runs", lambda: iter(wanted))
    trained = []
    original = experiment.train_genre_model

    def train(own: ExperimentConfig, **options: object) -> Path:
        trained.append(own.run_name)
        if own.run_name == "plain-track-0" and trained.count("plain-track-0") == 1:
            raise KeyboardInterrupt
        return original(own, **options)

    monkeypatch.setattr(study, "train_genre_model", train)
    with pytest.raises(KeyboardInterrupt):
        study.run_study(config)
    study.run_study(config)
    assert trained == ["plain-stretched-0", "plain-track-0", "plain-track-0"]
    figures = {path.stem for path in config.out.figures.glob("*-test.json")}
    assert figures == {f"{run}-test" for run in map(str, wanted)}
    cross = json.loads((config.out.figures / "plain-cross-0-test.json").read_text())
    assert cross["trained_on"] == {"split": "track", "seed": 0, "converged": True, "collection": "GTZAN"}
    plain, augmented = (
        json.loads((config.out.figures / f"{kind}-stretched-0-test.json").read_text())
        for kind in ("plain", "augmented")
    )
    assert augmented["model"] == "augmented-stretched"
    assert augmented["figures"] == plain["figures"]
