"""The study to its end: a list of trainings and measurements, worked off over as many sessions as it takes.

What is done is skipped; what was interrupted resumes with the epoch that it stood at.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import keras

from training.config import STUDY_KINDS, EvaluationConfig, ExperimentConfig, Kind, run_name
from training.data.fma import is_fma
from training.data.gtzan import DataError
from training.data.splits import SplitName, SubsetName
from training.experiment import evaluate_models, measurement_file, train_genre_model, write_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyRun:
    """A network of the study on one split.

    Attributes:
        kind: `plain` or `augmented`.
        split: how tracks are split. On `cross` nothing is trained: the network of `track` is measured there.
        seed: of the split and of the training.
    """

    kind: Kind
    split: SplitName
    seed: int

    def __str__(self) -> str:
        """Name as other runs are named."""
        return run_name(self.kind, self.split, self.seed)


def study_runs() -> Iterator[StudyRun]:
    """List the runs, what is wanted most first."""
    kinds = [Kind(name) for name in STUDY_KINDS]
    for split in (SplitName.TRACK, SplitName.FILTERED, SplitName.SEGMENT, SplitName.STRETCHED, SplitName.CROSS):
        yield from (StudyRun(kind, split, 0) for kind in kinds)
    yield from (StudyRun(kind, SplitName.TRACK, seed) for seed, kind in product((1, 2), kinds))


class EpochLog(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Logs a line per epoch.

    Args:
        name: of the run.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take the time."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the epoch's figures."""
        figures = " ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        _log.info("%s epoch %d: %s (%.0f s)", self._name, epoch, figures, time.monotonic() - self._began)


def run_study(config: ExperimentConfig) -> None:
    """Work the list off.

    Args:
        config: data, lists, epochs and folders are used.

    Raises:
        FileNotFoundError: the data or the lists are missing.
        DataError: the data is unusable, or not GTZAN's.
    """
    if is_fma(config.data):
        raise DataError(f"the study is of GTZAN, and {config.data} is FMA's: train plain or augmented on it instead")
    for run in study_runs():
        if is_done(measurement_file(config.out.figures, run.kind, run.split, run.seed, SubsetName.TEST)):
            _log.info("%s is done", run)
            continue
        _log.info("%s begins or resumes", run)
        own = replace(config, kind=run.kind, split=run.split, seed=run.seed)
        if run.split is SplitName.CROSS:
            _measure(config.out.model_path(run.kind, SplitName.TRACK, run.seed), own)
        elif run.kind is Kind.AUGMENTED and run.split is SplitName.STRETCHED:
            _copy_twin(own)
        else:
            train_genre_model(own, callbacks=(EpochLog(str(run)),))
        _log.info("%s is finished", run)


def is_done(measurement: Path) -> bool:
    """Whether there is a measurement of a network that was trained to the end."""
    return measurement.is_file() and bool(json.loads(measurement.read_text())["trained_on"].get("converged"))


def _measure(model: Path, config: ExperimentConfig) -> None:
    evaluation = EvaluationConfig(
        config.data, config.split, config.seed, lists=config.lists, figures=config.out.figures
    )
    evaluate_models([str(model)], evaluation)


def _copy_twin(config: ExperimentConfig) -> None:
    """Give `augmented` on `stretched` its entry without training it a second time.

    The pool of `stretched` holds the stretched copies already, so that both recipes train on the same segments with
    the same seed: `plain` on `stretched` is this network.
    """
    twin = config.out.model_path(Kind.PLAIN, config.split, config.seed)
    path = config.out.model_path(config.kind, config.split, config.seed)
    card = json.loads(twin.with_suffix(".json").read_text())
    card["name"] = path.stem
    card["notes"] = f"The network of {twin.stem}: with the stretched copies in the pool, the two recipes are the same."
    shutil.copyfile(twin, path)
    write_json(path.with_suffix(".json"), card)
    _measure(path, config)
