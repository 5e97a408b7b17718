"""Channels, their messages and reactions."""

from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.discord_server.errors import (
    CANNOT_SEND_TO_USER,
    INVALID_FORM_BODY,
    MISSING_ACCESS,
    MISSING_PERMISSIONS,
    NOT_THE_AUTHOR,
    REPLY_NEEDS_HISTORY,
    UNKNOWN_EMOJI,
    UNKNOWN_MESSAGE,
    RefusedError,
)
from tests.discord_server.gateway import DIRECT_REACTIONS, GUILD_REACTIONS
from tests.discord_server.model import Channel, Message, Payload, User
from tests.discord_server.rest.forms import Form
from tests.discord_server.rest.messages import edit_message as change
from tests.discord_server.rest.messages import new_message
from tests.discord_server.world import World


def _seen(world: World, request: web.Request) -> Channel:
    """Return the channel, if the bot sees it."""
    channel = world.channel(int(request.match_info["channel"]))
    if not world.bot_may(channel, "view_channel"):
        raise RefusedError(MISSING_ACCESS)
    return channel


def _need(world: World, channel: Channel, *permissions: str) -> None:
    if not world.bot_may(channel, *permissions):
        raise RefusedError(MISSING_PERMISSIONS)


def _message(world: World, request: web.Request) -> Message:
    return world.message(_seen(world, request), int(request.match_info["message"]))


async def get_channel(world: World, request: web.Request, form: Form) -> Payload:
    return _seen(world, request).payload()


async def trigger_typing(world: World, request: web.Request, form: Form) -> None:
    _need(world, _seen(world, request), "send_messages")


async def list_messages(world: World, request: web.Request, form: Form) -> list[Payload]:
    channel = _seen(world, request)
    if not world.bot_may(channel, "read_message_history"):
        return []
    shown = [m for m in channel.messages.values() if not m.deleted and not m.ephemeral]
    limit = int(request.query.get("limit", "50"))
    return [message.payload() for message in reversed(shown[-limit:])]


async def get_message(world: World, request: web.Request, form: Form) -> Payload:
    message = _message(world, request)
    if not world.bot_may(message.channel, "read_message_history"):
        raise RefusedError(MISSING_ACCESS)
    readable = world.granted["message_content"] or message.author is world.bot
    return message.payload(with_content=readable)


async def create_message(world: World, request: web.Request, form: Form) -> Payload:
    channel = _seen(world, request)
    payload: dict[str, Any] = form.payload or {}
    if channel.recipient and not channel.recipient.accepts_direct_messages:
        raise RefusedError(CANNOT_SEND_TO_USER)
    _need(world, channel, "send_messages_in_threads" if channel.parent else "send_messages")
    if form.files:
        _need(world, channel, "attach_files")
    if payload.get("embeds"):
        _need(world, channel, "embed_links")
    sent = _sent_before(world, channel, payload)
    if sent is None:
        reply_to = _referenced(world, channel, payload.get("message_reference"))
        sent = new_message(world, channel, form, reply_to=reply_to)
    return sent.payload() | {"nonce": payload.get("nonce")}


def _sent_before(world: World, channel: Channel, payload: Payload) -> Message | None:
    """Return the message that an earlier attempt with the same nonce has sent, if the nonce is enforced."""
    nonce = payload.get("nonce")
    if not payload.get("enforce_nonce") or nonce is None:
        return None
    own = (m for m in channel.messages.values() if m.author is world.bot and m.nonce == str(nonce))
    return next(own, None)


def _referenced(world: World, channel: Channel, reference: Payload | None) -> Message | None:
    if reference is None:
        return None
    if not world.bot_may(channel, "read_message_history"):
        raise RefusedError(REPLY_NEEDS_HISTORY)
    try:
        return world.message(channel, int(reference["message_id"]))
    except RefusedError:
        if reference.get("fail_if_not_exists", True):
            raise RefusedError(INVALID_FORM_BODY, {"message_reference": "Unknown message"}) from None
        return None


async def edit_message(world: World, request: web.Request, form: Form) -> Payload:
    message = _message(world, request)
    if message.author is not world.bot:
        raise RefusedError(NOT_THE_AUTHOR)
    change(world, message, form)
    return message.payload()


async def delete_message(world: World, request: web.Request, form: Form) -> None:
    message = _message(world, request)
    if message.author is not world.bot:
        _need(world, message.channel, "manage_messages")
    world.delete_message(message)


async def add_reaction(world: World, request: web.Request, form: Form) -> None:
    message, emoji = _message(world, request), _emoji(request)
    _need(world, message.channel, "read_message_history")
    if not message.reactions.get(emoji):
        _need(world, message.channel, "add_reactions")
    react(world, message, emoji, world.bot)


async def remove_own_reaction(world: World, request: web.Request, form: Form) -> None:
    message = _message(world, request)
    _need(world, message.channel, "read_message_history")
    unreact(world, message, _emoji(request), world.bot)


async def remove_reaction(world: World, request: web.Request, form: Form) -> None:
    message = _message(world, request)
    user = world.users[int(request.match_info["user"])]
    if user is not world.bot:
        _need(world, message.channel, "manage_messages")
    unreact(world, message, _emoji(request), user)


async def remove_all_reactions(world: World, request: web.Request, form: Form) -> None:
    message = _message(world, request)
    _need(world, message.channel, "manage_messages")
    message.reactions.clear()
    world.journal.notify()


def _emoji(request: web.Request) -> str:
    emoji = unquote(request.match_info["emoji"])
    if emoji.isascii():  # the custom ones are written name:id, and this Discord has none
        raise RefusedError(UNKNOWN_EMOJI)
    return emoji


def react(world: World, message: Message, emoji: str, user: User) -> None:
    """Add a reaction, once a user."""
    users = message.reactions[emoji]
    if user not in users:
        users.append(user)
        message.reactions_ever.append(emoji)
        _tell(world, "MESSAGE_REACTION_ADD", message, emoji, user)


def unreact(world: World, message: Message, emoji: str, user: User) -> None:
    """Take a reaction back.

    Raises:
        RefusedError: there was none.
    """
    if user not in message.reactions.get(emoji, []):
        raise RefusedError(UNKNOWN_MESSAGE)
    message.reactions[emoji].remove(user)
    _tell(world, "MESSAGE_REACTION_REMOVE", message, emoji, user)


def _tell(world: World, event: str, message: Message, emoji: str, user: User) -> None:
    guild = message.channel.guild
    data: Payload = {
        "user_id": str(user.id),
        "channel_id": str(message.channel.id),
        "message_id": str(message.id),
        "emoji": {"id": None, "name": emoji},
        "type": 0,
        "burst": False,
        "message_author_id": str(message.author.id),
    }
    if guild:
        data["guild_id"] = str(guild.id)
        if event.endswith("ADD"):
            data["member"] = guild.members[user.id].payload()
    world.gateway.dispatch(event, data, guild=guild, intent=GUILD_REACTIONS if guild else DIRECT_REACTIONS)
    world.journal.notify()


def routes() -> dict[str, tuple[str, str, Any]]:
    """Return endpoint → method, path, handler."""
    message = "/channels/{channel}/messages/{message}"
    return {
        "get_channel": ("GET", "/channels/{channel}", get_channel),
        "trigger_typing": ("POST", "/channels/{channel}/typing", trigger_typing),
        "list_messages": ("GET", "/channels/{channel}/messages", list_messages),
        "create_message": ("POST", "/channels/{channel}/messages", create_message),
        "get_message": ("GET", message, get_message),
        "edit_message": ("PATCH", message, edit_message),
        "delete_message": ("DELETE", message, delete_message),
        "add_reaction": ("PUT", f"{message}/reactions/{{emoji}}/@me", add_reaction),
        "remove_own_reaction": ("DELETE", f"{message}/reactions/{{emoji}}/@me", remove_own_reaction),
        "remove_reaction": ("DELETE", f"{message}/reactions/{{emoji}}/{{user}}", remove_reaction),
        "remove_all_reactions": ("DELETE", f"{message}/reactions", remove_all_reactions),
    }
