"""`genregenie invite`, `doctor` and `backup` beside the bot."""

import asyncio
import os
import sqlite3
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from discord import Permissions

from core.i18n.catalog import translate
from tests.bot.end_to_end.answers import answer
from tests.bot.end_to_end.conftest import House
from tests.bot.end_to_end.process import BotProcess, environment
from tests.bot.end_to_end.songs import new_song
from tests.discord_server import Discord
from tests.support.data import ROOT


async def run(discord: Discord, data: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "genregenie",
        *arguments,
        cwd=data,
        env=environment(discord, data, **settings) | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" not in errors
    return process.returncode or 0, out.decode(), errors.decode()


async def test_invite_prints_a_link_with_just_the_permissions_needed(discord: Discord, tmp_path: Path) -> None:
    code, out, _ = await run(discord, tmp_path, "invite")
    assert code == 0
    query = parse_qs(urlsplit(out.strip()).query)
    assert query["client_id"] == [str(discord.world.application_id)]
    assert set(query["scope"][0].split()) == {"bot", "applications.commands"}
    wanted = Permissions(int(query["permissions"][0]))
    assert wanted.attach_files
    assert not wanted.administrator
    assert not wanted.manage_messages


async def test_doctor_checks_token_intent_and_database(discord: Discord, tmp_path: Path) -> None:
    _, out, _ = await run(discord, tmp_path, "doctor")
    assert translate("bot.doctor.token-of", "en", name="genregenie") in out
    assert translate("bot.doctor.intent", "en") in out
    assert os.listdir(tmp_path) == [], "looking leaves nothing behind"
    code, out, _ = await run(discord, tmp_path, "doctor", DISCORD_TOKEN="wrong")
    assert code == 1
    assert translate("bot.start.bad-token", "en") in out


async def test_doctor_does_not_call_a_discord_that_is_away_a_missing_token(discord: Discord, tmp_path: Path) -> None:
    code, out, _ = await run(discord, tmp_path, "doctor", DISCORD_API_URL="http://127.0.0.1:9/api/v10")
    assert code == 1
    assert f"missing  {translate('bot.doctor.connection', 'en')}" in out
    assert translate("bot.start.no-discord", "en") in out
    assert translate("bot.doctor.token", "en") not in out


async def test_a_backup_made_while_the_bot_runs_is_complete(
    discord: Discord, bot: BotProcess, house: House, tmp_path: Path
) -> None:
    await answer(discord.slash("genre", user=house.ana, channel=house.channel, file=new_song(6)))
    copy = tmp_path / "copy.sqlite3"
    code, _, errors = await run(discord, bot.data, "backup", str(copy))
    assert code == 0, errors
    with sqlite3.connect(copy) as connection:
        asked = connection.execute("SELECT count(*) FROM requests WHERE guild_id = ?", (house.guild.id,)).fetchone()
    assert asked == (1,)
