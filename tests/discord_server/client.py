"""A small bot on discord.py, to try the server with the library's real client."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.discord_server.server import Discord


class SmallBot(discord.AutoShardedClient):
    """Notes the events that it sees, and has commands that are added before it starts."""

    def __init__(self, *, message_content: bool = True, heartbeat_timeout: float = 60.0) -> None:
        intents = discord.Intents.default()
        intents.message_content = message_content
        super().__init__(intents=intents, heartbeat_timeout=heartbeat_timeout, guild_ready_timeout=0.1)
        self.tree = app_commands.CommandTree(self)
        self.seen: list[discord.Message] = []
        self.events: list[tuple[str, str]] = []
        self.resumed = asyncio.Event()

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Skip the library's five seconds between two shards."""

    async def on_message(self, message: discord.Message) -> None:
        self.seen.append(message)

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.events.append(("add", event.emoji.name))

    async def on_raw_reaction_remove(self, event: discord.RawReactionActionEvent) -> None:
        self.events.append(("remove", event.emoji.name))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self.events.append(("join", guild.name))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self.events.append(("leave", guild.name))

    async def on_shard_resumed(self, shard_id: int) -> None:
        self.resumed.set()


@asynccontextmanager
async def connected(bot: SmallBot, server: Discord, *, token: str | None = None) -> AsyncIterator[SmallBot]:
    """Run the bot against the server until the block ends."""
    with (
        patch.object(Route, "BASE", server.api_url),
        patch.object(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway.url)),
    ):
        running = asyncio.create_task(bot.start(token or server.token))
        ready = asyncio.create_task(bot.wait_until_ready())
        try:
            await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            yield bot
        finally:
            ready.cancel()
            await bot.close()
            await asyncio.gather(running, ready, return_exceptions=True)


def picture(name: str = "chart.png") -> discord.File:
    return discord.File(io.BytesIO(b"\x89PNG not really"), name, description="A picture of ten votes")
