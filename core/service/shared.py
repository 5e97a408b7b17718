"""What the faces of one process share, and how one is opened beside another."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from core.service.admission import Admission
from core.service.fetcher import Fetcher
from core.service.identify import IdentifyResult
from core.service.slots import FairSlots
from core.workers.pool import WorkerPool


@dataclass(frozen=True, slots=True)
class SharedService:
    """What one face lends to another.

    Attributes:
        pool: the workers.
        turns: the workers as slots, which the faces take in turns.
        fetcher: with the proxy that everything is fetched through.
        observe: counts a song: how it was asked about, `verdict` or an error's code, the seconds that it took, and the
            answer where there is one.
    """

    pool: WorkerPool
    turns: FairSlots
    fetcher: Fetcher
    observe: Callable[[str, str, float, IdentifyResult | None], None]


@dataclass(frozen=True, slots=True)
class GuestFace:
    """A face that is open beside another.

    Attributes:
        name: what it is called in readiness.
        admission: its own queue.
        is_serving: whether it takes requests.
    """

    name: str
    admission: Admission
    is_serving: Callable[[], bool]


OpenGuest = Callable[[SharedService], AbstractAsyncContextManager[GuestFace]]
"""Opens a face on what another lends; it is closed when the context ends."""
