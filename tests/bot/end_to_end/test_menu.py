"""The message command."""

from pathlib import Path

from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, genre_of
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import converted, new_song, voice_message
from tests.discord_server import Discord, File

COMMAND = "Identify genre"


async def test_a_message_with_audio_is_answered_for_whoever_asks(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    message = discord.post_message(house.channel, house.ben, files=[new_song()])
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert genre_of(reply) in GENRES


async def test_each_of_several_attachments_is_answered_video_and_voice_too(
    discord: Discord, bot: BotProcess, house: House, tmp_path: Path
) -> None:
    video = converted(
        new_song(6),
        "clip.mp4",
        *("-f", "lavfi", "-i", "color=c=red:s=64x64:d=6", "-shortest", "-c:a", "aac"),
        directory=tmp_path,
    )
    broken = File("broken.mp3", bytes(5_000))
    message = discord.post_message(house.channel, house.ben, files=[new_song(6, name="a.wav"), video, broken])
    asked = discord.message_command(COMMAND, message, user=house.ana)
    reply = await answer(asked)
    assert [line.partition(":")[0] for line in reply.content.splitlines()] == ["1. **a.wav**", "2. **clip.mp4**"]
    assert (reply.embeds, reply.files) == ([], [])
    alone = await asked.reply(lambda message: message.only_for is house.ana)
    assert alone.content == f"3. **broken.mp3**: {translate('error.not-audio', 'en')}"
    voice = discord.post_message(house.channel, house.ben, files=[voice_message()], voice=True)
    reply = await answer(discord.message_command(COMMAND, voice, user=house.ana))
    assert translate("bot.voice-message", "en") in reply.text


async def test_a_message_with_nothing_to_hear_is_told_so_in_private(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    message = discord.post_message(house.channel, house.ben, "just words", files=[File("a.txt", b"words")])
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert (reply.content, reply.only_for) == (translate("bot.nothing-to-hear", "en"), house.ana)


async def test_a_link_where_links_are_off_is_told_so(discord: Discord, bot: BotProcess, house: House) -> None:
    await answer(discord.slash("genregenie links", user=house.owner, channel=house.channel, state="off"))
    message = discord.post_message(house.channel, house.ben, "https://example.com/song")
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert reply.content == translate("bot.links-off", "en")


async def test_a_forwarded_song_is_answered(discord: Discord, bot: BotProcess, house: House) -> None:
    original = discord.post_message(house.guild.channels[1], house.ben, files=[new_song(6)])
    passed_on = discord.post_message(house.channel, house.ben, forwarded=original)
    reply = await answer(discord.message_command(COMMAND, passed_on, user=house.ana))
    assert genre_of(reply) in GENRES


async def test_the_song_that_a_message_replies_to_is_answered(discord: Discord, bot: BotProcess, house: House) -> None:
    song = discord.post_message(house.channel, house.ben, files=[new_song(6, name="theirs.wav")])
    asking = discord.post_message(house.channel, house.ana, "what is this?", reply_to=song)
    reply = await answer(discord.message_command(COMMAND, asking, user=house.ana))
    assert reply.embeds[0]["author"]["name"] == "theirs.wav"
    own = discord.post_message(house.channel, house.ana, files=[new_song(6, name="own.wav")], reply_to=song)
    reply = await answer(discord.message_command(COMMAND, own, user=house.ana))
    assert [embed["author"]["name"] for embed in reply.embeds] == ["own.wav"]


async def test_a_reply_to_what_is_gone_or_has_no_song_has_nothing(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    words = discord.post_message(house.channel, house.ben, "just words")
    gone = discord.post_message(house.channel, house.ben, files=[new_song(6)])
    discord.delete_message(gone)
    for target in (words, gone):
        asking = discord.post_message(house.channel, house.ana, "what is this?", reply_to=target)
        reply = await answer(discord.message_command(COMMAND, asking, user=house.ana))
        assert (reply.content, reply.only_for) == (translate("bot.nothing-to-hear", "en"), house.ana)


async def test_a_lookup_that_takes_too_long_does_not_delay_the_answer(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = discord.post_message(house.channel, house.ben, files=[new_song(6)])
    asking = discord.post_message(house.channel, house.ana, "what is this?", reply_to=song)
    discord.delay("get_message", 5)
    asked = discord.message_command(COMMAND, asking, user=house.ana)
    assert await asked.acknowledged() < 3
    assert (await answer(asked)).content == translate("bot.nothing-to-hear", "en")


async def test_a_markdown_link_is_answered_by_its_address(discord: Discord, bot: BotProcess, house: House) -> None:
    posted = discord.post_message(house.guild.channels[1], house.ben, files=[new_song(6, name="linked.wav")])
    message = discord.post_message(house.channel, house.ben, f"**[my song]({posted.files[0].url})**!")
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert genre_of(reply) in GENRES


async def test_more_songs_than_a_reply_has_room_for_are_said(discord: Discord, bot: BotProcess, house: House) -> None:
    song = new_song(6)
    message = discord.post_message(house.channel, house.ben, files=[song] * 12)
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    *songs, last = reply.content.splitlines()
    assert len(songs) == 10
    assert last == translate("bot.reply.more-songs", "en", songs=10, n=2)


async def test_ten_songs_with_long_names_fit_into_one_message(discord: Discord, bot: BotProcess) -> None:
    house = furnished(discord, locale="es-ES")
    files = [new_song(31, name=f"{'canción_larga_' * 14}{number}.wav") for number in range(10)]
    message = discord.post_message(house.channel, house.ben, files=files)
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert [line.partition(".")[0] for line in reply.text.splitlines()] == [str(n) for n in range(1, 11)]
    assert reply.files == []


async def test_ten_files_that_cannot_be_heard_are_each_told(discord: Discord, bot: BotProcess, house: House) -> None:
    files = [File(f"{'long_name_' * 14}{number}.mp3", bytes(100)) for number in range(10)]
    message = discord.post_message(house.channel, house.ben, files=files)
    reply = await answer(discord.message_command(COMMAND, message, user=house.ana))
    assert [line.partition(".")[0] for line in reply.content.splitlines()] == [str(n) for n in range(1, 11)]
