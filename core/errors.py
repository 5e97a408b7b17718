"""Everything that can go wrong, each with a stable code.

The sentence that people read is `core.i18n.catalog.error_sentence`; the texts are under `error.<code>` in `locales/`.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes that `--json`, the bot and the page answer with. Add, do not rename."""

    NOT_FOUND = "not-found"
    NOT_AUDIO = "not-audio"
    NO_AUDIO_TRACK = "no-audio-track"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    TOO_LARGE = "too-large"
    SILENT = "silent"
    NOT_MUSIC = "not-music"
    DAMAGED = "damaged"
    UNSUPPORTED_LINK = "unsupported-link"
    BLOCKED_ADDRESS = "blocked-address"
    LIVE_STREAM = "live-stream"
    LOGIN_REQUIRED = "login-required"
    NOT_PUBLIC = "not-public"
    AGE_RESTRICTED = "age-restricted"
    DRM_PROTECTED = "drm-protected"
    REGION_BLOCKED = "region-blocked"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server-error"
    EXPIRED_LINK = "expired-link"
    TIMEOUT = "timeout"
    BUSY = "busy"
    COOLDOWN = "cooldown"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class GenreGenieError(Exception):
    """An input that has no verdict, or a service that cannot give one now; as a string, its code.

    Args:
        code: what went wrong.
        params: what the sentence mentions (`limit_mb=25`), never a path, a token or a trace. Values are
            plain numbers and strings, so that the error crosses process borders as JSON.
    """

    def __init__(self, code: ErrorCode, **params: str | float) -> None:
        super().__init__(code.value)
        self.code = code
        self.params = params


def too_long(limit_s: float) -> GenreGenieError:
    """Make the error for a song that is longer than is allowed: `too-long`, with the limit in minutes ("30", "1.5")."""
    return GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=f"{round(limit_s / 60, 1):g}")


class ConfigurationError(Exception):
    """The program cannot start as it is set up; the message says what to change."""
