"""The `genregenie` command, which loads each of the packages' commands only when it is called; and `classify`."""

import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO, cast

import typer

if TYPE_CHECKING:
    from pydantic import SecretStr

    from core.inference.pipeline import Models
    from core.service.shared import OpenGuest
    from core.settings import Settings
    from core.verdict import Prediction

COMMANDS: Final = {
    "classify": ("core.cli.classify", "Classify songs: files, folders or links."),
    "doctor": ("genregenie", "Say what is there, what is missing, and the remedy."),
    "bot": ("bot.cli", "Run the Discord bot."),
    "worker": ("bot.cli", "Classify songs for bots and pages on other machines."),
    "invite": ("bot.cli", "Print the link that invites the bot to a server."),
    "backup": ("bot.cli", "Copy the database to a file, also while the bot runs."),
    "corrections": ("bot.cli", "Members' corrections as a table."),
    "web": ("web.cli", "Serve the page."),
    "train": ("training.cli", "Train a model."),
    "evaluate": ("training.cli", "Measure models."),
    "robustness": ("training.cli", "Measure a model on distorted music."),
    "report": ("training.cli", "Write docs/research/README.md from cards and figures."),
}
"""Command → the module that has a function, or an app, of that name; what it does."""

EXTRAS: Final = {"web": "web", "training": "train"}
"""Packages that need more than the runtime's requirements: the extra that has it."""

_NEEDS_MORE: Final = "this needs more than the bot does: pip install --require-hashes -r requirements/{extra}.txt"

SCALE: Final = ("procrastinate", "psycopg", "psycopg_pool")
"""What GENREGENIE_QUEUE_URL needs, whatever the command."""


def classify(path: str | Path, *, model: str | None = None, whole: bool = False) -> "Prediction":
    """Classify a file of your own in this process, from a script or a notebook.

    What strangers send is better given to the command, whose workers are confined.

    Args:
        path: of an audio or video file.
        model: as for `--model`.
        whole: vote over the whole song instead of its main section.

    Returns:
        Genre, confidence, votes, probabilities and segments, among others.

    Raises:
        core.errors.GenreGenieError: the file has no verdict; `code` says why.
        core.errors.ConfigurationError: the model or a setting cannot be used.
    """
    from core.audio.decode import DecodeLimits
    from core.inference.pipeline import ClassifyOptions, classify_file
    from core.settings import Settings, load_settings

    settings = load_settings(Settings)
    limits = DecodeLimits(settings.max_file_bytes, settings.max_duration_s, settings.job_timeout_s)
    options = ClassifyOptions(model or settings.model, whole=whole)
    return classify_file(Path(path), options, models=_models(), limits=limits).prediction


@cache
def _models() -> "Models":
    from core.inference.pipeline import Models

    return Models()


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Make the app with the one command that the arguments name loaded, and the others known by name only."""
    app = typer.Typer(
        name="genregenie",
        help="GenreGenie identifies the genre of a song.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    wanted = _command_in(arguments)
    for name, (module, summary) in COMMANDS.items():
        if name != wanted:
            app.command(name, help=summary)(_unloaded)
            continue
        loaded = OWN[name] if name in OWN else getattr(importlib.import_module(module), name)
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, help=summary)
        else:
            app.command(name)(loaded)
    return app


def _command_in(arguments: Sequence[str]) -> str | None:
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _unloaded() -> None:
    """Stand for a command that was not asked for."""


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from core.errors import ConfigurationError
    from core.settings import Settings, load_settings
    from core.version import VERSION, version_line

    try:
        typer.echo(version_line(load_settings(Settings).model))
    except ConfigurationError:
        typer.echo(f"GenreGenie {VERSION}")
        raise
    raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the program's and model's version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def doctor() -> None:
    """Say what is there, what is missing, and the remedy for it.

    Exit status: 0 when all that is needed is there, 1 when something is missing, 2 when settings do not fit.
    """
    from core.doctor import core_checks, print_checks

    groups = [core_checks()]
    # The page's image has no bot, and what the bot needs is not missing there.
    if importlib.util.find_spec("bot") is not None:
        from bot.doctor import bot_checks

        groups.append(bot_checks())
    raise typer.Exit(asyncio.run(print_checks(*groups)))


def bot() -> None:
    """Run the Discord bot until SIGTERM or Ctrl+C; with GENREGENIE_WEB=1 the page too.

    Exit status: 0 when it was stopped, 2 when its settings do not let it start.
    """
    from bot.app import serve
    from bot.settings import BotSettings
    from core.settings import raise_problems, read_settings

    settings, problems = read_settings(BotSettings)
    problems += settings.missing()
    load_page: Callable[[], OpenGuest] | None = None
    secrets: tuple[SecretStr | None, ...] = ()
    if settings.web:
        page_problems, load_page, secrets = _page_in_bot()
        problems += page_problems
    raise_problems(problems)
    os.umask(0o077)  # members' songs are nobody else's
    asyncio.run(serve(settings, load_page, secrets))


def _page_in_bot() -> "tuple[list[str], Callable[[], OpenGuest], tuple[SecretStr | None, ...]]":
    """Read the page's settings: their problems, what loads the page, and its secrets."""
    from core.settings import read_settings
    from web.settings import WebSettings

    settings, problems = read_settings(WebSettings)
    settings = settings.listening(in_bot=True)
    if importlib.util.find_spec("jinja2") is None:
        problems.append(f"GENREGENIE_WEB: {_NEEDS_MORE.format(extra='web')}")

    def load() -> "OpenGuest":
        from web.app import guest

        return guest(settings, lambda address: getLogger("web").info("The page listens on %s", address))

    return [*problems, *settings.missing()], load, (settings.web_password, settings.web_api_token)


OWN: Final[dict[str, Callable[[], None]]] = {"bot": bot, "doctor": doctor}
"""Commands that need more than one package, so they are here."""


def _settings_of_all() -> "list[type[Settings]] | None":
    """Give the settings of every face; None where one is not installed."""
    if not all(map(importlib.util.find_spec, ("bot", "web"))):
        return None
    from bot.settings import BotSettings
    from web.settings import WebSettings

    return [BotSettings, WebSettings]


class _OutputError(Exception):
    """Standard output cannot be written to."""


class _Stdout:
    """Standard output whose failures can be told from those of other files: `OSError` becomes `_OutputError`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _OutputError(error.strerror) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _OutputError(error.strerror) from error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)


def main() -> None:
    """Run the command line; exit 1 with one line where the output cannot be written."""
    _prepare_streams()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except _OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # `| head` has seen enough
            print(f"genregenie: standard output cannot be written to: {error}", file=sys.stderr)
        # The interpreter flushes once more at its end, and would print what we have said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _prepare_streams() -> None:
    """Stand in for streams that were closed (`>&-`), so that no other file gets their descriptors.

    Printing on a closed standard output fails as it does on any other that cannot be written to.
    """
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115 - lives to the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - likewise
    sys.stdout = cast(TextIO, _Stdout(sys.stdout))


def _run() -> None:
    """Run the command; exit 2 with one line where the set-up is wrong."""
    from core.errors import ConfigurationError
    from core.settings import KnownNames

    KnownNames.prefixes, KnownNames.kinds = ("GENREGENIE_", "DISCORD_"), _settings_of_all
    arguments = sys.argv[1:]
    try:
        app = build_app(arguments)
        app(arguments, prog_name="genregenie")
    except ConfigurationError as error:
        print(f"genregenie: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        remedy = _remedy_for(error.name or "", _command_in(arguments) or "")
        if remedy is None:
            raise
        print(f"genregenie: {remedy}", file=sys.stderr)
        sys.exit(2)


def _remedy_for(missing: str, command: str) -> str | None:
    """Say what to do about a module that a command lacks; None where that would be a fault of ours."""
    package = COMMANDS[command][0].split(".")[0] if command in COMMANDS else ""
    if missing == package:
        return f"{command} is not part of this installation, which has no {package}/; it is in a clone of the project"
    if missing in SCALE:
        return "GENREGENIE_QUEUE_URL needs more: pip install --require-hashes -r requirements/scale.txt"
    own = missing.split(".")[0] in ("core", "bot", "training", "web")
    if own or package not in EXTRAS:
        return None
    return _NEEDS_MORE.format(extra=EXTRAS[package])


if __name__ == "__main__":
    main()
