"""`genregenie worker`: answers songs from the queue with this machine's proxy, sandbox, temporary files and pool."""

import asyncio
import gc
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from bot.logs import set_up_bot_logs
from bot.monitoring import HealthServer, Metrics, QueueCollector, WorkersCollector, watch_ytdlp
from bot.settings import BotSettings
from bot.storage.database import Database, StoreError
from bot.storage.results import ResultStore
from core.audio.spectrogram import QuantizedMel
from core.errors import ConfigurationError
from core.service.fetcher import open_fetcher
from core.service.identify import IdentifyResult, LocalIdentifier
from core.signals import on_stop_signal
from core.version import version_line
from core.workers.pool import WorkerPool

log = logging.getLogger(__name__)

KIND: Final = "queue"
"""What the metrics of requests call those that came from the queue."""


async def serve(settings: BotSettings) -> None:
    """Answer songs from the queue until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: it cannot start as it is set up.
    """
    if settings.queue_url is None:
        raise ConfigurationError("GENREGENIE_QUEUE_URL: needed, it is where a worker gets its songs")
    set_up_bot_logs(settings)
    log.info("%s", version_line(settings.model))
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(WorkerPool(settings))
        await _serve(settings, pool, stop, stack)


async def _serve(settings: BotSettings, pool: WorkerPool, stop: asyncio.Event, stack: AsyncExitStack) -> None:
    from core.queue.asker import open_database
    from core.queue.worker import QueueWorker

    # At the level of errors it logs each job that fails with its arguments: members' addresses.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    database = Database(settings)
    stack.push_async_callback(database.close)
    await database.open()
    results = ResultStore(database, quota_bytes=settings.store_bytes)

    async def spectrogram(sha256: str) -> QuantizedMel | None:
        try:
            return await results.spectrogram(sha256)
        except StoreError:
            return None

    fetcher = await open_fetcher(stack, settings)
    queue = await open_database(stack, settings)
    metrics = Metrics()

    def observe(outcome: str, seconds: float, result: IdentifyResult | None) -> None:
        metrics.observe(KIND, outcome, seconds, result)

    identifier = LocalIdentifier(settings, pool=pool, fetcher=fetcher, cache=results)
    storeless = LocalIdentifier(settings, pool=pool, fetcher=fetcher)
    worker = QueueWorker(queue, identifier, storeless, workers=pool.size, spectrograms=spectrogram, observe=observe)
    metrics.registry.register(WorkersCollector(pool, fetcher.proxy))
    counters = {
        "genregenie_queue_redelivered": lambda: worker.redelivered,
        "genregenie_queue_late_answers": lambda: worker.late,
    }
    metrics.registry.register(QueueCollector(lambda: worker.state, counters))

    async def readiness() -> Mapping[str, bool]:
        return {
            "workers": pool.ready_count > 0 and not stop.is_set(),
            "queue": worker.state is not None,
            "database": await database.reachable(),
        }

    health = HealthServer(settings, metrics, readiness)
    await health.start()
    stack.push_async_callback(health.close)
    background = [asyncio.create_task(work) for work in (metrics.watch_loop(), watch_ytdlp())]
    stack.callback(lambda: [task.cancel() for task in background])
    # What has been imported stays: a collection that went through all of it would hold the loop up, and the end too.
    gc.freeze()
    await pool.ready()  # a machine that can classify nothing takes nothing
    await worker.serve(stop, settings.drain_s)
    log.info("Stopped")
