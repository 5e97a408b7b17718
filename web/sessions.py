"""Who has given the password: sessions that outlive a restart, and that can be ended."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from logging import getLogger
from pathlib import Path
from typing import Final

log = getLogger(__name__)

SESSION_S: Final = 30 * 86_400
MAX_SESSIONS: Final = 10_000
"""Sessions at most; the oldest are dropped first."""


class Sessions:
    """The sessions that are logged in.

    Kept is only a keyed digest of each, so that the file opens nothing; the password is part of the key, so that a new
    one ends them all.

    Args:
        password: what opens a session.
        path: where they are kept.
        clock: seconds since 1970.
    """

    def __init__(self, password: str, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(password.encode()).digest()
        self._path = path
        self._clock = clock
        self._expiry = self._read()

    def start(self) -> str:
        """Start a session, and give the secret that its cookie holds."""
        session = secrets.token_urlsafe(32)
        now = self._clock()
        self._expiry = {digest: expiry for digest, expiry in self._expiry.items() if expiry > now}
        self._expiry[self._digest(session)] = now + SESSION_S
        while len(self._expiry) > MAX_SESSIONS:
            del self._expiry[next(iter(self._expiry))]
        self._write()
        return session

    def is_open(self, session: str) -> bool:
        """Whether a session was started and has not ended."""
        return self._expiry.get(self._digest(session), 0.0) > self._clock()

    def end(self, session: str) -> None:
        """End a session."""
        if self._expiry.pop(self._digest(session), None) is not None:
            self._write()

    def _digest(self, session: str) -> str:
        # A cookie may hold any bytes, which the server hands on as half characters where they are no UTF-8.
        return hmac.new(self._key, session.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def _read(self) -> dict[str, float]:
        try:
            read = json.loads(self._path.read_text("utf-8"))
            return {str(digest): float(expiry) for digest, expiry in read.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError):
            log.warning("%s cannot be read: visitors log in again", self._path.name)
            return {}

    def _write(self) -> None:
        """Replace the file; sessions that cannot be written end with this process."""
        new = self._path.with_suffix(".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(self._expiry, file)
            new.replace(self._path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path.name, error.strerror)
