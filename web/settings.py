"""The page's settings on top of the core's, and who may reach it."""

import ipaddress
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from core.errors import ConfigurationError
from core.service.admission import AdmissionLimits
from core.settings import Settings

MIN_PASSWORD: Final = 8


class WebSettings(Settings):
    """What `genregenie web` reads from the environment or `.env`."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8_081, ge=0, le=65_535)
    """Where the page listens; 0 takes any free port. Not the bot's port, so that both run on one machine by default."""
    web_password: SecretStr | None = None
    """Asked of every visitor. Needed on any address but loopback."""
    web_origin: str | None = None
    """What visitors type where a reverse proxy on this machine stands before the page: `https://genre.example.org`."""
    web_max_jobs: int = Field(default=32, ge=1, le=256)
    """Songs waiting or being heard, in all."""
    web_max_jobs_per_visitor: int = Field(default=4, ge=1, le=64)
    """Songs waiting or being heard, and files sent and not yet heard, for one address."""
    web_cooldown_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """Seconds between two requests from one address."""
    web_requests_per_minute: int = Field(default=240, ge=10)
    """HTTP requests from one address, the page's own scripts and styles not counted."""

    @field_validator("web_password")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_PASSWORD:
            raise ValueError(f"must have at least {MIN_PASSWORD} characters")
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

    @cached_property
    def limits(self) -> AdmissionLimits:
        """For admission: each address is a group of its own, so that turns go round between visitors."""
        most = self.web_max_jobs_per_visitor
        return AdmissionLimits(self.web_max_jobs, most, most, self.web_cooldown_s)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: WebSettings) -> None:
    """Let the page be reached from elsewhere only with a password.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.web_password is None and (settings.web_origin is not None or not is_loopback(settings.http_host)):
        reached = settings.web_origin or settings.http_host
        raise ConfigurationError(
            f"GENREGENIE_WEB_PASSWORD: needed, since others can reach the page on {reached}; "
            f"without one it listens on 127.0.0.1 only"
        )
