"""`/genregenie`: what a server's admin sets and sees."""

from dataclasses import replace

import discord
from discord import app_commands
from discord.ext import commands

from bot.command_sync import CommandMentions
from bot.command_tree import ANSWERED
from bot.services import BotServices
from bot.storage.database import StoreError
from bot.storage.guilds import ListenOptions
from bot.storage.requests import Stats
from bot.storage.retention import DAY_S, Scope
from bot.ui.delivery import NO_MENTIONS
from bot.ui.embeds import genre_name
from bot.ui.interactions import Interaction, send_private
from bot.ui.message import MAX_TEXT, fitting
from bot.ui.permissions import FOR_AUTOSCAN, FOR_QUIET, in_channel, missing, missing_notice
from bot.ui.privacy import question, stored_text
from bot.ui.reactions import legend
from bot.ui.translator import phrase
from core.i18n.catalog import translate
from core.i18n.languages import best_locale, locales

AnyChannel = app_commands.AppCommandChannel | app_commands.AppCommandThread
AUTOMATIC = "auto"
LISTENABLE = (
    discord.TextChannel,
    discord.VoiceChannel,
    discord.StageChannel,
    discord.ForumChannel,
    discord.Thread,
)
"""Channels whose messages can be listened to: announcements are text channels, a forum means its posts."""

MAX_LISTED = 40
"""Channels that one message names."""


class Admin(commands.Cog):
    """The admin's commands, for those who may manage the server.

    Args:
        services: the stores, and the host's settings.
        message_content: whether the bot can read messages, without which there is no autoscan.
    """

    root = app_commands.Group(
        name=phrase("genregenie.name"),
        description=phrase("genregenie.description"),
        default_permissions=discord.Permissions(manage_guild=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        # Left open, it would go wherever a member's own app goes.
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    channel = app_commands.Group(name=phrase("channel.name"), description=phrase("channel.description"), parent=root)
    privacy = app_commands.Group(name=phrase("privacy.name"), description=phrase("privacy.description"), parent=root)

    def __init__(self, services: BotServices, *, message_content: bool) -> None:
        self._services = services
        self._message_content = message_content

    async def interaction_check(self, interaction: Interaction) -> bool:
        """Refuse whoever may not manage the server: which commands Discord shows to whom is its setting, not ours."""
        if interaction.guild_id is not None and interaction.permissions.manage_guild:
            return True
        await send_private(interaction, translate("bot.admin.not-allowed", interaction.locale.value))
        interaction.extras[ANSWERED] = True
        return False

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Say when the database failed; other errors are the tree's."""
        if isinstance(error, app_commands.CommandInvokeError) and isinstance(error.original, StoreError):
            await self._respond(interaction, translate("bot.admin.not-saved", interaction.locale.value))
            interaction.extras[ANSWERED] = True

    @channel.command(name=phrase("channel.on.name"), description=phrase("channel.on.description"))
    @app_commands.rename(
        channel=phrase("option.channel.name"),
        audio=phrase("channel.audio.name"),
        video=phrase("channel.video.name"),
        links=phrase("links.name"),
        quiet=phrase("channel.quiet.name"),
    )
    @app_commands.describe(
        channel=phrase("option.channel.description"),
        audio=phrase("channel.audio.description"),
        video=phrase("channel.video.description"),
        links=phrase("channel.links.description"),
        quiet=phrase("channel.quiet.description"),
    )
    async def channel_on(
        self,
        interaction: Interaction,
        channel: AnyChannel | None = None,
        audio: bool | None = None,
        video: bool | None = None,
        links: bool | None = None,
        quiet: bool | None = None,
    ) -> None:
        """Switch autoscan on in a channel, or in those of a category; what is not given stays as it is."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        guild_id, locale, guilds = _guild_id(interaction), interaction.locale.value, self._services.guilds
        channel_id = channel.id if channel else interaction.channel_id or 0
        channel_ids = channels_in(interaction.guild, channel_id)
        given = {"audio": audio, "video": video, "links": links, "quiet": quiet}
        changes = {name: value for name, value in given.items() if value is not None}
        options = {one: replace(guilds.listen_options(one) or ListenOptions(), **changes) for one in channel_ids}
        if not channel_ids:
            await self._respond(interaction, translate("bot.admin.not-listenable", locale, channel=f"<#{channel_id}>"))
            return
        if not all(each.audio or each.video or each.links for each in options.values()):
            await self._respond(interaction, translate("bot.admin.nothing-to-listen-to", locale))
            return
        for one in channel_ids:
            await guilds.switch_autoscan(guild_id, one, on=True, options=options[one])
        listed = ", ".join(f"<#{one}>" for one in channel_ids[:MAX_LISTED])
        lines = [translate("bot.admin.channel-on", locale, channel=listed)]
        if changes:
            lines.append(listens_to(options[channel_ids[0]], locale))
        if not self._message_content:
            lines.append(translate("bot.admin.no-intent", locale))
        lines += [line for one in channel_ids if (line := trouble(interaction.guild, one, options[one], locale))]
        if options[channel_ids[0]].quiet:
            lines.append(translate("bot.admin.quiet-legend", locale, legend=legend(locale)))
        await self._respond(interaction, fitting("\n".join(lines), MAX_TEXT))

    @channel.command(name=phrase("channel.off.name"), description=phrase("channel.off.description"))
    @app_commands.rename(channel=phrase("option.channel.name"))
    @app_commands.describe(channel=phrase("option.channel.description"))
    async def channel_off(self, interaction: Interaction, channel: AnyChannel | None = None) -> None:
        """Switch autoscan off in a channel."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        channel_id = channel.id if channel else interaction.channel_id or 0
        await self._services.guilds.switch_autoscan(_guild_id(interaction), channel_id, on=False)
        text = translate("bot.admin.channel-off", interaction.locale.value, channel=f"<#{channel_id}>")
        await self._respond(interaction, text)

    @channel.command(name=phrase("channel.list.name"), description=phrase("channel.list.description"))
    async def channel_list(self, interaction: Interaction) -> None:
        """List the channels in which autoscan is on."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        locale = interaction.locale.value
        channels = self._services.guilds.autoscan_channels(_guild_id(interaction))
        listed = ", ".join(f"<#{channel_id}>" for channel_id in channels[:MAX_LISTED])
        if len(channels) > MAX_LISTED:
            listed += ", …"
        text = translate("bot.admin.channels", locale, channels=listed) if channels else await self._no_channels(locale)
        if not self._message_content:
            text += "\n" + translate("bot.admin.no-intent", locale)
        await self._respond(interaction, text)

    @root.command(name=phrase("settings.name"), description=phrase("settings.description"))
    async def settings(self, interaction: Interaction) -> None:
        """Show all settings on one page, and what is wrong with them."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        await self._respond(interaction, await self._page(interaction))

    @root.command(name=phrase("check.name"), description=phrase("check.description"))
    async def check(self, interaction: Interaction) -> None:
        """Go through every channel in which autoscan is on, and say what is missing where."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        locale = interaction.locale.value
        channels = self._services.guilds.autoscan_channels(_guild_id(interaction))
        lines = [self._trouble(interaction, one) for one in channels]
        well = [f"<#{one}>" for one, line in zip(channels, lines, strict=True) if line is None]
        said = [*self._general_trouble(locale), *filter(None, lines)]
        if well:
            listed = ", ".join(well[:MAX_LISTED]) + (", …" if len(well) > MAX_LISTED else "")
            said.append(translate("bot.admin.all-well", locale, channels=listed))
        if not channels:
            said.append(await self._no_channels(locale))
        await self._respond(interaction, fitting("\n".join(said), MAX_TEXT))

    async def _no_channels(self, locale: str) -> str:
        """Say that autoscan is on nowhere, and what turns it on."""
        mentions = await CommandMentions.read(self._services.meta)
        return translate("bot.admin.no-channels", locale, on=mentions.of("genregenie channel on"))

    async def _page(self, interaction: Interaction) -> str:
        locale, guild_id = interaction.locale.value, _guild_id(interaction)
        guilds, host = self._services.guilds, self._services.settings
        own = guilds.settings(guild_id)
        limits = host.limits.tightened(own.places, own.cooldown_s)
        longest_s = min(own.max_duration_s or host.max_duration_s, host.max_duration_s)
        preferred = interaction.guild_locale.value if interaction.guild_locale else None
        language = translate("bot.language", own.language or best_locale(preferred))
        state = translate("bot.command.links.on" if own.links else "bot.command.links.off", locale)
        lines = [
            translate("bot.admin.language", locale, language=language),
            translate("bot.admin.links", locale, state=state),
            limits_text(longest_s, limits.cooldown_s, limits.per_group, locale),
        ]
        channels = guilds.autoscan_channels(guild_id)
        for one in channels[:MAX_LISTED]:
            lines.append(f"<#{one}>: {listens_to(guilds.listen_options(one) or ListenOptions(), locale)}")
            lines += filter(None, [self._trouble(interaction, one)])
        if not channels:
            lines.append(await self._no_channels(locale))
        return fitting("\n".join([*lines, *self._general_trouble(locale)]), MAX_TEXT)

    def _trouble(self, interaction: Interaction, channel_id: int) -> str | None:
        options = self._services.guilds.listen_options(channel_id) or ListenOptions()
        return trouble(interaction.guild, channel_id, options, interaction.locale.value)

    def _general_trouble(self, locale: str) -> list[str]:
        """Say what keeps the bot from listening anywhere."""
        switches = self._services.host.switches
        return [
            *([] if self._message_content else [translate("bot.admin.no-intent", locale)]),
            *([] if switches.links else [translate("bot.links-off-everywhere", locale)]),
            *([translate("bot.maintenance", locale)] if switches.maintenance else []),
        ]

    @root.command(name=phrase("limits.name"), description=phrase("limits.description"))
    @app_commands.rename(
        longest=phrase("limits.longest.name"),
        cooldown=phrase("limits.cooldown.name"),
        places=phrase("limits.places.name"),
        reset=phrase("limits.reset.name"),
    )
    @app_commands.describe(
        longest=phrase("limits.longest.description"),
        cooldown=phrase("limits.cooldown.description"),
        places=phrase("limits.places.description"),
        reset=phrase("limits.reset.description"),
    )
    async def limits(
        self,
        interaction: Interaction,
        longest: app_commands.Range[float, 0.1, 360.0] | None = None,
        cooldown: app_commands.Range[int, 0, 86_400] | None = None,
        places: app_commands.Range[int, 1, 10_000] | None = None,
        reset: bool = False,
    ) -> None:
        """Set or show the limits."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        guild_id = _guild_id(interaction)
        own = self._services.guilds.settings(guild_id)
        if reset:
            own = replace(own, max_duration_s=None, cooldown_s=None, places=None)
        if longest is not None:
            own = replace(own, max_duration_s=longest * 60)
        if cooldown is not None:
            own = replace(own, cooldown_s=float(cooldown))
        if places is not None:
            own = replace(own, places=places)
        if own != self._services.guilds.settings(guild_id):
            await self._services.guilds.save(own)
        host = self._services.settings
        effective = host.limits.tightened(own.places, own.cooldown_s)
        longest_s = min(own.max_duration_s or host.max_duration_s, host.max_duration_s)
        text = limits_text(longest_s, effective.cooldown_s, effective.per_group, interaction.locale.value)
        await self._respond(interaction, text)

    @root.command(name=phrase("links.name"), description=phrase("links.description"))
    @app_commands.rename(state=phrase("links.state.name"))
    @app_commands.describe(state=phrase("links.state.description"))
    @app_commands.choices(
        state=[
            app_commands.Choice(name=phrase("links.on"), value="on"),
            app_commands.Choice(name=phrase("links.off"), value="off"),
        ]
    )
    async def links(self, interaction: Interaction, state: str) -> None:
        """Allow links or not."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        own = self._services.guilds.settings(_guild_id(interaction))
        await self._services.guilds.save(replace(own, links=state == "on"))
        await self._respond(interaction, translate(f"bot.admin.links-{state}", interaction.locale.value))

    @root.command(name=phrase("language.name"), description=phrase("language.description"))
    @app_commands.rename(language=phrase("language.option.name"))
    @app_commands.describe(language=phrase("language.option.description"))
    @app_commands.choices(
        language=[
            app_commands.Choice(name=phrase("language.auto"), value=AUTOMATIC),
            *(app_commands.Choice(name=translate("bot.language", name), value=name) for name in locales()),
        ]
    )
    async def language(self, interaction: Interaction, language: str) -> None:
        """Set the language of public replies."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        own = self._services.guilds.settings(_guild_id(interaction))
        chosen = None if language == AUTOMATIC else best_locale(language)
        await self._services.guilds.save(replace(own, language=chosen))
        preferred = interaction.guild_locale.value if interaction.guild_locale else None
        name = translate("bot.language", chosen or best_locale(preferred))
        await self._respond(interaction, translate("bot.admin.language", interaction.locale.value, language=name))

    @root.command(name=phrase("stats.name"), description=phrase("stats.description"))
    async def stats(self, interaction: Interaction) -> None:
        """Show what was asked here."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        days = self._services.settings.retention_days
        stats = await self._services.requests.stats(_guild_id(interaction), days * DAY_S)
        await self._respond(interaction, stats_text(stats, interaction.locale.value, days))

    @privacy.command(name=phrase("privacy.show.name"), description=phrase("privacy.show.description"))
    async def privacy_show(self, interaction: Interaction) -> None:
        """Say what is stored."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        await self._respond(interaction, stored_text(self._services.settings, interaction.locale.value))

    @privacy.command(name=phrase("privacy.forget.name"), description=phrase("privacy.forget.description"))
    @app_commands.rename(what=phrase("privacy.forget.what.name"), member=phrase("privacy.forget.member.name"))
    @app_commands.describe(
        what=phrase("privacy.forget.what.description"), member=phrase("privacy.forget.member.description")
    )
    @app_commands.choices(
        what=[
            app_commands.Choice(name=phrase("privacy.forget.server"), value="server"),
            app_commands.Choice(name=phrase("privacy.forget.one"), value="member"),
        ]
    )
    async def privacy_forget(self, interaction: Interaction, what: str, member: discord.User | None = None) -> None:
        """Ask whether to delete what is stored of the server or of a member."""
        if not await self._services.acknowledge(interaction, private=True):
            return
        guild_id = _guild_id(interaction)
        if what == "server":
            text, view = await question(interaction, Scope(guild_id), named_besides=member)
        elif member is None:
            text, view = translate("bot.admin.which-member", interaction.locale.value), None
        else:
            text, view = await question(interaction, Scope(guild_id, member.id))
        await interaction.edit_original_response(content=text, view=view, allowed_mentions=NO_MENTIONS)

    async def _respond(self, interaction: Interaction, text: str) -> None:
        await interaction.edit_original_response(content=text, allowed_mentions=NO_MENTIONS)


def _guild_id(interaction: Interaction) -> int:
    """Server of a command that only servers have."""
    return interaction.guild_id or 0


def channels_in(guild: discord.Guild | None, channel_id: int) -> list[int]:
    """List the channels that a channel stands for: a category's own; none where nothing can be listened to."""
    known = guild.get_channel_or_thread(channel_id) if guild else None
    if isinstance(known, discord.CategoryChannel):
        return [channel.id for channel in known.channels if isinstance(channel, LISTENABLE)]
    # A thread that the bot does not know may become known.
    return [channel_id] if known is None or isinstance(known, LISTENABLE) else []


def trouble(guild: discord.Guild | None, channel_id: int, options: ListenOptions, locale: str) -> str | None:
    """Say which permissions are missing in which channel for how it is answered; None where all is well."""
    known = guild.get_channel_or_thread(channel_id) if guild else None
    if known is None:
        return translate("bot.admin.unknown-channel", locale, channel=f"<#{channel_id}>")
    notice = missing_notice(missing(in_channel(known), FOR_QUIET if options.quiet else FOR_AUTOSCAN), locale)
    return None if notice is None else f"<#{channel_id}>: {notice}"


def listens_to(options: ListenOptions, locale: str) -> str:
    """Say what is answered in a channel, and how."""
    names = ("audio", "video", "links", "quiet")
    return ", ".join(translate(f"bot.admin.listens.{name}", locale) for name in names if getattr(options, name))


def limits_text(longest_s: float, cooldown_s: float, places: int, locale: str) -> str:
    """Say what a server's limits are; the times are in seconds."""
    return translate(
        "bot.admin.limits",
        locale,
        longest=translate("bot.admin.limits-longest", locale, n=longest_s / 60),
        cooldown=translate("bot.admin.limits-cooldown", locale, n=cooldown_s),
        places=translate("bot.admin.limits-places", locale, n=places),
    )


def stats_text(stats: Stats, locale: str, days: int) -> str:
    """Say what was asked in a server in the last days, and what came of it."""
    asked = sum(stats.outcomes.values())
    answered = stats.outcomes.get("verdict", 0)
    lines = [
        translate(
            "bot.admin.stats",
            locale,
            n=days,
            asked=translate("bot.admin.stats-asked", locale, n=asked),
            answered=translate("bot.admin.stats-answered", locale, n=answered),
            failed=translate("bot.admin.stats-failed", locale, n=asked - answered),
            corrections=translate("bot.admin.stats-corrections", locale, n=stats.corrections),
        )
    ]
    failures = [
        f"{translate(f'bot.outcome.{code}', locale)} ({n})" for code, n in stats.outcomes.items() if code != "verdict"
    ]
    if failures:
        lines.append(translate("bot.admin.stats-failures", locale, reasons=", ".join(failures)))
    if stats.genres:
        genres = ", ".join(f"{genre_name(genre, locale)} {n}" for genre, n in stats.genres.items())
        lines.append(translate("bot.admin.stats-genres", locale, genres=genres))
    return "\n".join(lines)
