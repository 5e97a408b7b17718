"""`owner`: what whoever hosts the bot sees and sets, in direct messages and, as `/owner`, in one server of their own.

Discord shows a command to everyone or to a server's admins, never to an application's owner alone. So `/owner` is
registered in the server that `GENREGENIE_OWNER_GUILD` names and nowhere else; the same words work as a direct message
to the bot. Whoever is no owner is refused in the one and passed over in the other.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Literal

import discord
from discord import app_commands
from discord.ext import commands, tasks

from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.guilds import GuildSettings
from bot.storage.host import Subject
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.interactions import is_acknowledged
from bot.ui.message import internal_error
from bot.ui.owner import (
    OwnerButton,
    defaults_text,
    errors_text,
    find_server,
    leave_question,
    leave_server,
    release_text,
    servers_page,
    show_presence,
    status_text,
)
from bot.ui.translator import phrase
from core.fetch.ytdlp_install import OLD_DAYS, UPDATE, ytdlp_version
from core.i18n.catalog import translate
from core.i18n.languages import DEFAULT_LOCALE, best_locale, locales
from core.logging_setup import current_reference, new_reference

log = logging.getLogger(__name__)

Context = commands.Context[commands.AutoShardedBot]
What = Literal["user", "server"]
OnOff = Literal["on", "off"]

ID: Final = re.compile(r"[<@!>]*(\d{15,20})[<@!>]*")
TOLD_OF_YTDLP: Final = "ytdlp-told"
"""Key under which yt-dlp's version is stored that the owners were told is old."""

TOLD_OF_RELEASE: Final = "release-told"
"""Key under which the release is stored that the owners were told of."""


class OwnersUnknownError(commands.CheckFailure):
    """Discord does not say who the owners are."""


class Defaults(commands.FlagConverter, delimiter=":"):
    """What `owner defaults` takes; in a direct message `links: off cooldown: 20`."""

    links: OnOff | None = commands.flag(description=translate("bot.command.links.state.description"), default=None)
    language: str | None = commands.flag(description=translate("bot.command.language.option.description"), default=None)
    longest: float | None = commands.flag(description=translate("bot.command.limits.longest.description"), default=None)
    cooldown: int | None = commands.flag(description=translate("bot.command.limits.cooldown.description"), default=None)
    places: int | None = commands.flag(description=translate("bot.command.limits.places.description"), default=None)
    reset: bool = commands.flag(description=translate("bot.command.limits.reset.description"), default=False)


def _under(
    group: commands.HybridGroup[Any, ..., Any], name: str
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], commands.HybridCommand[Any, ..., None]]:
    """Make a subcommand; the library's own decorator has no types that a method fits."""
    decorator: Any = group.command(name=name, description=phrase(f"owner.{name}.description"))
    return decorator  # type: ignore[no-any-return]  # see above


class Owner(commands.Cog):
    """The host's own commands.

    Args:
        bot: whose application has the owners.
        services: what they look at and set.
    """

    def __init__(self, bot: commands.AutoShardedBot, services: BotServices) -> None:
        self._bot = bot
        self._services = services

    def offer_in(self, guild_id: int | None) -> None:
        """Register `/owner` in one server, or nowhere; a cog would register it everywhere."""
        self._bot.tree.remove_command(self.owner.name)
        if guild_id is not None:
            self._bot.tree.add_command(self.owner.app_command, guild=discord.Object(guild_id))

    async def cog_load(self) -> None:
        """Begin to look at yt-dlp's age, and for a newer release."""
        settings = self._services.settings
        if settings.shard_ids is None or 0 in settings.shard_ids:
            self.watch_ytdlp.start()
            if settings.releases_url is not None:
                self.watch_releases.start()

    async def cog_unload(self) -> None:
        """End that."""
        self.watch_ytdlp.cancel()
        self.watch_releases.cancel()

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Read commands in direct messages; there are no others."""
        if message.guild is None and not message.author.bot:
            await self._bot.process_commands(message)

    async def cog_check(self, ctx: Context) -> bool:  # type: ignore[override]  # the library's type is a union
        """Refuse everybody else, once the command is acknowledged: to ask Discord may take longer than that may."""
        current_reference.set(new_reference())
        if ctx.interaction is not None and not await self._services.acknowledge(ctx.interaction, private=True):
            return False
        try:
            return await self._services.owners.has(self._bot, ctx.author.id)
        except (discord.HTTPException, *NETWORK_ERRORS) as error:
            log.warning("The owners are not known: %s", type(error).__name__)
            raise OwnersUnknownError from error

    async def cog_command_error(self, ctx: Context, error: Exception) -> None:  # type: ignore[override]  # likewise
        """Say what was wrong, to owners; others learn nothing of these commands by direct message."""
        locale = self._locale(ctx)
        if isinstance(error, commands.HybridCommandError):
            error = error.original
        if isinstance(error, commands.CheckFailure | app_commands.CheckFailure):
            if ctx.interaction is not None and is_acknowledged(ctx.interaction):
                unknown = isinstance(error, OwnersUnknownError)
                await self._respond(
                    ctx, internal_error(locale) if unknown else translate("bot.owner.not-allowed", locale)
                )
            return
        if isinstance(error, commands.UserInputError):
            await self._respond(ctx, translate("bot.owner.help", locale))
            return
        original = getattr(error, "original", error)
        if isinstance(original, StoreError):
            await self._respond(ctx, translate("bot.admin.not-saved", locale))
            return
        log.error("An owner's command failed", exc_info=original)
        await self._respond(ctx, internal_error(locale))

    @commands.hybrid_group(  # type: ignore[arg-type]  # of no cog, likewise
        name="owner",
        description=phrase("owner.description"),
        invoke_without_command=True,
    )
    @app_commands.default_permissions(administrator=True)
    async def owner(self, ctx: Context) -> None:
        """List the commands."""
        await self._respond(ctx, translate("bot.owner.help", self._locale(ctx)))

    @_under(owner, "status")
    async def status(self, ctx: Context) -> None:
        """Say how the bot is."""
        day = await self._services.requests.since(86_400.0)
        release = await self._services.releases.newer()
        text = await asyncio.to_thread(
            status_text, self._services, len(self._bot.guilds), day, release, self._locale(ctx)
        )
        await self._respond(ctx, text)

    @_under(owner, "servers")
    async def servers(self, ctx: Context, page: commands.Range[int, 1, 10_000] = 1) -> None:
        """List the servers."""
        text, view = await servers_page(self._bot.guilds, self._services, page, self._locale(ctx))
        await self._respond(ctx, text, view)

    @_under(owner, "leave")
    @app_commands.describe(server=phrase("owner.id.description"))
    async def leave(self, ctx: Context, server: str) -> None:
        """Ask whether to leave a server."""
        guild = await find_server(self._bot, self._services.settings, _id(server))
        if guild is None:
            await self._respond(ctx, translate("bot.owner.no-server", self._locale(ctx)))
            return
        text, view = leave_question(guild, self._locale(ctx))
        await self._respond(ctx, text, view)

    @_under(owner, "block")
    @app_commands.describe(what=phrase("owner.what.description"), subject=phrase("owner.id.description"))
    @app_commands.rename(subject="id")
    async def block(self, ctx: Context, what: What, subject: str) -> None:
        """Serve a member or a server no more; a server is left."""
        kind, subject_id, locale = Subject(what), _id(subject), self._locale(ctx)
        if kind is Subject.USER and await self._services.owners.has(self._bot, subject_id):
            await self._respond(ctx, translate("bot.owner.not-an-owner", locale))
            return
        await self._services.host.put(kind, subject_id, allowed=False)
        if kind is Subject.SERVER:
            await leave_server(self._bot, self._services.settings, subject_id)
        await self._respond(ctx, translate(f"bot.owner.blocked-{kind.value}", locale, id=subject_id))

    @_under(owner, "unblock")
    @app_commands.describe(what=phrase("owner.what.description"), subject=phrase("owner.id.description"))
    @app_commands.rename(subject="id")
    async def unblock(self, ctx: Context, what: What, subject: str) -> None:
        """Take a member or a server off both lists."""
        await self._services.host.put(Subject(what), _id(subject), allowed=None)
        await self._respond(ctx, translate("bot.owner.unlisted", self._locale(ctx), id=_id(subject)))

    @_under(owner, "allow")
    @app_commands.describe(what=phrase("owner.what.description"), subject=phrase("owner.id.description"))
    @app_commands.rename(subject="id")
    async def allow(self, ctx: Context, what: What, subject: str) -> None:
        """Put a member or a server on the allowlist."""
        await self._services.host.put(Subject(what), _id(subject), allowed=True)
        await self._respond(ctx, translate("bot.owner.allowed", self._locale(ctx), id=_id(subject)))

    @_under(owner, "allowlist")
    async def allowlist(self, ctx: Context, state: OnOff) -> None:
        """Serve only those on the list, or everyone who is not blocked."""
        host = self._services.host
        if state == "on":
            await host.put(Subject.USER, ctx.author.id, allowed=True)
        await host.switch(allowlist=state == "on")
        others = sum(not host.allowed(Subject.SERVER, guild.id) for guild in self._bot.guilds)
        text = translate(f"bot.owner.allowlist-{state}", self._locale(ctx))
        if state == "on" and others:
            text += " " + translate("bot.owner.not-on-list", self._locale(ctx), n=others)
        await self._respond(ctx, text)

    @_under(owner, "errors")
    async def errors(self, ctx: Context) -> None:
        """List the last errors."""
        await self._respond(ctx, errors_text(await self._services.requests.last_errors(), self._locale(ctx)))

    @_under(owner, "maintenance")
    async def maintenance(self, ctx: Context, state: OnOff) -> None:
        """Begin nothing new, or begin again."""
        await self._services.host.switch(maintenance=state == "on")
        await show_presence(self._bot, self._services.host.switches)
        running = self._services.admission.running + self._services.admission.waiting
        text = translate(f"bot.owner.maintenance-{state}", self._locale(ctx))
        if state == "on" and running:
            text += " " + translate("bot.owner.under-way", self._locale(ctx), n=running)
        await self._respond(ctx, text)

    @_under(owner, "links")
    async def links(self, ctx: Context, state: OnOff) -> None:
        """Follow links, or none in any server."""
        await self._services.host.switch(links=state == "on")
        await self._respond(ctx, translate(f"bot.owner.links-{state}", self._locale(ctx)))

    @_under(owner, "defaults")
    async def defaults(self, ctx: Context, *, changes: Defaults) -> None:
        """Set or show what servers have whose admins have set nothing."""
        if changes.language is not None and changes.language not in locales():
            await self._respond(
                ctx, translate("bot.owner.languages", self._locale(ctx), languages=", ".join(locales()))
            )
            return
        guilds = self._services.guilds
        own = GuildSettings(0) if changes.reset else guilds.defaults
        if changes.links is not None:
            own = replace(own, links=changes.links == "on")
        if changes.language is not None:
            own = replace(own, language=best_locale(changes.language))
        if changes.longest is not None:
            own = replace(own, max_duration_s=_within(changes.longest, 0.1, 360) * 60)
        if changes.cooldown is not None:
            own = replace(own, cooldown_s=_within(changes.cooldown, 0, 86_400))
        if changes.places is not None:
            own = replace(own, places=int(_within(changes.places, 1, 10_000)))
        if own != guilds.defaults:
            await guilds.save_defaults(own)
        await self._respond(ctx, defaults_text(own, self._services.settings, self._locale(ctx)))

    @tasks.loop(hours=24)
    async def watch_ytdlp(self) -> None:
        """Tell the owners once of a yt-dlp that is too old for the sites that change."""
        installed = await asyncio.to_thread(ytdlp_version)
        if installed is None or installed[1] <= OLD_DAYS:
            return
        version, days = installed
        text = translate("bot.owner.ytdlp-old", DEFAULT_LOCALE, version=version, n=days, command=UPDATE)
        await self._tell_owners(TOLD_OF_YTDLP, version, text)

    @tasks.loop(hours=1)
    async def watch_releases(self) -> None:
        """Tell the owners once of a newer release; the address is asked once a day."""
        try:
            await self._services.releases.refresh()
            release = await self._services.releases.newer()
        except StoreError:
            log.warning("The newest release is not known")
            return
        if release is not None:
            await self._tell_owners(TOLD_OF_RELEASE, release.version, release_text(release, DEFAULT_LOCALE))

    async def _tell_owners(self, key: str, version: str, text: str) -> None:
        """Send the owners a direct message about a version, once; `key` is where it is stored that they were told."""
        try:
            if await self._services.meta.get(key) == version:
                return
            # First: once is enough, and `owner status` says it again.
            await self._services.meta.set(key, version)
            log.info("The owners are told: %s", text)
            owner_ids = await self._services.owners.ids(self._bot)
        except (discord.HTTPException, *NETWORK_ERRORS, StoreError) as error:
            log.warning("The owners could not be told: %s", type(error).__name__)
            return
        for owner_id in owner_ids:
            # One who takes no direct messages keeps none of the others from being told.
            try:
                channel = await self._bot.create_dm(discord.Object(owner_id))
                await channel.send(text, allowed_mentions=NO_MENTIONS)
            except (discord.HTTPException, *NETWORK_ERRORS) as error:
                log.warning("An owner could not be told: %s", type(error).__name__)

    @watch_ytdlp.before_loop
    async def _ytdlp_once_ready(self) -> None:
        await self._bot.wait_until_ready()

    @watch_releases.before_loop
    async def _releases_once_ready(self) -> None:
        await self._bot.wait_until_ready()

    def _locale(self, ctx: Context) -> str:
        """Give the language of an owner: a direct message does not say it, but what they used before it may have."""
        if ctx.interaction is not None:
            return ctx.interaction.locale.value
        return self._services.locales.recent(ctx.author.id) or DEFAULT_LOCALE

    async def _respond(self, ctx: Context, text: str, view: discord.ui.View | None = None) -> None:
        options: dict[str, Any] = {"ephemeral": True, "allowed_mentions": NO_MENTIONS}
        if view is not None:
            options["view"] = view
        if ctx.interaction is not None and is_acknowledged(ctx.interaction):
            # The context's own way would acknowledge again where only the answer to that was lost.
            await ctx.interaction.followup.send(text, **options)
        else:
            await ctx.send(text, **options)


def _id(text: str) -> int:
    """Read an id, or a mention of a user.

    Raises:
        commands.BadArgument: it is neither.
    """
    found = ID.fullmatch(text.strip())
    if found is None:
        raise commands.BadArgument("not an id")
    return int(found[1])


def _within(value: float, least: float, most: float) -> float:
    """Give a number back that lies between two others.

    Raises:
        commands.BadArgument: it does not; the library's own ranges are no numbers in a set of flags.
    """
    if not least <= value <= most:
        raise commands.BadArgument("out of range")
    return float(value)


OWNER_ITEMS: Final = (OwnerButton,)
