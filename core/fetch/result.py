"""What fetching returns: a file with what its source says of it, or one of the errors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ErrorCode, GenreGenieError
from core.proxy.lease import ProxyLease
from core.proxy.url_policy import Refusal
from core.settings import Settings
from core.text import one_line

ByteProgress = Callable[[int, int | None], None]
"""Called with the number of bytes received and, where it is known, the total."""

_MAX_TEXT: Final = 200
"""Characters of a title or an uploader's name."""

_REFUSAL_ERRORS: Final = {
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
"""Error code of each refusal, the most specific first."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A local file, and what its source says of it.

    Attributes:
        path: inside the job's own directory.
        title: as the source names it, one line.
        uploader: who published it, one line.
        note: key of a sentence about the source (`note.playlist-first`), or None.
    """

    path: Path
    title: str | None = None
    uploader: str | None = None
    note: str | None = None


def too_large(settings: Settings) -> GenreGenieError:
    """Make the error for a file over the limit."""
    return GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=settings.max_file_mb)


def refusal_error(reason: Refusal, settings: Settings) -> GenreGenieError:
    """Make the error for something that the proxy refused."""
    code = _REFUSAL_ERRORS[reason]
    return too_large(settings) if code == ErrorCode.TOO_LARGE else GenreGenieError(code)


def lease_error(lease: ProxyLease, settings: Settings) -> GenreGenieError | None:
    """Make the error for a job's most specific refusal; None if nothing was refused."""
    for reason in _REFUSAL_ERRORS:
        if lease.refusals[reason]:
            return refusal_error(reason, settings)
    return None


def clean_text(text: str | None) -> str | None:
    """Return a stranger's text as one line of at most 200 characters; None if nothing is left."""
    return None if text is None else one_line(text, _MAX_TEXT) or None
