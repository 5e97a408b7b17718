"""Requests from asking to the last model, with real workers and a real model."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from core.errors import ErrorCode
from core.fetch.tempfiles import TemporaryFiles
from core.inference.model_card import model_file
from core.inference.pipeline import Step
from core.service.admission import Admission, AdmissionLimits
from core.service.identify import Identifier
from core.workers.pool import WorkerPool
from tests.support.processes import eventually, ffmpegs
from web.jobs import PageJobs, PageRequest, ViewState
from web.settings import WebSettings
from web.uploads import Uploads

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class House:
    """All that stands behind the page, with three models: the second cannot be used."""

    settings: WebSettings
    pool: WorkerPool
    files: TemporaryFiles
    uploads: Uploads
    models: Sequence[str]

    def hearing(
        self, limits: AdmissionLimits | None = None, slots: int = 1, models: Sequence[str] | None = None
    ) -> PageJobs:
        identifier = Identifier(self.settings, pool=self.pool)
        admission = Admission(limits or self.settings.limits, slots=slots)
        return PageJobs(identifier, admission=admission, uploads=self.uploads, models=models or self.models)

    async def send(self, song: Path, session: str = "tab", visitor: str = "ana") -> PageRequest:
        content = await asyncio.to_thread(song.read_bytes)

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        key = await self.uploads.receive(visitor, song.name, len(content), pieces())
        return PageRequest(session, visitor, key, None, "unnamed")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(model: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    place = tmp_path_factory.mktemp("house")
    models = []
    for name in ("genie", "broken", "augmented"):
        path = place / f"{name}.tflite"
        shutil.copy(model_file(model), path)
        card = json.loads(model_file(model).with_suffix(".json").read_text("utf-8"))
        sha256 = "0" * 64 if name == "broken" else card["sha256"]
        path.with_suffix(".json").write_text(json.dumps(card | {"name": name, "sha256": sha256}), "utf-8")
        models.append(str(path))
    settings = WebSettings(model=models[0], max_duration_s=7_200, data_dir=place)
    with TemporaryFiles(place / "tmp", quota=2**30, min_free=0) as files:
        uploads = Uploads(files, settings)
        async with WorkerPool(settings) as pool:
            await pool.ready()
            yield House(settings, pool, files, uploads, models)
        uploads.close()
        assert files.reserved == 0


async def last(states: AsyncIterator[ViewState]) -> ViewState:
    shown = [state async for state in states]
    return shown[-1]


async def test_models_are_compared_on_the_section_that_the_first_has_found(house: House, long_song: Path) -> None:
    ask = await house.send(long_song)
    shown = [state async for state in house.hearing().states(ask)]
    end = shown[-1]
    assert (end.step, end.error, end.comparing) == (Step.DONE, None, 0)
    models = [verdict.prediction.model.name for verdict in end.verdicts]
    assert models == ["genie", "augmented"]  # a broken one is left out
    assert end.verdicts[1].elapsed.decode == 0  # its spectrogram is the first one's
    assert {verdict.song.source for verdict in end.verdicts} == {long_song.name}
    first, second = (verdict.prediction for verdict in end.verdicts)
    assert first.section == second.section
    assert [s.start for s in first.segments] == [s.start for s in second.segments]
    for one, other in zip(first.segments, second.segments, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.05)
    assert end.picture is not None
    assert end.picture.startswith(b"\x89PNG")


async def test_the_file_is_gone_when_the_answer_is_there(house: House, song: Path) -> None:
    ask = await house.send(song)
    async for state in house.hearing(models=house.models[:1]).states(ask):
        if state.verdicts:
            assert house.files.reserved == 0
    assert state.verdicts


async def test_a_bad_file_has_an_error_and_no_verdict(house: House, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"no sound" * 100)
    end = await last(house.hearing().states(await house.send(bad)))
    assert end.error is not None
    assert end.error.code is ErrorCode.NOT_AUDIO
    assert end.verdicts == ()
    assert house.files.reserved == 0


async def test_a_file_that_was_never_sent_is_not_found(house: House) -> None:
    for ask in (PageRequest("tab", "ana", "guessed", None, ""), PageRequest("tab", "ana", None, None, "")):
        end = await last(house.hearing().states(ask))
        assert end.error is not None
        assert end.error.code is ErrorCode.NOT_FOUND


async def test_a_full_queue_is_busy_and_says_when_to_come_back(house: House, song: Path, hour: Path) -> None:
    hearing = house.hearing(AdmissionLimits(total=1, per_group=1, per_requester=1))
    first = hearing.states(await house.send(hour, "one"))
    await anext(first)
    end = await last(hearing.states(await house.send(song, "two", "ben")))
    assert end.error is not None
    assert end.error.code is ErrorCode.BUSY
    assert int(end.error.params["retry_after"]) >= 1
    await first.aclose()
    await eventually(lambda: house.files.reserved == 0)


async def test_who_waits_is_told_the_place_and_moves_up(house: House, song: Path, hour: Path) -> None:
    hearing = house.hearing()
    first = hearing.states(await house.send(hour, "one"))
    await anext(first)
    await eventually(lambda: house.pool.busy_count == 1)
    places = []
    waiting = [hearing.states(await house.send(song, session, session)) for session in ("two", "three")]
    for states in waiting:
        async for state in states:
            if state.place:
                places.append(state.place)
                break
    assert places == [1, 2]
    hearing.cancel("one")
    for states in waiting:
        assert (await last(states)).verdicts
    assert (await last(first)).error is not None


async def test_cancelling_a_tab_ends_its_ffmpeg_and_no_other_s_work(house: House, song: Path, hour: Path) -> None:
    hearing = house.hearing(slots=2)
    long = hearing.states(await house.send(hour, "long"))
    await anext(long)
    await eventually(ffmpegs, 30)
    short = asyncio.create_task(last(hearing.states(await house.send(song, "short"))))
    hearing.cancel("long")
    end = await last(long)
    assert end.error is not None
    assert end.error.code is ErrorCode.CANCELLED
    assert (await short).verdicts
    await eventually(lambda: not ffmpegs() and house.files.reserved == 0)
    assert hearing.under_way == 0


async def test_leaving_the_scenes_ends_the_work(house: House, hour: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genregenie.request")
    hearing = house.hearing()
    states = hearing.states(await house.send(hour))
    await anext(states)
    await eventually(ffmpegs, 30)
    await states.aclose()
    await eventually(lambda: not ffmpegs() and house.files.reserved == 0)
    assert hearing.under_way == 0
    assert [record.fields["outcome"] for record in caplog.records] == ["cancelled"]


async def test_a_link_without_a_way_out_is_answered(house: House) -> None:
    ask = replace(PageRequest("tab", "ana", None, None, ""), link="https://example.org/song.mp3")
    end = await last(house.hearing().states(ask))
    assert end.error is not None
    assert end.error.code is ErrorCode.UNSUPPORTED_LINK
