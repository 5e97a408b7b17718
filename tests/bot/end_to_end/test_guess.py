"""The guessing game, from the command to the scores."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio

from bot.storage.engine import DATABASE_FILE
from core.constants import GENRES
from core.i18n.catalog import translate
from core.settings import MIB
from tests.bot.end_to_end.answers import answer_under, genre_of
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File, Message, User
from tests.discord_server.errors import ALREADY_ACKNOWLEDGED

NAMES = {genre: translate(f"genre.{genre}", "en").capitalize() for genre in GENRES}
GUESS_S = 10
SONG_S = 40
"""Of a shorter part the model says that it is none of the ten genres."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def game_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BotProcess]:
    """A bot of its own, with short games."""
    async with Discord() as discord:
        data = tmp_path_factory.mktemp("games")
        async with BotProcess(discord, data, GENREGENIE_GUESS_S=str(GUESS_S)) as process:
            yield process
        assert discord.complaints == [], "\n".join(map(str, discord.complaints))


@pytest.fixture
def place(game_bot: BotProcess) -> House:
    return furnished(game_bot.discord)


def is_open(message: Message) -> bool:
    return sum(control["custom_id"].startswith("gg:guess:") for control in message.controls) == len(GENRES)


def is_ended(message: Message) -> bool:
    return (
        not message.loading and not message.controls and translate("bot.guess.votes", "en", votes="") in message.content
    )


async def begun(discord: Discord, place: House, user: User, **options: object) -> Message:
    asked = discord.slash("guess play", user=user, channel=place.channel, **options)
    assert await asked.acknowledged() < 3
    return await asked.reply(is_open)


async def guess(discord: Discord, message: Message, genre: str, user: User) -> str:
    pressed = discord.click(message, f"gg:guess:{_key(message)}:{genre}", user=user)
    shown = await pressed.reply(lambda reply: bool(reply.content))
    assert shown.only_for is user
    return shown.content


def guilds_with_a_game(game_bot: BotProcess) -> list[int]:
    with closing(sqlite3.connect(f"file:{game_bot.data / DATABASE_FILE}?mode=ro", uri=True)) as connection:
        return [guild_id for (guild_id,) in connection.execute("SELECT guild_id FROM games")]


def _key(message: Message) -> str:
    return str(message.controls[0]["custom_id"]).split(":")[2]


@pytest.mark.slow
async def test_a_song_is_posted_without_its_name_and_guesses_are_counted(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    song = new_song(SONG_S, "famous song.wav")
    game = await begun(discord, place, place.ana, file=song)
    assert "famous" not in game.content
    [posted] = game.files
    assert posted.filename == "guess-the-genre.wav"
    assert posted.data == song.data
    assert await guess(discord, game, "jazz", place.ana) == translate("bot.guess.own", "en")
    assert NAMES["jazz"] in await guess(discord, game, "jazz", place.ben)
    assert NAMES["pop"] in await guess(discord, game, "pop", place.ben)
    busy = discord.slash("guess play", user=place.ben, channel=place.channel, file=new_song(SONG_S))
    told = await busy.reply(lambda reply: translate("bot.guess.busy", "en") in reply.content)
    assert told.only_for is place.ben
    await discord.until(lambda: is_ended(game), what="the answer")
    assert "famous song.wav" in game.content
    assert game.files == [posted], "the song stays"
    assert translate("bot.guess.guesses", "en", n=1, guesses="pop 1") in game.content
    scores = discord.slash("guess scores", user=place.ben, channel=place.channel)
    listed = await scores.reply(lambda reply: bool(reply.content))
    assert f"<@{place.ben.id}>" in listed.content
    assert f"<@{place.ana.id}>" not in listed.content


@pytest.mark.slow
async def test_who_agrees_with_the_model_wins(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    song = new_song(SONG_S)
    asked = discord.slash("genre", user=place.ben, channel=place.channel, file=song, private=True)
    genre = genre_of(await asked.reply(lambda reply: bool(reply.embeds)))
    game = await begun(discord, place, place.ana, file=song)
    await guess(discord, game, genre, place.ben)
    await discord.until(lambda: is_ended(game), what="the answer")
    assert f"<@{place.ben.id}>" in game.content
    assert translate("bot.guess.nobody", "en") not in game.content


@pytest.mark.slow
async def test_a_song_that_was_posted_here_is_played_with_a_link_to_it_in_the_end(
    game_bot: BotProcess, place: House
) -> None:
    discord = game_bot.discord
    empty = discord.slash("guess play", user=place.ana, channel=place.channel)
    await empty.reply(lambda reply: reply.content == translate("bot.guess.nothing-posted", "en"))
    music = place.guild.channels[1]
    switched = discord.slash("genregenie channel on", user=place.owner, channel=music)
    await switched.reply(lambda reply: bool(reply.content))
    song = new_song(SONG_S, "an old one.wav")
    posted = discord.post_message(music, user=place.ben, files=[song])
    await answer_under(discord, posted)
    game = await begun(discord, place, place.ana)
    assert game.files[0].data == song.data
    assert str(posted.id) not in game.content
    await guess(discord, game, "rock", place.ana)
    await discord.until(lambda: is_ended(game), what="the answer")
    assert f"{music.id}/{posted.id}" in game.content


async def test_what_cannot_be_played_is_told_to_the_asker_alone(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    video = discord.slash("guess play", user=place.ana, channel=place.channel, file=File("a.mp4", b"1"))
    told = await video.reply(lambda reply: reply.content == translate("bot.guess.audio-only", "en"))
    assert told.only_for is place.ana
    outside = discord.slash("guess play", user=place.ana, channel=place.channel, file=new_song(12))
    await outside.reply(lambda reply: reply.content == translate("bot.guess.outside", "en"))
    broken = discord.slash("guess play", user=place.ana, channel=place.channel, file=File("a.mp3", b"no song" * 99))
    told = await broken.reply(lambda reply: reply.only_for is not None)
    assert told.only_for is place.ana
    assert discord.messages_of_bot(place.channel) == []
    assert await begun(discord, place, place.ana, file=new_song(SONG_S)), "the channel is free again"
    discord.deny(place.channel, place.ben, "attach_files")
    files = [new_song(6), File("a.mp4", b"1")]
    posted = discord.post_message(place.guild.channels[1], user=place.ana, files=files)
    for song in ({"file": new_song(6)}, {"link": posted.files[0].url}):
        refused = discord.slash("guess play", user=place.ben, channel=place.channel, **song)
        await refused.reply(lambda reply: reply.content == translate("bot.guess.not-allowed", "en"))
    linked = discord.slash("guess play", user=place.ana, channel=place.channel, link=posted.files[1].url)
    await linked.reply(lambda reply: reply.content == translate("bot.guess.audio-only", "en"))


async def test_in_a_thread_who_may_write_in_threads_may_play(game_bot: BotProcess, place: House) -> None:
    discord, thread = game_bot.discord, game_bot.discord.thread(place.channel, "games")
    for denied, key in (("send_messages", "audio-only"), ("send_messages_in_threads", "not-allowed")):
        discord.deny(place.channel, place.ben, denied)
        asked = discord.slash("guess play", user=place.ben, channel=thread, file=File("a.mp4", b"1"))
        told = await asked.reply()
        assert told.content == translate(f"bot.guess.{key}", "en")
        discord.allow(place.channel, place.ben)


@pytest.mark.slow
async def test_songs_that_are_larger_than_the_bot_may_post_are_not_played(
    game_bot: BotProcess, place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord, music = game_bot.discord, place.guild.channels[1]
    switched = discord.slash("genregenie channel on", user=place.owner, channel=music)
    await switched.reply(lambda reply: bool(reply.content))
    # A member with Nitro has posted it.
    posted = discord.post_message(music, user=place.ben, files=[new_song(SONG_S)])
    await answer_under(discord, posted)
    monkeypatch.setattr(discord.world, "attachment_size_limit", MIB)
    chosen = discord.slash("guess play", user=place.ana, channel=place.channel)
    await chosen.reply(lambda reply: reply.content == translate("bot.guess.nothing-posted", "en"))
    linked = discord.slash("guess play", user=place.ana, channel=place.channel, link=posted.files[0].url)
    told = await linked.reply(lambda reply: reply.content == translate("bot.guess.too-large", "en", mb=1))
    assert told.only_for is place.ana
    assert discord.messages_of_bot(place.channel) == []


async def test_a_guess_is_acknowledged_before_the_database_has_it(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    game = await begun(discord, place, place.ana, file=new_song(SONG_S))
    with closing(sqlite3.connect(game_bot.data / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        pressed = discord.click(game, f"gg:guess:{_key(game)}:jazz", user=place.ben)
        await pressed.acknowledged()
        connection.execute("ROLLBACK")
    shown = await pressed.reply(lambda reply: bool(reply.content))
    assert shown.content == translate("bot.guess.noted", "en", genre=NAMES["jazz"])
    assert shown.only_for is place.ben


@pytest.mark.slow
async def test_an_answer_that_discord_refuses_leaves_the_channel_free(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    # The ends of other tests' games would take the faults.
    await game_bot.until(lambda: not guilds_with_a_game(game_bot), "the end of the others")
    game = await begun(discord, place, place.ana, file=new_song(SONG_S))
    discord.fail("edit_followup", 400)
    discord.fail("edit_message", 400)
    refused = len(discord.exchanges("edit_message"))
    await discord.until(lambda: len(discord.exchanges("edit_message")) > refused, what="the refused answer")
    assert is_open(game)
    await game_bot.until(lambda: not guilds_with_a_game(game_bot), "its end")
    assert await begun(discord, place, place.ana, file=new_song(SONG_S))


async def test_a_game_whose_acknowledgement_meets_a_lost_answer_knows_its_message(
    game_bot: BotProcess, place: House
) -> None:
    discord = game_bot.discord
    discord.fail("interaction_callback", 502, carried_out=True)
    game = await begun(discord, place, place.ana, file=new_song(SONG_S))
    with closing(sqlite3.connect(game_bot.data / DATABASE_FILE)) as connection:
        known = connection.execute("SELECT message_id FROM games WHERE guild_id = ?", (place.guild.id,)).fetchall()
    assert known == [(game.id,)], "by which its answer is shown"
    discord.forgive(ALREADY_ACKNOWLEDGED)


async def test_a_database_that_fails_after_the_command_leaves_the_channel_free(
    game_bot: BotProcess, place: House
) -> None:
    discord = game_bot.discord
    with closing(sqlite3.connect(game_bot.data / DATABASE_FILE)) as connection:
        connection.execute("ALTER TABLE requests RENAME TO hidden")
        failed = discord.slash("guess play", user=place.ana, channel=place.channel)
        told = await failed.reply(lambda reply: translate("error.internal", "en") in reply.content)
        assert told.only_for is place.ana
        connection.execute("ALTER TABLE hidden RENAME TO requests")
    empty = discord.slash("guess play", user=place.ana, channel=place.channel)
    await empty.reply(lambda reply: reply.content == translate("bot.guess.nothing-posted", "en"))


@pytest.mark.slow
async def test_a_game_that_is_open_at_a_crash_is_ended_by_the_next_start(game_bot: BotProcess, place: House) -> None:
    discord = game_bot.discord
    game = await begun(discord, place, place.ana, file=new_song(SONG_S))
    await guess(discord, game, "jazz", place.ben)
    game_bot.process.kill()
    await game_bot.wait()
    await game_bot.start()
    await discord.until(lambda: is_ended(game), what="the answer")
    assert translate("bot.guess.guesses", "en", n=1, guesses="jazz 1") in game.content
    assert await begun(discord, place, place.ana, file=new_song(SONG_S))
