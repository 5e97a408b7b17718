"""The Dockerfile, as far as one can know without an engine."""

import json
import re
import subprocess

import pytest

from tests.hosting.dockerfile import DOCKERFILE, copied, lineage, read_stages
from tests.support.data import ROOT

IMAGES = ("bot", "page", "worker")
STAGES = read_stages()


def test_the_bot_is_what_is_built_when_no_target_is_named() -> None:
    assert list(STAGES)[-1] == "bot"


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_ends_as_somebody_else_than_root(name: str) -> None:
    words = [word for stage in lineage(STAGES, name) for word, _ in stage.steps]
    [user] = STAGES[name].all("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number: Kubernetes refuses names"
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :]), "nothing is written as the user who runs it"


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_tells_its_health_and_takes_signals_itself(name: str) -> None:
    stages = lineage(STAGES, name)
    [health] = STAGES[name].all("HEALTHCHECK")
    exec_forms = [rest for stage in stages for word in ("ENTRYPOINT", "CMD") for rest in stage.all(word)]
    for form in (health.partition("CMD ")[2], *exec_forms):
        assert json.loads(form), "the exec form: a shell between would keep SIGTERM to itself"
    assert len(exec_forms) == 2


def test_everything_is_installed_from_pinned_wheels() -> None:
    installs = [rest for stage in STAGES.values() for rest in stage.all("RUN") if "pip install" in rest]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line
        requirements = ROOT / line.split("-r ")[1].split()[0]
        pins = re.findall(r"^[\w.\[\]-]+==\S+", requirements.read_text(), re.MULTILINE)
        assert len(pins) > 20
    assert "PIP_ONLY_BINARY=:all:" in " ".join(STAGES["build"].all("ENV"))


def test_nothing_is_fetched_but_the_pinned_wheels() -> None:
    text = DOCKERFILE.read_text("utf-8")
    assert "ADD " not in text
    assert not re.search(r"\b(curl|wget|apt-get|git clone|ensurepip|--upgrade)\b", text)
    bases = {stage.base for stage in STAGES.values()} - STAGES.keys()
    assert bases == {"python:${PYTHON}"}
    assert re.search(r"^ARG PYTHON=3\.\d+-slim-\w+$", text, re.MULTILINE), "a version and a release, never latest"


def test_what_is_copied_is_there_and_is_let_through_to_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored.index("*") < min(ignored.index(f"!{name}") for name in let_through)
    for stage in STAGES.values():
        for source in copied(stage):
            assert (ROOT / source).exists(), source
            assert {source, source.split("/")[0]} & let_through, source


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_what_its_command_imports_and_no_more_of_the_project(name: str) -> None:
    own = {
        "bot": {"bot", "web", "examples/demo.ogg"},
        "page": {"web", "examples/demo.ogg"},
        "worker": {"bot", "web", "examples/demo.ogg"},
    }[name]
    there = {source for stage in lineage(STAGES, name) for source in copied(stage)}
    assert there == {"LICENSE", "genregenie.py", "core", "locales", "models"} | own


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_what_goes_into_an_image_is_tracked_by_git() -> None:
    for source in {source for stage in STAGES.values() for source in copied(stage)}:
        told = subprocess.run(["git", "ls-files", "--", source], cwd=ROOT, capture_output=True, text=True, check=True)
        assert told.stdout, f"{source} would be missing from a clone's image"
