import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.constants import GENRES
from genregenie import build_app
from tests.support.audio import make_song, write_wav
from training.data.gtzan import DataError
from training.evaluation.songs import compare_models, listed_songs


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
    (tmp_path / "list.csv").write_text("\ufeffFile, Genre\r\n\r\njazz/one.wav, Jazz\r\n", encoding="utf-8")
    assert listed_songs(tmp_path / "list.csv") == expected
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        listed_songs(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"file,genre\none.wav,jazz\ntwo.wav\n", "line 3: expected file,genre"),
        ("Jos\u00e9.wav,jazz\n".encode("latin-1"), "UTF-8"),
        (b"one.wav," + b"x" * 200_000, "line 1: field larger"),
    ],
)
def test_a_list_that_cannot_be_read_is_said_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        listed_songs(tmp_path / "list.csv")


def test_the_table_of_songs_has_each_models_genre_or_error(tmp_path: Path, model: Path) -> None:
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
    genres = [cell.strip() for cell in row.split("│")[3:5]]
    assert genres[0] == genres[1]
    assert genres[0] in GENRES
    assert "(not-audio)" in result.output
    assert "of 3" in result.output
    rows = json.loads((out / f"songs-{tmp_path.stem}.json").read_text())
    assert [(row["song"], row["genre"]) for row in rows] == [("jazz", "jazz"), ("broken", "rock"), ("rock", "rock")]
    assert rows[0]["predicted"] == {"small": genres[0], "second": genres[0]}


def test_models_of_one_name_are_distinguished(tmp_path: Path, model: Path) -> None:
    write_wav(tmp_path / "one.wav", make_song(4))
    (tmp_path / "list.csv").write_text("one.wav,jazz\n")
    (tmp_path / "other").mkdir()
    for file in (model, model.with_suffix(".json")):
        (tmp_path / "other" / file.name).write_bytes(file.read_bytes())
    models = [str(model), str(tmp_path / "other" / model.name)]
    (row,) = compare_models(tmp_path / "list.csv", models, tmp_path)
    assert list(row["predicted"]) == models
