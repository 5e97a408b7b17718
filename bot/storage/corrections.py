"""What members say that songs really are."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, func, select, update

from bot.storage.database import Database, upsert
from bot.storage.requests import RequestRow
from bot.storage.tables import corrections
from core.constants import GENRES

MEMBERS_AGREE: Final = 3
"""As many members of a server who say the same of a song are heard beside the model."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What one member says that one song is.

    Attributes:
        sha256: of the song's bytes.
        predicted: the model's genre.
        corrected: the member's genre, or `none` of the ten.
        model: name and version.
        corrected_at: seconds since the epoch.
        consented_at: when the member allowed it to be used for training; None where they have not.
    """

    sha256: str
    user_id: int
    guild_id: int | None
    predicted: str
    corrected: str
    model: str
    corrected_at: float
    consented_at: float | None


class CorrectionStore:
    """One correction of each member for each song: the latest.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, request: RequestRow, user_id: int, genre: str) -> None:
        """Store what a member says that a request's song is, in place of what they said before.

        Raises:
            StoreError: nothing was saved.
        """
        async with self._database.writing() as connection:
            await upsert(
                connection,
                corrections,
                {
                    "sha256": request.sha256,
                    "user_id": user_id,
                    "guild_id": request.guild_id,
                    "heard_as": request.genre,
                    "said": genre,
                    "model": request.model or "",
                    "corrected_at": self._database.clock(),
                    "consented_at": None,  # what was allowed was said of another genre
                },
            )

    async def consent(self, sha256: str, user_id: int) -> bool:
        """Note that a member allows their correction to be used for training; False where it is gone.

        Raises:
            StoreError: nothing was saved.
        """
        own = and_(corrections.c.sha256 == sha256, corrections.c.user_id == user_id)
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(corrections).where(own).values(consented_at=self._database.clock())
            )
        return bool(changed.rowcount)

    async def agreed(self, guild_id: int, sha256: str, predicted: str) -> str | None:
        """Give the genre that `MEMBERS_AGREE` members of a server, more than say anything else, say a song is.

        None where they do not agree, or agree with the model.

        Raises:
            StoreError: the database failed.
        """
        members = func.count()
        here = and_(corrections.c.guild_id == guild_id, corrections.c.sha256 == sha256)
        async with self._database.reading() as connection:
            rows = (
                await connection.execute(
                    select(corrections.c.said, members)
                    .where(here)
                    .group_by(corrections.c.said)
                    .order_by(members.desc())
                )
            ).all()
        if not rows or rows[0][1] < MEMBERS_AGREE or (len(rows) > 1 and rows[1][1] == rows[0][1]):
            return None
        said = str(rows[0][0])
        return said if said in GENRES and said != predicted else None

    async def all(self) -> list[Correction]:
        """Read all corrections, oldest first.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            rows = await connection.execute(select(corrections).order_by(corrections.c.corrected_at))
            return [
                Correction(
                    row.sha256,
                    row.user_id,
                    row.guild_id,
                    row.heard_as,
                    row.said,
                    row.model,
                    row.corrected_at,
                    row.consented_at,
                )
                for row in rows
            ]
