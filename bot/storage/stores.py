"""The stores together: what is opened at start and closed at the end."""

import time
from collections.abc import Callable

from bot.settings import BotSettings
from bot.storage.corrections import CorrectionStore
from bot.storage.database import Database
from bot.storage.games import GameStore
from bot.storage.guilds import GuildStore
from bot.storage.host import HostStore
from bot.storage.identify_slots import IdentifySlotStore
from bot.storage.meta import MetaStore
from bot.storage.neighbours import NeighbourStore
from bot.storage.open_requests import OpenRequestStore
from bot.storage.requests import RequestStore
from bot.storage.results import ResultStore
from bot.storage.retention import Retention
from bot.storage.tastes import TasteStore


class Stores:
    """All stores of one database.

    Args:
        settings: where the database is, the quota and the retention times.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the file cannot be used, or the URL is not one of a database.
    """

    def __init__(self, settings: BotSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.database = Database(settings, clock=clock)
        self.guilds = GuildStore(self.database, shard_count=settings.shard_count, shard_ids=settings.shard_ids)
        self.results = ResultStore(self.database, quota_bytes=settings.store_bytes)
        self.requests = RequestStore(self.database)
        self.corrections = CorrectionStore(self.database)
        self.meta = MetaStore(self.database)
        self.host = HostStore(self.database, self.meta)
        self.open_requests = OpenRequestStore(self.database, owner=settings.shards or "")
        self.neighbours = NeighbourStore(self.database)
        self.games = GameStore(self.database, owner=settings.shards or "")
        self.tastes = TasteStore(self.database)
        self.identify_slots = IdentifySlotStore(self.database)
        self.retention = Retention(settings, self.database, self.guilds, self.results, self.meta)

    async def open(self) -> None:
        """Bring the schema up to date; read the servers' settings and what an earlier process left open.

        Raises:
            ConfigurationError: the database cannot be used.
        """
        await self.database.open()
        await self.host.load()
        await self.guilds.load()
        await self.open_requests.load()
        await self.games.load()

    async def close(self) -> None:
        """Finish the write that is going on, unless it hangs, and close all connections."""
        await self.database.close()
