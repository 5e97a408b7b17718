"""What fetching gives: a file and what its source says of it, or one of the errors."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ErrorCode, GenreGenieError
from core.fetch.proxy import ProxyLease
from core.fetch.url_policy import Refusal
from core.settings import Settings

_MAX_TEXT: Final = 200

_REFUSED: Final = {
    Refusal.ADDRESS: ErrorCode.BLOCKED_ADDRESS,
    Refusal.PORT: ErrorCode.BLOCKED_ADDRESS,
    Refusal.BYTES: ErrorCode.TOO_LARGE,
    Refusal.CONNECTIONS: ErrorCode.TOO_LARGE,
    Refusal.REQUEST: ErrorCode.UNSUPPORTED_LINK,
    Refusal.TIME: ErrorCode.TIMEOUT,
    Refusal.NAME: ErrorCode.UNAVAILABLE,
    Refusal.UNREACHABLE: ErrorCode.UNAVAILABLE,
    Refusal.SECRET: ErrorCode.INTERNAL,
}
"""Error of each refusal, the most telling first."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A local file, and what its source says of it.

    Attributes:
        path: inside the job's own directory.
        title: as the source names it.
        uploader: who published it.
        duration: that the source announces, seconds; the file may differ.
        note: key of a sentence about the source (`note.playlist-first`), or None.
    """

    path: Path
    title: str | None = None
    uploader: str | None = None
    duration: float | None = None
    note: str | None = None


def too_large(settings: Settings) -> GenreGenieError:
    """Error for a file over the limit."""
    return GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=settings.max_file_mb)


def refusal_error(reason: Refusal, settings: Settings) -> GenreGenieError:
    """Error for something that the proxy did not let through."""
    code = _REFUSED[reason]
    return too_large(settings) if code == ErrorCode.TOO_LARGE else GenreGenieError(code)


def lease_error(lease: ProxyLease, settings: Settings) -> GenreGenieError | None:
    """Error for the most telling thing that a job was refused, None if it was refused nothing."""
    for reason in _REFUSED:
        if lease.refusals[reason]:
            return refusal_error(reason, settings)
    return None


def clean_text(text: str | None) -> str | None:
    """One line without control and direction characters, cut to 200 characters; None if nothing is left.

    A title is a stranger's text: it must not forge a second line of a log or turn the words around it.
    """
    if text is None:
        return None
    spaced = "".join(" " if character.isspace() else character for character in text)
    kept = "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
    line = " ".join(kept.split())
    return (line if len(line) <= _MAX_TEXT else f"{line[: _MAX_TEXT - 1]}…") or None
