"""Shards of one bot in several processes: each sends IDENTIFY when its bucket of Discord's limit is free.

Discord takes one IDENTIFY in five seconds for each of `max_concurrency` buckets, of all processes together
(https://docs.discord.com/developers/events/gateway#sharding-max-concurrency). RESUME takes no turn.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import discord
import yarl

from bot.storage.database import StoreError

log = logging.getLogger(__name__)

PERIOD_S: Final = 5.0
"""Discord's, between two IDENTIFYs of one bucket."""

MARGIN_S: Final = 0.5
"""What two turns are further apart than that: as late as one IDENTIFY may be before the next one comes too soon."""

LATEST: Final = 0.8
"""Share of the margin after which a turn is over; the rest is the network's."""

CONNECT_S: Final = 2.0
"""How long before its turn a shard connects: Discord does not wait long for an IDENTIFY."""

AGAIN_S: Final = 1.0

Book = Callable[[int, float], Awaitable[float]]
"""Takes the next turn of a bucket, so many seconds before the one after it; gives the seconds until then."""


@dataclass(frozen=True, slots=True)
class Turn:
    """When a shard may send IDENTIFY, as `time.monotonic` counts."""

    begins: float
    ends: float


class IdentifyGate:
    """Lets each shard of this process send IDENTIFY in a turn of its own.

    Args:
        book: takes turns for all processes, such as `IdentifySlotStore.book`.
        period_s: seconds between two IDENTIFYs of a bucket.
        margin_s: how much further apart the turns are.

    Attributes:
        buckets: Discord's `max_concurrency`.
    """

    def __init__(self, book: Book, *, period_s: float = PERIOD_S, margin_s: float = MARGIN_S) -> None:
        self.buckets = 1
        self._book = book
        self._spacing_s = period_s + margin_s
        self._late_s = margin_s * LATEST
        # Kept for a shard whose connecting discord.py gives up while it waits: it goes on waiting for the same turn.
        self._turns: dict[int, Turn] = {}

    async def approach(self, shard_id: int) -> None:
        """Wait until a shard had better connect, to be there at its turn."""
        turn = await self._turn(shard_id)
        await asyncio.sleep(max(0.0, turn.begins - CONNECT_S - time.monotonic()))

    async def enter(self, shard_id: int) -> None:
        """Wait until a shard may send IDENTIFY, which it then must do at once."""
        while True:
            turn = await self._turn(shard_id)
            await asyncio.sleep(max(0.0, turn.begins - time.monotonic()))
            if time.monotonic() <= turn.ends:
                del self._turns[shard_id]
                return

    async def _turn(self, shard_id: int) -> Turn:
        """Give the shard's turn: the one that it has, or another where that is over."""
        turn = self._turns.get(shard_id)
        while turn is None or turn.ends < time.monotonic():
            asked_at = time.monotonic()
            try:
                wait_s = await self._book(shard_id % self.buckets, self._spacing_s)
            except StoreError:  # it is in the log; without a turn there might be too many at once
                await asyncio.sleep(AGAIN_S)
                continue
            # The database has counted from some moment between asking and answering: neither too early nor too late.
            turn = self._turns[shard_id] = Turn(time.monotonic() + wait_s, asked_at + wait_s + self._late_s)
        return turn


class GatedClient(discord.AutoShardedClient):
    """A client whose shards send IDENTIFY in turns with those of other processes.

    Args:
        gate: gives the turns; None where there is no other process: then they are five seconds apart, as discord.py
            has it.
        options: discord.py's.
    """

    def __init__(self, *, gate: IdentifyGate | None = None, **options: Any) -> None:  # noqa: ANN401 - discord.py's
        super().__init__(**options)
        self._gate = gate

    async def launch_shards(self) -> None:
        """Ask Discord how many shards may start at the same time, and start this process's."""
        if self._gate is not None:
            limits = await self.fetch_session_start_limits()
            self._gate.buckets = max(1, limits.max_concurrency)
            if limits.remaining < len(self.shard_ids or ()):
                log.warning("Discord allows %d more session starts until its limit is reset", limits.remaining)
        await super().launch_shards()

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect a shard when its turn is near: nothing is open while it waits."""
        if self._gate is not None:
            await self._gate.approach(shard_id)
        await super().launch_shard(gateway, shard_id, initial=initial)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait for the shard's turn."""
        if self._gate is None or shard_id is None:
            await super().before_identify_hook(shard_id, initial=initial)
        else:
            await self._gate.enter(shard_id)
