"""From start to end: workers warm up while the gateway connects, and a signal ends it within twenty seconds."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from bot.logs import set_up_bot_logs
from bot.settings import BotSettings
from core.service.admission import Admission
from core.service.slots import FairSlots
from core.signals import on_stop_signal
from core.version import version_line
from core.workers.pool import WorkerPool

if TYPE_CHECKING:
    from bot.storage.retention import Retention
    from bot.storage.stores import Stores
    from core.service.shared import OpenGuest

log = logging.getLogger(__name__)

FINISH_S: Final = 9.0
"""How long running requests may go on after a signal; notices to the rest and closing take less than ten more."""

CLOSE_S: Final = 3.0
FOLLOW_S: Final = 15.0


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
    pool: WorkerPool,
    open_guest: "OpenGuest | None",
    stop: asyncio.Event,
    stack: AsyncExitStack,
) -> None:
    from bot.client import GenreGenie
    from bot.connection import stay_connected
    from bot.jobs.records import RequestRecorder
    from bot.jobs.service import JobService
    from bot.monitoring import HealthServer, Metrics, StateCollector, watch_ytdlp
    from bot.services import BotServices
    from bot.storage.lock import sole_writer
    from bot.storage.stores import Stores
    from bot.ui.interactions import Acknowledger
    from bot.ui.permissions import PermissionNotices
    from bot.ui.responder import DiscordResponder
    from core.service.fetcher import open_fetcher
    from core.service.identify import Identifier
    from core.service.shared import GuestFace, SharedService

    stack.enter_context(sole_writer(settings, shards=settings.shards))
    stores = Stores(settings)
    stack.push_async_callback(stores.close)
    await stores.open()
    fetcher = await open_fetcher(stack, settings, faces=1 if open_guest is None else 2)
    turns = None if open_guest is None else FairSlots(pool.size)
    admission = Admission.for_workers(settings.limits, pool.size, shared=turns, face="bot")
    metrics = Metrics()
    state = StateCollector(admission, pool, fetcher.proxy)
    metrics.registry.register(state)
    jobs = JobService(
        settings,
        host=stores.host,
        guilds=stores.guilds,
        identifier=Identifier(settings, pool=pool, fetcher=fetcher, cache=stores.results),
        admission=admission,
        recorder=RequestRecorder(stores.requests, stores.open_requests, stores.neighbours, metrics),
    )
    services = BotServices(
        settings=settings,
        metrics=metrics,
        jobs=jobs,
        pool=pool,
        admission=admission,
        host=stores.host,
        guilds=stores.guilds,
        requests=stores.requests,
        results=stores.results,
        corrections=stores.corrections,
        open_requests=stores.open_requests,
        neighbours=stores.neighbours,
        retention=stores.retention,
        meta=stores.meta,
        acknowledge=Acknowledger(metrics),
        notices=PermissionNotices(),
        respond=DiscordResponder,
    )
    guests: list[GuestFace] = []
    bots: list[GenreGenie] = []

    def make_bot(message_content: bool) -> GenreGenie:
        bots[:] = [GenreGenie(services, message_content=message_content)]
        return bots[0]

    async def readiness() -> Mapping[str, bool]:
        return {
            "gateway": bool(bots) and bots[0].connected,
            "workers": pool.ready_count > 0,
            "database": await stores.database.reachable(),
            **{guest.name: guest.is_serving() for guest in guests},
        }

    health = HealthServer(settings, metrics, readiness)
    await health.start()
    stack.push_async_callback(health.close)
    guest_stack = await stack.enter_async_context(AsyncExitStack())
    if open_guest is not None and turns is not None:
        lent = SharedService(pool, turns, fetcher, metrics.observe)
        guests.append(await guest_stack.enter_async_context(open_guest(lent)))
        state.add(guests[0].admission)
    background = [
        asyncio.create_task(work) for work in (metrics.watch_loop(), _retain(stores.retention), watch_ytdlp())
    ]
    if settings.shards is not None:
        background.append(asyncio.create_task(_follow_host(stores)))
    stack.callback(lambda: [task.cancel() for task in background])
    warm = asyncio.create_task(pool.ready())
    # A bot that can classify nothing had better not look alive.
    warm.add_done_callback(lambda _: stop.set() if _failed(warm) else None)
    bot = await stay_connected(make_bot, token, stop)
    log.info("Stopping")
    # At the same time: the end of both together is to take no longer than that of one.
    closing = asyncio.create_task(guest_stack.aclose())
    await jobs.close(FINISH_S)
    await closing
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(bot.close(), CLOSE_S)
    if failure := _failed(warm):
        raise failure


def _failed(task: asyncio.Task[None]) -> BaseException | None:
    """Give what a task has failed of, if it has."""
    return task.exception() if task.done() and not task.cancelled() else None


async def _follow_host(stores: "Stores") -> None:
    """Read again and again what the host may have set in another of several processes."""
    from bot.storage.database import StoreError

    while True:
        await asyncio.sleep(FOLLOW_S)
        with contextlib.suppress(StoreError):
            await stores.host.load()
            await stores.guilds.load()


async def _retain(retention: "Retention") -> None:
    """Apply the retention times now and every hour."""
    from bot.storage.database import StoreError

    while True:
        try:
            await retention.apply()
        except StoreError:
            log.warning("Old data was not deleted")
        await asyncio.sleep(3_600)
