"""A day's traffic in minutes, with kills in between: `python -m benchmarks.day --requests 300 --kills 12`.

Members of three servers ask and post, few at night and many in the evening, and the bot is killed (SIGKILL) again and
again in the middle of it and started anew. In the end nothing may be lost, answered twice, or left standing.
"""

import asyncio
import contextlib
import math
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.measure import machine
from bot.cogs.autoscan import WORKING_EMOJI
from bot.storage.engine import DATABASE_FILE
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import is_final
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File, Interaction, Message

AGAIN: Final = translate("bot.button.again", "en")
INTERRUPTED: Final = translate("bot.interrupted", "en")
CANCEL: Final = "gg:cancel:"
BUSIEST_PER_S: Final = 1.0
"""Requests a second in the evening, all servers together; at night a tenth."""

LONGEST_GAP_S: Final = 5.0
"""Between two requests: of eight, one night's gap of half a minute would be most of the day."""

SETTLE_S: Final = 180.0
"""Ceiling for the last answers."""

SLOW_BYTES_PER_S: Final = 60_000
"""At which some files come, so that a kill meets them on their way."""


@dataclass
class Day:
    """What was asked, and what became of it.

    Attributes:
        asked: interactions, each with its asker's house.
        posted: messages with audio.
        counts: what happened, by name.
        faults: what may not happen, in words.
        seconds: what took how long: `starts` of the bot, the time in which it was `asked`, `settling`, the `end`.
    """

    asked: list[tuple[Interaction, House]] = field(default_factory=list)
    posted: list[Message] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the seconds that something takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] += round(time.monotonic() - began)


async def replay(folder: Path, requests: int, kills: int, seed: int = 0) -> Day:
    """Let the day pass.

    Args:
        folder: for the bot's data.
        requests: how many there are in all; time does not pass while the bot is away.
        kills: how often the bot is killed meanwhile.
        seed: of what is asked when, and of the moments of the kills.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    day = Day()
    async with Discord() as discord, contextlib.AsyncExitStack() as stack:
        bot = BotProcess(discord, folder, GENREGENIE_MAX_JOBS_PER_MEMBER="256")
        with day.timed("starts"):
            await stack.enter_async_context(bot)
        began = time.monotonic()
        houses = [furnished(discord) for _ in range(3)]
        for house in houses:
            used = discord.slash("genregenie channel on", user=house.owner, channel=house.channel)
            await used.reply(is_final)
        members = asyncio.create_task(_ask_all_day(discord, houses, day, requests, chance))
        for number in range(1, kills + 1):
            moment = number * requests // (kills + 1)
            await discord.until(
                lambda n=moment: len(day.asked) + len(day.posted) >= n, within=SETTLE_S, what="the next kill's time"
            )
            await asyncio.sleep(chance.uniform(0, 2))
            bot.process.kill()
            await bot.wait()
            with day.timed("starts"):
                await bot.start()
        await members
        day.seconds["asked"] = round(time.monotonic() - began)
        with day.timed("settling"):
            await _settle(discord, day)
        _count(discord, day)
        _look_for_remains(folder, discord, day)
        # Interactions that were killed before their acknowledgement, and tokens of private ones, are nobody's fault.
        day.faults += [str(complaint) for complaint in discord.complaints]
        with day.timed("end"):
            await stack.aclose()
    return day


async def _ask_all_day(discord: Discord, houses: list[House], day: Day, requests: int, chance: random.Random) -> None:
    known = new_song(8)
    for number in range(requests):
        # Evening is in the middle, so that the day begins and ends at night.
        rate = BUSIEST_PER_S * (0.1 + 0.9 * math.sin(math.pi * number / requests) ** 2)
        await asyncio.sleep(min(chance.expovariate(rate), LONGEST_GAP_S))
        # Discord offers no commands of a bot that is not connected, and tells it of no message that it missed.
        await discord.until(lambda: discord.gateway.live, within=SETTLE_S, what="the bot is back")
        _ask(discord, chance.choice(houses), day, known, chance)


def _ask(discord: Discord, house: House, day: Day, known: File, chance: random.Random) -> None:
    kind = chance.choices(("song", "known", "private", "bad", "posted"), (4, 2, 2, 1, 4))[0]
    day.counts[f"asked: {kind}"] += 1
    asker = chance.choice((house.ana, house.ben))
    slow = {"bytes_per_s": SLOW_BYTES_PER_S} if chance.random() < 0.5 else {}
    song = new_song(chance.uniform(4, 20), **slow)
    if kind == "posted":
        day.posted.append(discord.post_message(house.channel, asker, files=[song]))
        return
    file = {"known": known, "bad": File(f"words {len(day.asked)}.mp3", b"words, no sound. " * 50)}.get(kind, song)
    asked = discord.slash("genre", user=asker, channel=house.channel, file=file, private=kind == "private")
    day.asked.append((asked, house))


async def _settle(discord: Discord, day: Day) -> None:
    """Wait for the last answers; whoever reads that the bot was interrupted asks again."""
    pressed: set[int] = set()
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        for asked, _ in day.asked:
            for message in asked.messages:
                if message.content == INTERRUPTED and AGAIN in message.buttons and message.id not in pressed:
                    pressed.add(message.id)
                    day.counts["asked again by the button"] += 1
                    discord.click(message, AGAIN, user=asked.user)
        waiting = [asked for asked, _ in day.asked if asked.acknowledged_at is not None and not _answers(asked)]
        if not waiting and all(_replies(discord, posted) or _was_not_seen(posted) for posted in day.posted):
            break
        await asyncio.sleep(0.5)
    # What would be answered twice gets the time to be.
    await asyncio.sleep(5)


def _answers(asked: Interaction) -> list[Message]:
    return [message for message in asked.messages if is_final(message) and message.content != INTERRUPTED]


def _replies(discord: Discord, posted: Message) -> list[Message]:
    return [message for message in discord.messages_of_bot(posted.channel) if message.reply_to is posted]


def _was_not_seen(posted: Message) -> bool:
    """Whether the bot was killed before it began with a message: Discord does not send it again."""
    return not posted.reactions_ever and not any(file.downloads for file in posted.files)


def _count(discord: Discord, day: Day) -> None:
    for asked, _ in day.asked:
        answers = len(_answers(asked))
        if asked.acknowledged_at is None:
            day.counts["killed before the acknowledgement"] += 1
        elif not answers:
            day.faults.append(f"lost: an interaction of {asked.user.name}")
        else:
            day.counts["answered"] += 1
            if answers > 1:
                day.faults.append(f"twice: an interaction of {asked.user.name}")
    for posted in day.posted:
        replies = len(_replies(discord, posted))
        if replies == 0 and _was_not_seen(posted):
            day.counts["killed before a posted message was begun"] += 1
        elif replies == 0:
            day.faults.append(f"lost: a message of {posted.author.name}")
        else:
            day.counts["answered"] += 1
            if replies > 1:
                day.faults.append(f"twice: a message of {posted.author.name}")


def _look_for_remains(folder: Path, discord: Discord, day: Day) -> None:
    messages = [message for asked, _ in day.asked for message in asked.messages if asked.acknowledged_at is not None]
    for message in messages:
        if message.loading or any(control["custom_id"].startswith(CANCEL) for control in message.controls):
            day.faults.append(f"a corpse: {message.content!r}")
    day.faults += ["a corpse: a reaction" for posted in day.posted if posted.reactions[WORKING_EMOJI]]
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as connection:
        (left,) = connection.execute("SELECT count(*) FROM open_requests").fetchone()
    if left:
        day.faults.append(f"a corpse: {left} open requests")
    files = [path for path in (folder / "tmp").rglob("*") if path.is_file() and path.name != "lock"]
    if files:
        day.faults.append(f"a corpse: {len(files)} temporary files")


def table(day: Day) -> str:
    """Write what happened in Markdown."""
    lines = ["| a day | |", "|---|---|", *(f"| {name} | {n} |" for name, n in sorted(day.counts.items()))]
    faults = Counter(fault.partition(":")[0] for fault in day.faults)
    lines += [f"| **{name}** | **{faults[name]}** |" for name in ("lost", "twice", "a corpse")]
    lines += [f"| seconds: {name} | {seconds} |" for name, seconds in day.seconds.items()]
    return "\n".join(lines)


def main(
    requests: Annotated[int, typer.Option(min=1, help="How many there are in all.")] = 300,
    kills: Annotated[int, typer.Option(min=0, help="How often the bot is killed meanwhile.")] = 12,
    seed: Annotated[int, typer.Option(help="Of what is asked when, and of the kills.")] = 0,
) -> None:
    """Replay the day, print what happened, and end with 1 where something was lost, answered twice or left standing."""
    with tempfile.TemporaryDirectory(prefix="genregenie-day-") as folder:
        day = asyncio.run(replay(Path(folder), requests, kills, seed))
    print(
        f"{table(day)}\n\n{requests} requests, {kills} kills; {machine()}.", *(f"- {f}" for f in day.faults), sep="\n"
    )
    if day.faults:
        sys.exit(1)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
