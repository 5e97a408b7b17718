"""What the project is made of: pins, their ages, and the advisories that are known of them: `make audit`.

Exit status 1 where a package is not pinned with its hashes or has a known advisory. What cannot be told here, for want
of a network, git or `pip-audit`, is said and is no failure, and neither is a base image without a digest.
"""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PINS: Final = ROOT / "requirements" / "dev.txt"
"""Has every package of every part; the other files are cut from the same versions."""

OLD_DAYS: Final = 90
AUDIT_S: Final = 300.0
DAY_S: Final = 86_400

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_BASE_IMAGE = re.compile(r"^ARG PYTHON=(\S+)", re.MULTILINE)
_OWN_BASE_IMAGE = re.compile(r"^BASE_IMAGE=(\S+)", re.MULTILINE)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement: its version, None where it is not pinned, and how many hashes it has."""

    name: str
    version: str | None
    hashes: int


def read_pins(text: str) -> list[Pin]:
    """Read the requirements of a file that pip reads."""
    logical = re.sub(r"\\\n", " ", text).splitlines()
    pins = []
    for line in logical:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _PIN.match(line)
        name = match["name"] if match else line.split()[0]
        pins.append(Pin(name.lower(), match["version"] if match else None, line.count("--hash=sha256:")))
    return pins


def unsafe(pins: list[Pin]) -> list[str]:
    """Names of what pip could install in another version, or with other contents, than was looked at."""
    return [pin.name for pin in pins if pin.version is None or pin.hashes == 0]


def pin_ages(path: Path, now: float) -> dict[str, int]:
    """Days since each pin was last changed, by git; empty where there is no history."""
    command = ["git", "blame", "--line-porcelain", path.name]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return {}
    ages: dict[str, int] = {}
    changed = now
    for line in done.stdout.splitlines():
        if line.startswith("committer-time "):
            changed = float(line.split()[1])
        elif line.startswith("\t") and (match := _PIN.match(line[1:])):
            ages[match["name"].lower()] = int((now - changed) // DAY_S)
    return ages


def advisories(path: Path) -> list[str] | None:
    """Known advisories, one line each, from `pip-audit`; None where they cannot be asked for."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(path), "-f", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return None
    return [
        f"{package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", [])
    ]


def base_image(dockerfile: str, environment: str = "") -> str:
    """Return the image that ours are made from, as the Dockerfile names it, or the host's `.env`."""
    match = _OWN_BASE_IMAGE.search(environment) or _BASE_IMAGE.search(dockerfile)
    return f"python:{match[1]}" if match else "none"


def has_digest(image: str) -> bool:
    """Whether an image is named by a digest, so that it is the same at each build."""
    return _DIGEST.search(image) is not None


def _own_settings() -> str:
    try:
        return (ROOT / ".env").read_text("utf-8")
    except (OSError, ValueError):
        return ""


def main() -> int:
    """Print what was found."""
    failed = False
    files = sorted(PINS.parent.glob("*.txt"))
    for path in files:
        pins = read_pins(path.read_text("utf-8"))
        loose = unsafe(pins)
        failed = failed or bool(loose)
        print(f"{path.name}: {len(pins)} packages, {'not pinned: ' + ', '.join(loose) if loose else 'all with hashes'}")
    ages = sorted(pin_ages(PINS, time.time()).items(), key=lambda item: -item[1])
    if ages:
        old = [f"{name} ({days})" for name, days in ages if days > OLD_DAYS]
        print(f"pinned {ages[-1][1]} to {ages[0][1]} days ago; over {OLD_DAYS}: {', '.join(old) or 'none'}")
    else:
        print("ages: not known without git's history")
    image = base_image((ROOT / "Dockerfile").read_text("utf-8"), _own_settings())
    remedy = "has no digest and changes with its tag (docs/hosting.md, Pin the base image)"
    print(f"base image: {image} {'is named by its digest' if has_digest(image) else remedy}")
    known = advisories(PINS)
    if known is None:
        print("advisories: not known; `pip install pip-audit`, and a network")
    else:
        print(*(known or ["advisories: none known"]), sep="\n")
    return int(failed or bool(known))


if __name__ == "__main__":
    sys.exit(main())
