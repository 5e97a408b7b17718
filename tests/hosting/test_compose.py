"""compose.yaml, and what is laid over it."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from bot.settings import BotSettings
from core.settings import variable_names
from tests.hosting.dockerfile import DOCKERFILE, read_stages
from tests.support.data import ROOT
from web.settings import WebSettings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FILES = [ROOT / "compose.yaml", *sorted((ROOT / "deploy").glob("*.yaml"))]


def test_the_files_follow_the_schema_of_compose() -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema, of the development requirements")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, *FILES], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"] > 0
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert not {"privileged", "cap_add", "devices", "user"} & service.keys()
    assert service["logging"]["options"]["max-size"], "the log must not grow for ever"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_built_from_a_stage_of_its_own_and_keeps_its_data_in_a_volume(name: str) -> None:
    service = SERVICES[name]
    assert service["build"]["target"] == name
    assert name in read_stages()
    [mount] = service["volumes"]
    volume, target = mount.split(":")
    assert volume in COMPOSE["volumes"]
    assert target == service["environment"]["GENREGENIE_DATA_DIR"]


def test_the_base_image_can_be_pinned_and_is_the_dockerfiles_otherwise() -> None:
    [default] = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    for service in SERVICES.values():
        assert service["build"]["args"] == {"PYTHON": f"${{BASE_IMAGE:-{default}}}"}


def test_only_this_machine_reaches_the_bots_health() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["bot"]["ports"])


def test_the_page_starts_only_when_asked_for_and_never_sees_the_token() -> None:
    page = SERVICES["page"]
    assert page["profiles"] == ["page"]
    assert "env_file" not in page
    assert "DISCORD" not in str(page)


def test_the_page_has_a_network_of_its_own_that_this_machine_alone_reaches() -> None:
    bot, page = SERVICES["bot"], SERVICES["page"]
    assert page["ports"] == ["${PAGE_HOST:-127.0.0.1}:8081:8081"]
    assert page["environment"]["GENREGENIE_HTTP_PORT"] == "8081"
    assert set(page["networks"]) <= COMPOSE["networks"].keys()
    assert not set(page["networks"]) & set(bot.get("networks", ["default"]))
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_setting_of_the_example_reaches_the_service_that_reads_it() -> None:
    assert SERVICES["bot"]["env_file"] == [".env"]
    page = SERVICES["page"]["environment"]
    assert page.keys() == variable_names(WebSettings)
    own = {"GENREGENIE_DATA_DIR", "GENREGENIE_HTTP_HOST", "GENREGENIE_HTTP_PORT", "GENREGENIE_WEB_TRUSTED_PROXY"}
    own |= {"GENREGENIE_WEB_HOST", "GENREGENIE_WEB_PORT"}  # what is published leads there, whatever `.env` says
    assert page["GENREGENIE_WEB_HOST"] == page["GENREGENIE_HTTP_HOST"]
    assert page["GENREGENIE_WEB_PORT"] == page["GENREGENIE_HTTP_PORT"]
    for name in page.keys() - own:
        assert page[name] == f"${{{name}:-}}"


def test_the_page_in_the_bots_process_is_reached_as_the_page_alone_is() -> None:
    text = (ROOT / "deploy" / "page-in-bot.yaml").read_text("utf-8")
    bot, page = yaml.safe_load(text)["services"]["bot"], SERVICES["page"]
    assert bot["ports"] == page["ports"]  # added to the bot's own
    environment = {**SERVICES["bot"]["environment"], **bot["environment"]}
    assert environment["GENREGENIE_WEB"] == "1"
    assert environment["GENREGENIE_WEB_HOST"] == page["environment"]["GENREGENIE_HTTP_HOST"]
    assert environment["GENREGENIE_WEB_PORT"] == page["environment"]["GENREGENIE_HTTP_PORT"]
    assert environment["GENREGENIE_WEB_TRUSTED_PROXY"] == page["environment"]["GENREGENIE_WEB_TRUSTED_PROXY"]
    assert environment.keys() <= variable_names(BotSettings) | variable_names(WebSettings)


def test_the_postgresql_beside_the_workers_is_confined_keeps_its_data_and_is_reached_by_all_of_them() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "postgresql.yaml").read_text("utf-8"))
    service = compose["services"].pop("postgresql")
    assert service["profiles"] == SERVICES["worker"]["profiles"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == SERVICES["bot"]["security_opt"]
    assert service["user"] == "postgres"
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["logging"] == SERVICES["bot"]["logging"]
    assert service["ports"] == ["${POSTGRES_HOST:-127.0.0.1}:5432:5432"]
    assert "POSTGRES_PASSWORD:?" in service["environment"]["POSTGRES_PASSWORD"], "there is no password by default"
    [volume] = service["volumes"]
    assert volume.split(":") == [*compose["volumes"], "/var/lib/postgresql/data"]
    networks = {network for one in SERVICES.values() for network in one.get("networks", ["default"])}
    assert set(service["networks"]) == networks
    # What joins a queue needs what the queue needs.
    for name, changed in compose["services"].items():
        assert name in SERVICES
        assert changed["image"] == SERVICES["worker"]["image"]
        assert changed["build"]["target"] == SERVICES["worker"]["build"]["target"]


def test_the_page_on_the_workers_image_is_asked_whether_it_takes_connections() -> None:
    """That image's own health check asks for `/healthz`, which the page does not have."""
    [asked] = re.findall(
        r"create_connection\(\('127\.0\.0\.1', .*?\b(\d+)\)", read_stages()["page"].all("HEALTHCHECK")[0]
    )
    assert f"create_connection(('127.0.0.1', {asked}), 4)" in SERVICES["page"]["healthcheck"]["test"][-1]
    assert asked == SERVICES["page"]["environment"]["GENREGENIE_WEB_PORT"]


def test_the_settings_that_it_makes_are_settings() -> None:
    known = {f"GENREGENIE_{name}".upper() for kind in (BotSettings, WebSettings) for name in kind.model_fields}
    for service in SERVICES.values():
        assert set(service["environment"]) <= known


def test_a_worker_may_finish_what_it_has() -> None:
    worker = SERVICES["worker"]
    assert worker["profiles"] == ["scale"]
    drain_s = BotSettings.model_fields["drain_s"].default
    assert float(worker["stop_grace_period"].removesuffix("s")) >= drain_s + 20


def test_there_is_time_to_finish_what_runs() -> None:
    from bot.app import CLOSE_S, FINISH_S

    for service in SERVICES.values():
        assert float(service["stop_grace_period"].removesuffix("s")) > FINISH_S + CLOSE_S + 5
