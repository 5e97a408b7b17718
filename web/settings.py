"""The page's settings, on top of the core's, and the check that it is not exposed without a password."""

import ipaddress
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from core.errors import ConfigurationError
from core.service.admission import AdmissionLimits
from core.settings import Settings

MIN_PASSWORD: Final = 8
MIN_TOKEN: Final = 24


class WebSettings(Settings):
    """What `genregenie web` reads from the environment or `.env`."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8_081, ge=0, le=65_535)
    """Where the page listens; 0 takes any free port. Not the bot's port, so that both run on one machine by default."""
    web_host: str | None = None
    web_port: int | None = Field(default=None, ge=0, le=65_535)
    """The same, without being the bot's health's too: what a page in the bot's process goes by."""
    web_password: SecretStr | None = None
    """Required of every visitor. Must be set unless the page listens on loopback."""
    web_origin: str | None = None
    """Public origin where a reverse proxy on this machine serves the page: `https://genre.example.org`."""
    web_api_token: SecretStr | None = None
    """Opens the HTTP API to programs that have it; None closes the API."""
    web_max_jobs: int = Field(default=32, ge=1, le=256)
    """Songs queued or being classified, in all."""
    web_max_jobs_per_visitor: int = Field(default=4, ge=1, le=64)
    """For one address: songs queued or being classified, and uploads that are not claimed yet."""
    web_cooldown_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """Seconds between two requests from one address."""
    web_requests_per_minute: int = Field(default=240, ge=10)
    """HTTP requests from one address, not counting the page's scripts and styles."""

    @field_validator("web_password")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_PASSWORD:
            raise ValueError(f"must have at least {MIN_PASSWORD} characters")
        return value

    @field_validator("web_api_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_TOKEN:
            raise ValueError(f"must have at least {MIN_TOKEN} characters")
        return value

    @field_validator("web_origin")
    @classmethod
    def _check_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("is not like https://genre.example.org")
        return f"{parts.scheme}://{parts.netloc}".lower()

    def listening(self, host: str | None = None, port: int | None = None, *, in_bot: bool = False) -> "WebSettings":
        """Give the settings whose `http_host` and `http_port` are where the page listens.

        Args:
            host: stronger than any setting.
            port: likewise.
            in_bot: whether the page is in the bot's process, where `GENREGENIE_HTTP_*` is the bot's.
        """
        defaults = type(self).model_fields
        fallback = defaults["http_host"].default if in_bot else self.http_host
        hosts = (host, self.web_host, fallback)
        ports = (port, self.web_port, defaults["http_port"].default if in_bot else self.http_port)
        return self.model_copy(
            update={
                "http_host": next(one for one in hosts if one is not None),
                "http_port": next(one for one in ports if one is not None),
            }
        )

    def missing(self) -> list[str]:
        """Name what the page cannot start without where it listens now."""
        lines = super().missing()
        try:
            check_exposure(self)
        except ConfigurationError as error:
            lines.append(str(error))
        return lines

    @cached_property
    def limits(self) -> AdmissionLimits:
        """Limits for admission: each address is a group of its own, so that visitors take turns."""
        most = self.web_max_jobs_per_visitor
        return AdmissionLimits(self.web_max_jobs, most, most, self.web_cooldown_s)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: WebSettings) -> None:
    """Check that a page which other machines can reach has a password.

    Raises:
        ConfigurationError: it has none.
    """
    if settings.web_password is None and (settings.web_origin is not None or not is_loopback(settings.http_host)):
        reached = settings.web_origin or settings.http_host
        raise ConfigurationError(
            f"GENREGENIE_WEB_PASSWORD: needed, since others can reach the page on {reached}; "
            f"without one it listens on 127.0.0.1 only"
        )
