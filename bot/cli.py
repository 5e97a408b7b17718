"""`worker`, `invite`, `backup`, `corrections`; `genregenie.py` mounts them, and has `bot`, which may serve the page."""

import asyncio
import csv
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from bot.settings import BotSettings
from core.settings import load_settings

if TYPE_CHECKING:
    from bot.storage.corrections import Correction

corrections = typer.Typer(no_args_is_help=True)


def worker() -> None:
    """Classify the songs that bots and pages put into the queue (GENREGENIE_QUEUE_URL), until SIGTERM or Ctrl+C.

    Exit status: 0 when it was stopped, 2 when its settings do not let it start.
    """
    from bot.worker import serve

    os.umask(0o077)  # members' songs are nobody else's
    asyncio.run(serve(load_settings(BotSettings)))


def invite() -> None:
    """Print the link that invites the bot to a server, with just the permissions it needs."""
    from bot.doctor import invite_link

    typer.echo(asyncio.run(invite_link(load_settings(BotSettings))))


def backup(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where the copy goes; with --restore, the copy to restore. - is standard output or input."),
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Replace the database with the copy; stop the bot first.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="Copy all data into an empty PostgreSQL instead; stop the bot first."),
    ] = None,
) -> None:
    """Copy the database to a file; safe while the bot is running.

    Exit status: 0 when the copy is complete and intact, 2 when it could not be made.
    """
    from bot.storage.backup import back_up, put_back, read_in, write_out

    if (file is None) == (to is None) or (to is not None and restore):
        raise typer.BadParameter("give either a file, or --to and a URL")
    settings = load_settings(BotSettings)
    if to is not None:
        typer.echo(_moved(settings, to))
    elif file is not None and str(file) != "-":
        typer.echo(put_back(settings, file) if restore else back_up(settings, file))
    elif restore:
        typer.echo(read_in(settings, sys.stdin.buffer))
    else:
        write_out(settings, sys.stdout.buffer)


def _moved(settings: BotSettings, url: str) -> str:
    from core.errors import ConfigurationError

    try:
        from bot.storage.move import move
    except ImportError:
        raise ConfigurationError("--to needs the extra scale: requirements/scale.txt") from None
    return move(settings, url)


@corrections.callback()
def _corrections() -> None:
    """Members' corrections as a table, for training models."""


@corrections.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="CSV file; standard output if left out.")] = None,
) -> None:
    """Write one row per correction: the song's hash, predicted and corrected genre, model and day, but no member.

    The last column is the day on which the member allowed it to be used for training; it is empty where they have not.
    """
    from core.errors import ConfigurationError

    rows = asyncio.run(_corrections_of(load_settings(BotSettings)))
    if file is None:
        write_corrections(rows, sys.stdout)
        return
    try:
        with file.open("w", newline="", encoding="utf-8") as stream:
            write_corrections(rows, stream)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None


async def _corrections_of(settings: BotSettings) -> list["Correction"]:
    from bot.storage.corrections import CorrectionStore
    from bot.storage.database import Database

    database = Database(settings)
    try:
        await database.open()
        return await CorrectionStore(database).all()
    finally:
        await database.close()


def write_corrections(rows: list["Correction"], stream: TextIO) -> None:
    """Write corrections as CSV, with a heading."""
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(("sha256", "heard_as", "said", "model", "day", "consent"))
    for row in rows:
        consent = "" if row.consented_at is None else _day(row.consented_at)
        table.writerow((row.sha256, row.predicted, row.corrected, row.model, _day(row.corrected_at), consent))


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
