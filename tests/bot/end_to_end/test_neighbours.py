"""Which songs of this server sound like one."""

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Channel, Discord, Message, User

LIKE = translate("bot.button.like", "en")


async def asked(discord: Discord, user: User, channel: Channel, name: str, **options: object) -> Message:
    # Parts of one song: they sound alike.
    return await answer(discord.slash("genre", user=user, channel=channel, file=new_song(12, name), **options))


async def alike(discord: Discord, message: Message, user: User) -> str:
    pressed = discord.click(message, LIKE, user=user)
    shown = await answer(pressed)
    assert shown.only_for is user
    return shown.content


async def test_the_songs_that_sound_alike_are_shown_with_links_to_where_they_are(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    music = house.guild.channels[1]
    first = await asked(discord, house.ana, music, "first.wav")
    assert LIKE not in first.buttons, "there is nothing to compare it with"
    await asked(discord, house.ana, music, "hidden.wav", private=True)
    stranger = furnished(discord)
    await asked(discord, stranger.ana, stranger.channel, "elsewhere.wav")
    second = await asked(discord, house.ben, house.channel, "second.wav")
    assert LIKE in second.buttons
    text = await alike(discord, second, house.ana)
    assert "second.wav" in text.splitlines()[0]
    assert [line for line in text.splitlines() if "first.wav" in line and f"{music.id}/{first.id}" in line]
    assert "hidden" not in text
    assert "elsewhere" not in text


async def test_deleted_messages_and_hidden_or_age_restricted_channels_are_not_shown(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    music = house.guild.channels[1]
    first = await asked(discord, house.ana, house.channel, "first.wav")
    await asked(discord, house.ana, music, "secret.wav")
    adults = discord.channel(house.guild, "adults", nsfw=True)
    theirs = await asked(discord, house.ana, adults, "adults.wav")
    second = await asked(discord, house.ben, house.channel, "second.wav")
    discord.deny(music, house.ben, "view_channel")
    text = await alike(discord, second, house.ben)
    assert "first.wav" in text
    assert "secret.wav" not in text
    assert "adults.wav" not in text
    discord.nsfw(house.channel)
    assert "adults.wav" in await alike(discord, second, house.ben), "among adults"
    discord.delete_message(theirs)
    discord.delete_message(first)
    text = await alike(discord, second, house.ben)
    assert text == translate("bot.like.none", "en", name="second.wav")


async def test_a_forged_button_shows_nothing_of_another_server(discord: Discord, bot: BotProcess, house: House) -> None:
    await asked(discord, house.ana, house.channel, "first.wav")
    second = await asked(discord, house.ana, house.channel, "second.wav")
    [button] = [control for control in second.controls if control["custom_id"].startswith("gg:like:")]
    stranger = furnished(discord)
    await asked(discord, stranger.ana, stranger.channel, "a.wav")
    theirs = await asked(discord, stranger.ana, stranger.channel, "b.wav")
    [own] = [control for control in theirs.controls if control["custom_id"].startswith("gg:like:")]
    own["custom_id"] = button["custom_id"]
    assert await alike(discord, theirs, stranger.ana) == translate("bot.gone", "en")
