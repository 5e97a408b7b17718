import json
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from training.config import OutputFolders
from training.evaluation.metrics import measure
from training.report import format_estimate, write_report


@pytest.fixture
def folders(tmp_path: Path) -> OutputFolders:
    """Two shipped models, one as evidence, two measurements, a table of songs and one of distortions."""
    folders = OutputFolders(tmp_path / "models", tmp_path / "docs" / "research")
    for folder in (folders.models, folders.figures, folders.evidence):
        folder.mkdir(parents=True)
    labels = np.arange(10).repeat(20)
    tracks = np.arange(20).repeat(10)
    predicted = np.where(np.arange(200) % 4 == 0, (labels + 1) % 10, labels)
    probabilities = np.full((200, 10), 0.02)
    probabilities[np.arange(200), predicted] = 0.82
    figures = measure(probabilities, labels, tracks).to_json()
    for name, split, converged in (("plain", "track", True), ("plain-filtered", "filtered", False)):
        trained_on = {"split": split, "seed": 0, "converged": converged, "mixed_precision": not converged}
        found = {"model": name, "split": split, "seed": 0, "subset": "test", "trained_on": trained_on}
        (folders.figures / f"plain-{split}-0-test.json").write_text(json.dumps(found | {"figures": figures}))
    history = [{"epoch": epoch, "accuracy": 0.5, "loss": 1, "val_accuracy": 0.4, "val_loss": 2} for epoch in (0, 1)]
    (folders.figures / "plain-filtered-0-history.json").write_text(json.dumps(history))
    rows = [{"distortion": "mp3-32", "about": "", "songs": 45, "correct": 30, "same": 41, "refused": 2}]
    robustness = {"model": "genie", "lists": {"valid": 41, "test": 4}, "rows": rows}
    (folders.figures / "robustness-genie.json").write_text(json.dumps(robustness))
    songs = [
        {"song": "one", "genre": "jazz", "predicted": {"plain": "jazz", "genie": "blues"}},
        {"song": "two", "genre": "rock", "predicted": {"plain": "rock", "genie": "rock"}},
    ]
    (folders.figures / "songs-mine.json").write_text(json.dumps(songs))
    card = {
        "name": "plain",
        "version": "1",
        "sha256": "0" * 64,
        "genres": list(GENRES),
        "temperature": 1.5,
        "data": {"name": "GTZAN", "tracks": 999},
        "split": "track",
        "seed": 0,
        "metrics": {},
    }
    (folders.models / "plain.json").write_text(json.dumps(card))
    held_out = card | {"name": "genie-filtered", "split": "filtered"}
    (folders.evidence / "genie-filtered.json").write_text(json.dumps(held_out))
    counted = {
        "music_refused": 0.01,
        "other_refused": 0.975,
        "by_class": {"gtzan": {"recordings": 100, "refused": 1}, "rain": {"recordings": 40, "refused": 39}},
        "by_codec": {"rain/mp3-32": {"recordings": 4, "refused": 3}},
    }
    refusing = card | {
        "name": "genie",
        "split": "all",
        "threshold": 0.7,
        "music_refusals": {"filtered": {"valid": counted, "test": counted}},
    }
    (folders.models / "genie.json").write_text(json.dumps(refusing))
    (folders.models / "genie.tflite").write_bytes(b"")
    labelled = {
        "model": "genie",
        "songs": 3,
        "correct": 2,
        "refused": 0,
        "outside": 0,
        "ece": 0.1,
        "genres": {"jazz": {"songs": 3, "correct": 2}},
        "confusion": {"jazz": {"jazz": 2, "blues": 1}},
    }
    (folders.figures / "labelled-genie.json").write_text(json.dumps(labelled))
    change = {"about": "the right channel inverted", "songs": 80, "correct": 67, "same": 79, "refused": 1}
    (folders.figures / "inaudible-genie.json").write_text(json.dumps({"model": "genie", "rows": [change]}))
    near = {
        "model": "genie-filtered",
        "split": "filtered",
        "tracks": 290,
        "same": {"1": 0.84, "5": 0.79},
        "chance": 0.1,
    }
    (folders.figures / "neighbours-genie-filtered.json").write_text(json.dumps(near))
    (folders.models / "plain.tflite").write_bytes(b"")
    return folders


def test_the_page_holds_every_figure_and_its_pictures(folders: OutputFolders) -> None:
    page = write_report(folders).read_text()
    assert "## plain\n" in page
    assert "[plain.tflite](../../models/plain.tflite)" in page
    assert "[genie-filtered.tflite](evidence/genie-filtered.tflite)" in page
    assert "| 0.75 / 1.00 |" in page
    assert "| 0.75 / 1.00\\* |" in page, "it was not trained to its end"
    assert "`genregenie train plain --split filtered --seed 0 --mixed-precision --data PATH` makes it" in page
    assert "figures/plain-filtered-0-history.png" in page
    assert "| blues | 0.75 | 0.75 | 0.75 | 1.00 (0.34–1.00) |" in page
    assert "| jazz | 1 |  |  |  |  | 2 |" in page
    assert "| the right channel inverted | 67 of 80 | 79 of 80 | 1 |" in page
    assert "| genie-filtered | filtered | 290 | 0.84 | 0.79 | 0.10 |" in page
    assert "| 30 of 45 | 41 of 45 | 2 |" in page
    assert "41 tracks of the validation list and 4 of the test list." in page
    assert "| rain | 39 of 40 | 39 of 40 |" in page
    assert "| **all other sounds** | 97.5% | 97.5% |" in page
    assert "| rain/mp3-32 | 3 of 4 | 3 of 4 |" in page
    assert "| one | jazz | **jazz** | blues |" in page
    assert "| correct | of 2 | 2 | 1 |" in page
    assert "disco/pop ranks" in page
    for picture in ("plain-track-0-test.png", "plain-track-0-test-reliability.png", "plain-filtered-0-test.png"):
        assert f"figures/{picture}" in page
        assert (folders.figures / picture).read_bytes().startswith(b"\x89PNG")


def test_figures_of_another_collection_stay_out_of_the_tables_of_gtzan(folders: OutputFolders) -> None:
    before = write_report(folders).read_text()
    found = json.loads((folders.figures / "plain-track-0-test.json").read_text())
    for model, name, trained_on in (("plain", "plain-on-fma", "GTZAN"), ("plain-fma-track", "plain-fma", "FMA")):
        measured = found | {"model": model, "collection": "FMA", "trained_on": {"collection": trained_on}}
        (folders.figures / f"{name}-track-0-test.json").write_text(json.dumps(measured))
    baseline = found | {"model": "svm", "collection": "FMA", "trained_on": None}
    (folders.figures / "svm-fma-track-0-test.json").write_text(json.dumps(baseline))
    after = write_report(folders).read_text()
    first, elsewhere, rest = after.partition("## Other collections")
    section, labelled, end = rest.partition("## Labelled")
    assert elsewhere
    assert first + labelled + end == before
    assert "| svm | FMA, track | 0 |" in section
    for model, name in (("plain", "plain-on-fma"), ("plain-fma-track", "plain-fma")):
        assert f"### {model} on FMA, track (seed 0)" in section
        assert f"figures/{name}-track-0-test.png" in section
        assert (folders.figures / f"{name}-track-0-test.png").is_file()


def test_the_page_is_made_from_the_files_alone(folders: OutputFolders) -> None:
    first = write_report(folders).read_text()
    assert write_report(folders).read_text() == first
    for path in folders.figures.glob("*filtered*.json"):
        path.unlink()
    assert write_report(folders).read_text().count("0.75 / 1.00") == 1


def test_an_estimate_is_printed_with_its_interval() -> None:
    assert format_estimate({"value": 0.7234, "low": 0.69, "high": 0.751}) == "0.72 (0.69–0.75)"
    assert format_estimate(None) == "–"
