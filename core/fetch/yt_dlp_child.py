"""Run yt-dlp on one link and say what came of it as JSON: `python -I -B yt_dlp_child.py`, in the sandbox.

It runs as a script of its own, with yt-dlp and the standard library only: nothing of the project is in its sandbox. It
reads yt-dlp's options and the link, quoted as in a shell, from standard input, and writes one JSON object a line:

    {"song": {...}}       what the site says of the song, before anything is downloaded
    {"progress": {...}}   bytes that have arrived and, where the server announced it, their total
    {"failure": {...}}    what went wrong: yt-dlp's own exception classes and fields, never its English

`core.fetch.ytdlp_output` parses these lines, and trusts them no more than the link.
"""

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

import yt_dlp
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.unsupported import KnownDRMIE, UnsupportedInfoExtractor
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import GeoRestrictedError, UnsupportedError, UserNotLive, YoutubeDLError

PROGRESS_SECONDS: Final = 0.25

# Extractors report these through methods of their base class, which end in a plain ExtractorError or, where the rest of
# the metadata can still be had, in a warning: the call is what tells them apart.
REPORTS: Final = {"raise_login_required": "login", "raise_geo_restricted": "region", "report_drm": "drm"}

# Any extension of a direct link serves, since files are named by us; yt-dlp refuses those that it does not know.
EXTENSION: Final = "unknown_video"

_REASONS: Final = ((GeoRestrictedError, "region"), (UserNotLive, "not-live"), (UnsupportedError, "unsupported"))

Info = dict[str, Any]


class EndlessError(Exception):
    """The server plays a radio station: it would never end."""


class NoSoundError(Exception):
    """Nothing of what the site offers can be downloaded for its sound."""


class Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """yt-dlp, which recognises radio stations by their headers."""

    def urlopen(self, request: object) -> Response:
        """Send a request.

        Raises:
            EndlessError: SHOUTcast's or Icecast's headers (`icy-name`, `icy-br`...), and no length.
        """
        response = super().urlopen(request)
        names = {name.lower() for name in response.headers}
        if "content-length" not in names and any(name.startswith("icy-") for name in names):
            raise EndlessError
        return response


class Session:
    """One link, from its options to the last line of output.

    Args:
        output: takes the lines.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._info: Info = {}
        self._reports: set[str] = set()
        self._chosen = False
        self._written_at = -math.inf

    def run(self, words: list[str]) -> int:
        """Download what the last word leads to, with the others as options; return the exit status."""
        self._note_reports()
        parsed = yt_dlp.parse_options(words)
        options = {
            **parsed.ydl_opts,
            "noprogress": True,
            "ignoreerrors": False,
            # Without formats, the metadata still say why there are none.
            "ignore_no_formats_error": True,
            "match_filter": self.check_song,
            "progress_hooks": [self.report_progress],
        }
        try:
            with Downloader(options) as downloader:
                downloader.download(parsed.urls)
            if not self._chosen:  # an empty playlist, or an extractor that went on after a report
                raise NoSoundError
        except Exception as error:
            self._write("failure", self._describe(error))
            return 1
        return 0

    def check_song(self, info: Info, *, incomplete: object = False) -> None:
        """Report a song before its formats are chosen, and check afterwards that one was.

        Raises:
            NoSoundError: none was.
        """
        self._info = info
        if incomplete:
            self._write("song", _song(info))
            return
        if not (info.get("url") or info.get("requested_formats")):
            raise NoSoundError
        self._chosen = True
        info["ext"] = EXTENSION

    def report_progress(self, state: Info) -> None:
        """Report bytes that have arrived, up to four times a second."""
        now = time.monotonic()
        if now - self._written_at < PROGRESS_SECONDS and state.get("status") != "finished":
            return
        self._written_at = now
        names = ("downloaded_bytes", "total_bytes", "total_bytes_estimate")
        self._write("progress", {name: _number(state.get(name)) for name in names if name in state})

    def _note_reports(self) -> None:
        for name, reason in REPORTS.items():
            setattr(InfoExtractor, name, self._noting(getattr(InfoExtractor, name), reason))

    def _noting(self, method: Callable[..., object], reason: str) -> Callable[..., object]:
        def noting(*arguments: object, **named: object) -> object:
            self._reports.add(reason)
            return method(*arguments, **named)

        return noting

    def _describe(self, error: BaseException) -> Info:
        chain = _chain(error)
        formats = self._info.get("formats") or []
        http = next((cause for cause in chain if isinstance(cause, HTTPError)), None)
        system = next((cause.errno for cause in chain if isinstance(cause, OSError) and cause.errno), None)
        extractor = next(filter(None, (getattr(cause, "ie", None) for cause in chain)), None)
        return {
            "errors": [type(cause).__name__ for cause in chain],
            "reasons": sorted(self._reports | _reasons(chain, extractor) | ({"drm"} if self._has_drm() else set())),
            "status": http.status if http is not None else None,
            "errno": system,
            "extractor": _text(extractor or self._info.get("extractor")),
            "expected": any(getattr(cause, "expected", False) for cause in chain),
            "formats": len(formats),
            "pictures_only": bool(formats) and all(_is_silent(found) for found in formats),
            "song": _song(self._info),
        }

    def _has_drm(self) -> bool:
        return bool(self._info.get("_has_drm"))

    def _write(self, kind: str, content: Info) -> None:
        self._output.write(json.dumps({kind: content}) + "\n")
        self._output.flush()


def _song(info: Info) -> Info:
    """Give what is known of a song, in JSON's types."""
    texts = ("title", "uploader", "live_status", "availability")
    numbers = ("duration", "age_limit", "playlist_index", "playlist_count")
    return {
        **{name: _text(info.get(name)) for name in texts},
        **{name: _number(info.get(name)) for name in numbers},
        "is_live": bool(info.get("is_live")),
    }


def _text(value: object) -> str | None:
    # Sites cut titles in the middle of an emoji; half of one is no text that the other side could read.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if value >= 0 else None


def _is_silent(found: Info) -> bool:
    """Whether a format is known to be a moving picture without sound; storyboards are neither."""
    return found.get("acodec") == "none" and found.get("vcodec") not in (None, "none")


def _chain(error: BaseException) -> list[BaseException]:
    """List an error and what caused it, through yt-dlp's own fields too; each once."""
    chain: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(chain) < 32:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or cause in chain:
            continue
        chain.append(cause)
        exc_info = getattr(cause, "exc_info", None) if isinstance(cause, YoutubeDLError) else None
        waiting += [
            exc_info[1] if exc_info else None,
            getattr(cause, "cause", None),
            cause.__cause__,
            cause.__context__,
        ]
    return chain


def _reasons(chain: list[BaseException], extractor: object) -> set[str]:
    reasons = {reason for kind, reason in _REASONS if any(isinstance(cause, kind) for cause in chain)}
    if any(isinstance(cause, TimeoutError) for cause in chain):
        reasons.add("timeout")
    if any(isinstance(cause, EndlessError) for cause in chain):
        reasons.add("endless")
    # Sites that yt-dlp knows and will not support; one kind of them is protected.
    if extractor == KnownDRMIE.IE_NAME:
        reasons.add("drm")
    elif extractor in {kind.IE_NAME for kind in UnsupportedInfoExtractor.__subclasses__()}:
        reasons.add("unsupported")
    return reasons


def main() -> int:
    """Read the options from standard input and run; whatever else writes to standard output writes to the error's."""
    words = shlex.split(sys.stdin.read())
    with os.fdopen(os.dup(1), "w", encoding="ascii") as output:
        os.dup2(2, 1)
        return Session(output).run(words)


if __name__ == "__main__":
    sys.exit(main())
