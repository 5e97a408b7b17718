"""`genregenie classify`: files, folders and links to verdicts, in the order given."""

import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.identify import Heard, Identifier, LinkSource, PathSource, Request, Source, open_fetching
from core.pipeline import Step
from core.settings import Settings, load_settings
from core.workers import WorkerPool

_SUFFIXES: Final = (
    "3gp aac ac3 aif aifc aiff amr ape asf au avi caf flac flv m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpeg mpg oga ogg "
    "ogv opus snd tta wav webm wma wmv wv"
)
MEDIA_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _SUFFIXES.split())
"""What is heard when a folder is walked; a file that is named is heard whatever it is called."""

AHEAD: Final = 4
"""Inputs per worker that are under way at a time: enough to keep all busy, few enough for any folder."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to hear: as it was given, and where it is; `error` where that is known to lead nowhere."""

    name: str
    source: Source | None
    error: GenreGenieError | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an input: one of the two."""

    name: str
    heard: Heard | None = None
    error: GenreGenieError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract of `--json`."""
        if self.heard is not None:
            return self.heard.verdict.to_json()
        error = self.error or GenreGenieError(ErrorCode.INTERNAL)
        return {"source": self.name, "error": {"code": error.code.value, "message": str(error)}}


def classify(
    inputs: Annotated[list[str], typer.Argument(metavar="FILE|FOLDER|URL...", help="What to hear.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each input.")] = False,
    model: Annotated[
        str | None, typer.Option(help="A model under models/ by name, or a .tflite file beside its card.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Vote over the whole song.")] = False,
    start: Annotated[
        float | None, typer.Option(min=0.0, max=86_400.0, help="Hear the thirty seconds from this second on.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the votes under the spectrogram, as a PNG.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that listen; all processors by default.")
    ] = None,
) -> None:
    """Hear songs and say their genre, with every three seconds' vote.

    Exit status: 0 when every input has a verdict, 1 when one has none, 2 for wrong usage.
    """
    if whole and start is not None:
        raise typer.BadParameter("--whole hears all of the song, --start a part: take one of them")
    if picture is not None and (len(inputs) > 1 or Path(inputs[0]).is_dir()):
        raise typer.BadParameter("--picture draws one song: give one file or link")
    if picture is not None and not os.access(picture.absolute().parent, os.W_OK):
        raise typer.BadParameter(f"{picture.parent} is no folder that can be written to")
    settings = load_settings(Settings)
    if model is not None:
        settings = settings.model_copy(update={"model": model})
    # Every answer tells what went wrong; the log adds to it only where it is asked for.
    logging.basicConfig(level=logging.DEBUG if settings.log_level == "DEBUG" else logging.CRITICAL)
    request = Request(PathSource(Path()), whole=whole, start=start, picture=picture is not None)
    try:
        failed = asyncio.run(_classify(inputs, request, settings, workers, as_json, picture))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # `| head` has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives until the end of the process
        failed = True
    raise typer.Exit(1 if failed else 0)


async def _classify(
    inputs: Sequence[str],
    request: Request,
    settings: Settings,
    workers: int | None,
    as_json: bool,
    picture: Path | None,
) -> bool:
    """Hear all, print each in its turn, and tell whether any has no verdict."""
    found = list(expand(inputs))
    size = min(workers or os.cpu_count() or 1, max(1, len(found)))
    failed = False
    output = _Output(as_json, total=len(found))
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(WorkerPool(settings, size=size))
        identifier = await _identifier(stack, found, settings, pool)
        await pool.ready()
        with output:
            async for answer in in_order(found, request, identifier, AHEAD * size, output):
                output.show(answer)
                failed = failed or answer.heard is None
                if picture is not None and answer.heard is not None and answer.heard.picture is not None:
                    _write_picture(picture, answer.heard.picture)
    return failed


async def _identifier(
    stack: contextlib.AsyncExitStack, found: Sequence[Input], settings: Settings, pool: WorkerPool
) -> Identifier:
    """Open a way out only where there is a link to fetch."""
    if not any(isinstance(item.source, LinkSource) for item in found):
        return Identifier(settings, pool=pool)
    # Whoever asks once, from any folder, wants no data directory there.
    private = stack.enter_context(tempfile.TemporaryDirectory(prefix="genregenie-"))
    egress, files = await open_fetching(stack, settings.model_copy(update={"data_dir": Path(private)}))
    return Identifier(settings, pool=pool, egress=egress, files=files)


def _write_picture(path: Path, png: bytes) -> None:
    try:
        path.write_bytes(png)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def expand(inputs: Iterable[str]) -> Iterator[Input]:
    """Turn what was given into what to hear: folders are walked, in the order of their names.

    A folder without anything to hear is `not-audio`; a file that is named goes on as it is, whatever it is.
    """
    for given in inputs:
        if given.lower().startswith(("http://", "https://")):
            yield Input(given, LinkSource(given))
        elif "://" in given:
            yield Input(given, None, GenreGenieError(ErrorCode.UNSUPPORTED_LINK))
        elif os.path.isdir(given):
            media = list(_walk(given))
            yield from (Input(path, PathSource(Path(path))) for path in media)
            if not media:
                yield Input(given, None, GenreGenieError(ErrorCode.NOT_AUDIO))
        else:
            yield Input(given, PathSource(Path(given)))


def _walk(folder: str) -> Iterator[str]:
    for directory, subdirectories, files in os.walk(folder):
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(MEDIA_SUFFIXES):
                yield os.path.join(directory, name)


async def in_order(
    found: Iterable[Input], request: Request, identifier: Identifier, most: int, output: "_Output"
) -> AsyncIterator[Answer]:
    """Hear inputs on all workers and give the answers in the inputs' order, `most` under way at a time."""
    under_way: deque[asyncio.Task[Answer]] = deque()
    try:
        for item in found:
            under_way.append(asyncio.create_task(_answer(item, request, identifier, output)))
            if len(under_way) >= most:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _answer(item: Input, request: Request, identifier: Identifier, output: "_Output") -> Answer:
    if item.source is None:
        return Answer(item.name, error=item.error)
    try:
        return Answer(item.name, await identifier.identify(replace(request, source=item.source), progress=output.told))
    except GenreGenieError as error:
        return Answer(item.name, error=error)


class _Output:
    """Where answers go: a table for people or a line of JSON; progress beside it, on a terminal's standard error."""

    def __init__(self, as_json: bool, total: int) -> None:
        self._as_json = as_json
        self._total = total
        self._stack = contextlib.ExitStack()
        self._bar: Any = None
        self._console: Any = None

    def __enter__(self) -> "_Output":
        # JSON escapes what the terminal's encoding lacks; the table shows a question mark for it.
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        if not self._as_json:
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 80)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._stack.enter_context(progress)
            # With one file the bar is its sound, in hundredths; with several, the files.
            single = self._total == 1
            self._bar = (progress, progress.add_task("listening", total=100 if single else self._total), single)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def told(self, step: Step, share: float | None) -> None:
        """Move the bar of a single file."""
        if self._bar is not None and self._bar[2]:
            progress, task, _ = self._bar
            progress.update(task, description=step.value, completed=100 * share if share is not None else None)

    def show(self, answer: Answer) -> None:
        """Print one answer."""
        if self._as_json:
            print(json.dumps(answer.to_json()), flush=True)
        else:
            from core.console import show_error, show_verdict

            if answer.heard is not None:
                show_verdict(self._console, answer.heard.verdict)
            else:
                show_error(self._console, answer.name, answer.error or GenreGenieError(ErrorCode.INTERNAL))
            if sys.stdout.isatty() or self._total > 1:
                self._console.print()
        if self._bar is not None and not self._bar[2]:
            progress, task, _ = self._bar
            progress.advance(task)
