"""What is stored, said to members and admins, and its deletion, which asks again first."""

import sqlite3

import pytest

from bot.storage.engine import DATABASE_FILE
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, details
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Channel, Discord, File, Message, User


def button(name: str, locale: str = "en") -> str:
    return translate(f"bot.privacy.button.{name}", locale)


async def identified(discord: Discord, user: User, channel: Channel, file: File | None = None) -> Message:
    return await answer(discord.slash("genre", user=user, channel=channel, file=file or new_song(6)))


async def pressed(discord: Discord, message: Message, label: str, user: User) -> None:
    """Press a button and wait until its message says something else."""
    before = len(message.revisions)
    await discord.click(message, label, user=user).acknowledged()
    await discord.until(lambda: len(message.revisions) > before, what="the next sentence")


async def forget(discord: Discord, house: House, **options: object) -> Message:
    used = discord.slash("genregenie privacy forget", user=house.owner, channel=house.channel, **options)
    reply = await answer(used)
    assert reply.only_for is house.owner
    return reply


async def test_privacy_says_what_is_stored_and_for_how_long(discord: Discord, bot: BotProcess, house: House) -> None:
    by_admin = await answer(discord.slash("genregenie privacy show", user=house.owner, channel=house.channel))
    by_member = await answer(discord.slash("privacy", user=house.ana, channel=house.channel))
    assert by_member.only_for is house.ana
    for text in (by_admin.content, by_member.content):
        for fact in ("512 MB", "for 30 days", "for 365 days", "after 7 days", "sound can be made from it"):
            assert text.count(fact) == 1, fact
    assert translate("bot.privacy.held-nothing", "en") in by_member.content
    assert by_member.buttons == []


@pytest.mark.parametrize("place", ["server", "direct messages"])
async def test_anyone_sees_and_deletes_their_own_wherever_they_ask(
    discord: Discord, bot: BotProcess, house: House, place: str
) -> None:
    direct, other = discord.direct_messages(house.ana), furnished(discord)
    other.guild.join(house.ana)
    song = new_song(40)
    reply = await identified(discord, house.ana, house.channel, song)
    await identified(discord, house.ana, direct, song)
    await identified(discord, house.ana, other.channel)
    await identified(discord, house.ben, house.channel)
    channel = house.channel if place == "server" else direct
    mine = await answer(discord.slash("privacy", user=house.ana, channel=channel))
    assert mine.only_for is house.ana
    assert "\n- 3 requests\n- answers and spectrograms of 2 songs that" in mine.content
    await pressed(discord, mine, button("ask"), house.ana)
    assert mine.buttons == [button("me"), button("keep")]
    assert "3 requests" in mine.content, "it names what goes"
    assert rows_about(bot, house.ana.id) == {"requests": 3}, "nothing goes before the answer"
    await pressed(discord, mine, button("me"), house.ana)
    assert (mine.content, mine.buttons) == (translate("bot.privacy.forgot-me", "en"), [])
    assert rows_about(bot, house.ana.id) == {}
    assert rows_about(bot, house.ben.id) == {"requests": 1}
    gone = await discord.click(reply, translate("bot.button.whole", "en"), user=house.ana).reply()
    assert gone.content == translate("bot.gone", "en")
    assert (await details(discord, reply, house.ana)).content == translate("bot.details.gone", "en")


async def test_what_is_under_way_is_named_and_ended_with_the_rest(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(10, bytes_per_s=10_000))
    under_way = await asked.reply(lambda message: translate("bot.button.cancel", "en") in message.buttons)
    mine = await answer(discord.slash("privacy", user=house.ana, channel=house.channel))
    assert f"\n- {translate('bot.privacy.n-open', 'en', n=1)}" in mine.content
    await pressed(discord, mine, button("ask"), house.ana)
    await pressed(discord, mine, button("me"), house.ana)
    assert mine.content == translate("bot.privacy.forgot-me", "en")
    await discord.until(lambda: under_way.content == translate("error.cancelled", "en"), what="its end")
    assert rows_about(bot, house.ana.id) == {}


async def test_who_changes_their_mind_keeps_everything(discord: Discord, bot: BotProcess, house: House) -> None:
    await identified(discord, house.ana, house.channel)
    asked = await forget(discord, house, what="server")
    await pressed(discord, asked, button("keep"), house.owner)
    assert (asked.content, asked.buttons) == (translate("bot.privacy.kept-all", "en"), [])
    assert rows_about(bot, house.guild.id)


async def test_forgetting_a_server_asks_first_and_deletes_its_rows_and_settings(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, cooldown=1))
    await identified(discord, house.ana, house.channel)
    asked = await forget(discord, house, what="server")
    assert "\n- 1 request\n- " in asked.content
    assert rows_about(bot, house.guild.id) == {"joined": 1, "guilds": 1, "requests": 1, "genre_counts": 1}
    await pressed(discord, asked, button("server"), house.owner)
    assert asked.content == translate("bot.admin.forgot-server", "en")
    assert rows_about(bot, house.guild.id) == {"joined": 1}, "the bot is still in it"
    stats = await answer(discord.slash("genregenie stats", user=house.owner, channel=house.channel))
    assert " 0 requests, " in stats.content


async def test_a_member_named_beside_the_whole_server_may_have_been_meant_alone(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    for user in (house.ana, house.ben):
        await identified(discord, user, house.channel)
    asked = await forget(discord, house, what="server", member=house.ana)
    assert "\n- 2 requests\n- " in asked.content
    assert translate("bot.privacy.ask-which", "en", member=f"<@{house.ana.id}>") in asked.content
    assert asked.buttons == [button("member"), button("server"), button("keep")]
    await pressed(discord, asked, button("member"), house.owner)
    assert rows_about(bot, house.ana.id) == {}
    assert rows_about(bot, house.ben.id) == {"requests": 1}


async def test_forgetting_a_member_needs_one_and_leaves_the_others(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    for user in (house.ana, house.ben):
        await identified(discord, user, house.channel)
    assert (await forget(discord, house, what="member")).content == translate("bot.admin.which-member", "en")
    asked = await forget(discord, house, what="member", member=house.ana)
    await pressed(discord, asked, button("member"), house.owner)
    assert asked.content == translate("bot.admin.forgot-member", "en", member=f"<@{house.ana.id}>")
    assert rows_about(bot, house.ana.id) == {}
    assert rows_about(bot, house.ben.id) == {"requests": 1}


async def test_who_no_longer_manages_the_server_deletes_nothing(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await identified(discord, house.ana, house.channel)
    asked = await forget(discord, house, what="server")
    house.guild.owner = house.ben
    await pressed(discord, asked, button("server"), house.owner)
    assert asked.content == translate("bot.privacy.not-allowed", "en")
    assert rows_about(bot, house.guild.id)


def rows_about(bot: BotProcess, identity: int) -> dict[str, int]:
    """Return how many rows of each table mention an id."""
    counts = {}
    with sqlite3.connect(f"file:{bot.data / DATABASE_FILE}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            if found := sum(identity in row for row in rows):
                counts[table] = found
    return counts
