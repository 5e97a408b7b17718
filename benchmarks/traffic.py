"""What people ask of bot, page and command line, good and bad, mixed; and whether each was answered as it should be."""

import asyncio
import json
import random
import secrets
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import aiohttp

from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import genre_of, is_final, said, sentence
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.songs import DEMO, new_song
from tests.discord_server import Discord, File, Message
from tests.support.data import ROOT

ANSWER_S: Final = 180.0
"""Ceiling for one answer."""

PAUSE_S: Final = 0.5
"""Between an answer and the same asker's next question, on average."""

CHANCE: Final = random.Random(0)  # noqa: S311 - no secret
HUGE_MINUTES: Final = 20
CANCEL = translate("bot.button.cancel", "en")
WHOLE = translate("bot.button.whole", "en")


class UnexpectedError(Exception):
    """An answer was another than it should be; with its words."""


def expect(holds: object, message: object) -> None:
    """Check an answer; `message` says what it was.

    Raises:
        UnexpectedError: it is not as it should be.
    """
    if not holds:
        raise UnexpectedError(str(message))


@dataclass
class Tally:
    """How often each was asked, and answered as it should be; what was answered otherwise, in words."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def keep_asking(self, name: str, ask: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Ask one question after another until `stop` is set; the last one is answered too."""
        while not stop.is_set():
            self.asked[name] += 1
            try:
                await asyncio.wait_for(ask(), ANSWER_S)
                self.answered[name] += 1
            except (UnexpectedError, AssertionError, TimeoutError, aiohttp.ClientError, ValueError) as error:
                self.wrong.append(f"{name}: {str(error)[:300] or type(error).__name__}")
            await asyncio.sleep(CHANCE.uniform(0, 2 * PAUSE_S))


class OnDiscord:
    """Members of one server.

    Args:
        discord: where they are.
        house: who they are.
        huge: a long song, MP3.
    """

    def __init__(self, discord: Discord, house: House, huge: bytes) -> None:
        self._discord = discord
        self._house = house
        self._huge = huge
        self._known = new_song(8)

    def questions(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Give what they ask, by name."""
        return {
            "bot: a song": self._good,
            "bot: a song that is known": self._again,
            "bot: dropped audio": self._autoscan,
            "bot: no music at all": self._bad,
            "bot: a download that breaks off": self._broken,
            "bot: cancelled": self._cancelled,
            "bot: twenty minutes": self._long,
            "bot: a gigabyte": self._too_large,
        }

    async def switch_autoscan_on(self) -> None:
        """Have the bot answer audio that is posted in the channel."""
        house = self._house
        used = self._discord.slash("genregenie channel on", user=house.owner, channel=house.channel)
        await used.reply(is_final)

    async def _ask(self, file: File, **options: object) -> Message:
        house = self._house
        asked = self._discord.slash("genre", user=house.ana, channel=house.channel, file=file, **options)
        reply = await asked.reply(is_final, within=ANSWER_S)
        self._forget(file)
        return reply

    def _forget(self, file: File) -> None:
        """Let go of a file's bytes: this Discord keeps what it was sent for ever."""
        for upload in self._discord.world.cdn.uploads.values():
            if upload.file is file:
                upload.file = replace(file, data=b"")

    async def _good(self) -> None:
        first = await self._ask(new_song(CHANCE.uniform(4, 20)))
        genre_of(first)
        if WHOLE in first.buttons and CHANCE.random() < 0.3:
            clicked = self._discord.click(first, WHOLE, user=self._house.ana)
            genre_of(await clicked.reply(is_final, within=ANSWER_S))

    async def _again(self) -> None:
        house = self._house
        asked = self._discord.slash("genre", user=house.ben, channel=house.channel, file=self._known)
        genre_of(await asked.reply(is_final, within=ANSWER_S))

    async def _autoscan(self) -> None:
        files = [new_song(5), new_song(6)]
        posted = self._discord.post_message(self._house.channel, self._house.ben, "listen", files=files)
        reply = await self._discord.answer_to(posted, is_final, within=ANSWER_S)
        # One song has an embed, several a line each.
        answered = len(reply.embeds) if len(files) == 1 else len(reply.text.splitlines())
        expect(answered == len(files), reply.text)
        for file in files:
            self._forget(file)

    async def _bad(self) -> None:
        name = secrets.token_hex(4)
        reply = await self._ask(File(f"{name}.mp3", CHANCE.randbytes(20_000)))
        allowed = (ErrorCode.NOT_AUDIO, ErrorCode.DAMAGED, ErrorCode.NO_AUDIO_TRACK)
        expect(reply.content in map(sentence, allowed), reply.text)

    async def _broken(self) -> None:
        reply = await self._ask(new_song(10, break_off_at=100_000))
        expect(said(reply) == sentence(ErrorCode.UNAVAILABLE), reply.text)

    async def _cancelled(self) -> None:
        house = self._house
        file = new_song(20, bytes_per_s=20_000)
        asked = self._discord.slash("genre", user=house.ana, channel=house.channel, file=file)
        progress = await asked.reply(lambda message: CANCEL in message.buttons, within=ANSWER_S)
        self._discord.click(progress, CANCEL, user=house.ana)
        reply = await asked.reply(is_final, within=ANSWER_S)
        expect(reply.content == sentence(ErrorCode.CANCELLED), reply.text)
        self._forget(file)

    async def _long(self) -> None:
        # What follows an MP3 is passed over: no two have the same bytes, and all the same song.
        genre_of(await self._ask(File(f"{secrets.token_hex(4)}.mp3", self._huge + secrets.token_bytes(16))))
        await asyncio.sleep(10 * PAUSE_S)

    async def _too_large(self) -> None:
        reply = await self._ask(new_song(4, declared_size=10**9))
        expect(reply.embeds == [], reply.text)
        expect("50" in reply.content, reply.text)


class OnThePage:
    """Visitors of the page, who speak to it as its script does."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = f"{address}en"

    def questions(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Give what they ask, by name."""
        return {
            "page: a song": self._good,
            "page: other parts of a song": self._parts,
            "page: an answer that is shared": self._shared,
            "page: no music at all": self._bad,
            "page: a closed tab": self._gone,
        }

    async def _good(self) -> None:
        answer = await self._asked(await self._sent(new_song(CHANCE.uniform(4, 20))))
        expect("gg-verdict" in answer, answer[-300:])

    async def _bad(self) -> None:
        answer = await self._asked(await self._sent(File("words.mp3", b"words, no sound. " * 50)))
        expect(sentence(ErrorCode.NOT_AUDIO) in answer, answer[-300:])

    async def _gone(self) -> None:
        job = await self._started(await self._sent(new_song(20)))
        async with self._session.get(f"{self._address}/jobs/{job}/events") as stream:
            await stream.content.readline()
        await asyncio.sleep(4 * PAUSE_S)

    async def _sent(self, file: File) -> str:
        async with self._session.post(f"{self._address}/song", params={"name": file.name}, data=file.data) as answer:
            expect(answer.status == 200, f"sending was answered with {answer.status}")
            key: str = (await answer.json())["song"]
            return key

    async def _parts(self) -> None:
        job = await self._started(await self._sent(new_song(40)))
        await self._answered(job)
        for part in ({"start": 5}, {"whole": True}):
            other = await self._started(of=job, **part)
            answer = await self._answered(other)
            expect("gg-verdict" in answer, answer[-300:])
        for what in ("result.json", "votes.png"):
            async with self._session.get(f"{self._address}/jobs/{other}/{what}") as response:
                expect(response.status == 200, f"{what} was answered with {response.status}")
                await response.read()

    async def _shared(self) -> None:
        job = await self._started(await self._sent(new_song(CHANCE.uniform(4, 20))))
        await self._answered(job)
        async with self._session.post(f"{self._address}/jobs/{job}/share", json={}) as response:
            expect(response.status == 200, f"sharing was answered with {response.status}")
            shared = await response.json()
        address = f"{self._address.removesuffix('/en')}{shared['path']}"
        for status, act in ((200, None), (204, {"secret": shared["secret"]}), (404, None)):
            called = self._session.post(f"{address}/end", json=act) if act else self._session.get(address)
            async with called as response:
                expect(response.status == status, f"a shared answer was answered with {response.status}")
                await response.read()

    async def _asked(self, key: str) -> str:
        return await self._answered(await self._started(key))

    async def _answered(self, job: str) -> str:
        while True:
            async with self._session.get(f"{self._address}/jobs/{job}") as answer:
                expect(answer.status == 200, f"asking was answered with {answer.status}")
                state = await answer.json()
            if state["state"] != "working":
                return json.dumps(state, ensure_ascii=False)
            await asyncio.sleep(PAUSE_S / 2)

    async def _started(self, key: str | None = None, **asked: object) -> str:
        async with self._session.post(f"{self._address}/jobs", json={"song": key, **asked}) as answer:
            expect(answer.status == 200, f"starting was answered with {answer.status}")
            job: str = (await answer.json())["job"]
            return job


class OnTheCommandLine:
    """Somebody who types `genregenie classify`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "words.mp3").write_bytes(b"words, no sound. " * 50)

    def questions(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Give what they ask, by name."""
        return {"command line: good and bad": self._classify}

    async def _classify(self) -> None:
        named = [str(DEMO), str(self._folder / "words.mp3"), str(self._folder / "missing.mp3")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genregenie", "classify", "--json", "--workers", "1", *named),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
        answers = [json.loads(line) for line in out.splitlines()]
        expect(process.returncode == 1, f"exit status {process.returncode}")
        expect(answers[0].get("genre") in GENRES, answers)
        expect([answer["error"]["code"] for answer in answers[1:]] == ["not-audio", "not-found"], answers)
