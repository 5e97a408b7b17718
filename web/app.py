"""The page as a whole: its workers, proxy and uploads, and the server in front of them."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from logging import CRITICAL, getLogger
from typing import Final

from aiohttp import web

from core.errors import ConfigurationError
from core.inference.model_card import model_file, read_card, shipped_models
from core.public_addresses import public_addresses
from core.service.admission import Admission
from core.service.fetcher import Fetcher, open_fetcher, open_files
from core.service.identify import Identifier, LocalIdentifier
from core.service.shared import GuestFace, OpenGuest, SharedService
from core.signals import on_stop_signal
from core.workers.pool import WorkerPool
from web.access import MAX_JSON_BYTES, AccessControl
from web.answers import Answers
from web.api import Api
from web.connections import Connection, Connections
from web.corrections import FILE as CORRECTIONS_FILE
from web.corrections import Corrections
from web.jobs import PageJobs
from web.kept import KeptSongs
from web.login import Login
from web.routes import Pages, add_routes
from web.sessions import Sessions
from web.settings import WebSettings, check_exposure, is_reverse_proxy
from web.shares import FOLDER as SHARES_FOLDER
from web.shares import Shares
from web.static import Static
from web.uploads import Uploads
from web.view import Accuracy

log = getLogger(__name__)

NAME: Final = "page"
"""What the page is called where it is one of several faces."""

SHUTDOWN_S: Final = 5.0
"""How long open connections may take to finish when the page is stopped."""

LINGER_S: Final = 5.0
"""How long the rest of a body that is refused is read, so that its sender reads why."""

THREADS: Final = 4
"""For files and pictures. Each keeps memory of its own; the default is more of them, and grows with the cores."""

SESSIONS_FILE: Final = "page-sessions.json"


@dataclass(frozen=True, slots=True)
class Service:
    """What the page runs on while it is open."""

    jobs: PageJobs
    uploads: Uploads
    pool: WorkerPool
    admission: Admission


def compared_models(settings: WebSettings) -> list[str | None]:
    """Names of the models to compare: the chosen one first, then the others directly under `models/`.

    Raises:
        ConfigurationError: there is no model.
    """
    chosen = model_file(settings.model)
    return [settings.model, *(name for name in shipped_models() if model_file(name) != chosen)]


@contextlib.asynccontextmanager
async def open_service(
    settings: WebSettings, models: Sequence[str | None], shared: SharedService | None = None
) -> AsyncIterator[Service]:
    """Start the workers, which warm up in the background, the proxy and the temporary files, or borrow another face's.

    Raises:
        ConfigurationError: the page cannot start with these settings.
    """
    async with contextlib.AsyncExitStack() as stack:
        if shared is None:
            fetcher = await open_fetcher(stack, settings)
            pool = await stack.enter_async_context(WorkerPool(settings))
        else:
            files = open_files(stack, settings, faces=2)
            fetcher = Fetcher(settings, proxy=shared.fetcher.proxy, files=files)
            pool = shared.pool
        turns = shared.turns if shared is not None else None
        admission = Admission.for_workers(settings.limits, pool.size, shared=turns, face=NAME)
        uploads = Uploads(fetcher.files, settings)
        stack.callback(uploads.close)
        identifier: Identifier = LocalIdentifier(settings, pool=pool, fetcher=fetcher)
        if settings.queue_url is not None:  # what visitors send is this machine's, the API's links are anybody's
            from core.queue.asker import open_queue

            identifier = await open_queue(stack, settings, local=identifier, store_is_shared=False)
        observe = shared.observe if shared is not None else None
        songs = KeptSongs(fetcher.files, settings)
        jobs = PageJobs(identifier, admission=admission, uploads=uploads, models=models, songs=songs, observe=observe)
        stack.push_async_callback(jobs.close)
        yield Service(jobs, uploads, pool, admission)


def build_app(service: Service, settings: WebSettings) -> web.Application:
    """Make the page's application, with access control in front."""
    app = web.Application(client_max_size=MAX_JSON_BYTES)
    sessions = None
    if settings.web_password is not None:
        sessions = Sessions(settings.web_password.get_secret_value(), settings.data_dir / SESSIONS_FILE)
    files = Static()
    login = Login(settings, sessions, files) if sessions is not None else None
    api = Api(settings, service.jobs, service.uploads) if settings.web_api_token is not None else None
    AccessControl(settings, sessions, files).protect(app)
    card = read_card(model_file(settings.model))
    corrections = Corrections(settings.data_dir / CORRECTIONS_FILE)
    shares = Shares(settings.data_dir / SHARES_FOLDER)
    app.cleanup_ctx.append(shares.keep_tidy)
    answers = Answers(settings, service.jobs, corrections, shares, files)
    pages = Pages(settings, service.jobs, service.uploads, files, Accuracy.of(card.described))
    add_routes(app, pages, answers, login, api)
    return app


@contextlib.asynccontextmanager
async def listen(app: web.Application, settings: WebSettings, sock: socket.socket) -> AsyncIterator[asyncio.Server]:
    """Serve an application on a socket until the context ends."""
    # What cannot be parsed is answered, and no news for the log; what a handler raises is logged by access control.
    quiet = getLogger("web.http")
    quiet.setLevel(CRITICAL)
    connections = Connections(trusted=lambda address: is_reverse_proxy(address, settings))
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=quiet,
        handler_cancellation=True,
        auto_decompress=False,  # a body is as long as it says
        keepalive_timeout=2 * connections.idle_s,  # which closes it before
        lingering_time=LINGER_S,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    protocol = runner.server
    if protocol is None:
        raise RuntimeError("a runner that is set up has a server")
    server = await asyncio.get_running_loop().create_server(lambda: Connection(connections, protocol()), sock=sock)
    try:
        yield server
    finally:
        server.close()
        await runner.cleanup()


async def serve(settings: WebSettings, announce: Callable[[str], None]) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Args:
        settings: all of them.
        announce: called with the page's address once it is open.

    Raises:
        ConfigurationError: the page cannot start with these settings.
    """
    check_exposure(settings)
    models = compared_models(settings)
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    start_threads()
    with _open_socket(settings) as sock:
        async with open_service(settings, models) as service:
            warm = asyncio.create_task(service.pool.ready())
            # A page that can classify nothing had better not look alive.
            warm.add_done_callback(lambda _: stop.set() if _failure(warm) else None)
            async with listen(build_app(service, settings), settings, sock):
                announce(settings.web_origin or _address(sock))
                warn_of_exposure(settings)
                await stop.wait()
                await service.jobs.close()  # its streams end, and nobody waits for them
            if failure := _failure(warm):
                raise failure


def start_threads() -> None:
    """Start all of the loop's threads: one that starts when it is first needed looks like a leak, hours later."""
    threads, started = ThreadPoolExecutor(THREADS, "page"), threading.Barrier(THREADS)
    for _ in range(THREADS):
        threads.submit(started.wait)
    asyncio.get_running_loop().set_default_executor(threads)


def guest(settings: WebSettings, announce: Callable[[str], None]) -> OpenGuest:
    """Make what opens the page in another face's process; its address is open before `announce` is called with it.

    Raises:
        ConfigurationError: there is no model; when it is opened: the address cannot be bound.
    """
    models = compared_models(settings)

    @contextlib.asynccontextmanager
    async def open_page(shared: SharedService) -> AsyncIterator[GuestFace]:
        with _open_socket(settings) as sock:
            async with (
                open_service(settings, models, shared) as service,
                listen(build_app(service, settings), settings, sock) as server,
            ):
                announce(settings.web_origin or _address(sock))
                warn_of_exposure(settings)
                try:
                    yield GuestFace(NAME, service.admission, server.is_serving)
                finally:
                    await service.jobs.close()  # its streams end, and nobody waits for them

    return open_page


def warn_of_exposure(settings: WebSettings) -> None:
    """Warn, in the log, of a page that the internet reaches without encryption."""
    if public := public_addresses(settings.http_host):
        log.warning(
            "The internet reaches the page without encryption, on %s: listen on 127.0.0.1, and put a web server in "
            "front (docs/hosting.md, The page)",
            ", ".join(public),
        )


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    """Give what a task has failed of, if it has."""
    return task.exception() if task.done() and not task.cancelled() else None


def _open_socket(settings: WebSettings) -> socket.socket:
    """Bind the address before anything else is started.

    Raises:
        ConfigurationError: it cannot be bound.
    """
    host, port = settings.http_host, settings.http_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"GENREGENIE_WEB_HOST, GENREGENIE_WEB_PORT: cannot listen on {host} port {port}: {error.strerror}"
        ) from None


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
