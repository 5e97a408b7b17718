"""Experiments: a configuration becomes a model with its card, or the figures of a model."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.inference.classifier import Classifier, apply_temperature
from core.inference.model_card import model_file
from training.config import BASELINE, EvaluationConfig, ExperimentConfig, Kind, measurement_name, run_name
from training.data.collections import load
from training.data.gtzan import DataError, Gtzan, to_db
from training.data.splits import LoadedData, SplitName, SubsetName, make_split
from training.evaluation import metrics

if TYPE_CHECKING:
    import keras

    from training.export import CardFields

VERSION: Final = "2"
"""Of the study's networks: 1 was trained for few epochs."""

RUN: Final = "run.json"
"""What a run's checkpoints are of."""


def train_genre_model(config: ExperimentConfig, callbacks: Sequence["keras.callbacks.Callback"] = ()) -> Path:
    """Train a genre model and write it with its card, its history and its figures.

    Args:
        config: what is trained on what.
        callbacks: of Keras, for the study's networks; without any, Keras prints a line per epoch.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: the data, the lists, or the held-out model to fine-tune are missing.
        DataError: the data is unusable, or the split lacks a subset that is needed.
    """
    gtzan = load(config.data)
    config = replace(config, collection=gtzan.collection)
    loaded = LoadedData(gtzan, make_split(config.split, gtzan, config.seed, config.lists))
    loaded.split.require(SubsetName.TRAIN, *_measured_subsets(config))
    if config.kind is Kind.GENIE:
        return _train_genie(config, loaded)
    return _train_study_network(config, loaded, callbacks)


def _measured_subsets(config: ExperimentConfig) -> tuple[SubsetName, ...]:
    if config.split is SplitName.ALL:
        return ()
    return (SubsetName.VALID, SubsetName.TEST) if config.measure_test else (SubsetName.VALID,)


def _claim_run(config: ExperimentConfig, loaded: LoadedData, heads: Sequence[int] = ()) -> None:
    """Note what a run's folder is of, so that no other training continues with its checkpoints.

    Args:
        config: of the training.
        loaded: its data.
        heads: sizes of genie's heads.

    Raises:
        DataError: it is another training's.
    """
    gtzan = loaded.gtzan
    trained_on = "\n".join(gtzan.names[track] for track in loaded.split.train.tracks)
    described = {
        "tracks": len(gtzan),
        "digest": gtzan.digest,
        "steps": config.genie.steps,
        "training": hashlib.sha256(trained_on.encode()).hexdigest()[:16],
        "heads": list(heads),
        "mixed_precision": config.mixed_precision,
    }
    file = config.runs / config.run_name / RUN
    if not file.is_file():
        write_json(file, described)
        return
    noted = json.loads(file.read_text())
    noted.setdefault("mixed_precision", False)
    # Files of earlier releases lack the training tracks and the heads.
    if any(noted.get(key, value) != value for key, value in described.items()):
        raise DataError(
            f"{file.parent} holds checkpoints of other data, other lists, other heads, another precision or another "
            "number of steps; choose another folder with --runs, or delete it"
        )


def _train_study_network(
    config: ExperimentConfig, loaded: LoadedData, callbacks: Sequence["keras.callbacks.Callback"]
) -> Path:
    from training import export, fit, networks
    from training.recipes import RECIPES

    if config.split is SplitName.ALL:
        raise FileNotFoundError("only genie is trained on all tracks, after `train genie --split filtered`")
    _claim_run(config, loaded)
    gtzan, recipe = loaded.gtzan, RECIPES[config.kind]
    recipe = replace(recipe, epochs=config.epochs or recipe.epochs)
    if config.mixed_precision:
        recipe = replace(recipe, network=partial(networks.study_cnn, mixed_precision=True))
    folder = config.runs / config.run_name
    model = fit.fit(recipe, loaded, folder, seed=config.seed, verbose=0 if callbacks else 2, callbacks=callbacks)
    if config.mixed_precision:  # served in float32: LiteRT has no bfloat16
        weights = model.get_weights()
        model = networks.study_cnn()
        model.set_weights(weights)
    history = _write_history(config, folder / fit.HISTORY)
    path = config.out.model_path(config.name, config.split, config.seed)
    epochs = int(max(row["epoch"] for row in history)) + 1
    described = {**_described(gtzan), "segments": len(loaded.split.train), "epochs": epochs}
    improved_no_more = (
        recipe.patience is not None and fit.epochs_since_best(fit.monitored_values(history)) >= recipe.patience
    )
    details = {"converged": improved_no_more or epochs >= RECIPES[config.kind].epochs}
    if config.mixed_precision:
        details["mixed_precision"] = True
    fields = export.CardFields(path.stem, VERSION, described, str(config.split), config.seed, {}, details=details)
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
    data = genie.load_genie_data(config, loaded)
    _claim_run(config, loaded, data.head_sizes.widths)
    fields, content = genie.make_genie(config, data)
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
    write_json(config.out.figures / f"{config.run_name}-history.json", history)
    return history


def _write_measured(config: ExperimentConfig, loaded: LoadedData, fields: "CardFields", content: bytes) -> Path:
    """Write a model, measure it on validation and, where wanted, on test, and write the figures on its card."""
    from training import export

    folder = config.out.model_path(config.name, config.split, config.seed).parent
    classifier = Classifier(export.write_model(folder, fields, content))
    measured = {str(subset): measure_model(classifier, loaded, subset) for subset in _measured_subsets(config)}
    metrics = {str(config.split): {subset: _summary(found) for subset, found in measured.items()}}
    path = export.write_model(folder, replace(fields, metrics=metrics), content)
    for found in measured.values():  # last, since they stand for a training that is done
        write_measurement(config.out.figures, found)
    return path


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
        DataError: the data is unusable, the split has no such subset, or a model was trained on another split.
    """
    gtzan = load(config.data)
    measured = []
    for model in models:
        classifier = None if model == BASELINE else Classifier(model_file(model))
        if classifier is None:
            name, seed = config.split or SplitName.TRACK, config.seed or 0
        else:
            name, seed = split_of(classifier.card.described, gtzan, config)
        loaded = LoadedData(gtzan, make_split(name, gtzan, seed, config.lists))
        measured.append(measure_model(classifier, loaded, config.subset))
        write_measurement(config.figures, measured[-1])
    return measured


def split_of(card: Mapping[str, Any], gtzan: Gtzan, config: EvaluationConfig) -> tuple[SplitName, int]:
    """Return the split and seed to measure a model on: those that are asked for, or those of its training.

    Of its own collection it may be measured on no others: it was trained on most of their test subsets. `cross` is
    there to show what that does, with the network of `track`.

    Args:
        card: of the model.
        gtzan: what it is measured on.
        config: what is asked for.

    Raises:
        DataError: it was trained with another split of this collection.
    """
    split = config.split or SplitName(card["split"])
    seed: int = card["seed"] if config.seed is None else config.seed
    if card.get("data", {}).get("name") != gtzan.collection:
        return split, seed
    fixed = split in (SplitName.FILTERED, SplitName.OFFICIAL)
    is_own = card["split"] == split and (fixed or card["seed"] == seed)
    is_cross = split is SplitName.CROSS and (card["split"], card["seed"]) == (SplitName.TRACK, seed)
    if not is_own and not is_cross:
        raise DataError(
            f"{card['name']} was trained on the split {card['split']} (seed {card['seed']}), and so on most of the "
            f"test subset of {split} (seed {seed}): a figure would say nothing. Of genie, measure genie-filtered."
        )
    return split, seed


def measure_model(classifier: Classifier | None, loaded: LoadedData, subset_name: SubsetName) -> dict[str, Any]:
    """Measure a model on a subset.

    Args:
        classifier: the model; None fits the baseline.
        loaded: the data and its split.
        subset_name: which part of the split.

    Returns:
        `model`, `collection`, `split`, `seed`, `subset`, `trained_on` (None for the baseline), and `figures` as in
        `metrics.Figures`.

    Raises:
        DataError: the split has no such subset, or none to fit the baseline to.
    """
    gtzan, split = loaded.gtzan, loaded.split
    split.require(subset_name, *([SubsetName.TRAIN] if classifier is None else []))
    subset = split.subset(subset_name)
    trained_on: dict[str, Any] | None = None
    if classifier is None:
        from training.baseline import fit_baseline

        name, temperature = BASELINE, 1.0
        probabilities = fit_baseline(gtzan, split.train, split.seed).predict(subset.segments(gtzan))
    else:
        card = classifier.card
        name, described = card.name, card.described
        trained_on = {
            **{key: described[key] for key in ("split", "seed", "converged", "mixed_precision") if key in described},
            "collection": described.get("data", {}).get("name", gtzan.collection),
        }
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
    return {
        "model": name,
        "collection": gtzan.collection,
        "split": str(split.name),
        "seed": split.seed,
        "subset": str(subset_name),
        "trained_on": trained_on,
        "figures": figures.to_json(),
    }


def write_measurement(folder: Path, measured: dict[str, Any]) -> Path:
    """Write what `measure_model` gives into the file of its name."""
    return write_json(folder / f"{measurement_name(measured)}.json", measured)


def write_json(path: Path, value: object) -> Path:
    """Write a file of JSON, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    return part.replace(path)


def measurement_file(folder: Path, kind: str, split: str, seed: int, subset: str) -> Path:
    """Where a measurement is written."""
    return folder / f"{run_name(kind, split, seed)}-{subset}.json"
