"""What the bot does without some of its permissions, and without the message content intent."""

from pathlib import Path

import pytest

from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, details, genre_of, votes_in
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord
from tests.discord_server.gateway import DISALLOWED_INTENTS


async def switch_autoscan_on(discord: Discord, house: House) -> str:
    reply = await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
    return reply.content


def named(permission: str) -> str:
    return translate(f"bot.permission.{permission}", "en")


async def test_without_attach_files_answers_are_whole_and_details_lack_their_picture_with_one_notice(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await switch_autoscan_on(discord, house)
    discord.deny_bot(house.channel, "attach_files")
    replies = [
        await answer_under(discord, discord.post_message(house.channel, house.ana, files=[new_song(6)]))
        for _ in range(2)
    ]
    assert all(genre_of(reply) in GENRES and not reply.files for reply in replies)
    assert not any(reply.content for reply in replies)
    shown = [await details(discord, reply, house.ana) for reply in replies]
    assert all(len(votes_in(message)) == 2 and not message.files for message in shown)
    assert [named("attach_files") in message.content for message in shown] == [True, False]
    # It knows, and does not try.
    assert not [refused for refused in discord.refusals() if str(house.channel.id) in refused.path]


async def test_without_embed_links_posted_audio_gets_text(discord: Discord, bot: BotProcess, house: House) -> None:
    await switch_autoscan_on(discord, house)
    discord.deny_bot(house.channel, "embed_links")
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6, name="tune.wav")])
    reply = await answer_under(discord, posted)
    assert reply.embeds == []
    assert "tune.wav" in reply.content
    assert any(translate(f"genre.{genre}", "en") in reply.content.lower() for genre in GENRES)
    assert named("embed_links") in reply.content


@pytest.mark.parametrize("denied", ["add_reactions", "read_message_history"])
async def test_without_reactions_or_history_posted_audio_is_answered_all_the_same(
    discord: Discord, bot: BotProcess, house: House, denied: str
) -> None:
    await switch_autoscan_on(discord, house)
    discord.deny_bot(house.channel, denied)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    await discord.until(lambda: discord.messages_of_bot(house.channel), what="the answer")
    [reply] = discord.messages_of_bot(house.channel)
    assert genre_of(reply) in GENRES
    assert (reply.reply_to is posted) == (denied == "add_reactions")
    assert posted.reactions_ever == []


async def test_where_it_may_not_speak_it_tells_the_author_once(discord: Discord, bot: BotProcess, house: House) -> None:
    await switch_autoscan_on(discord, house)
    discord.deny_bot(house.channel, "send_messages")
    for _ in range(2):
        discord.post_message(house.channel, house.ana, files=[new_song(6)])
    direct = discord.direct_messages(house.ana)
    await discord.until(lambda: discord.messages_of_bot(direct), what="the notice")
    discord.allow_bot(house.channel)
    await answer_under(discord, discord.post_message(house.channel, house.ana, files=[new_song(6)]))
    [notice] = discord.messages_of_bot(direct)
    assert named("send_messages") in notice.content
    assert len(discord.messages_of_bot(house.channel)) == 1


async def test_a_permission_that_goes_while_it_works_costs_the_embed_only(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await switch_autoscan_on(discord, house)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(8, bytes_per_s=200_000)])
    await discord.until(lambda: posted.files[0].downloads, what="the download")
    discord.deny_bot(house.channel, "embed_links")
    reply = await answer_under(discord, posted)
    assert any(translate(f"genre.{genre}", "en") in reply.content.lower() for genre in GENRES)
    assert reply.embeds == []


async def test_switching_on_names_what_is_missing_there(discord: Discord, bot: BotProcess, house: House) -> None:
    discord.deny_bot(house.channel, "add_reactions", "embed_links")
    reply = await switch_autoscan_on(discord, house)
    assert named("add_reactions") in reply
    assert named("embed_links") in reply
    assert named("send_messages") not in reply


async def test_a_command_is_answered_in_a_channel_that_the_bot_does_not_see(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.deny_bot(house.channel, "view_channel", "send_messages")
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES


async def test_a_command_without_embeds_is_answered_in_text(discord: Discord, bot: BotProcess, house: House) -> None:
    discord.deny_bot(house.channel, "embed_links")
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6, name="tune.wav"))
    reply = await answer(asked)
    assert "tune.wav" in reply.content
    assert named("embed_links") in reply.content


async def test_without_the_message_content_intent_commands_work_and_the_admin_is_told(tmp_path: Path) -> None:
    async with Discord() as discord:
        discord.grant(message_content=False)
        async with BotProcess(discord, tmp_path) as bot:
            assert translate("bot.start.no-intent", "en") in bot.log
            house = furnished(discord)
            asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
            assert genre_of(await answer(asked)) in GENRES
            message = discord.post_message(house.channel, house.ben, files=[new_song(6)])
            asked = discord.message_command("Identify genre", message, user=house.ana)
            assert genre_of(await answer(asked)) in GENRES
            assert translate("bot.admin.no-intent", "en") in await switch_autoscan_on(discord, house)
        assert [complaint.code for complaint in discord.complaints] == [DISALLOWED_INTENTS]
