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

FOR_ANSWERS: Final = ("embed_links",)
FOR_PICTURES: Final = ("embed_links", "attach_files")
FOR_AUTOSCAN: Final = (
    "view_channel",
    "send_messages",
    "embed_links",
    "attach_files",
    "add_reactions",
    "read_message_history",
)
FOR_QUIET: Final = ("view_channel", "add_reactions", "read_message_history")
"""For a channel in which the answer is a reaction."""

Channel = discord.abc.GuildChannel | discord.Thread


def in_channel(channel: Channel) -> discord.Permissions:
    """Permissions of the bot in a channel; in a thread, and in a forum's posts, sending is what threads call it."""
    try:
        permissions = channel.permissions_for(channel.guild.me)
    except discord.ClientException:  # the thread's parent is not known
        return discord.Permissions.none()
    permissions.send_messages = may_send_in(channel, permissions)
    return permissions


def may_send_in(channel: object, permissions: discord.Permissions) -> bool:
    """Whether permissions allow to send messages in a channel; what allows it in threads is another one."""
    in_threads = isinstance(channel, discord.Thread | discord.ForumChannel)
    return permissions.send_messages_in_threads if in_threads else permissions.send_messages


def may_be_shown(guild: discord.Guild, channel_id: int, here: int | None) -> bool:
    """Whether what is in a channel may be shown in another as far as age goes: from adults' channels only to such."""
    return not _for_adults(guild, channel_id) or (here is not None and _for_adults(guild, here))


def _for_adults(guild: discord.Guild, channel_id: int) -> bool:
    channel = guild.get_channel_or_thread(channel_id)
    return channel is not None and channel.is_nsfw()  # a thread asks its parent


def missing(permissions: discord.Permissions, names: tuple[str, ...]) -> list[str]:
    """Names, of those given, that are not granted."""
    return [name for name in names if not getattr(permissions, name)]


def missing_notice(names: list[str], locale: str) -> str | None:
    """Say which permissions are missing; None where none is."""
    if not names:
        return None
    listed = ", ".join(translate(f"bot.permission.{name}", locale) for name in names)
    return translate("bot.permission.missing", locale, names=listed)


class PermissionNotices:
    """Says which permissions are missing in a channel, once and not under every answer."""

    def __init__(self) -> None:
        self._given: set[tuple[int, str]] = set()

    def once(self, channel_id: int | None, notice: str | None) -> str | None:
        """Give the notice back the first time, and None from then on."""
        if notice is None or (channel_id or 0, notice) in self._given:
            return None
        self._given.add((channel_id or 0, notice))
        return notice

    def capabilities(
        self,
        channel_id: int | None,
        permissions: discord.Permissions,
        locale: str,
        needed: tuple[str, ...] = FOR_ANSWERS,
    ) -> ReplyCapabilities:
        """Say what an answer in a channel of a server may consist of, and which of the permissions needed it lacks."""
        notice = missing_notice(missing(permissions, needed), locale)
        return ReplyCapabilities(permissions.embed_links, permissions.attach_files, self.once(channel_id, notice))

    def interaction_capabilities(
        self,
        interaction: discord.Interaction[discord.Client],
        locale: str,
        needed: tuple[str, ...] = FOR_ANSWERS,
    ) -> ReplyCapabilities:
        """Say what an answer to an interaction may consist of; in a direct conversation, all."""
        if interaction.guild_id is None:
            return ReplyCapabilities()
        if not interaction.is_guild_integration():
            # The member's own app: nobody in this server can grant it anything.
            allowed = interaction.app_permissions
            return ReplyCapabilities(allowed.embed_links, allowed.attach_files)
        return self.capabilities(interaction.channel_id, interaction.app_permissions, locale, needed)
