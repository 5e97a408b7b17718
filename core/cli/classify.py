"""`genregenie classify`: files, folders and links to verdicts, in the order given."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from core.audio.suffixes import MEDIA_SUFFIXES
from core.cli.pipes import PipeSource, inherited_descriptor, must_be_copied
from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions
from core.service.identify import LocalIdentifier, Request
from core.service.sources import LinkSource, PathSource, Source
from core.settings import Settings, load_settings
from core.verdict import Verdict
from core.workers.pool import WorkerPool

if TYPE_CHECKING:
    from core.cli.console import Output

AHEAD: Final = 4
"""Inputs per worker that are under way at a time: enough to keep all busy, few enough for any folder."""


@dataclass(frozen=True, slots=True)
class ClassifyInput:
    """One input: as it was given, and where it is; `error` where that is known to lead nowhere."""

    name: str
    source: Source | None
    error: GenreGenieError | None = None


@dataclass(frozen=True, slots=True)
class ClassifyOutcome:
    """What came of an input: a verdict and perhaps a picture, or an error."""

    name: str
    verdict: Verdict | None = None
    picture: bytes | None = None
    error: GenreGenieError | None = None

    @property
    def problem(self) -> GenreGenieError:
        """Why there is no verdict."""
        return self.error or GenreGenieError(ErrorCode.INTERNAL)


def classify(
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILE|FOLDER|URL|-...", help="What to classify; - is standard input.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each input.")] = False,
    model: Annotated[
        str | None, typer.Option(help="A model under models/ by name, or a .tflite file beside its card.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Vote over the whole song.")] = False,
    start: Annotated[
        float | None, typer.Option(min=0.0, max=86_400.0, help="Classify the thirty seconds from this second on.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the votes above the spectrogram, as a PNG.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say which bands and times spoke for the genre, in the picture too.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Worker processes; all processors by default.")
    ] = None,
) -> None:
    """Classify songs by genre, with a vote for every three seconds.

    Exit status: 0 when every input has a verdict, 1 when one has none, 2 for wrong usage.
    """
    if whole and start is not None:
        raise typer.BadParameter("--whole takes all of the song, --start a part: choose one of them")
    if picture is not None and (len(inputs) > 1 or os.path.isdir(inputs[0])):
        raise typer.BadParameter("--picture draws one song: give one file or link")
    if picture is not None and not os.access(picture.absolute().parent, os.W_OK):
        raise typer.BadParameter(f"{picture.parent} is no folder that can be written to")
    descriptors = [number for number in map(inherited_descriptor, inputs) if number is not None]
    if len(set(descriptors)) < len(descriptors):
        raise typer.BadParameter("standard input, or any other descriptor, can be read only once")
    settings = load_settings(Settings)
    if model is not None:
        settings = settings.model_copy(update={"model": model})
    # Every answer says what went wrong; the log adds to it only where it is asked for.
    logging.basicConfig(level=logging.DEBUG if settings.log_level == "DEBUG" else logging.CRITICAL)
    options = ClassifyOptions(whole=whole, start=start, picture=picture is not None, why=why)
    try:
        failed = asyncio.run(_classify(inputs, options, settings, workers, as_json, picture))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except asyncio.CancelledError:  # SIGTERM
        raise typer.Exit(143) from None
    raise typer.Exit(1 if failed else 0)


async def _classify(
    inputs: Sequence[str],
    options: ClassifyOptions,
    settings: Settings,
    workers: int | None,
    as_json: bool,
    picture: Path | None,
) -> bool:
    """Classify all, print each in its turn, and return whether any has no verdict."""
    _clean_up_on_sigterm()
    passed_over = PassedOver()
    found = list(expand(inputs, settings, passed_over))
    for line in passed_over.remarks():
        print(f"genregenie: {line}", file=sys.stderr)
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
            async for outcome in in_order(found, options, identifier, AHEAD * size, output):
                output.show(outcome.name, outcome.verdict or outcome.problem)
                failed = failed or outcome.verdict is None
                if picture is not None and outcome.picture is not None:
                    failed = not _write_picture(picture, outcome.picture) or failed
    return failed


def _clean_up_on_sigterm() -> None:
    """Cancel everything on SIGTERM: a song that was copied or fetched does not stay on the disk."""
    task = asyncio.current_task()
    with contextlib.suppress(NotImplementedError):  # Windows has no such signal
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _identifier(
    stack: contextlib.AsyncExitStack, found: Sequence[ClassifyInput], settings: Settings, pool: WorkerPool
) -> LocalIdentifier:
    """Open the proxy only where there is a link to fetch."""
    if not any(isinstance(item.source, LinkSource) for item in found):
        return LocalIdentifier(settings, pool=pool)
    # Whoever asks once, from any folder, wants no data directory there.
    private = stack.enter_context(tempfile.TemporaryDirectory(prefix="genregenie-"))
    from core.service.fetcher import open_fetcher

    fetcher = await open_fetcher(stack, settings.model_copy(update={"data_dir": Path(private)}))
    return LocalIdentifier(settings, pool=pool, fetcher=fetcher)


def _write_picture(path: Path, png: bytes) -> bool:
    """Write the picture and return whether it could be written; the verdict stands either way."""
    try:
        path.write_bytes(png)
    except OSError as error:
        print(f"genregenie: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return False
    return True


@dataclass(slots=True)
class PassedOver:
    """What was passed over in the folders that were walked: folder → how many."""

    other_files: Counter[str] = field(default_factory=Counter)
    linked_folders: Counter[str] = field(default_factory=Counter)

    def remarks(self) -> Iterator[str]:
        """Say it, in one line for each folder and kind."""
        from core.cli.console import printable

        for counts, what in (
            (self.other_files, ("file without a known suffix", "files without a known suffix")),
            (self.linked_folders, ("linked folder", "linked folders")),
        ):
            for folder, count in (+counts).items():
                yield f"{printable(folder)}: passed over {count} {what[count != 1]}"


def expand(inputs: Iterable[str], settings: Settings, passed_over: PassedOver) -> Iterator[ClassifyInput]:
    """Turn what was given into inputs: folders are walked, in the order of their names.

    A folder without any audio is `not-audio`; a file that is named goes on as it is, whatever it is.

    Args:
        inputs: as given.
        settings: limits of what comes through a pipe.
        passed_over: takes note of what is passed over in folders.
    """
    for given in inputs:
        if given.lower().startswith(("http://", "https://")):
            yield ClassifyInput(given, LinkSource(given))
        elif "://" in given:
            yield ClassifyInput(given, None, GenreGenieError(ErrorCode.UNSUPPORTED_LINK))
        elif os.path.isdir(given):
            yield from list(_walk(given, passed_over)) or [
                ClassifyInput(given, None, GenreGenieError(ErrorCode.NOT_AUDIO))
            ]
        elif must_be_copied(given):
            yield ClassifyInput(given, PipeSource(given, settings))
        else:
            yield _file(given)


def _file(path: str) -> ClassifyInput:
    return ClassifyInput(path, PathSource(Path(path), path))  # a Path forgets "./"


def _walk(folder: str, passed_over: PassedOver) -> Iterator[ClassifyInput]:
    """Find the media files below a folder, and what in it cannot be read; links to folders are not followed."""
    unreadable: list[OSError] = []
    for directory, subdirectories, files in os.walk(folder, onerror=unreadable.append):
        yield from _not_found(unreadable, folder)
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        passed_over.linked_folders[folder] += sum(
            os.path.islink(os.path.join(directory, name)) for name in subdirectories
        )
        for name in sorted(name for name in files if not name.startswith(".")):
            if name.lower().endswith(MEDIA_SUFFIXES):
                yield _file(os.path.join(directory, name))
            else:
                passed_over.other_files[folder] += 1
    yield from _not_found(unreadable, folder)


def _not_found(errors: list[OSError], folder: str) -> Iterator[ClassifyInput]:
    """Turn what `os.walk` could not read into inputs without a source, and forget it."""
    for error in errors:
        yield ClassifyInput(error.filename or folder, None, GenreGenieError(ErrorCode.NOT_FOUND))
    errors.clear()


async def in_order(
    found: Iterable[ClassifyInput], options: ClassifyOptions, identifier: LocalIdentifier, most: int, output: "Output"
) -> AsyncIterator[ClassifyOutcome]:
    """Classify inputs on all workers and yield the outcomes in the inputs' order, `most` under way at a time."""
    under_way: deque[asyncio.Task[ClassifyOutcome]] = deque()
    try:
        for item in found:
            under_way.append(asyncio.create_task(_outcome(item, options, identifier, output)))
            if len(under_way) >= most:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _outcome(
    item: ClassifyInput, options: ClassifyOptions, identifier: LocalIdentifier, output: "Output"
) -> ClassifyOutcome:
    if item.source is None:
        return ClassifyOutcome(item.name, error=item.error)
    try:
        result = await identifier.identify(Request(item.source, options), on_progress=output.on_progress)
    except GenreGenieError as error:
        return ClassifyOutcome(item.name, error=error)
    return ClassifyOutcome(item.name, result.verdict, result.picture)
