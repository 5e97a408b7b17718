"""`/genre`."""

from pathlib import Path
from typing import Any

import pytest

from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, details, genre_of, picture_of, sentence, votes_counted, votes_in
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File


async def test_a_song_is_answered_in_short_and_its_details_have_every_vote_and_the_picture(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    file = new_song(40, name="demo.wav")
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=file))
    assert not reply.ephemeral
    assert genre_of(reply) in GENRES
    assert votes_counted(reply) == 10
    assert "demo.wav" in reply.text
    assert "of 0:40" in reply.text
    assert reply.files == []
    assert reply.buttons == [translate(f"bot.button.{name}", "en") for name in ("details", "part", "whole", "wrong")]
    shown = await details(discord, reply, house.ana)
    assert (genre_of(shown), shown.embeds[0]["title"]) == (genre_of(reply), reply.embeds[0]["title"])
    assert len(votes_in(shown)) == 10
    assert 10_000 < len(picture_of(shown)) < 120_000
    assert genre_of(shown) in (shown.file(".png").description or "").replace("-", "")
    why = next(field for field in shown.embeds[0]["fields"] if field["name"] == translate("bot.details.why", "en"))
    assert "Hz (" in why["value"]


@pytest.mark.parametrize("number", [2, 5])
async def test_a_track_goes_from_file_to_picture(
    discord: Discord, bot: BotProcess, house: House, tracks: list[Path], number: int
) -> None:
    file = File.at(tracks[number])
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=file))
    assert genre_of(reply) in GENRES
    assert votes_counted(reply) == 10
    picture_of(await details(discord, reply, house.ana))


async def test_a_private_answer_is_for_the_one_who_asked(discord: Discord, bot: BotProcess, house: House) -> None:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(), private=True)
    reply = await answer(asked)
    assert reply.only_for is house.ana
    assert genre_of(reply) in GENRES
    assert discord.messages_of_bot(house.channel) == []


async def test_the_whole_song_has_a_vote_for_all_its_segments(discord: Discord, bot: BotProcess, house: House) -> None:
    asked = discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(60), whole=True)
    reply = await answer(asked)
    assert "0:00–1:00" in reply.text
    assert votes_counted(reply) == 20
    begins = [f"{translate(f'bot.reply.{key}', 'en', runs='')}0:00 " for key in ("runs", "runs-rough")]
    assert any(begin in reply.text for begin in begins)
    assert reply.buttons == [translate(f"bot.button.{name}", "en") for name in ("details", "wrong")]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "bot.nothing-given"),
        ({"link": "not a link"}, "bot.nothing-given"),
        ({"link": "https://example.com/a", "file": File("a.mp3", b"x")}, "bot.one-of-two"),
    ],
    ids=["neither", "words", "both"],
)
async def test_neither_or_both_of_file_and_link_is_a_friendly_error(
    discord: Discord, bot: BotProcess, house: House, options: dict[str, object], key: str
) -> None:
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, **options))
    assert (reply.content, reply.only_for) == (translate(key, "en"), house.ana)


async def test_a_song_can_be_asked_about_in_direct_messages(discord: Discord, bot: BotProcess, house: House) -> None:
    channel = discord.direct_messages(house.ana)
    reply = await answer(discord.slash("genre", user=house.ana, channel=channel, file=new_song()))
    assert genre_of(reply) in GENRES


async def test_public_answers_speak_the_servers_language_and_private_ones_the_members(
    discord: Discord, bot: BotProcess
) -> None:
    house = furnished(discord, locale="es-ES")
    eve = discord.user("eve", locale="en-GB")
    house.guild.join(eve)
    song = new_song()
    public = await answer(discord.slash("genre", user=eve, channel=house.channel, file=song))
    assert genre_of(public, "es") in GENRES
    assert translate("bot.button.wrong", "es") in public.buttons
    private = await answer(discord.slash("genre", user=eve, channel=house.channel, file=song, private=True))
    assert translate("bot.button.wrong", "en") in private.buttons
    own = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=song, private=True))
    assert translate("bot.button.wrong", "es") in own.buttons


async def test_what_fails_is_told_to_the_asker_alone_in_their_own_language(discord: Discord, bot: BotProcess) -> None:
    house = furnished(discord, locale="es-ES")
    eve = discord.user("eve", locale="en-GB")
    house.guild.join(eve)
    place: dict[str, Any] = {"user": eve, "channel": house.channel}
    broken = File("words.mp3", b"words " * 100)
    some = discord.post_message(house.channel, house.ana, files=[new_song(6), broken])
    why = sentence(ErrorCode.NOT_AUDIO)
    for asked, expected in (
        (discord.slash("genre", **place, file=broken), why),
        (discord.slash("guess play", **place, file=broken), why),
        (discord.slash("compare", **place, first=broken, second=new_song(6)), f"1. **words.mp3**: {why}"),
        (discord.message_command("Identify genre", some, user=eve), f"2. **words.mp3**: {why}"),
    ):
        told = await asked.reply(lambda message: message.only_for is eve and bool(message.content))
        assert told.content == expected
    [public] = discord.messages_of_bot(house.channel)
    assert translate("bot.pick.placeholder", "es") == public.controls[0]["placeholder"]


async def test_commands_are_named_in_every_language_for_those_who_speak_it(discord: Discord, bot: BotProcess) -> None:
    [command] = [c for c in discord.commands.registered[None] if c["name"] == "genre"]
    named = {"de": "de", "es-ES": "es", "es-419": "es", "fr": "fr", "pt-BR": "pt"}
    assert command["description_localizations"] == {
        key: translate("bot.command.genre.description", locale) for key, locale in named.items()
    }
    assert command["name_localizations"]["pt-BR"] == "gênero"


async def test_a_name_that_would_format_or_call_somebody_does_nothing(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    file = new_song(name="@everyone **loud** ‮gnp.wav")
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=file))
    assert "‮" not in reply.text
    assert "@everyone" not in reply.content
    last = discord.exchanges("edit_original_response")[-1].payload
    assert isinstance(last, dict)
    assert last["allowed_mentions"] == {"parse": []}


async def test_a_link_to_a_file_is_heard(discord: Discord, bot: BotProcess, house: House) -> None:
    posted = discord.post_message(house.guild.channels[1], house.ben, files=[new_song(10, name="linked.wav")])
    link = posted.files[0].url
    reply = await answer(
        discord.slash("genre", user=house.ana, channel=house.channel, link=f"this one: [mine]({link}), please")
    )
    assert genre_of(reply) in GENRES
    message = discord.post_message(house.channel, house.ben, f"have you heard {link} ?")
    reply = await answer(discord.message_command("Identify genre", message, user=house.ana))
    assert genre_of(reply) in GENRES


async def test_a_link_to_a_file_of_discords_that_has_expired_is_renewed(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    posted = discord.post_message(house.channel, house.ana, files=[new_song(6, name="renewed.wav")])
    [upload] = posted.files
    upload.expire()
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, link=upload.url))
    assert genre_of(reply) in GENRES
    assert "renewed.wav" in reply.text
    assert len(discord.exchanges("refresh_urls")) == 1
    gone = f"http://{discord.host}/attachments/1/2/deleted.wav"
    discord.fail("refresh_urls", 404)
    reply = await answer(discord.slash("genre", user=house.ana, channel=house.channel, link=gone))
    assert translate("error.expired-link", "en") in reply.text
