"""The buttons and menus under replies. They live on after a restart: each carries an id and nothing else."""

import re
from collections.abc import Sequence
from typing import Any, Final, Self

import discord
from discord.ui import Button, DynamicItem, Select, View
from discord.ui import Item as UiItem

from bot.jobs.request import JobRequest, Song
from bot.storage.store import RequestRow, StoreError
from bot.ui.delivery import NO_MENTIONS, InteractionDelivery
from bot.ui.embeds import SongResult, answers_reply, clean, genre_name, song_name
from core.constants import GENRES, SECTION_SECONDS, SEGMENT_SECONDS
from core.i18n.catalog import translate
from core.service.identify import IdentifyResult
from core.service.sources import SpectrogramSource
from core.verdict import Prediction, SongInfo, Verdict

# Its client is `bot.client.GenreGenie`, which discord.py's signatures cannot say.
Interaction = discord.Interaction[Any]
MAX_OPTION: Final = 100


class _Button(DynamicItem[Button[View]], template=r"gg:none"):
    """A button that carries the id of a request."""

    ACTION: str
    STYLE = discord.ButtonStyle.secondary

    def __init__(self, key: str, locale: str) -> None:
        self.key = key
        super().__init__(
            Button(
                style=self.STYLE,
                label=translate(f"bot.button.{self.ACTION}", locale),
                custom_id=f"gg:{self.ACTION}:{key}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: UiItem[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], "en")


class PartButton(_Button, template=r"gg:part:(?P<key>\d{1,18})"):
    """Hear the next thirty seconds."""

    ACTION = "part"

    async def callback(self, interaction: Interaction) -> None:
        """Hear the part that follows."""
        await _hear_again(interaction, int(self.key), whole=False)


class WholeButton(_Button, template=r"gg:whole:(?P<key>\d{1,18})"):
    """Hear all of the song."""

    ACTION = "whole"

    async def callback(self, interaction: Interaction) -> None:
        """Hear all of it."""
        await _hear_again(interaction, int(self.key), whole=True)


class WrongButton(_Button, template=r"gg:wrong:(?P<key>\d{1,18})"):
    """Say what the song really is."""

    ACTION = "wrong"

    async def callback(self, interaction: Interaction) -> None:
        """Offer the ten genres."""
        locale = interaction.locale.value
        view = View(timeout=None)
        view.add_item(GenreMenu(self.key, locale))
        await interaction.response.send_message(
            translate("bot.correction.ask", locale), view=view, ephemeral=True, allowed_mentions=NO_MENTIONS
        )


class CancelButton(_Button, template=r"gg:cancel:(?P<key>[0-9a-f]{16})"):
    """End a request that is on its way."""

    ACTION = "cancel"
    STYLE = discord.ButtonStyle.danger

    async def callback(self, interaction: Interaction) -> None:
        """End it, for its asker and for moderators."""
        work = interaction.client.jobs.find(self.key)
        locale = interaction.locale.value
        if work is None:
            await _whisper(interaction, translate("bot.cancel.over", locale))
        elif not _may_decide(interaction, work.ask.user_id):
            await _whisper(interaction, translate("bot.not-yours", locale))
        else:
            work.cancel("error.cancelled")
            await interaction.response.defer()


class GenreMenu(DynamicItem[Select[View]], template=r"gg:said:(?P<key>\d{1,18})"):
    """The ten genres, for a correction."""

    def __init__(self, key: str, locale: str) -> None:
        self.key = key
        super().__init__(
            Select(
                custom_id=f"gg:said:{key}",
                placeholder=translate("bot.correction.placeholder", locale),
                options=[discord.SelectOption(label=genre_name(genre, locale), value=genre) for genre in GENRES],
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: UiItem[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the menu that was used."""
        return cls(match["key"], "en")

    async def callback(self, interaction: Interaction) -> None:
        """Keep the correction."""
        if not await interaction.client.acknowledge(interaction, thinking=False):
            return
        locale = interaction.locale.value
        said = self.item.values[0]
        store = interaction.client.jobs.store
        try:
            request = await store.request(int(self.key))
            if request is None or request.sha256 is None or said not in GENRES:
                text = translate("bot.gone", locale)
            elif request.private and request.user_id != interaction.user.id:
                text = translate("bot.not-yours", locale)
            else:
                await store.correct(request, interaction.user.id, said)
                interaction.client.metrics.corrections.inc()
                text = translate("bot.correction.thanks", locale, genre=genre_name(said, locale))
        except StoreError:
            text = translate("error.internal", locale)
        await interaction.edit_original_response(content=text, view=None, allowed_mentions=NO_MENTIONS)


class PickMenu(DynamicItem[Select[View]], template=r"gg:pick"):
    """The songs of a reply about several, to see one with its buttons."""

    def __init__(self, answers: Sequence[SongResult], locale: str) -> None:
        options = [
            discord.SelectOption(
                label=clean(f"{number}. {song_name(answer)}", MAX_OPTION), value=str(answer.request_id)
            )
            for number, answer in enumerate(answers, 1)
            if isinstance(answer.outcome, IdentifyResult) and answer.request_id is not None
        ]
        super().__init__(
            Select(
                custom_id="gg:pick",
                placeholder=translate("bot.pick.placeholder", locale),
                options=options or [discord.SelectOption(label="-")],
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: UiItem[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the menu that was used."""
        return cls((), "en")

    async def callback(self, interaction: Interaction) -> None:
        """Show the song to the one who picked it, with the buttons that it would have alone."""
        if not await interaction.client.acknowledge(interaction, thinking=False):
            return
        locale = interaction.locale.value
        chosen = self.item.values[0]
        try:
            found = await _request_for(interaction, int(chosen) if chosen.isdigit() else 0)
            if found is None:
                return
            cached = await interaction.client.jobs.store.result(found.sha256 or "", found.model or "", found.part or "")
        except StoreError:
            await _whisper(interaction, translate("error.internal", locale))
            return
        if cached is None:
            await _whisper(interaction, translate("bot.gone", locale))
            return
        view = result_view(found.id or 0, cached.prediction, locale, whole=found.part == "whole")
        name = found.name or "?"
        verdict = Verdict(cached.prediction, SongInfo(name))
        result = IdentifyResult(verdict, found.sha256 or "", cached.picture, cached=True)
        reply = answers_reply([SongResult(name, result, found.id)], locale, view)
        await InteractionDelivery(interaction, private=True, follow_up=True).final(reply)


DYNAMIC_ITEMS: Final = (PartButton, WholeButton, WrongButton, CancelButton, GenreMenu, PickMenu)


def result_view(request_id: int, prediction: Prediction, locale: str, *, whole: bool) -> View:
    """Buttons under one song: those that have something left to do, and the correction."""
    view = View(timeout=None)
    key = str(request_id)
    if not whole and prediction.duration >= SECTION_SECONDS + SEGMENT_SECONDS:
        view.add_item(PartButton(key, locale))
        view.add_item(WholeButton(key, locale))
    view.add_item(WrongButton(key, locale))
    return view


def pick_view(answers: Sequence[SongResult], locale: str) -> View | None:
    """Menu under a reply about several songs; None where none of them was heard."""
    if not any(isinstance(answer.outcome, IdentifyResult) and answer.request_id for answer in answers):
        return None
    view = View(timeout=None)
    view.add_item(PickMenu(answers, locale))
    return view


def cancel_view(key: str, locale: str) -> View:
    """Make the button under progress."""
    view = View(timeout=None)
    view.add_item(CancelButton(key, locale))
    return view


def next_start(request: RequestRow) -> float:
    """Second at which the next part starts: after the one heard, and from the beginning after the last."""
    end, duration = request.end or 0.0, request.duration or 0.0
    if end + SEGMENT_SECONDS > duration:
        return 0.0
    return round(min(end, duration - SECTION_SECONDS), 2)


async def _hear_again(interaction: Interaction, request_id: int, *, whole: bool) -> None:
    if not await interaction.client.acknowledge(interaction, thinking=False):
        return
    jobs = interaction.client.jobs
    private = interaction.message is not None and interaction.message.flags.ephemeral
    locale = interaction.locale.value
    try:
        request = await _request_for(interaction, request_id)
        if request is None:
            return
        if not _may_decide(interaction, request.user_id):
            await _whisper(interaction, translate("bot.not-yours", locale))
            return
        mel = await jobs.store.song(request.sha256 or "")
    except StoreError:
        await _whisper(interaction, translate("error.internal", locale))
        return
    if mel is None:
        await _whisper(interaction, translate("bot.gone", locale))
        return
    name = request.name or "?"
    ask = JobRequest(
        "whole" if whole else "part",
        interaction.user.id,
        interaction.guild_id,
        private,
        locale if private else jobs.public_locale(interaction.guild_id, _guild_locale(interaction)),
        (Song(SpectrogramSource(mel, name, request.sha256 or ""), name),),
        whole=whole,
        start=None if whole else next_start(request),
        capabilities=jobs.capabilities(interaction, locale),
    )
    jobs.start(jobs.answer(ask, InteractionDelivery(interaction, private=private, follow_up=True)))


async def _request_for(interaction: Interaction, request_id: int) -> RequestRow | None:
    """Find the request that a button carries; tells the one who pressed and gives None when it is not for them."""
    request: RequestRow | None = await interaction.client.jobs.store.request(request_id)
    locale = interaction.locale.value
    if request is None or request.sha256 is None:
        await _whisper(interaction, translate("bot.gone", locale))
        return None
    if request.private and request.user_id != interaction.user.id:
        await _whisper(interaction, translate("bot.not-yours", locale))
        return None
    return request


def _may_decide(interaction: Interaction, asker_id: int) -> bool:
    return interaction.user.id == asker_id or interaction.permissions.manage_messages


def _guild_locale(interaction: Interaction) -> str:
    return (interaction.guild_locale or interaction.locale).value


async def _whisper(interaction: Interaction, text: str) -> None:
    """Say something that only the one who pressed sees."""
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)
