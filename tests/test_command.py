"""The `genregenie` command itself: its version, and what it says where a part of the project is not installed."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import genregenie
from core.constants import GENRES
from core.errors import GenreGenieError
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
            (tmp_path / source).parent.mkdir(exist_ok=True)
            (tmp_path / source).symlink_to(ROOT / source)
    return request.param, tmp_path


def test_a_line_of_python_classifies_a_file() -> None:
    found = genregenie.classify(ROOT / "examples" / "demo.ogg")
    assert found.genre in GENRES
    assert len(genregenie.classify(ROOT / "examples" / "demo.ogg", whole=True).segments) > len(found.segments)
    with pytest.raises(GenreGenieError) as raised:
        genregenie.classify(str(ROOT / "README.md"))
    assert raised.value.code == "not-audio"


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
    if package in {"bot": ("bot", "web"), "page": ("web",)}[name]:
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


def test_everything_that_a_start_lacks_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GENREGENIE_FFMPEG=/no/such/program\nDISCORD_TOKKEN=a-secret\nGENREGENIE_WEB=1\n")
    variables = {
        "GENREGENIE_WORKERS": "many",
        "genregenie_workerz": "2",
        "GENREGENIE_CA_FILE": str(tmp_path / "missing.pem"),
        "GENREGENIE_MODEL": "none-such",
        "GENREGENIE_WEB_HOST": "0.0.0.0",
        "GENREGENIE_TEST_DATA": "the tests' own",
    }
    done = run(tmp_path, "bot", path=str(ROOT), **variables)
    assert done.returncode == 2
    lines = done.stderr.removeprefix("genregenie: ").splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "GENREGENIE_WORKERS",
        "DISCORD_TOKKEN",
        "GENREGENIE_WORKERZ",
        "GENREGENIE_CA_FILE",
        "GENREGENIE_FFMPEG",
        "GENREGENIE_MODEL",
        "DISCORD_TOKEN is not set",
        "GENREGENIE_WEB_PASSWORD",
    ]
    assert "is it DISCORD_TOKEN?" in lines[1]
    assert "secret" not in done.stderr


@pytest.mark.parametrize("content", ["", "no certificate at all"], ids=["empty", "text"])
def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    done = run(tmp_path, "web", path=str(ROOT), GENREGENIE_CA_FILE="ca.pem")
    assert_one_line(done, "GENREGENIE_CA_FILE: is no PEM file")


@pytest.mark.parametrize("command", ["classify song.wav", "invite"])
def test_a_setting_that_there_is_not_is_named_by_every_command(tmp_path: Path, command: str) -> None:
    (tmp_path / ".env").write_text("GENREGENIE_MAX_FILE_MIB=3\n")
    done = run(tmp_path, *command.split(), path=str(ROOT))
    assert_one_line(done, "GENREGENIE_MAX_FILE_MIB: there is no such setting; is it GENREGENIE_MAX_FILE_MB?")


def test_the_ffmpeg_of_the_file_of_settings_is_the_one_that_is_run(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GENREGENIE_FFMPEG=/no/such/program\n")
    done = run(tmp_path, "classify", str(ROOT / "examples" / "demo.ogg"), path=str(ROOT))
    assert_one_line(done, "GENREGENIE_FFMPEG does not name a program")
