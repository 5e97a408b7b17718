"""From a request on the command line to files: a model with its card, or its figures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.inference.classifier import Classifier, apply_temperature
from core.inference.model_card import model_file
from training.data.gtzan import DataError, Gtzan, load, to_db
from training.data.splits import Split, SplitName, Subset, make_split
from training.evaluation import metrics

VERSION: Final = "1"
if TYPE_CHECKING:
    from training.export import Card

EVIDENCE: Final = "evidence"
HELD_OUT: Final = "genie-filtered"
HELD_OUT_RUN: Final = "genie-filtered-0"
"""The model whose figures and temperature the shipped genie repeats: same recipe, test artists never heard."""

BASELINE: Final = "svm"


def place(kind: str, split: SplitName, seed: int) -> str:
    """Where under `models/` a model belongs: the shipped ones at the top, what was trained as evidence below."""
    if (kind in ("plain", "augmented") and split is SplitName.TRACK and seed == 0) or (
        kind == "genie" and split is SplitName.ALL
    ):
        return kind
    number = f"-{seed}" if seed else ""
    return f"{EVIDENCE}/{kind}-{split}{number}"


def describe(data: Gtzan) -> dict[str, Any]:
    """Say of the data what a card says."""
    return {"name": "GTZAN", "tracks": len(data), "source": data.source}


def make_model(
    kind: str,
    path: Path,
    split_name: SplitName,
    seed: int,
    out: Path,
    runs: Path,
    lists: Path | None,
    epochs: int | None,
    test: bool,
) -> Path:
    """Train a genre model and write it.

    Args:
        kind: a name in `fit.RECIPES`.
        path: of the data.
        split_name: how tracks are divided.
        seed: of split and training.
        out: folder of the models.
        runs: folder of checkpoints.
        lists: folder of the filtered lists.
        epochs: instead of the recipe's.
        test: whether the test side is measured.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: the data or the lists are missing, or `all` is asked for before its evidence is there.
        DataError: the data is unusable.
    """
    from training import export, fit

    data = load(path)
    split = make_split(split_name, data, seed, lists)
    name = place(kind, split_name, seed)
    recipes, start = fit.RECIPES[kind], None
    if split_name is SplitName.ALL:
        recipes, start = fit.FINETUNE, runs / HELD_OUT_RUN
        if kind != "genie" or not all((place / fit.FINAL).is_file() for place in fit.member_folders(recipes, start)):
            raise FileNotFoundError("only genie is made of all tracks, and `train genie --split filtered` comes first")
    recipes = tuple(replace(recipe, epochs=epochs or recipe.epochs) for recipe in recipes)
    model, history = fit.fit_all(recipes, data, split, runs / f"{kind}-{split_name}-{seed}", start)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    (out / "figures" / f"{kind}-{split_name}-{seed}-history.json").write_text(json.dumps(history, indent=1) + "\n")
    described = {**describe(data), "segments": len(split.train), "epochs": recipes[0].epochs}
    card = export.Card(name.rpartition("/")[2], VERSION, described, str(split_name), seed, {})
    if split_name is SplitName.ALL:
        content = export.convert(model, "int8")
        return export.write(out, _inherited(card, out), content)
    segments, labels = to_db(split.valid.segments(data)), split.valid.labels(data)
    content, precision = export.smallest(
        model, card, segments, lambda answers: float((answers.argmax(axis=1) == labels).mean())
    )
    raw = export.run(content, card, segments)
    card = replace(card, temperature=metrics.fit_temperature(raw, labels, split.valid.track), precision=precision)
    written = export.write(out / Path(name).parent, card, content)
    measured = {}
    for side in ("valid", "test") if test else ("valid",):
        measured[side] = summary(measure_model(str(written), path, split_name, seed, side, lists, out / "figures"))
    return export.write(written.parent, replace(card, metrics={str(split_name): measured}), content)


def _inherited(card: "Card", out: Path) -> "Card":
    """Give a card the held-out model's temperature and figures, and name them as such."""
    evidence = out / EVIDENCE / f"{HELD_OUT}.json"
    if not evidence.is_file():
        raise FileNotFoundError(f"{evidence} is missing: train genie --split filtered first")
    held_out = json.loads(evidence.read_text())
    return replace(
        card,
        temperature=held_out["temperature"],
        metrics=held_out["metrics"],
        notes=f"{HELD_OUT}, trained on with all tracks that are no known faults: temperature and figures are "
        f"{HELD_OUT}'s, which has not heard the artists that it is measured on. It has none of its own.",
    )


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Pick the figures that a card carries."""
    figures = found["figures"]
    kept = {
        key: figures[key]
        for key in ("segments", "tracks", "accuracy", "macro_recall", "loss", "vote_accuracy", "vote_macro_recall")
    }
    return {**kept, "ece": figures["calibration"] and figures["calibration"]["ece"]}


def measure_model(
    model: str,
    path: Path,
    split_name: SplitName | None,
    seed: int | None,
    side: str,
    lists: Path | None,
    out: Path,
) -> dict[str, Any]:
    """Measure a model on one side of a split and write `NAME-SPLIT-SEED-SIDE.json`.

    Args:
        model: a name under `models/`, a file, or `svm`, which is fitted for the occasion.
        path: of the data.
        split_name: how tracks are divided; None takes the model card's.
        seed: likewise.
        side: `valid` or `test`.
        lists: folder of the filtered lists.
        out: folder of the figures.

    Returns:
        What was written: `model`, `split`, `seed`, `side` and `figures` as of `metrics.Figures`.

    Raises:
        FileNotFoundError: the data or the lists are missing.
        DataError: the split has no such side.
    """
    data = load(path)
    classifier = None if model == BASELINE else Classifier(model_file(model))
    card: dict[str, Any] = classifier.card.described if classifier else {"split": "track", "seed": 0}
    split = make_split(split_name or SplitName(card["split"]), data, card["seed"] if seed is None else seed, lists)
    part: Subset = getattr(split, side)
    if not len(part):
        raise DataError(f"the split {split.name} has no {side} side")
    if classifier is None:
        probabilities = _baseline(data, split, part)
        temperature = 1.0
    else:
        temperature = classifier.card.temperature
        served = classifier.probabilities(to_db(part.segments(data)))
        probabilities = apply_temperature(served, 1 / temperature)
    figures = metrics.measure(
        probabilities,
        part.labels(data),
        part.track,
        temperature=temperature,
        songs=split.name not in (SplitName.SEGMENT, SplitName.STRETCHED),
        likelihood=classifier is not None,
    )
    name = BASELINE if classifier is None else classifier.card.name
    found = {
        "model": name,
        "split": str(split.name),
        "seed": split.seed,
        "side": side,
        "trained_on": {"split": card["split"], "seed": card["seed"]} if classifier else None,
        "figures": figures.to_json(),
    }
    out.mkdir(parents=True, exist_ok=True)
    kind = name.partition("-")[0]
    file = out / f"{kind}-{split.name}-{split.seed}-{side}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    return found


def _baseline(data: Gtzan, split: Split, part: Subset) -> NDArray[np.float32]:
    from training.baseline import fit_baseline

    return fit_baseline(data, split.train, split.seed).predict(part.segments(data))


def make_music(path: Path, folder: Path, seed: int, out: Path, runs: Path, lists: Path | None) -> Path:
    """Train the model that tells music from other sound, and write it.

    Args:
        path: of GTZAN.
        folder: sound that is not music.
        seed: of the training.
        out: folder of the models.
        runs: folder of checkpoints.
        lists: folder of the filtered lists.

    Returns:
        Path of the model.

    Raises:
        FileNotFoundError: data, sound or lists are missing.
    """
    from training import export, music_detector

    data = load(path)
    sounds = music_detector.load_sounds(data, folder, lists)
    model = music_detector.fit_music(sounds["train"], seed, runs / f"music-{seed}")
    described = {**describe(data), "other": {side: int((~sounds[side].music).sum()) for side in sounds}}
    card = export.Card("music", VERSION, described, "filtered", seed, {}, threshold=0.5)
    content = export.convert(model, "int8")
    answers = {}
    for side in ("valid", "test"):
        segments, of = music_detector.segments_of(sounds[side])
        answers[side] = music_detector.song_probabilities(export.run(content, card, segments), of)
    valid = sounds["valid"].music
    threshold = music_detector.choose_threshold(answers["valid"][valid], answers["valid"][~valid])
    metrics = {side: music_detector.refusals(sounds[side], answers[side], threshold) for side in answers}
    return export.write(out, replace(card, threshold=threshold, metrics={"filtered": metrics}), content)
