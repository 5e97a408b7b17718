"""Discord's gateway, version 10: sessions that outlive their connections."""

import asyncio
import json
import math
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from discord import Intents

from tests.discord_server.model import Channel, Guild, Message

if TYPE_CHECKING:
    from tests.discord_server.world import World

Payload = dict[str, Any]

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 7, 8, 9, 10, 11

UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, AUTHENTICATION_FAILED, ALREADY_AUTHENTICATED = range(4001, 4006)
INVALID_SEQUENCE, RATE_LIMITED, SESSION_TIMED_OUT, INVALID_SHARD = range(4007, 4011)
INVALID_VERSION, INVALID_INTENTS, DISALLOWED_INTENTS = range(4012, 4015)

GUILDS = Intents(guilds=True).value
MEMBERS = Intents(members=True).value
PRESENCES = Intents(presences=True).value
GUILD_MESSAGES = Intents(guild_messages=True).value
DIRECT_MESSAGES = Intents(dm_messages=True).value
GUILD_REACTIONS = Intents(guild_reactions=True).value
DIRECT_REACTIONS = Intents(dm_reactions=True).value
MESSAGE_CONTENT = Intents(message_content=True).value
EVERY_INTENT = Intents.all().value

FINAL_CLOSE_CODES = {1000, 1001}
"""With which a client ends its session too."""
COMMANDS_PER_MINUTE = 120
MISSED_HEARTBEATS = 2.0
"""Intervals without a heartbeat after which the connection is closed."""


@dataclass(eq=False)
class Session:
    """One shard's session: what it was sent, so that RESUME can send it again."""

    shard: tuple[int, int]
    intents: int
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    events: list[Payload] = field(default_factory=list)
    connection: "Connection | None" = None

    def holds(self, guild: Guild | None) -> bool:
        """Whether events of this server come over this session; direct messages are shard 0's."""
        number, count = self.shard
        return (guild.id >> 22) % count == number if guild else number == 0

    def push(self, event: str, data: Payload) -> None:
        message = {"op": DISPATCH, "t": event, "s": len(self.events) + 1, "d": data}
        self.events.append(message)
        if self.connection:
            self.connection.send(message)


class Connection:
    """One WebSocket. What is sent is queued, so that nobody waits for a slow client."""

    def __init__(self, request: web.Request) -> None:
        self.path = request.path
        self.query = dict(request.query)
        self.socket = web.WebSocketResponse(max_msg_size=16 * 1024, compress=False)
        self.session: Session | None = None
        self.resumed = False
        self.opened_at = self.last_heartbeat = time.monotonic()
        self.heartbeats = 0
        self.close_code: int | None = None
        self.muted = False
        """It takes everything and says nothing more, as a connection that has died unnoticed."""
        self._transport = request.transport
        self._compressor = zlib.compressobj() if self.query.get("compress") == "zlib-stream" else None
        self._outbound: asyncio.Queue[Payload] = asyncio.Queue()
        self._commands: list[float] = []

    def send(self, message: Payload) -> None:
        if not self.muted:
            self._outbound.put_nowait(message)

    async def write(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            text = json.dumps(await self._outbound.get())
            try:
                if self._compressor:
                    data = self._compressor.compress(text.encode()) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
                    await self.socket.send_bytes(data)
                else:
                    await self.socket.send_str(text)
            except ConnectionError:
                return  # the reader ends the connection

    def too_many_commands(self, now: float) -> bool:
        self._commands = [at for at in self._commands if at > now - 60.0] + [now]
        return len(self._commands) > COMMANDS_PER_MINUTE

    async def close(self, code: int) -> None:
        self.close_code = code
        await self.socket.close(code=code)

    def cut(self) -> None:
        """End it as a broken network does: without a closing handshake."""
        if self._transport:
            self._transport.abort()


class _ClosedError(Exception):
    """The client has done what ends a connection."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Gateway:
    """All connections and sessions of the application."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.url = ""
        self.resume_url = ""
        self.heartbeat_interval_s = 41.25
        self.shards = 1
        """What is recommended to the bot."""
        self.max_concurrency = 1
        self.identify_period_s = 0.0
        """Seconds between two IDENTIFYs in one of `max_concurrency` buckets, Discord's 5; 0 takes any number."""
        self.connections: list[Connection] = []
        self.sessions: dict[str, Session] = {}
        self.identified: list[Payload] = []
        """Each IDENTIFY, without its token."""
        self.identified_at: dict[int, float] = {}
        """Bucket → when it has had its last IDENTIFY."""
        self.presences: list[Payload] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/gateway/", self._serve), web.get("/resume/", self._serve)]

    @property
    def live(self) -> list[Connection]:
        """The connections over which events go now."""
        return [c for c in self.connections if c.session and c.session.connection is c]

    @property
    def resumes(self) -> int:
        return sum(connection.resumed for connection in self.connections)

    # What the server sends

    def dispatch(self, event: str, data: Payload, *, guild: Guild | None, intent: int = 0) -> None:
        """Send an event to the sessions that hold this server and asked for one of these intents (0: all)."""
        self.dispatch_each(event, lambda _: data, guild=guild, intent=intent)

    def dispatch_each(
        self, event: str, data: Callable[[Session], Payload], *, guild: Guild | None, intent: int = 0
    ) -> None:
        """As `dispatch`, with a payload that depends on the session."""
        for session in self.sessions.values():
            if session.holds(guild) and (not intent or session.intents & intent):
                session.push(event, data(session))

    def dispatch_message(self, event: str, message: Message) -> None:
        """Send MESSAGE_CREATE or MESSAGE_UPDATE, with as much as each session may read."""
        bot = self.world.bot
        guild = message.channel.guild
        always = guild is None or message.author is bot or f"<@{bot.id}>" in message.content
        if guild and not self.world.bot_may(message.channel, "view_channel"):
            return

        def payload(session: Session) -> Payload:
            readable = always or bool(session.intents & MESSAGE_CONTENT)
            data = message.payload(with_content=readable)
            if guild:
                data["guild_id"] = str(guild.id)
                member = guild.members.get(message.author.id)
                if member:
                    data["member"] = member.payload(with_user=False)
            return data

        self.dispatch_each(event, payload, guild=guild, intent=GUILD_MESSAGES if guild else DIRECT_MESSAGES)

    def dispatch_guild(self, guild: Guild) -> None:
        """Tell that the bot has been invited to a server."""
        for session in self.sessions.values():
            if session.holds(guild):
                session.push("GUILD_CREATE", self._guild(session, guild))

    def dispatch_channel(self, event: str, channel: Channel) -> None:
        self.dispatch(event, channel.payload(), guild=channel.guild, intent=GUILDS)

    def _guild(self, session: Session, guild: Guild) -> Payload:
        return guild.payload(bot=self.world.bot, with_members=bool(session.intents & MEMBERS))

    # What a test does to it

    async def drop(self, code: int | None = None) -> None:
        """End all connections: with a close code, or cut off. The sessions live on and can be resumed."""
        for connection in self.live:
            if code is None:
                connection.cut()
            else:
                await connection.close(code)
        await self.world.journal.until(lambda: not self.live, what="the gateway's connections end")

    def mute(self) -> None:
        """Let the open connections die unnoticed: they stay open, and nothing comes over them any more."""
        for connection in self.live:
            connection.muted = True

    def ask_to_reconnect(self) -> None:
        for connection in self.live:
            connection.send({"op": RECONNECT, "d": None})

    def invalidate_sessions(self) -> None:
        """Forget all sessions, and tell the connected ones to identify anew."""
        live = self.live
        self.sessions.clear()
        for connection in live:
            connection.send({"op": INVALID_SESSION, "d": False})

    # One connection

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        connection = Connection(request)
        self.connections.append(connection)
        await connection.socket.prepare(request)
        writer = asyncio.create_task(connection.write())
        interval_s = self.heartbeat_interval_s
        watcher = asyncio.create_task(self._watch(connection, interval_s))
        try:
            connection.send({"op": HELLO, "d": {"heartbeat_interval": int(interval_s * 1000)}})
            await self._read(connection)
        except _ClosedError as closing:
            await asyncio.sleep(0)  # HELLO leaves first
            self.world.journal.complain(closing.code, f"gateway: {closing}")
            await connection.close(closing.code)
        finally:
            writer.cancel()
            watcher.cancel()
            self._detach(connection)
            self.world.journal.notify()
        return connection.socket

    async def _watch(self, connection: Connection, interval_s: float) -> None:
        while not connection.socket.closed:
            await asyncio.sleep(interval_s / 2)
            silent_s = time.monotonic() - connection.last_heartbeat
            if silent_s > interval_s * MISSED_HEARTBEATS:
                self.world.journal.complain(SESSION_TIMED_OUT, f"gateway: no heartbeat for {silent_s:.1f} s")
                await connection.close(SESSION_TIMED_OUT)

    async def _read(self, connection: Connection) -> None:
        if connection.query.get("v") != "10" or connection.query.get("encoding") != "json":
            raise _ClosedError(INVALID_VERSION, f"only version 10 in JSON: {connection.query}")
        async for frame in connection.socket:
            if frame.type is not WSMsgType.TEXT:
                raise _ClosedError(DECODE_ERROR, f"a frame of type {frame.type}")
            try:
                message = json.loads(frame.data)
                code, data = message["op"], message["d"]
            except (ValueError, KeyError, TypeError):
                raise _ClosedError(DECODE_ERROR, f"not a payload: {frame.data[:200]}") from None
            if connection.too_many_commands(time.monotonic()):
                raise _ClosedError(RATE_LIMITED, "more than 120 commands in a minute")
            await self._receive(connection, code, data)
            self.world.journal.notify()

    async def _receive(self, connection: Connection, code: int, data: Any) -> None:
        if code == HEARTBEAT:
            self._heartbeat(connection)
        elif code == IDENTIFY:
            self._identify(connection, data)
        elif code == RESUME:
            self._resume(connection, data)
        elif connection.session is None:
            raise _ClosedError(NOT_AUTHENTICATED, f"op {code} before IDENTIFY")
        elif code == PRESENCE:
            self.presences.append(data)
        elif code == REQUEST_MEMBERS:
            self._members(connection.session, data)
        elif code != VOICE_STATE:
            raise _ClosedError(UNKNOWN_OPCODE, f"op {code}")

    def _heartbeat(self, connection: Connection) -> None:
        connection.last_heartbeat = time.monotonic()
        connection.heartbeats += 1
        connection.send({"op": HEARTBEAT_ACK, "d": None})

    def _identify(self, connection: Connection, data: Payload) -> None:
        if connection.session:
            raise _ClosedError(ALREADY_AUTHENTICATED, "a second IDENTIFY")
        if data.get("token") != self.world.token:
            raise _ClosedError(AUTHENTICATION_FAILED, "IDENTIFY with a wrong token")
        self.identified.append({key: value for key, value in data.items() if key != "token"})
        number, count = data.get("shard", (0, 1))
        if not 0 <= number < count:
            raise _ClosedError(INVALID_SHARD, f"shard {number} of {count}")
        if self._too_soon(number):
            connection.send({"op": INVALID_SESSION, "d": False})
            return
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~EVERY_INTENT:
            raise _ClosedError(INVALID_INTENTS, f"intents {intents}")
        if intents & self.world.privileged_intents_withheld():
            raise _ClosedError(DISALLOWED_INTENTS, f"intents {Intents._from_value(intents)} are not all granted")
        self._start(connection, Session((number, count), intents))

    def _too_soon(self, shard: int) -> bool:
        """Whether a bucket has had an IDENTIFY already in this period, which is noted as a complaint."""
        bucket, now = shard % self.max_concurrency, time.monotonic()
        since = now - self.identified_at.get(bucket, -math.inf)
        self.identified_at[bucket] = now
        if since >= self.identify_period_s:
            return False
        self.world.journal.complain(RATE_LIMITED, f"gateway: IDENTIFY {since:.2f} s after another in bucket {bucket}")
        return True

    def _start(self, connection: Connection, session: Session) -> None:
        self.sessions[session.id] = session
        guilds = [guild for guild in self.world.guilds.values() if session.holds(guild)]
        self._attach(connection, session)
        ready = {
            "v": 10,
            "user": self.world.bot.payload() | {"verified": True, "mfa_enabled": False, "flags": 0},
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.resume_url,
            "shard": list(session.shard),
            "application": {"id": str(self.world.application_id), "flags": self.world.application_flags()},
            "private_channels": [],
            "session_type": "normal",
        }
        session.push("READY", ready)
        for guild in guilds:
            # Only a server that was announced in READY says that it is available.
            session.push("GUILD_CREATE", self._guild(session, guild) | {"unavailable": False})

    def _resume(self, connection: Connection, data: Payload) -> None:
        if connection.session:
            raise _ClosedError(ALREADY_AUTHENTICATED, "RESUME after IDENTIFY")
        if data.get("token") != self.world.token:
            raise _ClosedError(AUTHENTICATION_FAILED, "RESUME with a wrong token")
        session = self.sessions.get(data["session_id"])
        if session is None:
            connection.send({"op": INVALID_SESSION, "d": False})
            return
        seen = data["seq"]
        if not isinstance(seen, int) or not 0 <= seen <= len(session.events):
            raise _ClosedError(INVALID_SEQUENCE, f"RESUME from {seen} of {len(session.events)}")
        missed = session.events[seen:]
        self._attach(connection, session)
        connection.resumed = True
        for event in missed:
            connection.send(event)
        session.push("RESUMED", {})

    @staticmethod
    def _attach(connection: Connection, session: Session) -> None:
        if session.connection:
            session.connection.cut()
        connection.session, session.connection = session, connection

    def _detach(self, connection: Connection) -> None:
        closed_by_client = connection.close_code is None
        connection.close_code = connection.close_code or connection.socket.close_code
        session = connection.session
        if session is None or session.connection is not connection:
            return
        session.connection = None
        if closed_by_client and connection.close_code in FINAL_CLOSE_CODES:
            self.sessions.pop(session.id, None)

    def _members(self, session: Session, data: Payload) -> None:
        guild = self.world.guilds[int(data["guild_id"])]
        wanted = {int(user) for user in data.get("user_ids", [])}
        members = [m.payload() for m in guild.members.values() if not wanted or m.user.id in wanted]
        chunk = {
            "guild_id": str(guild.id),
            "members": members,
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
            "nonce": data.get("nonce"),
        }
        session.push("GUILD_MEMBERS_CHUNK", chunk)
