"""The buttons and menus under replies. They live on after a restart: each carries an id and nothing else."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import discord
from discord.ui import Button, Item, Select, View

from bot.jobs.discord_files import DiscordFiles
from bot.jobs.request import JobRequest, RequestKind, Song
from bot.jobs.result import SongResult
from bot.jobs.sources import FoundSongs
from bot.jobs.stored import songs_from_json
from bot.services import BotServices, services_of
from bot.storage.database import StoreError
from bot.storage.open_requests import OpenRequest
from bot.storage.requests import RequestRow
from bot.storage.results import OTHER_PARTS_FROM_S
from bot.ui.consent import consent_view
from bot.ui.delivery import NO_MENTIONS, FormerAnswer, InteractionDelivery
from bot.ui.details import with_details
from bot.ui.embeds import clean, genre_name, members_say, results_message
from bot.ui.gate import let_in
from bot.ui.interactions import Interaction, reply_place, send_private
from bot.ui.items import PersistentItem, answered
from bot.ui.message import OutgoingMessage, fitting, internal_error, text_message
from bot.ui.neighbours import LikeButton, offers_neighbours
from bot.ui.permissions import FOR_PICTURES
from core.constants import GENRES, SECTION_SECONDS, SEGMENT_SECONDS
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.service.identify import IdentifyResult
from core.service.sources import SpectrogramSource
from core.verdict import Prediction, SongInfo, Verdict

MAX_OPTION: Final = 100
TO_WORK: Final = ("part", "whole", "again")
"""Buttons that begin a job."""
NONE_OF_THESE: Final = "none"
"""What is stored of a correction to none of the ten genres."""


class _KeyButton(PersistentItem[Button[View]], template=r"gg:none"):
    """A button that carries the id of a stored request, or the key of a job."""

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
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], "en")

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Let nobody in whom the host does not serve, nor begin anything in maintenance."""
        return await let_in(interaction, to_work=self.ACTION in TO_WORK)


class DetailsButton(_KeyButton, template=r"gg:details:(?P<key>\d{1,18})"):
    """Show every vote with its time, tags, why, and the picture of it all.

    They are for whoever presses, and for nobody else: an edit would make the answer long for a whole channel because
    one member is curious, and could speak only one of its members' languages.
    """

    ACTION = "details"

    async def use(self, interaction: Interaction) -> None:
        """Show them."""
        services = services_of(interaction)
        if await services.acknowledge(interaction, private=True):
            services.jobs.start(answered(interaction, _show_details(interaction, services, int(self.key))))


class PartButton(_KeyButton, template=r"gg:part:(?P<key>\d{1,18})"):
    """Classify the next thirty seconds."""

    ACTION = "part"

    async def use(self, interaction: Interaction) -> None:
        """Classify the part that follows."""
        await _classify_again(interaction, int(self.key), RequestKind.PART)


class WholeButton(_KeyButton, template=r"gg:whole:(?P<key>\d{1,18})"):
    """Classify all of the song."""

    ACTION = "whole"

    async def use(self, interaction: Interaction) -> None:
        """Classify all of it."""
        await _classify_again(interaction, int(self.key), RequestKind.WHOLE)


class WrongButton(_KeyButton, template=r"gg:wrong:(?P<key>\d{1,18})"):
    """Say what the song really is."""

    ACTION = "wrong"

    async def use(self, interaction: Interaction) -> None:
        """Offer the ten genres, and none of them."""
        locale = interaction.locale.value
        view = View(timeout=None)
        view.add_item(CorrectionMenu(self.key, locale))
        await interaction.response.send_message(
            translate("bot.correction.ask", locale), view=view, ephemeral=True, allowed_mentions=NO_MENTIONS
        )


class CancelButton(_KeyButton, template=r"gg:cancel:(?P<key>[0-9a-f]{16})"):
    """End a job that is on its way."""

    ACTION = "cancel"
    STYLE = discord.ButtonStyle.danger

    async def use(self, interaction: Interaction) -> None:
        """End it, for its asker and for moderators."""
        job = services_of(interaction).jobs.find(self.key)
        locale = interaction.locale.value
        if job is None or not _is_here(interaction, job.request.guild_id, job.request.user_id):
            await send_private(interaction, translate("bot.cancel.over", locale))
        elif not _may_decide(interaction, job.request.user_id):
            await send_private(interaction, translate("bot.not-yours", locale))
        else:
            job.cancel("error.cancelled")
            await interaction.response.defer()


class AgainButton(_KeyButton, template=r"gg:again:(?P<key>\d{1,18})"):
    """Begin a request again that a crash has ended; carries the id of an open request."""

    ACTION = "again"
    STYLE = discord.ButtonStyle.primary

    async def use(self, interaction: Interaction) -> None:
        """Begin it again, in the message that says that it was ended."""
        services = services_of(interaction)
        if not await services.acknowledge(interaction, thinking=False):
            return
        locale, request_id = interaction.locale.value, int(self.key)
        waiting = await services.open_requests.get(request_id)
        if waiting is not None and not _is_here(interaction, waiting.guild_id, waiting.user_id):
            waiting = None
        if waiting is not None and not _may_decide(interaction, waiting.user_id):
            await send_private(interaction, translate("bot.not-yours", locale))
            return
        # First: once it is claimed, nobody else can begin it.
        again = await _read_again(interaction, waiting) if waiting is not None else None
        if again is not None and await services.open_requests.claim(request_id):
            begun = await _begin_again(interaction, again)
            if begun is None:
                services.open_requests.release(request_id)
            else:
                begun.add_done_callback(lambda _: services.open_requests.release(request_id))
        # Of two presses one begins it, and the other has nothing to say until that has ended.
        elif not services.open_requests.is_claimed(request_id):
            await send_private(interaction, translate("bot.gone", locale))


class CorrectionMenu(PersistentItem[Select[View]], template=r"gg:said:(?P<key>\d{1,18})"):
    """The ten genres and none of them, for a correction; carries the id of a stored request."""

    def __init__(self, key: str, locale: str) -> None:
        self.key = key
        super().__init__(
            Select(
                custom_id=f"gg:said:{key}",
                placeholder=translate("bot.correction.placeholder", locale),
                options=[
                    *(discord.SelectOption(label=genre_name(genre, locale), value=genre) for genre in GENRES),
                    discord.SelectOption(label=translate("bot.correction.none", locale), value=NONE_OF_THESE),
                ],
            )
        )

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the menu that was used."""
        return cls(match["key"], "en")

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Take no correction from whom the host does not serve."""
        return await let_in(interaction)

    async def use(self, interaction: Interaction) -> None:
        """Store the correction."""
        services = services_of(interaction)
        if not await services.acknowledge(interaction, thinking=False):
            return
        locale = interaction.locale.value
        genre = self.item.values[0]
        view: View | None = None
        try:
            request = await services.requests.get(int(self.key))
            if (
                request is None
                or request.sha256 is None
                or genre not in (*GENRES, NONE_OF_THESE)
                or not _is_here(interaction, request.guild_id, request.user_id)
            ):
                text = translate("bot.gone", locale)
            elif request.private and request.user_id != interaction.user.id:
                text = translate("bot.not-yours", locale)
            else:
                await services.corrections.add(request, interaction.user.id, genre)
                services.metrics.corrections.inc()
                text = (
                    translate("bot.correction.thanks-none", locale)
                    if genre == NONE_OF_THESE
                    else translate("bot.correction.thanks", locale, genre=genre_name(genre, locale))
                )
                text, view = f"{text}\n{translate('bot.correction.use', locale)}", consent_view(self.key, locale)
        except StoreError:
            text = internal_error(locale)
        await interaction.edit_original_response(content=text, view=view, allowed_mentions=NO_MENTIONS)


class PickMenu(PersistentItem[Select[View]], template=r"gg:pick"):
    """The songs of a reply about several, to see one with its buttons."""

    def __init__(self, results: Sequence[SongResult], locale: str, offered: frozenset[str] = frozenset()) -> None:
        self._offered = offered
        options = [
            discord.SelectOption(
                label=fitting(clean(f"{number}. {result.name}"), MAX_OPTION), value=str(result.request_id)
            )
            for number, result in enumerate(results, 1)
            if result.can_be_shown_again
        ]
        super().__init__(
            Select(
                custom_id="gg:pick",
                placeholder=translate("bot.pick.placeholder", locale),
                options=options or [discord.SelectOption(label="-")],
            )
        )

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the menu that was used; what it offered is in its message, which Discord sends."""
        options = item.options if isinstance(item, Select) else []
        return cls((), "en", frozenset(option.value for option in options))

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Show nothing to whom the host does not serve."""
        return await let_in(interaction)

    async def use(self, interaction: Interaction) -> None:
        """Show the song to the one who picked it, with the buttons that it would have alone."""
        services = services_of(interaction)
        if not await services.acknowledge(interaction, thinking=False):
            return
        locale = interaction.locale.value
        picked = self.item.values[0]
        # Discord does not promise that a menu's value is one that it offered: it comes from the member's client.
        request = await _stored_request(interaction, services, int(picked) if picked in self._offered else 0)
        if request is None:
            return
        prediction = await _stored_prediction(services, request)
        compared = request.guild_id is not None and not request.private
        like = compared and await services.neighbours.exist(request.guild_id or 0, request.sha256 or "")
        if prediction is None:
            await send_private(interaction, translate("bot.gone", locale))
            return
        results = [replace(_shown_again(request, prediction), has_neighbours=like)]
        view = results_view(results, locale, whole=request.part == "whole")
        await InteractionDelivery(interaction, private=True, follow_up=True).final(
            results_message(results, locale, view)
        )


DYNAMIC_ITEMS: Final = (
    DetailsButton,
    PartButton,
    WholeButton,
    WrongButton,
    CancelButton,
    AgainButton,
    CorrectionMenu,
    PickMenu,
)


def results_view(results: Sequence[SongResult], locale: str, *, whole: bool) -> View | None:
    """Make what stands under results: one song's buttons, or a menu of several; None where there is nothing to do."""
    if len(results) > 1:
        return pick_view(results, locale)
    for result in results:
        if isinstance(result.outcome, IdentifyResult) and result.request_id is not None:
            duration = result.outcome.prediction.duration
            return song_view(
                result.request_id, duration, locale, whole=whole, like=result.has_neighbours, kept=result.kept
            )
    return None


def song_view(
    request_id: int, duration: float, locale: str, *, whole: bool, like: bool = False, kept: bool = True
) -> View:
    """Make the buttons under one song: those that have something left to do, and the correction.

    Args:
        request_id: of the stored request.
        duration: of the song, seconds.
        locale: language.
        whole: whether all of it was classified.
        like: whether there are songs to compare it with.
        kept: whether its result and spectrogram are stored, which all but the correction need.
    """
    view = View(timeout=None)
    key = str(request_id)
    if kept:
        view.add_item(DetailsButton(key, locale))
    if kept and not whole and duration >= OTHER_PARTS_FROM_S:
        view.add_item(PartButton(key, locale))
        view.add_item(WholeButton(key, locale))
    if kept and like:
        view.add_item(LikeButton(key, locale))
    view.add_item(WrongButton(key, locale))
    return view


def pick_view(results: Sequence[SongResult], locale: str) -> View | None:
    """Make the menu under a reply about several songs; None where none of them was classified."""
    if not any(result.can_be_shown_again for result in results):
        return None
    view = View(timeout=None)
    view.add_item(PickMenu(results, locale))
    return view


def cancel_view(key: str, locale: str) -> View:
    """Make the button under progress."""
    view = View(timeout=None)
    view.add_item(CancelButton(key, locale))
    return view


def again_view(key: str, locale: str) -> View:
    """Make the button under a request that a crash has ended."""
    view = View(timeout=None)
    view.add_item(AgainButton(key, locale))
    return view


def stored_view(request: RequestRow, locale: str, *, like: bool = False) -> View:
    """Make the buttons that stand under the answer to a stored request."""
    return song_view(request.id or 0, request.duration or 0.0, locale, whole=request.part == "whole", like=like)


def shows_progress(message: discord.Message) -> bool:
    """Whether a message of the bot's has no answer yet: it is only "thinking…", or can be cancelled."""
    ids = [
        getattr(part, "custom_id", None) or "" for row in message.components for part in getattr(row, "children", ())
    ]
    return message.flags.loading or any(custom_id.startswith("gg:cancel:") for custom_id in ids)


def next_start(request: RequestRow) -> float:
    """Second at which the next part starts: after the last one, and from the beginning after the end."""
    end, duration = request.end or 0.0, request.duration or 0.0
    if end + SEGMENT_SECONDS > duration:
        return 0.0
    return round(min(end, duration - SECTION_SECONDS), 2)


async def _show_details(interaction: Interaction, services: BotServices, request_id: int) -> None:
    """Answer a press of Details, which is acknowledged, to the one who pressed and in their language."""
    locale = interaction.locale.value
    try:
        message = await _details(interaction, services, request_id)
    except StoreError:
        message = text_message(internal_error(locale))
    await InteractionDelivery(interaction, private=True).final(message)


async def _details(interaction: Interaction, services: BotServices, request_id: int) -> OutgoingMessage:
    """Make the details of a stored request's answer, or the sentence that says why there are none.

    Raises:
        StoreError: the database failed.
    """
    locale = interaction.locale.value
    request = await _readable_request(interaction, services, request_id)
    if isinstance(request, str):
        return text_message(translate("bot.details.gone" if request == "bot.gone" else request, locale))
    prediction = await _stored_prediction(services, request)
    if prediction is None:
        return text_message(translate("bot.details.gone", locale))
    picture, notice = None, None
    spectrogram = await services.results.spectrogram(request.sha256 or "")
    if spectrogram is not None:
        try:
            drawn = await services.jobs.illustrate(
                prediction,
                SpectrogramSource(spectrogram, request.name or "?", request.sha256 or ""),
                user_id=interaction.user.id,
                guild_id=interaction.guild_id,
                locale=locale,
            )
            prediction, picture = drawn.prediction, drawn.picture
        except GenreGenieError as error:
            # The votes are known all the same.
            notice = error_sentence(error, locale)
    compact = results_message([_shown_again(request, prediction)], locale)
    message = with_details(compact, prediction, picture, locale).with_notice(notice)
    return message.fitted(services.notices.interaction_capabilities(interaction, locale, FOR_PICTURES))


async def _stored_prediction(services: BotServices, request: RequestRow) -> Prediction | None:
    """Look up what was answered to a stored request; raises as `ResultStore.find` does."""
    return await services.results.find(request.sha256 or "", request.model or "", request.part or "")


def _shown_again(request: RequestRow, prediction: Prediction) -> SongResult:
    """Make the result of a stored request again, under the name that its asker gave the song."""
    name = request.name or "?"
    identified = IdentifyResult(Verdict(prediction, SongInfo(name)), request.sha256 or "", cached=True)
    return SongResult(name, identified, request.id)


async def _classify_again(interaction: Interaction, request_id: int, kind: RequestKind) -> None:
    """Start a job about another part of a song, or all of it, from its stored spectrogram.

    The answer takes the place of the one that the button is under, so that pressing it five times is one answer.
    """
    services = services_of(interaction)
    pressed_before = interaction.message is not None and services.jobs.replaces(interaction.message.id, request_id)
    if not await services.acknowledge(interaction, thinking=False) or pressed_before:
        return
    private = interaction.message is not None and interaction.message.flags.ephemeral
    locale = interaction.locale.value
    stored = await _stored_request(interaction, services, request_id)
    if stored is None:
        return
    if not _may_decide(interaction, stored.user_id):
        await send_private(interaction, translate("bot.not-yours", locale))
        return
    spectrogram = await services.results.spectrogram(stored.sha256 or "")
    if spectrogram is None:
        await send_private(interaction, translate("bot.gone", locale))
        return
    name = stored.name or "?"
    preferred = (interaction.guild_locale or interaction.locale).value
    whole = kind is RequestKind.WHOLE
    request = JobRequest(
        kind,
        interaction.user.id,
        interaction.guild_id,
        private,
        locale if private else services.guilds.public_locale(interaction.guild_id, preferred),
        (Song(SpectrogramSource(spectrogram, name, stored.sha256 or ""), name),),
        whole=whole,
        start=None if whole else next_start(stored),
        capabilities=services.notices.interaction_capabilities(interaction, locale),
        place=reply_place(interaction),
        own_locale=interaction.locale.value,
        restores=stored.id,
    )
    shown = interaction.message.content if interaction.message is not None else None
    view = stored_view(stored, request.locale, like=offers_neighbours(interaction.message))
    former = FormerAnswer(shown or None, view)
    delivery = InteractionDelivery(interaction, private=private, former=former)
    services.jobs.start_answer(request, services.respond(delivery))


@dataclass(frozen=True, slots=True)
class _OpenAgain:
    """An open request with what is needed to begin it anew.

    Attributes:
        waiting: the request.
        songs: those of its songs that can still be asked about.
        former: the answer that the message had; None where it had none.
    """

    waiting: OpenRequest
    songs: tuple[Song, ...]
    former: FormerAnswer | None


async def _read_again(interaction: Interaction, waiting: OpenRequest) -> _OpenAgain:
    """Read what an open request needs to begin anew.

    Raises:
        StoreError: the database failed.
    """
    services = services_of(interaction)
    songs = await songs_from_json(waiting.songs, services.results.spectrogram)
    stored = await services.requests.get(waiting.restores) if waiting.restores is not None else None
    former = await _former_answer(interaction, services, stored, waiting.locale) if stored is not None else None
    return _OpenAgain(waiting, songs, former)


async def _begin_again(interaction: Interaction, again: _OpenAgain) -> "asyncio.Task[None] | None":
    """Start an open request anew, in the message that says that it was ended; give the task, if there is one."""
    services, waiting = services_of(interaction), again.waiting
    delivery = InteractionDelivery(interaction, private=waiting.private, former=again.former)
    if not again.songs:
        gone = text_message(translate("bot.gone", interaction.locale.value))
        await delivery.failed(gone, ErrorCode.UNAVAILABLE)
        return None
    files = DiscordFiles(interaction.client.http, services.settings.allowed_hosts)
    found = files.with_files(FoundSongs(again.songs, waiting.left_out))
    request = JobRequest(
        RequestKind(waiting.kind),
        interaction.user.id,
        interaction.guild_id,
        waiting.private,
        waiting.locale,
        found.songs,
        whole=waiting.whole,
        start=waiting.start,
        left_out=found.left_out,
        capabilities=services.notices.interaction_capabilities(interaction, waiting.locale),
        place=reply_place(interaction),
        own_locale=interaction.locale.value,
        restores=waiting.restores if again.former is not None else None,
    )
    return services.jobs.start_answer(request, services.respond(delivery))


async def _former_answer(
    interaction: Interaction, services: BotServices, request: RequestRow, locale: str
) -> FormerAnswer:
    """Make the text and the buttons of a stored request's answer again, which a crash has left covered by progress.

    Raises:
        StoreError: the database failed.
    """
    view = stored_view(request, locale)
    prediction = await _stored_prediction(services, request)
    if prediction is None:
        return FormerAnswer(translate("bot.gone", locale), view, covered=True)
    message = results_message([_shown_again(request, prediction)], locale)
    if interaction.message is None or not interaction.message.embeds:
        message = message.as_text()
    if request.guild_id is not None and not request.private:
        genre = await services.corrections.agreed(request.guild_id, request.sha256 or "", prediction.genre)
        message = message.with_notice(members_say(genre, locale) if genre is not None else None)
    return FormerAnswer(message.content, view, covered=True)


async def _stored_request(interaction: Interaction, services: BotServices, request_id: int) -> RequestRow | None:
    """Read the request that a button carries; tells the one who pressed and gives None when it is not for them."""
    request = await _readable_request(interaction, services, request_id)
    if isinstance(request, str):
        await send_private(interaction, translate(request, interaction.locale.value))
        return None
    return request


async def _readable_request(interaction: Interaction, services: BotServices, request_id: int) -> RequestRow | str:
    """Read the request that a button carries, or give the key of the sentence that says why it cannot be used here."""
    request = await services.requests.get(request_id)
    here = request is not None and _is_here(interaction, request.guild_id, request.user_id)
    if request is None or request.sha256 is None or not here:
        return "bot.gone"
    if request.private and request.user_id != interaction.user.id:
        return "bot.not-yours"
    return request


def _is_here(interaction: Interaction, guild_id: int | None, user_id: int) -> bool:
    """Whether what was asked in a server, or by a member directly, belongs to where an interaction comes from."""
    if interaction.guild_id is None:
        return guild_id is None and interaction.user.id == user_id
    return interaction.guild_id == guild_id


def _may_decide(interaction: Interaction, asker_id: int) -> bool:
    return interaction.user.id == asker_id or interaction.permissions.manage_messages
