"""Attachments and links → files on disk, with the proxy and the temporary files that both need."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from core.errors import ConfigurationError
from core.fetch.discord_cdn import fetch_attachment
from core.fetch.result import FetchedFile
from core.fetch.tempfiles import LINK_COPIES, TemporaryFiles
from core.fetch.ytdlp import fetch_link
from core.inference.pipeline import ProgressCallback, Step
from core.proxy.interface import Proxy
from core.proxy.process import ProxyProcess
from core.sandbox.supervisor import used_bytes
from core.settings import MIB, Settings


class Fetcher:
    """Fetches what is elsewhere, each file into a directory of its own that goes with the request.

    Args:
        settings: limits.
        proxy: through which everything is fetched.
        files: where fetched files lie while they are classified.
    """

    def __init__(self, settings: Settings, *, proxy: Proxy, files: TemporaryFiles) -> None:
        self._settings = settings
        self.proxy = proxy
        self.files = files

    @contextlib.asynccontextmanager
    async def attachment(
        self, url: str, filename: str, size: int | None, on_progress: ProgressCallback
    ) -> AsyncIterator[FetchedFile]:
        """Download an attachment; raises as `fetch_attachment` does."""
        with self.files.job(self._settings.max_file_bytes) as directory:
            fetched = await fetch_attachment(
                url,
                directory,
                proxy=self.proxy,
                settings=self._settings,
                filename=filename,
                size=size,
                on_progress=_in_shares(on_progress),
            )
            await self._give_back(directory)
            yield fetched

    @contextlib.asynccontextmanager
    async def link(self, url: str, on_progress: ProgressCallback) -> AsyncIterator[FetchedFile]:
        """Download the sound that a link leads to; raises as `fetch_link` does."""
        with self.files.job(LINK_COPIES * self._settings.max_file_bytes) as directory:
            fetched = await fetch_link(
                url, directory, proxy=self.proxy, settings=self._settings, on_progress=_in_shares(on_progress)
            )
            await self._give_back(directory)
            yield fetched

    async def _give_back(self, directory: Path) -> None:
        """Leave others the room that a song did not take: until it has been classified, several more may come."""
        with contextlib.suppress(PermissionError):  # what cannot be counted stays reserved
            self.files.give_back(directory, await asyncio.to_thread(used_bytes, directory))


def _in_shares(on_progress: ProgressCallback) -> Callable[[int, int | None], None]:
    """Turn bytes received and announced into the share of the fetching that is done."""

    def report(received: int, announced: int | None) -> None:
        on_progress(Step.FETCHING, min(1.0, received / announced) if announced else None)

    return report


def open_files(stack: contextlib.AsyncExitStack, settings: Settings, *, faces: int = 1) -> TemporaryFiles:
    """Open the temporary files until the stack is closed.

    Args:
        stack: closes them.
        settings: where they are, and their quota.
        faces: how many share the quota; each gets a part of its own.

    Raises:
        ConfigurationError: the data directory cannot be written to.
    """
    # One link at a time must always fit, however the two limits are set.
    quota = max(settings.max_tmp_mb * MIB // faces, LINK_COPIES * settings.max_file_bytes)
    files = TemporaryFiles(settings.data_dir / "tmp", quota=quota, min_free=settings.min_free_mb * MIB)
    try:
        return stack.enter_context(files)
    except OSError as error:
        raise ConfigurationError(f"GENREGENIE_DATA_DIR cannot be written to: {error.strerror}") from None


async def open_fetcher(stack: contextlib.AsyncExitStack, settings: Settings, *, faces: int = 1) -> Fetcher:
    """Open the proxy and the temporary files until the stack is closed; raises as `open_files` does."""
    files = open_files(stack, settings, faces=faces)
    proxy = await stack.enter_async_context(
        ProxyProcess(
            allowed_hosts=settings.allowed_hosts, blocked_networks=settings.blocked_networks, ca_file=settings.ca_file
        )
    )
    return Fetcher(settings, proxy=proxy, files=files)
