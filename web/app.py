"""The page as a whole: its workers, proxy and uploads, and the server in front of them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from logging import CRITICAL, getLogger
from typing import Final

from aiohttp import web

from core.errors import ConfigurationError
from core.inference.model_card import model_file, shipped_models
from core.public_addresses import public_addresses
from core.service.admission import Admission
from core.service.fetcher import open_fetcher
from core.service.identify import Identifier
from core.signals import on_stop_signal
from core.workers.pool import WorkerPool
from web.access import MAX_JSON_BYTES, AccessControl
from web.api import Api
from web.connections import Connection, Connections
from web.jobs import PageJobs
from web.login import Login
from web.routes import Pages, add_routes
from web.sessions import Sessions
from web.settings import WebSettings, check_exposure, is_reverse_proxy
from web.static import Static
from web.uploads import Uploads

log = getLogger(__name__)

SHUTDOWN_S: Final = 5.0
"""How long open connections may take to finish when the page is stopped."""

LINGER_S: Final = 5.0
"""How long the rest of a body that is refused is read, so that its sender reads why."""

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
async def open_service(settings: WebSettings, models: Sequence[str | None]) -> AsyncIterator[Service]:
    """Start the workers, which warm up in the background, the proxy and the temporary files.

    Raises:
        ConfigurationError: the page cannot start with these settings.
    """
    async with contextlib.AsyncExitStack() as stack:
        fetcher = await open_fetcher(stack, settings)
        uploads = Uploads(fetcher.files, settings)
        stack.callback(uploads.close)
        pool = await stack.enter_async_context(WorkerPool(settings))
        admission = Admission.for_workers(settings.limits, pool.size)
        identifier = Identifier(settings, pool=pool, fetcher=fetcher)
        jobs = PageJobs(identifier, admission=admission, uploads=uploads, models=models)
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
    AccessControl(settings, sessions).protect(app)
    add_routes(app, Pages(settings, service.jobs, service.uploads, files), login, api)
    return app


@contextlib.asynccontextmanager
async def listen(app: web.Application, settings: WebSettings, sock: socket.socket) -> AsyncIterator[None]:
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
        yield
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
            f"GENREGENIE_HTTP_HOST, GENREGENIE_HTTP_PORT: cannot listen on {host} port {port}: {error.strerror}"
        ) from None


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
