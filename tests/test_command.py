"""The `genregenie` command itself: its version, and what it says where a part of the project is not installed."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from core.inference.model_card import read_card
from core.version import VERSION
from tests.hosting.dockerfile import copied, lineage, read_stages
from tests.support.data import ROOT

STAGES = read_stages()


def run(folder: Path, *arguments: str, path: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder that holds the program, and nowhere else, with this Python's packages."""
    places = os.pathsep.join(filter(None, (path, str(folder), sysconfig.get_path("purelib"))))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GENREGENIE_", "DISCORD_"))
    }
    # As in an image: what the environment brings, such as deno, is on the PATH.
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    data = str(folder / "data") if folder != ROOT else "data"
    return subprocess.run(
        # Without `site`, no .pth file leads back to the whole project.
        [sys.executable, "-S", "-m", "genregenie", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": places, "GENREGENIE_DATA_DIR": data} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=["bot", "page"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Name of an image, and a folder with those parts of the project that the Dockerfile copies into it."""
    for stage in lineage(STAGES, request.param):
        for source in copied(stage):
            (tmp_path / source).symlink_to(ROOT / source)
    return request.param, tmp_path


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("setting", "model"),
    [
        ("", "models/genie.tflite"),
        ("plain", "models/plain.tflite"),
        ("docs/research/evidence/genie-filtered.tflite", "docs/research/evidence/genie-filtered.tflite"),
    ],
)
def test_the_version_is_the_programs_and_the_models(setting: str, model: str) -> None:
    done = run(ROOT, "--version", GENREGENIE_MODEL=setting)
    card = read_card(ROOT / model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"GenreGenie {VERSION}, model {card.name} {card.version}\n"


def test_the_version_is_told_where_there_is_no_model() -> None:
    done = run(ROOT, "--version", GENREGENIE_MODEL="none-such")
    assert done.returncode == 0
    assert done.stdout.startswith(f"GenreGenie {VERSION}, no model: ")


def test_the_version_is_told_where_settings_are_wrong() -> None:
    done = run(ROOT, "--version", GENREGENIE_WORKERS="many")
    assert done.stdout == f"GenreGenie {VERSION}\n"
    assert_one_line(done, "GENREGENIE_WORKERS")


def test_the_version_needs_no_installation(image: tuple[str, Path]) -> None:
    assert run(image[1], "--version").stdout.startswith(f"GenreGenie {VERSION}, model ")


def test_the_changelog_has_a_dated_section_of_this_version() -> None:
    assert f"\n## {VERSION} – 20" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_doctor_works_in_every_image_and_asks_for_a_token_only_where_there_is_a_bot(image: tuple[str, Path]) -> None:
    name, folder = image
    done = run(folder, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"GenreGenie {VERSION}" in done.stdout
    assert "ffmpeg" in done.stdout
    assert ("DISCORD_TOKEN" in done.stdout) == (name == "bot")
    assert not (folder / "data").exists(), "doctor only looks"


@pytest.mark.parametrize("command", ["bot", "invite", "backup", "corrections", "web", "train", "evaluate", "report"])
def test_a_command_that_an_image_lacks_says_so_in_one_line(image: tuple[str, Path], command: str) -> None:
    name, folder = image
    package = {"web": "web", "train": "training", "evaluate": "training", "report": "training"}.get(command, "bot")
    if package == {"bot": "bot", "page": "web"}[name]:
        assert run(folder, command, "--help").returncode == 0
    else:
        assert_one_line(run(folder, command), command, f"no {package}/")


@pytest.mark.parametrize(
    ("arguments", "lacking", "requirements"),
    [
        (("train", "plain", "--data", "."), "tensorflow", "train.txt"),
        (("web",), "jinja2", "web.txt"),
    ],
)
def test_a_command_without_its_extra_names_the_requirements(
    tmp_path: Path, arguments: tuple[str, ...], lacking: str, requirements: str
) -> None:
    (tmp_path / f"{lacking}.py").write_text(f"raise ModuleNotFoundError(name={lacking!r})")
    assert_one_line(run(ROOT, *arguments, path=str(tmp_path)), f"requirements/{requirements}")


def test_a_song_that_is_called_like_a_command_is_a_song(tmp_path: Path) -> None:
    done = run(ROOT, "classify", str(tmp_path / "train"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
