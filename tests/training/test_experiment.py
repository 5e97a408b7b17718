import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from core.constants import GENRES
from core.inference.classifier import Classifier
from genregenie import build_app
from training import experiment, networks, recipes
from training.config import EvaluationConfig, ExperimentConfig, Kind, OutputFolders
from training.data.gtzan import DataError, Gtzan
from training.data.splits import SplitName, SubsetName
from training.recipes import TrainConfig


@pytest.fixture
def data(made_gtzan: Gtzan, tmp_path: Path) -> Path:
    """An archive of five tracks per genre, and filtered lists of them."""
    names = [name for name in made_gtzan.names if int(name[-5:]) < 5]
    mel = made_gtzan.mel[[made_gtzan.index[name] for name in names]]
    np.savez(tmp_path / "mel.npz", mel=mel, track=np.array(names))
    for subset, numbers in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4,))):
        lines = [f"{genre}/{genre}.{number:05d}.wav" for genre in GENRES for number in numbers]
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(lines))
    return tmp_path / "mel.npz"


@pytest.fixture(autouse=True)
def small_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks that learn in seconds."""
    recipe = TrainConfig(lambda: networks.study_cnn((2, 4, 8), 8), 1, None, 32, learning_rate=3e-3)
    monkeypatch.setitem(recipes.RECIPES, "plain", recipe)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions that read or split the data, one for each call."""
    made: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(experiment, name)

        def call(*args: object) -> object:
            made.append(name)
            return original(*args)

        return call

    for name in ("load", "make_split"):
        monkeypatch.setattr(experiment, name, counted(name))
    return made


def test_a_training_writes_a_model_with_a_card_that_repeats_its_figures(
    data: Path, tmp_path: Path, calls: list[str]
) -> None:
    out = OutputFolders.all_in(tmp_path / "out")
    path = experiment.train_genre_model(ExperimentConfig(Kind.PLAIN, data, out=out, runs=tmp_path / "runs"))
    assert calls == ["load", "make_split"], "the data is read and split once"
    assert path == tmp_path / "out" / "plain.tflite"
    card = Classifier(path).card.described
    assert card["data"] == {"name": "GTZAN", "tracks": 50, "source": "archive", "segments": 300, "epochs": 1}
    assert list(card["metrics"]["track"]) == ["valid", "test"]
    measured = json.loads((out.figures / "plain-track-0-test.json").read_text())
    assert measured["trained_on"] == {"split": "track", "seed": 0, "converged": True, "collection": "GTZAN"}
    assert card["metrics"]["track"]["test"]["vote_accuracy"] == measured["figures"]["vote_accuracy"]
    (row,) = json.loads((out.figures / "plain-track-0-history.json").read_text())
    assert row["epoch"] == 0


def test_a_training_in_mixed_precision_is_served_in_float32(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "study_cnn", partial(networks.study_cnn, (2, 4, 8), 8))
    out = OutputFolders.all_in(tmp_path / "out")
    config = ExperimentConfig(Kind.PLAIN, data, out=out, runs=tmp_path / "runs", mixed_precision=True)
    classifier = Classifier(experiment.train_genre_model(config))
    assert classifier.card.described["mixed_precision"] is True
    measured = json.loads((out.figures / "plain-track-0-test.json").read_text())
    assert measured["trained_on"]["mixed_precision"] is True
    with pytest.raises(DataError, match="another precision"):
        experiment.train_genre_model(replace(config, mixed_precision=False))


def test_several_models_are_evaluated_on_data_that_is_read_once(
    data: Path, tmp_path: Path, model: Path, calls: list[str]
) -> None:
    config = EvaluationConfig(data, lists=tmp_path, figures=tmp_path)
    measured = experiment.evaluate_models([str(model), "svm"], config)
    assert calls.count("load") == 1
    assert [(m["model"], m["split"], m["subset"]) for m in measured] == [
        ("small", "filtered", "test"),
        ("svm", "track", "test"),
    ]
    assert measured[0]["figures"]["loss"] is not None
    assert measured[1]["figures"]["loss"] is None


@pytest.mark.parametrize(
    ("split", "seed", "refused"),
    [("track", 0, False), ("cross", 0, False), ("filtered", 0, True), ("segment", 0, True), ("track", 1, True)],
)
def test_a_model_is_not_measured_where_its_training_saw_the_test_subset(
    data: Path, tmp_path: Path, model: Path, split: str, seed: int, refused: bool
) -> None:
    card = json.loads(model.with_suffix(".json").read_text())
    card |= {"split": "track", "seed": 0, "data": {"name": "GTZAN"}}
    (tmp_path / "own.tflite").write_bytes(model.read_bytes())
    (tmp_path / "own.json").write_text(json.dumps(card))
    config = EvaluationConfig(data, SplitName(split), seed, lists=tmp_path, figures=tmp_path / "figures")
    if not refused:
        assert experiment.evaluate_models([str(tmp_path / "own.tflite")], config)[0]["split"] == split
        return
    with pytest.raises(DataError, match="was trained on the split track"):
        experiment.evaluate_models([str(tmp_path / "own.tflite")], config)
    assert not (tmp_path / "figures").exists()


def test_another_collection_has_files_of_its_own(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = OutputFolders.all_in(tmp_path / "out")
    config = ExperimentConfig(Kind.PLAIN, data, out=out, runs=tmp_path / "runs")
    experiment.train_genre_model(config)
    loaded = experiment.load(data)
    monkeypatch.setattr(experiment, "load", lambda path: replace(loaded, collection="FMA"))
    assert experiment.train_genre_model(config) == tmp_path / "out" / "evidence" / "plain-fma-track.tflite"
    models = [str(tmp_path / "out" / "plain.tflite"), "svm"]
    experiment.evaluate_models(models, EvaluationConfig(data, figures=out.figures))
    assert {path.name for path in out.figures.glob("*-test.json")} == {
        "plain-track-0-test.json",
        "plain-fma-track-0-test.json",
        "plain-on-fma-track-0-test.json",
        "svm-fma-track-0-test.json",
    }
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"plain-track-0", "plain-fma-track-0"}


def test_other_data_does_not_continue_a_training(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExperimentConfig(
        Kind.PLAIN, data, out=OutputFolders.all_in(tmp_path / "out"), runs=tmp_path / "runs", measure_test=False
    )
    experiment.train_genre_model(config)
    loaded = experiment.load(data)
    fewer = replace(loaded, mel=loaded.mel[:-1], names=loaded.names[:-1])
    monkeypatch.setattr(experiment, "load", lambda path: fewer)
    with pytest.raises(DataError, match="checkpoints of other data"):
        experiment.train_genre_model(config)


def test_other_lists_do_not_continue_a_training_and_older_notes_are_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("training.fit.fit", interrupted)
    config = ExperimentConfig(Kind.PLAIN, data, SplitName.FILTERED, lists=tmp_path, runs=tmp_path / "runs")
    with pytest.raises(InterruptedError):
        experiment.train_genre_model(config)
    file = config.runs / config.run_name / experiment.RUN
    noted = json.loads(file.read_text())
    train = tmp_path / "train_filtered.txt"
    train.write_text(f"{train.read_text()}\npop/pop.00004.wav")
    with pytest.raises(DataError, match="other lists"):
        experiment.train_genre_model(config)
    file.write_text(json.dumps({key: noted[key] for key in ("tracks", "digest", "steps")}))
    with pytest.raises(InterruptedError):
        experiment.train_genre_model(config)


@pytest.mark.parametrize("kind", [Kind.PLAIN, Kind.GENIE])
@pytest.mark.parametrize("subset", SubsetName)
def test_a_list_that_names_no_track_is_said_before_anything_is_trained(
    data: Path, tmp_path: Path, kind: Kind, subset: SubsetName
) -> None:
    (tmp_path / f"{subset}_filtered.txt").write_text("pop/pop.00099.wav")
    out = OutputFolders.all_in(tmp_path / "out")
    config = ExperimentConfig(kind, data, SplitName.FILTERED, lists=tmp_path, out=out, runs=tmp_path / "runs")
    with pytest.raises(DataError, match=f"filtered has no {subset}"):
        experiment.train_genre_model(config)
    assert not config.runs.exists()


def test_the_baseline_needs_tracks_to_be_fitted_to(data: Path, tmp_path: Path) -> None:
    (tmp_path / "train_filtered.txt").write_text("")
    with pytest.raises(DataError, match="filtered has no train"):
        experiment.evaluate_models(
            ["svm"], EvaluationConfig(data, SplitName.FILTERED, lists=tmp_path, figures=tmp_path)
        )


def test_a_subset_that_a_split_lacks_cannot_be_measured(data: Path, tmp_path: Path) -> None:
    config = EvaluationConfig(data, SplitName.ALL, subset=SubsetName.TEST, lists=tmp_path, figures=tmp_path)
    with pytest.raises(DataError, match="all has no test"):
        experiment.evaluate_models(["svm"], config)


def test_evaluate_measures_a_model_and_the_baseline_on_a_folder_of_audio(
    tmp_path: Path, gtzan_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.gtzan.CACHE_DIR", tmp_path / "cache")
    for subset, number in (("train", 0), ("valid", 1), ("test", 2)):
        names = [f"{genre}/{genre}.{number:05d}.wav" for genre in ("classical", "metal")]
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(names))
    options = ["--data", str(gtzan_folder), "--split", "filtered", "--lists", str(tmp_path), "--out", str(tmp_path)]
    arguments = ["evaluate", "svm", str(model), *options]
    result = CliRunner().invoke(build_app(arguments), arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    baseline = next(line for line in result.output.splitlines() if "accuracy, songs by vote" in line)
    assert "1.00 (1.00" in baseline, "the baseline separates hiss from chords"
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "svm-filtered-0-test.json",
        "small-filtered-0-test.json",
    }
