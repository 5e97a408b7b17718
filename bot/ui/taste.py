"""What `/top` shows: genres by how often they were asked about, as picture and text, and the member's own choice."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final, Self

import discord
from discord.ui import Button, Item, View

from bot.command_sync import CommandMentions
from bot.services import services_of
from bot.storage.database import StoreError
from bot.ui.delivery import NO_MENTIONS
from bot.ui.embeds import genre_name
from bot.ui.interactions import Interaction
from bot.ui.items import PersistentItem
from bot.ui.message import OutgoingMessage, Picture, internal_error, text_message
from core.i18n.catalog import translate
from core.i18n.formatting import percent

ON, OFF = "on", "off"
MOST_LINES: Final = 3
"""Genres that the text names; the picture has them all."""


class TasteButton(PersistentItem[Button[View]], template=r"gg:taste:(?P<action>on|off)"):
    """Has a member's genres counted, or deletes the counts. It is for whoever presses it."""

    def __init__(self, action: str, locale: str) -> None:
        self.action = action
        style = discord.ButtonStyle.primary if action == ON else discord.ButtonStyle.secondary
        label = translate(f"bot.button.taste-{action}", locale)
        super().__init__(Button(style=style, label=label, custom_id=f"gg:taste:{action}"))

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["action"], "en")

    async def use(self, interaction: Interaction) -> None:
        """Do it, and say so in place of the question."""
        services, locale = services_of(interaction), interaction.locale.value
        if not await services.acknowledge(interaction, thinking=False):
            return
        tastes, user_id = services.tastes, interaction.user.id
        try:
            await (tastes.opt_in(user_id) if self.action == ON else tastes.opt_out(user_id))
            mentions = await CommandMentions.read(services.meta)
            done = {ON: translate("bot.top.on", locale, top=mentions.of("top")), OFF: translate("bot.top.off", locale)}
            text = done[self.action]
        except StoreError:
            text = internal_error(locale)
        await interaction.edit_original_response(
            content=text, embeds=[], attachments=[], view=None, allowed_mentions=NO_MENTIONS
        )


def taste_view(action: str, locale: str) -> View:
    """Make the button that switches a member's counts on or off."""
    view = View(timeout=None)
    view.add_item(TasteButton(action, locale))
    return view


async def top_message(title: str, counts: Mapping[str, int], locale: str) -> OutgoingMessage:
    """Make the message about counts; without any, it says so."""
    total = sum(counts.values())
    if not total:
        return text_message(f"**{title}**\n{translate('bot.top.nothing', locale)}")
    ranked = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    shares = [f"{genre_name(genre, locale)} {percent(n / total, locale)}" for genre, n in ranked]
    songs = translate("bot.top.songs", locale, n=total)
    text = f"**{title}**\n{', '.join(shares[:MOST_LINES])} · {songs}"
    alt = f"{title}: {', '.join(shares)}. {songs}"
    # Pillow is loaded where a picture is drawn first, and drawing would hold the loop up.
    picture = Picture("top.png", await asyncio.to_thread(_draw, title, counts, locale), alt)
    embed = discord.Embed(title=title, description=text.partition("\n")[2]).set_image(url="attachment://top.png")
    return OutgoingMessage(None, (embed,), (picture,), None, text)


def _draw(title: str, counts: Mapping[str, int], locale: str) -> bytes:
    from core.inference.bars import draw_counts

    return draw_counts(title, counts, locale)
