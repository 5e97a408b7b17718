"""What is trained and evaluated, and where the results go: plain data, free of heavy imports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from training.data.splits import SplitName, SubsetName

MODELS: Final = Path("models")
"""What is shipped: models and their cards."""

RESEARCH: Final = Path("docs/research")
"""What they rest on: `figures/`, `evidence/` (models that are not shipped) and the report."""

RUNS: Final = Path("runs")
"""Checkpoints, from which an interrupted training resumes."""

GTZAN: Final = "GTZAN"
"""Name of the collection that all published models are trained on."""

BASELINE: Final = "svm"
"""Stands for the support vector machine where a model is named."""

STUDY_KINDS: Final = ("plain", "augmented")

WITHOUT_TEACHER: Final = "genie-without-teacher"
"""What genie is called where the labels are its only targets."""


class Kind(StrEnum):
    """What can be trained."""

    PLAIN = "plain"
    AUGMENTED = "augmented"
    GENIE = "genie"
    STUDY = "study"


@dataclass(frozen=True)
class OutputFolders:
    """Where results are written.

    Attributes:
        models: folder of the shipped models.
        research: folder with `figures/` and `evidence/`.
    """

    models: Path = MODELS
    research: Path = RESEARCH

    @classmethod
    def all_in(cls, folder: Path) -> "OutputFolders":
        """Keep everything in one folder, for trials that must not touch what is published."""
        return cls(folder, folder)

    @property
    def figures(self) -> Path:
        """Folder of measurements, training histories and pictures."""
        return self.research / "figures"

    @property
    def evidence(self) -> Path:
        """Folder of models that are published but not shipped."""
        return self.research / "evidence"

    def model_path(self, kind: str, split: SplitName, seed: int) -> Path:
        """Return where a model is written; models that are not shipped carry the split and seed in their names."""
        is_study = kind in STUDY_KINDS and split is SplitName.TRACK and seed == 0
        is_genie = kind == Kind.GENIE and split is SplitName.ALL and seed == 0
        if is_study or is_genie:
            return self.models / f"{kind}.tflite"
        suffix = f"-{seed}" if seed else ""
        return self.evidence / f"{kind}-{split}{suffix}.tflite"


@dataclass(frozen=True)
class ExperimentConfig:
    """One training.

    Attributes:
        kind: what is trained.
        data: GTZAN, as for `gtzan.load`.
        split: how tracks are split.
        seed: of the split and of the training.
        lists: folder of the filtered lists, where they are not beside the data.
        epochs: instead of the recipe's.
        measure_test: whether the test subset is measured at the end.
        out: where results are written.
        runs: folder of checkpoints.
        genie: what else genie is trained on.
        collection: that the data turned out to be.
        mixed_precision: whether the study's networks compute in bfloat16 where that is precise enough.
    """

    kind: Kind
    data: Path
    split: SplitName = SplitName.TRACK
    seed: int = 0
    lists: Path | None = None
    epochs: int | None = None
    measure_test: bool = True
    out: OutputFolders = field(default_factory=OutputFolders)
    runs: Path = RUNS
    genie: "GenieConfig" = field(default_factory=lambda: GenieConfig())
    collection: str = GTZAN
    mixed_precision: bool = False

    @property
    def name(self) -> str:
        """Kind of model, as its files are named; with the collection, where that is not GTZAN."""
        kind = WITHOUT_TEACHER if self.kind is Kind.GENIE and self.genie.labels_only else str(self.kind)
        return collection_name(kind, self.collection)

    @property
    def run_name(self) -> str:
        """Name of the run's checkpoints and history."""
        return run_name(self.name, self.split, self.seed)


@dataclass(frozen=True)
class GenieConfig:
    """What genie is trained on besides GTZAN.

    Attributes:
        teacher: folder of the teachers' outputs, `gtzan.npz` and `songs.npz`; None trains on labels only.
        without_teacher: train on labels only although there are teachers' outputs, to compare.
        labelled: `labelled.npz`, songs to calibrate on; None takes the teacher folder's, if it is there.
        not_music: folder of sounds that are not music; None leaves the music output out.
        steps: instead of the recipe's.
    """

    teacher: Path | None = None
    without_teacher: bool = False
    labelled: Path | None = None
    not_music: Path | None = None
    steps: int | None = None

    @property
    def labels_only(self) -> bool:
        """Whether the labels are the only targets."""
        return self.teacher is None or self.without_teacher


@dataclass(frozen=True)
class EvaluationConfig:
    """What models are measured on.

    Attributes:
        data: GTZAN, as for `gtzan.load`.
        split: how tracks are split; None takes the split that the model was trained with.
        seed: of the split; None takes the one that the model was trained with.
        subset: which part of the split.
        lists: folder of the filtered lists, where they are not beside the data.
        figures: folder in which the measurements are written.
    """

    data: Path
    split: SplitName | None = None
    seed: int | None = None
    subset: SubsetName = SubsetName.TEST
    lists: Path | None = None
    figures: Path = RESEARCH / "figures"


def kind_of(model: str) -> str:
    """Kind of a model by its name: `genie` of `genie-filtered` and of `genie-track-2`."""
    return re.sub(rf"-({'|'.join(SplitName)})(-\d+)?$", "", model)


def run_name(kind: str, split: str, seed: int) -> str:
    """Name of a run, with which the names of its files begin: `genie-filtered-0`."""
    return f"{kind}-{split}-{seed}"


def measurement_name(measured: Mapping[str, Any]) -> str:
    """Name of the files of what `experiment.measure_model` gives.

    `plain-track-0-test` for GTZAN; `svm-fma-track-0-test` for the baseline, which is fitted to what it is measured on;
    `plain-on-fma-track-0-test` for a model of another collection than the measured one.
    """
    kind, collection, trained_on = kind_of(measured["model"]), measured.get("collection", GTZAN), measured["trained_on"]
    if trained_on is None:
        kind = collection_name(kind, collection)
    elif trained_on.get("collection", GTZAN) != collection:
        kind = f"{kind}-on-{collection.lower()}"
    return f"{run_name(kind, measured['split'], measured['seed'])}-{measured['subset']}"


def collection_name(kind: str, collection: str) -> str:
    """Name of what is made of a collection: `plain` of GTZAN, `plain-fma` of FMA."""
    return kind if collection == GTZAN else f"{kind}-{collection.lower()}"
