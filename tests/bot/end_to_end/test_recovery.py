"""After a crash: what was asked is ended or begun again by the next start, once."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.storage.engine import DATABASE_FILE
from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, genre_of, is_final, press, said
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File, Interaction, Message

AGAIN, CANCEL = translate("bot.button.again", "en"), translate("bot.button.cancel", "en")
INTERRUPTED = translate("bot.interrupted", "en")
EAR = "\N{EAR}"


async def kill(process: BotProcess) -> None:
    process.process.kill()
    await process.wait()


async def begun(discord: Discord, house: House, **options: object) -> tuple[Interaction, Message]:
    """Return a request whose progress is shown."""
    options = {"file": slow_at_first(), **options}
    asked = discord.slash("genre", user=house.ana, channel=house.channel, **options)
    return asked, await asked.reply(lambda message: CANCEL in message.buttons)


def slow_at_first() -> File:
    """Return a song that comes quickly from the second download on."""
    return new_song(8, bytes_per_s=3_000, slow_downloads=1)


def open_requests(directory: Path) -> int:
    with closing(sqlite3.connect(directory / DATABASE_FILE)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM open_requests WHERE NOT interrupted").fetchone()
    return int(count)


async def test_what_a_kill_interrupts_says_so_and_is_asked_again_with_a_button(tmp_path: Path) -> None:
    # Three workers, so that one member's songs are fetched at once.
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_WORKERS="3") as process:
        house = furnished(discord)
        done = await answer(discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6)))
        public = await begun(discord, house)
        private = await begun(discord, house, private=True)
        # This one has only come to "thinking…", and this one's token is gone by the next start; it waits in the queue.
        thinking = discord.slash("genre", user=house.ana, channel=house.channel, file=slow_at_first())
        await thinking.acknowledged()
        expired = await begun(discord, house, file=new_song(6))
        await discord.until(lambda: open_requests(tmp_path) == 4, what="four open requests")
        await kill(process)
        expired[0].expire()
        await process.start()
        shown = [public[1], private[1], thinking.messages[0], expired[1]]
        for message in shown:
            await discord.until(lambda message=message: message.content == INTERRUPTED, what="the end of the progress")
            assert (message.buttons, message.loading) == ([AGAIN], False)
        assert genre_of(done) in GENRES
        refused = await discord.click(public[1], AGAIN, user=house.ben).reply()
        assert refused.content == translate("bot.not-yours", "en")
        for message in shown:
            presses = [discord.click(message, AGAIN, user=house.ana) for _ in range(2)]
            await discord.until(lambda message=message: message.embeds and is_final(message), what="the answer")
            assert genre_of(message) in GENRES
            assert not any(pressed.messages for pressed in presses)
        assert len(discord.messages_of_bot(house.channel)) == 4, "and one that only Ana sees"
        await discord.until(lambda: open_requests(tmp_path) == 0, what="nothing is open")
        discord.forgive(50027)
        assert discord.complaints == []


async def test_links_to_files_of_discords_are_asked_again_whatever_command_they_were_given_to(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_WORKERS="3") as process:
        house = furnished(discord)
        ana: dict[str, Any] = {"user": house.ana, "channel": house.channel}
        slow = [discord.world.upload(house.channel, slow_at_first()) for _ in range(3)]
        one, two, three = slow
        quick = discord.world.upload(house.channel, new_song(6))
        posted = discord.post_message(house.channel, house.ben, f"listen: {three.url}")
        one.expire()  # Discord renews it for the bot, each time that it is asked about
        asked = [
            discord.slash("genre", **ana, link=one.url),
            discord.slash("compare", **ana, **{"first-link": two.url, "second-link": quick.url}),
            discord.message_command("Identify genre", posted, user=house.ana),
        ]
        shown = [await request.reply(lambda message: CANCEL in message.buttons) for request in asked]
        await discord.until(lambda: all(upload.downloads for upload in slow), what="the downloads")
        await kill(process)
        await process.start()
        for message in shown:
            await discord.until(lambda message=message: message.content == INTERRUPTED, what="the end of the progress")
            await press(discord, message, AGAIN, house.ana)
        assert one.file.name in shown[0].text
        assert shown[1].embeds[0]["title"] == translate("bot.compare.title", "en")
        assert three.file.name in shown[2].text
        assert discord.complaints == []


async def test_a_private_request_whose_token_is_gone_is_closed_logged_and_said_directly(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        asked, _ = await begun(discord, house, private=True)
        await kill(process)
        asked.expire()
        await process.start()
        direct = discord.direct_messages(house.ana)
        await discord.until(lambda: discord.messages_of_bot(direct), what="the direct message")
        [message] = discord.messages_of_bot(direct)
        assert message.content == translate("bot.interrupted-private", "en", channel=f"<#{house.channel.id}>")
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
            assert connection.execute("SELECT count(*) FROM open_requests").fetchone() == (0,)
        logged = r"ended without its message; its asker was told: True id=[0-9a-f]{8}\n"
        await process.until(lambda: re.search(logged, process.log), "the line in the log")
        await process.restart()
        assert len(discord.messages_of_bot(direct)) == 1
        discord.forgive(50027)
        assert discord.complaints == []


async def test_another_part_that_a_kill_interrupts_leaves_the_answer_that_was_there(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        whole = translate("bot.button.whole", "en")
        song = new_song(170)
        reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song))
        embeds = reply.embeds
        music = house.guild.channels[1]
        discord.deny_bot(music, "embed_links")
        plain = await answer(discord.slash("genre", user=house.ana, channel=music, file=song))
        text = plain.content
        waiting = [await begun(discord, house) for _ in range(3)]
        for message in (reply, plain):
            discord.click(message, whole, user=house.ana)
            await discord.until(lambda message=message: CANCEL in message.buttons, what="its progress")
        await kill(process)
        await process.start()
        for message in (reply, plain):
            await discord.until(lambda message=message: message.content == INTERRUPTED, what="the end of the progress")
        assert reply.embeds == embeds
        again = reply.controls[0]["custom_id"]
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
            connection.execute("ALTER TABLE songs RENAME TO hidden")
            failed = await discord.click(reply, AGAIN, user=house.ana).reply()
            connection.execute("ALTER TABLE hidden RENAME TO songs")
        assert said(failed) == translate("error.internal", "en")
        await press(discord, reply, AGAIN, house.ana)
        assert reply.embeds[0]["description"] != embeds[0]["description"]
        assert whole not in reply.buttons
        assert len(waiting) == 3
        # Somebody's client still has the button of before.
        reply.controls[0]["custom_id"] = again
        late = await discord.click(reply, again, user=house.ana).reply()
        assert late.content == translate("bot.gone", "en")
        # One that is refused leaves the text that was there, but for what the first answer in its channel says once.
        await answer(discord.slash("genregenie limits", user=house.owner, channel=music, cooldown=600))
        await answer(discord.slash("genre", user=house.ana, channel=music, file=new_song(6)))
        refused = await discord.click(plain, AGAIN, user=house.ana).reply()
        assert refused.content.startswith(translate("error.cooldown", "en").partition(".")[0])
        assert whole in plain.buttons
        assert text.startswith(f"{plain.content}\n")
        assert discord.complaints == []


async def test_posted_audio_is_answered_by_the_next_start_and_never_twice(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
        posted = discord.post_message(house.channel, house.ana, files=[slow_at_first()])
        await discord.until(lambda: posted.reactions[EAR] and posted.files[0].downloads, what="the download")
        await kill(process)
        # Somebody reads the record of a request whose answer came in the moment before the end.
        answered = discord.post_message(house.channel, house.ana, files=[new_song(6)])
        discord.world.add_message(Message(house.channel, discord.bot, "Rock", reply_to=answered))
        with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
            connection.execute(COPY, (answered.id,))
            connection.commit()
        await process.start()
        assert genre_of(await answer_under(discord, posted)) in GENRES
        await discord.until(lambda: not posted.reactions[EAR], what="the reaction goes")
        await discord.until(lambda: open_requests(tmp_path) == 0, what="nothing is open")
        assert [message.reply_to for message in discord.messages_of_bot(house.channel)] == [answered, posted]
        await kill(process)
        await process.start()
        assert len(discord.messages_of_bot(house.channel)) == 2
        assert discord.complaints == []


@pytest.mark.slow
async def test_what_outlasts_its_client_is_taken_up_by_the_next(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_GUESS_S="40") as process:
        house = furnished(discord)
        played = discord.slash("guess play", user=house.ben, channel=house.channel, file=new_song(40))
        game = await played.reply(lambda message: len(message.controls) == len(GENRES))
        # Longer than a client that is given up waits for its answers.
        _, message = await begun(discord, house, file=new_song(8, bytes_per_s=12_000, slow_downloads=1))
        discord.world.gateway.dispatch("MESSAGE_CREATE", {}, guild=house.guild)
        await process.until(lambda: "trying again in 1 s" in process.log, "the end of the client")
        await discord.until(lambda: message.content == INTERRUPTED, what="the end of the progress")
        await press(discord, message, AGAIN, house.ana)
        assert genre_of(message) in GENRES
        await discord.until(lambda: not game.controls, what="the answer of the game")
        assert translate("bot.guess.votes", "en", votes="") in game.content
        assert open_requests(tmp_path) == 0
        assert discord.complaints == []
        process.log = ""  # which has the trace of the answer that had no client


COPY = """
INSERT INTO open_requests (owner, kind, user_id, guild_id, channel_id, private, locale, songs, whole, start, left_out,
    restores, asked_at, attempt, token, message_id, posted_id, interrupted)
SELECT owner, kind, user_id, guild_id, channel_id, private, locale, songs, whole, start, left_out,
    restores, asked_at, attempt, token, message_id, ?, interrupted FROM open_requests
"""


@pytest.mark.slow
async def test_audio_that_ends_the_process_every_time_is_given_up(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
        deadly = new_song(20, bytes_per_s=3_000)
        posted = discord.post_message(house.channel, house.ana, files=[deadly])
        for downloads in (1, 2):
            await discord.until(lambda n=downloads: posted.files[0].downloads == n, what="a download")
            await kill(process)
            await process.start()
        await discord.until(lambda: not posted.reactions[EAR], what="the reaction goes")
        follows = discord.post_message(house.channel, house.ana, files=[new_song(6)])
        await answer_under(discord, follows)
        assert posted.files[0].downloads == 2
        await discord.until(lambda: open_requests(tmp_path) == 0, what="nothing is open")


async def test_a_stop_leaves_posted_audio_to_the_next_start(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path) as process:
        house = furnished(discord)
        await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
        posted = discord.post_message(house.channel, house.ana, files=[slow_at_first()])
        await discord.until(lambda: posted.files[0].downloads, what="the download")
        assert await process.stop() == 0
        assert discord.messages_of_bot(house.channel) == []
        assert not posted.reactions[EAR]
        await process.start()
        assert genre_of(await answer_under(discord, posted)) in GENRES
