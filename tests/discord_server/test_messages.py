import aiohttp
import discord
import pytest

from tests.discord_server.cdn import File
from tests.discord_server.client import SmallBot, connected, picture
from tests.discord_server.ratelimits import Limit
from tests.discord_server.server import Discord
from tests.support.processes import eventually


async def test_a_bot_hears_a_voice_message_reacts_answers_and_takes_the_reaction_back() -> None:
    async with Discord() as server:
        guild, ana = server.guild("Vinyl"), server.user("ana")
        guild.join(ana)
        async with connected(SmallBot(), server) as bot:
            voice = File("voice-message.ogg", b"OggS", duration_s=4.2)
            posted = server.post_message(guild.channels[0], ana, files=[voice], voice=True)
            await eventually(lambda: bot.seen)
            [heard] = bot.seen
            assert heard.flags.voice
            assert heard.attachments[0].is_voice_message()
            await heard.add_reaction("🎧")
            assert posted.reactions["🎧"] == [server.bot]
            assert bot.user
            await heard.remove_reaction("🎧", bot.user)
            assert (posted.reactions["🎧"], posted.reactions_ever) == ([], ["🎧"])
            reply = await heard.reply("rock", file=picture())
            await reply.edit(content="metal")
            answer = await server.answer_to(posted)
            assert [revision.content for revision in answer.revisions] == ["rock", "metal"]
            await eventually(lambda: bot.events == [("add", "🎧"), ("remove", "🎧")])
            await reply.delete()
            assert server.messages_of_bot(guild.channels[0]) == []
        assert server.complaints == []


async def test_a_bot_is_sent_the_title_of_a_file_that_discord_renamed() -> None:
    async with Discord() as server:
        guild = server.guild("Vinyl")
        async with connected(SmallBot(), server) as bot:
            server.post_message(guild.channels[0], guild.owner, files=[File("Cancin.mp3", b"ID3", title="Canción")])
            await eventually(lambda: bot.seen)
            [attachment] = bot.seen[0].attachments
            assert (attachment.filename, attachment.title) == ("Cancin.mp3", "Canción")


@pytest.mark.parametrize(
    ("denied", "code"),
    [("view_channel", 50001), ("send_messages", 50013), ("attach_files", 50013), ("embed_links", 50013)],
)
async def test_a_missing_permission_is_refused(denied: str, code: int) -> None:
    async with Discord() as server:
        channel = server.guild("Vinyl").channels[0]
        async with connected(SmallBot(), server) as bot:
            server.deny_bot(channel, denied)
            known = bot.get_partial_messageable(channel.id)
            with pytest.raises(discord.Forbidden) as refused:
                await known.send(embed=discord.Embed(title="rock"), file=picture())
            assert refused.value.code == code
            assert [exchange.code for exchange in server.refusals()] == [code]
            server.allow_bot(channel)
            await known.send(embed=discord.Embed(title="rock"), file=picture())


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x" * 2001},
        {"embed": discord.Embed(title="x" * 257)},
        {"embed": discord.Embed(description="x" * 4097)},
        {"embeds": [discord.Embed(description="x" * 3001)] * 2},
        {"embed": discord.Embed().add_field(name="x", value="x" * 1025)},
        {"embed": discord.Embed(title="x").set_image(url="attachment://missing.png")},
        {"embed": discord.Embed(title="x", url="javascript:alert(1)")},
    ],
)
async def test_a_message_over_a_limit_is_refused(message: dict[str, object]) -> None:
    async with Discord() as server:
        channel = server.guild("Vinyl").channels[0]
        async with connected(SmallBot(), server) as bot:
            with pytest.raises(discord.HTTPException) as refused:
                await bot.get_partial_messageable(channel.id).send(**message)
            assert (refused.value.status, refused.value.code) == (400, 50035)
        assert [complaint.code for complaint in server.forgive(50035)] == [50035]


async def test_an_empty_message_and_a_custom_id_used_twice_are_refused() -> None:
    async with Discord() as server:
        channel = server.guild("Vinyl").channels[0]
        async with connected(SmallBot(), server) as bot:
            view = discord.ui.View()
            view.add_item(discord.ui.Button(label="one", custom_id="same"))
            view.add_item(discord.ui.Button(label="two", custom_id="same"))
            for arguments, code in (({}, 50006), ({"content": "x", "view": view}, 50035)):
                with pytest.raises(discord.HTTPException) as refused:
                    await bot.get_partial_messageable(channel.id).send(**arguments)
                assert refused.value.code == code


async def test_rate_limits_are_announced_and_kept() -> None:
    async with Discord() as server:
        server.rate_limits.limits["create_message"] = Limit(2, 0.5)
        channel = server.guild("Vinyl").channels[0]
        async with connected(SmallBot(), server) as bot:
            for number in range(4):
                await bot.get_partial_messageable(channel.id).send(f"{number}")
            times = [exchange.at for exchange in server.exchanges("create_message") if exchange.status == 200]
            assert times[2] - times[0] >= 0.45
        async with aiohttp.ClientSession(headers={"Authorization": f"Bot {server.token}"}) as session:
            address = f"{server.api_url}/channels/{channel.id}/messages"
            answers = [await session.post(address, json={"content": "at once"}) for _ in range(3)]
            assert answers[0].headers["X-RateLimit-Limit"] == "2"
            assert answers[2].status == 429
            assert (await answers[2].json())["retry_after"] > 0
            assert "charset" not in answers[2].headers["Content-Type"]


async def test_a_global_limit_is_told_as_one() -> None:
    async with Discord() as server:
        server.rate_limits.overall = Limit(1, 5.0)
        async with aiohttp.ClientSession(headers={"Authorization": f"Bot {server.token}"}) as session:
            await session.get(f"{server.api_url}/users/@me")
            answer = await session.get(f"{server.api_url}/applications/@me")
            assert (answer.status, answer.headers["X-RateLimit-Global"]) == (429, "true")


async def test_an_unknown_route_and_a_missing_token_are_refused() -> None:
    async with Discord() as server, aiohttp.ClientSession() as session:
        assert (await session.get(f"{server.api_url}/users/@me")).status == 401
        assert server.complaints == []
        assert (await session.get(f"{server.api_url}/stickers")).status == 404
        assert [complaint.text for complaint in server.complaints] == ["unknown route: GET /api/v10/stickers"]


async def test_direct_messages_reach_who_takes_them() -> None:
    async with Discord() as server:
        ana, ben = server.user("ana"), server.user("ben")
        ben.accepts_direct_messages = False
        async with connected(SmallBot(), server) as bot:
            await (await bot.fetch_user(ana.id)).send("rock")
            assert [m.content for m in server.messages_of_bot(server.direct_messages(ana))] == ["rock"]
            with pytest.raises(discord.Forbidden) as refused:
                await (await bot.fetch_user(ben.id)).send("rock")
            assert refused.value.code == 50007


async def test_the_cdn_serves_signed_addresses_until_they_expire() -> None:
    async with Discord() as server, aiohttp.ClientSession() as session:
        guild = server.guild("Vinyl")
        message = server.post_message(guild.channels[0], guild.owner, files=[File("a song.ogg", b"OggS" * 50_000)])
        [upload] = message.files
        assert await (await session.get(upload.url)).read() == b"OggS" * 50_000
        assert (await session.get(upload.url.partition("?")[0])).status == 404
        old = upload.url
        upload.expire()
        assert (await session.get(old)).status == 404
        assert upload.downloads == 3


@pytest.mark.parametrize("properties", [{"break_off_at": 70_000}, {"content_length": 300_000}])
async def test_a_download_can_break_off(properties: dict[str, int]) -> None:
    async with Discord() as server, aiohttp.ClientSession() as session:
        guild = server.guild("Vinyl")
        file = File("song.ogg", bytes(200_000), **properties)
        [upload] = server.post_message(guild.channels[0], guild.owner, files=[file]).files
        with pytest.raises(aiohttp.ClientPayloadError):
            await (await session.get(upload.url)).read()


async def test_a_message_whose_answer_is_lost_is_not_sent_twice() -> None:
    async with Discord() as server:
        channel = server.guild("Vinyl").channels[0]
        async with connected(SmallBot(), server) as bot:
            server.fail("create_message", status=502, carried_out=True)
            await bot.get_partial_messageable(channel.id).send("rock", nonce=7)
            assert [m.content for m in server.messages_of_bot(channel)] == ["rock"]
            assert [e.status for e in server.exchanges("create_message")] == [502, 200]
