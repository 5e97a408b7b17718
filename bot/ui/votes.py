"""Votes → text: a bar, runs of genre over time, and the list of them all."""

from collections.abc import Mapping
from itertools import groupby
from typing import Final

from core.constants import SECTION_SEGMENTS
from core.i18n.catalog import translate
from core.i18n.formatting import clock, percent
from core.verdict import Prediction, runs

CELLS: Final = 10
SHADES: Final = "█▓▒░"
"""Of the cells of a bar, from the genre with the most votes on; the words beside it name the genres in that order."""

MOST_RUNS: Final = 8
"""Runs in one line of text."""

MOST_LINES: Final = 20
"""Lines of votes in one reply; the picture has them all."""


def votes_bar(votes: Mapping[str, int]) -> str:
    """Draw the shares of the votes in block characters: one a vote of up to ten, ten of more."""
    total = sum(votes.values())
    cells = min(CELLS, total)
    exact = [count * cells / total for count in votes.values()]
    filled = [int(share) for share in exact]
    # The largest remainders round up, so that the bar is always full.
    remainders = sorted(range(len(exact)), key=lambda i: filled[i] - exact[i])
    for i in remainders[: cells - sum(filled)]:
        filled[i] += 1
    return "".join(SHADES[min(i, len(SHADES) - 1)] * n for i, n in enumerate(filled))


def runs_line(prediction: Prediction, locale: str) -> str:
    """Say in one line which genre begins when: `Through the song: 0:00 rock → 1:12 metal → 1:30 rock`."""
    found, exact = runs(prediction.segments, MOST_RUNS)
    words = " → ".join(f"{clock(run.start)} {translate(f'genre.{run.genre}', locale)}" for run in found)
    return translate("bot.reply.runs" if exact else "bot.reply.runs-rough", locale, runs=words)


def votes_list(prediction: Prediction, locale: str) -> str:
    """List the votes in order, one a line; of many, neighbours that agree share a line."""
    names = {genre: translate(f"genre.{genre}", locale) for genre in prediction.votes}
    width, widest = max(map(len, names.values())), len(percent(1, locale))
    if len(prediction.segments) <= SECTION_SEGMENTS:
        return "\n".join(
            f"{clock(s.start):>5}  {names[s.genre]:<{width}}  {percent(s.probability, locale):>{widest}}"
            for s in prediction.segments
        )
    lines = []
    for genre, run in groupby(prediction.segments, key=lambda segment: segment.genre):
        voters = list(run)
        mean = sum(voter.probability for voter in voters) / len(voters)
        span = f"{clock(voters[0].start):>5}–{clock(voters[-1].end):<5}"
        lines.append(f"{span}  {names[genre]:<{width}} ×{len(voters):<2} {percent(mean, locale):>{widest}}")
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = [translate("bot.reply.more-votes", locale, n=len(lines) - MOST_LINES + 1)]
    return "\n".join(lines)


def picture_alt(prediction: Prediction, locale: str) -> str:
    """Say what the picture shows, for those who do not see it: the genres as runs, not vote by vote."""
    found, exact = runs(prediction.segments, max(MOST_RUNS, SECTION_SEGMENTS))
    words = ", ".join(f"{clock(run.start)}–{clock(run.end)} {translate(f'genre.{run.genre}', locale)}" for run in found)
    over_time = translate("bot.reply.runs" if exact else "bot.reply.runs-rough", locale, runs=words)
    genre = translate(f"genre.{prediction.genre}", locale)
    return translate("bot.reply.alt", locale, genre=genre, runs=over_time)
