"""Every query of the chart's dashboards and alerts, ready to be sent to a Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FILES: Final = Path(__file__).resolve().parents[2] / "helm" / "towpath" / "files"
DASHBOARDS: Final = tuple(sorted((FILES / "dashboards").glob("*.json")))
ALERTS: Final = FILES / "alerts.yaml"
#: What Grafana puts in place of its variables: everything chosen, and four scrapes of 30 seconds.
VARIABLES: Final = {"namespace": ".*", "flow": ".*", "__rate_interval": "2m"}

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LABEL_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")
#: A metric, and the selector behind it.
_METRIC = re.compile(r"\b(towpath_\w+)(?:\{([^}]*)\})?")
_SELECTED = re.compile(r"(\w+) *(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on) *\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and where it is asked."""

    where: str
    expr: str
    """PromQL, with Grafana's variables substituted."""

    def metrics(self) -> dict[str, set[str]]:
        """Give the metrics asked for, each with the labels that the query expects of it."""
        grouped = {
            label.strip() for group in _GROUPED.findall(self.expr) for label in group.split(",") if label.strip()
        }
        asked: dict[str, set[str]] = {}
        for name, selector in _METRIC.findall(self.expr):
            asked.setdefault(name, set(grouped)).update(_SELECTED.findall(selector))
        return asked


def substitute(text: str, variables: dict[str, str] | None = None) -> str:
    """Put values in place of Grafana's variables; KeyError for one that nobody knows."""
    known = {**VARIABLES, **(variables or {})}
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], text)


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the panels of a dashboard, those inside rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries(variables: dict[str, str] | None = None) -> list[Query]:
    """List every query of every dashboard: panels, and what fills the variables.

    Args:
        variables: values by name, over those that choose everything.
    """
    found = []
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                selector = _LABEL_VALUES.fullmatch(variable["query"]["query"])
                assert selector, variable["query"]
                found.append(
                    Query(
                        f"{path.stem}: variable {variable['name']}",
                        f"count by ({selector[2]}) ({substitute(selector[1], variables)})",
                    )
                )
        found += [
            Query(f"{path.stem}: {panel['title']} {target['refId']}", substitute(target["expr"], variables))
            for panel in panels(dashboard)
            for target in panel.get("targets", ())
        ]
    return found


def alerts() -> list[Query]:
    """List the expression of every alert."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [Query(f"alert {rule['alert']}", rule["expr"]) for group in groups for rule in group["rules"]]
