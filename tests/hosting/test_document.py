"""The documents against the project: settings, commands, files and headings that they name exist."""

import re
import runpy
from pathlib import Path

import pytest

from bot.settings import BotSettings
from core.i18n.languages import locales
from genregenie import COMMANDS
from tests.discord_server.look import Shown
from tests.support.data import ROOT
from web.settings import WebSettings

DOCUMENT = (ROOT / "docs" / "hosting.md").read_text("utf-8")
OF_COMPOSE = {"PAGE_HOST", "BASE_IMAGE", "POSTGRES_PASSWORD", "POSTGRES_HOST"}
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
    assert there - SETTINGS == OF_COMPOSE


def test_its_commands_are_commands() -> None:
    ways = r"(?:compose run --rm bot|-m genregenie|sudo genregenie)"
    named = set(re.findall(rf"{ways} ([a-z]+)", DOCUMENT))
    assert {"invite", "doctor", "backup"} <= named
    assert named <= COMMANDS.keys()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b((?:deploy|requirements)/[\w.-]+\w)", DOCUMENT))))
def test_its_files_are_there(path: str) -> None:
    assert (ROOT / path).is_file()


# ---- Every document

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = "bot|benchmarks|core|deploy|docs|examples|locales|models|requirements|tests|training|web"


def anchors(document: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    text = document.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\ssrc="([^"]+)"', text)
    for link in links:
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_are_named_exist(document: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", document.read_text("utf-8"))
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) < 1_200


def test_the_pictures_of_messages_can_be_drawn_again() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_discord_picture.py"))
    embed = {"author": {"name": "<demo>"}, "title": "Jazz", "description": "**Sure**\n`██` jazz 2 <#7>\n- one\n- two"}
    row = {"components": [{"type": 2, "style": 2, "label": "Details"}]}
    html = script["sheet"]([Shown("answer", "ana · /genre", "", (embed,), (row,), (), True)], {7: "#general"}, 2)
    for shown in ("&lt;demo&gt;", "<strong>Sure</strong>", "<code>██</code>", "#general", "<li>two</li>", ">Details<"):
        assert shown in html


def test_every_language_has_its_messages_as_text_and_picture() -> None:
    files = list((ROOT / "docs" / "messages").iterdir())
    assert {path.name for path in files} == {f"{name}.{suffix}" for name in locales() for suffix in ("txt", "webp")}
    assert max(path.stat().st_size for path in files) < 450_000
