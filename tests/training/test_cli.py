"""The commands, as far as they end before anything is trained."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from genregenie import build_app

runner = CliRunner()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "plain", "--data", "nothing.npz"], "does not exist"),
        (["train", "plain", "--data", "text.npz"], "neither a folder nor"),
        (["train", "genie", "--data", "."], "holds no track"),
        (["evaluate", "svm", "--data", "text.npz"], "neither a folder nor"),
        (["evaluate", "svm", "--songs", "songs.csv"], "polka"),
        (["robustness", "genie", "--data", "."], "filtered"),
        (["robustness", "genie", "--data", ".", "--inaudible"], "no track"),
        (["train", "study", "--data", "fma"], "the study is of GTZAN"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "songs.csv").write_text("file,genre\na.mp3,polka\n")
    (tmp_path / "fma" / "fma_metadata").mkdir(parents=True)
    (tmp_path / "fma" / "fma_metadata" / "tracks.csv").touch()
    done = runner.invoke(build_app(arguments), arguments, env={"COLUMNS": "500"})
    assert done.exit_code == 1
    (line,) = done.output.strip().splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["study", "--split", "track"], "leave --split and --seed out"),
        (["study", "--seed", "0"], "leave --split and --seed out"),
        (["genie", "--mixed-precision"], "genie has no --mixed-precision"),
    ],
)
def test_an_option_that_does_not_belong_to_what_is_trained_is_refused(options: list[str], says: str) -> None:
    arguments = ["train", *options, "--data", "nothing.npz"]
    done = runner.invoke(build_app(arguments), arguments, env={"COLUMNS": "500"})
    assert done.exit_code == 2
    assert says in done.output
