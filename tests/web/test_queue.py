"""A page with a queue: a link is any worker's, and what a visitor uploads stays on the page's own machine."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from core.constants import GENRES
from tests.core.queue.processes import WorkerProcess
from tests.support.postgres import Cluster
from tests.web.page import PageProcess

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]

TOKEN = "a token that is hard to guess"
FROM_THE_QUEUE = 'genregenie_requests_total{kind="queue",outcome="verdict"}'


async def test_a_link_is_classified_by_a_worker_and_an_upload_by_the_pages_own_machine(
    model: str | None, postgres: Cluster, song: Path, song_link: str, tmp_path: Path
) -> None:
    database = postgres.new_database()
    url, allowed = postgres.url(database), urlsplit(song_link).netloc
    content = await asyncio.to_thread(song.read_bytes)
    folder = tmp_path / "page"
    folder.mkdir()
    page = PageProcess(folder, QUEUE_URL=url, WEB_API_TOKEN=TOKEN, ALLOWED_HOSTS=allowed)
    worker = WorkerProcess(url, tmp_path / "worker", GENREGENIE_ALLOWED_HOSTS=allowed)
    await asyncio.to_thread(page.__enter__)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=page.address, headers=headers, timeout=120) as client:
            # Nobody works for the queue: an upload needs nobody.
            uploaded = await client.post("/api/v1/classify", params={"name": "mine"}, content=content)
            assert uploaded.json()["source"] == "mine"
            waiting = asyncio.create_task(client.post("/api/v1/classify", json={"link": song_link}))
            await asyncio.sleep(1)
            assert not waiting.done(), "a link waits for a worker"
            async with worker:
                await worker.until_ready()
                linked = (await waiting).json()
                assert linked["source"] == song_link
                assert linked["genre"] in GENRES
                assert linked["votes"] == uploaded.json()["votes"], "it is the same song"
                assert (await worker.metrics())[FROM_THE_QUEUE] == 1
                gone = (await client.post("/api/v1/classify", json={"link": song_link + ".gone"})).json()
                assert gone["error"]["code"] == "unavailable"
        for table in ("procrastinate_jobs WHERE task_name = 'identify'", "genregenie_answers", "songs", "results"):
            assert postgres.sql(f"SELECT count(*) FROM {table}", database) == "0", "nothing of a visitor's is kept"
    finally:
        await asyncio.to_thread(page.__exit__, None, None, None)
