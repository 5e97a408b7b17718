from dataclasses import replace
from pathlib import Path

import pytest

from training.config import (
    WITHOUT_TEACHER,
    ExperimentConfig,
    GenieConfig,
    Kind,
    OutputFolders,
    kind_of,
    measurement_name,
)
from training.data.splits import SplitName


@pytest.mark.parametrize(
    ("kind", "split", "seed", "expected"),
    [
        ("plain", SplitName.TRACK, 0, "models/plain.tflite"),
        ("augmented", SplitName.TRACK, 0, "models/augmented.tflite"),
        ("plain", SplitName.TRACK, 1, "docs/research/evidence/plain-track-1.tflite"),
        ("plain", SplitName.FILTERED, 0, "docs/research/evidence/plain-filtered.tflite"),
        ("genie", SplitName.ALL, 0, "models/genie.tflite"),
        ("genie", SplitName.ALL, 1, "docs/research/evidence/genie-all-1.tflite"),
        ("genie", SplitName.FILTERED, 0, "docs/research/evidence/genie-filtered.tflite"),
        ("genie", SplitName.TRACK, 2, "docs/research/evidence/genie-track-2.tflite"),
        (WITHOUT_TEACHER, SplitName.FILTERED, 0, "docs/research/evidence/genie-without-teacher-filtered.tflite"),
        (WITHOUT_TEACHER, SplitName.ALL, 0, "docs/research/evidence/genie-without-teacher-all.tflite"),
    ],
)
def test_only_shipped_models_are_written_into_models(kind: str, split: SplitName, seed: int, expected: str) -> None:
    assert OutputFolders().model_path(kind, split, seed) == Path(expected)


def test_a_trial_writes_into_its_own_folder_only() -> None:
    folders = OutputFolders.all_in(Path("trial"))
    assert folders.model_path("plain", SplitName.TRACK, 0) == Path("trial/plain.tflite")
    assert folders.evidence == Path("trial/evidence")
    assert folders.figures == Path("trial/figures")


def test_a_run_is_named_after_what_is_trained_split_and_seed() -> None:
    config = ExperimentConfig(Kind.GENIE, Path("mel.npz"), SplitName.FILTERED, 3)
    assert config.run_name == "genie-without-teacher-filtered-3"
    taught = replace(config, genie=GenieConfig(Path("teacher")))
    assert taught.run_name == "genie-filtered-3"
    assert replace(config, genie=GenieConfig(Path("teacher"), without_teacher=True)).run_name == config.run_name
    assert replace(config, kind=Kind.PLAIN).run_name == "plain-filtered-3"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("plain", "plain"),
        ("genie-filtered", "genie"),
        ("genie-track-2", "genie"),
        ("genie-without-teacher-filtered", WITHOUT_TEACHER),
        ("my-model", "my-model"),
    ],
)
def test_the_kind_of_a_model_is_in_its_name(model: str, kind: str) -> None:
    assert kind_of(model) == kind


@pytest.mark.parametrize(
    ("model", "trained_on", "collection", "name"),
    [
        ("plain", "GTZAN", "GTZAN", "plain-track-0-test"),
        ("plain", "GTZAN", "FMA", "plain-on-fma-track-0-test"),
        ("plain-fma-track", "FMA", "FMA", "plain-fma-track-0-test"),
        ("plain-fma-track", "FMA", "GTZAN", "plain-fma-on-gtzan-track-0-test"),
        ("svm", None, "GTZAN", "svm-track-0-test"),
        ("svm", None, "FMA", "svm-fma-track-0-test"),
    ],
)
def test_measurements_on_several_collections_have_files_of_their_own(
    model: str, trained_on: str | None, collection: str, name: str
) -> None:
    measured = {"model": model, "collection": collection, "split": "track", "seed": 0, "subset": "test"}
    assert measurement_name({**measured, "trained_on": trained_on and {"collection": trained_on}}) == name
