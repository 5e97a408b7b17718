"""The page as a whole: its workers, proxy and uploads, and one Gradio page for each language."""

import asyncio
import contextlib
import importlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence
from core.i18n.languages import locales
from core.inference.model_card import model_file, shipped_models
from core.service.admission import Admission
from core.service.fetcher import open_fetcher
from core.service.identify import Identifier
from core.signals import on_stop_signal
from core.workers.pool import WorkerPool
from web.access import AccessMiddleware, visitor_of
from web.jobs import PageJobs
from web.languages import accepted_locale
from web.settings import WebSettings, check_exposure
from web.uploads import Uploads

# Gradio reads these when build_app imports it: no analytics, no calls to its hub, and only a short list of past
# requests.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

log = getLogger(__name__)

MAX_CONNECTIONS: Final = 512
FETCH_AHEAD: Final = 2
"""Links that may be fetched while every worker is busy with another song."""

SHUTDOWN_S: Final = 5
"""How long open connections may take to finish when the page is stopped."""

STATUS_CODES: Final = {ErrorCode.TOO_LARGE: 413, ErrorCode.BUSY: 503, ErrorCode.TIMEOUT: 408}


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
        admission = Admission(settings.limits, slots=pool.size + FETCH_AHEAD)
        identifier = Identifier(settings, pool=pool, fetcher=fetcher)
        yield Service(
            PageJobs(identifier, admission=admission, uploads=uploads, models=models), uploads, pool, admission
        )


def build_app(service: Service, settings: WebSettings) -> ASGIApp:
    """Mount a page for each language, with access control in front."""
    import gradio as gr

    from web.page import STATIC, THEME, build_page, head

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/")
    async def redirect_to_language(request: Request) -> Response:
        return RedirectResponse(f"/{accepted_locale(request.headers.get('accept-language'))}/", 303)

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return FileResponse(STATIC / "icon.svg")

    @app.get("/manifest.json")
    async def manifest() -> Response:
        return JSONResponse({"name": "GenreGenie", "start_url": "/", "display": "browser"})

    for locale in locales():
        app.add_route(f"/{locale}/song", _upload_endpoint(service.uploads, locale), methods=["POST"])
        gr.mount_gradio_app(
            app,
            build_page(service.jobs, settings, locale),
            path=f"/{locale}",
            server_name=settings.http_host,
            footer_links=[],
            run_history=False,
            app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
            root_path=f"{settings.web_origin}/{locale}" if settings.web_origin else None,
            show_error=False,
            max_file_size=1,  # files go to /song: Gradio's own upload route is closed
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=THEME,
            head=head(locale),
        )
    return AccessMiddleware(app, settings)


def _upload_endpoint(uploads: Uploads, locale: str) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        visitor = visitor_of(request.client.host if request.client else "")
        try:
            key = await uploads.receive(
                visitor, request.query_params.get("name"), int(request.headers["content-length"]), request.stream()
            )
        except GenreGenieError as error:
            return JSONResponse({"error": error_sentence(error, locale)}, STATUS_CODES.get(error.code, 400))
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse({"song": key})

    return receive


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
    with _open_socket(settings) as sock:
        async with open_service(settings, models) as service:
            # Importing Gradio takes about as long as the workers' start.
            await asyncio.gather(service.pool.ready(), asyncio.to_thread(importlib.import_module, "web.page"))
            config = uvicorn.Config(
                build_app(service, settings),
                log_config=None,
                access_log=False,
                server_header=False,
                # The client addresses that a reverse proxy passes on are trusted only if one is configured.
                proxy_headers=settings.web_origin is not None,
                forwarded_allow_ips="127.0.0.1,::1",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=SHUTDOWN_S,
                ws="none",
            )
            server = _Server(config)
            on_stop_signal(server.stop)
            announce(settings.web_origin or _address(sock))
            await server.serve([sock])


class _Server(uvicorn.Server):
    """Leaves signals to `serve`: uvicorn would end the process before the workers are stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


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
