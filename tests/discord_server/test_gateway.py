import asyncio
import json
import zlib

import aiohttp
import discord
import pytest

from tests.discord_server.client import SmallBot, connected
from tests.discord_server.server import Discord
from tests.support.processes import eventually


async def test_a_client_gets_ready_with_its_servers_and_channels() -> None:
    async with Discord() as server:
        server.guild("Vinyl", channels=["general", "music"], locale="es-ES")
        async with connected(SmallBot(), server) as bot:
            [guild] = bot.guilds
            assert (guild.name, guild.preferred_locale.value) == ("Vinyl", "es-ES")
            assert [channel.name for channel in guild.text_channels] == ["general", "music"]
            assert guild.me.guild_permissions.send_messages
            assert bot.user
            assert bot.user.id == server.bot.id
        assert server.complaints == []


async def test_a_deleted_channel_or_thread_is_gone_for_the_client_and_an_archived_thread_can_be_looked_up() -> None:
    async with Discord() as server:
        guild = server.guild("Vinyl", channels=["general", "music"])
        general, music = guild.channels
        resting, gone = server.thread(general, "resting"), server.thread(general, "gone")
        server.archive(resting)
        async with connected(SmallBot(), server) as bot:
            [known] = bot.guilds
            assert [thread.name for thread in known.threads] == ["gone"]
            server.nsfw(general)
            for deleted in (music, gone):
                server.delete_channel(deleted)
            await eventually(lambda: not known.threads and known.text_channels[0].is_nsfw())
            assert [channel.name for channel in known.text_channels] == ["general"]
            assert (await bot.fetch_channel(resting.id)).id == resting.id
            for deleted in (music, gone):
                with pytest.raises(discord.NotFound):
                    await bot.fetch_channel(deleted.id)
        assert server.complaints == []


async def test_a_wrong_token_is_refused_by_the_api() -> None:
    async with Discord() as server:
        bot = SmallBot()
        with pytest.raises(discord.LoginFailure):
            async with connected(bot, server, token="wrong"):
                pass


async def test_a_wrong_token_closes_the_gateway_with_4004() -> None:
    async with Discord() as server:
        identify = {"op": 2, "d": {"token": "wrong", "intents": 1, "properties": {}}}
        assert await _close_code_after(server, identify) == 4004


async def test_a_command_before_identify_closes_the_gateway_with_4003() -> None:
    async with Discord() as server:
        assert await _close_code_after(server, {"op": 3, "d": {}}) == 4003


async def test_what_is_no_payload_closes_the_gateway_with_4002() -> None:
    async with Discord() as server:
        assert await _close_code_after(server, ["not", "a", "payload"]) == 4002


async def _close_code_after(server: Discord, message: object) -> int | None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.gateway.url}?v=10&encoding=json") as socket,
    ):
        assert (await socket.receive_json())["op"] == 10
        await socket.send_json(message)
        await socket.receive()
        return socket.close_code


async def test_a_compressed_stream_carries_the_same_payloads() -> None:
    async with (
        Discord() as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.gateway.url}?v=10&encoding=json&compress=zlib-stream") as socket,
    ):
        hello = json.loads(zlib.decompressobj().decompress(await socket.receive_bytes()))
        assert hello["op"] == 10


async def test_an_intent_that_is_not_granted_closes_the_gateway_with_4014() -> None:
    async with Discord() as server:
        server.grant(message_content=False)
        with pytest.raises(discord.PrivilegedIntentsRequired):
            async with connected(SmallBot(), server):
                pass
        assert server.forgive(4014)


async def test_without_the_intent_other_peoples_messages_come_without_content() -> None:
    async with Discord() as server:
        guild, ana = server.guild("Vinyl"), server.user("ana")
        guild.join(ana)
        async with connected(SmallBot(message_content=False), server) as bot:
            server.post_message(guild.channels[0], ana, "what genre is this?")
            server.post_message(server.direct_messages(ana), ana, "hello")
            await eventually(lambda: len(bot.seen) == 2)
            assert [message.content for message in bot.seen] == ["", "hello"]


async def test_after_a_drop_the_session_is_resumed_and_missed_events_are_sent_again() -> None:
    async with Discord() as server:
        guild, ana = server.guild("Vinyl"), server.user("ana")
        guild.join(ana)
        async with connected(SmallBot(), server) as bot:
            await server.gateway.drop()
            server.post_message(guild.channels[0], ana, "while nobody listened")
            await asyncio.wait_for(bot.resumed.wait(), 30)
            assert [message.content for message in bot.seen] == ["while nobody listened"]
        assert [connection.path for connection in server.gateway.connections] == ["/gateway/", "/resume/"]
        assert len(server.gateway.identified) == 1


async def test_op_7_makes_the_client_resume() -> None:
    async with Discord() as server:
        async with connected(SmallBot(), server) as bot:
            server.gateway.ask_to_reconnect()
            await asyncio.wait_for(bot.resumed.wait(), 30)
        assert server.gateway.resumes == 1


async def test_an_invalid_session_makes_the_client_identify_anew() -> None:
    async with Discord() as server:
        async with connected(SmallBot(), server):
            server.gateway.invalidate_sessions()
            await server.until(lambda: len(server.gateway.identified) == 2 and server.gateway.live)
        assert server.gateway.resumes == 0


async def test_a_connection_that_died_unnoticed_is_left_and_resumed() -> None:
    async with Discord() as server:
        server.gateway.heartbeat_interval_s = 0.2
        async with connected(SmallBot(heartbeat_timeout=1.0), server) as bot:
            server.gateway.mute()
            await asyncio.wait_for(bot.resumed.wait(), 30)


async def test_a_client_without_heartbeats_is_closed_with_4009() -> None:
    async with Discord() as server:
        server.gateway.heartbeat_interval_s = 0.1
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.gateway.url}?v=10&encoding=json") as socket,
        ):
            await socket.receive_json()
            await socket.receive()
            assert socket.close_code == 4009
        assert server.forgive(4009)


async def test_each_shard_hears_of_its_own_servers() -> None:
    async with Discord() as server:
        server.gateway.shards = 2
        for number in range(4):
            server.guild(f"server {number}", identity=(1000 + number) << 22)
        async with connected(SmallBot(), server) as bot:
            assert {guild.name: guild.shard_id for guild in bot.guilds} == {
                "server 0": 0,
                "server 1": 1,
                "server 2": 0,
                "server 3": 1,
            }
        assert [identify["shard"] for identify in server.gateway.identified] == [[0, 2], [1, 2]]


@pytest.mark.parametrize(("shards", "answers"), [((0, 2), ["READY", "READY"]), ((0, 1, 3), ["READY", "READY", None])])
async def test_an_identify_too_soon_in_its_bucket_has_no_session(
    shards: tuple[int, ...], answers: list[str | None]
) -> None:
    async with Discord() as server, aiohttp.ClientSession() as session:
        server.gateway.max_concurrency, server.gateway.identify_period_s = 3, 600.0
        seen = []
        for shard in shards:
            async with session.ws_connect(f"{server.gateway.url}?v=10&encoding=json") as socket:
                await socket.receive_json()
                data = {"token": server.token, "intents": 1, "properties": {}, "shard": [shard, 4]}
                await socket.send_json({"op": 2, "d": data})
                seen.append((await socket.receive_json()).get("t"))
        assert seen == answers
        assert len(server.forgive(4008)) == answers.count(None)


async def test_joining_and_leaving_a_server_reaches_the_client() -> None:
    async with Discord() as server, connected(SmallBot(), server) as bot:
        guild = server.guild("Vinyl")
        await eventually(lambda: bot.events == [("join", "Vinyl")])
        server.remove_bot(guild)
        await eventually(lambda: bot.events == [("join", "Vinyl"), ("leave", "Vinyl")])
