"""`genregenie web`; `genregenie.py` mounts it."""

import asyncio
import os
import threading
import webbrowser
from typing import Annotated

import typer

from core.logging_setup import set_up_logs
from core.settings import raise_problems, read_settings
from web.settings import WebSettings


def web(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; any other than loopback needs GENREGENIE_WEB_PASSWORD.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 picks a free one.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")] = False,
) -> None:
    """Serve the page until Ctrl+C: upload, record or link a song, and see how the models classify it.

    Exit status: 0 when it was stopped, 2 when it cannot start with these settings.
    """
    settings, problems = read_settings(WebSettings)
    settings = settings.listening(host, port)
    raise_problems([*problems, *settings.missing()])
    set_up_logs(settings, settings.web_password, settings.web_api_token, settings.queue_url)

    def announce(address: str) -> None:
        typer.echo(f"GenreGenie listens on {address}")
        if show:
            # Some browsers return only when they are closed, which must hold up neither the page nor its end.
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    from web.app import serve  # checked above first: a missing password needs no libraries to be reported

    os.umask(0o077)  # visitors' songs are nobody else's
    asyncio.run(serve(settings, announce))
