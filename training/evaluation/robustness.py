"""How a model stands what people post: held-out audio before and after ten distortions."""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.progress import track as progress_bar

from core.constants import GENRES
from core.inference.classifier import Classifier
from core.inference.pipeline import Models
from training.data.distort import DISTORTIONS, Distortion, distort
from training.data.gtzan import Gtzan, audio_files, load, to_db
from training.data.splits import listed_names, subset_of
from training.evaluation.metrics import vote
from training.evaluation.songs import answers

UNDISTORTED: Final = "none"
ARCHIVE: Final = "archive"
ABOUT: Final = {
    UNDISTORTED: "as it is",
    ARCHIVE: "no distortion: the same track's spectrogram from the archive",
    **{label: distortion.about for label, distortion in DISTORTIONS.items()},
}


def measure_robustness(
    model: str, folder: Path, lists: Path | None, out: Path, archive: Path | None = None
) -> list[dict[str, Any]]:
    """Answer for the audio tracks of the filtered validation and test lists, each as it is and distorted.

    Args:
        model: a name under `models/` or a file; one that has not learned from these tracks.
        folder: GTZAN's audio.
        lists: folder of the filtered lists.
        out: folder in which `robustness-MODEL.json` is written.
        archive: `mel.npz`, to compare what the model learned from with what serving makes of the same tracks.

    Returns:
        A row for no distortion, each of them, and the archive: `distortion`, `about`, `songs`, `right`, `same` (as
        undistorted).

    Raises:
        FileNotFoundError: there is no such audio, list or archive.
        DataError: the archive is not one.
    """
    names = [*listed_names(folder, lists, "valid"), *listed_names(folder, lists, "test")]
    files = {name: path for name, path in audio_files(folder).items() if name in set(names)}
    if not files:
        raise FileNotFoundError(f"{folder} holds no track of the filtered validation and test lists")
    loaded, told = Models(), {}
    for label, distortion in {UNDISTORTED: None, **DISTORTIONS}.items():
        told[label] = {
            name: _answer(path, distortion, model, loaded)
            for name, path in progress_bar(files.items(), label, transient=True)
        }
    if archive is not None:
        told[ARCHIVE] = _archive_answers(load(archive), list(files), loaded.genre(model))
    rows = [_row(label, told) for label in told]
    out.mkdir(parents=True, exist_ok=True)
    name = loaded.genre(model).card.name
    (out / f"robustness-{name}.json").write_text(json.dumps({"model": name, "rows": rows}, indent=1) + "\n")
    return rows


def _answer(path: Path, distortion: Distortion | None, model: str, loaded: Models) -> str:
    if distortion is None:
        return next(answers(path, [model], loaded))
    with tempfile.TemporaryDirectory() as folder:
        return next(answers(distort(path, distortion, Path(folder)), [model], loaded))


def _archive_answers(data: Gtzan, names: list[str], classifier: Classifier) -> dict[str, str]:
    part = subset_of([data.index[name] for name in names])
    votes = vote(classifier.probabilities(to_db(part.segments(data))), part.labels(data), part.track)
    return {data.names[track]: GENRES[genre] for track, genre in zip(part.tracks, votes.genre, strict=True)}


def _row(label: str, told: dict[str, dict[str, str]]) -> dict[str, Any]:
    given, clean = told[label], told[UNDISTORTED]
    return {
        "distortion": label,
        "about": ABOUT[label],
        "songs": len(given),
        "right": sum(answer == name.partition(".")[0] for name, answer in given.items()),
        "same": sum(answer == clean[name] for name, answer in given.items()),
        "refused": sum(answer not in GENRES for answer in given.values()),
    }
