"""The same bytes again."""

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, details, picture_of, press
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File


async def test_the_same_bytes_are_answered_from_the_store_details_included(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(30, name="my secret demo.wav")
    first = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song, private=True))
    before = await bot.metrics()
    again = File("found.wav", song.data)
    second = await answer(discord.slash("genre", user=house.ben, channel=house.channel, file=again))
    after = await bot.metrics()
    decoded = 'genregenie_step_seconds_count{step="decode"}'
    assert after["genregenie_cached_answers_total"] == before["genregenie_cached_answers_total"] + 1
    assert after[decoded] == before[decoded]
    assert second.embeds[0]["description"] == first.embeds[0]["description"]
    hers, his = await details(discord, first, house.ana), await details(discord, second, house.ben)
    assert picture_of(his) == picture_of(hers)
    assert his.embeds[0]["author"]["name"] == "found.wav"


async def test_no_name_crosses_from_a_private_request_to_anothers(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(40, name="my secret demo.wav")
    await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song, private=True))
    other = furnished(discord)
    reply = await answer(
        discord.slash("genre", user=other.ana, channel=other.channel, file=File("found.wav", song.data))
    )
    assert reply.embeds[0]["author"]["name"] == "found.wav"
    assert "secret" not in str(reply.payload())
    whole = await press(discord, reply, translate("bot.button.whole", "en"), other.ana)
    assert "secret" not in str(whole.payload())
