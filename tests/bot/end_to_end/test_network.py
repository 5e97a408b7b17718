"""Discord on a bad day: lost answers, limits, dropped connections, tokens that have run out."""

import asyncio

import pytest

from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, details, genre_of, is_final, picture_of
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, Interaction
from tests.discord_server.errors import ALREADY_ACKNOWLEDGED, INVALID_WEBHOOK_TOKEN, UNKNOWN_INTERACTION
from tests.discord_server.ratelimits import Limit


@pytest.mark.parametrize(
    "faults",
    [
        [{"status": 500}, {"status": 502}],
        [{"status": 429, "retry_after": 0.5}],
        [{"status": 429, "retry_after": 0.5, "is_global": True}],
        [{"status": 503}],
        [{"status": 502, "carried_out": True}],
    ],
    ids=["5xx", "429", "global 429", "503", "answer lost"],
)
async def test_an_error_of_discords_in_the_middle_of_a_reply_does_not_lose_it(
    discord: Discord, bot: BotProcess, house: House, faults: list[dict[str, float]]
) -> None:
    for fault in faults:
        discord.fail("edit_original_response", **fault)  # type: ignore[arg-type]
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)))
    assert genre_of(reply) in GENRES
    discord.fail("edit_original_response", status=503)
    picture_of(await details(discord, reply, house.ana))
    assert len(discord.messages_of_bot(house.channel)) == 1


async def test_a_reply_whose_connections_break_comes_all_the_same(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.cut("edit_original_response", times=2)
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)))
    assert genre_of(reply) in GENRES


async def test_an_answer_to_posted_audio_is_sent_once_though_discords_answer_is_lost(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
    discord.fail("create_message", 502, carried_out=True)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6)])
    await answer_under(discord, posted)
    await discord.until(lambda: posted.reactions_ever and not any(posted.reactions.values()), what="the reaction goes")
    assert len(discord.messages_of_bot(house.channel)) == 1


async def test_a_channels_rate_limit_is_waited_out(discord: Discord, bot: BotProcess, house: House) -> None:
    await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
    song = new_song(6)
    posted = [discord.post_message(house.channel, house.ana, files=[song]) for _ in range(8)]
    for message in posted:
        assert genre_of(await answer_under(discord, message)) in GENRES
    assert len(discord.messages_of_bot(house.channel)) == 8


async def test_progress_keeps_off_a_tight_rate_limit(
    discord: Discord, bot: BotProcess, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(discord.rate_limits.limits, "edit_original_response", Limit(1, 2.0))
    slow = new_song(8, bytes_per_s=80_000)
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=slow))
    assert genre_of(reply) in GENRES


async def test_after_a_drop_the_session_is_resumed_and_what_was_missed_is_answered(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    resumes, identified = discord.gateway.resumes, len(discord.gateway.identified)
    await discord.gateway.drop()
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES
    assert discord.gateway.resumes == resumes + 1
    assert len(discord.gateway.identified) == identified
    assert discord.gateway.connections[-1].path == "/resume/"


async def test_a_request_that_runs_while_the_gateway_drops_is_answered(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    slow = new_song(8, bytes_per_s=150_000)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
    await asked.acknowledged()
    await discord.gateway.drop(code=4000)
    assert genre_of(await answer(asked)) in GENRES
    await discord.until(lambda: discord.gateway.live, what="the bot reconnects")


async def test_an_invalid_session_is_replaced_by_a_new_one(discord: Discord, bot: BotProcess, house: House) -> None:
    identified = len(discord.gateway.identified)
    discord.gateway.invalidate_sessions()
    await discord.until(lambda: len(discord.gateway.identified) > identified and discord.gateway.live)
    assert discord.gateway.connections[-1].path == "/gateway/"
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES


@pytest.mark.slow
async def test_a_connection_that_died_unnoticed_is_left_and_resumed(
    discord: Discord, bot: BotProcess, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumes = discord.gateway.resumes
    monkeypatch.setattr(discord.gateway, "heartbeat_interval_s", 2.0)
    await discord.gateway.drop()
    await discord.until(lambda: discord.gateway.resumes > resumes and discord.gateway.live)
    discord.gateway.mute()
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    await discord.until(lambda: discord.gateway.resumes > resumes + 1, within=180, what="the second resume")
    # What was asked meanwhile came too late, and Discord has told the member so.
    assert asked.acknowledged_at is None
    await discord.until(lambda: discord.forgive(UNKNOWN_INTERACTION), what="the late acknowledgement")
    follows = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(follows)) in GENRES


async def expired_while_it_works(
    discord: Discord, house: House, break_off_at: int | None = None, **options: object
) -> Interaction:
    slow = new_song(8, bytes_per_s=120_000, break_off_at=break_off_at)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow, **options)
    await asked.reply(lambda message: not is_final(message))
    asked.expire()
    return asked


async def test_past_the_tokens_lifetime_the_answer_goes_to_the_channel(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await expired_while_it_works(discord, house)
    await discord.until(lambda: any(map(is_final, discord.messages_of_bot(house.channel))), what="the answer")
    await discord.until(lambda: len(discord.messages_of_bot(house.channel)) == 1, what="its progress goes")
    [reply] = discord.messages_of_bot(house.channel)
    assert genre_of(reply) in GENRES
    picture_of(await details(discord, reply, house.ana))
    assert translate("bot.button.wrong", "en") in reply.buttons
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_progress_past_the_tokens_lifetime_goes_where_there_is_no_answer(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await expired_while_it_works(discord, house, break_off_at=250_000)
    direct = discord.direct_messages(house.ana)
    await discord.until(lambda: discord.messages_of_bot(direct), what="the sentence")
    assert discord.messages_of_bot(house.channel) == []
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_past_the_tokens_lifetime_another_answer_is_a_message_and_the_first_has_its_text_again(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.deny_bot(house.channel, "embed_links")
    first = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(70)))
    shown = (first.content, first.buttons)
    slow = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(8, bytes_per_s=150_000))
    await slow.acknowledged()
    pressed = discord.click(first, translate("bot.button.whole", "en"), user=house.ana)
    await discord.until(lambda: first.content != shown[0], what="its progress")
    pressed.expire()
    await discord.until(lambda: len(discord.messages_of_bot(house.channel)) == 3, what="the answer")
    await discord.until(lambda: is_final(first), what="the first one again")
    assert (first.content, first.buttons) == shown
    await slow.reply(is_final)
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_a_private_answer_past_the_tokens_lifetime_goes_to_direct_messages(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await expired_while_it_works(discord, house, private=True)
    channel = discord.direct_messages(house.ana)
    await discord.until(lambda: discord.messages_of_bot(channel), what="the answer")
    assert genre_of(discord.messages_of_bot(channel)[0]) in GENRES
    assert discord.messages_of_bot(house.channel) == []
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_a_private_answer_that_reaches_nobody_is_not_put_in_the_channel(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    house.ana.accepts_direct_messages = False
    before = len(discord.exchanges("create_message"))
    await expired_while_it_works(discord, house, private=True)
    await discord.until(lambda: len(discord.exchanges("create_message")) > before, what="the attempt")
    follows = discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6), private=True)
    await answer(follows)
    assert discord.messages_of_bot(house.channel) == []
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_a_private_answer_by_button_past_the_tokens_lifetime_stays_private(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(70), private=True)
    first = await answer(asked)
    pressed = discord.click(first, translate("bot.button.whole", "en"), user=house.ana)
    await pressed.acknowledged()
    pressed.expire()
    channel = discord.direct_messages(house.ana)
    await discord.until(lambda: pressed.messages or discord.messages_of_bot(channel), what="the answer")
    assert discord.messages_of_bot(house.channel) == []
    discord.forgive(INVALID_WEBHOOK_TOKEN)


async def test_a_late_acknowledgement_costs_one_request_and_nothing_else(
    discord: Discord, bot: BotProcess, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tests.discord_server.interactions.ACKNOWLEDGE_WITHIN_S", 0.0)
        discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
        await discord.until(lambda: discord.forgive(10062), what="the late acknowledgement")
    await asyncio.sleep(0)
    follows = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(follows)) in GENRES


async def test_a_deleted_progress_message_harms_nobody_else(discord: Discord, bot: BotProcess, house: House) -> None:
    slow = new_song(8, bytes_per_s=150_000)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
    progress = await asked.reply(lambda message: not is_final(message))
    discord.delete_message(progress)
    follows = discord.slash("genre", user=house.ben, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(follows)) in GENRES
    await discord.until(lambda: asked.messages == [])


async def test_an_acknowledgement_that_discord_fails_to_take_is_sent_again(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.fail("interaction_callback", 500)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES


@pytest.mark.parametrize("key", [None, "bot.nothing-given"], ids=["an acknowledgement", "a sentence"])
async def test_one_lost_connection_costs_no_first_answer(
    discord: Discord, bot: BotProcess, house: House, key: str | None
) -> None:
    discord.cut("interaction_callback")
    options = {} if key else {"file": new_song(6)}
    asked = discord.slash("genre", user=house.ana, channel=house.channel, **options)
    assert await asked.acknowledged() < 3
    reply = await answer(asked)
    assert reply.content == translate(key, "en") if key else genre_of(reply) in GENRES


async def test_an_acknowledgement_whose_answer_is_lost_loses_no_request(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.fail("interaction_callback", 502, carried_out=True)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES
    discord.forgive(ALREADY_ACKNOWLEDGED)


async def test_a_server_that_throws_the_bot_out_while_it_works_harms_nobody_else(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    await answer(discord.slash("genregenie channel on", user=house.owner, channel=house.channel))
    posted = discord.post_message(house.channel, house.ana, files=[new_song(8, bytes_per_s=200_000)])
    await discord.until(lambda: posted.files[0].downloads, what="the download")
    discord.remove_bot(house.guild)
    other = furnished(discord)
    asked = discord.slash("genre", user=other.ana, channel=other.channel, file=new_song(6))
    assert genre_of(await answer(asked)) in GENRES
    assert discord.messages_of_bot(house.channel) == []
