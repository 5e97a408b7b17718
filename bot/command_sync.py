"""The commands as Discord knows them: sent at start, if they are others than last time."""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

import discord
from discord import app_commands

from bot.storage.database import StoreError
from bot.storage.meta import MetaStore
from bot.ui.delivery import NETWORK_ERRORS
from bot.ui.translator import PhraseTranslator

ClientT = TypeVar("ClientT", bound=discord.Client)

log = logging.getLogger(__name__)

RETRY_S: Final = 60.0
LAST_SYNC: Final = "commands"
"""Key under which the digest of the commands sent last is stored."""

LAST_OWNER_SYNC: Final = "owner-commands"
"""The same of the owners' commands."""

OWNER_GUILD: Final = "owner-guild"
"""Key under which the server is stored that has the owners' commands."""

COMMAND_IDS: Final = "command-ids"
"""Key under which the ids are stored that Discord has given them: JSON, name → id."""


@dataclass(frozen=True, slots=True)
class CommandMentions:
    """Commands in texts, to click on where their ids are known.

    Attributes:
        ids: name of a command → its id.
    """

    ids: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    async def read(cls, meta: MetaStore) -> Self:
        """Read the ids; none where the database fails."""
        try:
            return cls(json.loads(await meta.get(COMMAND_IDS) or "{}"))
        except (StoreError, ValueError):
            return cls()

    def of(self, command: str) -> str:
        """Mention a command by its English name, subcommands after blanks."""
        command_id = self.ids.get(command.partition(" ")[0])
        return f"`/{command}`" if command_id is None else f"</{command}:{command_id}>"


async def sync_commands(
    tree: app_commands.CommandTree[ClientT], meta: MetaStore, test_guild_id: int | None, owner_guild_id: int | None
) -> None:
    """Send the commands to Discord if they have changed, again and again until that succeeds.

    Args:
        tree: the commands, of a client that is logged in.
        meta: keeps what was sent last.
        test_guild_id: the only server that gets them; None sends them to all.
        owner_guild_id: the only server that gets the owners'.
    """
    guild = discord.Object(test_guild_id) if test_guild_id else None
    _offer_where_installed(tree)
    if guild is not None:
        tree.copy_global_to(guild=guild)
    while True:
        try:
            await _sync_if_changed(tree, meta, guild)
            await _sync_owners(tree, meta, owner_guild_id, test_guild_id)
            return
        except (discord.HTTPException, *NETWORK_ERRORS, StoreError) as error:
            log.warning("The commands were not synced: %s", type(error).__name__)
        await asyncio.sleep(RETRY_S)


async def _sync_owners(
    tree: app_commands.CommandTree[ClientT], meta: MetaStore, owner_guild_id: int | None, test_guild_id: int | None
) -> None:
    """Send the owners' commands to their server, and take them out of the one that was theirs before."""
    former = await meta.get(OWNER_GUILD)
    if former and int(former) not in (owner_guild_id, test_guild_id):
        with contextlib.suppress(discord.HTTPException):  # the bot may have left it
            await tree.sync(guild=discord.Object(int(former)))
    if owner_guild_id is not None and owner_guild_id != test_guild_id:
        try:
            await _sync_if_changed(tree, meta, discord.Object(owner_guild_id), LAST_OWNER_SYNC)
        except discord.Forbidden:
            log.error("GENREGENIE_OWNER_GUILD names a server that the bot is not in")
    await meta.set(OWNER_GUILD, str(owner_guild_id or ""))


async def _sync_if_changed(
    tree: app_commands.CommandTree[ClientT], meta: MetaStore, guild: discord.Object | None, key: str = LAST_SYNC
) -> None:
    translator = tree.translator or PhraseTranslator()
    payload = [
        await command.get_translated_payload(tree, translator)
        for command in sorted(tree.get_commands(guild=guild), key=lambda command: command.name)
    ]
    commands = json.dumps([tree.client.application_id, guild.id if guild else None, payload], sort_keys=True)
    digest = hashlib.sha256(commands.encode()).hexdigest()
    if await meta.get(key) == digest and await meta.get(COMMAND_IDS):
        return
    synced = await tree.sync(guild=guild)
    if key == LAST_SYNC:
        await meta.set(COMMAND_IDS, json.dumps({command.name: command.id for command in synced}))
    await meta.set(key, digest)
    log.info("Commands synced")


def _offer_where_installed(tree: app_commands.CommandTree[ClientT]) -> None:
    """Offer no command to accounts where the application cannot be added to them: Discord would refuse them all."""
    application = tree.client.application
    if application is not None and application.user_integration_config is not None:
        return
    for command in tree.get_commands():
        if command.allowed_installs is not None and command.allowed_installs.user:
            command.allowed_installs = app_commands.AppInstallationType(guild=True, user=False)
