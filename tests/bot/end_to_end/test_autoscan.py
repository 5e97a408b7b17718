"""Audio posted in a channel where autoscan is on."""

from collections.abc import AsyncIterator

import pytest_asyncio

from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, details, genre_of, picture_of, sentence
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song, voice_message
from tests.discord_server import Discord, File

EAR = "\N{EAR}"
HOURGLASS = "\N{HOURGLASS WITH FLOWING SAND}"


@pytest_asyncio.fixture(loop_scope="session")
async def scanned(discord: Discord, bot: BotProcess, house: House) -> AsyncIterator[House]:
    """A house in whose first channel autoscan is on."""
    await switch(discord, house, "on")
    yield house


async def switch(discord: Discord, house: House, state: str) -> str:
    used = discord.slash(f"genregenie channel {state}", user=house.owner, channel=house.channel)
    reply = await answer(used)
    assert reply.only_for is house.owner
    return reply.content


async def test_posted_audio_is_answered_under_its_message(discord: Discord, scanned: House) -> None:
    posted = discord.post_message(scanned.channel, scanned.ana, "listen", files=[new_song()])
    reply = await answer_under(discord, posted)
    assert genre_of(reply) in GENRES
    picture_of(await details(discord, reply, scanned.ben))
    await discord.until(lambda: posted.reactions_ever == [EAR] and not posted.reactions[EAR], what="the reaction goes")


async def test_a_voice_message_is_answered(discord: Discord, scanned: House) -> None:
    posted = discord.post_message(scanned.channel, scanned.ana, files=[voice_message()], voice=True)
    reply = await answer_under(discord, posted)
    assert translate("bot.voice-message", "en") in reply.text


async def test_audio_of_a_generic_type_is_answered_under_the_name_that_its_sender_gave_it(
    discord: Discord, scanned: House
) -> None:
    file = new_song(6, name="Cancin_de_cuna.wav", title="Canción de cuna", content_type="application/octet-stream")
    reply = await answer_under(discord, discord.post_message(scanned.channel, scanned.ana, files=[file]))
    assert genre_of(reply) in GENRES
    assert reply.embeds[0]["author"]["name"] == "Canción de cuna.wav"


async def test_forwarded_audio_is_answered(discord: Discord, scanned: House) -> None:
    original = discord.post_message(scanned.guild.channels[1], scanned.ben, files=[new_song(6)])
    reply = await answer_under(discord, discord.post_message(scanned.channel, scanned.ana, forwarded=original))
    assert genre_of(reply) in GENRES


async def test_many_files_in_one_message_are_one_reply(discord: Discord, scanned: House) -> None:
    files = [new_song(6), File("notes.txt", b"not audio"), new_song(6), new_song(6)]
    posted = discord.post_message(scanned.channel, scanned.ana, files=files)
    reply = await answer_under(discord, posted)
    assert [line.partition(":")[0] for line in reply.content.splitlines()] == [
        f"{number}. **{file.name}**" for number, file in enumerate([files[0], files[2], files[3]], 1)
    ]
    assert (reply.embeds, reply.files) == ([], [])
    # Each song has its own buttons, behind the menu.
    picked = await discord.select(reply, f"2. {files[2].name}", user=scanned.ben).reply()
    assert picked.only_for is scanned.ben
    assert picked.embeds[0]["author"]["name"] == files[2].name
    assert {translate(f"bot.button.{name}", "en") for name in ("like", "wrong")} <= set(picked.buttons)


async def test_nothing_is_answered_where_it_is_off_again_or_was_never_on(discord: Discord, scanned: House) -> None:
    await switch(discord, scanned, "off")
    elsewhere = scanned.guild.channels[1]
    ignored = [
        discord.post_message(channel, scanned.ana, files=[new_song(6)]) for channel in (scanned.channel, elsewhere)
    ]
    await switch(discord, scanned, "on")
    answered = discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)])
    await answer_under(discord, answered)
    assert [message.reactions_ever for message in ignored] == [[], []]
    assert len(discord.messages_of_bot(scanned.channel)) == 1
    assert discord.messages_of_bot(elsewhere) == []


async def test_other_bots_and_messages_without_audio_are_ignored(discord: Discord, scanned: House) -> None:
    robot = discord.user("robot", bot=True)
    scanned.guild.join(robot)
    discord.post_message(scanned.channel, robot, files=[new_song(6)])
    discord.post_message(scanned.channel, scanned.ana, "no song here")
    discord.post_message(scanned.channel, scanned.ana, files=[File("notes.txt", b"words")])
    answered = discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)])
    await answer_under(discord, answered)
    assert [message.reply_to for message in discord.messages_of_bot(scanned.channel)] == [answered]


async def test_a_message_that_is_taken_back_is_not_answered(discord: Discord, scanned: House) -> None:
    slow = new_song(10, bytes_per_s=50_000)
    gone = discord.post_message(scanned.channel, scanned.ana, files=[slow])
    await discord.until(lambda: gone.files[0].downloads, what="the download begins")
    discord.delete_message(gone)
    answered = discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)])
    await answer_under(discord, answered)
    assert [message.reply_to for message in discord.messages_of_bot(scanned.channel)] == [answered]


async def test_messages_that_are_deleted_together_are_not_answered(discord: Discord, scanned: House) -> None:
    gone = [
        discord.post_message(scanned.channel, user, files=[new_song(10, bytes_per_s=50_000)])
        for user in (scanned.ana, scanned.ben)
    ]
    await discord.until(lambda: all(message.files[0].downloads for message in gone), what="the downloads begin")
    discord.delete_together(*gone)
    answered = discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)])
    await answer_under(discord, answered)
    assert [message.reply_to for message in discord.messages_of_bot(scanned.channel)] == [answered]


async def test_posted_audio_is_answered_in_the_servers_language(discord: Discord, bot: BotProcess) -> None:
    house = furnished(discord, locale="es-ES")
    await switch(discord, house, "on")
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    assert genre_of(await answer_under(discord, posted), "es") in GENRES


async def test_what_has_no_verdict_is_not_talked_about_and_its_reaction_goes(discord: Discord, scanned: House) -> None:
    broken = File("broken.mp3", b"not audio" * 100)
    posted = [
        discord.post_message(scanned.channel, scanned.ana, files=files) for files in ([broken], [new_song(2), broken])
    ]
    mixed = discord.post_message(scanned.channel, scanned.ana, files=[broken, new_song(6, name="tune.wav")])
    reply = await answer_under(discord, mixed)
    assert reply.content.startswith("2. **tune.wav**: ")
    assert len(reply.content.splitlines()) == 1
    for message in posted:
        await discord.until(lambda message=message: message.reactions_ever and not any(message.reactions.values()))
    assert discord.messages_of_bot(scanned.channel) == [reply]


async def test_too_much_at_once_gets_a_reaction_and_no_sentence(discord: Discord, scanned: House) -> None:
    await answer(discord.slash("genregenie limits", user=scanned.owner, channel=scanned.channel, cooldown=600))
    first = discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)])
    reply = await answer_under(discord, first)
    crowd = [discord.post_message(scanned.channel, scanned.ana, files=[new_song(6)]) for _ in range(4)]
    for message in crowd:
        await discord.until(
            lambda message=message: list(filter(message.reactions.get, message.reactions)) == [HOURGLASS]
        )
    assert discord.messages_of_bot(scanned.channel) == [reply]


async def test_audio_posted_in_a_thread_of_a_channel_that_is_on_is_answered_there(
    discord: Discord, scanned: House
) -> None:
    thread = discord.thread(scanned.channel, "new songs")
    posted = discord.post_message(thread, scanned.ana, files=[new_song(6)])
    assert genre_of(await answer_under(discord, posted)) in GENRES
    assert discord.messages_of_bot(scanned.channel) == []


async def test_a_song_that_is_sent_to_the_bot_is_answered_without_a_command(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    channel = discord.direct_messages(house.ana)
    discord.post_message(channel, house.ana, "hello there")
    posted = discord.post_message(channel, house.ana, files=[new_song(6)])
    assert genre_of(await answer_under(discord, posted)) in GENRES
    await discord.until(lambda: posted.reactions_ever == [EAR] and not posted.reactions[EAR], what="the reaction goes")
    assert len(discord.messages_of_bot(channel)) == 1  # none to the greeting


async def test_of_several_songs_that_are_sent_to_the_bot_one_message_says_what_failed_too(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    channel = discord.direct_messages(house.ana)
    words = File("words.mp3", b"not audio" * 100)
    posted = discord.post_message(channel, house.ana, files=[new_song(6, name="tune.wav"), words])
    reply = await answer_under(discord, posted)
    tune, failed = reply.content.splitlines()
    assert tune.startswith("1. **tune.wav**: ")
    assert failed == f"2. **words.mp3**: {sentence(ErrorCode.NOT_AUDIO)}"
    await discord.until(lambda: posted.reactions_ever == [EAR] and not posted.reactions[EAR], what="the reaction goes")
    assert discord.messages_of_bot(channel) == [reply]
