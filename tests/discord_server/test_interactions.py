import asyncio
import time

import aiohttp
import discord
import pytest
from discord import app_commands

from tests.discord_server.cdn import File
from tests.discord_server.client import SmallBot, connected, picture
from tests.discord_server.model import Guild, User
from tests.discord_server.server import Discord
from tests.support.processes import eventually

SONG = File("song.ogg", b"OggS" + bytes(1000))


def ana_in(guild: Guild, server: Discord) -> User:
    ana = server.user("ana", locale="es-ES")
    guild.join(ana)
    return ana


async def test_a_deferred_slash_command_is_answered_by_editing_in_a_picture() -> None:
    bot = SmallBot()

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction, file: discord.Attachment, whole: bool = False) -> None:
        await interaction.response.defer(thinking=True)
        size = len(await file.read())
        embed = discord.Embed(title=f"{file.filename}: {size} bytes, {whole}, {interaction.locale}")
        embed.set_image(url="attachment://chart.png")
        await interaction.edit_original_response(embed=embed, attachments=[picture()])

    async with Discord() as server:
        guild = server.guild("Vinyl", locale="de")
        ana = ana_in(guild, server)
        async with connected(bot, server):
            used = server.slash("genre", user=ana, channel=guild.channels[0], file=SONG, whole=True)
            assert await used.acknowledged() < 3
            reply = await used.reply()
            assert reply.text == "song.ogg: 1004 bytes, True, es-ES"
            assert reply.file(".png").data == b"\x89PNG not really"
            assert reply.file(".png").description == "A picture of ten votes"
            assert reply.embeds[0]["image"]["url"] == reply.files[0].url
            assert [revision.loading for revision in reply.revisions] == [True, False]
            assert not reply.ephemeral
        assert server.complaints == []


async def test_the_first_followup_after_a_private_deferral_is_private() -> None:
    bot = SmallBot()

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.followup.send("rock", file=picture())
        await interaction.followup.send("and jazz", ephemeral=True)

    async with Discord() as server:
        guild = server.guild("Vinyl")
        ana = ana_in(guild, server)
        async with connected(bot, server):
            used = server.slash("genre", user=ana, channel=guild.channels[0])
            await server.until(lambda: len(used.messages) == 2)
            assert [(m.content, m.only_for) for m in used.messages] == [("rock", ana), ("and jazz", ana)]
            assert server.messages_of_bot(guild.channels[0]) == []


async def test_buttons_and_menus_work_and_only_where_they_are_seen() -> None:
    bot = SmallBot()

    class Choice(discord.ui.View):
        @discord.ui.button(label="Whole song")
        async def whole(self, interaction: discord.Interaction, _: discord.ui.Button) -> None:
            await interaction.response.edit_message(content="the whole song")

        @discord.ui.select(options=[discord.SelectOption(label="Rock", value="rock")])
        async def correct(self, interaction: discord.Interaction, menu: discord.ui.Select) -> None:
            await interaction.response.send_message(f"noted: {menu.values[0]}", ephemeral=True)

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("a part", view=Choice(), ephemeral=True)

    async with Discord() as server:
        guild = server.guild("Vinyl")
        ana, ben = ana_in(guild, server), ana_in(guild, server)
        async with connected(bot, server):
            reply = await server.slash("genre", user=ana, channel=guild.channels[0]).reply()
            chosen = await server.select(reply, "Rock", user=ana).reply()
            assert (chosen.content, chosen.only_for) == ("noted: rock", ana)
            pressed = server.click(reply, "Whole song", user=ana)
            await pressed.acknowledged()
            assert reply.content == "the whole song"
            with pytest.raises(AssertionError, match="does not see"):
                server.click(reply, "Whole song", user=ben)
            with pytest.raises(AssertionError, match="no button 'Cancel'"):
                server.click(reply, "Cancel", user=ana)
        assert server.complaints == []


async def test_a_message_command_gets_the_message_with_its_attachments() -> None:
    bot = SmallBot()

    @bot.tree.context_menu(name="Identify genre")
    async def identify(interaction: discord.Interaction, message: discord.Message) -> None:
        names = [attachment.filename for attachment in message.attachments]
        await interaction.response.send_message(f"{message.author.name}: {names}")

    async with Discord() as server:
        guild = server.guild("Vinyl")
        ana, ben = ana_in(guild, server), server.user("ben")
        guild.join(ben)
        async with connected(bot, server):
            message = server.post_message(guild.channels[0], ben, files=[SONG], voice=True)
            reply = await server.message_command("Identify genre", message, user=ana).reply()
            assert reply.content == "ben: ['song.ogg']"


async def test_a_command_works_in_direct_messages() -> None:
    bot = SmallBot()

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"{interaction.user.name} {interaction.guild}")

    async with Discord() as server:
        ana = server.user("ana")
        async with connected(bot, server):
            reply = await server.slash("genre", user=ana, channel=server.direct_messages(ana)).reply()
            assert reply.content == "ana None"


async def test_only_what_is_registered_and_permitted_can_be_used() -> None:
    bot = SmallBot()
    group = app_commands.Group(
        name="genregenie", description="Settings", default_permissions=discord.Permissions(manage_guild=True)
    )

    @group.command(name="limits", description="Limits")
    async def limits(interaction: discord.Interaction, cooldown: app_commands.Range[int, 0, 60]) -> None:
        await interaction.response.send_message(f"{cooldown} s")

    bot.tree.add_command(group)
    async with Discord() as server:
        guild = server.guild("Vinyl")
        ana, general = ana_in(guild, server), guild.channels[0]
        async with connected(bot, server):
            reply = await server.slash("genregenie limits", user=guild.owner, channel=general, cooldown=5).reply()
            assert reply.content == "5 s"
            for reason, command, user, options in (
                ("no permission", "genregenie limits", ana, {"cooldown": 5}),
                ("no command", "genre", ana, {}),
                ("no subcommand", "genregenie stats", guild.owner, {}),
                ("cannot be 61", "genregenie limits", guild.owner, {"cooldown": 61}),
                ("needs", "genregenie limits", guild.owner, {}),
            ):
                with pytest.raises(AssertionError, match=reason):
                    server.slash(command, user=user, channel=general, **options)


async def test_a_late_acknowledgement_is_refused_as_an_unknown_interaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.discord_server.interactions.ACKNOWLEDGE_WITHIN_S", 0.1)
    bot, errors = SmallBot(), []

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await asyncio.sleep(0.2)
        try:
            await interaction.response.send_message("too late")
        except discord.NotFound as error:
            errors.append(error.code)

    async with Discord() as server:
        guild = server.guild("Vinyl")
        async with connected(bot, server):
            used = server.slash("genre", user=guild.owner, channel=guild.channels[0])
            await eventually(lambda: errors == [10062])
            assert used.acknowledged_at is None
        assert len(server.forgive(10062)) == 1


async def test_a_second_acknowledgement_is_refused() -> None:
    bot, errors = SmallBot(), []

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("first")
        interaction.response._response_type = None
        try:
            await interaction.response.send_message("second")
        except discord.HTTPException as error:
            errors.append(error.code)

    async with Discord() as server:
        guild = server.guild("Vinyl")
        async with connected(bot, server):
            server.slash("genre", user=guild.owner, channel=guild.channels[0])
            await eventually(lambda: errors == [40060])
        assert len(server.forgive(40060)) == 1


async def test_a_token_is_refused_after_its_lifetime() -> None:
    bot, errors = SmallBot(), []

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await asyncio.sleep(0.3)
        try:
            await interaction.followup.send("too late")
        except discord.HTTPException as error:
            errors.append((error.status, error.code))

    async with Discord() as server:
        guild = server.guild("Vinyl")
        server.token_lifetime_s = 0.2
        async with connected(bot, server):
            server.slash("genre", user=guild.owner, channel=guild.channels[0])
            await eventually(lambda: errors == [(401, 50027)])
        assert server.forgive(50027)


async def test_a_command_over_a_limit_is_refused() -> None:
    bot = SmallBot()
    bad = app_commands.Command(name="genre", description="x", callback=_nothing)
    bad.description = "d" * 101
    bot.tree.add_command(bad)
    async with Discord() as server:
        with pytest.raises(discord.HTTPException):
            async with connected(bot, server):
                pass
        assert server.commands.puts == []
        assert server.forgive(50035)


async def test_commands_are_listed_without_translations_unless_asked_for() -> None:
    command = {"name": "genre", "name_localizations": {"es-ES": "género"}, "description": "Hear a song"}
    async with (
        Discord() as server,
        aiohttp.ClientSession(headers={"Authorization": f"Bot {server.token}"}) as session,
    ):
        address = f"{server.api_url}/applications/{server.world.application_id}/commands"
        assert (await session.put(address, json=[command])).status == 200
        [plain] = await (await session.get(address)).json()
        [full] = await (await session.get(address, params={"with_localizations": "true"})).json()
        assert "name_localizations" not in plain
        assert full["name_localizations"] == {"es-ES": "género"}
        assert plain["id"] == full["id"]
        bad = command | {"name_localizations": {"es": "género"}}
        assert (await session.put(address, json=[bad])).status == 400
        assert server.commands.puts == [None]


async def _nothing(interaction: discord.Interaction) -> None:
    """Stand in for a command that nobody uses."""


async def test_a_webhook_waits_out_429_and_500() -> None:
    bot = SmallBot()

    @bot.tree.command(name="genre", description="Hear a song")
    async def genre(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content="rock")

    async with Discord() as server:
        guild = server.guild("Vinyl")
        async with connected(bot, server):
            server.fail("edit_original_response", status=500)
            server.fail("edit_original_response", status=429, retry_after=0.1)
            started = time.monotonic()
            reply = await server.slash("genre", user=guild.owner, channel=guild.channels[0]).reply()
            assert reply.content == "rock"
            assert time.monotonic() - started >= 1.1
        assert [e.status for e in server.exchanges("edit_original_response")] == [500, 429, 200]
