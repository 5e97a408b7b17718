"""The commands as Discord knows them: sent at start, if they are others than last time."""

import asyncio
import hashlib
import json
import logging
from typing import Final, TypeVar

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


async def sync_commands(tree: app_commands.CommandTree[ClientT], meta: MetaStore, test_guild_id: int | None) -> None:
    """Send the commands to Discord if they have changed, again and again until that succeeds.

    Args:
        tree: the commands, of a client that is logged in.
        meta: keeps what was sent last.
        test_guild_id: the only server that gets them; None sends them to all.
    """
    guild = discord.Object(test_guild_id) if test_guild_id else None
    if guild is not None:
        tree.copy_global_to(guild=guild)
    while True:
        try:
            await _sync_if_changed(tree, meta, guild)
            return
        except (discord.HTTPException, *NETWORK_ERRORS, StoreError) as error:
            log.warning("The commands were not synced: %s", type(error).__name__)
        await asyncio.sleep(RETRY_S)


async def _sync_if_changed(
    tree: app_commands.CommandTree[ClientT], meta: MetaStore, guild: discord.Object | None
) -> None:
    translator = tree.translator or PhraseTranslator()
    payload = [
        await command.get_translated_payload(tree, translator)
        for command in sorted(tree.get_commands(guild=guild), key=lambda command: command.name)
    ]
    commands = json.dumps([tree.client.application_id, guild.id if guild else None, payload], sort_keys=True)
    digest = hashlib.sha256(commands.encode()).hexdigest()
    if await meta.get(LAST_SYNC) == digest:
        return
    await tree.sync(guild=guild)
    await meta.set(LAST_SYNC, digest)
    log.info("Commands synced")
