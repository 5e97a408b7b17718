"""Channels that the bot listens in: what of it, how it answers, and what is wrong where."""

from discord import ChannelType

from bot.cogs.admin import limits_text
from bot.ui.reactions import GENRE_EMOJI, OUTSIDE_EMOJI
from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, genre_of
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord


async def use(discord: Discord, house: House, command: str, **options: object) -> str:
    used = discord.slash(f"genregenie {command}", user=house.owner, channel=house.channel, **options)
    return (await answer(used)).content


async def test_a_channel_may_be_listened_to_for_links_and_videos_alone(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    text = await use(discord, house, "channel on", audio=False, video=True, links=True)
    assert text.splitlines()[1] == "video, links"
    audio = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    url = discord.world.upload(house.channel, new_song(6)).url
    linked = discord.post_message(house.channel, house.ana, f"listen: {url}")
    video = discord.post_message(house.channel, house.ana, files=[new_song(6, name="clip.mp4")])
    for posted in (linked, video):
        assert genre_of(await answer_under(discord, posted)) in GENRES
    assert audio.reactions_ever == []
    assert len(discord.messages_of_bot(house.channel)) == 2
    assert await use(discord, house, "channel on", video=False, links=False) == translate(
        "bot.admin.nothing-to-listen-to", "en"
    )
    # What is not given stays as it was.
    assert "links, with reactions only" in await use(discord, house, "channel on", video=False, quiet=True)


async def test_in_a_quiet_channel_the_answer_is_a_reaction(discord: Discord, bot: BotProcess, house: House) -> None:
    text = await use(discord, house, "channel on", quiet=True)
    emojis = {*GENRE_EMOJI.values(), OUTSIDE_EMOJI}
    assert all(emoji in text for emoji in emojis)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    await discord.until(lambda: posted.reactions_ever, what="the reaction")
    [emoji] = posted.reactions_ever
    assert emoji in emojis
    assert discord.messages_of_bot(house.channel) == []


async def test_in_a_quiet_channel_reactions_are_needed_and_messages_are_not(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.deny_bot(house.channel, "send_messages", "embed_links", "attach_files")
    well = await use(discord, house, "channel on", quiet=True)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    await discord.until(lambda: posted.reactions_ever, what="the reaction")
    discord.deny_bot(house.channel, "add_reactions", "read_message_history")
    names = ", ".join(translate(f"bot.permission.{name}", "en") for name in ("add_reactions", "read_message_history"))
    missing = translate("bot.permission.missing", "en", names=names)
    assert missing not in well
    assert f"<#{house.channel.id}>: {missing}" in await use(discord, house, "check")
    ignored = [discord.post_message(house.channel, house.ana, files=[new_song(6)]) for _ in range(2)]
    direct = discord.direct_messages(house.ana)
    await discord.until(lambda: discord.messages_of_bot(direct), what="the notice")
    discord.allow_bot(house.channel)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    await discord.until(lambda: posted.reactions_ever, what="the reaction")
    assert [message.content for message in discord.messages_of_bot(direct)] == [missing]
    assert not any(message.files[0].downloads or message.reactions_ever for message in ignored)


async def test_a_category_means_its_channels_and_what_is_missing_is_said_where(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    category = discord.channel(house.guild, "songs", ChannelType.category)
    empty = discord.channel(house.guild, "nothing", ChannelType.category)
    voice = discord.channel(house.guild, "stage", ChannelType.voice, category=category)
    forum = discord.channel(house.guild, "forum", ChannelType.forum, category=category)
    discord.deny_bot(voice, "attach_files")
    discord.deny_bot(forum, "send_messages_in_threads")
    on = await use(discord, house, "channel on", channel_=category)
    missing = [
        f"<#{voice.id}>: {translate('bot.permission.missing', 'en', names=translate('bot.permission.attach_files'))}",
        f"<#{forum.id}>: {translate('bot.permission.missing', 'en', names=translate('bot.permission.send_messages'))}",
    ]
    assert on.splitlines()[1:] == missing
    await use(discord, house, "channel on")
    well = translate("bot.admin.all-well", "en", channels=f"<#{house.channel.id}>")
    assert (await use(discord, house, "check")).splitlines() == [*missing, well]
    page = (await use(discord, house, "show")).splitlines()
    assert page[:3] == ["Language of public replies: English.", "Links: on.", limits_text(180, 0, 64, "en")]
    assert set(missing) <= set(page)
    assert f"<#{house.channel.id}>: audio" in page
    refused = await use(discord, house, "channel on", channel_=empty)
    assert refused == translate("bot.admin.not-listenable", "en", channel=f"<#{empty.id}>")
    # A post of the forum is listened to.
    discord.allow_bot(forum)
    post = discord.thread(forum, "my song")
    posted = discord.post_message(post, house.ana, files=[new_song(6)])
    assert genre_of(await answer_under(discord, posted)) in GENRES
