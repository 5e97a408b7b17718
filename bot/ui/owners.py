"""Who hosts the bot."""

import time
from typing import Final

import discord

OWNERS_KEPT_S: Final = 600.0
"""Whoever leaves the team is no owner any more after this time."""

ROLES: Final = (discord.TeamMemberRole.admin, discord.TeamMemberRole.developer)


class Owners:
    """Who hosts the bot: its application's owner, or of a team its admins and developers."""

    def __init__(self) -> None:
        self._ids: frozenset[int] = frozenset()
        self._read_at = -OWNERS_KEPT_S

    async def ids(self, client: discord.Client) -> frozenset[int]:
        """Ask Discord, if that was a while ago.

        Args:
            client: logged in.

        Raises:
            discord.HTTPException: Discord does not say.
        """
        if time.monotonic() - self._read_at >= OWNERS_KEPT_S:
            application = await client.application_info()
            team = application.team
            self._ids = frozenset(
                [application.owner.id]
                if team is None
                else [member.id for member in team.members if member.role in ROLES or member.id == team.owner_id]
            )
            self._read_at = time.monotonic()
        return self._ids

    async def has(self, client: discord.Client, user_id: int) -> bool:
        """Whether somebody is an owner; raises as `ids` does."""
        return user_id in await self.ids(client)
