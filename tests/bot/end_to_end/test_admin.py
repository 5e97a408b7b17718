"""`/genregenie`: what a server's admin sets and sees."""

import sqlite3

import pytest

from bot.cogs.admin import limits_text
from bot.storage.engine import DATABASE_FILE
from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, genre_of, mention
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File, Message


async def use(discord: Discord, house: House, command: str, **options: object) -> str:
    reply = await answer(discord.slash(f"genregenie {command}", user=house.owner, channel=house.channel, **options))
    assert reply.only_for is house.owner
    return reply.content


def no_channels(discord: Discord) -> str:
    return translate("bot.admin.no-channels", "en", on=mention(discord, "genregenie channel on"))


async def identified(discord: Discord, house: House, file: File | None = None) -> Message:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=file or new_song(6))
    return await answer(asked)


async def test_only_those_who_manage_the_server_are_offered_the_commands(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    with pytest.raises(AssertionError, match="no permission"):
        discord.slash("genregenie stats", user=house.ana, channel=house.channel)
    with pytest.raises(AssertionError, match="not offered here"):
        discord.slash("genregenie stats", user=house.ana, channel=discord.direct_messages(house.ana))


@pytest.mark.parametrize("command", ["stats", "channel on", "privacy show"])
async def test_who_does_not_manage_the_server_is_refused_whatever_discord_shows(
    discord: Discord, bot: BotProcess, house: House, command: str
) -> None:
    asked = discord.slash(f"genregenie {command}", user=house.ana, channel=house.channel, offered=False)
    refused = await answer(asked)
    assert (refused.content, refused.only_for) == (translate("bot.admin.not-allowed", "en"), house.ana)
    assert await use(discord, house, "channel list") == no_channels(discord)


async def test_the_channels_that_are_on_are_listed(discord: Discord, bot: BotProcess, house: House) -> None:
    assert await use(discord, house, "channel list") == no_channels(discord)
    other = house.guild.channels[1]
    used = discord.slash("genregenie channel on", user=house.owner, channel=house.channel)
    await answer(used)
    await answer(discord.slash("genregenie channel on", user=house.owner, channel=other))
    assert f"<#{house.channel.id}>, <#{other.id}>" in await use(discord, house, "channel list")
    thread = discord.thread(house.channel, "songs")
    await answer(discord.slash("genregenie channel on", user=house.owner, channel=thread))
    for deleted in (other, thread):
        discord.delete_channel(deleted)
    await bot.until(lambda: listened_to(bot, house) == {house.channel.id}, "the others are no longer on")
    listed = translate("bot.admin.channels", "en", channels=f"<#{house.channel.id}>")
    assert await use(discord, house, "channel list") == listed


async def test_limits_are_set_shown_and_reset(discord: Discord, bot: BotProcess, house: House) -> None:
    host = limits_text(180, 0, 64, "en")
    assert await use(discord, house, "limits") == host
    own = limits_text(90, 20, 5, "en")
    assert await use(discord, house, "limits", longest=1.5, cooldown=20, places=5) == own
    assert await use(discord, house, "limits") == own
    assert await use(discord, house, "limits", reset=True) == host


async def test_a_server_cannot_loosen_the_hosts_limits(discord: Discord, bot: BotProcess, house: House) -> None:
    host = limits_text(180, 0, 64, "en")
    assert await use(discord, house, "limits", longest=300.0, places=10_000) == host


async def test_the_language_of_public_answers_is_the_admins_choice(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(6)
    text = await use(discord, house, "language", language="es")
    assert text == translate("bot.admin.language", "en", language=translate("bot.language", "es"))
    assert genre_of(await identified(discord, house, song), "es") in GENRES
    await use(discord, house, "language", language="auto")
    assert genre_of(await identified(discord, house, song)) in GENRES


async def test_settings_outlive_a_restart(discord: Discord, bot: BotProcess, house: House) -> None:
    await use(discord, house, "language", language="es")
    await use(discord, house, "limits", cooldown=20)
    deleted, archived = house.guild.channels[1], discord.thread(house.channel, "old songs")
    for channel in (house.channel, deleted, archived):
        await answer(discord.slash("genregenie channel on", user=house.owner, channel=channel))
    assert await bot.stop() == 0, bot.log
    discord.delete_channel(deleted)
    discord.archive(archived)
    await bot.start()
    await bot.until(lambda: listened_to(bot, house) == {house.channel.id, archived.id}, "what is deleted is off")
    assert await use(discord, house, "limits") == limits_text(180, 20, 64, "en")
    assert genre_of(await identified(discord, house), "es") in GENRES


async def test_stats_count_what_was_asked_answered_and_failed(discord: Discord, bot: BotProcess, house: House) -> None:
    reply = await identified(discord, house)
    await identified(discord, house, File("words.mp3", b"words " * 100))
    text = await use(discord, house, "stats")
    assert text.startswith("In the last 30 days: 2 requests, 1 answered, 1 failed, 0 corrections.\n")
    assert "\nFailed: not an audio or video file (1)\n" in text
    assert f"{translate(f'genre.{genre_of(reply)}', 'en').capitalize()} 1" in text
    other = furnished(discord)
    assert " 0 requests, " in await use(discord, other, "stats")


async def test_leaving_a_server_begins_its_grace_time_and_coming_back_ends_it(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await use(discord, house, "language", language="es")
    discord.remove_bot(house.guild)
    await bot.until(lambda: left_at(bot, house.guild.id) is not None, "the grace time")
    discord.invite_bot(house.guild)
    await bot.until(lambda: left_at(bot, house.guild.id) is None, "the end of the grace time")
    assert genre_of(await identified(discord, house), "es") in GENRES


def listened_to(bot: BotProcess, house: House) -> set[int]:
    with sqlite3.connect(f"file:{bot.data / DATABASE_FILE}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT channel_id FROM channels WHERE guild_id = ?", (house.guild.id,))
        return {channel_id for (channel_id,) in rows}


def left_at(bot: BotProcess, guild_id: int) -> float | None:
    with sqlite3.connect(f"file:{bot.data / DATABASE_FILE}?mode=ro", uri=True) as connection:
        row = connection.execute("SELECT left_at FROM guilds WHERE guild_id = ?", (guild_id,)).fetchone()
    return row[0] if row else None
