"""What yt-dlp complains of → the error that the asker is told.

yt-dlp has over a thousand extractors and no error codes: what is wrong stands only in its English sentences, most
of them common to all (`extractor/common.py`: `raise_login_required`, `raise_geo_restricted`, `report_drm`).
"""

import re
from typing import Final

from core.errors import ErrorCode

_MARK: Final = "ERROR:"

_PATTERNS: Final = tuple(
    (code, re.compile(pattern))
    for code, pattern in (
        (ErrorCode.BUSY, r"no space left|disk quota exceeded"),
        (ErrorCode.TOO_LARGE, r"file too large"),
        # It is the bot's address that the service does not trust; an account is not what the asker lacks.
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


def complaint_code(errors: str) -> ErrorCode | None:
    """Error code for yt-dlp's standard error; None if it says nothing that is an error of its own kind."""
    lines = [line for line in errors.splitlines() if line.startswith(_MARK)]
    if not lines:
        return None
    text = " ".join(lines).lower().replace("\u2019", "'")
    return next((code for code, pattern in _PATTERNS if pattern.search(text)), ErrorCode.UNAVAILABLE)
