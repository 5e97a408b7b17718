"""One message that the bot sends: text, embeds, pictures and buttons, and what is left of it without permissions."""

import io
from dataclasses import dataclass, replace
from typing import Final

import discord

from bot.jobs.request import ReplyCapabilities
from core.errors import ErrorCode
from core.i18n.catalog import translate
from core.logging_setup import current_reference

MAX_TEXT: Final = 2_000

TRACEABLE: Final = frozenset(
    {
        ErrorCode.INTERNAL,
        ErrorCode.TIMEOUT,
        ErrorCode.UNAVAILABLE,
        ErrorCode.SERVER_ERROR,
        ErrorCode.LOGIN_REQUIRED,
        ErrorCode.UNSUPPORTED_LINK,
    }
)
"""Errors under which their request's id stands: those whose cause a host finds in the log, and may remove."""


def units(text: str) -> int:
    """Count characters outside the basic plane twice, as UTF-16 does: however Discord counts, it is not more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def fitting(text: str, limit: int) -> str:
    """Beginning of a text that Discord takes where it allows `limit` characters."""
    return text.encode("utf-16-le", "surrogatepass")[: 2 * limit].decode("utf-16-le", "ignore")


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG with its text alternative."""

    name: str
    png: bytes
    alt: str


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send.

    Attributes:
        content: text above the embeds.
        embeds: ten at most.
        pictures: what the embeds show.
        view: buttons and menus.
        text: the same as all of these in plain text, for where embeds may not be sent.
    """

    content: str | None
    embeds: tuple[discord.Embed, ...] = ()
    pictures: tuple[Picture, ...] = ()
    view: discord.ui.View | None = None
    text: str = ""

    def files(self) -> list[discord.File]:
        """Make the pictures into files; each is read once, so that every attempt needs new ones."""
        return [
            discord.File(io.BytesIO(picture.png), picture.name, description=picture.alt) for picture in self.pictures
        ]

    def without_pictures(self) -> "OutgoingMessage":
        """Leave the pictures out."""
        embeds = tuple(embed.copy().set_image(url=None) for embed in self.embeds)
        return replace(self, embeds=embeds, pictures=())

    def as_text(self) -> "OutgoingMessage":
        """Leave embeds and pictures out."""
        return replace(self, content=self.text or self.content, embeds=(), pictures=())

    def with_notice(self, notice: str | None) -> "OutgoingMessage":
        """Put a sentence under the text."""
        if not notice:
            return self
        room = MAX_TEXT - units(notice) - 1
        content = f"{self.content[:room]}\n{notice}" if self.content else notice
        return replace(
            self, content=fitting(content, MAX_TEXT), text=fitting(f"{fitting(self.text, room)}\n{notice}", MAX_TEXT)
        )

    def fitted(self, capabilities: ReplyCapabilities) -> "OutgoingMessage":
        """Leave out what the channel does not allow, and say so."""
        message = self
        if not capabilities.embeds:
            message = self.as_text()
        elif not capabilities.files:
            message = self.without_pictures()
        return message.with_notice(capabilities.notice)


def text_message(text: str) -> OutgoingMessage:
    """Make a message of text alone."""
    return OutgoingMessage(text, text=text)


def reference_line(reference: str, locale: str) -> str:
    """Make the small line under an error with the id that its log lines carry."""
    return f"-# {translate('bot.reference', locale, reference=reference)}"


def internal_error(locale: str) -> str:
    """Say that something went wrong in what the running task answers, with its id where it has one."""
    text, reference = translate("error.internal", locale), current_reference.get()
    return f"{text}\n{reference_line(reference, locale)}" if reference else text
