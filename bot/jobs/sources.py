"""The songs in a message: its files or else its links, those that it forwards, those in its embeds and components."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

import discord
from discord.components import Component

from bot.jobs.links import find_links
from bot.jobs.request import Song
from core.audio.suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES
from core.i18n.catalog import translate
from core.service.sources import AttachmentSource, LinkSource

MAX_SONGS: Final = 10
"""As many as a reply has embeds."""

MessagePart = discord.Message | discord.MessageSnapshot
"""A message, or one that it forwards."""

GENERATED_EMBEDS: Final = ("article", "gifv", "image", "link", "video")
"""Embeds that Discord makes of the links in a message's text."""

_UNCLEAR_SUFFIXES: Final = (".ts", ".mts")
"""TypeScript's too."""

_VIDEO_OR_SOUND: Final = (".3gp", ".3g2")
_MEDIA_TYPES: Final = ("audio/", "video/", "application/ogg", "application/mp4")
_GENERIC_TYPES: Final = ("", "application/octet-stream", "binary/octet-stream", "application/x-binary")


@dataclass(frozen=True, slots=True)
class FoundSongs:
    """Songs of a message.

    Attributes:
        songs: `MAX_SONGS` at most.
        left_out: how many more there are.
    """

    songs: tuple[Song, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that Discord holds for a message.

    Attributes:
        url: as Discord gives it, signed.
        name: what its sender called it.
        filename: what Discord calls it, with the suffix.
        content_type: what Discord says that it is; None or a generic type where it does not know.
        size: bytes; None where Discord does not say.
        is_voice: whether it is a voice message.
    """

    url: str
    name: str
    filename: str
    content_type: str | None
    size: int | None = None
    is_voice: bool = False

    @property
    def is_audio(self) -> bool:
        """Whether it is sound alone, by its type, its suffix or the flag of voice messages."""
        if self.is_voice or self._type.startswith("audio/"):
            return True
        is_video = self._type.startswith("video/") and self._has_suffix(_VIDEO_OR_SOUND)
        return self._has_suffix(AUDIO_SUFFIXES) and not is_video

    @property
    def is_media(self) -> bool:
        """Whether it is sound or video."""
        if self._has_suffix(_UNCLEAR_SUFFIXES):
            kind, _, parameters = self._type.partition(";")
            # A type that was guessed from the suffix may be `video/mp2t` for TypeScript; only text has a charset.
            return kind in _GENERIC_TYPES or (kind.startswith(_MEDIA_TYPES) and "charset" not in parameters)
        return self.is_audio or self._type.startswith(_MEDIA_TYPES) or self._has_suffix(MEDIA_SUFFIXES)

    @property
    def _type(self) -> str:
        return (self.content_type or "").strip().lower()

    def _has_suffix(self, suffixes: tuple[str, ...]) -> bool:
        return self.filename.lower().endswith(suffixes) or self.name.lower().endswith(suffixes)

    def song(self, locale: str) -> Song:
        """Make a song of it; a voice message has a name that people know."""
        name = translate("bot.voice-message", locale) if self.is_voice else self.name
        return Song(AttachmentSource(self.url, name, self.size), name)


def attachment_song(attachment: discord.Attachment, locale: str) -> Song:
    """Make a song of an attachment, whatever it says that it is."""
    return _attachment_file(attachment).song(locale)


def link_song(url: str) -> Song:
    """Make a song of a link."""
    return Song(LinkSource(url), _link_name(url))


def autoscan_songs(
    message: discord.Message, locale: str, *, audio: bool = True, video: bool = False, links: bool = False
) -> FoundSongs:
    """Songs of a message that autoscan looks at: its files and those that it forwards, else links.

    Args:
        message: just posted.
        locale: language of a voice message's name.
        audio: look at audio.
        video: look at video.
        links: look at links.
    """
    wanted = [file for file in _files(message) if (audio if file.is_audio else video and file.is_media)]
    songs = [file.song(locale) for file in wanted]
    if not songs and links:
        songs = [link_song(url) for url in _links(message)]
    return _found(songs)


def message_songs(message: discord.Message, locale: str, *, links: bool) -> FoundSongs:
    """Songs of a message that somebody asks about: audio and video, else links where they are allowed."""
    songs = [file.song(locale) for file in _files(message) if file.is_media]
    if not songs and links:
        songs = [link_song(url) for url in _links(message)]
    return _found(songs)


def has_songs(message: discord.Message) -> bool:
    """Whether a message has audio, video or a link."""
    return has_links(message) or any(file.is_media for file in _files(message))


def has_links(message: discord.Message) -> bool:
    """Whether a message has a link."""
    return bool(_links(message))


def _found(songs: list[Song]) -> FoundSongs:
    return FoundSongs(tuple(songs[:MAX_SONGS]), max(0, len(songs) - MAX_SONGS))


def _parts(message: discord.Message) -> tuple[MessagePart, ...]:
    return message, *message.message_snapshots


def _files(message: discord.Message) -> list[MediaFile]:
    """Attachments, and the files that components show; each once."""
    files: dict[str, MediaFile] = {}
    for part in _parts(message):
        voice = part.flags.voice
        for file in (
            *(_attachment_file(attachment, voice=voice) for attachment in part.attachments),
            *(_media_file(media, name) for media, name in _media(part) if media.attachment_id is not None),
        ):
            files.setdefault(file.url.partition("?")[0], file)
    return list(files.values())


def _attachment_file(attachment: discord.Attachment, *, voice: bool = False) -> MediaFile:
    return MediaFile(
        attachment.url,
        _attachment_name(attachment),
        attachment.filename,
        attachment.content_type,
        attachment.size,
        voice or attachment.is_voice_message(),
    )


def _attachment_name(attachment: discord.Attachment) -> str:
    """Name as its sender wrote it: Discord strips `filename` of what is not ASCII, and `title` of the suffix."""
    title, filename = (attachment.title or "").strip(), attachment.filename
    suffix = f".{filename.rpartition('.')[2]}" if "." in filename else ""
    if not title:
        return filename
    return title if title.lower().endswith((suffix.lower(), *MEDIA_SUFFIXES)) else f"{title}{suffix}"


def _media_file(media: discord.UnfurledMediaItem, name: str | None) -> MediaFile:
    name = name or _link_name(media.url)
    return MediaFile(media.url, name, name, media.content_type)


def _links(message: discord.Message) -> tuple[str, ...]:
    """Links in texts, embeds and components, each once."""
    return tuple(dict.fromkeys(link for part in _parts(message) for link in _part_links(part)))


def _part_links(part: MessagePart) -> Iterator[str]:
    in_text = find_links(part.content)
    yield from in_text
    for embed in part.embeds:
        # What Discord makes of a link in the text leads to the same song under another address.
        if embed.type not in GENERATED_EMBEDS or not in_text:
            yield from _embed_links(embed)
    for component in _components(part):
        if isinstance(component, discord.Button):
            yield from find_links(component.url or "")
        elif isinstance(component, discord.TextDisplay):
            yield from find_links(component.content)
    for media, name in _media(part):
        file = _media_file(media, name)
        if media.attachment_id is None and file.is_media:
            yield from find_links(file.url)


def _embed_links(embed: discord.Embed) -> Iterator[str]:
    if embed.type in {"image", "gifv"}:
        return
    if embed.url:
        yield from find_links(embed.url)
    elif embed.video.url:  # of a page, the video is only a player
        yield from find_links(embed.video.url)
    for text in (embed.title, embed.description, *(field.value for field in embed.fields)):
        yield from find_links(text or "")


def _components(part: MessagePart) -> Iterator[Component]:
    """All components, those inside of others after them."""
    waiting: list[Component] = list(part.components)
    while waiting:
        component = waiting.pop(0)
        yield component
        inner = [*getattr(component, "children", ()), getattr(component, "accessory", None)]
        waiting[:0] = [child for child in inner if isinstance(child, Component)]


def _media(part: MessagePart) -> Iterator[tuple[discord.UnfurledMediaItem, str | None]]:
    """Media that components show, with their names where they have one."""
    for component in _components(part):
        if isinstance(component, discord.MediaGalleryComponent):
            yield from ((item.media, None) for item in component.items)
        elif isinstance(component, discord.FileComponent):
            yield component.media, component.name


def _link_name(url: str) -> str:
    """File name or host of a link, for where its page tells no title: the whole of it may hold somebody's key."""
    try:
        parts = urlsplit(url)
        return unquote(PurePosixPath(parts.path).name) or parts.hostname or url
    except ValueError:
        return url
