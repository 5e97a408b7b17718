"""What cogs and buttons work with, handed to them in one object."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.jobs.member_locales import MemberLocales
from bot.jobs.responder import Responder
from bot.jobs.service import JobService
from bot.monitoring import Metrics
from bot.releases import Releases
from bot.settings import BotSettings
from bot.storage.corrections import CorrectionStore
from bot.storage.games import GameStore
from bot.storage.guilds import GuildStore
from bot.storage.host import HostStore
from bot.storage.meta import MetaStore
from bot.storage.neighbours import NeighbourStore
from bot.storage.open_requests import OpenRequestStore
from bot.storage.requests import RequestStore
from bot.storage.results import ResultStore
from bot.storage.retention import Retention
from bot.storage.tastes import TasteStore
from bot.ui.delivery import Delivery
from bot.ui.interactions import Acknowledger, Interaction
from bot.ui.owners import Owners
from bot.ui.permissions import PermissionNotices
from core.service.admission import Admission
from core.service.fetcher import Fetcher


@dataclass(frozen=True, slots=True)
class BotServices:
    """The parts of the running bot that outlive a connection.

    Attributes:
        settings: the host's.
        metrics: counters.
        jobs: takes requests to their answers.
        workers: how many workers are ready, and how many of them are busy: here, or on the queue's machines.
        admission: the queue in front of them.
        host: what the host has set while the bot runs.
        owners: who the host is.
        guilds: the servers' settings.
        requests: the requests that have ended.
        results: the songs' results and spectrograms.
        corrections: what members say that songs are.
        open_requests: the requests that are on their way.
        neighbours: finds songs that sound alike.
        games: the guessing games, and the members' scores.
        tastes: counts genres.
        fetcher: fetches a song that is to be posted again.
        retention: deletes what an admin wants deleted.
        releases: whether there is a newer one.
        meta: values that are needed again after a restart.
        locales: the members' languages.
        acknowledge: tells Discord that an answer will come.
        notices: says which permissions are missing, once a channel.
        respond: makes what answers a request by a delivery.
    """

    settings: BotSettings
    metrics: Metrics
    jobs: JobService
    workers: Callable[[], tuple[int, int]]
    admission: Admission
    host: HostStore
    owners: Owners
    guilds: GuildStore
    requests: RequestStore
    results: ResultStore
    corrections: CorrectionStore
    open_requests: OpenRequestStore
    neighbours: NeighbourStore
    games: GameStore
    tastes: TasteStore
    fetcher: Fetcher
    retention: Retention
    releases: Releases
    meta: MetaStore
    locales: MemberLocales
    acknowledge: Acknowledger
    notices: PermissionNotices
    respond: Callable[[Delivery], Responder]


def services_of(interaction: Interaction) -> BotServices:
    """Give the services of the client that an interaction came to.

    discord.py makes the buttons under old messages itself, from their custom id: nothing can be handed to them, and the
    client that it puts into an interaction has a type that no signature of its can name. This is the one place that
    looks behind it; all that follows is typed.

    Raises:
        TypeError: the client has none.
    """
    services: object = getattr(interaction.client, "services", None)
    if not isinstance(services, BotServices):
        raise TypeError(f"{type(interaction.client).__name__} has no services")
    return services
