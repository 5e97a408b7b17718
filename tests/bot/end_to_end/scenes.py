"""Every message that members and admins read, sent by a real bot over the Discord on loopback, in any language.

What the model says is written into the bot's store beforehand, so that the same is said on every machine.
"""

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from bot.storage.engine import DATABASE_FILE
from core.audio.spectrogram import QuantizedMel
from core.constants import FRONT_END_VERSION, GENRES, HOP_LENGTH, N_MELS, SAMPLE_RATE
from core.i18n.catalog import translate
from core.service.identify import models_digest
from core.verdict import Explanation, ModelInfo, Outside, Prediction, Section, Segment, tally
from core.version import VERSION
from tests.bot.end_to_end.answers import answer, answer_under, details, is_final
from tests.bot.end_to_end.process import BotProcess
from tests.discord_server import Channel, Discord, File, Interaction, Message, User
from tests.discord_server.look import Shown

LOCALES: Final = {"en": "en-US", "es": "es-ES", "pt": "pt-BR"}
"""How Discord calls our languages, where it calls them otherwise."""

IN_A_MOMENT: Final = {
    "en": "in 30 seconds",
    "es": "dentro de 30 segundos",
    "de": "in 30 Sekunden",
    "fr": "dans 30 secondes",
    "pt": "em 30 segundos",
}
"""How Discord shows a time that comes, and below one that has passed."""

DAYS_AGO: Final = {
    "en": "5 days ago",
    "es": "hace 5 días",
    "de": "vor 5 Tagen",
    "fr": "il y a 5 jours",
    "pt": "há 5 dias",
}
GUESS_S: Final = 10

MADE: Final = ModelInfo("genie", "2", "0" * 64)
SECONDS: Final = 215


@dataclass(frozen=True)
class Known:
    """A song whose answer is in the store before anybody asks."""

    file: File
    prediction: Prediction
    part: str = "main"
    sounds: tuple[float, float] = (1.0, 0.0)
    """Its embedding, of length 1."""


def spectrogram(seconds: int = SECONDS) -> QuantizedMel:
    """Return a spectrogram that looks like a beat with chords, the same on every machine."""
    samples = seconds * SAMPLE_RATE
    frames = 1 + samples // HOP_LENGTH
    time, band = np.meshgrid(np.arange(frames), np.arange(N_MELS))
    beat = 80 * np.exp(-(time % 12) / 3) * (band < 40)
    chords = 70 * (np.sin(band / 5 + time // 48) > 0.6)
    level = np.clip(200 - band + beat + chords - 30 * (time // 400 % 2), 0, 255)
    return QuantizedMel(level.astype(np.uint8), np.full(frames, 200, np.uint8), 0.0, samples)


def _voter(start: float, genre: str, probability: float) -> Segment:
    rest = (1 - probability) / (len(GENRES) - 1)
    return Segment(start, start + 3, tuple(probability if name == genre else rest for name in GENRES))


def _prediction(start: float, runs: Sequence[tuple[str, int, float]], duration: float = SECONDS) -> Prediction:
    """Make a prediction of runs: genre, votes, probability."""
    each = [(genre, probability) for genre, n, probability in runs for _ in range(n)]
    segments = tuple(_voter(start + 3 * i, genre, probability) for i, (genre, probability) in enumerate(each))
    genre, votes, mean = tally(segments)
    starts = tuple(segment.start for segment in segments if segment.genre == genre)[:10]
    cells = 6 * len(starts)
    importance = tuple(
        tuple(
            0.4 if (band, cell % 6) == (3, 2) else 0.2 if band == 1 and cell in (3, 27) else 0.0
            for cell in range(cells)
        )
        for band in range(8)
    )
    bands = (346.0, 693.0, 1_054.0, 1_577.0, 2_361.0, 3_534.0, 6_000.0, 11_025.0)
    return Prediction(
        float(duration),
        0.99,
        genre,
        votes,
        mean,
        Section(start, segments[-1].end),
        segments,
        MADE,
        tags={"Electric guitar": 0.9, "Drum kit": 0.8, "Male singing": 0.7, "Bass guitar": 0.4},
        why=Explanation(bands, starts, importance),
    )


ROCK: Final = _prediction(62.0, [("rock", 4, 0.82), ("metal", 2, 0.55), ("rock", 3, 0.7), ("metal", 1, 0.51)])
SONGS: Final = {
    "song": Known(File("Midnight Train.mp3", b"midnight"), ROCK),
    "whole": Known(
        File("Midnight Train.mp3", b"midnight"),
        _prediction(
            0.0, [("rock", 24, 0.8), ("metal", 6, 0.6), ("rock", 20, 0.75), ("pop", 9, 0.5), ("rock", 12, 0.8)]
        ),
        "whole",
    ),
    "outside": Known(
        File("warehouse.flac", b"warehouse"),
        replace(
            _prediction(30.0, [("disco", 6, 0.35), ("pop", 4, 0.3)]),
            outside=Outside("electronic", 0.81),
            tags={"House music": 0.7, "Drum machine": 0.6, "Synthesizer": 0.5},
        ),
        sounds=(0.6, 0.8),
    ),
    "cut off": Known(
        File("concert.mkv", b"concert"),
        replace(_prediction(3.0, [("jazz", 5, 0.97), ("jazz", 5, 0.93)], 62), cut_off=True, track=2, tracks=3),
    ),
    "mixed": Known(
        File("radio_hour.ogg", b"radio"),
        _prediction(
            90.0, [("blues", 3, 0.4), ("country", 3, 0.4), ("pop", 2, 0.3), ("reggae", 1, 0.3), ("jazz", 1, 0.3)]
        ),
        sounds=(0.8, 0.6),
    ),
}


def make_known(data: Path, mel: QuantizedMel) -> None:
    """Write the answers about `SONGS` into the store of a bot that runs or has run."""
    model_sha256 = models_digest(os.environ.get("GENREGENIE_MODEL"))
    with closing(sqlite3.connect(data / DATABASE_FILE, timeout=30)) as connection, connection:
        for known in SONGS.values():
            sha256 = hashlib.sha256(known.file.data).hexdigest()
            connection.execute(
                "INSERT OR IGNORE INTO songs (sha256, size, used_at, mel) VALUES (?, ?, strftime('%s'), ?)",
                (sha256, len(mel.to_bytes()), mel.to_bytes()),
            )
            verdict = json.dumps(known.prediction.to_dict())
            connection.execute(
                "INSERT OR IGNORE INTO results (sha256, model_sha256, front_end, part, size, verdict, embedding)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    sha256,
                    model_sha256,
                    FRONT_END_VERSION,
                    known.part,
                    len(verdict),
                    verdict,
                    np.array(known.sounds, "<f2").tobytes(),
                ),
            )


class Scenes:
    """A server with two members, all of one language, and what the bot says to them.

    Args:
        discord: the bot is connected to it.
        locale: language, one of ours.
    """

    def __init__(self, discord: Discord, locale: str) -> None:
        self.discord = discord
        self.locale = locale
        theirs = LOCALES.get(locale, locale)
        self.ana, self.ben, self.owner = (discord.user(name, locale=theirs) for name in ("ana", "ben", "mod"))
        guild = discord.guild("Vinyl", locale=theirs, owner=self.owner, channels=["general", "music", "games"])
        guild.join(self.ana)
        guild.join(self.ben)
        self.guild = guild
        self.channel, self.music, self.games = guild.channels
        self.shown: list[Shown] = []

    @property
    def names(self) -> dict[int, str]:
        """What mentions are called."""
        world = self.discord.world
        return {
            **{user.id: f"@{user.name}" for user in world.users.values()},
            **{channel.id: f"#{channel.name}" for channel in world.channels.values()},
        }

    def word(self, key: str, **values: object) -> str:
        """Give a sentence of the bot's in this language."""
        return translate(f"bot.{key}", self.locale, **values)

    def keep(
        self, title: str, message: Message, above: str = "", change: Callable[[str], str] = lambda text: text
    ) -> Message:
        """Take down what a message shows now; `change` makes what differs from time to time the same."""
        shown = Shown.of(title, message, above)
        self.shown.append(replace(shown, content=change(shown.content)))
        return message

    async def used(self, title: str, command: str, user: User | None = None, **options: object) -> Message:
        """Use a command and take its answer down."""
        user = user or self.owner
        channel = options.pop("where", self.channel)
        assert isinstance(channel, Channel)
        reply = await answer(self.discord.slash(command, user=user, channel=channel, **options))
        return self.keep(title, reply, f"{user.name} · /{command}")

    async def pressed(self, title: str, message: Message, label: str, user: User | None = None) -> Message:
        """Press a button that is answered by a message of its own."""
        interaction = self.discord.click(message, self.word(f"button.{label}"), user=user or self.ana)
        return self.keep(title, await interaction.reply(is_final))

    async def changed(self, title: str, message: Message, interaction: Interaction) -> Message:
        """Take a message down once an interaction has changed it."""
        before = len(message.revisions)
        await interaction.acknowledged()
        await self.discord.until(lambda: len(message.revisions) > before and is_final(message), what=title)
        return self.keep(title, message)

    async def play(self) -> list[Shown]:
        """Show everything, and give it in order."""
        game, begun = await self._game(), len(self.shown)
        await self._answers()
        await self._several()
        await self._elsewhere()
        await self._failures()
        await self._progress()
        await self._together()
        await self._admin()
        await self._owner()
        # Guesses were taken meanwhile; the end stands beside the beginning all the same.
        end = len(self.shown)
        await self._end_of(game)
        self.shown[begun:begun] = [self.shown.pop(end) for _ in self.shown[end:]]
        await self._privacy()
        return self.shown

    async def _game(self) -> Message:
        await self.used("no scores", "guess scores", self.ana, where=self.games)
        asked = self.discord.slash("guess play", user=self.ana, channel=self.games, file=SONGS["song"].file)
        game = await asked.reply(lambda message: any(c["custom_id"].startswith("gg:guess:") for c in message.controls))
        self.keep("game", game, "ana · /guess play", lambda text: re.sub(r"<t:\d+:R>", IN_A_MOMENT[self.locale], text))
        rock = self.discord.click(game, translate("genre.rock", self.locale).capitalize(), user=self.ben)
        self.keep("guess", await rock.reply(is_final))
        own = self.discord.click(game, translate("genre.jazz", self.locale).capitalize(), user=self.ana)
        self.keep("guess of whose song it is", await own.reply(is_final))
        return game

    async def _end_of(self, game: Message) -> None:
        await self.discord.until(lambda: not game.controls, what="the end of the game")
        self.keep("end of the game", game, "ana · /guess play")
        await self.used("scores", "guess scores", self.ana, where=self.games)

    async def _together(self) -> None:
        first, second = SONGS["song"].file, SONGS["mixed"].file
        await self.used("two songs compared", "compare", self.ana, first=first, second=second)
        await self.used("one song to compare", "compare", self.ana, first=first)
        mixed = await answer(self.discord.slash("genre", user=self.ana, channel=self.channel, file=second))
        alike = await self.discord.click(mixed, self.word("button.like"), user=self.ben).reply(is_final)
        self.keep("sounds like", alike, change=lambda text: re.sub(r"https://\S+", "#general › 💬", text))
        await self.used("top of the server", "top", self.ana)
        asked = await self.used("top of oneself, not counted yet", "top", self.ana, who="me")
        counted = self.discord.click(asked, self.word("button.taste-on"), user=self.ana)
        await self.changed("top of oneself, from now on", asked, counted)
        mine = await self.used("top of oneself", "top", self.ana, who="me")
        ended = self.discord.click(mine, self.word("button.taste-off"), user=self.ana)
        await self.changed("top of oneself, no longer", mine, ended)

    async def _owner(self) -> None:
        host = self.discord.world.owner
        host.locale = self.ana.locale
        # A direct message does not say its author's language; this does.
        await answer(self.discord.slash("help", user=host, channel=self.discord.direct_messages(host)))
        await self._written("owner commands", "owner")
        await self._written("status", "owner status", self._fixed_status)
        await self._written("servers", "owner servers", self._fixed_servers)
        question = await self._written("leave", f"owner leave {self.guild.id}", self._fixed_ids)
        stays = self.discord.click(question, self.word("owner.button.stay"), user=host)
        await self.changed("stay", question, stays)
        await self._written("errors", "owner errors", self._fixed_errors)
        await self._written("maintenance", "owner maintenance on")
        await self.used("asked in maintenance", "genre", self.ana, file=SONGS["song"].file)
        await self._written("end of maintenance", "owner maintenance off")
        await self._written("links off everywhere", "owner links off")
        await self.used("settings without links", "genregenie show")
        await self._written("links on again", "owner links on")
        await self._written("block", f"owner block user {self.ben.id}", self._fixed_ids)
        await self.used("asked by who is blocked", "genre", self.ben, file=SONGS["song"].file)
        await self._written("unblock", f"owner unblock user {self.ben.id}", self._fixed_ids)
        await self._written("allow", f"owner allow server {self.guild.id}", self._fixed_ids)
        await self._written("allowlist", "owner allowlist on", lambda text: re.sub(r"\d+", "11", text))
        await self._written("end of the allowlist", "owner allowlist off")
        await self._written("no server", "owner leave 123456789012345678")
        await self._written("defaults", "owner defaults")

    async def _written(
        self, title: str, text: str, change: Callable[[str], str] = lambda answered: answered
    ) -> Message:
        """Write to the bot as its owner, and take down what comes back."""
        host = self.discord.world.owner
        direct = self.discord.direct_messages(host)
        before = len(self.discord.messages_of_bot(direct))
        self.discord.post_message(direct, host, text)
        await self.discord.until(lambda: len(self.discord.messages_of_bot(direct)) > before, what=title)
        # Ids are others in every run.
        above = re.sub(r"\d{15,}", "123456789012345678", text)
        return self.keep(f"{title}, to the owner", self.discord.messages_of_bot(direct)[-1], f"host: {above}", change)

    def _fixed_ids(self, text: str) -> str:
        return re.sub(r"\d{15,}", "123456789012345678", text)

    def _fixed_status(self, text: str) -> str:
        """Put the same numbers into every line: what a machine and a release differ by."""
        text = re.sub(r"<t:\d+:R>", DAYS_AGO[self.locale], text.replace(VERSION, "1.2.3"))
        head, servers, queue, workers, memory, ytdlp, day, switches = text.splitlines()
        numbers = iter(("120", "7"))
        day = re.sub(r"\b(?!24\b)\d+\b", lambda _: next(numbers), re.sub(r" \(.*\)$", "", day))
        return "\n".join(
            (
                head,
                re.sub(r"\d+", "12", servers),
                re.sub(r"\d+", "0", queue),
                re.sub(r"\d+", "2", workers),
                re.sub(r"\d+", "412", memory),
                re.sub(r"(\(\D*)\d+", r"\g<1>20", re.sub(r"\d{4}[\d.]*", "2026.01.15", ytdlp)),
                f"{day} (not-audio 4, unavailable 2, timeout 1)",
                switches,
            )
        )

    def _fixed_servers(self, text: str) -> str:
        """Show one server of them all."""
        head, *lines = self._fixed_ids(re.sub(rf"{self.guild.id}", "0", text)).splitlines()
        [ours] = [line for line in lines if "`0`" in line]
        ours = re.sub(r"<t:\d+:d>", "2026-01-15", ours.replace("`0`", "`123456789012345678`"))
        return f"{re.sub(r'^[0-9]+', '12', head)}\n{ours}"

    def _fixed_errors(self, text: str) -> str:
        """Show those of this server."""
        lines = [line for line in text.splitlines() if str(self.guild.id) in line]
        return "\n".join(
            re.sub(r"`[0-9a-f]{8}`", "`5f3a1b2c`", re.sub(r"<t:\d+:f>", "2026-01-15 20:14", self._fixed_ids(line)))
            for line in lines
        )

    async def _answers(self) -> None:
        song = await self.used("answer", "genre", self.ana, file=SONGS["song"].file)
        self.keep("details", await details(self.discord, song, self.ben))
        whole = await self.used("whole song", "genre", self.ana, file=SONGS["whole"].file, whole=True)
        self.keep("details of a whole song", await details(self.discord, whole, self.ana))
        for title in ("outside", "cut off", "mixed"):
            await self.used(title, "genre", self.ana, file=SONGS[title].file)
        menu = await self.pressed("correction", song, "wrong", self.ben)
        await self.changed("correction noted", menu, self.discord.select(menu, "jazz", user=self.ben))
        menu = await self.discord.click(song, self.word("button.wrong"), user=self.ben).reply()
        await self.changed("correction to none", menu, self.discord.select(menu, "none", user=self.ben))
        await self.pressed("not yours", song, "part", self.ben)

    async def _several(self) -> None:
        files = [SONGS["song"].file, SONGS["outside"].file, File("notes.mp3", bytes(5_000))]
        posted = self.discord.post_message(self.channel, self.ben, files=files)
        asked = self.discord.message_command(self.menu, posted, user=self.ana)
        several = self.keep("several songs", await answer(asked), f"ana · {self.word('command.identify.name')}")
        self.keep("what failed of them", await asked.reply(lambda message: message.only_for is self.ana))
        picked = await self.discord.select(several, several.controls[0]["options"][1]["label"], user=self.ben).reply()
        self.keep("one of them", picked)

    @property
    def menu(self) -> str:
        """Name of the message command, as it is registered."""
        return translate("bot.command.identify.name", "en")

    async def _elsewhere(self) -> None:
        direct = self.discord.direct_messages(self.ana)
        posted = self.discord.post_message(direct, self.ana, files=[SONGS["song"].file])
        self.keep("direct message", await answer_under(self.discord, posted), "ana: Midnight Train.mp3")
        broken = self.discord.post_message(direct, self.ana, files=[File("words.mp3", b"words " * 100)])
        self.keep("failure in a direct message", await answer_under(self.discord, broken), "ana: words.mp3")
        self.discord.deny_bot(self.music, "embed_links")
        await self.used("without embeds", "genre", self.ana, file=SONGS["song"].file, where=self.music)
        self.discord.allow_bot(self.music)

    async def _failures(self) -> None:
        await self.used("not audio", "genre", self.ana, file=File("words.mp3", b"words " * 200))
        await self.used("nothing given", "genre", self.ana)
        await self.used("one of two", "genre", self.ana, file=SONGS["song"].file, link="https://example.org/a")
        await self.used("too large", "genre", self.ana, file=File("big.wav", b"", declared_size=50_000_000))
        await self.used("blocked address", "genre", self.ana, link="http://127.0.0.1:9/song.mp3")
        words = self.discord.post_message(self.channel, self.ben, "just words")
        asked = self.discord.message_command(self.menu, words, user=self.ana)
        self.keep("nothing to hear", await answer(asked), f"ana · {self.word('command.identify.name')}")

    async def _progress(self) -> None:
        slow = File("slow.wav", bytes(1_000_000), bytes_per_s=5_000)
        asked = self.discord.slash("genre", user=self.ana, channel=self.channel, file=slow)
        cancel = self.word("button.cancel")
        progress = await asked.reply(lambda message: cancel in message.buttons)
        self.keep("progress", progress, "ana · /genre", lambda text: re.sub(r"\d+", "12", text))
        self.discord.click(progress, cancel, user=self.ana)
        self.keep("cancelled", await asked.reply(is_final), "ana · /genre")

    async def _admin(self) -> None:
        help_ = await self.used("help", "help", self.ana)
        footer = help_.embeds[0]["footer"]["text"].replace(VERSION, "1.2.3")
        self.shown[-1] = replace(self.shown[-1], embeds=({**help_.embeds[0], "footer": {"text": footer}},))
        await self.used("no channels", "genregenie channel list")
        await self.used("channel on", "genregenie channel on")
        self.discord.deny_bot(self.music, "embed_links", "add_reactions")
        await self.used("channel on without permissions", "genregenie channel on", channel_=self.music)
        await self.used("channels", "genregenie channel list")
        await self.used("channel off", "genregenie channel off", channel_=self.music)
        await self.used("limits", "genregenie limits", longest=1.5, cooldown=1, places=8)
        await self.used("language", "genregenie language", language=self.locale)
        await self.used("links off", "genregenie links", state="off")
        await self.used("link where links are off", "genre", self.ana, link="https://example.org/a")
        await self.used("links on", "genregenie links", state="on")
        await self.used("settings", "genregenie show")
        await self.used("check", "genregenie check")
        await self.used("stats", "genregenie stats")
        await answer(self.discord.slash("genregenie limits", user=self.owner, channel=self.channel, cooldown=600))
        await answer(self.discord.slash("genre", user=self.ben, channel=self.channel, file=SONGS["song"].file))
        soon = await self.used("cooldown", "genre", self.ben, file=SONGS["song"].file)
        self.shown[-1] = replace(self.shown[-1], content=re.sub(r"\d+", "600", soon.content))

    async def _privacy(self) -> None:
        answered = next(m for m in self.channel.messages.values() if m.author is self.discord.bot and m.embeds)
        mine = await self.used("privacy", "privacy", self.ana)
        await self.changed("deletion asked about", mine, self._press(mine, "ask"))
        await self.changed("nothing deleted", mine, self._press(mine, "keep"))
        mine = await answer(self.discord.slash("privacy", user=self.ana, channel=self.channel))
        await self.changed("", mine, self._press(mine, "ask"))
        self.shown.pop()
        await self.changed("deleted", mine, self._press(mine, "me"))
        await self.used("privacy with nothing stored", "privacy", self.ana)
        self.keep("details that are gone", await details(self.discord, answered, self.ben))
        await self.pressed("song that is gone", answered, "whole")
        await self.used("privacy for admins", "genregenie privacy show")
        await self.used("member's data", "genregenie privacy forget", what="member", member=self.ben)
        both = await self.used("server's data", "genregenie privacy forget", what="server", member=self.ben)
        await self.changed("server's data deleted", both, self._press(both, "server", self.owner))

    def _press(self, message: Message, label: str, user: User | None = None) -> Interaction:
        return self.discord.click(message, self.word(f"privacy.button.{label}"), user=user or self.ana)


async def interrupted(discord: Discord, bot: BotProcess, scenes: Sequence[Scenes]) -> None:
    """Kill a bot while it works for each language, and take down what its next start says."""
    slow = File("slow.wav", bytes(1_000_000), bytes_per_s=5_000)
    progress = []
    for scene in scenes:
        asked = discord.slash("genre", user=scene.ana, channel=scene.channel, file=slow)
        cancel = scene.word("button.cancel")
        progress.append(await asked.reply(lambda message, cancel=cancel: cancel in message.buttons))  # type: ignore[misc]
    bot.process.kill()
    await bot.wait()
    await bot.start()
    for scene, message in zip(scenes, progress, strict=True):
        await discord.until(lambda message=message: is_final(message), what="the end of the progress")  # type: ignore[misc]
        scene.keep("interrupted", message, "ana · /genre")
