"""Being found: `/help`, commands wherever members go, songs in direct messages."""

from pathlib import Path

from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer, answer_under, details, genre_of, sentence
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord, File


async def test_help_has_commands_to_click_on(discord: Discord, bot: BotProcess, house: House) -> None:
    for channel in (house.channel, discord.direct_messages(house.ana)):
        reply = await answer(discord.slash("help", user=house.ana, channel=channel))
        assert reply.only_for is house.ana
        for name in ("genre", "privacy"):
            command_id = discord.commands.find(name, 1, None)["id"]
            assert f"</{name}:{command_id}>" in reply.text


async def test_a_song_in_a_direct_message_is_answered_and_what_fails_is_said(
    discord: Discord, bot: BotProcess, house: House
) -> None:
    direct = discord.direct_messages(house.ana)
    discord.post_message(direct, house.ana, "hello")
    song = discord.post_message(direct, house.ana, files=[new_song(6)])
    assert genre_of(await answer_under(discord, song)) in GENRES
    broken = discord.post_message(direct, house.ana, files=[File("words.mp3", b"words " * 100)])
    assert (await answer_under(discord, broken)).content == sentence(ErrorCode.NOT_AUDIO)
    assert len(discord.messages_of_bot(direct)) == 2


async def test_a_direct_message_is_answered_in_the_language_that_an_interaction_has_told(
    discord: Discord, bot: BotProcess
) -> None:
    member = furnished(discord, locale="de").ana
    direct = discord.direct_messages(member)
    stranger = discord.post_message(direct, member, files=[File("words.mp3", b"words " * 100)])
    assert (await answer_under(discord, stranger)).content == sentence(ErrorCode.NOT_AUDIO)
    await answer(discord.slash("help", user=member, channel=direct))
    known = discord.post_message(direct, member, files=[File("words.mp3", b"words " * 100)])
    assert (await answer_under(discord, known)).content == sentence(ErrorCode.NOT_AUDIO, "de")


async def test_an_application_that_accounts_can_add_offers_its_commands_everywhere(
    discord: Discord, bot: BotProcess, tmp_path: Path
) -> None:
    def offered(world: Discord) -> dict[str, tuple[list[int], list[int]]]:
        commands = world.commands.registered[None]
        return {c["name"]: (sorted(c["integration_types"]), sorted(c["contexts"])) for c in commands}

    everywhere = [0, 1, 2]
    assert offered(discord)["genre"] == ([0], everywhere), "this one cannot be added to accounts"
    async with Discord() as other:
        other.world.integration_types = {"0": {}, "1": {}}
        async with BotProcess(other, tmp_path):
            for name in ("genre", "privacy", "help", translate("bot.command.identify.name", "en")):
                assert offered(other)[name] == ([0, 1], everywhere)
            assert offered(other)["genregenie"] == ([0], [0])
            # In a server that the bot is not in, with no more than a member may there.
            house = furnished(other)
            other.remove_bot(house.guild)
            asked = other.slash("genre", user=house.ana, channel=house.channel, file=new_song(6, name="tune.wav"))
            reply = await answer(asked)
            assert "tune.wav" in reply.content
            assert reply.embeds == []
            shown = await details(other, reply, house.ana)
            assert "tune.wav" in shown.content
            assert "%\n 0:03  " in shown.content, "the votes, in text"
            assert other.gateway.identified[0]["presence"]["game"]["name"] == "/genre · /help"
        assert other.complaints == []
