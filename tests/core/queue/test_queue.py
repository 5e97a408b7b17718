"""A request answered by another process: the way there and back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.inference.pipeline import ClassifyOptions, Step
from core.queue.asker import QueueIdentifier
from core.service.identify import Request
from core.service.sources import AttachmentSource
from tests.core.fetch.servers import Server, running_server
from tests.core.queue.processes import WorkerProcess, asking
from tests.support.postgres import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[Server]:
    async with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def url(postgres: Cluster) -> str:
    return postgres.url(postgres.new_database())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def worker(url: str, server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerProcess]:
    data = tmp_path_factory.mktemp("worker")
    async with WorkerProcess(url, data, GENREGENIE_ALLOWED_HOSTS=server.host) as process:
        await process.until_ready()
        yield process


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def asker(url: str, worker: WorkerProcess) -> AsyncIterator[QueueIdentifier]:
    async with asking(url) as identifier:
        yield identifier


@pytest.fixture(scope="module")
def song_bytes(song: Path) -> bytes:
    return song.read_bytes()


async def test_an_attachment_is_classified_elsewhere(asker: QueueIdentifier, server: Server, song_bytes: bytes) -> None:
    address = server.serve("/attachments/1/2/song.wav", song_bytes, "audio/wav")
    steps: list[Step] = []
    request = Request(AttachmentSource(address, "hers.wav"), ClassifyOptions(picture=True, keep_spectrogram=True))
    result = await asker.identify(request, on_progress=lambda step, share: steps.append(step))
    assert result.verdict.song.source == "hers.wav"
    assert result.picture
    assert len(result.picture) < 120_000
    assert result.spectrogram is None
    assert (steps[0], steps[-1]) == (Step.QUEUED, Step.DONE)
    again = await asker.identify(request)
    assert (result.cached, again.cached) == (False, True)
