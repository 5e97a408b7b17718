"""What somebody asks of the bot, and what the bot may do where it was asked."""

from dataclasses import dataclass, field
from enum import StrEnum

from core.logging_setup import current_reference, new_reference
from core.service.sources import Source


class RequestKind(StrEnum):
    """How a request was made. The values are in the database, in the metrics and in the log."""

    SLASH = "slash"
    MENU = "menu"
    AUTOSCAN = "dropped"
    DIRECT = "direct"
    PART = "part"
    WHOLE = "whole"
    GUESS = "guess"
    COMPARE = "compare"


@dataclass(frozen=True, slots=True)
class Song:
    """One song of a request, under the asker's own name for it."""

    source: Source
    name: str


@dataclass(frozen=True, slots=True)
class ReplyCapabilities:
    """What a channel lets the bot do.

    Attributes:
        embeds: send embeds.
        files: send files.
        notice: sentence about what is missing, to stand under the answer.
    """

    embeds: bool = True
    files: bool = True
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyPlace:
    """Where a request's progress and answer are, for a process that has only its record.

    Attributes:
        channel_id: of the channel.
        token: the interaction's.
        message_id: the bot's own message; None where there is none yet.
        posted_id: the message that is answered, where nobody used a command.
    """

    channel_id: int
    token: str | None = None
    message_id: int | None = None
    posted_id: int | None = None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One request, of one or more songs.

    Attributes:
        kind: how it was made.
        user_id: who asks.
        guild_id: the server where they ask; None in a direct conversation.
        private: whether only the asker may see the answer.
        locale: language of the answer.
        songs: at least one.
        whole: classify all of each song instead of its main section.
        start: classify the thirty seconds from this second on.
        left_out: how many more songs there were than one reply has room for.
        capabilities: of the bot, where the answer goes.
        place: where the answer goes; None where it cannot be found again after a crash.
        restores: id of the stored request whose answer the message shows until this one's takes its place.
        attempt: how often it was begun before a crash.
        own_locale: the asker's language; None where nobody has told it, and it is that of the answer.
        songs_id: the message that holds the songs, where that is neither the answer nor the one answered.
        reference: short id, in the log and under errors; that of the running task where it has one.
    """

    kind: RequestKind
    user_id: int
    guild_id: int | None
    private: bool
    locale: str
    songs: tuple[Song, ...]
    whole: bool = False
    start: float | None = None
    left_out: int = 0
    capabilities: ReplyCapabilities = field(default_factory=ReplyCapabilities)
    place: ReplyPlace | None = None
    restores: int | None = None
    attempt: int = 0
    own_locale: str | None = None
    songs_id: int | None = None
    reference: str = field(default_factory=lambda: current_reference.get() or new_reference())

    @property
    def asker_locale(self) -> str:
        """Language of what is said to the asker alone."""
        return self.own_locale or self.locale

    @property
    def group(self) -> int:
        """Whose share of the queue it takes: the server's; a direct conversation is a group of its own."""
        return self.guild_id or -self.user_id
