"""Discord's REST API, version 10: the part that a bot of slash commands, messages and reactions uses."""

from tests.discord_server.rest.app import rest_application

__all__ = ["rest_application"]
