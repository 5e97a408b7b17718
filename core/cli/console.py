"""Answers on standard output: in 80 columns for people, in colour on a terminal, plain in a pipe; or as JSON lines."""

import contextlib
import json
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.text import Text

from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.wording import confidence_words, headline, nearest, notes, outside_sentence, tag_names, votes_text
from core.inference.pipeline import Step
from core.verdict import Explanation, Prediction, Segment, Verdict

if TYPE_CHECKING:  # who has no terminal does not wait for the bar's library
    from rich.progress import Progress, TaskID

BAR_WIDTH: Final = 30
MOST_ROWS: Final = 20
"""With more segments than this, neighbours that vote alike share a row."""

STYLES: Final = {
    "blues": "blue",
    "classical": "bright_yellow",
    "country": "yellow",
    "disco": "bright_magenta",
    "hiphop": "dark_orange",
    "jazz": "cyan",
    "metal": "bright_black",
    "pop": "magenta",
    "reggae": "green",
    "rock": "red",
}


class Output:
    """Where answers go, with a bar beneath them while somebody watches.

    Args:
        as_json: one JSON object a line instead of tables.
        total: how many answers there will be.
    """

    def __init__(self, as_json: bool, total: int) -> None:
        self._as_json = as_json
        self._total = total
        self._stack = contextlib.ExitStack()
        self._console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 80)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Show the bar if there is a terminal to show it on."""
        with contextlib.suppress(AttributeError):  # another encoding than the block elements have
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            # On one terminal both must come from one console, or the bar is written over.
            console = self._console if sys.stdout.isatty() else Console(stderr=True)
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._progress = self._stack.enter_context(Progress(*columns, console=console, transient=True))
            # With one input the bar is its sound, in hundredths; with several, the inputs.
            self._task = self._progress.add_task("listening", total=100 if self._total == 1 else self._total)
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self._stack.close()

    def on_progress(self, step: Step, share: float | None) -> None:
        """Move the bar of a single input."""
        if self._progress is not None and self._task is not None and self._total == 1:
            completed = 100 * share if share is not None else None
            self._progress.update(self._task, description=step.value, completed=completed)

    def show(self, name: str, answer: Verdict | GenreGenieError) -> None:
        """Print one answer, the verdict or why there is none."""
        if self._as_json:
            self._console.out(json.dumps(_to_json(name, answer)))
        else:
            if isinstance(answer, Verdict):
                show_verdict(self._console, answer)
            else:
                show_error(self._console, name, answer)
            if self._total > 1:
                self._console.print()
        self._console.file.flush()
        if self._progress is not None and self._task is not None and self._total > 1:
            self._progress.advance(self._task)


def _to_json(name: str, answer: Verdict | GenreGenieError) -> dict[str, Any]:
    """Give the contract of `--json`."""
    if isinstance(answer, Verdict):
        return answer.to_json()
    return {"source": name, "error": {"code": answer.code.value, "message": error_sentence(answer)}}


def printable(words: str) -> str:
    """Replace what a terminal would obey or cannot show: names of files and titles come from strangers."""
    return "".join(character if character.isprintable() else "�" for character in words)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print a verdict."""
    prediction, song = verdict.prediction, verdict.song
    heading = Text(_shortened(printable(song.name), console.width - 12), style="bold", no_wrap=True)
    heading.append(f"  ({clock(prediction.duration)})", style="dim")
    console.print(heading)
    if song.uploader:
        console.print(Text(f"  by {printable(song.uploader)}", style="dim"))
    for note in notes(verdict):
        console.print(Text(f"  {note}", style="dim"))
    line = Text("  ")
    style = "yellow" if prediction.outside else STYLES[prediction.genre]
    line.append(headline(prediction), style=f"bold {style}")
    votes = translate("verdict.votes", votes=prediction.votes[prediction.genre], n=len(prediction.segments))
    line.append(f"  {confidence_words(prediction)}, {votes}")
    console.print(line)
    if prediction.outside is not None:
        console.print(Text(f"  {outside_sentence(prediction.outside)}", style="bold yellow"))
        console.print(Text(f"  {nearest(prediction)}"))
    if len(prediction.votes) > 1:
        console.print(Text(f"  {votes_text(prediction)}", style="dim"))
    if prediction.tags:
        console.print(Text(f"  {', '.join(tag_names(prediction))}", style="dim"))
    section = prediction.section
    part = f"{clock(section.start)}-{clock(section.end)}"
    console.print(Text(f"  heard {part} with {prediction.model.name}", style="dim"))
    for row in _rows(prediction):
        console.print(row)
    if prediction.why is not None:
        for reason in _reasons(prediction.why):
            console.print(Text(f"  {reason}", style="dim"))


def _reasons(why: Explanation) -> Iterator[str]:
    """Say which bands and times spoke most for the genre."""
    bands = ", ".join(f"{_hertz(low)}-{_hertz(high)} Hz {share:.0%}" for low, high, share in why.by_band()[:3])
    yield f"because of {bands}"
    times = ", ".join(f"{clock(start)} {share:.0%}" for start, _, share in why.by_time()[:3])
    yield f"most at {times}"


def _hertz(hertz: float) -> str:
    return f"{hertz / 1000:.1f}k" if hertz >= 1_000 else f"{hertz:.0f}"


def show_error(console: Console, source: str, error: GenreGenieError) -> None:
    """Print why an input has no verdict."""
    line = Text(_shortened(printable(source), console.width - 2), style="bold", no_wrap=True)
    console.print(line)
    console.print(Text(f"  {error_sentence(error)} [{error.code.value}]", style="red"))


def _rows(prediction: Prediction) -> Iterator[Text]:
    if len(prediction.segments) <= MOST_ROWS:
        groups = [[segment] for segment in prediction.segments]
    else:
        groups = [list(alike) for _, alike in groupby(prediction.segments, key=lambda segment: segment.genre)]
    for group in groups:
        yield _row(group)


def _row(group: list[Segment]) -> Text:
    first = group[0]
    probability = sum(segment.probability for segment in group) / len(group)
    row = Text(f"  {clock(first.start):>7}  ")
    row.append(f"{translate(f'genre.{first.genre}'):<10}", style=STYLES[first.genre])
    filled = round(probability * BAR_WIDTH)
    row.append("█" * filled, style=STYLES[first.genre])
    row.append("░" * (BAR_WIDTH - filled), style="dim")
    row.append(f" {percent(probability):>4}")
    if len(group) > 1:
        row.append(f"  ×{len(group)}", style="dim")
    return row


def _shortened(words: str, width: int) -> str:
    """Cut the middle out of a long name: the end of a path says most, and so does its beginning."""
    if len(words) <= width:
        return words
    half = (width - 1) // 2
    return f"{words[:half]}…{words[-half:]}"
