"""`/guess`: a song is posted without its name, members guess what the model says of it, and the server keeps scores."""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.command_sync import CommandMentions
from bot.jobs.discord_files import DiscordFiles
from bot.jobs.links import pasted_link
from bot.jobs.request import JobRequest, RequestKind, Song
from bot.jobs.sources import FoundSongs, attachment_song, autoscan_songs, link_song
from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.games import PREPARED, Game, PostedSong
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS, TRY_AGAIN, InteractionDelivery
from bot.ui.gate import links_refusal
from bot.ui.guess import GuessResponder, answer_of, guess_view, question_text, result_text, scores_text
from bot.ui.interactions import MESSAGE_ID, Interaction, send_private
from bot.ui.message import internal_error, text_message
from bot.ui.permissions import may_be_shown, may_send_in, missing, missing_notice
from bot.ui.translator import phrase
from core.audio.suffixes import AUDIO_SUFFIXES, media_suffix
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.inference.pipeline import ignore_progress
from core.service.identify import IdentifyResult
from core.service.sources import AttachmentSource, LinkSource, OpenFile
from core.settings import MIB

log = logging.getLogger(__name__)

POSTED_KINDS: Final = (RequestKind.AUTOSCAN.value, RequestKind.MENU.value)
"""Requests about songs that are in a message of a member's, and so can be posted again."""

MOST_LINK: Final = 1_500
"""Characters of a link: the question has to stand around it."""

MOST_TRIED: Final = 6
MOST_SCORES: Final = 10
TRY_AGAIN_S: Final = (1.0, 4.0, None)
FAILURES: Final = (discord.HTTPException, *NETWORK_ERRORS)


class Guess(commands.Cog):
    """The guessing game.

    Args:
        bot: edits its messages.
        services: the games, and where songs go.
    """

    root = app_commands.Group(
        name=phrase("guess.name"),
        description=phrase("guess.description"),
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        # A member's own app could not post a file, and its server would have no scores.
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._services = services
        self._files = DiscordFiles(bot.http, services.settings.allowed_hosts)
        self._clocks: dict[asyncio.Task[None], Game] = {}

    async def cog_unload(self) -> None:
        """Leave the games that are going on to the next client, or the next start."""
        for clock in self._clocks:
            clock.cancel()
        self._services.games.leave(self._clocks.values())

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Go on with what the process or client before has left: its games are ended, when their time is up."""
        for game in self._services.games.take_leftovers():
            self._start_clock(game)

    @root.command(name=phrase("guess.play.name"), description=phrase("guess.play.description"))
    @app_commands.rename(file=phrase("genre.file.name"), link=phrase("genre.link.name"))
    @app_commands.describe(file=phrase("guess.file.description"), link=phrase("guess.link.description"))
    async def play(
        self,
        interaction: Interaction,
        file: discord.Attachment | None = None,
        link: app_commands.Range[str, 1, MOST_LINK] | None = None,
    ) -> None:
        """Start a game with a file, a link, or a song that was posted in this server."""
        own = interaction.locale.value
        preferred = (interaction.guild_locale or interaction.locale).value
        locale = self._services.guilds.public_locale(interaction.guild_id, preferred)
        song = self._given_song(file, pasted_link(link or ""), locale)
        if refusal := self._refusal(interaction, file, link, song):
            await send_private(interaction, refusal)
            return
        if not await self._services.acknowledge(interaction):
            return
        game = Game(
            self._services.games.owner,
            interaction.guild_id or 0,
            interaction.user.id,
            interaction.channel_id or 0,
            interaction.extras.get(MESSAGE_ID),
            interaction.token,
            locale,
            host_knows=file is not None or link is not None,
        )
        delivery = InteractionDelivery(interaction, private=False)
        try:
            game = replace(game, id=await self._services.games.prepare(game))
            if game.id is None:
                await delivery.failed(text_message(translate("bot.guess.busy", own)), None)
            elif song is not None:
                self._classify(interaction, game, song, None)
            else:
                await self._play_posted(interaction, game)
        except StoreError:
            await self._fail(interaction, game, internal_error(own))

    @root.command(name=phrase("guess.scores.name"), description=phrase("guess.scores.description"))
    async def scores(self, interaction: Interaction) -> None:
        """Show who guesses best."""
        if not await self._services.acknowledge(interaction):
            return
        preferred = (interaction.guild_locale or interaction.locale).value
        locale = self._services.guilds.public_locale(interaction.guild_id, preferred)
        try:
            scores = await self._services.games.best(interaction.guild_id or 0, MOST_SCORES)
            mentions = await CommandMentions.read(self._services.meta)
            none = translate("bot.guess.no-scores", locale, play=mentions.of("guess play"))
            text = scores_text(scores, locale) if scores else none
        except StoreError:
            text = internal_error(locale)
        await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)

    def _given_song(self, file: discord.Attachment | None, url: str | None, locale: str) -> Song | None:
        if file is not None:
            return attachment_song(file, locale)
        if url is None:
            return None
        [song] = self._files.with_files(FoundSongs((link_song(url),))).songs
        return song

    def _refusal(
        self, interaction: Interaction, file: discord.Attachment | None, link: str | None, song: Song | None
    ) -> str | None:
        """Say why there can be no game, before anybody sees that one was asked for."""
        locale = interaction.locale.value
        allowed = interaction.permissions
        if file is not None and link is not None:
            return translate("bot.one-of-two", locale)
        if link is not None and (refusal := links_refusal(self._services, interaction.guild_id)):
            return translate(refusal, locale)
        if link is not None and song is None:
            return translate("bot.nothing-given", locale)
        # Of links only those to Discord's own files are posted as a file; without any song, one from this server is.
        is_file = song is None or not isinstance(song.source, LinkSource)
        # The bot posts it for them: no more than they may themselves.
        may_send = may_send_in(interaction.channel, allowed)
        if not may_send or (song is not None and is_file and not allowed.attach_files):
            return translate("bot.guess.not-allowed", locale)
        notice = missing_notice(missing(interaction.app_permissions, ("attach_files",)), locale)
        if is_file and notice is not None:
            return notice
        is_audio = _is_audio(file) if file is not None else song is None or _may_be_audio(song)
        if not is_audio:
            return translate("bot.guess.audio-only", locale)
        if file is not None and file.size > interaction.filesize_limit:
            return translate("bot.guess.too-large", locale, mb=interaction.filesize_limit // MIB)
        return None

    async def _play_posted(self, interaction: Interaction, game: Game) -> None:
        """Find a song in this server that everyone who sees the game may hear, and whose message is still there."""
        guild = interaction.guild
        chosen = await self._services.games.posted_songs(game.guild_id, POSTED_KINDS, MOST_TRIED)
        for posted in chosen:
            if guild is None or not _is_public(guild, posted.channel_id, game.channel_id):
                continue
            song = await self._find(guild, posted, interaction.filesize_limit)
            if song is not None:
                link = f"https://discord.com/channels/{guild.id}/{posted.channel_id}/{posted.message_id}"
                self._classify(interaction, game, song, link, posted.sha256)
                return
        await self._fail(interaction, game, translate("bot.guess.nothing-posted", interaction.locale.value))

    async def _find(self, guild: discord.Guild, posted: PostedSong, most_bytes: int) -> Song | None:
        """Look a song up in its message; its link there is a fresh one. Gives None where it cannot be posted again."""
        channel = guild.get_channel_or_thread(posted.channel_id)
        if not isinstance(channel, discord.abc.Messageable):
            return None
        try:
            message = await channel.fetch_message(posted.message_id)
        except discord.NotFound:
            await self._services.neighbours.forget_messages([posted.message_id])
            return None
        except FAILURES:
            return None
        songs = autoscan_songs(message, "en").songs
        named = [song for song in songs if song.name == posted.name]
        # A voice message has a name in the language of the one who asked.
        found = next(iter(named), songs[0] if len(songs) == 1 else None)
        # Members may upload more than the bot does.
        too_large = found is not None and _declared_bytes(found) > most_bytes
        return None if too_large else found

    def _classify(
        self, interaction: Interaction, game: Game, song: Song, link: str | None, sha256: str | None = None
    ) -> None:
        async def begin(identified: IdentifyResult, name: str) -> bool:
            return await self._begin(interaction, game, song, identified, name, link, sha256)

        async def fail(sentence: str) -> bool:
            return await self._fail(interaction, game, sentence)

        # Recorded as private: nobody shall find the song before the answer is shown, nor is it theirs to share.
        request = JobRequest(
            RequestKind.GUESS,
            interaction.user.id,
            interaction.guild_id,
            True,
            game.locale,
            (song,),
            own_locale=interaction.locale.value,
        )
        self._services.jobs.start_answer(request, GuessResponder(begin, fail))

    async def _begin(
        self,
        interaction: Interaction,
        game: Game,
        song: Song,
        identified: IdentifyResult,
        name: str,
        link: str | None,
        sha256: str | None,
    ) -> bool:
        """Post the song without its name, and take guesses."""
        services, own, game_id = self._services, interaction.locale.value, game.id or 0
        if identified.prediction.outside is not None:
            return await self._fail(interaction, game, translate("bot.guess.outside", own))
        if sha256 is not None and identified.sha256 != sha256:
            return await self._fail(interaction, game, translate("bot.guess.nothing-posted", own))
        spoiler = song.source.url if isinstance(song.source, LinkSource) else None
        try:
            if spoiler is None and not await self._post(interaction, game, song):
                mb = interaction.filesize_limit // MIB
                return await self._fail(interaction, game, translate("bot.guess.too-large", own, mb=mb))
            answer = answer_of(identified.prediction, name, link or spoiler, game.locale)
            opened = await services.games.open(game_id, answer, services.settings.guess_s)
            if opened is None:
                return await self._fail(interaction, game, translate("bot.guess.over", own))
            self._start_clock(opened)
            await interaction.edit_original_response(
                content=question_text(opened, spoiler),
                view=guess_view(game_id, game.locale),
                allowed_mentions=NO_MENTIONS,
            )
        except GenreGenieError as error:
            return await self._fail(interaction, game, error_sentence(error, own))
        except (StoreError, *FAILURES) as error:
            log.warning("A game could not begin: %s", type(error).__name__)
            return await self._fail(interaction, game, internal_error(own))
        return True

    async def _post(self, interaction: Interaction, game: Game, song: Song) -> bool:
        """Upload the song under a name that tells nothing; False where it is larger than Discord takes here.

        Raises:
            GenreGenieError: it cannot be fetched again.
        """
        async with song.source.open(self._services.fetcher, ignore_progress) as opened:
            if not isinstance(opened, OpenFile):  # pragma: no cover - every source of a game is a file
                raise GenreGenieError(ErrorCode.UNAVAILABLE)
            # Of a link to a file of Discord's nothing has said it before.
            if opened.path.stat().st_size > interaction.filesize_limit:
                return False
            file = discord.File(opened.path, f"guess-the-genre{media_suffix(song.name) or '.mp3'}")
            await interaction.edit_original_response(
                content=translate("bot.guess.title", game.locale), attachments=[file], allowed_mentions=NO_MENTIONS
            )
        return True

    async def _fail(self, interaction: Interaction, game: Game, sentence: str) -> bool:
        """Take the game back, and tell why to the one alone who asked for it."""
        if game.id is not None:
            with contextlib.suppress(StoreError):
                await self._services.games.delete(game.id)
        return await InteractionDelivery(interaction, private=False).failed(text_message(sentence), None)

    def _start_clock(self, game: Game) -> None:
        clock = asyncio.create_task(self._end(game))
        self._clocks[clock] = game
        clock.add_done_callback(lambda ended: self._clocks.pop(ended, None))

    async def _end(self, game: Game) -> None:
        """Wait until a game's time is up, count it, and show the answer in place of the question."""
        if game.state != PREPARED:
            await asyncio.sleep(max(0.0, game.ends_at - time.time()))
        try:
            result = await self._services.games.end(game.id or 0) if game.state != PREPARED else None
            if game.state == PREPARED:
                text = translate("bot.guess.interrupted", game.locale)
            else:
                text = result_text(result) if result is not None else translate("bot.guess.called-off", game.locale)
            if await self._show(game, text):
                await self._services.games.delete(game.id or 0)
        except StoreError:
            log.warning("A game was not ended; the next start ends it")

    async def _show(self, game: Game, text: str) -> bool:
        """Edit the game's message; False where that may yet be possible after the next start."""
        for seconds in TRY_AGAIN_S:
            try:
                await self._edit(game, text)
                return True
            except FAILURES as error:
                # What Discord refuses it will always refuse: its message is gone, or may not be edited.
                if isinstance(error, discord.HTTPException) and error.status < 500 and error.status not in TRY_AGAIN:
                    log.info("A game's answer could not be shown: status %s, code %s", error.status, error.code)
                    return True
                log.warning("A game's answer was not shown: %s", type(error).__name__)
            if seconds is not None:
                await asyncio.sleep(seconds)
        return False

    async def _edit(self, game: Game, text: str) -> None:
        """Edit it by the interaction's token while it lives, else as the bot's own message."""
        if game.token is not None and game.message_id is not None and self._bot.application_id is not None:
            webhook = discord.Webhook.partial(self._bot.application_id, game.token, client=self._bot)
            with contextlib.suppress(discord.HTTPException):
                await webhook.edit_message(game.message_id, content=text, view=None, allowed_mentions=NO_MENTIONS)
                return
        if game.message_id is not None:
            channel = self._bot.get_partial_messageable(game.channel_id, guild_id=game.guild_id)
            message = channel.get_partial_message(game.message_id)
            await message.edit(content=text, view=None, allowed_mentions=NO_MENTIONS)


def _declared_bytes(song: Song) -> int:
    """Give what Discord says that a posted file has; 0 where it does not say."""
    return song.source.size or 0 if isinstance(song.source, AttachmentSource) else 0


def _is_audio(file: discord.Attachment) -> bool:
    """Whether a file has sound only: a video's picture would tell the song."""
    kind = (file.content_type or "").lower()
    return kind.startswith("audio/") or (file.filename.lower().endswith(AUDIO_SUFFIXES) and "video" not in kind)


def _may_be_audio(song: Song) -> bool:
    """Whether a link may lead to sound only: of a file of Discord's, which is posted as one, the name has to say so."""
    return isinstance(song.source, LinkSource) or song.name.lower().endswith(AUDIO_SUFFIXES)


def _is_public(guild: discord.Guild, channel_id: int, here: int) -> bool:
    """Whether everyone who sees the channel of a game sees what was posted in another one too, as far as is known."""
    if channel_id == here:
        return True
    channel = guild.get_channel_or_thread(channel_id)
    if channel is None or (isinstance(channel, discord.Thread) and channel.is_private()):
        return False
    if not may_be_shown(guild, channel_id, here):
        return False
    try:
        everyone = channel.permissions_for(guild.default_role)
    except discord.ClientException:  # the thread's parent is not known
        return False
    return everyone.view_channel and everyone.read_message_history
