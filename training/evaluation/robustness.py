"""Robustness: audio, classified as it is and after each of ten distortions, or of ten changes that nobody hears."""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track as progress_bar

from core.audio.decode import CHANNELS, bounded
from core.audio.front_end import decoded_log_mel
from core.constants import GENRES
from core.errors import GenreGenieError
from core.inference.classifier import Classifier
from core.inference.pipeline import Models
from training.data.distort import DISTORTIONS, INAUDIBLE, Distortion, distort
from training.data.features import decoded_mono
from training.data.gtzan import FAULTY, DataError, Gtzan, audio_files, filtered_list, load, to_db
from training.data.splits import SubsetName, subset_of
from training.evaluation.metrics import vote
from training.evaluation.songs import predicted_genre, predicted_genres

UNDISTORTED: Final = "none"
ARCHIVE: Final = "archive"
ABOUT: Final = {
    UNDISTORTED: "as it is",
    ARCHIVE: "no distortion: the same track's spectrogram from the archive",
    **{label: distortion.about for label, distortion in DISTORTIONS.items()},
    **{label: change.about for label, change in INAUDIBLE.items()},
}


def measure_robustness(
    model: str, folder: Path, lists: Path | None, out: Path, archive: Path | None = None
) -> list[dict[str, Any]]:
    """Classify the audio tracks of the filtered validation and test lists, each as it is and distorted.

    Args:
        model: a name under `models/` or a file; one that was not trained on these tracks.
        folder: GTZAN's audio.
        lists: folder of the filtered lists.
        out: folder in which `robustness-MODEL.json` is written, with the number of tracks of each list.
        archive: `mel.npz`, to compare its spectrograms with those that serving computes of the same tracks.

    Returns:
        A row for no distortion, for each distortion and for the archive: `distortion`, `about`, `songs`, `correct`,
        `same` (genre as without distortion) and `refused` (no genre).

    Raises:
        FileNotFoundError: there is no such audio, list or archive.
        DataError: the archive is not a valid one, or lacks a track.
    """
    listed = {str(subset): set(filtered_list(folder, lists, subset)) for subset in (SubsetName.VALID, SubsetName.TEST)}
    held_out = set.union(*listed.values())
    files = {name: path for name, path in audio_files(folder).items() if name in held_out}
    if not files:
        raise FileNotFoundError(f"{folder} holds no track of the filtered validation and test lists")
    loaded, predicted = Models(), {}
    from_archive = None if archive is None else _predict_from_archive(load(archive), list(files), loaded.genre(model))
    for label, distortion in {UNDISTORTED: None, **DISTORTIONS}.items():
        predicted[label] = {
            name: _predict_distorted(path, distortion, model, loaded)
            for name, path in progress_bar(files.items(), label, transient=True)
        }
    if from_archive is not None:
        predicted[ARCHIVE] = from_archive
    counts = {subset: len(names & files.keys()) for subset, names in listed.items()}
    return _write("robustness", loaded.genre(model).card.name, predicted, out, lists=counts)


def measure_inaudible(model: str, folder: Path, out: Path) -> list[dict[str, Any]]:
    """Classify all audio tracks, each as it is and after each change that nobody hears; write `inaudible-MODEL.json`.

    It asks whether the answer changes, not whether it is right, so that the model may know the tracks.

    Args:
        model: a name under `models/` or a file.
        folder: GTZAN's audio.
        out: folder in which the file is written.

    Returns:
        A row for no change and for each change, as from `measure_robustness`.

    Raises:
        FileNotFoundError: there is no such audio.
    """
    files = {name: path for name, path in audio_files(folder).items() if name not in FAULTY}
    if not files:
        raise FileNotFoundError(f"{folder} holds no track of GTZAN")
    loaded = Models()
    labels = (UNDISTORTED, *INAUDIBLE)
    predicted: dict[str, dict[str, str]] = {label: {} for label in labels}
    for name, path in progress_bar(files.items(), "tracks", transient=True):
        try:
            samples = decoded_mono(path)
        except GenreGenieError as error:
            for label in labels:
                predicted[label][name] = f"({error.code})"
            continue
        for label in labels:
            stereo = INAUDIBLE[label].apply(samples) if label in INAUDIBLE else np.stack((samples, samples), axis=1)
            mel = decoded_log_mel([bounded(stereo.ravel()).reshape(-1, CHANNELS)])
            predicted[label][name] = predicted_genre(mel, model, loaded)
    return _write("inaudible", loaded.genre(model).card.name, predicted, out)


def _write(
    kind: str, name: str, predicted: dict[str, dict[str, str]], out: Path, **details: object
) -> list[dict[str, Any]]:
    rows = [_row(label, predicted) for label in predicted]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{kind}-{name}.json").write_text(json.dumps({"model": name, **details, "rows": rows}, indent=1) + "\n")
    return rows


def _predict_distorted(path: Path, distortion: Distortion | None, model: str, loaded: Models) -> str:
    if distortion is None:
        return next(predicted_genres(path, [model], loaded))
    with tempfile.TemporaryDirectory() as folder:
        return next(predicted_genres(distort(path, distortion, Path(folder)), [model], loaded))


def _predict_from_archive(gtzan: Gtzan, names: list[str], classifier: Classifier) -> dict[str, str]:
    missing = [name for name in names if name not in gtzan.index]
    if missing:
        raise DataError(f"the archive lacks {missing[0]} (and {len(missing) - 1} other tracks of the audio)")
    subset = subset_of([gtzan.index[name] for name in names])
    votes = vote(classifier.probabilities(to_db(subset.segments(gtzan))), subset.labels(gtzan), subset.track)
    return {gtzan.names[track]: GENRES[genre] for track, genre in zip(subset.tracks, votes.genre, strict=True)}


def _row(label: str, predicted: dict[str, dict[str, str]]) -> dict[str, Any]:
    genres, undistorted = predicted[label], predicted[UNDISTORTED]
    return {
        "distortion": label,
        "about": ABOUT[label],
        "songs": len(genres),
        "correct": sum(genre == name.partition(".")[0] for name, genre in genres.items()),
        "same": sum(genre == undistorted[name] for name, genre in genres.items()),
        "refused": sum(genre not in GENRES for genre in genres.values()),
    }
