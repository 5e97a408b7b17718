"""What the queue between machines costs: `python -m benchmarks.scale`.

Its own processor time and latency a song, with workers that answer at once; songs a second of real workers against the
same number of processes in one pool; how soon a killed worker's song is begun again; the memory of a worker's
processes; what the store costs when it is large. On a PostgreSQL of its own, with its defaults except for synchronising
to disk: that would measure the disk. All of it takes seven minutes on two idle cores. Where a part fails, the table
says so, and the others are measured all the same.
"""

import asyncio
import contextlib
import itertools
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from benchmarks.measure import Figure, machine, proportional_mb, publish, table, write_between
from benchmarks.songs import ROOT, make_clips, make_song, origin
from benchmarks.store import store_figures
from core.inference.pipeline import ClassifyResult, ProgressCallback, ignore_progress
from core.queue.asker import open_database
from core.queue.worker import QueueWorker
from core.service.admission import FETCH_AHEAD, Ticket
from core.service.fetcher import open_fetcher
from core.service.identify import Identifier, IdentifyResult, LocalIdentifier, Request
from core.service.sources import AttachmentSource, LinkSource, PathSource, SpectrogramSource
from core.settings import Settings
from core.signals import on_stop_signal
from core.verdict import Prediction, Segment
from core.workers.pool import WorkerPool
from tests.core.fetch.servers import Server, running_server
from tests.core.queue.processes import WorkerProcess, asking
from tests.support.postgres import Cluster, running_cluster
from tests.support.processes import eventually
from tests.support.verdicts import make_verdict

PAGE: Final = ROOT / "docs" / "scaling.md"
MARKERS: Final = "scale"
JOBS: Final = 300
SONG_S: Final = 180
DIFFERENT: Final = 5
WARM_S: Final = 2.0
WINDOW_S: Final = 7.0
"""Seconds of each run that count: songs are asked for without a pause, before them and until their end."""

FEWEST: Final = 5
"""Answers that count at least: on a slow machine a run lasts longer."""

RUNS: Final = 3
KILLS: Final = 6
LANES: Final = 3
"""Queues in which workers are killed at the same time: most of it is waiting."""

LONG_S: Final = 240
PART_S: Final = 400.0
"""Ceiling for each part, seconds."""

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

    async def illustrate(
        self, prediction: Prediction, song: SpectrogramSource, locale: str, *, ticket: Ticket | None = None
    ) -> ClassifyResult:
        """Draw nothing: nobody asks for it here."""
        raise NotImplementedError


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


async def throughput(cluster: Cluster, server: Server, folder: Path) -> list[Figure]:
    """Songs a second of 1, 2 and 4 workers, each with one process, against as many processes in one pool."""
    sources = []
    for number in range(DIFFERENT):
        song = await asyncio.to_thread(make_song, folder / f"song{number}.mp3", SONG_S - number)
        content = await asyncio.to_thread(song.read_bytes)
        sources.append(
            AttachmentSource(server.serve(f"/attachments/1/2/{song.name}", content, "audio/mpeg"), song.name)
        )
    figures = []
    for count in (1, 2, 4):
        url = cluster.url(cluster.new_database())
        rates: dict[str, list[float]] = {"pool": [], "queue": []}
        async with AsyncExitStack() as stack:
            settings = Settings.model_validate({"allowed_hosts": server.host, "data_dir": folder / f"pool{count}"})
            pool = await stack.enter_async_context(WorkerPool(settings, size=count))
            local = LocalIdentifier(settings, pool=pool, fetcher=await open_fetcher(stack, settings))
            workers = [
                WorkerProcess(url, folder / f"worker{number}", GENREGENIE_ALLOWED_HOSTS=server.host)
                for number in range(count)
            ]
            for worker in workers:
                await stack.enter_async_context(worker)
            await asyncio.gather(*(worker.until_ready() for worker in workers))
            remote = await stack.enter_async_context(asking(url, store_is_shared=False))
            await pool.ready()
            # Each has as many songs as it takes at once, so that none of its processes waits for one.
            faces: list[tuple[str, Identifier, int]] = [
                ("pool", local, count + FETCH_AHEAD),
                ("queue", remote, count * (1 + FETCH_AHEAD) + 2),
            ]
            for _ in range(RUNS):
                for name, identifier, taken in faces:
                    rates[name].append(await songs_per_second(identifier, sources, at_once=taken))
        of_pool, of_queue = statistics.median(rates["pool"]), statistics.median(rates["queue"])
        ratio = of_queue / of_pool
        figures.append(
            Figure(
                f"songs of {SONG_S // 60} minutes with {count} worker{'s' if count > 1 else ''}",
                f"{of_queue:.2f} a second over the queue, {of_pool:.2f} with a pool of {count}",
                f"{ratio:.2f}",
                "at least 0.95 of the pool",
                ratio >= 0.95,
            )
        )
    return figures


async def songs_per_second(identifier: Identifier, sources: Sequence[AttachmentSource], *, at_once: int) -> float:
    """Ask for songs without a pause, so many at the same time; gives how many are answered a second.

    The beginning does not count, nor does the end, when some workers have nothing to do any more.
    """
    began = time.perf_counter()
    answered: list[float] = []
    following = itertools.cycle(sources)

    def is_over() -> bool:
        return time.perf_counter() > began + WARM_S + WINDOW_S and len(answered) >= at_once + FEWEST

    async def go_on() -> None:
        while not is_over():
            await identifier.identify(Request(next(following)))
            if not is_over():
                answered.append(time.perf_counter())

    await asyncio.gather(*(go_on() for _ in range(at_once)))
    counted = [moment for moment in answered if moment >= began + WARM_S]
    return (len(counted) - 1) / (counted[-1] - counted[0])


async def redelivery(cluster: Cluster) -> list[Figure]:
    """Seconds from a worker's death by SIGKILL to the start of its song elsewhere."""
    lanes = await asyncio.gather(*(kills(cluster.url(cluster.new_database())) for _ in range(LANES)))
    seconds = sorted(second for lane in lanes for second in lane)
    p99 = seconds[-1]  # of this few it is the longest
    return [
        Figure(
            "a killed worker's song is begun elsewhere",
            f"{len(seconds)} times; median {statistics.median(seconds):.1f} s, longest {p99:.1f} s",
            f"{p99:.1f} s",
            "at most 6 s",
            p99 <= 6,
        )
    ]


async def kills(url: str) -> list[float]:
    """Kill the worker that has the song, again and again; gives the seconds until another one has it."""
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
    return seconds


async def said(worker: asyncio.subprocess.Process, word: str) -> None:
    """Wait for what a worker says next.

    Raises:
        RuntimeError: it says something else, or ends.
    """
    line = await worker.stdout.readline() if worker.stdout else b""
    if line.decode().strip() != word:
        raise RuntimeError(f"a worker said {line!r} instead of {word}")


async def memory(cluster: Cluster, server: Server, folder: Path) -> list[Figure]:
    """Memory of a worker's processes after some songs, shared pages counted once."""
    url = cluster.url(cluster.new_database())
    (clip,) = await asyncio.to_thread(make_clips, folder, 1)
    address = server.serve("/attachments/1/2/one.mp3", await asyncio.to_thread(clip.read_bytes), "audio/mpeg")
    async with WorkerProcess(url, folder / "memory", GENREGENIE_ALLOWED_HOSTS=server.host) as worker:
        await worker.until_ready()
        async with asking(url, store_is_shared=False) as asker:
            for _ in range(5):
                await asker.identify(Request(AttachmentSource(address, "one.mp3")))
        process = psutil.Process(worker.process.pid)
        own = proportional_mb(process)
        below = sum(map(proportional_mb, process.children(recursive=True)))
    return [
        Figure(
            "memory of a worker machine's processes, GENREGENIE_WORKERS=1",
            f"{own:.0f} MB itself, {below:.0f} MB its proxy, guard and process that classifies",
            f"{own + below:.0f} MB",
        )
    ]


async def measure(folder: Path, songs: int) -> list[Figure]:
    """Measure everything, one part after the other; one that fails is a goal that is missed."""
    figures: list[Figure] = []
    with running_cluster() as cluster:
        async with running_server() as server:
            parts: dict[str, Callable[[], Coroutine[Any, Any, list[Figure]]]] = {
                "cost": lambda: cost(cluster, folder),
                "throughput": lambda: throughput(cluster, server, folder),
                "redelivery": lambda: redelivery(cluster),
                "memory": lambda: memory(cluster, server, folder),
            }
            if songs:
                parts["store"] = lambda: store_figures(cluster, folder, songs)
            for name, part in parts.items():
                began = time.perf_counter()
                try:
                    async with asyncio.timeout(PART_S):
                        figures += await part()
                except Exception as error:
                    traceback.print_exc()
                    figures.append(Figure(name, f"failed: {type(error).__name__}", "not measured", "measured", False))
                print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def main(
    songs: Annotated[int, typer.Option(help="Songs in the store that is measured; 0 leaves that out.")] = 300_000,
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("build/scale.json"),
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/scaling.md.")] = False,
) -> None:
    """Measure what the queue costs."""
    if write:
        write_between(PAGE, MARKERS)
    described = f"{machine()}; songs from {origin()}"
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder), songs))
    text = f"{table(figures)}\n\nMeasured on {described}."
    publish(figures, text, described, out, PAGE if write else None, MARKERS)


if __name__ == "__main__":
    typer.run(main)
