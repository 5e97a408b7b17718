"""The page of `/help`, in every language."""

import pytest

from bot.cogs.help import help_embed
from bot.command_sync import CommandMentions
from core.constants import GENRES
from core.i18n.catalog import translate
from core.i18n.languages import locales
from core.version import VERSION

TOGETHER = ("</guess play:14>", "</compare:15>", "</top:16>")


@pytest.mark.parametrize("locale", locales())
def test_help_names_the_genres_the_commands_to_click_on_and_the_version(locale: str) -> None:
    embed = help_embed(
        CommandMentions({"genre": 11, "genregenie": 12, "privacy": 13, "guess": 14, "compare": 15, "top": 16}), locale
    )
    text = "\n".join((embed.description or "", *(field.value or "" for field in embed.fields), embed.footer.text or ""))
    assert all(translate(f"genre.{genre}", locale) in text for genre in GENRES)
    for mention in ("</genre:11>", "</genregenie channel on:12>", "</genregenie stats:12>", "</privacy:13>", *TOGETHER):
        assert mention in text
    assert VERSION in text
    assert len(embed) <= 6_000
    assert all(len(field.value or "") <= 1_024 for field in embed.fields)


def test_a_command_whose_id_is_not_known_is_named_all_the_same() -> None:
    assert CommandMentions().of("genregenie channel on") == "`/genregenie channel on`"
