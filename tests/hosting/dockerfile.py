"""Reads the Dockerfile: its stages and their instructions."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.data import ROOT

DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Stage:
    """One stage: what it starts from, and its instructions as `(word, rest of the line)`."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for step, rest in self.steps if step == word]


def read_stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """Return the stages by name."""
    joined = path.read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, as_, name = rest.split()
            assert as_ == "AS", "every stage has a name"
            current = stages[name] = Stage(name, base)
        elif current is not None:
            current.steps.append((word, rest.strip()))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """Return a stage and those that it starts from, the first one first."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def copied(stage: Stage) -> list[str]:
    """Return what a stage copies out of the project's folder."""
    sources: list[str] = []
    for rest in stage.all("COPY"):
        words = shlex.split(rest)
        if not words[0].startswith("--from="):
            sources += words[:-1]
    return sources
