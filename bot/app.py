"""From start to end: workers warm up while the gateway connects, and a signal ends it within twenty seconds."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from bot.logs import set_up_bot_logs
from bot.settings import BotSettings
from core.service.admission import Admission
from core.service.identify import Identifier, LocalIdentifier
from core.service.slots import FairSlots
from core.signals import on_stop_signal
from core.version import version_line
from core.workers.pool import WorkerPool

if TYPE_CHECKING:
    from bot.monitoring import AdmissionCollector, Metrics
    from bot.storage.results import ResultStore
    from bot.storage.retention import Retention
    from bot.storage.stores import Stores
    from core.service.fetcher import Fetcher
    from core.service.shared import OpenGuest, SharedService

log = logging.getLogger(__name__)

FINISH_S: Final = 9.0
"""How long running requests may go on after a signal; notices to the rest and closing take less than ten more."""

CLOSE_S: Final = 3.0
FOLLOW_S: Final = 15.0
RETAIN_S: Final = 600.0


async def serve(
    settings: BotSettings, load_guest: "Callable[[], OpenGuest] | None" = None, secrets: Sequence[SecretStr | None] = ()
) -> None:
    """Run the bot until SIGTERM or SIGINT.

    Args:
        settings: all of them.
        load_guest: imports what opens another face on the same workers.
        secrets: that face's, which no line of the log may contain.

    Raises:
        ConfigurationError: it cannot start as it is set up.
    """
    token = settings.required_token()
    gc.disable()
    set_up_bot_logs(settings, *secrets)
    log.info("%s", version_line(settings.model))
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    async with AsyncExitStack() as stack:
        pool = None
        # With a queue, only the page classifies here: what its visitors upload.
        if settings.queue_url is None or load_guest is not None:
            pool = WorkerPool(settings)
            await pool.start()
            stack.push_async_callback(pool.close, 0)
        # Its imports take a second: the loop stays free for the workers' start meanwhile.
        await asyncio.to_thread(_import_client)
        open_guest = await asyncio.to_thread(load_guest) if load_guest is not None else None
        # What has been imported stays: a collection that went through all of it would hold the loop up for 0.2 s.
        gc.freeze()
        gc.enable()
        await _serve(settings, token, pool, open_guest, stop, stack)


def _import_client() -> None:
    import bot.connection
    import bot.storage.stores  # noqa: F401


async def _serve(
    settings: BotSettings,
    token: str,
    pool: WorkerPool | None,
    open_guest: "OpenGuest | None",
    stop: asyncio.Event,
    stack: AsyncExitStack,
) -> None:
    from bot.client import GenreGenie
    from bot.connection import stay_connected
    from bot.jobs.member_locales import MemberLocales
    from bot.jobs.progress import EditBudget
    from bot.jobs.records import RequestRecorder
    from bot.jobs.service import JobService
    from bot.monitoring import HealthServer, Metrics, watch_ytdlp
    from bot.releases import Releases
    from bot.services import BotServices
    from bot.sharding import IdentifyGate
    from bot.storage.lock import sole_writer
    from bot.storage.shard_lock import sole_server
    from bot.storage.stores import Stores
    from bot.ui.interactions import Acknowledger
    from bot.ui.owners import Owners
    from bot.ui.permissions import PermissionNotices
    from bot.ui.responder import DiscordResponder
    from core.service.shared import GuestFace

    stack.enter_context(sole_writer(settings, shards=settings.shards))
    stores = Stores(settings)
    stack.push_async_callback(stores.close)
    lock = await stack.enter_async_context(sole_server(settings)) if stores.database.on_postgresql else None
    await stores.open()
    metrics = Metrics()
    locales = MemberLocales(stores.requests)
    backend = await (_local if settings.queue_url is None else _remote)(
        settings, pool, stores.results, metrics, stack, lends=open_guest is not None
    )
    jobs = JobService(
        settings,
        host=stores.host,
        guilds=stores.guilds,
        identifier=backend.identifier,
        admission=backend.admission,
        recorder=RequestRecorder(
            stores.requests, stores.open_requests, stores.neighbours, stores.corrections, metrics, locales
        ),
    )
    services = BotServices(
        settings=settings,
        metrics=metrics,
        jobs=jobs,
        workers=backend.workers,
        admission=backend.admission,
        host=stores.host,
        owners=Owners(),
        guilds=stores.guilds,
        requests=stores.requests,
        results=stores.results,
        corrections=stores.corrections,
        open_requests=stores.open_requests,
        neighbours=stores.neighbours,
        games=stores.games,
        tastes=stores.tastes,
        fetcher=backend.fetcher,
        retention=stores.retention,
        releases=Releases(settings, backend.fetcher.proxy, stores.meta),
        meta=stores.meta,
        locales=locales,
        acknowledge=Acknowledger(metrics, locales),
        notices=PermissionNotices(),
        respond=partial(DiscordResponder, budget=EditBudget(settings.own_progress_edits_per_s)),
    )
    guests: list[GuestFace] = []
    bots: list[GenreGenie] = []
    several = settings.shards is not None and stores.database.on_postgresql
    gate = IdentifyGate(stores.identify_slots.book) if several else None

    def make_bot(message_content: bool) -> GenreGenie:
        bots[:] = [GenreGenie(services, message_content=message_content, gate=gate)]
        return bots[0]

    async def readiness() -> Mapping[str, bool]:
        return {
            "gateway": bool(bots) and bots[0].connected,
            "workers": backend.workers()[0] > 0,
            "database": await stores.database.reachable(),
            **{guest.name: guest.is_serving() for guest in guests},
        }

    health = HealthServer(settings, metrics, readiness)
    await health.start()
    stack.push_async_callback(health.close)
    guest_stack = await stack.enter_async_context(AsyncExitStack())
    if open_guest is not None and backend.lent is not None:
        guests.append(await guest_stack.enter_async_context(open_guest(backend.lent)))
        backend.counted.add(guests[0].admission)
    background = [asyncio.create_task(work) for work in (metrics.watch_loop(), _retain(stores.retention))]
    if pool is not None:
        background.append(asyncio.create_task(watch_ytdlp()))
    if settings.shards is not None:
        background.append(asyncio.create_task(_follow_host(stores)))
    for task in background:
        task.add_done_callback(_log_failure)
    # A bot that can classify nothing had better not look alive, nor one whose shards are another's.
    needed = [asyncio.create_task(backend.ready())]
    if lock is not None:
        needed.append(asyncio.create_task(lock.keep()))
    for task in needed:
        task.add_done_callback(lambda ended: stop.set() if _failed(ended) else None)
    stack.callback(lambda: [task.cancel() for task in background + needed])
    bot = await stay_connected(make_bot, token, stop)
    log.info("Stopping")
    # At the same time: the end of both together is to take no longer than that of one.
    closing = asyncio.create_task(guest_stack.aclose())
    await jobs.close(FINISH_S)
    await closing
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(bot.close(), CLOSE_S)
    for task in needed:
        if failure := _failed(task):
            raise failure


@dataclass(frozen=True, slots=True)
class Backend:
    """What answers the bot's songs.

    Attributes:
        identifier: this machine's, or the one that asks others.
        admission: who may ask now.
        counted: the metrics of what has been admitted.
        ready: waits until songs can be answered; raises `ConfigurationError` where they never can.
        workers: how many workers are ready to answer, and how many of them are busy.
        fetcher: fetches what the bot itself posts, such as the song of a game.
        lent: what another face on this machine works with; None where there is none.
    """

    identifier: Identifier
    admission: Admission
    counted: "AdmissionCollector"
    ready: Callable[[], Coroutine[Any, Any, None]]
    workers: Callable[[], tuple[int, int]]
    fetcher: "Fetcher"
    lent: "SharedService | None"


async def _local(
    settings: BotSettings,
    pool: WorkerPool | None,
    cache: "ResultStore",
    metrics: "Metrics",
    stack: AsyncExitStack,
    *,
    lends: bool,
) -> Backend:
    """Answer songs on this machine."""
    if pool is None:
        raise RuntimeError("songs are answered here, but there are no workers")
    fetcher, lent = await _workshop(settings, pool, metrics, stack, lends=lends)
    turns = lent.turns if lent is not None else None
    admission = Admission.for_workers(settings.limits, pool.size, shared=turns, face="bot")
    counted = _count(metrics, admission)
    identifier = LocalIdentifier(settings, pool=pool, fetcher=fetcher, cache=cache)
    return Backend(
        identifier, admission, counted, pool.ready, lambda: (pool.ready_count, pool.busy_count), fetcher, lent
    )


async def _remote(
    settings: BotSettings,
    pool: WorkerPool | None,
    cache: "ResultStore",
    metrics: "Metrics",
    stack: AsyncExitStack,
    *,
    lends: bool,
) -> Backend:
    """Have the machines on the queue answer songs; they keep results in the store themselves."""
    from bot.monitoring import QueueCollector
    from core.queue.asker import open_queue
    from core.service.fetcher import open_fetcher

    lent = None
    if pool is None:
        fetcher = await open_fetcher(stack, settings)
    else:
        fetcher, lent = await _workshop(settings, pool, metrics, stack, lends=lends)
    queue = await open_queue(stack, settings, store_is_shared=True)
    admission = Admission.for_queue(settings.limits)
    counters = {
        "genregenie_queue_put_again": lambda: queue.put_again,
        "genregenie_queue_late_answers": lambda: queue.late,
    }
    metrics.registry.register(QueueCollector(lambda: queue.state, counters))

    async def ready() -> None:
        """Wait for nothing but a page's workers: songs wait in the queue for machines that come later."""
        if pool is not None:
            await pool.ready()

    counted = _count(metrics, admission)

    def workers() -> tuple[int, int]:
        return (queue.state.workers, queue.state.running) if queue.state is not None else (0, 0)

    return Backend(queue, admission, counted, ready, workers, fetcher, lent)


async def _workshop(
    settings: BotSettings, pool: WorkerPool, metrics: "Metrics", stack: AsyncExitStack, *, lends: bool
) -> "tuple[Fetcher, SharedService | None]":
    """Open what songs are fetched with on this machine; gives as well what is lent of all that, if another asks."""
    from bot.monitoring import WorkersCollector
    from core.service.fetcher import open_fetcher
    from core.service.shared import SharedService

    fetcher = await open_fetcher(stack, settings, faces=2 if lends else 1)
    metrics.registry.register(WorkersCollector(pool, fetcher.proxy))
    return fetcher, SharedService(pool, FairSlots(pool.size), fetcher, metrics.observe) if lends else None


def _count(metrics: "Metrics", admission: Admission) -> "AdmissionCollector":
    from bot.monitoring import AdmissionCollector

    counted = AdmissionCollector(admission)
    metrics.registry.register(counted)
    return counted


def _failed(task: asyncio.Task[None]) -> BaseException | None:
    """Give what a task has failed of, if it has."""
    return task.exception() if task.done() and not task.cancelled() else None


def _log_failure(task: asyncio.Task[None]) -> None:
    """Say that a task has failed that nobody waits for."""
    if failure := _failed(task):
        log.error("A background task failed", exc_info=failure)


async def _follow_host(stores: "Stores") -> None:
    """Read again and again what the host may have set in another of several processes."""
    from bot.storage.database import StoreError

    while True:
        await asyncio.sleep(FOLLOW_S)
        with contextlib.suppress(StoreError):
            await stores.host.load()
            await stores.guilds.load_defaults()


async def _retain(retention: "Retention") -> None:
    """Apply the retention times now and every hour, in one of the processes that share the database.

    Whatever fails, the next time goes on: what is past its time must not stay because of one bad hour.
    """
    from bot.storage.database import StoreError

    while True:
        try:
            await retention.apply_in_turn()
        except StoreError:
            log.warning("Old data was not deleted")
        except Exception:
            log.exception("Old data was not deleted")
        await asyncio.sleep(RETAIN_S)
