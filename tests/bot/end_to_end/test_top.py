"""What a server, and each member, asks about most."""

from pathlib import Path

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, genre_of, mention, picture_of, press
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord

ON, OFF = (translate(f"bot.button.taste-{action}", "en") for action in ("on", "off"))


async def test_a_servers_genres_are_a_picture_with_its_text(discord: Discord, bot: BotProcess, house: House) -> None:
    nothing = await answer(discord.slash("top", user=house.ben, channel=house.channel))
    assert translate("bot.top.nothing", "en") in nothing.content
    song = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(12)))
    genre = translate(f"genre.{genre_of(song)}", "en").capitalize()
    for options in ({}, {"since": "ever"}):
        top = await answer(discord.slash("top", user=house.ben, channel=house.channel, **options))
        assert top.only_for is None
        assert f"{genre} 100%" in top.embeds[0]["description"]
        assert len(picture_of(top)) < 120_000
        assert genre in (top.file(".png").description or "")


async def test_the_title_says_no_more_days_than_requests_are_kept(tmp_path: Path) -> None:
    async with Discord() as discord, BotProcess(discord, tmp_path, GENREGENIE_RETENTION_DAYS="7"):
        house = furnished(discord)
        nothing = await answer(discord.slash("top", user=house.ben, channel=house.channel))
        assert nothing.content.splitlines()[0] == f"**{translate('bot.top.server-month', 'en', n=7)}**"


async def test_a_member_sees_their_own_genres_once_they_want_them_counted(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(12)))
    asked = await answer(discord.slash("top", user=house.ana, channel=house.channel, who="me"))
    assert (asked.only_for, asked.content) == (house.ana, translate("bot.top.ask", "en"))
    counted = await press(discord, asked, ON, house.ana)
    assert counted.content == translate("bot.top.on", "en", top=mention(discord, "top"))
    mine = await answer(discord.slash("top", user=house.ana, channel=house.channel, who="me", since="ever"))
    assert mine.only_for is house.ana
    assert picture_of(mine)
    gone = await press(discord, mine, OFF, house.ana)
    assert (gone.content, gone.embeds, gone.files) == (translate("bot.top.off", "en"), [], [])
    again = await answer(discord.slash("top", user=house.ana, channel=house.channel, who="me"))
    assert again.content == translate("bot.top.ask", "en")
