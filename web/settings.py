"""The page's settings, on top of the core's, and the check that it is not exposed without a password."""

import ipaddress
import struct
from functools import cache, cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from core.errors import ConfigurationError
from core.service.admission import AdmissionLimits
from core.settings import Settings

MIN_PASSWORD: Final = 8
MIN_TOKEN: Final = 24
GATEWAY: Final = "gateway"
_RTF_GATEWAY: Final = 2


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
    web_trusted_proxy: str | None = None
    """Where that reverse proxy's connections come from if not from loopback: an address, a network, or `gateway`, this
    machine's router, which is the host where the page runs in a container."""
    web_api_token: SecretStr | None = None
    """Opens the HTTP API to programs that have it; None closes the API."""
    web_max_jobs: int = Field(default=32, ge=1, le=256)
    """Songs queued or being classified, in all."""
    web_max_jobs_per_visitor: int = Field(default=4, ge=1, le=64)
    """For one address: songs queued or being classified, and uploads that are not claimed yet."""
    web_cooldown_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """Seconds between two requests from one address."""
    web_requests_per_minute: int = Field(default=240, ge=10)
    """HTTP requests from one address, not counting the page's scripts and styles. How songs are getting on, and what
    they look and sound like, is counted apart, up to ten times as often."""

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

    @field_validator("web_trusted_proxy")
    @classmethod
    def _check_proxy(cls, value: str | None) -> str | None:
        if value is not None and value != GATEWAY:
            try:
                ipaddress.ip_network(value)
            except ValueError:
                raise ValueError(f"is not {GATEWAY} or an address like 192.0.2.1") from None
        return value

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


def is_reverse_proxy(address: str, settings: WebSettings) -> bool:
    """Whether a connection from an address is that of our own reverse proxy, which is believed who its visitors are."""
    if settings.web_origin is None:
        return False
    trusted = settings.web_trusted_proxy
    if trusted == GATEWAY:
        trusted = default_gateway()
    if is_loopback(address) or trusted is None:
        return is_loopback(address)
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(trusted)
    except ValueError:
        return False


@cache
def default_gateway(routes: Path = Path("/proc/net/route")) -> str | None:
    """Read the IPv4 router of this machine or container; None where there is none, or the system does not tell."""
    try:
        lines = routes.read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        _, destination, gateway, flags, *_ = line.split()
        if int(destination, 16) == 0 and int(flags, 16) & _RTF_GATEWAY:
            return str(ipaddress.IPv4Address(struct.pack("=I", int(gateway, 16))))
    return None


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
