"""What each server's admin has set, the channels in which autoscan is on, and which servers the bot has left."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Table,
    and_,
    delete,
    exists,
    select,
    true,
    union,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.database import Database, StoreError, among, insert_missing, insert_new, upsert
from bot.storage.tables import channels, guilds, joined, meta

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
    """The settings of this process's servers, all of them in memory: every message of a server looks at them.

    No other process changes them: Discord sends all that happens in a server to the shard that has it.

    Args:
        database: where they are kept.
        shard_count: how many shards there are.
        shard_ids: those of this process; None is all of them.
    """

    def __init__(
        self, database: Database, *, shard_count: int | None = None, shard_ids: Sequence[int] | None = None
    ) -> None:
        self._database = database
        self.defaults = GuildSettings(0)
        """What the host has chosen for servers whose admins have set nothing."""
        self._shard_count = shard_count
        self._shard_ids = shard_ids
        self._settings: dict[int, GuildSettings] = {}
        self._autoscan: dict[int, int] = {}
        """Channel in which autoscan is on → its server."""
        self._options: dict[int, ListenOptions] = {}
        """Channel → what of it is answered."""

    async def load(self) -> None:
        """Read the settings of the servers of this process's shards into memory.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            await self._read_defaults(connection)
            await self._read(connection, self._is_ours)

    async def load_defaults(self) -> None:
        """Read what the host may have chosen in another process.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            await self._read_defaults(connection)

    async def _read_defaults(self, connection: AsyncConnection) -> None:
        stored = (await connection.execute(select(meta.c.value).where(meta.c.key == DEFAULTS))).scalar()
        self.defaults = GuildSettings(**json.loads(stored)) if stored else GuildSettings(0)

    async def _read(self, connection: AsyncConnection, chosen: Callable[[Table], ColumnElement[bool]]) -> None:
        """Read the settings of those servers that have not been left; `chosen` gives the condition for a table."""
        for row in await connection.execute(select(guilds).where(chosen(guilds), guilds.c.left_at.is_(None))):
            self._settings[row.guild_id] = _settings_of(row)
        was_left = exists().where(guilds.c.guild_id == channels.c.guild_id, guilds.c.left_at.is_not(None))
        for row in await connection.execute(select(channels).where(chosen(channels), ~was_left)):
            self._autoscan[row.channel_id] = row.guild_id
            self._options[row.channel_id] = ListenOptions(row.audio, row.video, row.links, row.quiet)

    def _is_ours(self, table: FromClause) -> ColumnElement[bool]:
        """Condition for the servers of this process's shards."""
        if self._shard_ids is None or self._shard_count is None:
            return true()
        shard = (table.c.guild_id // (1 << 22)) % self._shard_count
        return shard.between(min(self._shard_ids), max(self._shard_ids))

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
            await upsert(connection, guilds, {**asdict(settings), "left_at": None})
        self._settings[settings.guild_id] = settings

    async def save_defaults(self, defaults: GuildSettings) -> None:
        """Replace what servers have whose admins have set nothing.

        Raises:
            StoreError: nothing was saved.
        """
        defaults = replace(defaults, guild_id=0)
        async with self._database.writing() as connection:
            await upsert(connection, meta, {"key": DEFAULTS, "value": json.dumps(asdict(defaults))})
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
            if not on:
                await connection.execute(delete(channels).where(own))
            elif not await insert_new(
                connection, channels, {"channel_id": channel_id, "guild_id": guild_id, **asdict(options)}
            ):
                changed = await connection.execute(update(channels).where(own).values(asdict(options)))
                if not changed.rowcount:
                    raise StoreError
        if on:
            self._autoscan[channel_id] = guild_id
            self._options[channel_id] = options
        elif self._autoscan.get(channel_id) == guild_id:
            del self._autoscan[channel_id]
            del self._options[channel_id]

    async def mark_left(self, *guild_ids: int) -> None:
        """Begin the grace time of servers that the bot is no longer in.

        Raises:
            StoreError: nothing was saved.
        """
        left_at = self._database.clock()
        async with self._database.writing() as connection:
            await insert_missing(connection, guilds.c.guild_id, guild_ids, {"links": True})
            await connection.execute(update(guilds).where(among(guilds.c.guild_id, guild_ids)).values(left_at=left_at))
            await connection.execute(delete(joined).where(among(joined.c.guild_id, guild_ids)))
        self.forget(guild_ids)

    async def mark_present(self, guild_ids: Sequence[int]) -> None:
        """Note servers that the bot is in, and end the grace time of those that it had left.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await insert_missing(connection, joined.c.guild_id, guild_ids, {})
            returned = await connection.execute(
                update(guilds)
                .where(guilds.c.left_at.is_not(None), among(guilds.c.guild_id, guild_ids))
                .values(left_at=None)
                .returning(guilds.c.guild_id)
            )
            if back := [row.guild_id for row in returned]:
                # A row that only says when the bot left is no setting of the server's.
                await connection.execute(delete(guilds).where(among(guilds.c.guild_id, back), _is_blank()))
                await self._read(connection, lambda table: among(table.c.guild_id, back))

    async def known_ids(self) -> set[int]:
        """Servers of this process's shards that the bot was in when it last looked, and has not left since.

        Raises:
            StoreError: the database failed.
        """
        # What its admins have set, a server has from before the bot noted which it is in. What was asked there says
        # nothing: members who have the bot on their account take it to servers that it never joined.
        stored = (select(table.c.guild_id).where(self._is_ours(table)) for table in (joined, guilds, channels))
        left = select(guilds.c.guild_id).where(guilds.c.left_at.is_not(None), self._is_ours(guilds))
        async with self._database.reading() as connection:
            known = {row.guild_id for row in await connection.execute(union(*stored))}
            return known - {row.guild_id for row in await connection.execute(left)}

    async def delete(self, connection: AsyncConnection, chosen: Callable[[Table], ColumnElement[bool]]) -> None:
        """Delete servers' settings and channels; `forget` follows when the transaction has ended well.

        Args:
            connection: in a transaction.
            chosen: gives the condition for the servers that are meant, for a table with their ids.
        """
        for table in (channels, guilds):
            await connection.execute(delete(table).where(chosen(table)))

    def forget(self, guild_ids: Sequence[int]) -> None:
        """Take servers that were left, or whose rows are deleted, out of memory."""
        gone = set(guild_ids)
        for guild_id in gone:
            self._settings.pop(guild_id, None)
        self._autoscan = {channel: guild for channel, guild in self._autoscan.items() if guild not in gone}
        self._options = {channel: options for channel, options in self._options.items() if channel in self._autoscan}


def left_before(moment: float) -> Callable[[Table], ColumnElement[bool]]:
    """Condition, for a table, for the servers that the bot left at that moment (seconds since the epoch) or earlier."""
    left = select(guilds.c.guild_id).where(guilds.c.left_at <= moment)
    return lambda table: guilds.c.left_at <= moment if table is guilds else table.c.guild_id.in_(left)


def _is_blank() -> ColumnElement[bool]:
    """Condition for the servers whose admins have set nothing."""
    return and_(
        *(guilds.c[field.name].is_(field.default) for field in fields(GuildSettings) if field.name != "guild_id")
    )


def _settings_of(row: Row[Any]) -> GuildSettings:
    values = row._asdict()
    del values["left_at"]
    return GuildSettings(**values)
