from pathlib import Path

import pytest

from training.config import ExperimentConfig, Kind, OutputFolders
from training.data.splits import SplitName


@pytest.mark.parametrize(
    ("kind", "split", "seed", "expected"),
    [
        ("plain", SplitName.TRACK, 0, "models/plain.tflite"),
        ("augmented", SplitName.TRACK, 0, "models/augmented.tflite"),
        ("plain", SplitName.TRACK, 1, "docs/research/evidence/plain-track-1.tflite"),
        ("plain", SplitName.FILTERED, 0, "docs/research/evidence/plain-filtered.tflite"),
        ("genie", SplitName.ALL, 0, "models/genie.tflite"),
        ("genie", SplitName.FILTERED, 0, "docs/research/evidence/genie-filtered.tflite"),
        ("genie", SplitName.TRACK, 2, "docs/research/evidence/genie-track-2.tflite"),
    ],
)
def test_only_shipped_models_are_written_into_models(kind: str, split: SplitName, seed: int, expected: str) -> None:
    assert OutputFolders().model_path(kind, split, seed) == Path(expected)


def test_a_trial_writes_into_its_own_folder_only() -> None:
    folders = OutputFolders.all_in(Path("trial"))
    assert folders.model_path("plain", SplitName.TRACK, 0) == Path("trial/plain.tflite")
    assert folders.evidence == Path("trial/evidence")
    assert folders.figures == Path("trial/figures")


def test_a_run_is_named_after_kind_split_and_seed() -> None:
    config = ExperimentConfig(Kind.GENIE, Path("mel.npz"), SplitName.FILTERED, 3)
    assert config.run_name == "genie-filtered-3"
