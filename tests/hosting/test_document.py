"""docs/hosting.md against the project: what it names is there."""

import re

import pytest

from bot.settings import BotSettings
from genregenie import COMMANDS
from tests.support.data import ROOT
from web.settings import WebSettings

DOCUMENT = (ROOT / "docs" / "hosting.md").read_text("utf-8")
OF_COMPOSE = {"PAGE_HOST"}
SETTINGS = {
    (field.validation_alias if isinstance(field.validation_alias, str) else f"GENREGENIE_{name}").upper()
    for kind in (BotSettings, WebSettings)
    for name, field in kind.model_fields.items()
}


def test_its_settings_are_settings() -> None:
    named = set(re.findall(r"\b(?:GENREGENIE|DISCORD)_[A-Z_]+[A-Z]\b", DOCUMENT))
    assert len(named) > 8
    assert named <= SETTINGS


def test_the_example_of_settings_names_all_of_them() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    there = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert SETTINGS - there == set()
    assert there - SETTINGS == {"GENREGENIE_FFMPEG"} | OF_COMPOSE


def test_its_commands_are_commands() -> None:
    ways = r"(?:compose run --rm bot|-m genregenie|sudo genregenie)"
    named = set(re.findall(rf"{ways} ([a-z]+)", DOCUMENT))
    assert {"invite", "doctor", "backup"} <= named
    assert named <= COMMANDS.keys()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b((?:deploy|requirements)/[\w.-]+\w)", DOCUMENT))))
def test_its_files_are_there(path: str) -> None:
    assert (ROOT / path).is_file()


def test_its_jumps_lead_to_headings() -> None:
    headings = [line.lstrip("# ") for line in DOCUMENT.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    jumps = re.findall(r"\]\(#([^)]+)\)", DOCUMENT)
    assert len(jumps) > 5
    assert set(jumps) <= anchors
