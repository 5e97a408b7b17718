"""`genregenie classify`: files, folders and links to verdicts, in the order given."""

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from core.errors import ConfigurationError, ErrorCode, GenreGenieError
from core.service.identify import Identifier, IdentifyResult, LinkSource, PathSource, Request, Source, open_fetching
from core.settings import Settings, load_settings
from core.workers.pool import WorkerPool

if TYPE_CHECKING:
    from core.cli.console import Output

_SUFFIXES: Final = (
    "3gp aac ac3 aif aifc aiff amr ape asf au avi caf flac flv m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpeg mpg oga ogg "
    "ogv opus snd tta wav webm wma wmv wv"
)
MEDIA_SUFFIXES: Final = tuple(f".{suffix}" for suffix in _SUFFIXES.split())
"""What is heard when a folder is walked; a file that is named is heard whatever it is called."""

AHEAD: Final = 4
"""Inputs per worker that are under way at a time: enough to keep all busy, few enough for any folder."""


@dataclass(frozen=True, slots=True)
class ClassifyInput:
    """One thing to hear: as it was given, and where it is; `error` where that is known to lead nowhere."""

    name: str
    source: Source | None
    error: GenreGenieError | None = None


@dataclass(frozen=True, slots=True)
class ClassifyOutcome:
    """What came of an input: one of the two."""

    name: str
    heard: IdentifyResult | None = None
    error: GenreGenieError | None = None

    @property
    def problem(self) -> GenreGenieError:
        """Why there is no verdict."""
        return self.error or GenreGenieError(ErrorCode.INTERNAL)


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
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(WorkerPool(settings, size=size))
        await asyncio.sleep(0)  # the workers' processes start now, and warm up while we import what prints
        from core.cli.console import Output

        output = Output(as_json, total=len(found))
        identifier = await _identifier(stack, found, settings, pool)
        await pool.ready()
        with output:
            async for answer in in_order(found, request, identifier, AHEAD * size, output):
                output.show(answer.name, answer.heard.verdict if answer.heard else answer.problem)
                failed = failed or answer.heard is None
                if picture is not None and answer.heard is not None and answer.heard.picture is not None:
                    _write_picture(picture, answer.heard.picture)
    return failed


async def _identifier(
    stack: contextlib.AsyncExitStack, found: Sequence[ClassifyInput], settings: Settings, pool: WorkerPool
) -> Identifier:
    """Open a way out only where there is a link to fetch."""
    if not any(isinstance(item.source, LinkSource) for item in found):
        return Identifier(settings, pool=pool)
    # Whoever asks once, from any folder, wants no data directory there.
    private = stack.enter_context(tempfile.TemporaryDirectory(prefix="genregenie-"))
    proxy, files = await open_fetching(stack, settings.model_copy(update={"data_dir": Path(private)}))
    return Identifier(settings, pool=pool, proxy=proxy, files=files)


def _write_picture(path: Path, png: bytes) -> None:
    try:
        path.write_bytes(png)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def expand(inputs: Iterable[str]) -> Iterator[ClassifyInput]:
    """Turn what was given into what to hear: folders are walked, in the order of their names.

    A folder without anything to hear is `not-audio`; a file that is named goes on as it is, whatever it is.
    """
    for given in inputs:
        if given.lower().startswith(("http://", "https://")):
            yield ClassifyInput(given, LinkSource(given))
        elif "://" in given:
            yield ClassifyInput(given, None, GenreGenieError(ErrorCode.UNSUPPORTED_LINK))
        elif os.path.isdir(given):
            media = list(_walk(given))
            yield from (ClassifyInput(path, PathSource(Path(path))) for path in media)
            if not media:
                yield ClassifyInput(given, None, GenreGenieError(ErrorCode.NOT_AUDIO))
        else:
            yield ClassifyInput(given, PathSource(Path(given)))


def _walk(folder: str) -> Iterator[str]:
    for directory, subdirectories, files in os.walk(folder):
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(MEDIA_SUFFIXES):
                yield os.path.join(directory, name)


async def in_order(
    found: Iterable[ClassifyInput], request: Request, identifier: Identifier, most: int, output: "Output"
) -> AsyncIterator[ClassifyOutcome]:
    """Hear inputs on all workers and give the answers in the inputs' order, `most` under way at a time."""
    under_way: deque[asyncio.Task[ClassifyOutcome]] = deque()
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


async def _answer(item: ClassifyInput, request: Request, identifier: Identifier, output: "Output") -> ClassifyOutcome:
    if item.source is None:
        return ClassifyOutcome(item.name, error=item.error)
    try:
        return ClassifyOutcome(
            item.name, await identifier.identify(replace(request, source=item.source), progress=output.told)
        )
    except GenreGenieError as error:
        return ClassifyOutcome(item.name, error=error)
