"""The songs in a message: its attachments, those of a forwarded message, or its links."""

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

import discord

from bot.jobs.request import Song
from core.i18n.catalog import translate
from core.service.sources import AttachmentSource, LinkSource

MAX_SONGS: Final = 10
"""As many as a message has attachments, and a reply embeds."""

AUDIO_SUFFIXES: Final = frozenset(
    (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma")
)
VIDEO_SUFFIXES: Final = frozenset((".m4v", ".mkv", ".mov", ".mp4", ".webm"))
LINK: Final = re.compile(r"https?://[^\s<>|]+", re.IGNORECASE)


def attachment_song(attachment: discord.Attachment, locale: str) -> Song:
    """Make a song of an attachment; a voice message has a name that people know."""
    name = translate("bot.voice-message", locale) if attachment.is_voice_message() else attachment.filename
    return Song(AttachmentSource(attachment.url, name, attachment.size), name)


def is_audio(attachment: discord.Attachment) -> bool:
    """Whether an attachment says that it is audio."""
    return _is(attachment, "audio/", AUDIO_SUFFIXES)


def is_video(attachment: discord.Attachment) -> bool:
    """Whether an attachment says that it is video."""
    return _is(attachment, "video/", VIDEO_SUFFIXES)


def _is(attachment: discord.Attachment, kind: str, suffixes: frozenset[str]) -> bool:
    if attachment.content_type:
        return attachment.content_type.lower().startswith(kind)
    return PurePosixPath(attachment.filename.lower()).suffix in suffixes


def autoscan_songs(message: discord.Message, locale: str) -> tuple[Song, ...]:
    """Songs of a message that autoscan looks at: its audio attachments."""
    return tuple(attachment_song(a, locale) for a in message.attachments if is_audio(a))[:MAX_SONGS]


def message_songs(message: discord.Message, locale: str, *, links: bool) -> tuple[Song, ...]:
    """Songs of a message that somebody asks about: audio and video, else links where they are allowed."""
    snapshots = message.message_snapshots
    attachments = [*message.attachments, *(a for snapshot in snapshots for a in snapshot.attachments)]
    songs = [attachment_song(a, locale) for a in attachments if is_audio(a) or is_video(a)]
    if not songs and links:
        text = "\n".join((message.content, *(snapshot.content for snapshot in snapshots)))
        songs = [link_song(url) for url in dict.fromkeys(LINK.findall(text))]
    return tuple(songs[:MAX_SONGS])


def has_links(message: discord.Message) -> bool:
    """Whether a message has a link."""
    return LINK.search(message.content) is not None


def link_song(link: str) -> Song:
    """Make a song of a link; `<` and `>` around it only keep Discord from showing a preview."""
    url = link.strip().removeprefix("<").removesuffix(">")
    return Song(LinkSource(url), _link_name(url))


def _link_name(url: str) -> str:
    """File name or host of a link, for where its page tells no title: the whole of it may hold somebody's key."""
    try:
        parts = urlsplit(url)
        return unquote(PurePosixPath(parts.path).name) or parts.hostname or url
    except ValueError:
        return url
