"""Verdicts and errors for people at a terminal: 80 columns, in colour there and plain in a pipe."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from core.chart import clock
from core.errors import GenreGenieError
from core.i18n import translate
from core.verdict import Segment, Verdict

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


def printable(words: str) -> str:
    """Replace what a terminal would obey or cannot show: names of files and titles come from strangers."""
    return "".join(character if character.isprintable() else "�" for character in words)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print a verdict."""
    name = printable(verdict.title or verdict.source)
    heading = Text(_shortened(name, console.width - 12), style="bold", no_wrap=True)
    heading.append(f"  ({clock(verdict.duration)})", style="dim")
    console.print(heading)
    if verdict.uploader:
        console.print(Text(f"  by {printable(verdict.uploader)}", style="dim"))
    if verdict.note:
        console.print(Text(f"  {translate(verdict.note)}", style="dim"))
    genre = translate(f"genre.{verdict.genre}")
    runner_up = verdict.runner_up
    line = Text("  ")
    line.append(genre, style=f"bold {STYLES[verdict.genre]}")
    line.append(f"  {verdict.confidence:.0%} sure, {verdict.votes[verdict.genre]} of {len(verdict.segments)} votes")
    share = dict(zip(STYLES, verdict.probabilities, strict=True))[runner_up]
    line.append(f"; runner-up {translate(f'genre.{runner_up}')} {share:.0%}")
    console.print(line)
    section = verdict.section
    console.print(Text(f"  heard {clock(section.start)}-{clock(section.end)} with {verdict.model.name}", style="dim"))
    for row in _rows(verdict):
        console.print(row)


def show_error(console: Console, source: str, error: GenreGenieError) -> None:
    """Print why an input has no verdict."""
    line = Text(_shortened(printable(source), console.width - 2), style="bold", no_wrap=True)
    console.print(line)
    console.print(Text(f"  {error} [{error.code.value}]", style="red"))


def _rows(verdict: Verdict) -> Iterator[Text]:
    if len(verdict.segments) <= MOST_ROWS:
        groups = [[segment] for segment in verdict.segments]
    else:
        groups = [list(alike) for _, alike in groupby(verdict.segments, key=lambda segment: segment.genre)]
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
    row.append(f" {probability:4.0%}")
    if len(group) > 1:
        row.append(f"  ×{len(group)}", style="dim")
    return row


def _shortened(words: str, width: int) -> str:
    """Cut the middle out of a long name: the end of a path says most, and so does its beginning."""
    if len(words) <= width:
        return words
    half = (width - 1) // 2
    return f"{words[:half]}…{words[-half:]}"
