import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.audio.decode import FORMATS
from core.audio.spectrogram import QuantizedMel
from core.constants import GENRES
from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.inference.pipeline import ClassifyOptions, ClassifyResult, Step
from core.settings import Settings
from core.workers.pool import MAX_START_FAILURES, WorkerPool, _WorkerLostError
from tests.core.conftest import OpenPool
from tests.core.files import BAD, make_bad, random_files
from tests.support.audio import encode, make_song, write_wav
from tests.support.data import ROOT
from tests.support.processes import (
    eventually,
    ffmpegs,
    heed_interrupts,
    held,
    held_ffmpeg,
    is_alive,
    is_ffmpeg,
    living_children,
    own_workers,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SIX_HOURS = 6 * 3_600.0
"""Longer than the three hours that are the work to be ended, seconds."""


async def code_of(result: "asyncio.Future[ClassifyResult] | asyncio.Task[ClassifyResult]") -> ErrorCode:
    with pytest.raises(GenreGenieError) as raised:
        await result
    return raised.value.code


def submit(
    pool: WorkerPool, path: Path, options: ClassifyOptions | None = None, **more: object
) -> "asyncio.Task[ClassifyResult]":
    return asyncio.ensure_future(pool.classify_file(path, options, **more))  # type: ignore[arg-type]


class TestClassifying:
    async def test_a_song_becomes_a_verdict(self, open_pool: OpenPool, long_song: Path) -> None:
        reported: list[tuple[Step, float | None]] = []
        async with open_pool() as pool:
            result = await pool.classify_file(long_song, on_progress=lambda *step: reported.append(step))
        verdict = result.prediction
        assert verdict.genre in GENRES
        assert sum(verdict.votes.values()) == len(verdict.segments) == 10
        assert verdict.duration == pytest.approx(90, abs=0.05)
        assert verdict.section.end - verdict.section.start == pytest.approx(30, abs=0.05)
        assert 0 <= verdict.section.start <= 60.1
        assert result.picture is None
        assert result.spectrogram is None
        steps = [step for step, _ in reported]
        assert list(dict.fromkeys(steps)) == [Step.QUEUED, Step.DECODING, Step.LISTENING]
        shares = [share for step, share in reported if step is Step.DECODING and share is not None]
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)
        elapsed = result.elapsed
        assert 0 < elapsed.decode + elapsed.features + elapsed.classify <= elapsed.total * 1.001

    async def test_the_whole_or_a_part_can_be_asked_for(self, open_pool: OpenPool, long_song: Path) -> None:
        async with open_pool() as pool:
            whole = (await pool.classify_file(long_song, ClassifyOptions(whole=True))).prediction
            part = (await pool.classify_file(long_song, ClassifyOptions(start=80.0))).prediction
            late = submit(pool, long_song, ClassifyOptions(start=89.0))
            assert await code_of(late) is ErrorCode.TOO_SHORT
        assert len(whole.segments) == 30
        assert (whole.section.start, whole.section.end) == (0, pytest.approx(90, abs=0.05))
        assert len(part.segments) == 3
        assert part.section.start == pytest.approx(80, abs=0.03)

    @pytest.mark.parametrize("start", [-1.0, float("nan"), float("inf"), 1e300])
    async def test_an_impossible_start_is_an_error(self, open_pool: OpenPool, song: Path, start: float) -> None:
        async with open_pool() as pool:
            assert await code_of(submit(pool, song, ClassifyOptions(start=start))) is ErrorCode.TOO_SHORT
            assert pool.restarts == 0

    async def test_a_kept_spectrogram_is_classified_again_without_the_file(
        self, open_pool: OpenPool, tmp_path: Path
    ) -> None:
        path = write_wav(tmp_path / "song.wav", make_song(50))
        async with open_pool() as pool:
            first = await pool.classify_file(path, ClassifyOptions(keep_spectrogram=True))
            path.unlink()
            assert isinstance(first.spectrogram, QuantizedMel)
            again = await pool.classify_spectrogram(QuantizedMel.from_bytes(first.spectrogram.to_bytes()))
            whole = await pool.classify_spectrogram(first.spectrogram, ClassifyOptions(whole=True))
        assert again.prediction.section == first.prediction.section
        np.testing.assert_allclose(again.prediction.probabilities, first.prediction.probabilities, atol=0.05)
        assert len(whole.prediction.segments) == 16

    async def test_a_picture_is_drawn_where_asked_for(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool() as pool:
            result = await pool.classify_file(song, ClassifyOptions(picture=True))
        assert result.picture is not None
        assert result.picture.startswith(b"\x89PNG\r\n")

    async def test_the_same_song_in_each_container_has_the_same_verdict(
        self, open_pool: OpenPool, long_song: Path, tmp_path: Path
    ) -> None:
        async with open_pool() as pool:
            expected = (await pool.classify_file(long_song, ClassifyOptions(start=20.0))).prediction
            for name in ("s.flac", "s.mp3", "s.ogg"):
                path = encode(tmp_path / name, "-i", long_song)
                verdict = (await pool.classify_file(path, ClassifyOptions(start=20.0))).prediction
                np.testing.assert_allclose(verdict.probabilities, expected.probabilities, atol=0.15)

    async def test_several_workers_answer_many_at_once(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool(size=2) as pool:
            results = await asyncio.gather(*(pool.classify_file(song) for i in range(8)))
            assert pool.restarts == 0
        assert len(results) == 8
        assert len({result.prediction.probabilities for result in results}) == 1


class TestBadInput:
    async def test_each_has_its_error_and_the_good_between_are_answered(
        self, open_pool: OpenPool, tmp_path: Path, song: Path
    ) -> None:
        made = {name: make_bad(tmp_path, name) for name in BAD}
        async with open_pool(size=2) as pool:
            jobs = {name: (submit(pool, path), submit(pool, song)) for name, (path, _) in made.items()}
            for name, (bad, good) in jobs.items():
                assert await code_of(bad) is made[name][1], name
                assert (await good).prediction.genre in GENRES
            assert pool.restarts == 0

    async def test_random_bytes_are_not_audio(self, open_pool: OpenPool, tmp_path: Path, song: Path) -> None:
        async with open_pool(size=2) as pool:
            jobs = [submit(pool, path) for path in random_files(tmp_path, 20, seed=3)]
            assert {await code_of(job) for job in jobs} == {ErrorCode.NOT_AUDIO}
            assert (await pool.classify_file(song)).prediction.genre in GENRES
            assert pool.restarts == 0

    async def test_a_message_names_no_path(self, open_pool: OpenPool, tmp_path: Path) -> None:
        async with open_pool() as pool:
            for name in ("text.mp3", "missing.mp3", "stump.flac"):
                path, _ = make_bad(tmp_path, name)
                with pytest.raises(GenreGenieError) as raised:
                    await pool.classify_file(path)
                said = f"{error_sentence(raised.value)}{raised.value.params}"
                assert str(tmp_path) not in said
                assert "Traceback" not in said

    async def test_the_formats_allowed_refer_to_no_other_file(self) -> None:
        listing = {"concat", "hls", "applehttp", "dash", "image2", "image2pipe", "sdp", "rtsp", "tee", "lavfi", "imf"}
        assert not listing & set(FORMATS if isinstance(FORMATS, list | tuple) else FORMATS.split(","))


def open_files(pid: int) -> Iterator[str]:
    """What a process's descriptors lead to; one that is closed meanwhile leads nowhere."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(entry)


def peak_memory(pid: int) -> int:
    """Largest resident memory that a process ever had, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


class TestLimits:
    async def test_what_waits_is_bounded(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(max_queue=2, max_duration_s=SIX_HOURS) as pool:
            long = submit(pool, hours)
            await eventually(lambda: pool.busy_count == 1)
            waiting = [submit(pool, song) for _ in range(2)]
            await eventually(lambda: pool.queued == 2)
            assert await code_of(submit(pool, song)) is ErrorCode.BUSY
            long.cancel()
            assert all(result.prediction.genre in GENRES for result in await asyncio.gather(*waiting))

    async def test_a_deadline_ends_the_work_and_its_ffmpeg(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(job_timeout_s=1.0, max_duration_s=SIX_HOURS) as pool:
            late = submit(pool, hours)
            while not late.done():
                held(ffmpegs())
                await asyncio.sleep(0.01)
            assert await code_of(late) is ErrorCode.TIMEOUT
            await eventually(lambda: not ffmpegs(), what="the end of ffmpeg")
            pool._settings = Settings(job_timeout_s=60)
            assert (await pool.classify_file(song)).prediction.genre in GENRES

    async def test_the_time_that_fetching_took_counts(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(job_timeout_s=600.0, max_duration_s=SIX_HOURS) as pool:
            for spent_s in (599.5, 600.0, 601.0):
                assert await code_of(submit(pool, hours, spent_s=spent_s)) is ErrorCode.TIMEOUT
            assert (await pool.classify_file(song, spent_s=500.0)).prediction.genre in GENRES

    async def test_time_in_the_queue_does_not_count(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(job_timeout_s=2.0, max_duration_s=SIX_HOURS) as pool:
            first = submit(pool, hours)
            waiting = submit(pool, song)
            assert await code_of(first) is ErrorCode.TIMEOUT
            assert (await waiting).prediction.genre in GENRES

    async def test_a_worker_that_hangs_is_replaced(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(job_timeout_s=4.0, max_duration_s=SIX_HOURS) as pool:
            hanging = submit(pool, hours)
            await held_ffmpeg()
            (worker,) = own_workers()
            worker.suspend()
            assert await code_of(hanging) is ErrorCode.TIMEOUT
            await eventually(lambda: not is_alive(worker), what="the end of the worker")
            await eventually(lambda: not ffmpegs(), what="the end of ffmpeg")
            await eventually(lambda: pool.ready_count == 1)
            assert (await pool.classify_file(song)).prediction.genre in GENRES
            assert pool.restarts == 1

    async def test_an_askers_own_bound_is_kept(self, open_pool: OpenPool, long_song: Path) -> None:
        async with open_pool() as pool:
            assert await code_of(submit(pool, long_song, ClassifyOptions(max_duration_s=60.0))) is ErrorCode.TOO_LONG
            await pool.classify_file(long_song, ClassifyOptions(max_duration_s=90.0))

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peaks from /proc")
    async def test_a_worker_stays_small(self, open_pool: OpenPool, tmp_path: Path) -> None:
        song = encode(
            tmp_path / "quarter.flac", "-stream_loop", "14", "-i", write_wav(tmp_path / "m.wav", make_song(60))
        )
        async with open_pool() as pool:
            verdict = (await pool.classify_file(song)).prediction
            assert verdict.duration > 890
            (worker,) = own_workers()
            assert peak_memory(worker.pid) <= 160 * 1024**2
            assert worker.memory_info().rss / 1024**2 <= 130


POINTS = ("queued", "started", "ffmpeg", "share", "listening")


class TestCancelling:
    @pytest.mark.parametrize("point", POINTS)
    async def test_it_ends_the_work_at_any_point(
        self, open_pool: OpenPool, hours: Path, long_song: Path, song: Path, point: str
    ) -> None:
        reached = asyncio.Event()

        def watch(step: Step, share: float | None) -> None:
            at = {
                "queued": step is Step.QUEUED,
                "started": step is Step.DECODING,
                "share": share is not None and share > 0,
                "listening": step is Step.LISTENING,
            }
            if at.get(point):
                reached.set()

        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            path, options = (
                (long_song, ClassifyOptions(whole=True)) if point == "listening" else (hours, ClassifyOptions())
            )
            job = submit(pool, path, options, on_progress=watch)
            if point == "ffmpeg":
                await held_ffmpeg()
            else:
                await asyncio.wait_for(reached.wait(), 30)
                held(ffmpegs())
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            await eventually(lambda: not ffmpegs(), what="the end of ffmpeg")
            assert (await pool.classify_file(song)).prediction.genre in GENRES

    async def test_it_does_not_cost_a_worker(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            for _ in range(5):
                job = submit(pool, hours)
                await eventually(ffmpegs, what="ffmpeg's start")
                job.cancel()
                await asyncio.wait([job])
            await pool.classify_file(song)
            assert pool.restarts == 0

    async def test_others_are_not_touched(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool() as pool:
            jobs = [submit(pool, song) for _ in range(6)]
            await asyncio.sleep(0.05)
            for job in jobs[1::2]:
                job.cancel()
            for job in jobs[::2]:
                assert (await job).prediction.genre in GENRES


class TestLosingAWorker:
    async def test_its_job_is_tried_again(self, open_pool: OpenPool, tmp_path: Path) -> None:
        song = encode(tmp_path / "s.flac", "-f", "lavfi", "-i", "sine=300:r=8000", "-t", "700")
        async with open_pool() as pool:
            job = submit(pool, song)
            decoder = await held_ffmpeg()
            (worker,) = own_workers()
            worker.kill()
            await eventually(lambda: not is_alive(decoder), what="the end of ffmpeg")
            assert (await job).prediction.genre in GENRES
            assert pool.restarts == 1

    async def test_a_job_that_loses_two_is_internal(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            job, next_job = submit(pool, hours), submit(pool, song)
            for _ in range(2):
                await eventually(ffmpegs, what="ffmpeg's start")
                own_workers()[0].kill()
                await eventually(lambda: not ffmpegs(), what="the end of ffmpeg")
            assert await code_of(job) is ErrorCode.INTERNAL
            assert (await next_job).prediction.genre in GENRES
            assert pool.restarts == 2

    async def test_an_idle_one_is_replaced(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool() as pool:
            (worker,) = own_workers()
            worker.kill()
            await eventually(lambda: not is_alive(worker))
            assert (await pool.classify_file(song)).prediction.genre in GENRES

    async def test_a_killed_ffmpeg_ends_its_job_alone(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            job = submit(pool, hours)
            await eventually(ffmpegs, what="ffmpeg's start")
            for decoder in ffmpegs():
                decoder.kill()
            assert await code_of(job) is ErrorCode.DAMAGED
            assert (await pool.classify_file(song)).prediction.genre in GENRES
            assert pool.restarts == 0

    async def test_progress_that_fails_ends_nothing(
        self, open_pool: OpenPool, song: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(step: Step, share: float | None) -> None:
            raise RuntimeError("the caller is gone")

        with caplog.at_level(logging.ERROR):
            async with open_pool() as pool:
                assert (await pool.classify_file(song, on_progress=fail)).prediction.genre in GENRES
                assert (await pool.classify_file(song)).prediction.genre in GENRES
                assert pool.restarts == 0
        assert "a progress callback failed" in caplog.text


class TestStarting:
    async def test_a_model_that_cannot_be_used_is_told(self, tmp_path: Path, song: Path) -> None:
        model = tmp_path / "bad.tflite"
        model.write_bytes(b"not a model")
        async with WorkerPool(Settings(model=str(model))) as pool:
            with pytest.raises(ConfigurationError, match=r"bad\.json"):
                await pool.ready()
            with pytest.raises(ConfigurationError, match=r"bad\.json"):
                await pool.classify_file(song)

    async def test_a_wish_for_no_model_is_told_and_the_worker_stays(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool() as pool:
            with pytest.raises(ConfigurationError, match="nonesuch"):
                await pool.classify_file(song, ClassifyOptions(model="nonesuch"))
            assert (await pool.classify_file(song)).prediction.genre in GENRES
            assert pool.restarts == 0

    async def test_jobs_may_be_given_before_a_worker_is_warm(self, song: Path) -> None:
        async with WorkerPool(Settings()) as pool:
            assert (await pool.classify_file(song)).prediction.genre in GENRES

    async def test_one_that_does_not_start_leaves_the_others_their_time(
        self, song: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spawn, failed = WorkerPool._spawn, asyncio.Event()
        failures = 0

        async def spawn_others(pool: WorkerPool) -> Process:
            nonlocal failures
            task = asyncio.current_task()
            if task is not None and task.get_name() == "worker-1":
                await failed.wait()
                return await spawn(pool)
            failures += 1
            if failures > MAX_START_FAILURES:
                failed.set()
            raise _WorkerLostError("no memory is left")

        monkeypatch.setattr(WorkerPool, "_spawn", spawn_others)
        async with WorkerPool(Settings(), size=2) as pool:
            await pool.ready()
            assert (await pool.classify_file(song)).prediction.genre in GENRES

    async def test_it_may_be_closed_before_a_worker_is_warm(self, song: Path) -> None:
        async with WorkerPool(Settings(), size=2) as pool:
            job = submit(pool, song)
            await asyncio.sleep(0)
        assert await code_of(job) is ErrorCode.CANCELLED
        with pytest.raises(ConfigurationError):
            await pool.ready()


class TestClosing:
    async def test_work_under_way_is_finished_in_the_time_given(self, open_pool: OpenPool, song: Path) -> None:
        async with open_pool() as pool:
            jobs = [submit(pool, song) for _ in range(3)]
            await eventually(lambda: pool.busy_count)
            await pool.close(60)
            assert all(job.done() for job in jobs)
            for job in jobs:
                assert (await job).prediction.genre in GENRES
            assert await code_of(submit(pool, song)) is ErrorCode.BUSY
            assert not living_children()

    async def test_what_is_not_finished_then_is_cancelled(self, open_pool: OpenPool, hours: Path, song: Path) -> None:
        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            jobs = [submit(pool, hours), submit(pool, song)]
            await held_ffmpeg()
            await pool.close(0.1)
            assert [await code_of(job) for job in jobs] == [ErrorCode.CANCELLED] * 2
            wait_until(lambda: not living_children(), what="the end of all")

    async def test_it_may_be_closed_while_it_waits_to_start_a_worker_anew(
        self, open_pool: OpenPool, hours: Path
    ) -> None:
        async with open_pool(max_duration_s=SIX_HOURS) as pool:
            job = submit(pool, hours)
            await eventually(ffmpegs, what="ffmpeg's start")
            own_workers()[0].kill()
            await eventually(lambda: pool.ready_count == 0)
            await pool.close()
            assert await code_of(job) is ErrorCode.CANCELLED


PARENT = """
    import asyncio, sys
    from pathlib import Path
    from core.settings import Settings
    from core.workers.pool import WorkerPool

    async def main():
        async with WorkerPool(Settings(max_duration_s=21600), size=2) as pool:
            await pool.ready()
            print("ready", flush=True)
            await asyncio.gather(*(pool.classify_file(Path(sys.argv[1])) for _ in range(2)))

    asyncio.run(main())
"""


@pytest.fixture
def parent(hours: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own with two workers at work."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DISCORD_TOKEN": "planted-secret"}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(hours)],
        stdout=subprocess.PIPE,
        env=environment,
        preexec_fn=heed_interrupts,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        wait_until(lambda: len(ffmpegs(process.pid)) == 2, 30, "two ffmpegs")
        yield process
    finally:
        process.kill()
        process.communicate()


class TestTheParent:
    @pytest.mark.skipif(sys.platform == "darwin", reason="macOS cannot tie a process to its parent")
    @pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_its_end_is_the_end_of_all(self, parent: subprocess.Popen[bytes], sign: signal.Signals) -> None:
        children = living_children(parent.pid)
        assert len(children) == (6 if sys.platform.startswith("linux") else 4)  # with a guard for each worker
        parent.send_signal(sign)
        wait_until(lambda: not any(map(is_alive, children)), 10, f"the end of {children}")

    @pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads environments from /proc")
    def test_its_secrets_are_not_its_childrens(self, parent: subprocess.Popen[bytes]) -> None:
        assert b"planted-secret" in Path(f"/proc/{parent.pid}/environ").read_bytes()
        children = living_children(parent.pid)
        assert len(children) == (6 if sys.platform.startswith("linux") else 4)  # with a guard for each worker
        for child in children:
            # It is empty while a process starts a program.
            wait_until(Path(f"/proc/{child.pid}/environ").read_bytes, what=f"the environment of {child}")
            for kind in ("environ", "cmdline"):
                with contextlib.suppress(FileNotFoundError):
                    assert b"planted-secret" not in Path(f"/proc/{child.pid}/{kind}").read_bytes()
            names = {entry.split(b"=")[0] for entry in Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")}
            assert b"DISCORD_TOKEN" not in names
            assert b"HOME" in names

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads descriptors from /proc")
    def test_its_sockets_are_not_its_childrens(self, parent: subprocess.Popen[bytes]) -> None:
        for child in living_children(parent.pid):
            links = list(open_files(child.pid))
            # A worker's standard input may be a socket pair of its pool's.
            assert len([link for link in links if link.startswith("socket:")]) <= 1
            assert len(links) < 12

    def test_a_worker_has_one_ffmpeg_at_most(self, parent: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            for worker in psutil.Process(parent.pid).children():
                assert len([child for child in worker.children() if is_ffmpeg(child)]) <= 1
            time.sleep(0.1)
