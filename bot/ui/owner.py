"""What owners read, and their buttons."""

import contextlib
import logging
import re
from collections.abc import Sequence
from typing import Any, Final, Self

import discord
import psutil
from discord.ext import commands
from discord.ui import Button, Item, View

from bot.releases import Release
from bot.services import BotServices, services_of
from bot.settings import BotSettings
from bot.storage.guilds import GuildSettings
from bot.storage.host import HostSwitches, Subject
from bot.storage.requests import ErrorRow
from bot.ui.delivery import NETWORK_ERRORS, NO_MENTIONS
from bot.ui.embeds import escaped
from bot.ui.interactions import Interaction, send_private
from bot.ui.items import PersistentItem
from bot.ui.message import internal_error
from core.fetch.ytdlp_install import ytdlp_version
from core.i18n.catalog import translate
from core.version import VERSION, version_line

log = logging.getLogger(__name__)

PER_PAGE: Final = 10
MONTH_S: Final = 30 * 86_400.0
PRESENCE: Final = "/genre · /help"
"""What the bot is seen listening to: the commands by their English names, which Discord finds in every language."""

LEAVE, STAY, PAGE = "leave", "stay", "page"


class OwnerButton(PersistentItem[Button[View]], template=r"gg:owner:(?P<action>leave|stay|page):(?P<value>\d{1,20})"):
    """Leaves a server, leaves it alone, or turns a page of the list of servers.

    Args:
        action: what pressing it does.
        value: id of the server, or number of the page.
        label: what is written on it.
    """

    def __init__(self, action: str, value: int, label: str = "-") -> None:
        self.action = action
        self.value = value
        style = discord.ButtonStyle.danger if action == LEAVE else discord.ButtonStyle.secondary
        super().__init__(Button(style=style, label=label, custom_id=f"gg:owner:{action}:{value}"))

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["action"], int(match["value"]))

    async def use(self, interaction: Interaction) -> None:
        """Do it, for an owner."""
        services, locale = services_of(interaction), interaction.locale.value
        # Before Discord is asked who owns it, which may take longer than an acknowledgement may.
        if not await services.acknowledge(interaction, thinking=False):
            return
        try:
            is_owner = await services.owners.has(interaction.client, interaction.user.id)
        except (discord.HTTPException, *NETWORK_ERRORS) as error:
            log.warning("The owners are not known: %s", type(error).__name__)
            await send_private(interaction, internal_error(locale))
            return
        if not is_owner:
            await send_private(interaction, translate("bot.owner.not-allowed", locale))
            return
        view: View | None = None
        if self.action == PAGE:
            text, view = await servers_page(interaction.client.guilds, services, self.value, locale)
        elif self.action == STAY:
            text = translate("bot.owner.stayed", locale)
        else:
            await leave_server(interaction.client, services.settings, self.value)
            text = translate("bot.owner.left", locale, id=self.value)
        await interaction.edit_original_response(content=text, view=view, allowed_mentions=NO_MENTIONS)


def activity(switches: HostSwitches) -> discord.BaseActivity:
    """Give the bot's presence: what to type, or that it is in maintenance."""
    if switches.maintenance:
        return discord.CustomActivity(translate("bot.maintenance"))
    return discord.Activity(type=discord.ActivityType.listening, name=PRESENCE)


async def show_presence(bot: commands.AutoShardedBot, switches: HostSwitches) -> None:
    """Show the presence that goes with the switches."""
    status = discord.Status.idle if switches.maintenance else discord.Status.online
    await bot.change_presence(activity=activity(switches), status=status)


def release_text(release: Release, locale: str) -> str:
    """Say that there is a newer release; its address makes no preview."""
    page = f" <{release.page}>" if release.page else ""
    return translate("bot.owner.release", locale, version=release.version, current=VERSION) + page


def status_text(services: BotServices, servers: int, day: dict[str, int], release: Release | None, locale: str) -> str:
    """Say how the bot is; reads processes, so not on the event loop.

    Args:
        services: queue, workers and switches.
        servers: how many this process serves.
        day: outcomes of the last 24 hours, as counts.
        release: a newer one than this; None where there is none, or nobody is asked.
        locale: language.
    """
    process = psutil.Process()
    memory = sum(_memory(each) for each in (process, *process.children(recursive=True)))
    installed = ytdlp_version()
    failed = {code: n for code, n in day.items() if code != "verdict"}
    switches = services.host.switches
    ready, busy = services.workers()
    text = translate(
        "bot.owner.status",
        locale,
        version=version_line(services.settings.model),
        started=f"<t:{process.create_time():.0f}:R>",
        servers=servers,
        waiting=services.admission.waiting,
        running=services.admission.running,
        ready=ready,
        busy=busy,
        memory=round(memory / 1e6),
        ytdlp="-" if installed is None else f"{installed[0]} ({translate('bot.owner.days', locale, n=installed[1])})",
        asked=sum(day.values()),
        failed=sum(failed.values()),
        reasons=f" ({', '.join(f'{code} {n}' for code, n in failed.items())})" if failed else "",
        maintenance=_switched(switches.maintenance, locale),
        links=_switched(switches.links, locale),
        allowlist=_switched(switches.allowlist, locale),
    )
    lines = [text, *([release_text(release, locale)] if release else []), *_of_this_process(services.settings, locale)]
    return "\n".join(lines)


def _of_this_process(settings: BotSettings, locale: str) -> list[str]:
    """Say of which shards something speaks, where other processes have others."""
    if settings.shard_ids is None:
        return []
    first, last = settings.shard_ids[0], settings.shard_ids[-1]
    shards = str(first) if first == last else f"{first}–{last}"
    return [f"-# {translate('bot.owner.this-process', locale, shards=shards, count=settings.shard_count)}"]


async def find_server(client: discord.Client, settings: BotSettings, guild_id: int) -> discord.Guild | None:
    """Find a server that the bot is in: one of this process, or by asking Discord one of another.

    Raises:
        discord.HTTPException: Discord does not say.
    """
    guild = client.get_guild(guild_id)
    if guild is None and settings.shard_ids is not None:
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            return await client.fetch_guild(guild_id)
    return guild


async def leave_server(client: discord.Client, settings: BotSettings, guild_id: int) -> None:
    """Leave a server, also one of another process; nothing happens where the bot is not in it.

    Raises:
        discord.HTTPException: Discord does not let it.
    """
    guild = await find_server(client, settings, guild_id)
    if guild is not None:
        await guild.leave()


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended meanwhile
        return 0


def _switched(on: bool, locale: str) -> str:
    return translate("bot.owner.on" if on else "bot.owner.off", locale)


async def servers_page(
    guilds: Sequence[discord.Guild], services: BotServices, page: int, locale: str
) -> tuple[str, View | None]:
    """List servers, those that ask most first, and make the buttons that turn pages.

    Raises:
        StoreError: the database failed.
    """
    asked = await services.requests.by_guild(MONTH_S)
    ordered = sorted(guilds, key=lambda guild: (-asked.get(guild.id, 0), guild.id))
    pages = max(1, -(-len(ordered) // PER_PAGE))
    page = min(page, pages)
    lines = [translate("bot.owner.servers", locale, n=len(ordered), page=page, pages=pages)]
    for guild in ordered[(page - 1) * PER_PAGE : page * PER_PAGE]:
        joined = guild.me.joined_at if guild.me else None
        line = translate(
            "bot.owner.server",
            locale,
            name=escaped(guild.name, 40),
            id=guild.id,
            members=guild.member_count or "?",
            requests=asked.get(guild.id, 0),
            joined=discord.utils.format_dt(joined, "d") if joined else "?",
        )
        unserved = services.host.switches.allowlist and not services.host.allowed(Subject.SERVER, guild.id)
        lines.append(f"{line} · {translate('bot.owner.not-listed', locale)}" if unserved else line)
    lines += _of_this_process(services.settings, locale)
    view = View(timeout=None)
    if page > 1:
        view.add_item(OwnerButton(PAGE, page - 1, "\N{LEFTWARDS ARROW}"))
    if page < pages:
        view.add_item(OwnerButton(PAGE, page + 1, "\N{RIGHTWARDS ARROW}"))
    return "\n".join(lines), view if view.children else None


def leave_question(guild: discord.Guild, locale: str) -> tuple[str, View]:
    """Ask whether to leave a server."""
    view = View(timeout=None)
    view.add_item(OwnerButton(LEAVE, guild.id, translate("bot.owner.button.leave", locale)))
    view.add_item(OwnerButton(STAY, guild.id, translate("bot.owner.button.stay", locale)))
    # One of another process has been fetched, and then it is an approximate number.
    members = guild.member_count or guild.approximate_member_count or "?"
    return translate("bot.owner.ask-leave", locale, name=escaped(guild.name), id=guild.id, members=members), view


def errors_text(errors: Sequence[ErrorRow], locale: str) -> str:
    """List errors: when, what, where, and the id that their log lines carry."""
    if not errors:
        return translate("bot.owner.no-errors", locale)
    return "\n".join(
        f"<t:{error.at:.0f}:f> `{error.code}` {error.kind} · {error.guild_id or '-'} · `{error.reference or '-'}`"
        for error in errors
    )


def defaults_text(defaults: GuildSettings, settings: BotSettings, locale: str) -> str:
    """Say what servers have whose admins have set nothing; the host's own limits where that sets none."""
    limits = settings.limits.tightened(defaults.places, defaults.cooldown_s)
    longest_s = min(defaults.max_duration_s or settings.max_duration_s, settings.max_duration_s)
    language = translate("bot.language", defaults.language) if defaults.language else None
    return translate(
        "bot.owner.defaults",
        locale,
        links=translate("bot.command.links.on" if defaults.links else "bot.command.links.off", locale),
        language=language or translate("bot.command.language.auto", locale),
        longest=translate("bot.admin.limits-longest", locale, n=longest_s / 60),
        cooldown=translate("bot.admin.limits-cooldown", locale, n=limits.cooldown_s),
        places=translate("bot.admin.limits-places", locale, n=limits.per_group),
    )
