"""What the host has set while the bot runs: its switches, and whom it serves."""

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, select

from bot.storage.database import Database, upsert
from bot.storage.meta import MetaStore
from bot.storage.tables import access

SWITCHES: Final = "host"
"""Key under which the switches are stored, as JSON."""


class Subject(StrEnum):
    """Who can be blocked or allowed."""

    USER = "user"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class HostSwitches:
    """What the host turns on and off.

    Attributes:
        maintenance: nothing new is begun; what runs is finished.
        links: whether links are followed, in any server.
        allowlist: whether only those on the list are served.
    """

    maintenance: bool = False
    links: bool = True
    allowlist: bool = False


class HostStore:
    """Switches and lists, all of them in memory: every message looks at them.

    Args:
        database: where the lists are kept.
        meta: keeps the switches.
    """

    def __init__(self, database: Database, meta: MetaStore) -> None:
        self._database = database
        self._meta = meta
        self._access: dict[tuple[Subject, int], bool] = {}
        self.switches = HostSwitches()

    async def load(self) -> None:
        """Read all of it, again where another process may have changed it.

        Raises:
            StoreError: the database failed.
        """
        stored = json.loads(await self._meta.get(SWITCHES) or "{}")
        async with self._database.reading() as connection:
            rows = list(await connection.execute(select(access)))
        # Beside a newer release's process, or after it, there may be more switches than are known here.
        known = {field.name for field in fields(HostSwitches)}
        self.switches = HostSwitches(**{name: on for name, on in stored.items() if name in known})
        self._access = {(Subject(row.kind), row.subject_id): row.allowed for row in rows}

    async def switch(self, **changes: bool) -> None:
        """Change switches, named as in `HostSwitches`.

        Raises:
            StoreError: nothing was saved.
        """
        changed = replace(self.switches, **changes)
        await self._meta.set(SWITCHES, json.dumps(asdict(changed)))
        self.switches = changed

    async def put(self, kind: Subject, subject_id: int, *, allowed: bool | None) -> None:
        """Block (False) or allow (True) somebody, or take them off both lists (None).

        Raises:
            StoreError: nothing was saved.
        """
        theirs = (access.c.kind == kind.value) & (access.c.subject_id == subject_id)
        async with self._database.writing() as connection:
            if allowed is None:
                await connection.execute(delete(access).where(theirs))
            else:
                await upsert(connection, access, {"kind": kind.value, "subject_id": subject_id, "allowed": allowed})
        self._access.pop((kind, subject_id), None)
        if allowed is not None:
            self._access[kind, subject_id] = allowed

    def blocked(self, kind: Subject, subject_id: int | None) -> bool:
        """Whether somebody is on the blocklist."""
        return self._access.get((kind, subject_id or 0)) is False

    def allowed(self, kind: Subject, subject_id: int | None) -> bool:
        """Whether somebody is on the allowlist."""
        return self._access.get((kind, subject_id or 0)) is True

    def serves(self, user_id: int, guild_id: int | None) -> bool:
        """Whether a member is answered in a server, or in a direct conversation (None)."""
        if self.blocked(Subject.USER, user_id) or self.blocked(Subject.SERVER, guild_id):
            return False
        if not self.switches.allowlist:
            return True
        return self.allowed(Subject.USER, user_id) or self.allowed(Subject.SERVER, guild_id)
