"""What came of one song of a request."""

from dataclasses import dataclass

from core.errors import GenreGenieError
from core.service.identify import IdentifyResult


@dataclass(frozen=True, slots=True)
class SongResult:
    """A verdict or an error.

    Attributes:
        asked_name: the asker's own name for the song.
        outcome: the verdict, or why there is none.
        request_id: what the song's buttons carry; None if the request could not be stored.
        has_neighbours: whether the server has heard other songs to compare it with.
        members_say: the genre that members of the server agree on, where it is another than the model's.
        kept: whether the host keeps songs, without which no button can show or classify one again.
    """

    asked_name: str
    outcome: IdentifyResult | GenreGenieError
    request_id: int | None = None
    has_neighbours: bool = False
    members_say: str | None = None
    kept: bool = True

    @property
    def name(self) -> str:
        """Title of the song where its source names one, else the asker's own name for it."""
        title = self.outcome.verdict.song.title if isinstance(self.outcome, IdentifyResult) else None
        return title or self.asked_name

    @property
    def code(self) -> str:
        """`verdict`, or the error's code: what is counted, logged and stored."""
        return "verdict" if isinstance(self.outcome, IdentifyResult) else self.outcome.code.value

    @property
    def failed(self) -> bool:
        """Whether there is no verdict."""
        return isinstance(self.outcome, GenreGenieError)

    @property
    def can_be_shown_again(self) -> bool:
        """Whether more can be asked about the song: it was classified, and all that is about it is stored."""
        return isinstance(self.outcome, IdentifyResult) and self.request_id is not None and self.kept
