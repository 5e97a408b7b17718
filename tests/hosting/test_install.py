"""The image's own install steps, run in a fresh place; an engine is not needed for that."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.inference.model_card import model_file
from tests.bot.end_to_end.answers import genre_of, is_final
from tests.bot.end_to_end.conftest import furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord
from tests.hosting.dockerfile import Stage, copied, lineage, read_stages
from tests.support.data import ROOT

pytestmark = pytest.mark.slow

STAGES = read_stages()


@pytest.fixture(scope="module", params=["bot", "page"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A folder that stands for the image's root, made by the instructions of the Dockerfile."""
    try:
        model_file()
    except ConfigurationError as error:
        pytest.skip(f"an image needs a model: {error}")
    root = tmp_path_factory.mktemp("image")
    name: str = request.param
    build = lineage(STAGES, "build-page")
    for stage in [*build, *lineage(STAGES, name)]:
        _carry_out(stage, root)
    yield name, root
    shutil.rmtree(root)


def _carry_out(stage: Stage, root: Path) -> None:
    """Run a stage's steps with the image's paths led below `root`."""
    for rest in stage.all("COPY"):
        if rest.startswith("--from="):
            continue  # the same folder serves both stages
        *sources, target = rest.split()
        for source in sources:
            place = _below(root, target) / (Path(source).name if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns("__pycache__", "*.py[cod]")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=ignore)
            else:
                shutil.copy(ROOT / source, place)
    variables = dict(pair.split("=", 1) for rest in stage.all("ENV") for pair in rest.split() if "=" in pair)
    for rest in stage.all("RUN"):
        line = " ".join(json.loads(rest)) if rest.startswith("[") else rest
        if "chown" in line:
            continue  # for root; the folder is the volume's
        line = line.replace("python -m venv", f"{sys.executable} -m venv")
        for path in ("/opt/venv", "/app"):
            line = line.replace(path, f"{root}{path}")
        environment = os.environ | {key: value for key, value in variables.items() if key.startswith("PIP_")}
        subprocess.run(line, shell=True, check=True, cwd=_below(root, "/build"), env=environment, timeout=1200)


def _below(root: Path, path: str) -> Path:
    place = root / (path.lstrip("/") if path.startswith("/") else f"build/{path}")
    (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
    if path == "/build":
        place.mkdir(exist_ok=True)
    return place


def _run(root: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the image's entry point with an environment that holds nothing of this machine's."""
    environment = {"PATH": f"{root}/opt/venv/bin:/usr/bin:/bin", "GENREGENIE_DATA_DIR": str(root / "data"), **settings}
    command = [f"{root}/opt/venv/bin/python", "-m", "genregenie", *arguments]
    return subprocess.run(command, cwd=root / "app", env=environment, capture_output=True, text=True, timeout=300)


def test_it_hears_the_demo_song_without_tensorflow(image: tuple[str, Path]) -> None:
    _, root = image
    told = _run(root, "classify", "--json", str(ROOT / "examples" / "demo.ogg"))
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["genre"]
    installed = {path.name for path in (root / "opt/venv").glob("lib/python*/site-packages/*")}
    assert not {"tensorflow", "keras", "librosa", "numba", "matplotlib"} & installed


def test_its_command_says_what_is_missing_in_one_line(image: tuple[str, Path]) -> None:
    name, root = image
    if name == "bot":
        told = _run(root, "bot")
        missing = "DISCORD_TOKEN"
    else:
        told = _run(root, "web", GENREGENIE_HTTP_HOST="0.0.0.0")
        missing = "GENREGENIE_WEB_PASSWORD"
    assert told.returncode == 2
    assert missing in told.stderr
    assert "Traceback" not in told.stderr


def test_it_holds_nothing_that_is_not_meant_for_it(image: tuple[str, Path]) -> None:
    name, root = image
    there = {path.name for path in (root / "app").iterdir()} - {"__pycache__"}
    assert there == {Path(source).parts[0] for stage in lineage(STAGES, name) for source in copied(stage)}


async def test_the_bot_answers_on_discord_and_its_health_check_passes(
    image: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root = image
    if name != "bot":
        pytest.skip("the page's image holds no bot")
    monkeypatch.setattr("tests.bot.end_to_end.process.ROOT", root / "app")
    monkeypatch.setattr(sys, "executable", f"{root}/opt/venv/bin/python")
    async with Discord() as discord, BotProcess(discord, tmp_path, module="genregenie") as bot:
        house = furnished(discord)
        asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
        assert genre_of(await asked.reply(is_final))
        [health] = STAGES["bot"].all("HEALTHCHECK")
        check = [word.replace("/opt/venv", f"{root}/opt/venv") for word in json.loads(health.partition("CMD ")[2])]
        port = (await bot.address()).rpartition(":")[2]
        assert await _exit_status(check, port) == 0
    assert await _exit_status(check, port) != 0


async def _exit_status(check: list[str], port: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *check, env={"GENREGENIE_HTTP_PORT": port}, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 30)
