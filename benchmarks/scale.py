"""What the queue between machines costs: `python -m benchmarks.scale`.

Its own processor time and latency a song, with workers that answer at once; songs a second of real workers against the
same number of processes in one pool; how soon a killed worker's song is begun again; the memory of a worker's
processes. On a PostgreSQL of its own, with its defaults except for synchronising to disk: that would measure the disk.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from benchmarks.measure import Figure, machine, proportional_mb, publish, table, write_between
from benchmarks.songs import ROOT, make_clips, make_song, origin
from core.inference.pipeline import ProgressCallback, ignore_progress
from core.queue.asker import QueueIdentifier, open_database
from core.queue.worker import QueueWorker
from core.service.admission import Ticket
from core.service.fetcher import open_fetcher
from core.service.identify import Identifier, IdentifyResult, LocalIdentifier, Request
from core.service.sources import AttachmentSource, LinkSource, PathSource
from core.settings import Settings
from core.signals import on_stop_signal
from core.verdict import Segment
from core.workers.pool import WorkerPool
from tests.core.fetch.servers import Server, running_server
from tests.core.queue.processes import WorkerProcess, asking
from tests.support.postgres import Cluster, running_cluster
from tests.support.processes import eventually
from tests.support.verdicts import make_verdict

PAGE: Final = ROOT / "docs" / "scaling.md"
MARKERS: Final = "scale"
JOBS: Final = 300
SONGS: Final = 48
RUNS: Final = 3
KILLS: Final = 30
LONG_S: Final = 240
HANGS: Final = "https://example.org/hangs"


class AtOnce:
    """Answers every request with the same verdict; one source never, before it has been given to another process."""

    async def identify(
        self, request: Request, *, on_progress: ProgressCallback = ignore_progress, ticket: Ticket | None = None
    ) -> IdentifyResult:
        """Answer, or say that the request has begun and hang."""
        if request.source.name == HANGS:
            print("begun", flush=True)
            await asyncio.sleep(3_600)
        segments = (Segment(62.0 + 3 * i, 65.0 + 3 * i, (0.1,) * 10) for i in range(10))
        return IdentifyResult(make_verdict(*segments), "ab" * 32)


async def answer_at_once(url: str) -> None:
    """Work for the queue with `AtOnce`, until SIGTERM."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    async with AsyncExitStack() as stack:
        queue = await open_database(stack, Settings.model_validate({"queue_url": url}))

        async def spectrogram(_: str) -> None:
            return None

        at_once = AtOnce()
        worker = QueueWorker(queue, at_once, at_once, workers=1, spectrograms=spectrogram, observe=lambda *_: None)
        print("ready", flush=True)
        await worker.serve(stop, 5)


@contextlib.asynccontextmanager
async def at_once(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run such a worker in a process of its own."""
    code = f"import asyncio; from benchmarks.scale import answer_at_once; asyncio.run(answer_at_once({url!r}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await said(process, "ready")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def seconds_of(processes: Sequence[psutil.Process]) -> float:
    """Processor seconds of processes and all that they have started, what has ended since among it."""
    total = 0.0
    for root in processes:
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


async def cost(cluster: Cluster, folder: Path) -> list[Figure]:
    """Processor time and latency that the queue adds to a song."""
    url = cluster.url(cluster.new_database())
    async with at_once(url) as worker, asking(url) as asker:
        request = Request(LinkSource("https://example.org/song"))
        await eventually(lambda: asker.state and asker.state.workers, 20, "a worker")
        everyone = [psutil.Process(), psutil.Process(worker.pid), cluster.process()]
        for _ in range(20):
            await asker.identify(request)
        idle = seconds_of(everyone)
        await asyncio.sleep(5)
        idle_rate = (seconds_of(everyone) - idle) / 5
        latencies = []
        spent, began = seconds_of(everyone), time.perf_counter()
        for _ in range(JOBS):
            asked = time.perf_counter()
            await asker.identify(request)
            latencies.append(time.perf_counter() - asked)
        wall = time.perf_counter() - began
        each = (seconds_of(everyone) - spent - idle_rate * wall) / JOBS
    song = await asyncio.to_thread(make_song, folder / "long.mp3", LONG_S)
    async with WorkerPool(Settings(), size=1) as pool:
        await pool.ready()
        local = LocalIdentifier(Settings(), pool=pool)
        await local.identify(Request(PathSource(song)))
        spent = seconds_of([psutil.Process()])
        await local.identify(Request(PathSource(song)))
        long_s = seconds_of([psutil.Process()]) - spent
    share, median = each / long_s, statistics.median(latencies)
    p99 = sorted(latencies)[int(len(latencies) * 0.99) - 1]
    return [
        Figure(
            "processor time of asker, worker and PostgreSQL for one song",
            f"{JOBS} songs, {each * 1000:.1f} ms each; a song of four minutes takes {long_s:.2f} s",
            f"{share:.1%}",
            "at most 3%",
            share <= 0.03,
        ),
        Figure(
            "time added to a song at rest",
            f"median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms",
            f"{median * 1000:.0f} ms",
            "at most 30 ms",
            median <= 0.03,
        ),
        Figure("processor time at rest", "one asker, one worker, PostgreSQL", f"{idle_rate:.1%} of a core"),
    ]


async def throughput(cluster: Cluster, server: Server, clips: Sequence[Path], folder: Path) -> list[Figure]:
    """Songs a second of 1, 2 and 4 workers, each with one process, against as many processes in one pool."""
    sources = [
        AttachmentSource(server.serve(f"/attachments/1/2/{clip.name}", clip.read_bytes(), "audio/mpeg"), clip.name)
        for clip in clips
    ]
    figures = []
    for count in (1, 2, 4):
        url = cluster.url(cluster.new_database())
        rates: dict[str, list[float]] = {"pool": [], "queue": []}
        async with AsyncExitStack() as stack:
            settings = Settings.model_validate({"allowed_hosts": server.host, "data_dir": folder / f"pool{count}"})
            pool = await stack.enter_async_context(WorkerPool(settings, size=count))
            local = LocalIdentifier(settings, pool=pool, fetcher=await open_fetcher(stack, settings))
            for number in range(count):
                worker = WorkerProcess(url, folder / f"worker{number}", GENREGENIE_ALLOWED_HOSTS=server.host)
                await stack.enter_async_context(worker)
                await worker.until_ready()
            remote = await stack.enter_async_context(asking(url, store_is_shared=False))
            await pool.ready()
            for _ in range(RUNS):
                for name, identifier in (("pool", local), ("queue", remote)):
                    rates[name].append(await songs_per_second(identifier, sources, ahead=count + 2))
        of_pool, of_queue = statistics.median(rates["pool"]), statistics.median(rates["queue"])
        ratio = of_queue / of_pool
        figures.append(
            Figure(
                f"songs of 30 s with {count} worker{'s' if count > 1 else ''}",
                f"{of_queue:.1f} a second over the queue, {of_pool:.1f} with a pool of {count}",
                f"{ratio:.2f}",
                "at least 0.95 of the pool",
                ratio >= 0.95,
            )
        )
    return figures


async def songs_per_second(identifier: Identifier, sources: Sequence[AttachmentSource], *, ahead: int) -> float:
    """Ask for all songs; `ahead` bounds what the pool fetches before it is its turn, as admission does."""
    slots = asyncio.Semaphore(len(sources) if isinstance(identifier, QueueIdentifier) else ahead)

    async def one(source: AttachmentSource) -> None:
        async with slots:
            await identifier.identify(Request(source))

    began = time.perf_counter()
    await asyncio.gather(*map(one, sources))
    return len(sources) / (time.perf_counter() - began)


async def redelivery(cluster: Cluster) -> Figure:
    """Seconds from a worker's death by SIGKILL to the start of its song elsewhere."""
    url = cluster.url(cluster.new_database())
    seconds = []
    async with asking(url) as asker, AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(at_once(url))]
        for _ in range(KILLS):
            task = asyncio.create_task(asker.identify(Request(LinkSource(HANGS))))
            await said(workers[0], "begun")
            workers.append(await stack.enter_async_context(at_once(url)))
            await asyncio.sleep(1)
            workers.pop(0).kill()
            killed = time.perf_counter()
            await said(workers[0], "begun")
            seconds.append(time.perf_counter() - killed)
            task.cancel()
            await asyncio.wait([task])
    p99 = max(seconds)
    return Figure(
        "a killed worker's song is begun elsewhere",
        f"{KILLS} times; median {statistics.median(seconds):.1f} s, longest {p99:.1f} s",
        f"{p99:.1f} s",
        "at most 6 s",
        p99 <= 6,
    )


async def said(worker: asyncio.subprocess.Process, word: str) -> None:
    """Wait for what a worker says next.

    Raises:
        RuntimeError: it says something else, or ends.
    """
    line = await worker.stdout.readline() if worker.stdout else b""
    if line.decode().strip() != word:
        raise RuntimeError(f"a worker said {line!r} instead of {word}")


async def memory(cluster: Cluster, server: Server, clip: Path, folder: Path) -> Figure:
    """Memory of a worker's processes after some songs, shared pages counted once."""
    url = cluster.url(cluster.new_database())
    address = server.serve("/attachments/1/2/one.mp3", await asyncio.to_thread(clip.read_bytes), "audio/mpeg")
    async with WorkerProcess(url, folder / "memory", GENREGENIE_ALLOWED_HOSTS=server.host) as worker:
        await worker.until_ready()
        async with asking(url, store_is_shared=False) as asker:
            for _ in range(5):
                await asker.identify(Request(AttachmentSource(address, "one.mp3")))
        process = psutil.Process(worker.process.pid)
        own = proportional_mb(process)
        below = sum(map(proportional_mb, process.children(recursive=True)))
    return Figure(
        "memory of a worker machine's processes, GENREGENIE_WORKERS=1",
        f"{own:.0f} MB itself, {below:.0f} MB its proxy, guard and process that classifies",
        f"{own + below:.0f} MB",
    )


async def measure(folder: Path) -> list[Figure]:
    """Measure everything."""
    clips = await asyncio.to_thread(make_clips, folder, SONGS)
    with running_cluster() as cluster:
        async with running_server() as server:
            figures = await cost(cluster, folder)
            figures += await throughput(cluster, server, clips, folder)
            figures.append(await redelivery(cluster))
            figures.append(await memory(cluster, server, clips[0], folder))
    return figures


def main(
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("build/scale.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/scaling.md.")] = False,
) -> None:
    """Measure what the queue costs."""
    if write:
        write_between(PAGE, MARKERS)
    described = f"{machine()}; songs from {origin()}"
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder)))
    text = f"{table(figures)}\n\nMeasured on {described}."
    publish(figures, text, described, out, PAGE if write else None, MARKERS)


if __name__ == "__main__":
    typer.run(main)
