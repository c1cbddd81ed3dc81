"""Alerts and dashboards: valid, tried, and about metrics that there are."""

from __future__ import annotations

import functools
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.helm import dashboard
from tests.helm.chart import CHART, render, run

from towpath_operator.lanes.lanes import Figures
from towpath_operator.metrics import Metrics
from towpath_operator.observe import Key

ROOT = CHART.parents[1]
ALERTS = [rule for group in yaml.safe_load(dashboard.ALERTS.read_text())["groups"] for rule in group["rules"]]
TIME = "2030-01-01T00:00:00.000000Z"
QUERIES = [*dashboard.queries(), *dashboard.alerts()]


@functools.cache
def exported() -> dict[str, set[str]]:
    """Let the operator's metrics see a run through its life, and read off what they export: series and their labels."""
    run: dict[str, Any] = {"metadata": {"namespace": "n", "creationTimestamp": TIME}, "spec": {}}
    pending = {**run, "status": {"attempt": 1, "state": {"type": "PENDING", "since": TIME}}}
    retried = {**run, "status": {"infraFailures": 1, "startTime": TIME, "state": {"type": "RUNNING", "since": TIME}}}
    done = {**run, "status": {"startTime": TIME, "completionTime": TIME, "state": {"type": "COMPLETED", "since": TIME}}}
    metrics = Metrics(queue_depth=lambda: 0, version="0")
    metrics.start_counting()
    for old, new in ((None, pending), (pending, retried), (retried, done), (None, pending)):
        metrics.run_changed(old, new)
    queue, limit = Key("queues", "n", "q"), Key("concurrencylimits", "n", "l")
    metrics.lanes.ask(lambda: [Figures(queue, 1, 1, 1, 0.0), Figures(limit, 1, 1, 1, None)])
    metrics.schedules.run_scheduled("n", "d", "s", datetime.now(UTC))
    metrics.schedules.runs_missed("n", "d", "s", 1)
    scheduled = {"type": "Scheduled", "status": "True", "reason": "Scheduled"}
    metrics.schedules.deployment_changed(None, {**run, "status": {"conditions": [scheduled]}})
    metrics.run_retried(retried, "NodeLost")
    metrics.automations.changed(None, {**run, "status": {"pending": [{"taken": TIME}]}})
    metrics.automations.over("n", "a", "given_up", 1)
    metrics.automations.attempted("n", "a", "http_5xx")
    metrics.reconciled("FlowRun", 0.1)
    metrics.reconcile_failed("FlowRun")
    metrics.api_request("get", "flowruns", "200", 0.1)
    metrics.heard("flowruns")
    return {sample.name: set(sample.labels) for family in metrics.registry.collect() for sample in family.samples}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_queries_ask_for_what_there_is(query: dashboard.Query) -> None:
    """Every series in an alert or a dashboard is exported by the operator, with the labels that the query expects."""
    asked = query.metrics()
    assert asked, query.expr
    for name, labels in asked.items():
        assert name in exported()
        # Prometheus adds the namespace of the operator's own pod to series that have none.
        assert labels <= exported()[name] | {"namespace"}, name


@pytest.mark.cluster
def test_alerts_fire_when_they_should() -> None:
    """promtool finds every alert firing, pending or silent as test_alerts.yaml says."""
    done = run("promtool", "test", "rules", ROOT / "tests/helm/test_alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    """test_alerts.yaml lets every alert fire once with its words, and leaves it silent once."""
    tests = yaml.safe_load((ROOT / "tests/helm/test_alerts.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    names = {rule["alert"] for rule in ALERTS}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alerts_say_what_to_do(rule: dict[str, object]) -> None:
    """An alert has a severity, a summary, something to type, and a place in the documentation that exists."""
    labels, annotations = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(annotations, dict)
    assert labels["severity"] in {"warning", "critical"}
    assert annotations["summary"].endswith(".")
    assert "kubectl " in annotations["description"]
    page, _, anchor = annotations["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.cluster
def test_rule_resource_holds_the_alerts() -> None:
    """The PrometheusRule holds the very groups that promtool tried."""
    made = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")
    assert made["spec"] == yaml.safe_load(dashboard.ALERTS.read_text())


@pytest.mark.cluster
def test_config_maps_hold_the_dashboards() -> None:
    """Each dashboard travels whole, under the label that Grafana's sidecar looks for."""
    made = render({"dashboards": {"enabled": True}}).of("ConfigMap")
    files = {name: json.loads(text) for body in made for name, text in body["data"].items()}
    assert files == {path.name: json.loads(path.read_text()) for path in dashboard.DASHBOARDS}
    assert all(body["metadata"]["labels"]["grafana_dashboard"] == "1" for body in made)


@pytest.mark.cluster
def test_monitor_finds_the_service() -> None:
    """The ServiceMonitor selects the metrics Service and keeps the runs' own namespace label."""
    rendered = render({"serviceMonitor": {"enabled": True}})
    spec = rendered.one("ServiceMonitor")["spec"]
    service = rendered.one("Service", "towpath-operator-metrics")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert spec["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    assert [(end["port"], end["honorLabels"]) for end in spec["endpoints"]] == [
        (service["spec"]["ports"][0]["name"], True)
    ]


@pytest.mark.parametrize("path", dashboard.DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard_is_sound(path: Path) -> None:
    """Panels have a title, a description, a unit, ids of their own and places that do not overlap; all use the chosen data source."""
    board = json.loads(path.read_text())
    assert board["uid"]
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "namespace", "flow"}
    found = list(dashboard.panels(board))
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            assert sources == {"${datasource}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('x{namespace=~"$namespace"}', 'x{namespace=~".*"}'),
        ("rate(x[$__rate_interval])", "rate(x[2m])"),
        ("${flow}", ".*"),
    ],
)
def test_substitute(text: str, expected: str) -> None:
    """Variables are filled in the ways that Grafana writes them."""
    assert dashboard.substitute(text) == expected


def test_substitute_unknown() -> None:
    """A variable that nobody defined is an error, not an empty panel."""
    with pytest.raises(KeyError, match="cluster"):
        dashboard.substitute("x{cluster=~'$cluster'}")
