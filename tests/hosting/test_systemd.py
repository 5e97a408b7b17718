"""The systemd units, by systemd's own judgement."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import ROOT

BOT, PAGE = (ROOT / "deploy" / name for name in ("genregenie.service", "genregenie-page.service"))
each_unit = pytest.mark.parametrize("unit", [BOT, PAGE], ids=lambda unit: unit.stem)
MOST_EXPOSED = 2.0
"""Of ten. A unit without protection has 9.6."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@needs_systemd
@each_unit
def test_systemd_finds_nothing_wrong_with_it(unit: Path, tmp_path: Path) -> None:
    # Its program is not on this machine; this Python is.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/genregenie/.venv/bin/python", sys.executable))
    told = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60)
    assert told.stderr == ""
    assert told.returncode == 0


@needs_systemd
@each_unit
def test_systemd_sees_it_well_protected(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    exposure = re.search(r"exposure level for .*?: ([\d.]+)", told.stdout)
    assert exposure, told.stderr
    assert float(exposure[1]) <= MOST_EXPOSED
    assert told.returncode == 0


@each_unit
def test_it_may_write_to_its_state_only_and_is_not_started_again_with_a_wrong_setting(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    service = parser["Service"]
    assert service["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in service
    assert f"GENREGENIE_DATA_DIR=/var/lib/{service['StateDirectory']}" in service["Environment"]
    assert service["RestartPreventExitStatus"] == "2"
    assert service.get("User", "root") != "root" or service["DynamicUser"] == "yes"
    assert int(service["TimeoutStopSec"]) > 20


def test_the_page_does_not_know_the_token() -> None:
    assert "/etc/genregenie.env" in BOT.read_text()
    assert "/etc/genregenie.env" not in PAGE.read_text()


def test_the_command_for_the_owner_runs_as_the_service_does() -> None:
    script, unit = (ROOT / "deploy" / "genregenie.sh").read_text(), BOT.read_text()
    for line in ("User=genregenie", "StateDirectory=genregenie", "EnvironmentFile=/etc/genregenie.env"):
        assert f"--property={line}" in script
        assert f"\n{line}\n" in unit
    assert subprocess.run(["sh", "-n", str(ROOT / "deploy" / "genregenie.sh")], check=False).returncode == 0
