"""Who may reach the page, and with what."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.settings import load_settings
from tests.web.page import environment
from web.settings import WebSettings, check_exposure, is_loopback


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
    [("WEB_PASSWORD", "short"), ("WEB_ORIGIN", "genre.example.org"), ("WEB_ORIGIN", "https://a.example/path")],
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
