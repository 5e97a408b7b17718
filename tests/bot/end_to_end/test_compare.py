"""Two songs in one answer."""

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, picture_of
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File


async def test_two_songs_are_one_answer_with_one_picture(discord: Discord, bot: BotProcess, house: House) -> None:
    first, second = new_song(12, "one.wav"), new_song(40, "two.wav")
    compared = await answer(discord.slash("compare", user=house.ana, channel=house.channel, first=first, second=second))
    assert discord.messages_of_bot(house.channel) == [compared]
    [embed] = compared.embeds
    assert embed["title"] == translate("bot.compare.title", "en")
    assert [line[:10] for line in embed["description"].splitlines()[:2]] == ["1. **one.w", "2. **two.w"]
    assert translate("bot.compare.alike", "en", words="").strip("*") in embed["description"]
    assert len(picture_of(compared)) < 120_000


async def test_what_cannot_be_compared_is_told_to_the_asker_alone(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    alone = discord.slash("compare", user=house.ana, channel=house.channel, first=new_song(6))
    told = await alone.reply(lambda reply: reply.content == translate("bot.compare.two", "en"))
    assert told.only_for is house.ana
    broken = discord.slash(
        "compare", user=house.ana, channel=house.channel, first=new_song(6), second=File("bad.mp3", b"no song" * 99)
    )
    told = await broken.reply(lambda reply: "bad.mp3" in reply.content)
    assert told.only_for is house.ana
    assert discord.messages_of_bot(house.channel) == []
