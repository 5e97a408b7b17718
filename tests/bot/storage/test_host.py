"""What the host has set: kept over a restart, and whom it serves."""

from pathlib import Path

import pytest

from bot.settings import BotSettings
from bot.storage.guilds import GuildSettings
from bot.storage.host import SWITCHES, HostSwitches, Subject
from bot.storage.stores import Stores

ANN, BEA, HOME, ELSEWHERE = 1, 2, 10, 20


def stores_in(directory: Path) -> Stores:
    return Stores(BotSettings(_env_file=None, data_dir=directory))  # type: ignore[call-arg]


async def test_switches_lists_and_defaults_outlive_a_restart(tmp_path: Path) -> None:
    first = stores_in(tmp_path)
    await first.open()
    await first.host.switch(maintenance=True)
    await first.host.switch(links=False)
    await first.host.put(Subject.USER, ANN, allowed=False)
    await first.host.put(Subject.SERVER, HOME, allowed=True)
    await first.guilds.save_defaults(GuildSettings(0, "es", cooldown_s=5.0))
    await first.close()
    second = stores_in(tmp_path)
    await second.open()
    assert second.host.switches == HostSwitches(maintenance=True, links=False)
    assert second.host.blocked(Subject.USER, ANN)
    assert second.host.allowed(Subject.SERVER, HOME)
    assert second.guilds.settings(HOME) == GuildSettings(HOME, "es", cooldown_s=5.0)
    assert second.guilds.settings(None) == GuildSettings(0)
    await second.close()


async def test_a_server_that_left_and_came_back_has_the_defaults_if_it_had_no_settings(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    await stores.open()
    await stores.guilds.save(GuildSettings(ELSEWHERE, cooldown_s=1.0))
    await stores.guilds.save_defaults(GuildSettings(0, links=False))
    for guild_id in (HOME, ELSEWHERE):
        await stores.guilds.mark_left(guild_id)
        await stores.guilds.mark_present([guild_id])
    assert stores.guilds.settings(HOME) == GuildSettings(HOME, links=False)
    assert stores.guilds.settings(ELSEWHERE) == GuildSettings(ELSEWHERE, cooldown_s=1.0)
    await stores.close()


@pytest.mark.parametrize(
    ("user", "guild", "allowlist", "served"),
    [
        (None, None, False, True),
        (False, None, False, False),
        (None, False, False, False),
        (True, False, False, False),
        (None, None, True, False),
        (True, None, True, True),
        (None, True, True, True),
        (False, True, True, False),
    ],
)
async def test_whom_it_serves(
    user: bool | None, guild: bool | None, allowlist: bool, served: bool, tmp_path: Path
) -> None:
    stores = stores_in(tmp_path)
    await stores.open()
    await stores.host.put(Subject.USER, ANN, allowed=user)
    await stores.host.put(Subject.SERVER, HOME, allowed=guild)
    await stores.host.switch(allowlist=allowlist)
    assert stores.host.serves(ANN, HOME) == served
    assert stores.host.serves(BEA, None) == (not allowlist)
    await stores.close()


async def test_switches_that_only_a_newer_release_knows_are_passed_over(stores: Stores) -> None:
    await stores.meta.set(SWITCHES, '{"links": false, "from_tomorrow": true}')
    await stores.host.load()
    assert stores.host.switches == HostSwitches(links=False)
