"""Discord's settings and the host's limits, on top of the core's."""

import re
import socket
from functools import cached_property

from pydantic import Field, SecretStr, field_validator, model_validator

from core.errors import ConfigurationError
from core.i18n.catalog import translate
from core.service.admission import AdmissionLimits
from core.settings import MIB, Settings

DISCORD_API = "https://discord.com/api/v10"


class BotSettings(Settings):
    """What `genregenie bot` reads from the environment or `.env`."""

    token: SecretStr | None = Field(default=None, validation_alias="DISCORD_TOKEN")
    api_url: str = Field(default=DISCORD_API, validation_alias="DISCORD_API_URL")
    """The whole base with its version, for those who run behind a REST proxy."""
    gateway_url: str | None = Field(default=None, validation_alias="DISCORD_GATEWAY_URL")
    """For a new session; RESUME uses the address that Discord names."""
    test_guild: int | None = Field(default=None, validation_alias="DISCORD_TEST_GUILD")
    """Commands go to this server only, at once: for development."""
    shard_count: int | None = Field(default=None, ge=1, validation_alias="DISCORD_SHARD_COUNT")
    """Shards of all processes together; None asks Discord."""
    named_shards: str | None = Field(default=None, validation_alias="DISCORD_SHARDS")
    """Shards of this process, as `0-3`."""
    shards_per_process: int | None = Field(default=None, ge=1, validation_alias="DISCORD_SHARDS_PER_PROCESS")
    """So many shards for the process whose host's name ends in `-0`, the next ones for that of `-1`, and so on."""

    web: bool = False
    """Serve the page too, in the bot's process and on its workers."""

    owner_guild: int | None = None
    """The only server that gets `/owner`; without one, owners write to the bot directly."""

    releases_url: str | None = None
    """Says which release is the newest, as GitHub's `releases/latest` does: asked once a day; None asks nobody."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8_080, ge=0, le=65_535)
    """Where health and metrics listen; 0 takes any free port."""

    max_jobs: int = Field(default=256, ge=1)
    """Songs waiting or being classified, in all."""
    max_jobs_per_server: int = Field(default=64, ge=1)
    max_jobs_per_member: int = Field(default=16, ge=1)
    cooldown_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """Seconds between two requests of one member in one server."""

    progress_edits_per_s: float = Field(default=10.0, gt=0.0, le=50.0)
    """Edits of messages that show progress, of all processes together; Discord takes 50 requests a second of a bot."""

    guess_s: float = Field(default=30.0, ge=5.0, le=300.0)
    """Seconds for guesses in a game of `/guess`."""

    database_url: str | None = None
    """SQLAlchemy URL; None is SQLite in `data_dir`, or the queue's PostgreSQL where there is a queue."""
    store_mb: int = Field(default=512, ge=0)
    """Room for songs' spectrograms and results, MiB; the ones not asked for longest go first, and 0 keeps none."""
    retention_days: int = Field(default=30, ge=1)
    """Requests, results and spectrograms are deleted after this many days."""
    correction_days: int = Field(default=365, ge=1)
    drain_s: float = Field(default=120.0, ge=0.0, le=3_600.0)
    """How long `genregenie worker`, told to stop, may finish what it runs; the rest goes back to the queue."""
    grace_days: int = Field(default=7, ge=0)
    """Days after which the data of a server that the bot has left is deleted."""

    @field_validator("api_url")
    @classmethod
    def _no_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("releases_url")
    @classmethod
    def _is_https(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError("is no https address")
        return value

    @field_validator("named_shards")
    @classmethod
    def _check_shards(cls, value: str | None) -> str | None:
        if value is not None:
            first, dash, last = value.partition("-")
            if not first.isdigit() or (dash and not last.isdigit()) or int(first) > int(last or first):
                raise ValueError("is not a range like 0-3")
        return value

    @model_validator(mode="after")
    def _shards_need_count(self) -> "BotSettings":
        if self.named_shards is not None and self.shards_per_process is not None:
            raise ValueError("DISCORD_SHARDS and DISCORD_SHARDS_PER_PROCESS exclude each other")
        if self.shards_per_process is not None:
            if self.shard_count is None:
                raise ValueError("DISCORD_SHARDS_PER_PROCESS needs DISCORD_SHARD_COUNT")
            if (ordinal := _ordinal()) is None:
                raise ValueError("DISCORD_SHARDS_PER_PROCESS needs a host whose name ends in a number, as in bot-0")
            if ordinal * self.shards_per_process >= self.shard_count:
                raise ValueError("DISCORD_SHARD_COUNT leaves no shards for this process: there are too many of them")
        if self.named_shards is not None:
            if self.shard_count is None:
                raise ValueError("DISCORD_SHARDS needs DISCORD_SHARD_COUNT")
            if self.shard_ids is not None and self.shard_ids[-1] >= self.shard_count:
                raise ValueError("DISCORD_SHARDS names a shard that DISCORD_SHARD_COUNT does not have")
        return self

    @model_validator(mode="after")
    def _workers_need_the_store(self) -> "BotSettings":
        if self.queue_url is not None and (self.database_url or "").startswith("sqlite"):
            raise ValueError("GENREGENIE_QUEUE_URL needs a store that the workers reach: no SQLite")
        return self

    @cached_property
    def shards(self) -> str | None:
        """Shards of this process, as `0-3`; None is all of them."""
        ordinal = _ordinal()
        if self.shards_per_process is None or self.shard_count is None or ordinal is None:
            return self.named_shards
        first = ordinal * self.shards_per_process
        return f"{first}-{min(first + self.shards_per_process, self.shard_count) - 1}"

    @cached_property
    def shard_ids(self) -> list[int] | None:
        """Shards of this process; None is all of them."""
        if self.shards is None:
            return None
        first, _, last = self.shards.partition("-")
        return list(range(int(first), int(last or first) + 1))

    @cached_property
    def own_progress_edits_per_s(self) -> float:
        """Share of this process in `progress_edits_per_s`, by its shards."""
        share = len(self.shard_ids) / self.shard_count if self.shard_ids and self.shard_count else 1.0
        return self.progress_edits_per_s * share

    @cached_property
    def limits(self) -> AdmissionLimits:
        """The host's limits, as admission takes them."""
        return AdmissionLimits(self.max_jobs, self.max_jobs_per_server, self.max_jobs_per_member, self.cooldown_s)

    @cached_property
    def store_bytes(self) -> int:
        """`store_mb` in bytes."""
        return self.store_mb * MIB

    def missing(self) -> list[str]:
        """Name what the bot cannot start without."""
        lines = super().missing()
        try:
            self.required_token()
        except ConfigurationError as error:
            lines.append(str(error))
        return lines

    def required_token(self) -> str:
        """Return the token.

        Raises:
            ConfigurationError: there is none.
        """
        token = self.token.get_secret_value().strip() if self.token else ""
        if not token:
            raise ConfigurationError(translate("bot.start.no-token"))
        return token


def _ordinal() -> int | None:
    """Give the number at the end of this host's name, as a StatefulSet's pods have it; None without one."""
    found = re.search(r"-(\d{1,6})$", socket.gethostname().partition(".")[0])
    return int(found[1]) if found else None
