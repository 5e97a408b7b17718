"""The bot: discord.py's client, with the services that its cogs and buttons use."""

import asyncio
import logging
from typing import Any, Final

import discord
import yarl
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.cogs.admin import Admin
from bot.cogs.autoscan import Autoscan
from bot.cogs.compare import Compare
from bot.cogs.guess import Guess
from bot.cogs.guilds import Guilds
from bot.cogs.help import Help
from bot.cogs.identify import Identify
from bot.cogs.neighbours import Neighbours
from bot.cogs.owner import OWNER_ITEMS, Owner
from bot.cogs.privacy import Privacy
from bot.cogs.recovery import Recovery
from bot.cogs.top import Top
from bot.command_sync import sync_commands
from bot.command_tree import CommandTree
from bot.services import BotServices
from bot.sharding import GatedClient, IdentifyGate
from bot.ui.consent import ConsentButton
from bot.ui.delivery import NO_MENTIONS
from bot.ui.guess import GuessButton
from bot.ui.neighbours import LikeButton
from bot.ui.owner import activity
from bot.ui.privacy import PRIVACY_ITEMS
from bot.ui.taste import TasteButton
from bot.ui.translator import PhraseTranslator
from bot.ui.views import DYNAMIC_ITEMS

log = logging.getLogger(__name__)

SETTLE_S: Final = 10.0


def make_intents(*, message_content: bool) -> discord.Intents:
    """Give the intents that the bot uses; message content is the one that Discord has to be asked for."""
    intents = discord.Intents.none()
    intents.guilds = True
    intents.guild_messages = True
    intents.dm_messages = True
    intents.message_content = message_content
    return intents


class GenreGenie(GatedClient, commands.AutoShardedBot):
    """The client.

    Args:
        services: what cogs and buttons use; they outlive the client. `bot.services.services_of` reads them.
        message_content: whether the intent may be asked for.
        gate: when its shards may send IDENTIFY, where other processes have shards too.
    """

    def __init__(
        self, services: BotServices, *, message_content: bool = True, gate: IdentifyGate | None = None
    ) -> None:
        settings = services.settings
        Route.BASE = settings.api_url
        self._gateway = yarl.URL(settings.gateway_url) if settings.gateway_url else None
        if self._gateway is not None:
            DiscordWebSocket.DEFAULT_GATEWAY = self._gateway
        # discord.py tells "all shards" by their absence.
        shards: dict[str, Any] = {"shard_ids": settings.shard_ids} if settings.shard_ids else {}
        super().__init__(
            gate=gate,
            # Read in direct messages only, and there they are the owners': `owner status`.
            command_prefix=commands.when_mentioned_or(""),
            help_command=None,
            tree_cls=CommandTree,
            intents=make_intents(message_content=message_content),
            shard_count=settings.shard_count,
            **shards,
            allowed_mentions=NO_MENTIONS,
            activity=activity(services.host.switches),
            # Nothing here looks at members or old messages: memory for nothing.
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
        )
        self.services = services
        self._message_content = message_content
        self._sync: asyncio.Task[None] | None = None

    async def setup_hook(self) -> None:
        """Add the cogs and the buttons; commands are synced beside the connecting."""
        services = self.services
        await self.tree.set_translator(PhraseTranslator())
        await self.add_cog(Identify(self, services))
        autoscan = Autoscan(self, services)
        await self.add_cog(autoscan)
        await self.add_cog(Recovery(self, services, autoscan))
        await self.add_cog(Admin(services, message_content=self._message_content))
        await self.add_cog(Privacy(services))
        await self.add_cog(Neighbours(services))
        await self.add_cog(Guess(self, services))
        await self.add_cog(Compare(self, services))
        await self.add_cog(Top(services))
        await self.add_cog(Help(services))
        await self.add_cog(Guilds(self, services))
        owner = Owner(self, services)
        await self.add_cog(owner)
        owner.offer_in(services.settings.owner_guild)
        self.add_dynamic_items(*DYNAMIC_ITEMS, *PRIVACY_ITEMS, *OWNER_ITEMS)
        self.add_dynamic_items(LikeButton, GuessButton, TasteButton, ConsentButton)
        if services.settings.shard_ids is None or 0 in services.settings.shard_ids:
            settings = services.settings
            self._sync = asyncio.create_task(
                sync_commands(self.tree, services.meta, settings.test_guild, settings.owner_guild)
            )

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect a shard, by the settings' own gateway where there is one."""
        await super().launch_shard(self._gateway or gateway, shard_id, initial=initial)

    async def close(self) -> None:
        """Disconnect."""
        if self._sync is not None:
            self._sync.cancel()
        # discord.py closes a client that meets an event it cannot read; answers under way still need its session.
        await self.services.jobs.settle(SETTLE_S)
        await super().close()

    @property
    def connected(self) -> bool:
        """Whether all shards are."""
        return self.is_ready() and not self.is_closed() and all(not shard.is_closed() for shard in self.shards.values())

    async def on_message(self, message: discord.Message, /) -> None:
        """Leave messages to the cogs: the only text commands are the owners'."""

    async def on_command_error(self, context: Any, exception: commands.CommandError, /) -> None:  # noqa: ANN401
        """Pass over a direct message that is no command; the owners' cog answers what fails in one."""

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Put what failed in an event into the log."""
        log.exception("An event failed: %s", event_method)
