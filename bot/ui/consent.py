"""The button under a correction by which a member allows it to be used for training."""

import re
from typing import Any, Self

import discord
from discord.ui import Button, Item, View

from bot.command_sync import CommandMentions
from bot.services import services_of
from bot.storage.database import StoreError
from bot.ui.delivery import NO_MENTIONS
from bot.ui.interactions import Interaction
from bot.ui.items import PersistentItem
from bot.ui.message import internal_error
from core.i18n.catalog import translate


class ConsentButton(PersistentItem[Button[View]], template=r"gg:consent:(?P<key>\d{1,18})"):
    """Allow one's own correction of a stored request's song; nobody can allow another's."""

    def __init__(self, key: str, locale: str) -> None:
        self.key = key
        super().__init__(
            Button(
                style=discord.ButtonStyle.primary,
                label=translate("bot.button.consent", locale),
                custom_id=f"gg:consent:{key}",
            )
        )

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], "en")

    async def use(self, interaction: Interaction) -> None:
        """Note it."""
        services, locale = services_of(interaction), interaction.locale.value
        if not await services.acknowledge(interaction, thinking=False):
            return
        try:
            request = await services.requests.get(int(self.key))
            song = request.sha256 if request is not None else None
            noted = song is not None and await services.corrections.consent(song, interaction.user.id)
            mentions = await CommandMentions.read(services.meta)
            consented = translate("bot.correction.consented", locale, privacy=mentions.of("privacy"))
            text = consented if noted else translate("bot.gone", locale)
        except StoreError:
            text = internal_error(locale)
        await interaction.edit_original_response(content=text, view=None, allowed_mentions=NO_MENTIONS)


def consent_view(key: str, locale: str) -> View:
    """Make the button."""
    view = View(timeout=None)
    view.add_item(ConsentButton(key, locale))
    return view
