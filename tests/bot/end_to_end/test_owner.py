"""`owner`: what the host sees and sets, and that nobody else does."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import discord as library
import pytest
import pytest_asyncio
from discord.http import Route

from bot.storage.engine import DATABASE_FILE
from bot.ui.owners import Owners
from core.constants import GENRES
from core.errors import ErrorCode
from core.i18n.catalog import translate
from core.version import VERSION
from tests.bot.end_to_end.answers import answer, answer_under, error_id, genre_of, said, sentence
from tests.bot.end_to_end.conftest import House, furnished
from tests.bot.end_to_end.process import BotProcess
from tests.bot.end_to_end.songs import new_song
from tests.core.fetch.certificates import Authority
from tests.core.fetch.servers import running_server
from tests.discord_server import Channel, Discord, File, Message, User
from tests.discord_server.errors import ALREADY_ACKNOWLEDGED
from tests.discord_server.model import Payload
from tests.support.network import authority  # noqa: F401  # a fixture

OWNED = 900_000_000_000_000_001
"""Id of the server that has `/owner`."""

PAGE = "https://example.org/genregenie/releases/tag/v999.0.0"
AWAY = User("away", accepts_direct_messages=False, id=1 << 50)
"""Another of the bot's owners, whose turn comes first in a set of ids: this one's hash is the least."""

OLD = datetime.now(UTC) - timedelta(days=100)


@dataclass(frozen=True)
class Hosted:
    """A Discord whose bot has an owner with a server of their own."""

    discord: Discord
    bot: BotProcess
    channel: Channel

    @property
    def host(self) -> User:
        return self.discord.world.owner

    async def slash(self, command: str, **options: object) -> Message:
        used = self.discord.slash(f"owner {command}", user=self.host, channel=self.channel, **options)
        reply = await answer(used)
        assert reply.only_for is self.host
        return reply

    async def write(self, text: str, user: User | None = None) -> Message:
        """Send a direct message and give what comes back."""
        direct = self.discord.direct_messages(user or self.host)
        before = len(self.discord.messages_of_bot(direct))
        self.discord.post_message(direct, user or self.host, text)
        await self.discord.until(lambda: len(self.discord.messages_of_bot(direct)) > before, what="an answer")
        return self.discord.messages_of_bot(direct)[-1]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def hosted(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> AsyncIterator[Hosted]:  # noqa: F811
    data = tmp_path_factory.mktemp("hosted")
    # The bot runs in this folder: what is installed here is found first.
    metadata = data / f"yt_dlp-{OLD:%Y.%m.%d}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: yt-dlp\nVersion: {OLD:%Y.%m.%d}\n", "utf-8")
    async with Discord() as discord, running_server(authority.server_context()) as releases:
        body = json.dumps({"tag_name": "v999.0.0", "html_url": PAGE}).encode()
        releases.routes["/latest"] = lambda exchange: exchange.respond(body, kind="application/json")
        discord.world.team = team(discord.world.owner, admin=AWAY)
        discord.world.users[AWAY.id] = AWAY
        guild = discord.guild("the host's own", owner=discord.world.owner, identity=OWNED)
        own = {
            "GENREGENIE_OWNER_GUILD": str(OWNED),
            "GENREGENIE_RELEASES_URL": releases.url("/latest"),
            "GENREGENIE_ALLOWED_HOSTS": f"{discord.host},{releases.host}",
            "GENREGENIE_CA_FILE": str(authority.certificate),
        }
        async with BotProcess(discord, data, **own) as bot:
            await discord.until(lambda: OWNED in discord.commands.registered, what="the owners' commands")
            yield Hosted(discord, bot, guild.channels[0])
        assert discord.complaints == []


def team(owner: User, **members: User) -> Payload:
    """Return a team as the API gives it, with its members by their roles; those named first come first."""
    roles = [*members.items(), ("admin", owner)]
    return {
        "id": "1",
        "name": "hosts",
        "icon": None,
        "owner_user_id": str(owner.id),
        "members": [
            {"user": user.payload(), "membership_state": 2, "role": role, "team_id": "1", "permissions": ["*"]}
            for role, user in roles
        ],
    }


async def ask(hosted: Hosted, house: House, file: File | None = None) -> Message:
    asked = hosted.discord.slash("genre", user=house.ana, channel=house.channel, file=file or new_song(6))
    return await answer(asked)


async def test_owners_are_told_once_that_yt_dlp_is_old_and_of_a_newer_release_whoever_of_them_cannot_be(
    hosted: Hosted,
) -> None:
    direct = hosted.discord.direct_messages(hosted.host)
    await hosted.discord.until(lambda: len(hosted.discord.messages_of_bot(direct)) == 2, what="the notices")
    await hosted.bot.restart()
    status = await hosted.slash("status")
    notices = [message.content for message in hosted.discord.messages_of_bot(direct)]
    release = translate("bot.owner.release", "en", version="999.0.0", current=VERSION) + f" <{PAGE}>"
    assert len(notices) == 2
    assert release in notices
    assert any(f"yt-dlp {OLD:%Y.%m.%d} is 100 days old" in notice for notice in notices)
    assert status.content.endswith(f"\n{release}")


async def test_the_command_is_nowhere_but_in_the_owners_server_and_refuses_everybody_else(hosted: Hosted) -> None:
    house = furnished(hosted.discord)
    with pytest.raises(AssertionError, match="no command"):
        hosted.discord.slash("owner status", user=hosted.host, channel=house.channel)
    hosted.channel.guild.join(house.ana)  # type: ignore[union-attr]
    with pytest.raises(AssertionError, match="no permission"):
        hosted.discord.slash("owner status", user=house.ana, channel=hosted.channel)
    forced = hosted.discord.slash("owner status", user=house.ana, channel=hosted.channel, offered=False)
    refused = await forced.reply()
    assert (refused.content, refused.only_for) == (translate("bot.owner.not-allowed", "en"), house.ana)
    # By direct message, nobody else learns that there is such a command.
    hosted.discord.post_message(hosted.discord.direct_messages(house.ana), house.ana, "owner maintenance on")
    song = hosted.discord.post_message(hosted.discord.direct_messages(house.ana), house.ana, files=[new_song(6)])
    assert genre_of(await answer_under(hosted.discord, song)) in GENRES
    assert len(hosted.discord.messages_of_bot(hosted.discord.direct_messages(house.ana))) == 1


async def test_a_button_or_command_is_acknowledged_and_then_discord_is_asked_at_most_once_whose_bot_it_is(
    hosted: Hosted,
) -> None:
    discord, direct = hosted.discord, hosted.discord.direct_messages(hosted.host)
    # What asks for the owners at each start is done.
    await discord.until(lambda: len(discord.messages_of_bot(direct)) >= 2, what="the notices")
    house, stay = furnished(discord), translate("bot.owner.button.stay", "en")
    questions = [await hosted.slash("leave", server=str(house.guild.id)) for _ in range(2)]
    await hosted.bot.restart()
    discord.fail("get_oauth2_application", 403)
    failed = discord.click(questions[0], stay, user=hosted.host)
    told = await failed.reply(lambda reply: translate("error.internal", "en") in reply.content)
    assert told.only_for is hosted.host
    discord.fail("get_oauth2_application", 403)
    assert translate("error.internal", "en") in (await hosted.slash("errors")).content
    asked = len(discord.exchanges("get_oauth2_application"))
    for question in questions:
        discord.click(question, stay, user=hosted.host)
        await discord.until(
            lambda question=question: question.content == translate("bot.owner.stayed", "en"), what="the sentence"
        )
    assert len(discord.exchanges("get_oauth2_application")) == asked + 1


async def test_status_servers_and_errors_say_how_it_is(hosted: Hosted) -> None:
    house = furnished(hosted.discord)
    await ask(hosted, house)
    failed = await ask(hosted, house, new_song(6, status=404, name="her secret demo.wav"))
    assert said(failed) == sentence(ErrorCode.UNAVAILABLE)
    for text in ((await hosted.slash("status")).content, (await hosted.write("owner status")).content):
        assert f"GenreGenie {VERSION}, model genie" in text
        assert f"Servers: {len(hosted.discord.world.guilds)}\n" in text
        assert "failed (unavailable 1" in text
        assert f"yt-dlp: {OLD:%Y.%m.%d} (100 days old)" in text
    listed = await hosted.slash("servers")
    assert f"**{house.guild.name}** `{house.guild.id}` · members: 2 · requests: 2 · since <t:" in listed.content
    hosted.discord.fail("interaction_callback", 502, carried_out=True)
    errors = (await hosted.slash("errors")).content
    hosted.discord.forgive(ALREADY_ACKNOWLEDGED)
    assert f"`unavailable` slash · {house.guild.id} · `{error_id(failed)}`" in errors.splitlines()[0]
    assert "secret" not in errors
    assert str(house.ana.id) not in errors


async def test_pages_turn(hosted: Hosted) -> None:
    names = {furnished(hosted.discord).guild.name for _ in range(12)}
    first = await hosted.slash("servers")
    text = first.content
    hosted.discord.click(first, "→", user=hosted.host)
    await hosted.discord.until(lambda: first.content != text, what="the next page")
    pages = text + first.content
    assert all(name in pages for name in names)
    assert first.buttons[0] == "←"
    with closing(sqlite3.connect(hosted.bot.data / DATABASE_FILE)) as connection:
        connection.execute("ALTER TABLE requests RENAME TO hidden")
        told = await hosted.discord.click(first, "←", user=hosted.host).reply()
        connection.execute("ALTER TABLE hidden RENAME TO requests")
    assert (said(told), told.only_for) == (translate("error.internal", "en"), hosted.host)


async def test_leaving_asks_first(hosted: Hosted) -> None:
    guild = furnished(hosted.discord).guild
    question = await hosted.write(f"owner leave {guild.id}")
    hosted.discord.click(question, translate("bot.owner.button.stay", "en"), user=hosted.host)
    await hosted.discord.until(lambda: not question.buttons, what="the end of the question")
    assert guild.id in hosted.discord.world.guilds
    question = await hosted.slash("leave", server=str(guild.id))
    hosted.discord.fail("leave_guild", 403)
    failed = hosted.discord.click(question, translate("bot.owner.button.leave", "en"), user=hosted.host)
    assert said(await failed.reply()) == translate("error.internal", "en")
    hosted.discord.click(question, translate("bot.owner.button.leave", "en"), user=hosted.host)
    await hosted.discord.until(lambda: guild.id not in hosted.discord.world.guilds, what="it leaves")
    assert (await hosted.write("owner leave 12")).content == translate("bot.owner.help", "en")


async def test_a_blocked_server_is_left_whenever_it_invites_the_bot(hosted: Hosted) -> None:
    guild = furnished(hosted.discord).guild
    await hosted.slash("block", what="server", id=str(guild.id))
    await hosted.discord.until(lambda: guild.id not in hosted.discord.world.guilds, what="it leaves")
    hosted.discord.invite_bot(guild)
    await hosted.discord.until(lambda: guild.id not in hosted.discord.world.guilds, what="it leaves again")
    await hosted.write(f"owner unblock server {guild.id}")
    hosted.discord.invite_bot(guild)
    await hosted.slash("status")
    assert guild.id in hosted.discord.world.guilds


async def test_a_blocked_member_is_answered_nothing_in_public_and_keeps_the_right_to_their_data(hosted: Hosted) -> None:
    house = furnished(hosted.discord)
    reply = await ask(hosted, house)
    await hosted.write(f"owner block user {house.ana.id}")
    refused = await ask(hosted, house)
    assert (refused.content, refused.only_for) == (translate("bot.not-served", "en"), house.ana)
    pressed = hosted.discord.click(reply, translate("bot.button.wrong", "en"), user=house.ana)
    assert (await pressed.reply()).content == translate("bot.not-served", "en")
    direct = hosted.discord.direct_messages(house.ana)
    hosted.discord.post_message(direct, house.ana, files=[new_song(6)])
    own = await answer(hosted.discord.slash("privacy", user=house.ana, channel=direct))
    assert "1 request" in own.content
    assert hosted.discord.messages_of_bot(direct) == []
    assert (await hosted.write(f"owner block user {hosted.host.id}")).content == translate(
        "bot.owner.not-an-owner", "en"
    )
    await hosted.write(f"owner unblock user {house.ana.id}")
    assert genre_of(await ask(hosted, house)) in GENRES


async def test_with_the_allowlist_only_friends_are_served(hosted: Hosted) -> None:
    friends, strangers = furnished(hosted.discord), furnished(hosted.discord)
    await hosted.slash("allow", what="server", id=str(friends.guild.id))
    try:
        await hosted.slash("allowlist", state="on")
        assert genre_of(await ask(hosted, friends)) in GENRES
        assert (await ask(hosted, strangers)).content == translate("bot.not-served", "en")
        await hosted.write(f"owner allow user {strangers.ana.id}")
        assert genre_of(await ask(hosted, strangers)) in GENRES
    finally:
        await hosted.write("owner allowlist off")


async def test_maintenance_lets_running_jobs_finish_says_so_and_outlives_a_restart(hosted: Hosted) -> None:
    house = furnished(hosted.discord)
    running = hosted.discord.slash(
        "genre", user=house.ben, channel=house.channel, file=new_song(6, bytes_per_s=100_000)
    )
    await running.acknowledged()
    reply = await hosted.slash("maintenance", state="on")
    try:
        assert "1 song is still under way" in reply.content
        refused = await ask(hosted, house)
        assert (refused.content, refused.only_for) == (translate("bot.maintenance", "en"), house.ana)
        assert genre_of(await answer(running)) in GENRES
        assert hosted.discord.gateway.presences[-1]["activities"][0]["state"] == translate("bot.maintenance", "en")
        await hosted.bot.restart()
        assert (await ask(hosted, house)).content == translate("bot.maintenance", "en")
        assert hosted.discord.gateway.identified[-1]["presence"]["game"]["state"] == translate("bot.maintenance", "en")
    finally:
        await hosted.write("owner maintenance off")
    assert genre_of(await ask(hosted, house)) in GENRES


async def test_links_can_be_off_everywhere_and_whoever_gives_one_is_told_who_has_done_that(hosted: Hosted) -> None:
    discord, house = hosted.discord, furnished(hosted.discord)
    off, link = translate("bot.links-off-everywhere", "en"), "https://example.com/song.mp3"
    direct = discord.direct_messages(house.ana)
    await hosted.slash("links", state="off")
    try:
        for command, options in (
            ("genre", {"link": link}),
            ("guess play", {"link": link}),
            ("compare", {"first-link": link, "second-link": link}),
        ):
            refused = await discord.slash(command, user=house.ana, channel=house.channel, **options).reply()
            assert (refused.content, refused.only_for) == (off, house.ana), command
        posted = discord.post_message(house.channel, house.ben, link)
        refused = await discord.message_command("Identify genre", posted, user=house.ana).reply()
        assert refused.content == off
        refused = await discord.slash("genre", user=house.ana, channel=direct, link=link).reply()
        assert refused.content == off
        sent = discord.post_message(direct, house.ana, link)
        assert (await answer_under(discord, sent)).content == off
    finally:
        await hosted.write("owner links on")


async def test_defaults_hold_for_servers_whose_admins_have_set_nothing(hosted: Hosted) -> None:
    decided, new = furnished(hosted.discord), furnished(hosted.discord)
    await answer(hosted.discord.slash("genregenie links", user=decided.owner, channel=decided.channel, state="on"))
    try:
        reply = await hosted.slash("defaults", links="off", language="es", cooldown=20)
        assert "links off" in reply.content
        assert "20 seconds" in reply.content
        assert genre_of(await ask(hosted, new), "es") in GENRES
        assert genre_of(await ask(hosted, decided)) in GENRES
        assert "20 seconds" in (await hosted.write("owner defaults links: on")).content
    finally:
        await hosted.write("owner defaults reset: yes")
    assert (await hosted.write("owner defaults language: xx")).content.startswith("I speak: ")


async def test_of_a_team_its_admins_and_developers_are_owners() -> None:
    async with Discord() as discord:
        people = {role: discord.user(role) for role in ("admin", "developer", "read_only")}
        discord.world.team = team(discord.world.owner, **people)
        client = library.Client(intents=library.Intents.none())
        with patch.object(Route, "BASE", discord.api_url):
            await client.login(discord.token)
            ids = await Owners().ids(client)
            await client.close()
        assert ids == {discord.world.owner.id, people["admin"].id, people["developer"].id}
