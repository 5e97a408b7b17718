"""What is under an answer, and Cancel under progress."""

import hashlib
import re
import sqlite3
from contextlib import closing

import pytest

from bot.storage.engine import DATABASE_FILE
from core.constants import GENRES
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import (
    answer,
    details,
    error_id,
    genre_of,
    is_final,
    picture_of,
    press,
    said,
    votes_counted,
    votes_in,
)
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, Interaction, Message
from tests.discord_server.errors import ALREADY_ACKNOWLEDGED

DETAILS, PART, WHOLE, WRONG, CANCEL = (
    translate(f"bot.button.{name}", "en") for name in ("details", "part", "whole", "wrong", "cancel")
)
SLOTS = 1
"""Requests of one member that a bot with one worker has under way at the same time."""

PART_HEARD = re.compile(translate("bot.reply.heard", "en", start=r"(\S+)", end=r"(\S+)", duration=r"\S+"))


def part_of(message: Message) -> tuple[str, str]:
    found = PART_HEARD.search(message.text)
    assert found, message.text
    return found[1], found[2]


async def identified_song(discord: Discord, house: House, seconds: float = 70, **options: object) -> Message:
    return await answer(
        discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(seconds), **options)
    )


async def test_another_part_classifies_the_next_thirty_seconds_without_a_download(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(70)
    first = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song))
    upload = next(u for u in discord.world.cdn.uploads.values() if u.file is song)
    upload.expire()
    parts, pictures = [part_of(first)], [picture_of(await details(discord, first, house.ana))]
    for _ in range(2):
        await press(discord, first, PART, house.ana)
        assert votes_counted(first) == 10
        parts.append(part_of(first))
    pictures.append(picture_of(await details(discord, first, house.ana)))
    assert (len(set(parts)), len(set(pictures))) == (3, 2), "the details are of the part that is shown"
    assert upload.downloads == 1
    assert discord.messages_of_bot(house.channel) == [first], "each takes the place of the one before"


async def test_whole_song_classifies_all_of_it(discord: Discord, bot: BotProcess, house: House) -> None:
    first = await identified_song(discord, house)
    whole = await press(discord, first, WHOLE, house.ana)
    assert part_of(whole) == ("0:00", "1:10")
    assert whole.buttons == [DETAILS, WRONG]


async def test_five_presses_of_a_button_are_one_answer(discord: Discord, bot: BotProcess, house: House) -> None:
    first = await identified_song(discord, house, 150)
    counted = 'genregenie_requests_total{kind="whole",outcome="verdict"}'
    before = (await bot.metrics()).get(counted, 0)
    pressed = [discord.click(first, WHOLE, user=house.ana) for _ in range(5)]
    for press_ in pressed:
        assert await press_.acknowledged() < 3
    await discord.until(lambda: is_final(first) and first.buttons == [DETAILS, WRONG], what="the answer")
    assert discord.messages_of_bot(house.channel) == [first]
    assert not any(press_.messages for press_ in pressed)
    assert (await bot.metrics())[counted] == before + 1


async def test_what_a_button_cannot_do_is_told_to_the_one_who_pressed_and_the_answer_stays(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    first = await identified_song(discord, house)
    shown = (first.embeds, first.buttons, len(first.revisions))
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, cooldown=600))
    await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)))
    refused = await discord.click(first, WHOLE, user=house.ana).reply()
    assert refused.only_for is house.ana
    assert refused.content.startswith(translate("error.cooldown", "en").partition(".")[0])
    assert (first.content, first.embeds, first.buttons, len(first.revisions)) == ("", *shown)


async def test_a_text_that_progress_has_covered_is_there_again_without_a_new_answer(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    discord.deny_bot(house.channel, "embed_links")
    first = await identified_song(discord, house)
    shown = (first.content, first.buttons)
    assert first.embeds == []
    working, progress = await running(discord, house)
    discord.click(first, WHOLE, user=house.ana)
    await discord.until(lambda: first.buttons == [CANCEL], what="its progress")
    discord.click(first, CANCEL, user=house.ana)
    await discord.until(lambda: is_final(first), what="the end of the progress")
    assert (first.content, first.buttons) == shown
    discord.click(progress, CANCEL, user=house.ana)
    await working.reply(is_final)


async def test_what_came_of_a_private_answer_is_private(discord: Discord, bot: BotProcess, house: House) -> None:
    first = await identified_song(discord, house, private=True)
    assert part_of(await press(discord, first, WHOLE, house.ana)) == ("0:00", "1:10")
    assert first.only_for is house.ana
    assert discord.messages_of_bot(house.channel) == []


async def test_details_are_for_whoever_presses_in_their_language_and_the_answer_stays(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    reply = await identified_song(discord, house, 10)
    before = len(reply.revisions)
    house.ben.locale = "es-ES"
    await answer(discord.slash("genregenie limits", user=house.owner, channel=house.channel, cooldown=600))
    shown = [await details(discord, reply, house.ben), await details(discord, reply, house.ana)]
    for message, locale in zip(shown, ("es", "en"), strict=True):
        assert genre_of(message, locale) == genre_of(reply)
        assert len(votes_in(message)) == 3
        alt = translate("bot.reply.alt", locale, genre="", runs="").partition(".")[0]
        assert (message.file(".png").description or "").startswith(alt)
    assert picture_of(shown[0]) != picture_of(shown[1])
    assert len(reply.revisions) == before
    private = await identified_song(discord, house, 6, private=True)
    direct = await answer(
        discord.slash("genre", user=house.ana, channel=discord.direct_messages(house.ana), file=new_song(6))
    )
    for message in (private, direct):
        assert picture_of(await details(discord, message, house.ana))


async def test_what_fails_without_a_word_for_it_is_told_to_the_one_who_pressed(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    song = new_song(6)
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song))
    with closing(sqlite3.connect(bot.data / DATABASE_FILE)) as connection, connection:
        damaged = (hashlib.sha256(song.data).hexdigest(),)
        connection.execute("UPDATE results SET verdict = '{' WHERE sha256 = ?", damaged)
    told = await details(discord, reply, house.ben)
    assert said(told) == translate("error.internal", "en")
    trace = "A button or menu failed"
    await bot.until(lambda: trace in bot.log and f"id={error_id(told)}" in bot.log.partition(trace)[2], "its trace")
    bot.log = bot.log.replace("Traceback", "")


async def test_a_correction_is_stored_once_a_member_and_song(discord: Discord, bot: BotProcess, house: House) -> None:
    reply = await identified_song(discord, house, 10)
    for user, genre in ((house.ana, "Jazz"), (house.ana, "Blues"), (house.ben, "Metal")):
        menu = await discord.click(reply, WRONG, user=user).reply()
        assert menu.only_for is user
        chosen = discord.select(menu, genre, user=user)
        await chosen.acknowledged()
        thanks = translate("bot.correction.thanks", "en", genre=genre)
        said = f"{thanks}\n{translate('bot.correction.use', 'en')}"
        await discord.until(lambda menu=menu, said=said: menu.content == said, what="the thanks")
        assert menu.buttons == [translate("bot.button.consent", "en")]
    stats = await answer(discord.slash("genregenie stats", user=house.owner, channel=house.channel))
    assert "1 request, 1 answered, 0 failed, 2 corrections" in stats.content


async def test_buttons_are_only_for_the_one_who_asked_and_moderators(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    reply = await identified_song(discord, house)
    refused = await discord.click(reply, WHOLE, user=house.ben).reply()
    assert (refused.content, refused.only_for) == (translate("bot.not-yours", "en"), house.ben)
    allowed = await press(discord, reply, WHOLE, house.owner)
    assert genre_of(allowed) in GENRES


async def test_a_forged_choice_shows_nothing_of_elsewhere(discord: Discord, bot: BotProcess, house: House) -> None:
    """A menu's value comes from the member's client, and its message from Discord."""
    other = furnished(discord)
    posted = discord.post_message(other.channel, other.ana, files=[new_song(6), new_song(6)])
    elsewhere = await answer(discord.message_command("Identify genre", posted, user=other.ana))
    own_channel = await identified_song(discord, house, 6)
    posted = discord.post_message(house.guild.channels[1], house.ana, files=[new_song(6), new_song(6)])
    menu = await answer(discord.message_command("Identify genre", posted, user=house.ana))
    keys = [option["value"] for option in elsewhere.controls[0]["options"]]
    keys += [custom_id.rpartition(":")[2] for custom_id in (c["custom_id"] for c in own_channel.controls)][:1]
    for value in (*keys, "0", "-1", "9" * 30, "x"):
        refused = await discord.forge(menu, value, user=house.ana).reply()
        assert (refused.content, refused.embeds) == (translate("bot.gone", "en"), []), value
    thanked = await discord.click(own_channel, WRONG, user=house.ana).reply()
    await discord.forge(thanked, "polka", user=house.ana).acknowledged()
    await discord.until(lambda: thanked.content == translate("bot.gone", "en"), what="the refusal")


async def test_every_button_works_after_a_restart(discord: Discord, bot: BotProcess, house: House) -> None:
    public = await identified_song(discord, house)
    private = await identified_song(discord, house, private=True)
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6), new_song(6)])
    several = await answer(discord.message_command("Identify genre", posted, user=house.ana))
    menu = await discord.click(public, WRONG, user=house.ana).reply()
    await bot.restart()
    for message in (public, private):
        assert genre_of(await press(discord, message, PART, house.ana)) in GENRES
        assert genre_of(await press(discord, message, WHOLE, house.ana)) in GENRES
    await discord.select(menu, "rock", user=house.ana).acknowledged()
    await discord.until(lambda: "Rock" in menu.content, what="the thanks")
    label = several.controls[0]["options"][1]["label"]
    picked = await discord.select(several, label, user=house.ana).reply()
    assert WRONG in picked.buttons
    for message in (public, private, picked):
        assert picture_of(await details(discord, message, house.ana))


async def test_commands_are_not_sent_again_after_a_restart(discord: Discord, bot: BotProcess) -> None:
    before = len(discord.commands.puts)
    await bot.restart()
    assert len(discord.commands.puts) == before


async def running(discord: Discord, house: House, **options: object) -> tuple[Interaction, Message]:
    """Return a request that is on its way, and its progress."""
    slow = new_song(20, bytes_per_s=20_000)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow, **options)
    progress = await asked.reply(lambda message: CANCEL in message.buttons)
    return asked, progress


@pytest.mark.parametrize("private", [False, True])
async def test_cancel_ends_a_request_at_once(discord: Discord, bot: BotProcess, house: House, private: bool) -> None:
    asked, progress = await running(discord, house, private=private)
    pressed = discord.click(progress, CANCEL, user=house.ana)
    assert await pressed.acknowledged() < 3
    reply = await asked.reply(is_final)
    assert reply.content == translate("error.cancelled", "en")
    assert reply.components == []
    assert (await bot.metrics())["genregenie_running"] == 0


async def test_a_request_in_the_queue_shows_its_place_and_can_be_cancelled(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    working = [await running(discord, house) for _ in range(SLOTS)]
    asked, progress = await running(discord, house)
    assert progress.content == translate("bot.progress.queued", "en", place=1)
    discord.click(progress, CANCEL, user=house.ana)
    assert (await asked.reply(is_final)).content == translate("error.cancelled", "en")
    for request, shown in working:
        assert not is_final(shown)
        discord.click(shown, CANCEL, user=house.ana)
        await request.reply(is_final)


async def test_another_member_cannot_cancel_and_a_moderator_can(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    asked, progress = await running(discord, house)
    refused = await discord.click(progress, CANCEL, user=house.ben).reply()
    assert refused.content == translate("bot.not-yours", "en")
    assert not is_final(progress)
    discord.click(progress, CANCEL, user=house.owner)
    assert (await asked.reply(is_final)).content == translate("error.cancelled", "en")


async def test_progress_is_shown_and_not_too_often(discord: Discord, bot: BotProcess, house: House) -> None:
    slow = new_song(10, bytes_per_s=60_000)
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=slow)
    reply = await answer(asked)
    shown = [revision for revision in reply.revisions if not revision.loading][:-1]
    assert shown[0].content.startswith(translate("bot.progress.fetching", "en"))
    assert len(shown) >= 2
    gaps = [later.at - earlier.at for earlier, later in zip(shown, shown[1:], strict=False)]
    assert min(gaps) > 1


async def test_a_button_whose_acknowledgement_meets_a_lost_answer_works_all_the_same(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    reply = await identified_song(discord, house)
    discord.fail("interaction_callback", 502, carried_out=True)
    refused = await discord.click(reply, WHOLE, user=house.ben).reply()
    assert (refused.content, refused.only_for) == (translate("bot.not-yours", "en"), house.ben)
    discord.fail("interaction_callback", 502, carried_out=True)
    whole = await press(discord, reply, WHOLE, house.ana)
    assert part_of(whole) == ("0:00", "1:10")
    discord.forgive(ALREADY_ACKNOWLEDGED)
