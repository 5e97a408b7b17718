import json
from pathlib import Path

import numpy as np
import pytest

from core.constants import GENRES
from training.evaluation.metrics import measure
from training.report import shown, write_report


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models with one card and two measurements."""
    (tmp_path / "figures").mkdir()
    labels = np.arange(10).repeat(20)
    tracks = np.arange(20).repeat(10)
    told = np.where(np.arange(200) % 4 == 0, (labels + 1) % 10, labels)
    answers = np.full((200, 10), 0.02)
    answers[np.arange(200), told] = 0.82
    figures = measure(answers, labels, tracks).to_json()
    for split, seed in (("track", 0), ("filtered", 0)):
        found = {"model": "plain", "split": split, "seed": seed, "side": "test", "figures": figures}
        (tmp_path / "figures" / f"plain-{split}-{seed}-test.json").write_text(json.dumps(found))
    rows = [{"distortion": "mp3-32", "about": "", "songs": 45, "right": 30, "same": 41, "refused": 0}]
    (tmp_path / "figures" / "robustness-genie.json").write_text(json.dumps({"model": "genie", "rows": rows}))
    songs = [
        {"song": "one", "genre": "jazz", "told": {"plain": "jazz", "genie": "blues"}},
        {"song": "two", "genre": "rock", "told": {"plain": "rock", "genie": "rock"}},
    ]
    (tmp_path / "figures" / "songs-mine.json").write_text(json.dumps(songs))
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
    (tmp_path / "plain.json").write_text(json.dumps(card))
    counted = {
        "music_refused": 0.01,
        "other_refused": 0.975,
        "by_class": {"gtzan": {"recordings": 100, "refused": 1}, "rain": {"recordings": 40, "refused": 39}},
        "by_codec": {"rain/mp3-32": {"recordings": 4, "refused": 3}},
    }
    refusing = card | {"name": "music", "threshold": 0.7, "metrics": {"filtered": {"valid": counted, "test": counted}}}
    (tmp_path / "music.json").write_text(json.dumps(refusing))
    (tmp_path / "music.tflite").write_bytes(b"")
    (tmp_path / "plain.tflite").write_bytes(b"")
    return tmp_path


def test_the_page_holds_every_figure_and_its_pictures(models: Path) -> None:
    page = write_report(models).read_text()
    assert "## plain" in page
    assert page.count("0.75 / 1.00") == 2
    assert "41 of 45" in page
    assert "| rain | 39 of 40 | 39 of 40 |" in page
    assert "| **all other sound** | 97.5% | 97.5% |" in page
    assert "| rain/mp3-32 | 3 of 4 | 3 of 4 |" in page
    assert "| one | jazz | **jazz** | blues |" in page
    assert "| told right | of 2 | 2 | 1 |" in page
    assert "disco/pop is number" in page
    for picture in ("plain-track-0-test.png", "plain-track-0-test-reliability.png", "plain-filtered-0-test.png"):
        assert f"figures/{picture}" in page
        assert (models / "figures" / picture).read_bytes().startswith(b"\x89PNG")


def test_the_page_is_made_from_the_files_alone(models: Path) -> None:
    first = write_report(models).read_text()
    assert write_report(models).read_text() == first
    for path in (models / "figures").glob("*filtered*.json"):
        path.unlink()
    assert write_report(models).read_text().count("0.75 / 1.00") == 1


def test_an_estimate_is_printed_with_its_interval() -> None:
    assert shown({"value": 0.7234, "low": 0.69, "high": 0.751}) == "0.72 (0.69–0.75)"
    assert shown(None) == "–"
