"""A page with a queue: the API's links are any worker's, and what visitors send stays on the page's own machine."""

import asyncio
import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import web.jobs
from core.constants import GENRES
from core.i18n.catalog import translate
from core.service.admission import LINK_SLOTS
from tests.core.fetch.servers import running_server
from tests.core.queue.processes import WorkerProcess
from tests.support.postgres import Cluster
from tests.web.page import PageProcess
from web.app import build_app, listen, open_service
from web.settings import WebSettings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]

TOKEN = "a token that is hard to guess"
FROM_THE_QUEUE = 'genregenie_requests_total{kind="queue",outcome="verdict"}'


async def test_a_link_of_the_api_is_classified_by_a_worker_and_an_upload_by_the_pages_own_machine(
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


async def test_visitors_links_are_fetched_here_as_many_at_a_time_as_there_is_memory_for(
    model: str | None, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.jobs, "ABANDONED_S", 600.0)
    places = [translate("web.queued", place=place) for place in range(1, LINK_SLOTS + 1)]
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server())
        server.routes["/silent*"] = lambda exchange: asyncio.sleep(3_600)
        settings = WebSettings.model_validate(
            {
                "data_dir": tmp_path,
                "queue_url": postgres.url(postgres.new_database()),
                "allowed_hosts": (server.host,),
                "web_origin": "https://genre.example.org",  # a proxy in front says who the visitors are
            }
        )
        service = await stack.enter_async_context(open_service(settings, [model]))
        await service.pool.ready()
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        await stack.enter_async_context(listen(build_app(service, settings), settings, sock))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, timeout=60))
        jobs = []
        for number in range(2 * LINK_SLOTS):  # two of each visitor's
            headers = {"X-Forwarded-For": f"192.0.2.{number // 2}"}
            link = {"link": server.url(f"/silent/{number}.mp3")}
            started = await client.post("/en/jobs", json=link, headers=headers)
            jobs.append(started.json()["job"])
        await server.wait_for_requests()
        states = [(await client.get(f"/en/jobs/{job}")).json() for job in jobs]
        assert {state["state"] for state in states} == {"working"}
        assert [any(place in state["status"] for place in places) for state in states] == [False] * 4 + [True] * 4
