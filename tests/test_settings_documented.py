"""Every setting that the programs read stands in .env.example, with its default, and nothing else does."""

import re
from pathlib import Path

from bot.settings import BotSettings
from core.settings import Settings
from web.settings import WebSettings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
OF_COMPOSE = ("PAGE_HOST", "BASE_IMAGE", "POSTGRES_PASSWORD", "POSTGRES_HOST")


def _documented() -> dict[str, str]:
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE))


def _read_by(kind: type[Settings]) -> dict[str, object]:
    prefix = kind.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias or f"{prefix}{name}").upper(): field.default
        for name, field in kind.model_fields.items()
    }


def test_every_setting_is_in_the_example_and_every_line_of_it_is_a_setting() -> None:
    read = {**_read_by(BotSettings), **_read_by(WebSettings), **dict.fromkeys(OF_COMPOSE)}

    assert _documented().keys() == read.keys()


def test_the_example_shows_the_defaults() -> None:
    of_the_page, of_the_bot = _read_by(WebSettings), _read_by(BotSettings)
    other = {name: value for name, value in of_the_page.items() if of_the_bot.get(name, value) != value}
    assert other == {"GENREGENIE_HTTP_PORT": 8081}
    assert "the page (on 8081 by default)" in EXAMPLE.read_text("utf-8")
    for name, default in {**of_the_page, **of_the_bot}.items():
        shown = _documented()[name]
        if default is None or default == () or shown == "":
            assert shown == "", name
            assert default in (None, ()), name
        elif isinstance(default, bool):
            assert shown == str(default).lower(), name
        elif isinstance(default, int | float):
            assert float(shown) == default, name
        else:
            assert shown == str(default), name
