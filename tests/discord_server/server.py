"""Discord on loopback: the server, and what people do in it."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web
from discord import ChannelType, Permissions

from tests.discord_server import commands
from tests.discord_server.cdn import File
from tests.discord_server.errors import NOBODYS_FAULT
from tests.discord_server.faults import Fault
from tests.discord_server.gateway import GUILDS
from tests.discord_server.interactions import COMMAND, COMPONENT, TOKEN_LIFETIME_S, Interaction
from tests.discord_server.journal import GENEROUS, Complaint, Exchange
from tests.discord_server.model import MEMBERS_MAY, VOICE, Channel, Guild, Message, Payload, User, snowflake
from tests.discord_server.options import CommandData
from tests.discord_server.rest import rest_application
from tests.discord_server.rest.app import ROUTES
from tests.discord_server.rest.channels import react, unreact
from tests.discord_server.world import World

T = TypeVar("T")

TOKEN = "a-token.for.tests"  # made up
BUTTON, SELECT = 2, 3


class Discord:
    """A Discord with one bot, on a free port of 127.0.0.1.

    Use it as `async with Discord() as discord`. People act through its methods (`slash`, `post_message`,
    `click`); what the bot did is in `journal`, in the messages of channels, and in each `Interaction`.
    """

    def __init__(self, token: str = TOKEN) -> None:
        self.world = World(token)
        self.journal = self.world.journal
        self.gateway = self.world.gateway
        self.commands = self.world.commands
        self.rate_limits = self.world.rate_limits
        self.token_lifetime_s = TOKEN_LIFETIME_S
        """Of the interactions that follow."""
        self._runner: web.AppRunner | None = None
        self.host = ""

    # The server

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_subapp("/api/v10", rest_application(self.world))
        app.add_routes([*self.gateway.routes(), *self.world.cdn.routes()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        address = self._runner.addresses[0]
        self.host = f"{address[0]}:{address[1]}"
        self.gateway.url = f"ws://{self.host}/gateway/"
        self.gateway.resume_url = f"ws://{self.host}/resume/"
        self.world.cdn.base = f"http://{self.host}"

    async def stop(self) -> None:
        for connection in self.gateway.connections:
            connection.cut()
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def api_url(self) -> str:
        return f"http://{self.host}/api/v10"

    @property
    def bot(self) -> User:
        return self.world.bot

    @property
    def token(self) -> str:
        return self.world.token

    # What is there

    def user(self, name: str, *, locale: str = "en-US", bot: bool = False) -> User:
        user = User(name, locale=locale, bot=bot)
        self.world.users[user.id] = user
        return user

    def guild(
        self,
        name: str,
        *,
        locale: str = "en-US",
        owner: User | None = None,
        channels: Iterable[str] = ("general",),
        identity: int | None = None,
    ) -> Guild:
        """Make a server with the bot in it. `identity` decides which shard holds it."""
        owner = owner or self.user(f"owner of {name}")
        guild = Guild(name, owner, locale=locale, id=identity or snowflake())
        guild.join(self.bot, permissions=MEMBERS_MAY)
        for channel_name in channels:
            channel = Channel(channel_name, guild)
            guild.channels.append(channel)
            self.world.channels[channel.id] = channel
        self.invite_bot(guild)
        return guild

    def invite_bot(self, guild: Guild) -> None:
        """Let the bot in, again if it was thrown out."""
        self.world.guilds[guild.id] = guild
        self.gateway.dispatch_guild(guild)

    def remove_bot(self, guild: Guild) -> None:
        """Throw the bot out of the server."""
        del self.world.guilds[guild.id]
        self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)}, guild=guild, intent=GUILDS)

    def deny_bot(self, channel: Channel, *permissions: str) -> None:
        """Take permissions from the bot in the channel, named as discord.py names them."""
        self.deny(channel, self.bot, *permissions)

    def deny(self, channel: Channel, user: User, *permissions: str) -> None:
        """Take permissions from a member in the channel, named as discord.py names them."""
        channel.overwrites[user.id].deny |= Permissions(**dict.fromkeys(permissions, True)).value
        self.gateway.dispatch_channel("CHANNEL_UPDATE", channel)

    def allow_bot(self, channel: Channel) -> None:
        """Take back what `deny_bot` did."""
        self.allow(channel, self.bot)

    def allow(self, channel: Channel, user: User) -> None:
        """Take back what `deny` did."""
        channel.overwrites.pop(user.id, None)
        self.gateway.dispatch_channel("CHANNEL_UPDATE", channel)

    def nsfw(self, channel: Channel) -> None:
        """Make a channel one for adults."""
        channel.nsfw = True
        self.gateway.dispatch_channel("CHANNEL_UPDATE", channel)

    def grant(self, **intents: bool) -> None:
        """Grant or withhold privileged intents, for sessions that start from now on."""
        assert intents.keys() <= self.world.granted.keys(), f"privileged are {list(self.world.granted)}"
        self.world.granted |= intents

    def thread(self, parent: Channel, name: str) -> Channel:
        """Open a thread in a channel."""
        assert parent.guild
        thread = Channel(name, parent.guild, parent=parent)
        parent.guild.threads.append(thread)
        self.world.channels[thread.id] = thread
        self.gateway.dispatch_channel("THREAD_CREATE", thread)
        return thread

    def channel(
        self,
        guild: Guild,
        name: str,
        kind: ChannelType = ChannelType.text,
        *,
        category: Channel | None = None,
        nsfw: bool = False,
    ) -> Channel:
        """Make a channel of any kind in a server; `nsfw` makes it one for adults."""
        channel = Channel(name, guild, kind=kind, category=category, nsfw=nsfw)
        guild.channels.append(channel)
        self.world.channels[channel.id] = channel
        self.gateway.dispatch_channel("CHANNEL_CREATE", channel)
        return channel

    def delete_channel(self, channel: Channel) -> None:
        """Delete a channel or a thread of a server."""
        assert channel.guild
        payload = channel.payload()
        (channel.guild.threads if channel.parent else channel.guild.channels).remove(channel)
        del self.world.channels[channel.id]
        event = "THREAD_DELETE" if channel.parent else "CHANNEL_DELETE"
        self.gateway.dispatch(event, payload, guild=channel.guild, intent=GUILDS)

    def archive(self, thread: Channel) -> None:
        """Let a thread rest: a bot that connects from now on is not told of it, and can look it up."""
        assert thread.guild
        thread.guild.threads.remove(thread)

    def direct_messages(self, user: User) -> Channel:
        return self.world.direct_messages(user)

    # What people do

    def slash(
        self,
        command: str,
        *,
        user: User,
        channel: Channel,
        offered: bool = True,
        **options: Any,
    ) -> Interaction:
        """Use a slash command, subcommands after blanks: `slash("genregenie channel on", …, channel=…)`.

        Options are strings, numbers, booleans, `File`, `Channel` and `User`. An option that is called like a
        parameter of this method gets an underscore at its end. Without `offered`, as if a server's settings had given
        the command to the member.

        Raises:
            AssertionError: Discord would not offer this to the member.
        """
        name, *subcommands = command.split()
        guild = channel.guild
        registered = self.commands.find(name, commands.CHAT_INPUT, guild.id if guild else None)
        if offered:
            self._check_offered(registered, user, channel)
        values = {key.rstrip("_"): value for key, value in options.items()}
        data = CommandData(self.world, channel).build(registered, subcommands, values)
        return self._interact(COMMAND, user, channel, data)

    def message_command(self, command: str, message: Message, *, user: User) -> Interaction:
        """Use a command from a message's menu; of a reply, the bot is not sent what it replies to."""
        guild = message.channel.guild
        registered = self.commands.find(command, commands.MESSAGE, guild.id if guild else None)
        self._check_offered(registered, user, message.channel)
        target = message.payload()
        target.pop("referenced_message", None)
        data = {
            "id": registered["id"],
            "name": registered["name"],
            "type": registered["type"],
            "target_id": str(message.id),
            "resolved": {"messages": {str(message.id): target}},
        }
        return self._interact(COMMAND, user, message.channel, data)

    def click(self, message: Message, label: str, *, user: User) -> Interaction:
        """Press a button.

        Raises:
            AssertionError: the member sees no such button, or it is greyed out.
        """
        self._check_visible(message, user)
        buttons = [c for c in message.controls if c["type"] == BUTTON and c.get("custom_id")]
        button = next((b for b in buttons if label in (b.get("label"), b["custom_id"])), None)
        assert button, f"there is no button {label!r}, only {[b.get('label') for b in buttons]}"
        assert not button.get("disabled"), f"{label!r} is greyed out"
        data = {"component_type": BUTTON, "custom_id": button["custom_id"], "id": button["id"]}
        return self._interact(COMPONENT, user, message.channel, data, source=message)

    def select(self, message: Message, *choices: str, user: User) -> Interaction:
        """Choose from the message's only menu, by value or label.

        Raises:
            AssertionError: the member sees no such menu or choice.
        """
        self._check_visible(message, user)
        [menu] = [c for c in message.controls if c["type"] == SELECT]
        assert not menu.get("disabled"), "the menu is greyed out"
        values = {name: o["value"] for o in menu["options"] for name in (o["label"], o["value"])}
        assert set(choices) <= values.keys(), f"the menu has {list(values)}, not {choices}"
        assert menu.get("min_values", 1) <= len(choices) <= menu.get("max_values", 1), "too few or too many"
        picked = [values[choice] for choice in choices]
        data = {"component_type": SELECT, "custom_id": menu["custom_id"], "id": menu["id"], "values": picked}
        return self._interact(COMPONENT, user, message.channel, data, source=message)

    def forge(self, message: Message, value: str, *, user: User) -> Interaction:
        """Choose what the message's only menu does not offer, as a modified client can."""
        [menu] = [c for c in message.controls if c["type"] == SELECT]
        data = {"component_type": SELECT, "custom_id": menu["custom_id"], "id": menu["id"], "values": [value]}
        return self._interact(COMPONENT, user, message.channel, data, source=message)

    def post_message(
        self,
        channel: Channel,
        user: User,
        content: str = "",
        *,
        files: Iterable[File] = (),
        voice: bool = False,
        reply_to: Message | None = None,
        forwarded: Message | None = None,
    ) -> Message:
        """Write in a channel; `voice` makes it a voice message, `forwarded` passes another message on."""
        message = Message(
            channel,
            user,
            content=content,
            files=[self.world.upload(channel, file) for file in files],
            flags=VOICE if voice else 0,
            reply_to=reply_to,
            forwarded=forwarded,
        )
        self.world.add_message(message)
        return message

    def delete_message(self, message: Message) -> None:
        self.world.delete_message(message)

    def delete_together(self, *messages: Message) -> None:
        self.world.delete_together(*messages)

    def react(self, message: Message, emoji: str, *, user: User) -> None:
        react(self.world, message, emoji, user)

    def unreact(self, message: Message, emoji: str, *, user: User) -> None:
        unreact(self.world, message, emoji, user)

    # What goes wrong

    def fail(self, endpoint: str, status: int = 500, *, times: int = 1, **properties: Any) -> None:
        """Answer the next requests of an endpoint with an error; see `Fault` for the properties."""
        self._order(endpoint, Fault(status=status, **properties), times)

    def delay(self, endpoint: str, seconds: float, *, times: int = 1) -> None:
        """Carry out the next requests of an endpoint only after a while."""
        self._order(endpoint, Fault(delay_s=seconds), times)

    def cut(self, endpoint: str, *, times: int = 1) -> None:
        """End the connection of the next requests of an endpoint without an answer."""
        self._order(endpoint, Fault(cut=True), times)

    def _order(self, endpoint: str, fault: Fault, times: int) -> None:
        assert endpoint in ROUTES, f"endpoints are {list(ROUTES)}"
        self.world.faults.order(endpoint, fault, times)

    # What has happened

    @property
    def complaints(self) -> list[Complaint]:
        """What the bot did that no bot may do; empty at the end of a good test."""
        return self.journal.complaints

    def forgive(self, *codes: int) -> list[Complaint]:
        """Take the complaints with these codes off the list and return them."""
        forgiven = [c for c in self.complaints if c.code in codes]
        self.journal.complaints = [c for c in self.complaints if c.code not in codes]
        return forgiven

    def exchanges(self, endpoint: str) -> list[Exchange]:
        return [exchange for exchange in self.journal.exchanges if exchange.endpoint == endpoint]

    def refusals(self) -> list[Exchange]:
        """Return the requests that were refused for reasons that a correct bot may meet too."""
        return [exchange for exchange in self.journal.exchanges if exchange.code in NOBODYS_FAULT]

    def downloads(self, file: File) -> int:
        """Return how often a file was asked for."""
        return sum(upload.downloads for upload in self.world.cdn.uploads.values() if upload.file is file)

    def messages_of_bot(self, channel: Channel) -> list[Message]:
        """Return what stands in the channel from the bot, for everybody to see."""
        return [m for m in channel.messages.values() if m.author is self.bot and not m.deleted and not m.ephemeral]

    async def until(self, condition: Callable[[], T], within: float = GENEROUS, what: str = "") -> T:
        """Wait until the condition is true and return its value; see `Journal.until`."""
        return await self.journal.until(condition, within, what)

    async def bot_ready(self, within: float = GENEROUS) -> None:
        """Wait until the bot is connected and has its commands registered."""
        await self.until(lambda: self.gateway.live and self.commands.puts, within, "the bot connects")

    async def answer_to(
        self,
        message: Message,
        condition: Callable[[Message], object] = lambda _: True,
        within: float = GENEROUS,
    ) -> Message:
        """Wait for a message of the bot's that replies to this one and meets the condition."""

        def found() -> Message | None:
            own = self.messages_of_bot(message.channel)
            return next((m for m in own if m.reply_to is message and condition(m)), None)

        answer = await self.until(found, within, "an answer to a message")
        assert answer
        return answer

    # How an interaction is made

    def _check_offered(self, command: Payload, user: User, channel: Channel) -> None:
        context = 0 if channel.guild else 1
        contexts = command.get("contexts")
        assert contexts is None or context in contexts, f"{command['name']} is not offered here"
        if channel.guild is None:
            return
        needed = int(command.get("default_member_permissions") or 0)
        has = channel.guild.permissions(user, channel)
        assert has & needed == needed, f"{user.name} has no permission for {command['name']}"

    @staticmethod
    def _check_visible(message: Message, user: User) -> None:
        assert not message.deleted, "the message is gone"
        assert message.only_for in (None, user), f"{user.name} does not see this message"

    def _interact(
        self, kind: int, user: User, channel: Channel, data: Payload, source: Message | None = None
    ) -> Interaction:
        interaction = Interaction(self.journal, kind, user, channel, source, token_lifetime_s=self.token_lifetime_s)
        self.world.interactions[interaction.token] = interaction
        payload = self._interaction_payload(interaction, data)
        self.gateway.dispatch("INTERACTION_CREATE", payload, guild=channel.guild)
        return interaction

    def _authorizing(self, guild: Guild | None, user: User) -> Payload:
        """Say by whose installation the command is there: the server's, or where the bot is not, the member's own."""
        if guild is not None and guild.id not in self.world.guilds:
            return {"1": str(user.id)}
        return {"0": str(guild.id) if guild else "0"}

    def _interaction_payload(self, interaction: Interaction, data: Payload) -> Payload:
        channel, guild, user = interaction.channel, interaction.channel.guild, interaction.user
        payload: Payload = {
            "id": str(interaction.id),
            "application_id": str(self.world.application_id),
            "type": interaction.type,
            "data": data,
            "token": interaction.token,
            "version": 1,
            "channel": channel.payload(),
            "channel_id": str(channel.id),
            "app_permissions": str(self.world.bot_permissions(channel)),
            "locale": user.locale,
            "entitlements": [],
            "authorizing_integration_owners": self._authorizing(guild, user),
            "context": 0 if guild else 1,
            "attachment_size_limit": self.world.attachment_size_limit,
        }
        if interaction.source:
            payload["message"] = interaction.source.payload()
        if guild is None:
            return payload | {"user": user.payload()}
        permissions = str(guild.permissions(user, channel))
        payload["channel"]["permissions"] = permissions
        member = guild.members[user.id].payload() | {"permissions": permissions}
        partial = {"id": str(guild.id), "locale": guild.locale, "features": []}
        return payload | {
            "guild_id": str(guild.id),
            "guild": partial,
            "guild_locale": guild.locale,
            "member": member,
        }
