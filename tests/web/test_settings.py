"""Who may reach the page, and with what."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.settings import load_settings
from tests.web.page import environment
from web.app import warn_of_exposure
from web.settings import WebSettings, check_exposure, default_gateway, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_password(host: str) -> None:
    assert is_loopback(host)
    check_exposure(WebSettings(http_host=host))


@pytest.mark.parametrize(
    "given",
    [{"http_host": "0.0.0.0"}, {"http_host": "192.168.1.5"}, {"http_host": "::"}, {"http_host": "home.example"}],
)
def test_another_address_needs_a_password(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="GENREGENIE_WEB_PASSWORD"):
        check_exposure(WebSettings(**given))
    check_exposure(WebSettings(**given, web_password="long enough"))


def test_a_proxy_before_the_page_needs_a_password_too() -> None:
    with pytest.raises(ConfigurationError, match="GENREGENIE_WEB_PASSWORD"):
        check_exposure(WebSettings(web_origin="https://genre.example.org"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEB_PASSWORD", "short"), ("WEB_ORIGIN", "genre.example.org"), ("WEB_ORIGIN", "https://a.example/path")]
    + [("WEB_TRUSTED_PROXY", "caddy")],
)
def test_what_does_not_fit_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"GENREGENIE_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(WebSettings)
    assert f"GENREGENIE_{name}" in str(refused.value)
    if name == "WEB_PASSWORD":
        assert value not in str(refused.value)


def test_the_command_refuses_to_open_the_page_to_others_without_a_password(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genregenie", "web", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "GENREGENIE_WEB_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gateway_is_the_default_routes(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    little = sys.byteorder == "little"
    gateway, network = ("0100020A", "0000020A") if little else ("0A020001", "0A020000")
    routes.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
        f"eth0\t{network}\t00000000\t0001\t0\t0\t0\t00FFFFFF\neth0\t00000000\t{gateway}\t0003\t0\t0\t0\t00000000\n"
    )
    assert default_gateway(routes) == "10.2.0.1"
    assert default_gateway(tmp_path / "none") is None


@pytest.mark.parametrize(("host", "is_warned"), [("127.0.0.1", False), ("192.168.1.5", False), ("8.8.8.8", True)])
def test_a_page_that_the_internet_reaches_is_warned_of(
    caplog: pytest.LogCaptureFixture, host: str, is_warned: bool
) -> None:
    warn_of_exposure(WebSettings(http_host=host))
    assert (host in caplog.text) == is_warned
