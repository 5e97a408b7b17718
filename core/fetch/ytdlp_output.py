"""What `yt_dlp_child.py` writes, one JSON object a line: the song, the progress of the download, and why it failed."""

import errno
import logging
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ErrorCode, GenreGenieError, too_long
from core.fetch.radio import StreamPace
from core.fetch.result import ByteProgress, too_large
from core.settings import Settings

logger = logging.getLogger(__name__)

_LIVE_STATUSES: Final = ("is_live", "is_upcoming", "post_live")

OS_CODES: Final = {
    errno.ENOSPC: ErrorCode.BUSY,
    errno.EDQUOT: ErrorCode.BUSY,
    errno.EFBIG: ErrorCode.TOO_LARGE,
}
"""What the system's errors stand for."""

_REASON_CODES: Final = {
    "endless": ErrorCode.LIVE_STREAM,
    "not-live": ErrorCode.LIVE_STREAM,
    "drm": ErrorCode.DRM_PROTECTED,
    "region": ErrorCode.REGION_BLOCKED,
}

_STATUS_CODES: Final = {
    401: ErrorCode.LOGIN_REQUIRED,
    402: ErrorCode.NOT_PUBLIC,
    451: ErrorCode.REGION_BLOCKED,
}
"""HTTP statuses that say more than that the song cannot be had."""

_AVAILABILITY_CODES: Final = {
    "private": ErrorCode.NOT_PUBLIC,
    "premium_only": ErrorCode.NOT_PUBLIC,
    "subscriber_only": ErrorCode.NOT_PUBLIC,
    "needs_auth": ErrorCode.LOGIN_REQUIRED,
}
"""What yt-dlp calls a song's availability."""

_ADULT_AGE: Final = 18


class SongInfo(BaseModel):
    """What yt-dlp reports of a song before it downloads it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str | None = None
    uploader: str | None = None
    duration: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    is_live: bool | None = None
    live_status: str | None = None
    availability: str | None = None
    age_limit: float | None = None
    playlist_index: int | None = None
    playlist_count: int | None = None

    @property
    def from_playlist(self) -> bool:
        """Whether the song is one of several; how many is not always known."""
        return self.playlist_index is not None and self.playlist_count != 1

    @property
    def is_live_stream(self) -> bool:
        """Whether the song is a live stream: running, announced, or not yet published as a recording."""
        return bool(self.is_live) or self.live_status in _LIVE_STATUSES


class _Progress(BaseModel):
    """How far the download has come."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    downloaded_bytes: float = Field(default=0, ge=0.0, allow_inf_nan=False)
    total_bytes: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    total_bytes_estimate: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)


class Failure(BaseModel):
    """Why yt-dlp failed.

    Attributes:
        errors: names of the exception's class and of those that caused it.
        reasons: what its class, or the method that raised it, stands for (`yt_dlp_child.py` has the words).
        status: of the HTTP response that caused it.
        errno: of the system's error that caused it.
        extractor: yt-dlp's name of the site.
        expected: whether it is no defect of yt-dlp's.
        formats: how many the site offered.
        pictures_only: whether all of them are video without sound.
        song: what was known by then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: list[str] = []
    reasons: list[str] = []
    status: int | None = None
    errno: int | None = None
    extractor: str | None = None
    expected: bool = False
    formats: int = 0
    pictures_only: bool = False
    song: SongInfo = SongInfo()


class _Line(BaseModel):
    """One line of standard output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    song: SongInfo | None = None
    progress: _Progress | None = None
    failure: Failure | None = None


class OutputReader:
    """Parses the child's standard output, line by line.

    Args:
        settings: limits.
        pace: of what arrives.
        on_progress: called for each line of progress.

    Attributes:
        song: what yt-dlp reported of the song so far.
        failure: why it failed; None as long as it has not said.
    """

    def __init__(self, settings: Settings, pace: StreamPace, on_progress: ByteProgress | None) -> None:
        self.song = SongInfo()
        self.failure: Failure | None = None
        self._settings = settings
        self._pace = pace
        self._on_progress = on_progress

    def read_line(self, line: bytes) -> None:
        """Parse one line.

        Raises:
            GenreGenieError: `live-stream`, `too-long` or `too-large`, as soon as it shows; `internal`: the line does
                not have the agreed form.
        """
        try:
            parsed = _Line.model_validate_json(line)
        except ValidationError:
            logger.warning("yt-dlp wrote an unexpected line")
            raise GenreGenieError(ErrorCode.INTERNAL) from None
        if parsed.song is not None:
            self._read_song(parsed.song)
        if parsed.progress is not None:
            self._read_progress(parsed.progress)
        if parsed.failure is not None:
            self.failure = parsed.failure

    def _read_song(self, song: SongInfo) -> None:
        self.song = song
        if song.is_live_stream:
            raise GenreGenieError(ErrorCode.LIVE_STREAM)
        if song.duration is not None and song.duration > self._settings.max_duration_s:
            raise too_long(self._settings.max_duration_s)

    def _read_progress(self, progress: _Progress) -> None:
        received, total = int(progress.downloaded_bytes), progress.total_bytes
        if total is not None and total > self._settings.max_file_bytes:
            raise too_large(self._settings)
        estimate = total or progress.total_bytes_estimate
        if estimate is None and self._pace.is_endless(received):
            raise GenreGenieError(ErrorCode.LIVE_STREAM)
        if self._on_progress is not None:
            self._on_progress(received, None if estimate is None else int(estimate))


def failure_code(failure: Failure) -> ErrorCode:
    """Return the code for a failure: from what happened, the most certain first."""
    song = failure.song
    if failure.errno in OS_CODES:
        return OS_CODES[failure.errno]
    for reason, code in _REASON_CODES.items():
        if reason in failure.reasons:
            return code
    if song.is_live_stream:
        return ErrorCode.LIVE_STREAM
    # Sites ask for an account to see somebody's age.
    closed = "login" in failure.reasons or song.availability == "needs_auth"
    if closed and (song.age_limit or 0) >= _ADULT_AGE:
        return ErrorCode.AGE_RESTRICTED
    if song.availability in _AVAILABILITY_CODES:
        return _AVAILABILITY_CODES[song.availability]
    if "login" in failure.reasons:
        return ErrorCode.LOGIN_REQUIRED
    if failure.status is not None:
        return _STATUS_CODES.get(failure.status, ErrorCode.UNAVAILABLE)
    if "timeout" in failure.reasons:
        return ErrorCode.TIMEOUT
    if "unsupported" in failure.reasons:
        return ErrorCode.UNSUPPORTED_LINK
    if "NoSoundError" in failure.errors:
        return _no_sound_code(failure)
    return ErrorCode.UNAVAILABLE


def _no_sound_code(failure: Failure) -> ErrorCode:
    """Return the code for a page that was read, and has nothing that can be downloaded."""
    if failure.pictures_only:
        return ErrorCode.NO_AUDIO_TRACK
    # YouTube's pages always have something: without a cause in the metadata, it was withheld, or could not be computed.
    if is_youtube(failure):
        return ErrorCode.UNAVAILABLE
    return ErrorCode.UNSUPPORTED_LINK


def is_youtube(failure: Failure) -> bool:
    """Whether it was YouTube, whose formats take a JavaScript runtime."""
    return (failure.extractor or "").lower().startswith("youtube")
