"""Everything that this Discord knows, in one place for its gateway, its REST API and the tests."""

from typing import Any

from discord import Intents, Permissions

from tests.discord_server.cdn import Cdn, File, Upload
from tests.discord_server.commands import Commands
from tests.discord_server.errors import UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, RefusedError
from tests.discord_server.faults import Faults
from tests.discord_server.gateway import Gateway
from tests.discord_server.interactions import Interaction
from tests.discord_server.journal import Journal
from tests.discord_server.model import EVERYTHING, Channel, Guild, Message, User, snowflake
from tests.discord_server.ratelimits import RateLimits

PRIVILEGED = {"message_content": 1 << 18, "members": 1 << 14, "presences": 1 << 12}
"""The privileged intents, and the application's flag for each."""

MIB = 1024 * 1024


class World:
    """The state. Methods change it and tell the gateway."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.application_id = snowflake()
        self.bot = User("genregenie", bot=True, id=self.application_id)
        self.owner = User("host")
        self.team: dict[str, Any] | None = None
        """As the API gives it, where the application is a team's."""
        self.granted = dict.fromkeys(PRIVILEGED, True)
        self.attachment_size_limit = 10 * MIB
        self.integration_types: dict[str, Any] = {"0": {}}
        """How the application can be installed: in servers ("0"), for accounts ("1")."""
        self.users: dict[int, User] = {self.bot.id: self.bot, self.owner.id: self.owner}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.interactions: dict[str, Interaction] = {}
        self.journal = Journal()
        self.commands = Commands(self.application_id)
        self.cdn = Cdn(self.journal)
        self.faults = Faults()
        self.rate_limits = RateLimits()
        self.gateway = Gateway(self)

    # The application

    def privileged_intents_withheld(self) -> int:
        withheld = {name: True for name, granted in self.granted.items() if not granted}
        return Intents(**withheld).value if withheld else 0

    def application_flags(self) -> int:
        return sum(flag for name, flag in PRIVILEGED.items() if self.granted[name])

    def application(self) -> dict[str, Any]:
        return {
            "id": str(self.application_id),
            "name": "GenreGenie",
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "owner": self.owner.payload(),
            "team": self.team,
            "verify_key": "0" * 64,
            "flags": self.application_flags(),
            "summary": "",
            "bot": self.bot.payload(),
            "integration_types_config": self.integration_types,
            "approximate_guild_count": len(self.guilds),
        }

    # Permissions

    def bot_permissions(self, channel: Channel) -> int:
        if channel.guild is None:
            return EVERYTHING
        if channel.guild.id not in self.guilds:
            return 0
        return channel.guild.permissions(self.bot, channel)

    def bot_may(self, channel: Channel, *names: str) -> bool:
        needed = Permissions(**dict.fromkeys(names, True)).value
        return self.bot_permissions(channel) & needed == needed

    # Channels and messages

    def channel(self, identity: int) -> Channel:
        if identity not in self.channels:
            raise RefusedError(UNKNOWN_CHANNEL)
        return self.channels[identity]

    def message(self, channel: Channel, identity: int) -> Message:
        """Return a message that everybody in the channel sees; an ephemeral one is not in the channel."""
        message = channel.messages.get(identity)
        if message is None or message.deleted or message.ephemeral:
            raise RefusedError(UNKNOWN_MESSAGE)
        return message

    def direct_messages(self, user: User) -> Channel:
        """Return the channel between the bot and the user, made at first use."""
        for channel in self.channels.values():
            if channel.recipient is user:
                return channel
        channel = Channel(f"direct messages with {user.name}", recipient=user)
        self.channels[channel.id] = channel
        return channel

    def upload(self, channel: Channel, file: File, *, ephemeral: bool = False) -> Upload:
        return self.cdn.store(snowflake(), channel.id, file, ephemeral=ephemeral)

    def add_message(self, message: Message) -> None:
        """Put a message in its channel and tell the bot; an ephemeral one comes over no gateway."""
        message.channel.messages[message.id] = message
        if not message.ephemeral:
            self.gateway.dispatch_message("MESSAGE_CREATE", message)
        self.journal.notify()

    def changed_message(self, message: Message) -> None:
        message.remember()
        if not message.ephemeral:
            self.gateway.dispatch_message("MESSAGE_UPDATE", message)
        self.journal.notify()

    def delete_together(self, *messages: Message) -> None:
        """Delete messages of one channel as a ban or a moderator's bot does."""
        channel = messages[0].channel
        for message in messages:
            message.deleted = True
        data: dict[str, Any] = {"ids": [str(message.id) for message in messages], "channel_id": str(channel.id)}
        if channel.guild:
            data["guild_id"] = str(channel.guild.id)
        self.gateway.dispatch("MESSAGE_DELETE_BULK", data, guild=channel.guild, intent=1 << 9)
        self.journal.notify()

    def delete_message(self, message: Message) -> None:
        message.deleted = True
        channel = message.channel
        if not message.ephemeral:
            data = {"id": str(message.id), "channel_id": str(channel.id)}
            if channel.guild:
                data["guild_id"] = str(channel.guild.id)
            self.gateway.dispatch("MESSAGE_DELETE", data, guild=channel.guild, intent=1 << 9 | 1 << 12)
        self.journal.notify()
