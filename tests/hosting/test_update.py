"""Updating yt-dlp alone: the commands of docs/hosting.md, carried out in a fresh environment."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.fetch.ytdlp_install import UPDATE
from tests.hosting.dockerfile import read_stages
from tests.support.data import ROOT

IMAGE_FILE = ROOT / "deploy" / "ytdlp.Dockerfile"
DOCUMENT = (ROOT / "docs" / "hosting.md").read_text("utf-8")
SECTION = DOCUMENT.split("\n## Update yt-dlp\n")[1].split("\n## ")[0]
INSTALLS = {"unit": "/opt/genregenie/.venv/bin/python", "clone": ".venv/bin/python", "image": "/opt/venv/bin/python"}


def image_command() -> list[str]:
    [stage] = read_stages(IMAGE_FILE).values()
    [run] = stage.all("RUN")
    words: list[str] = json.loads(run)
    return words


def documented(kind: str) -> str:
    """The command of one kind of installation, without `sudo`."""
    if kind == "image":
        return " ".join(f'"{word}"' for word in image_command())
    commands = re.findall(r"^(?:sudo )?(\S*python -m pip install .*)$", SECTION, re.MULTILINE)
    [command] = [command for command in commands if command.startswith(INSTALLS[kind])]
    return str(command)


def test_doctor_names_the_command_that_is_documented() -> None:
    assert UPDATE.removeprefix("pip ") in documented("unit")
    assert UPDATE.removeprefix("pip ") in documented("clone")
    assert image_command()[-2:] == ["--upgrade", UPDATE.split('"')[1]]
    assert f"docker build --no-cache -t genregenie - < {IMAGE_FILE.relative_to(ROOT)}" in SECTION


def test_an_updated_image_stays_what_it_was() -> None:
    [stage] = read_stages(IMAGE_FILE).values()
    assert stage.base == "${IMAGE}"
    assert stage.all("USER") == ["root", *read_stages()["bot"].all("USER")]
    assert {word for word, _ in stage.steps} == {"USER", "RUN"}
    [entry_point] = read_stages()["program"].all("ENTRYPOINT")
    assert image_command()[0] == json.loads(entry_point)[0]


def wheel(folder: Path, name: str, version: str, *metadata: str) -> None:
    """Make a package of one line of code."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{module}.py", "")
        archive.writestr(
            f"{info}/METADATA", "\n".join(("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata))
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A virtual environment, and a folder of packages in two versions each."""
    place = tmp_path_factory.mktemp("update")
    packages = place / "packages"
    packages.mkdir()
    extras = ("Provides-Extra: default", "Provides-Extra: deno", "Requires-Dist: deno; extra == 'deno'")
    for version in ("2026.1.1", "2026.3.3"):
        wheel(packages, "yt-dlp", version, *extras, f"Requires-Dist: yt-dlp-ejs=={version}; extra == 'default'")
        wheel(packages, "yt-dlp-ejs", version)
    for version in ("2.0", "3.0"):
        wheel(packages, "deno", version)
        wheel(packages, "numpy", version)
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True, timeout=240)
    return place / "venv" / "bin" / "python", packages


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("kind", INSTALLS)
def test_the_documented_command_updates_yt_dlp_and_nothing_else(environment: tuple[Path, Path], kind: str) -> None:
    python, packages = environment
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(command: str) -> str:
        return subprocess.run(
            command, shell=True, check=True, env=variables, capture_output=True, text=True, timeout=240
        ).stdout

    run(f"{python} -m pip install yt-dlp[default]==2026.1.1 numpy==2.0")
    run(documented(kind).replace(INSTALLS[kind], str(python)))
    listed = {entry["name"]: entry["version"] for entry in json.loads(run(f"{python} -m pip list --format=json"))}
    assert (listed["yt-dlp"], listed["yt-dlp-ejs"], listed["deno"]) == ("2026.3.3", "2026.3.3", "3.0")
    assert listed["numpy"] == "2.0"
