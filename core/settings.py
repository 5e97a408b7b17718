"""Typed settings from the environment and `.env` in the working directory."""

import codecs
import ipaddress
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from core.errors import ConfigurationError

MIB = 1024 * 1024

ENV_FILE: Final = Path(".env")
"""Variables that the environment does not have, in the working directory; UTF-8 without a byte order mark."""

DEVELOPMENT: Final = "GENREGENIE_TEST_"
"""What the tests' own variables begin with."""

SettingsType = TypeVar("SettingsType", bound="Settings")


class Settings(BaseSettings):
    """The core's settings, with their defaults. Variables are named `GENREGENIE_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix="GENREGENIE_", env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True
    )

    model: str | None = None
    """A path under `models/` without suffix (`genie`, `plain`) or a file; None is the best one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that classify; each takes about 130 MB."""
    data_dir: Path = Path("data")
    """Directory for everything that is kept, and for temporary files."""
    max_file_mb: int = Field(default=50, ge=1, le=2_048)
    """Largest file that is fetched or opened, MiB."""
    max_duration_s: float = Field(default=1_800.0, ge=3.0, le=6 * 3_600.0)
    """Longest song, seconds."""
    job_timeout_s: float = Field(default=120.0, ge=1.0, le=3_600.0)
    """Deadline for one song, seconds, from the start of fetching; time in the queue does not count."""
    max_tmp_mb: int = Field(default=1_024, ge=1)
    """Disk space for all fetched files together, MiB."""
    min_free_mb: int = Field(default=256, ge=0)
    """Disk space that always stays free, MiB."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Private `host:port` pairs that may be fetched from, separated by commas."""
    blocked_networks: Annotated[tuple[str, ...], NoDecode] = ()
    """Public networks that may not be fetched from, in CIDR notation, separated by commas."""
    queue_url: SecretStr | None = None
    """PostgreSQL that other machines take songs from (`genregenie worker`); None classifies on this machine."""
    queue_max_jobs: int = Field(default=1_000, ge=1)
    """Songs that may wait in that queue, those of all processes together."""
    ca_file: Path | None = None
    """One more authority to trust when fetching, PEM."""
    ffmpeg: str | None = None
    """The ffmpeg to use; None is the one on the PATH, or else imageio-ffmpeg's."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False

    @field_validator("allowed_hosts", "blocked_networks", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            name, colon, port = host.rpartition(":")
            if not colon or not name or not port.isdigit() or not 0 < int(port) < 65_536:
                raise ValueError(f"{host!r} is not host:port")
        return hosts

    @field_validator("blocked_networks")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is not a network like 2001:db8:aa00::/56") from None
        return networks

    @field_validator("queue_url")
    @classmethod
    def _check_queue(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        given = value.get_secret_value()
        try:
            url = urlsplit(given)
        except ValueError:  # which says what of it is wrong
            raise ValueError("is not the address of a PostgreSQL server") from None
        if url.scheme not in ("postgresql", "postgres"):
            raise ValueError("is not the address of a PostgreSQL server")
        # The driver would take the rest of the password for a host, a port or a name, and show it in its errors.
        if url.netloc.count("@") > 1 or "@" in url.path + url.query or re.search("%(?![0-9A-Fa-f]{2})", given):
            raise ValueError("in a password, /, ?, @ and % are written as %2F, %3F, %40 and %25")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @cached_property
    def max_file_bytes(self) -> int:
        """`max_file_mb` in bytes."""
        return self.max_file_mb * MIB

    def missing(self) -> list[str]:
        """Name what a service cannot start without, though each setting by itself is valid: a line for each."""
        import ssl  # most commands do without

        from core.inference.model_card import model_file

        lines = []
        if self.ca_file is not None:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:  # of which `ssl.SSLError` is one
                reason = "is no PEM file" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
                lines.append(f"GENREGENIE_CA_FILE: {reason}")
        if self.ffmpeg is not None and shutil.which(self.ffmpeg) is None:
            lines.append("GENREGENIE_FFMPEG: does not name a program")
        if self.model is not None:
            try:
                model_file(self.model)
            except ConfigurationError as error:
                lines.append(f"GENREGENIE_MODEL: {error}")
        return lines


class KnownNames:
    """Which variables there are, once somebody who knows all kinds of settings has said so.

    Attributes:
        prefixes: what our variables begin with: others of that kind that nobody reads are misspelt.
        kinds: gives the settings of all faces; None where one of them is not installed, so that nobody can say.
    """

    prefixes: tuple[str, ...] = ("GENREGENIE_",)
    kinds: Callable[[], Iterable[type[Settings]] | None] = staticmethod(lambda: None)


def load_settings(kind: type[SettingsType]) -> SettingsType:
    """Read the settings.

    Raises:
        ConfigurationError: variables are invalid or unknown; the message names all of them, but not their values. Or
            `.env` cannot be read.
    """
    settings, problems = read_settings(kind)
    raise_problems(problems)
    return settings


def read_settings(kind: type[SettingsType]) -> tuple[SettingsType, list[str]]:
    """Read the settings, with defaults in the place of what is wrong, and say in a line each what that is.

    Raises:
        ConfigurationError: they cannot be read at all, or do not fit together.
    """
    from_file = DotEnvSettingsSource(kind, ENV_FILE).env_vars if _is_read_twice(ENV_FILE) else {}
    unknown = _unknown_names(kind, from_file)
    try:
        return kind(), unknown
    except ValidationError as error:
        problems = describe(error, kind).splitlines() + unknown
        wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    defaults = {str(field.validation_alias or name): field.default for name, field in kind.model_fields.items()}
    try:
        return kind(**{name: defaults[name] for name in wrong}), problems
    except ValidationError as error:
        raise ConfigurationError("\n".join([*problems, *describe(error, kind).splitlines()])) from None


def raise_problems(problems: Sequence[str]) -> None:
    """Raise a `ConfigurationError` that names all problems, if there are any; a variable once, with what came first."""
    if problems:
        by_name: dict[str, str] = {}
        for problem in problems:
            by_name.setdefault(problem.partition(":")[0], problem)
        raise ConfigurationError("\n".join(by_name.values()))


def variable_names(kind: type[Settings]) -> set[str]:
    """Names of the variables that settings are read from."""
    prefix = kind.model_config.get("env_prefix", "")
    return {str(field.validation_alias or f"{prefix}{name}").upper() for name, field in kind.model_fields.items()}


def _unknown_names(kind: type[Settings], from_file: Iterable[str]) -> list[str]:
    """Say which variables with our prefixes nobody reads; all faces' are looked up only where one stands out."""
    ours = {name.upper() for name in (*os.environ, *from_file)}
    ours = {name for name in ours if name.startswith(KnownNames.prefixes) and not name.startswith(DEVELOPMENT)}
    unknown = ours - variable_names(kind)
    if not unknown:
        return []
    kinds = KnownNames.kinds()
    if kinds is None:
        return []
    known = variable_names(kind).union(*map(variable_names, kinds))
    return [f"{name}: there is no such setting{_suggestion(name, known)}" for name in sorted(unknown - known)]


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, 1, 0.85)
    return f"; is it {close[0]}?" if close else ""


def _is_read_twice(path: Path) -> bool:
    """Whether there is an `.env` that can be read more than once.

    Raises:
        ConfigurationError: there is a file that cannot be read, or would be read as something else.
    """
    try:
        if path.is_fifo() or path.is_char_device():  # what is read now would be gone; `/dev/null` turns the file off
            return False
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    remedy = "save it as UTF-8 without a byte order mark"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise ConfigurationError(f"{path} is in UTF-16, or no text at all: {remedy}")
    if content.startswith(codecs.BOM_UTF8):
        raise ConfigurationError(f"{path} starts with a byte order mark: {remedy}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not in UTF-8 (line {line}): {remedy}") from None
    return True


def describe(error: ValidationError, kind: type[Settings]) -> str:
    """Describe each invalid variable in one line, without its value, which may be a token."""
    prefix = kind.model_config.get("env_prefix", "")
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        # A field with an alias is reported under that name, a problem of several fields under none.
        name = f"{prefix}{field}: ".upper() if field in kind.model_fields else f"{field}: " if field else ""
        lines.append(name + problem["msg"].removeprefix("Value error, "))
    return "\n".join(lines)
