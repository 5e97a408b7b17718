import json
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from core.constants import GENRES
from genregenie import build_app
from tests.support.audio import make_song, write_wav
from training import export, networks
from training.data.distort import DISTORTIONS, distort
from training.data.features import log_mel_from_file
from training.data.gtzan import DataError, track_mel
from training.evaluation.robustness import measure_robustness
from training.evaluation.songs import compare, listed_songs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with its card."""
    keras.utils.set_random_seed(0)
    content = export.convert(networks.genie_network(4, (8, 8)), "int8")
    return export.write(tmp_path_factory.mktemp("model"), export.Card("small", "1", {}, "filtered", 0, {}), content)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distorted_copy_can_be_heard_and_differs_in_nothing_but_its_sound(name: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(30))
    (tmp_path / "copies").mkdir()
    copy = log_mel_from_file(distort(path, DISTORTIONS[name], tmp_path / "copies"))
    expected = 125 if name == "long-recording" else 30
    assert copy.duration == pytest.approx(expected, abs=0.3)
    assert not copy.is_silent()
    if name in ("telephone", "mp3-32", "phone-recording"):
        before, after = log_mel_from_file(path).section_db(0), copy.section_db(0)
        assert (after[115:] - before[115:]).mean() < -5, "the upper bands are lost"


def test_songs_are_found_in_folders_and_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "jazz").mkdir()
    write_wav(tmp_path / "jazz" / "one.wav", make_song(4))
    (tmp_path / "list.csv").write_text("file,genre\njazz/one.wav,Jazz\n")
    expected = [(tmp_path / "jazz" / "one.wav", "jazz")]
    assert listed_songs(tmp_path) == expected
    assert listed_songs(tmp_path / "list.csv") == expected
    (tmp_path / "list.csv").write_text("jazz/one.wav,polka\n")
    with pytest.raises(DataError, match="polka"):
        listed_songs(tmp_path / "list.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        listed_songs(tmp_path / "empty")


def test_the_table_of_songs_has_each_models_answer_or_error(tmp_path: Path, model: Path) -> None:
    for genre in ("jazz", "rock"):
        (tmp_path / genre).mkdir()
        write_wav(tmp_path / genre / f"{genre}.wav", make_song(10, seed=len(genre)))
    (tmp_path / "rock" / "broken.mp3").write_bytes(b"not music")
    second = tmp_path / "second.tflite"
    second.write_bytes(model.read_bytes())
    second.with_suffix(".json").write_bytes(model.with_suffix(".json").read_bytes())
    out = tmp_path / "figures"
    arguments = ["evaluate", str(model), str(second), "--songs", str(tmp_path), "--out", str(out)]
    result = CliRunner().invoke(build_app(arguments), arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    (row,) = (line for line in result.output.splitlines() if "│ jazz " in line)
    answers = [cell.strip() for cell in row.split("│")[3:5]]
    assert answers[0] == answers[1]
    assert answers[0] in GENRES
    assert "(not-audio)" in result.output
    assert "of 3" in result.output
    rows = json.loads((out / f"songs-{tmp_path.stem}.json").read_text())
    assert [(row["song"], row["genre"]) for row in rows] == [("jazz", "jazz"), ("broken", "rock"), ("rock", "rock")]
    assert rows[0]["told"] == {"small": answers[0], "second": answers[0]}


def test_models_of_one_name_are_told_apart(tmp_path: Path, model: Path) -> None:
    write_wav(tmp_path / "one.wav", make_song(4))
    (tmp_path / "list.csv").write_text("one.wav,jazz\n")
    (tmp_path / "other").mkdir()
    for file in (model, model.with_suffix(".json")):
        (tmp_path / "other" / file.name).write_bytes(file.read_bytes())
    models = [str(model), str(tmp_path / "other" / model.name)]
    (row,) = compare(tmp_path / "list.csv", models, tmp_path)
    assert list(row["told"]) == models


def test_robustness_counts_right_and_unchanged_answers(tmp_path: Path, model: Path) -> None:
    (tmp_path / "audio" / "pop").mkdir(parents=True)
    write_wav(tmp_path / "audio" / "pop" / "pop.00003.wav", make_song(30))
    write_wav(tmp_path / "audio" / "pop" / "pop.00004.wav", make_song(30))
    for side, names in (("valid", ["pop/pop.00003.wav"]), ("test", []), ("train", ["pop/pop.00004.wav"])):
        (tmp_path / f"{side}_filtered.txt").write_text("\n".join(names))
    mel = track_mel(tmp_path / "audio" / "pop" / "pop.00003.wav")
    np.savez(tmp_path / "mel.npz", mel=np.stack([mel]), track=np.array(["pop.00003"]))
    places = (tmp_path / "audio", tmp_path, tmp_path / "figures", tmp_path / "mel.npz")
    rows = measure_robustness(str(model), *places)
    assert [row["distortion"] for row in rows] == ["none", *DISTORTIONS, "archive"]
    assert rows[-1]["same"] == 1
    assert {row["songs"] for row in rows} == {1}
    assert rows[0]["same"] == 1
    assert [row for row in rows if row["distortion"] == "one-side"][0]["same"] == 1
    assert (tmp_path / "figures" / "robustness-small.json").is_file()


def test_evaluate_measures_a_model_and_the_baseline_on_a_folder_of_audio(
    tmp_path: Path, gtzan_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.gtzan.CACHE_DIR", tmp_path / "cache")
    for side, number in (("train", 0), ("valid", 1), ("test", 2)):
        names = [f"{genre}/{genre}.{number:05d}.wav" for genre in ("classical", "metal")]
        (tmp_path / f"{side}_filtered.txt").write_text("\n".join(names))
    options = ["--data", str(gtzan_folder), "--split", "filtered", "--lists", str(tmp_path), "--out", str(tmp_path)]
    arguments = ["evaluate", "svm", str(model), *options]
    result = CliRunner().invoke(build_app(arguments), arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    baseline = next(line for line in result.output.splitlines() if "accuracy, songs' votes" in line)
    assert "1.00 (1.00" in baseline, "hiss and chords are told apart by the baseline"
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "svm-filtered-0-test.json",
        "small-filtered-0-test.json",
    }
