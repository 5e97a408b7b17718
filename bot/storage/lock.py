"""One writer: a bot, or a restore, holds its database, and whoever comes second is refused.

The lock is the operating system's (`flock`), so it ends with its process, however that ends.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bot.settings import BotSettings
from bot.storage.engine import sqlite_file
from core.errors import ConfigurationError
from core.i18n.catalog import translate

WAIT_S: Final = 1.0
"""How long a lock may be held by one who only looks whether it is free."""


@contextlib.contextmanager
def sole_writer(settings: BotSettings, *, shards: str | None = None) -> Iterator[None]:
    """Hold the database while the context lasts.

    Args:
        settings: where the database is.
        shards: those of this process; processes of different shards may share a database. None is all of them.

    Raises:
        ConfigurationError: another process holds it, or the folder cannot be written to.
    """
    whole, own = _lock_file(settings, None), _lock_file(settings, shards)
    with contextlib.ExitStack() as stack:
        try:
            whole.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_lock(own))
            for other in _others(whole, own):
                with _lock(other):
                    pass
        except Timeout:
            raise ConfigurationError(translate("bot.start.in-use", path=whole.parent)) from None
        except OSError as error:
            reason = error.strerror or "OSError"
            raise ConfigurationError(translate("bot.start.database-write", reason=reason)) from None
        yield


def _lock(path: Path) -> FileLock:
    return FileLock(path, timeout=WAIT_S, mode=0o600, thread_local=False)


def _lock_file(settings: BotSettings, shards: str | None) -> Path:
    """File beside the database, or in the data folder where the database is no file."""
    base = sqlite_file(settings) or settings.data_dir / "genregenie"
    return base.with_name(f"{base.name}{f'.shards-{shards}' if shards else ''}.lock")


def _others(whole: Path, own: Path) -> list[Path]:
    """Locks that must be free: that of all shards, or that of any."""
    return [whole] if own != whole else sorted(whole.parent.glob(f"{whole.stem}.shards-*.lock"))
