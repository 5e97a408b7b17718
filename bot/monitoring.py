"""`/healthz`, `/readyz` and `/metrics`, and the numbers behind them."""

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.settings import BotSettings
from core.errors import ConfigurationError
from core.fetch.ytdlp_install import OLD_DAYS, UPDATE, javascript_runtime, ytdlp_version
from core.i18n.catalog import translate
from core.proxy.interface import Proxy
from core.public_addresses import public_addresses
from core.service.admission import Admission
from core.service.identify import IdentifyResult
from core.workers.pool import WorkerPool

if TYPE_CHECKING:  # imported only where there is a queue
    from core.queue.database import QueueState

log = logging.getLogger(__name__)

LAG_PERIOD_S: Final = 0.1
CLOSE_S: Final = 1.0
DAY_S: Final = 86_400.0
SECONDS_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3)
STEPS: Final = ("fetch", "decode", "features", "classify")
QUEUE_COUNTERS: Final = {
    "genregenie_queue_redelivered": "Songs of lost machines given to others",
    "genregenie_queue_put_again": "Songs lost from the queue and put there again",
    "genregenie_queue_late_answers": "Answers that nobody waited for any more",
}
"""What askers and workers count of the queue that machines share."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What is counted of the bot, for Prometheus; every name begins with `genregenie_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("genregenie_requests", "Songs asked about", ("kind", "outcome"), registry=self.registry)
        self.cached = Counter(
            "genregenie_cached_answers", "Songs whose answer was known already", registry=self.registry
        )
        self.corrections = Counter("genregenie_corrections", "Corrections by members", registry=self.registry)
        self.seconds = Histogram(
            "genregenie_request_seconds",
            "From a song's admission to its answer, its time in the queue included",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.steps = Histogram(
            "genregenie_step_seconds",
            "Seconds that a step of identifying took",
            ("step",),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.acknowledged = Histogram(
            "genregenie_acknowledge_seconds",
            "From an interaction's arrival to Discord's taking of its acknowledgement",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.lag = Histogram(
            "genregenie_event_loop_lag_seconds",
            "How late the event loop is",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )

    def observe(self, kind: str, outcome: str, seconds: float, result: IdentifyResult | None) -> None:
        """Count a song.

        Args:
            kind: how it was asked about.
            outcome: `verdict` or an error's code.
            seconds: from its admission to its outcome.
            result: the answer, where there is one.
        """
        self.requests.labels(kind, outcome).inc()
        self.seconds.observe(seconds)
        if result is None:
            return
        if result.cached:
            self.cached.inc()
            return
        for step in STEPS:
            self.steps.labels(step).observe(getattr(result.verdict.elapsed, step))

    async def watch_loop(self) -> None:
        """Measure the event loop's lag, for ever."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(LAG_PERIOD_S)
            self.lag.observe(max(0.0, time.perf_counter() - began - LAG_PERIOD_S))


async def watch_ytdlp() -> None:
    """Warn now and every day, in the log, of what keeps links from working."""
    while True:
        for warning in ytdlp_warnings(await asyncio.to_thread(ytdlp_version), javascript_runtime()):
            log.warning("%s", warning)
        await asyncio.sleep(DAY_S)


def ytdlp_warnings(installed: tuple[str, int] | None, runtime: str | None) -> list[str]:
    """Say what is missing or old.

    Args:
        installed: yt-dlp's version and its age in days.
        runtime: path of its JavaScript runtime.
    """
    warnings = []
    if installed is None:
        warnings.append("yt-dlp is not installed, so links do not work")
    elif installed[1] > OLD_DAYS:
        warnings.append(f"yt-dlp {installed[0]} is {installed[1]} days old, and sites change faster than that")
    if runtime is None:
        warnings.append("yt-dlp has no JavaScript runtime (deno), so YouTube does not work")
    return [f"{warning}: {UPDATE} (docs/hosting.md, Update yt-dlp)" for warning in warnings]


class AdmissionCollector(Collector):
    """Reads what has been admitted in this process."""

    def __init__(self, admission: Admission) -> None:
        self._admissions = [admission]

    def add(self, admission: Admission) -> None:
        """Count the queue of another face too."""
        self._admissions.append(admission)

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of this moment."""
        gauges = (
            ("genregenie_queue_length", "Songs that wait for their turn", sum(one.waiting for one in self._admissions)),
            ("genregenie_running", "Songs whose turn has come", sum(one.running for one in self._admissions)),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value=value)


class QueueCollector(Collector):
    """Reads the state of the queue that machines share, and this process's part in it.

    Args:
        state: gives the queue's state; None where the database does not answer.
        counters: what this process counts: one of `QUEUE_COUNTERS` → how much that is.
    """

    def __init__(self, state: Callable[[], "QueueState | None"], counters: Mapping[str, Callable[[], int]]) -> None:
        self._state = state
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of this moment."""
        state = self._state()
        text = "Whether the queue's database answers"
        yield GaugeMetricFamily("genregenie_queue_reachable", text, value=state is not None)
        if state is not None:
            unread = "How long the oldest song has waited that no machine can read"
            gauges = (
                ("genregenie_queue_jobs_waiting", "Songs in the queue of all machines", state.waiting),
                ("genregenie_queue_jobs_running", "Songs that a machine has", state.running),
                ("genregenie_queue_oldest_seconds", "How long the oldest song has waited", state.oldest_s),
                ("genregenie_queue_unread_oldest_seconds", unread, state.unread_s),
                ("genregenie_queue_workers", "Machines that take songs from the queue", state.workers),
            )
            for name, text, value in gauges:
                yield GaugeMetricFamily(name, text, value=value)
        for name, count in self._counters.items():
            yield CounterMetricFamily(name, QUEUE_COUNTERS[name], value=count())


class WorkersCollector(Collector):
    """Reads the state of the workers and the proxy on this machine."""

    def __init__(self, pool: WorkerPool, proxy: Proxy) -> None:
        self._pool = pool
        self._proxy = proxy

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of this moment."""
        yield GaugeMetricFamily("genregenie_workers_ready", "Workers that are warm", value=self._pool.ready_count)
        yield GaugeMetricFamily("genregenie_workers_busy", "Workers at work", value=self._pool.busy_count)
        # Links work without the bot's restart as soon as yt-dlp is replaced: the one that is installed now counts.
        if (installed := ytdlp_version()) is not None:
            yield GaugeMetricFamily("genregenie_ytdlp_age_days", "Days since yt-dlp's release", value=installed[1])
        yield CounterMetricFamily("genregenie_worker_restarts", "Workers that were replaced", value=self._pool.restarts)
        refusals = CounterMetricFamily(
            "genregenie_egress_refusals", "Connections that were not let out", labels=("reason",)
        )
        for reason, count in self._proxy.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals


class HealthServer:
    """The three pages, on loopback unless told otherwise.

    Args:
        settings: host and port.
        metrics: what `/metrics` shows.
        readiness: each part's name and whether it is ready.
    """

    def __init__(
        self,
        settings: BotSettings,
        metrics: Metrics,
        readiness: Callable[[], Awaitable[Mapping[str, bool]]],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._readiness = readiness
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Open the port. A default port that is taken costs these pages, not the bot.

        Raises:
            ConfigurationError: a host or port that was set cannot be opened.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_S)
        await runner.setup()
        host, port = self._settings.http_host, self._settings.http_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            taken = error.errno == errno.EADDRINUSE
            reason = translate("bot.start.http-taken") if taken else error.strerror or "OSError"
            text = translate("bot.start.http", host=host, port=port, reason=reason)
            if {"http_host", "http_port"} & self._settings.model_fields_set:
                raise ConfigurationError(text) from None
            log.warning("%s", text)
            return
        self._runner = runner
        addresses = ", ".join(f"{address[0]}:{address[1]}" for address in runner.addresses)
        log.info("Health and metrics on %s", addresses)
        if public := public_addresses(host):
            log.warning("%s", translate("bot.start.http-public", addresses=", ".join(public)))

    async def close(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        parts = dict(await self._readiness())
        return web.json_response(parts, status=200 if all(parts.values()) else 503)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE})
