"""Experiments: a configuration becomes a model with its card, or the figures of a model."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.inference.classifier import Classifier, apply_temperature
from core.inference.model_card import model_file
from training.config import BASELINE, EvaluationConfig, ExperimentConfig, Kind, kind_of, run_name
from training.data.collections import load
from training.data.gtzan import DataError, Gtzan, to_db
from training.data.splits import LoadedData, SplitName, SubsetName, make_split
from training.evaluation import metrics

if TYPE_CHECKING:
    import keras

    from training.export import CardFields

VERSION: Final = "1"


def train_genre_model(config: ExperimentConfig, callbacks: Sequence["keras.callbacks.Callback"] = ()) -> Path:
    """Train a genre model and write it with its card, its history and its figures.

    Args:
        config: what is trained on what.
        callbacks: of Keras, for the study's networks; without any, Keras prints a line per epoch.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: the data, the lists, or the held-out model to fine-tune are missing.
        DataError: the data is unusable.
    """
    gtzan = load(config.data)
    loaded = LoadedData(gtzan, make_split(config.split, gtzan, config.seed, config.lists))
    if config.kind is Kind.GENIE:
        return _train_genie(config, loaded)
    return _train_study_network(config, loaded, callbacks)


def _train_study_network(
    config: ExperimentConfig, loaded: LoadedData, callbacks: Sequence["keras.callbacks.Callback"]
) -> Path:
    from training import export, fit
    from training.recipes import RECIPES

    if config.split is SplitName.ALL:
        raise FileNotFoundError("only genie is trained on all tracks, after `train genie --split filtered`")
    gtzan, recipe = loaded.gtzan, RECIPES[config.kind]
    recipe = replace(recipe, epochs=config.epochs or recipe.epochs)
    folder = config.runs / config.run_name
    model = fit.fit(recipe, loaded, folder, seed=config.seed, verbose=0 if callbacks else 2, callbacks=callbacks)
    history = _write_history(config, folder / fit.HISTORY)
    path = config.out.model_path(config.name, config.split, config.seed)
    epochs = int(max(row["epoch"] for row in history)) + 1
    described = {**_described(gtzan), "segments": len(loaded.split.train), "epochs": epochs}
    fields = export.CardFields(path.stem, VERSION, described, str(config.split), config.seed, {})
    valid = loaded.split.valid
    segments, labels = to_db(valid.segments(gtzan)), valid.labels(gtzan)
    content, precision = export.convert_smallest(
        model, fields, segments, lambda probabilities: float((probabilities.argmax(axis=1) == labels).mean())
    )
    temperature = metrics.fit_temperature(export.genre_as_served(content, fields, segments), labels, valid.track)
    fields = replace(fields, temperature=temperature, precision=precision)
    return _write_measured(config, loaded, fields, content)


def _train_genie(config: ExperimentConfig, loaded: LoadedData) -> Path:
    from training import export, fit, genie

    if config.split is SplitName.ALL:
        genie.held_out_card(config)
    fields, content = genie.make_genie(config, loaded)
    _write_history(config, config.runs / config.run_name / fit.HISTORY)
    if config.split is not SplitName.ALL:
        return _write_measured(config, loaded, fields, content)
    held_out = genie.held_out_card(config)
    notes = (
        f"{fields.notes} Fine-tuned from {held_out['name']} on all tracks without known faults, so that no track is "
        f"left to measure it on: the figures are those of {held_out['name']}, which was not trained on the labels of "
        "its test artists."
    )
    # The tracks on which its own refusals could be counted are among those that it was trained on.
    details = {**fields.details, **{key: held_out[key] for key in ("music_refusals",) if key in held_out}}
    folder = config.out.model_path(config.name, config.split, config.seed).parent
    fields = replace(fields, metrics=held_out["metrics"], notes=notes, details=details)
    return export.write_model(folder, fields, content)


def _write_history(config: ExperimentConfig, file: Path) -> list[dict[str, float]]:
    from training import fit

    history = fit.read_history(file)
    config.out.figures.mkdir(parents=True, exist_ok=True)
    (config.out.figures / f"{config.run_name}-history.json").write_text(json.dumps(history, indent=1) + "\n")
    return history


def _write_measured(config: ExperimentConfig, loaded: LoadedData, fields: "CardFields", content: bytes) -> Path:
    """Write a model, measure it on validation and, where wanted, on test, and write the figures on its card."""
    from training import export

    folder = config.out.model_path(config.name, config.split, config.seed).parent
    classifier = Classifier(export.write_model(folder, fields, content))
    subsets = (SubsetName.VALID, SubsetName.TEST) if config.measure_test else (SubsetName.VALID,)
    measured = {
        str(subset): _summary(measure_model(classifier, loaded, subset, config.out.figures)) for subset in subsets
    }
    return export.write_model(folder, replace(fields, metrics={str(config.split): measured}), content)


def _described(gtzan: Gtzan) -> dict[str, Any]:
    return {"name": gtzan.collection, "tracks": len(gtzan), "source": gtzan.source}


def _summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Pick the figures that a card carries."""
    figures = measured["figures"]
    keys = ("segments", "tracks", "accuracy", "macro_recall", "loss", "vote_accuracy", "vote_macro_recall")
    return {**{key: figures[key] for key in keys}, "ece": figures["calibration"] and figures["calibration"]["ece"]}


def evaluate_models(models: Sequence[str], config: EvaluationConfig) -> list[dict[str, Any]]:
    """Measure models on a subset of a split.

    Args:
        models: names under `models/`, files, or `BASELINE`, which is fitted on the spot.
        config: what they are measured on; the data is read once for all of them.

    Returns:
        What `measure_model` gives for each.

    Raises:
        FileNotFoundError: the data or the lists are missing.
        DataError: the data is unusable, or the split has no such subset.
    """
    gtzan = load(config.data)
    measured = []
    for model in models:
        classifier = None if model == BASELINE else Classifier(model_file(model))
        card: dict[str, Any] = classifier.card.described if classifier else {"split": SplitName.TRACK, "seed": 0}
        name = config.split or SplitName(card["split"])
        seed = card["seed"] if config.seed is None else config.seed
        loaded = LoadedData(gtzan, make_split(name, gtzan, seed, config.lists))
        measured.append(measure_model(classifier, loaded, config.subset, config.figures))
    return measured


def measure_model(
    classifier: Classifier | None, loaded: LoadedData, subset_name: SubsetName, folder: Path
) -> dict[str, Any]:
    """Measure a model on a subset and write `KIND-SPLIT-SEED-SUBSET.json`.

    Args:
        classifier: the model; None fits the baseline.
        loaded: the data and its split.
        subset_name: which part of the split.
        folder: where the measurement is written.

    Returns:
        What was written: `model`, `split`, `seed`, `side` (the subset), `trained_on`, and `figures` as in
        `metrics.Figures`.

    Raises:
        DataError: the split has no such subset.
    """
    gtzan, split = loaded.gtzan, loaded.split
    subset = split.subset(subset_name)
    if not len(subset):
        raise DataError(f"the split {split.name} has no {subset_name} subset")
    if classifier is None:
        from training.baseline import fit_baseline

        name, trained_on, temperature = BASELINE, None, 1.0
        probabilities = fit_baseline(gtzan, split.train, split.seed).predict(subset.segments(gtzan))
    else:
        card = classifier.card
        name, trained_on = card.name, {key: card.described[key] for key in ("split", "seed")}
        temperature = card.temperature
        served = classifier.probabilities(to_db(subset.segments(gtzan)))
        probabilities = apply_temperature(served, 1 / temperature)
    figures = metrics.measure(
        probabilities,
        subset.labels(gtzan),
        subset.track,
        temperature=temperature,
        songs=split.whole_songs,
        likelihood=classifier is not None,
    )
    measured = {
        "model": name,
        "split": str(split.name),
        "seed": split.seed,
        "side": str(subset_name),
        "trained_on": trained_on,
        "figures": figures.to_json(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = measurement_file(folder, kind_of(name), split.name, split.seed, subset_name)
    path.write_text(json.dumps(measured, indent=1) + "\n")
    return measured


def measurement_file(folder: Path, kind: str, split: str, seed: int, subset: str) -> Path:
    """Where a measurement is written."""
    return folder / f"{run_name(kind, split, seed)}-{subset}.json"


def train_music_detector(config: ExperimentConfig, other_sounds: Path) -> Path:
    """Train the music detector and write it with its card.

    It is always trained on the filtered split with the epochs of its module, whatever the configuration says.

    Args:
        config: data, seed and folders are used.
        other_sounds: folder of sounds that are not music, as for `other_sounds.sound_index`.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: the data, the sounds or the lists are missing.
        DataError: the data is unusable.
    """
    from training import export, music_detector
    from training.data.other_sounds import load_recordings

    gtzan = load(config.data)
    loaded = LoadedData(gtzan, make_split(SplitName.FILTERED, gtzan, config.seed, config.lists))
    recordings = load_recordings(loaded, other_sounds)
    model = music_detector.fit_music_detector(
        recordings[SubsetName.TRAIN], config.seed, config.runs / f"{Kind.MUSIC}-{config.seed}"
    )
    other = {str(subset): int((~recordings[subset].is_music).sum()) for subset in recordings}
    fields = export.CardFields(
        Kind.MUSIC.value, VERSION, {**_described(gtzan), "other": other}, "filtered", config.seed, {}, threshold=0.5
    )
    content = export.convert(model, "int8")
    probabilities = {}
    for subset in (SubsetName.VALID, SubsetName.TEST):
        segments, recording = recordings[subset].segments()
        music = export.run_as_served(content, fields, segments).music
        if music is None:
            raise ValueError(f"{fields.name} has no output for music")
        probabilities[subset] = music_detector.recording_probabilities(music[:, np.newaxis], recording)
    is_music = recordings[SubsetName.VALID].is_music
    valid = probabilities[SubsetName.VALID]
    threshold = music_detector.choose_threshold(valid[is_music], valid[~is_music])
    refused = {
        str(subset): music_detector.refusals(recordings[subset], values, threshold)
        for subset, values in probabilities.items()
    }
    fields = replace(fields, threshold=threshold, metrics={"filtered": refused})
    return export.write_model(config.out.models, fields, content)
