"""How buttons reach the bot's services: typed, at one place."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import discord
import pytest

from bot.services import BotServices, services_of
from tests.support.data import ROOT

CALLBACK = """
from bot.services import services_of
from bot.ui.interactions import Interaction

async def callback(interaction: Interaction) -> None:
    services_of(interaction).jobs.{name}("key")
"""


def interaction_of(client: object) -> discord.Interaction[discord.Client]:
    interaction: discord.Interaction[discord.Client] = create_autospec(discord.Interaction, instance=True)
    interaction.client = client  # type: ignore[misc, assignment]
    return interaction


def test_the_services_are_those_of_the_interactions_client() -> None:
    class Client(discord.Client):
        services: BotServices

    client = Client(intents=discord.Intents.none())
    client.services = object.__new__(BotServices)
    assert services_of(interaction_of(client)) is client.services


def test_a_client_without_services_is_refused() -> None:
    with pytest.raises(TypeError, match="Client has no services"):
        services_of(interaction_of(discord.Client(intents=discord.Intents.none())))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("find", 0), ("fnid", 1)])
def test_a_misspelt_service_does_not_pass_the_type_checker(name: str, code: int, tmp_path: Path) -> None:
    callback = tmp_path / "callback.py"
    callback.write_text(CALLBACK.format(name=name))
    command = [sys.executable, "-m", "mypy", str(callback)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert checked.returncode == code, checked.stdout + checked.stderr
    assert code == 0 or '"fnid"' in checked.stdout
