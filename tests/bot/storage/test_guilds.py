"""Servers' settings, on a real SQLite file and a real PostgreSQL."""

from pathlib import Path

import pytest

from bot.storage.database import StoreError
from bot.storage.guilds import GuildSettings
from bot.storage.stores import Stores
from tests.bot.storage.rows import ELSEWHERE, HOME, ON_BOTH, row, settings


async def test_servers_settings_and_channels_are_there_after_a_restart(stores: Stores, tmp_path: Path) -> None:
    saved = GuildSettings(HOME, "es", False, 600.0, 5.0, 3)
    await stores.guilds.save(saved)
    await stores.guilds.switch_autoscan(HOME, 100, on=True)
    await stores.guilds.switch_autoscan(HOME, 101, on=True)
    await stores.guilds.switch_autoscan(HOME, 101, on=False)
    await stores.close()
    reopened = Stores(settings(tmp_path))
    await reopened.open()
    guilds = reopened.guilds
    assert guilds.settings(HOME) == saved
    assert guilds.settings(ELSEWHERE) == GuildSettings(ELSEWHERE)
    assert guilds.autoscan_channels(HOME) == [100]
    assert guilds.autoscan_is_on(999, 100), "a thread of a channel that is on"
    assert not guilds.autoscan_is_on(101, None)
    await reopened.close()


@ON_BOTH
async def test_another_servers_channel_cannot_be_switched(stores: Stores) -> None:
    await stores.guilds.switch_autoscan(HOME, 100, on=True)
    await stores.guilds.switch_autoscan(ELSEWHERE, 100, on=False)
    with pytest.raises(StoreError):
        await stores.guilds.switch_autoscan(ELSEWHERE, 100, on=True)
    assert stores.guilds.autoscan_channels(HOME) == [100]
    assert stores.guilds.autoscan_channels(ELSEWHERE) == []


async def test_the_language_of_public_answers_is_the_admins_then_the_servers_own(stores: Stores) -> None:
    await stores.guilds.save(GuildSettings(HOME, "es"))
    assert stores.guilds.public_locale(HOME, "fr") == "es"
    assert stores.guilds.public_locale(ELSEWHERE, "fr") == "fr"
    assert stores.guilds.public_locale(ELSEWHERE, None) == "en"


@ON_BOTH
async def test_a_server_is_known_by_the_bots_being_in_it_or_by_its_settings_until_the_bot_leaves(
    stores: Stores,
) -> None:
    await stores.requests.add(row(guild_id=2))  # of a member who has the bot on their account
    await stores.guilds.mark_present([3])
    await stores.guilds.mark_present([3, 6])
    await stores.guilds.save(GuildSettings(4, "es"))
    await stores.guilds.switch_autoscan(5, 50, on=True)
    assert await stores.guilds.known_ids() == {3, 4, 5, 6}
    for guild_id in (3, 4, 6):
        await stores.guilds.mark_left(guild_id)
    assert await stores.guilds.known_ids() == {5}
    await stores.guilds.mark_present([4])
    assert await stores.guilds.known_ids() == {4, 5}
    assert stores.guilds.settings(4).language == "es"
