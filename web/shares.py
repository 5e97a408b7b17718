"""Answers that their visitors share: a file each, under an address that nobody can guess, for a week."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from core.errors import ErrorCode, GenreGenieError
from core.private_files import make_private_directory
from core.settings import MIB
from core.verdict import Prediction, SongInfo, Verdict

log = getLogger(__name__)

FOLDER: Final = "page-shared"
SHARE_S: Final = 7 * 86_400
MAX_SHARES: Final = 500
MAX_BYTES: Final = 64 * MIB
"""All shared answers together; one is some ten kilobytes, that of a whole long song up to a megabyte."""

MAX_PER_VISITOR: Final = 20
"""Answers that one visitor may share at a time. Who shared which is forgotten when the page is started anew."""

TIDY_S: Final = 3_600.0
"""How often what has ended is deleted; nobody sees it any more from its end on."""


@dataclass(frozen=True, slots=True)
class SharedAnswer:
    """What others see of an answer: everything but the sound, and of a link the host alone.

    Attributes:
        verdicts: of the models, the chosen one first.
        picture: PNG of the spectrogram.
        until: when it ends, seconds since 1970.
    """

    verdicts: tuple[Verdict, ...]
    picture: bytes | None
    until: float


class Shares:
    """The answers that are shared.

    Files are named by a digest of the address, so that the folder opens nothing, and by when they end.

    Args:
        folder: where they are.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._visitors: dict[str, str] = {}  # of the files that this process has written, by their names
        self._lock = Lock()
        self._remove_ended()

    def start(self, visitor: str, verdicts: Sequence[Verdict], picture: bytes | None) -> tuple[str, str]:
        """Share an answer; to be called beside the event loop.

        Returns:
            What names it in its address, and the secret that takes it back.

        Raises:
            GenreGenieError: `busy`: this visitor, or all together, share too much, or the disk is full.
        """
        token, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        content = json.dumps(
            {
                "secret": _digest(secret),
                "verdicts": [
                    {"prediction": _without_embedding(v.prediction), "song": asdict(_public(v.song))} for v in verdicts
                ],
                "picture": None if picture is None else base64.b64encode(picture).decode(),
            }
        ).encode()
        with self._lock:
            self._write(visitor, token, content)
        return token, secret

    def find(self, token: str) -> SharedAnswer | None:
        """Find what is shared under an address; None if there is nothing, or no longer. Beside the event loop."""
        read = self._read(token)
        if read is None:
            return None
        path, data = read
        try:
            verdicts = tuple(
                Verdict(Prediction.from_dict(one["prediction"]), _public(SongInfo(**one["song"])))
                for one in data["verdicts"]
            )
            picture = None if data["picture"] is None else base64.b64decode(data["picture"])
        except (ValueError, TypeError, KeyError):
            return None
        return SharedAnswer(verdicts, picture, _end_of(path)) if verdicts else None

    def end(self, token: str, secret: str) -> bool:
        """Take an answer back, and return whether the secret allows it; to be called beside the event loop."""
        read = self._read(token)
        if read is None:
            return True
        path, data = read
        if not hmac.compare_digest(str(data.get("secret")), _digest(secret)):
            return False
        path.unlink(missing_ok=True)
        return True

    async def keep_tidy(self, _: web.Application) -> AsyncIterator[None]:
        """Delete what has ended from time to time, while an application runs (one of its `cleanup_ctx`)."""
        tidying = asyncio.create_task(self._tidy())
        yield
        tidying.cancel()
        await asyncio.wait([tidying])

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            try:
                await asyncio.to_thread(self._tidy_once)
            except OSError as error:
                log.warning("Answers whose sharing has ended cannot be deleted: %s", error.strerror)

    def _tidy_once(self) -> None:
        with self._lock:
            self._remove_ended()

    def _write(self, visitor: str, token: str, content: bytes) -> None:
        try:
            make_private_directory(self._folder)
            kept = self._remove_ended()
            held = sum(path.stat().st_size for path in kept)
            own = sum(self._visitors.get(path.name) == visitor for path in kept)
            if own >= MAX_PER_VISITOR or len(kept) >= MAX_SHARES or held + len(content) > MAX_BYTES:
                raise GenreGenieError(ErrorCode.BUSY)
            path = self._folder / f"{round(self._clock()) + SHARE_S}-{_digest(token)}.json"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        except OSError:
            raise GenreGenieError(ErrorCode.BUSY) from None
        self._visitors[path.name] = visitor

    def _read(self, token: str) -> tuple[Path, dict[str, Any]] | None:
        for path in self._folder.glob(f"*-{_digest(token)}.json"):
            if _end_of(path) <= self._clock():
                path.unlink(missing_ok=True)
            else:
                try:
                    data = json.loads(path.read_bytes())
                except (OSError, ValueError):
                    return None
                return (path, data) if isinstance(data, dict) else None
        return None

    def _remove_ended(self) -> list[Path]:
        """Delete what has ended, and give what has not."""
        kept = []
        for path in self._folder.glob("*-*.json"):
            if _end_of(path) > self._clock():
                kept.append(path)
            else:
                path.unlink(missing_ok=True)
        names = {path.name for path in kept}
        self._visitors = {name: visitor for name, visitor in self._visitors.items() if name in names}
        return kept


def _end_of(path: Path) -> float:
    end = path.name.partition("-")[0]
    return float(end) if end.isdigit() else 0.0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _public(song: SongInfo) -> SongInfo:
    """Leave out where a link leads, all but the host: the rest may be signed, or known to few.

    Files that earlier versions wrote still have it.
    """
    try:
        parts = urlsplit(song.source)
    except ValueError:
        return song  # a file that is called so
    return replace(song, source=parts.hostname or "") if parts.scheme in ("http", "https") else song


def _without_embedding(prediction: Prediction) -> dict[str, object]:
    return {**prediction.to_dict(), "embedding": (), "why": None}
