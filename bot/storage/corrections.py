"""What members say that songs really are."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from bot.storage.database import Database
from bot.storage.requests import RequestRow
from bot.storage.tables import corrections


@dataclass(frozen=True, slots=True)
class Correction:
    """What one member says that one song is.

    Attributes:
        sha256: of the song's bytes.
        predicted: the model's genre.
        corrected: the member's genre, or `none` of the ten.
        model: name and version.
        corrected_at: seconds since the epoch.
    """

    sha256: str
    user_id: int
    guild_id: int | None
    predicted: str
    corrected: str
    model: str
    corrected_at: float


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
            await connection.execute(
                delete(corrections).where(corrections.c.sha256 == request.sha256, corrections.c.user_id == user_id)
            )
            await connection.execute(
                insert(corrections).values(
                    sha256=request.sha256,
                    user_id=user_id,
                    guild_id=request.guild_id,
                    heard_as=request.genre,
                    said=genre,
                    model=request.model or "",
                    corrected_at=self._database.clock(),
                )
            )

    async def all(self) -> list[Correction]:
        """Read all corrections, oldest first.

        Raises:
            StoreError: the database failed.
        """
        async with self._database.reading() as connection:
            rows = await connection.execute(select(corrections).order_by(corrections.c.corrected_at))
            return [
                Correction(row.sha256, row.user_id, row.guild_id, row.heard_as, row.said, row.model, row.corrected_at)
                for row in rows
            ]
