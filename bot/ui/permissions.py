"""What the bot needs to be allowed, and what it does without."""

from typing import Final

import discord

from bot.jobs.request import ReplyCapabilities
from core.i18n.catalog import translate

NEEDED: Final = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    add_reactions=True,
    read_message_history=True,
)
"""What the invite link asks for."""

FOR_ANSWERS: Final = ("embed_links", "attach_files")
FOR_DROPPED_AUDIO: Final = (
    "view_channel",
    "send_messages",
    "embed_links",
    "attach_files",
    "add_reactions",
    "read_message_history",
)

Channel = discord.abc.GuildChannel | discord.Thread


def in_channel(channel: Channel) -> discord.Permissions:
    """Permissions of the bot in a channel; in a thread, sending is what threads call it."""
    try:
        permissions = channel.permissions_for(channel.guild.me)
    except discord.ClientException:  # the thread's parent is not known
        return discord.Permissions.none()
    if isinstance(channel, discord.Thread):
        permissions.send_messages = permissions.send_messages_in_threads
    return permissions


def missing(permissions: discord.Permissions, names: tuple[str, ...]) -> list[str]:
    """Names, of those given, that are not granted."""
    return [name for name in names if not getattr(permissions, name)]


def notice(lacking: list[str], locale: str) -> str | None:
    """Say which permissions are lacking; None where none is."""
    if not lacking:
        return None
    names = ", ".join(translate(f"bot.permission.{name}", locale) for name in lacking)
    return translate("bot.permission.missing", locale, names=names)


def capabilities(permissions: discord.Permissions, locale: str) -> ReplyCapabilities:
    """Say what an answer may consist of."""
    lacking = missing(permissions, FOR_ANSWERS)
    return ReplyCapabilities(permissions.embed_links, permissions.attach_files, notice(lacking, locale))
