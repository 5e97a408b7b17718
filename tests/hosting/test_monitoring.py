"""Dashboard and alert rules against the metrics that the bot shows."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from bot.monitoring import QUEUE_COUNTERS, AdmissionCollector, Metrics, QueueCollector, WorkersCollector
from bot.settings import BotSettings
from core.proxy.proxy import FetchProxy
from core.queue.database import QueueState
from core.service.admission import Admission
from core.workers.pool import WorkerPool
from tests.support.data import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]

PANELS = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]}
EXPRESSIONS = [expr for exprs in PANELS.values() for expr in exprs] + [rule["expr"] for rule in RULES]
NAME = re.compile(r"\bgenregenie_\w+")
LABELS_OF_A_SCRAPE = {"instance", "job", "le"}


@pytest.fixture(scope="module")
def shown() -> dict[str, set[str]]:
    """Samples that `/metrics` may show, each with its labels."""
    settings = BotSettings(_env_file=None)  # type: ignore[call-arg]
    metrics = Metrics()
    proxy = FetchProxy()
    proxy.refusals["private"] += 1
    metrics.registry.register(AdmissionCollector(Admission(settings.limits, slots=1)))
    metrics.registry.register(WorkersCollector(WorkerPool(settings), proxy))
    metrics.registry.register(QueueCollector(QueueState, dict.fromkeys(QUEUE_COUNTERS, int)))
    metrics.requests.labels("slash", "verdict").inc()
    metrics.steps.labels("decode").observe(1)
    text = generate_latest(metrics.registry).decode()
    samples: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(genregenie_\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        samples.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return samples


def test_there_are_expressions_to_check() -> None:
    assert len(PANELS) >= 10
    assert len(RULES) >= 6
    assert all(exprs and all(exprs) for exprs in PANELS.values())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_that_there_are(expression: str, shown: dict[str, set[str]]) -> None:
    assert set(NAME.findall(expression)) <= shown.keys()
    for name, selector in re.findall(r"(genregenie_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*=", selector)) <= shown[name] | LABELS_OF_A_SCRAPE


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_sorts_by_labels_that_there_are(expression: str, shown: dict[str, set[str]]) -> None:
    known = {label for name in NAME.findall(expression) for label in shown[name]} | LABELS_OF_A_SCRAPE
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= known


def test_every_metric_is_on_the_dashboard(shown: dict[str, set[str]]) -> None:
    asked = {name for exprs in PANELS.values() for expr in exprs for name in NAME.findall(expr)}
    there = {name for name in shown if not name.endswith("_created")}
    assert _families(there) == _families(asked)


def _families(names: set[str]) -> set[str]:
    """Return a histogram's three samples as one."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_the_dashboard_lets_choose_every_bot_and_worker(shown: dict[str, set[str]]) -> None:
    """Also a bot that has a queue, and no workers of its own."""
    (chosen,) = (one["definition"] for one in DASHBOARD["templating"]["list"] if one["name"] == "instance")
    of_everybody = {name for name in shown if name.startswith("genregenie_event_loop_lag_seconds")}
    assert set(NAME.findall(chosen)) <= of_everybody
    assert NAME.findall(chosen)


def test_panels_do_not_overlap() -> None:
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_what_is_wrong_and_where() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert "$labels.instance" in rule["annotations"]["description"]
