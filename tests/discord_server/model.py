"""What Discord keeps: users, servers, channels and messages, with the payload that the API gives of each."""

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from discord import ChannelType, MessageFlags, Permissions
from discord.utils import time_snowflake

from tests.discord_server.cdn import Upload

Payload = dict[str, Any]

_counter = itertools.count()

EPHEMERAL = MessageFlags(ephemeral=True).value
LOADING = MessageFlags(loading=True).value
VOICE = MessageFlags(voice=True).value

MEMBERS_MAY = Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    add_reactions=True,
    read_message_history=True,
    use_application_commands=True,
).value
"""What `@everyone` may in a new server."""

SNAPSHOT_KEYS = ("type", "content", "embeds", "attachments", "components", "timestamp", "edited_timestamp", "flags")
EVERYTHING = Permissions.all().value
ADMINISTRATOR = Permissions(administrator=True).value


def snowflake() -> int:
    """Return a new id, made of the time as Discord's are."""
    return time_snowflake(datetime.now(UTC)) + next(_counter) % 4096


@dataclass(eq=False)
class User:
    name: str
    locale: str = "en-US"
    bot: bool = False
    accepts_direct_messages: bool = True
    id: int = field(default_factory=snowflake)

    def payload(self) -> Payload:
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": None if self.bot else self.name.title(),
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


@dataclass(eq=False)
class Role:
    name: str
    permissions: int
    id: int = field(default_factory=snowflake)
    position: int = 1

    def payload(self) -> Payload:
        return {
            "id": str(self.id),
            "name": self.name,
            "permissions": str(self.permissions),
            "position": self.position,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }


@dataclass(eq=False)
class Member:
    user: User
    roles: list[Role] = field(default_factory=list)
    joined_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def payload(self, *, with_user: bool = True) -> Payload:
        payload: Payload = {
            "roles": [str(role.id) for role in self.roles],
            "nick": None,
            "avatar": None,
            "joined_at": self.joined_at.isoformat(),
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
            "communication_disabled_until": None,
        }
        if with_user:
            payload["user"] = self.user.payload()
        return payload


@dataclass
class Overwrite:
    """What one member is allowed or denied in one channel, as bits."""

    allow: int = 0
    deny: int = 0


@dataclass(eq=False)
class Channel:
    """A channel of a server, a thread in one (`parent`), or the direct messages with one user."""

    name: str
    guild: "Guild | None" = None
    recipient: User | None = None
    parent: "Channel | None" = None
    kind: ChannelType = ChannelType.text
    category: "Channel | None" = None
    nsfw: bool = False
    overwrites: dict[int, Overwrite] = field(default_factory=lambda: defaultdict(Overwrite))
    messages: "dict[int, Message]" = field(default_factory=dict)
    id: int = field(default_factory=snowflake)

    @property
    def type(self) -> int:
        if self.guild is None:
            return ChannelType.private.value
        return (ChannelType.public_thread if self.parent else self.kind).value

    def payload(self) -> Payload:
        payload: Payload = {"id": str(self.id), "type": self.type, "flags": 0, "last_message_id": None}
        if self.recipient:
            return payload | {"recipients": [self.recipient.payload()]}
        assert self.guild
        payload |= {"guild_id": str(self.guild.id), "name": self.name, "rate_limit_per_user": 0}
        if self.parent:
            return payload | self._thread_payload(self.parent, self.guild)
        return payload | {
            "position": self.guild.channels.index(self),
            "parent_id": str(self.category.id) if self.category else None,
            "topic": None,
            "nsfw": self.nsfw,
            **({"bitrate": 64000, "user_limit": 0, "rtc_region": None} if self.kind is ChannelType.voice else {}),
            **({"available_tags": []} if self.kind is ChannelType.forum else {}),
            "permission_overwrites": [
                {"id": str(member), "type": 1, "allow": str(overwrite.allow), "deny": str(overwrite.deny)}
                for member, overwrite in self.overwrites.items()
            ],
        }

    def _thread_payload(self, parent: "Channel", guild: "Guild") -> Payload:
        now = datetime.now(UTC).isoformat()
        return {
            "parent_id": str(parent.id),
            "owner_id": str(guild.owner.id),
            "message_count": len(self.messages),
            "member_count": 1,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": now,
                "locked": False,
                "create_timestamp": now,
            },
        }


@dataclass(eq=False)
class Guild:
    name: str
    owner: User
    locale: str = "en-US"
    id: int = field(default_factory=snowflake)
    channels: list[Channel] = field(default_factory=list)
    threads: list[Channel] = field(default_factory=list)
    members: dict[int, Member] = field(default_factory=dict)
    roles: list[Role] = field(init=False)

    def __post_init__(self) -> None:
        # The role of everyone has the server's own id.
        self.roles = [Role("@everyone", MEMBERS_MAY, id=self.id, position=0)]
        self.join(self.owner)

    def join(self, user: User, permissions: int = 0) -> Member:
        """Make the user a member, with a role of their own if they have more permissions than everyone."""
        member = self.members.setdefault(user.id, Member(user))
        if permissions:
            role = Role(f"role of {user.name}", permissions)
            self.roles.append(role)
            member.roles.append(role)
        return member

    def permissions(self, user: User, channel: Channel) -> int:
        """Return what the user may in the channel, as bits: Discord's own order of roles and overwrites."""
        member = self.members[user.id]
        allowed: int = self.roles[0].permissions
        for role in member.roles:
            allowed |= role.permissions
        if user is self.owner or allowed & ADMINISTRATOR:
            return EVERYTHING
        overwrites = (channel.parent or channel).overwrites
        if user.id in overwrites:
            overwrite = overwrites[user.id]
            allowed = (allowed & ~overwrite.deny) | overwrite.allow
        return allowed

    def payload(self, *, bot: User, with_members: bool) -> Payload:
        """Return the payload of GUILD_CREATE; without the members intent only the bot's own member is in it."""
        members = self.members.values() if with_members else [self.members[bot.id]]
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "banner": None,
            "description": None,
            "owner_id": str(self.owner.id),
            "afk_channel_id": None,
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "premium_progress_bar_enabled": False,
            "system_channel_id": str(self.channels[0].id) if self.channels else None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "safety_alerts_channel_id": None,
            "vanity_url_code": None,
            "preferred_locale": self.locale,
            "features": [],
            "emojis": [],
            "stickers": [],
            "roles": [role.payload() for role in self.roles],
            "channels": [channel.payload() for channel in self.channels],
            "members": [member.payload() for member in members],
            "member_count": len(self.members),
            "large": False,
            "joined_at": self.members[bot.id].joined_at.isoformat(),
            "threads": [thread.payload() for thread in self.threads],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }


@dataclass
class Revision:
    """What a message looked like from one moment on. `at` is `time.monotonic()`."""

    at: float
    content: str
    embeds: list[Payload]
    components: list[Payload]
    files: list[Upload]
    flags: int = 0

    @property
    def loading(self) -> bool:
        """Whether it is only "thinking…"."""
        return bool(self.flags & LOADING)


@dataclass(eq=False)
class Message:
    """A message; its revisions are all that it has ever said, the newest last."""

    channel: Channel
    author: User
    content: str = ""
    embeds: list[Payload] = field(default_factory=list)
    components: list[Payload] = field(default_factory=list)
    files: list[Upload] = field(default_factory=list)
    flags: int = 0
    reply_to: "Message | None" = None
    forwarded: "Message | None" = None
    only_for: User | None = None
    """The one user who sees an ephemeral message."""
    interaction: Payload | None = None
    """Metadata of the interaction that it replies to."""
    nonce: str | None = None
    reactions: dict[str, list[User]] = field(default_factory=lambda: defaultdict(list))
    reactions_ever: list[str] = field(default_factory=list)
    deleted: bool = False
    edited_at: datetime | None = None
    revisions: list[Revision] = field(default_factory=list)
    id: int = field(default_factory=snowflake)
    sent_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.remember()

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    def remember(self) -> None:
        """Note what it says now as a revision."""
        self.revisions.append(
            Revision(
                time.monotonic(),
                self.content,
                list(self.embeds),
                list(self.components),
                list(self.files),
                self.flags,
            )
        )

    @property
    def text(self) -> str:
        """Everything that can be read in it: content, embeds, their fields and footers."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [embed.get("title", ""), embed.get("description", "")]
            for entry in embed.get("fields", []):
                parts += [entry["name"], entry["value"]]
            parts += [embed.get("author", {}).get("name", ""), embed.get("footer", {}).get("text", "")]
        return "\n".join(part for part in parts if part)

    @property
    def controls(self) -> list[Payload]:
        """Its buttons and menus, out of their rows."""
        return [control for row in self.components for control in row["components"]]

    @property
    def buttons(self) -> list[str]:
        """Labels of the buttons that can be pressed."""
        return [c.get("label", "") for c in self.controls if c["type"] == 2 and not c.get("disabled")]

    def file(self, suffix: str = "") -> Upload:
        """Return its first file whose name ends in `suffix`."""
        return next(file for file in self.files if file.filename.endswith(suffix))

    def payload(self, *, with_content: bool = True, with_reference: bool = True) -> Payload:
        """Return the payload; `with_content=False` is what a bot gets without the message content intent."""
        payload: Payload = {
            "id": str(self.id),
            "type": self._type(),
            "channel_id": str(self.channel.id),
            "author": self.author.payload(),
            "content": self.content if with_content else "",
            "embeds": self.embeds if with_content else [],
            "attachments": [file.payload() for file in self.files] if with_content else [],
            "components": self.components if with_content else [],
            "mentions": [],
            "mention_roles": [],
            "mention_everyone": False,
            "pinned": False,
            "tts": False,
            "flags": self.flags,
            "timestamp": self.sent_at.isoformat(),
            "edited_timestamp": self.edited_at.isoformat() if self.edited_at else None,
            "reactions": [
                {"emoji": {"id": None, "name": emoji}, "count": len(users), "me": False, "burst_colors": []}
                for emoji, users in self.reactions.items()
                if users
            ],
        }
        if self.interaction:
            payload["interaction_metadata"] = self.interaction
        if self.forwarded and with_reference:
            original = self.forwarded
            payload["message_reference"] = {
                "type": 1,
                "message_id": str(original.id),
                "channel_id": str(original.channel.id),
            }
            payload["message_snapshots"] = [{"message": original._snapshot()}] if with_content else []
        if self.reply_to and with_reference:
            original = self.reply_to
            payload["message_reference"] = {
                "type": 0,
                "message_id": str(original.id),
                "channel_id": str(original.channel.id),
            }
            payload["referenced_message"] = (
                None if original.deleted else original.payload(with_content=with_content, with_reference=False)
            )
        return payload

    def _snapshot(self) -> Payload:
        """Return what a message that forwards this one carries of it."""
        whole = self.payload(with_reference=False)
        return {key: whole[key] for key in SNAPSHOT_KEYS}

    def _type(self) -> int:
        if self.interaction:
            return {2: 20, 3: 0}[self.interaction["type"]]
        return 19 if self.reply_to else 0
