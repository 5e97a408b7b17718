"""What each server's admin has set, the channels in which autoscan is on, and which servers the bot has left."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.database import Database
from bot.storage.tables import channels, guilds, meta, requests, scores

DEFAULTS: Final = "guild-defaults"
"""Key under which the settings are stored that a server has until its admin changes one: JSON."""


@dataclass(frozen=True, slots=True)
class GuildSettings:
    """What a server's admin has set; None is the host's own setting."""

    guild_id: int
    language: str | None = None
    links: bool = True
    max_duration_s: float | None = None
    cooldown_s: float | None = None
    places: int | None = None


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What is answered of what members post in a channel.

    Attributes:
        audio: sound files and voice messages.
        video: videos.
        links: links, where a message has no file.
        quiet: with a reaction that stands for the genre, and no message.
    """

    audio: bool = True
    video: bool = False
    links: bool = False
    quiet: bool = False


class GuildStore:
    """The servers' settings, all of them in memory: every message of a server looks at them.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.defaults = GuildSettings(0)
        """What the host has chosen for servers whose admins have set nothing."""
        self._settings: dict[int, GuildSettings] = {}
        self._autoscan: dict[int, int] = {}
        """Channel in which autoscan is on → its server."""
        self._options: dict[int, ListenOptions] = {}
        """Channel → what of it is answered."""

    async def load(self) -> None:
        """Read all settings into memory.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            stored = (await connection.execute(select(meta.c.value).where(meta.c.key == DEFAULTS))).scalar()
            self.defaults = GuildSettings(**json.loads(stored)) if stored else GuildSettings(0)
            for row in await connection.execute(select(guilds).where(guilds.c.left_at.is_(None))):
                self._settings[row.guild_id] = _settings_of(row)
            for row in await connection.execute(select(channels)):
                self._autoscan[row.channel_id] = row.guild_id
                self._options[row.channel_id] = ListenOptions(row.audio, row.video, row.links, row.quiet)

    def settings(self, guild_id: int | None) -> GuildSettings:
        """Give the settings of a server; in a direct conversation (None) everything is as the host has it."""
        if guild_id is None:
            return GuildSettings(0)
        return self._settings.get(guild_id) or replace(self.defaults, guild_id=guild_id)

    def public_locale(self, guild_id: int | None, preferred: str | None) -> str:
        """Language of what everyone in a server reads: what its admin chose, else the server's own."""
        return self.settings(guild_id).language or preferred or "en"

    async def save(self, settings: GuildSettings) -> None:
        """Replace a server's settings.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(guilds).where(guilds.c.guild_id == settings.guild_id))
            await connection.execute(insert(guilds).values(asdict(settings)))
        self._settings[settings.guild_id] = settings

    async def save_defaults(self, defaults: GuildSettings) -> None:
        """Replace what servers have whose admins have set nothing.

        Raises:
            StoreError: nothing was saved.
        """
        defaults = replace(defaults, guild_id=0)
        async with self._database.writing() as connection:
            await connection.execute(delete(meta).where(meta.c.key == DEFAULTS))
            await connection.execute(insert(meta).values(key=DEFAULTS, value=json.dumps(asdict(defaults))))
        self.defaults = defaults

    def autoscan_is_on(self, *channel_ids: int | None) -> bool:
        """Whether autoscan is on in one of these channels (a thread and its parent)."""
        return any(channel_id in self._autoscan for channel_id in channel_ids)

    def listen_options(self, *channel_ids: int | None) -> ListenOptions | None:
        """Say what is answered in the first of these channels in which autoscan is on; None where it is in none."""
        return next((self._options[channel_id] for channel_id in channel_ids if channel_id in self._options), None)

    def autoscan_channels(self, guild_id: int) -> list[int]:
        """Channels of a server in which autoscan is on."""
        return sorted(channel for channel, guild in self._autoscan.items() if guild == guild_id)

    async def switch_autoscan(
        self, guild_id: int, channel_id: int, *, on: bool, options: ListenOptions | None = None
    ) -> None:
        """Switch autoscan on or off in a channel of a server; another server's stays as it is.

        Args:
            guild_id: the server.
            channel_id: the channel.
            on: whether what is posted there is answered.
            options: what of it.

        Raises:
            StoreError: nothing was saved.
        """
        options = options or ListenOptions()
        async with self._database.writing() as connection:
            own = (channels.c.channel_id == channel_id) & (channels.c.guild_id == guild_id)
            await connection.execute(delete(channels).where(own))
            if on:
                await connection.execute(
                    insert(channels).values(channel_id=channel_id, guild_id=guild_id, **asdict(options))
                )
        if on:
            self._autoscan[channel_id] = guild_id
            self._options[channel_id] = options
        elif self._autoscan.get(channel_id) == guild_id:
            del self._autoscan[channel_id]
            del self._options[channel_id]

    async def mark_left(self, guild_id: int) -> None:
        """Begin the grace time of a server that the bot is no longer in.

        Raises:
            StoreError: nothing was saved.
        """
        left_at = self._database.clock()
        async with self._database.writing() as connection:
            marked = await connection.execute(
                update(guilds).where(guilds.c.guild_id == guild_id).values(left_at=left_at)
            )
            if not marked.rowcount:
                await connection.execute(insert(guilds).values(guild_id=guild_id, links=True, left_at=left_at))
        self._settings.pop(guild_id, None)

    async def mark_present(self, guild_ids: Sequence[int]) -> None:
        """End the grace time of servers that the bot is in.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            back = list(
                await connection.execute(
                    select(guilds).where(guilds.c.left_at.is_not(None), guilds.c.guild_id.in_(guild_ids))
                )
            )
            await connection.execute(
                update(guilds).where(guilds.c.guild_id.in_([row.guild_id for row in back])).values(left_at=None)
            )
            # A row that only says when the bot left is no setting of the server's.
            blank = [row.guild_id for row in back if _settings_of(row) == GuildSettings(row.guild_id)]
            await connection.execute(delete(guilds).where(guilds.c.guild_id.in_(blank)))
        for row in back:
            if row.guild_id not in blank:
                self._settings[row.guild_id] = _settings_of(row)

    async def known_ids(self) -> set[int]:
        """Servers of which anything is stored and whose grace time has not begun.

        Raises:
            StoreError: the database failed.
        """
        asked = select(requests.c.guild_id).where(requests.c.guild_id.is_not(None)).distinct()
        played = select(scores.c.guild_id).distinct()
        left = select(guilds.c.guild_id).where(guilds.c.left_at.is_not(None))
        async with self._database.reading() as connection:
            asked_ids = {row.guild_id for query in (asked, played) for row in await connection.execute(query)}
            left_ids = {row.guild_id for row in await connection.execute(left)}
        return (asked_ids | set(self._settings) | set(self._autoscan.values())) - left_ids

    async def left_before(self, connection: AsyncConnection, moment: float) -> list[int]:
        """Servers that the bot left at that moment (seconds since the epoch) or earlier."""
        rows = await connection.execute(select(guilds.c.guild_id).where(guilds.c.left_at <= moment))
        return [row.guild_id for row in rows]

    async def delete(self, connection: AsyncConnection, guild_ids: Sequence[int]) -> None:
        """Delete servers' settings and channels; `forget` follows when the transaction has ended well."""
        for table in (channels, guilds):
            await connection.execute(delete(table).where(table.c.guild_id.in_(guild_ids)))

    def forget(self, guild_ids: Sequence[int]) -> None:
        """Take servers whose rows are deleted out of memory."""
        for guild_id in guild_ids:
            self._settings.pop(guild_id, None)
            for channel_id in self.autoscan_channels(guild_id):
                del self._autoscan[channel_id]
                del self._options[channel_id]


def _settings_of(row: Row[Any]) -> GuildSettings:
    values = row._asdict()
    del values["left_at"]
    return GuildSettings(**values)
