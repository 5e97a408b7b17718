"""What yt-dlp writes: the song and the progress on standard output, errors on standard error.

yt-dlp has over a thousand extractors and no error codes: what went wrong is only in its English messages, most of
which are common to all (`extractor/common.py`: `raise_login_required`, `raise_geo_restricted`, `report_drm`).
"""

import logging
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ErrorCode, GenreGenieError
from core.fetch.result import ByteProgress, too_large
from core.settings import Settings

logger = logging.getLogger(__name__)

PRINT_OPTIONS: Final = (
    *("--quiet", "--no-warnings", "--no-simulate", "--progress", "--newline", "--progress-delta", "0.25"),
    *(
        "--print",
        'pre_process:{"song": %(.{title,uploader,duration,is_live,live_status,playlist_index,playlist_count})j}',
    ),
    *("--progress-template", 'download:{"progress": %(progress.{downloaded_bytes,total_bytes,total_bytes_estimate})j}'),
)
"""Options that make yt-dlp write one JSON object a line, as `OutputReader` parses it."""

_ERROR_PREFIX: Final = "ERROR:"

_ERROR_PATTERNS: Final = tuple(
    (code, re.compile(pattern))
    for code, pattern in (
        (ErrorCode.BUSY, r"no space left|disk quota exceeded"),
        (ErrorCode.TOO_LARGE, r"file too large"),
        # The service distrusts the bot's address; an account would not help whoever requested the song.
        (ErrorCode.UNAVAILABLE, r"not a bot|too many requests|http error 429|rate.?limit"),
        (ErrorCode.DRM_PROTECTED, r"\bdrm\b|copy.?protect"),
        (
            ErrorCode.REGION_BLOCKED,
            r"geo.?(restrict|block)|(in|from) (your|this|the current) (country|region|location)|licensing restrictions"
            r"|in your geo|outside (of )?(the|your)|not available (in|from) \w+ due to|http error 451",
        ),
        (
            ErrorCode.AGE_RESTRICTED,
            r"(confirm|verify) your age|age.?(restrict|gate|limit|verif|check)|inappropriate for some users"
            r"|nsfw|adult content|mature (content|audience)",
        ),
        (
            ErrorCode.LIVE_STREAM,
            r"live event|premieres? (in|will)|live.?stream|is live|(is|are|was) (currently )?offline"
            r"|not (currently )?live"
            r"|no longer live|live (has|stream has) ended|not (yet )?started|(will|has) (begin|not begun)|upcoming"
            r"|not airing|broadcast",
        ),
        (
            ErrorCode.NOT_PUBLIC,
            r"\bprivate\b|members?.only|available to .*members|join this channel|premium|\bpaid\b|\bpay(ment|wall)?\b"
            r"|purchas|subscri(be|ption|bed|bers)|\brent(al|ed)?\b|\btickets?\b|patron|http error 402",
        ),
        (
            ErrorCode.LOGIN_REQUIRED,
            r"log.?in|logged|sign.?in|registered users|account|cookies|password|authenticat|authoriz|http error 401",
        ),
        (ErrorCode.NO_AUDIO_TRACK, r"requested format is not available"),
        (ErrorCode.UNSUPPORTED_LINK, r"unsupported url|not a valid url|no video formats|no suitable extractor"),
        (ErrorCode.TIMEOUT, r"timed out"),
    )
)


class SongInfo(BaseModel):
    """What yt-dlp reports of a song before it downloads it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str | None = None
    uploader: str | None = None
    duration: float | None = Field(default=None, ge=0.0, le=1e9)
    is_live: bool | None = None
    live_status: str | None = None
    playlist_index: int | None = None
    playlist_count: int | None = None

    @property
    def from_playlist(self) -> bool:
        """Whether the song is one of several; how many is not always known."""
        return self.playlist_index is not None and self.playlist_count != 1

    @property
    def is_live_stream(self) -> bool:
        """Whether the song is a live stream: running, announced, or not yet published as a recording."""
        return bool(self.is_live) or self.live_status in ("is_live", "is_upcoming", "post_live")


class _Progress(BaseModel):
    """How far the download has come."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    downloaded_bytes: float = Field(default=0, ge=0.0, le=1e15)
    total_bytes: float | None = Field(default=None, ge=0.0, le=1e15)
    total_bytes_estimate: float | None = Field(default=None, ge=0.0, le=1e15)


class _Line(BaseModel):
    """One line of standard output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    song: SongInfo | None = None
    progress: _Progress | None = None


class OutputReader:
    """Parses yt-dlp's standard output, line by line.

    Args:
        settings: limits.
        on_progress: called for each line of progress.

    Attributes:
        song: what yt-dlp reported of the song so far.
    """

    def __init__(self, settings: Settings, on_progress: ByteProgress | None) -> None:
        self.song = SongInfo()
        self._settings = settings
        self._on_progress = on_progress

    def read_line(self, line: bytes) -> None:
        """Parse one line.

        Raises:
            GenreGenieError: `live-stream`, `too-long` or `too-large`, as soon as yt-dlp reports it; `internal`: the
                line does not have the requested form.
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

    def _read_song(self, song: SongInfo) -> None:
        self.song = song
        if song.is_live_stream:
            raise GenreGenieError(ErrorCode.LIVE_STREAM)
        if song.duration is not None and song.duration > self._settings.max_duration_s:
            raise GenreGenieError(ErrorCode.TOO_LONG, limit_minutes=f"{self._settings.max_duration_s / 60:.0f}")

    def _read_progress(self, progress: _Progress) -> None:
        if progress.total_bytes is not None and progress.total_bytes > self._settings.max_file_bytes:
            raise too_large(self._settings)
        if self._on_progress is not None:
            total = progress.total_bytes or progress.total_bytes_estimate
            self._on_progress(int(progress.downloaded_bytes), None if total is None else int(total))


def error_code(stderr: str) -> ErrorCode | None:
    """Return the code for yt-dlp's error messages; None if there are none."""
    lines = [line for line in stderr.splitlines() if line.startswith(_ERROR_PREFIX)]
    if not lines:
        return None
    text = " ".join(lines).lower().replace("\u2019", "'")
    return next((code for code, pattern in _ERROR_PATTERNS if pattern.search(text)), ErrorCode.UNAVAILABLE)
