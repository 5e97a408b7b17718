"""A process with some shards of a bot: discord.py's client and the gate, and nothing else of the bot.

`python -m tests.bot.shards DATABASE_URL API_URL GATEWAY_URL TOKEN FIRST COUNT TOTAL PERIOD_S` prints `ready` once all
of them are connected, and ends with its standard input.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.settings import BotSettings
from bot.sharding import GatedClient, IdentifyGate
from bot.storage.database import Database
from bot.storage.identify_slots import IdentifySlotStore


class Client(GatedClient):
    """Says when all of its shards are connected."""

    async def on_ready(self) -> None:
        print("ready", flush=True)


@asynccontextmanager
async def slots(url: str) -> AsyncIterator[IdentifySlotStore]:
    """A process's own connections to the turns."""
    database = Database(BotSettings(_env_file=None, data_dir=Path("unused"), database_url=url))  # type: ignore[call-arg]
    try:
        yield IdentifySlotStore(database)
    finally:
        await database.close()


async def main(url: str, api: str, gateway: str, token: str, first: int, count: int, total: int, period: float) -> None:
    Route.BASE = api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    async with slots(url) as store:
        client = Client(
            gate=IdentifyGate(store.book, period_s=period),
            intents=discord.Intents(guilds=True),
            shard_ids=list(range(first, first + count)),
            shard_count=total,
            guild_ready_timeout=0.1,
        )
        running = asyncio.create_task(client.start(token))
        await asyncio.to_thread(sys.stdin.read)
        await client.close()
        await running


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(main(*arguments[:4], *map(int, arguments[4:7]), float(arguments[7])))  # type: ignore[arg-type]
