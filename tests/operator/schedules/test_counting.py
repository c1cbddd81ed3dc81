"""How a Deployment's runs are counted: by the store, whatever order things come in, and told to Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.builders import NAMESPACE, make_condition, make_deployment, make_flowrun

from towpath_operator import observe
from towpath_operator.metrics import Metrics
from towpath_operator.observe import Key
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView

Body = dict[str, Any]
NIGHTLY = Key("deployments", NAMESPACE, "nightly")


def run(name: str, version: int, state: str | None = None, *, of: str | None = "nightly", ended: str = "") -> Body:
    """Build a run of a Deployment."""
    status = {"completionTime": ended} if ended else {}
    reference = {"deployment_ref": of} if of else {}
    return make_flowrun(name, state=state, status=status, resource_version=str(version), **reference)  # type: ignore[arg-type]


class Seen:
    """A store with its view, as the operator has them."""

    def __init__(self) -> None:
        self.store = Store(INDEXES, listener=self._changed)
        self.view = StoreView(self.store)
        self.marked: list[Key | None] = []

    def _changed(self, _plural: str, old: Any, new: Any) -> None:
        if new is not None:
            self.view.run_changed(old, new)
        self.marked.append(observe.counted_by(old, new))

    def put(self, body: Body) -> None:
        self.store.put("flowruns", body)


def test_live_runs_are_counted_and_the_deployment_is_told_when_their_number_changes() -> None:
    """When one comes, ends or is deleted; not when one merely goes on."""
    seen = Seen()
    for body in (run("a", 1), run("b", 2), run("a", 3, "RUNNING"), run("a", 4, "FAILED", ended="2026-03-01T12:00:00Z")):
        seen.put(body)
    assert seen.view.live_runs_of_deployment(NAMESPACE, "nightly") == 1
    seen.store.drop("flowruns", NAMESPACE, "b", run("b", 2)["metadata"]["uid"])
    assert seen.view.live_runs_of_deployment(NAMESPACE, "nightly") == 0
    assert seen.marked == [NIGHTLY, NIGHTLY, None, NIGHTLY, NIGHTLY]
    assert seen.view.last_success(NAMESPACE, "nightly") is None


def test_the_last_success_is_the_latest_in_whatever_order_they_are_listed() -> None:
    """Of this Deployment's runs, and only of those that COMPLETED."""
    seen = Seen()
    seen.put(run("a", 1, "COMPLETED", ended="2026-03-01T13:00:00Z"))
    seen.put(run("b", 2, "COMPLETED", ended="2026-03-01T12:00:00Z"))
    seen.put(run("c", 3, "FAILED", ended="2026-03-01T14:00:00Z"))
    seen.put(run("d", 4, "COMPLETED", of="other", ended="2026-03-01T15:00:00Z"))
    seen.put(run("e", 5, "COMPLETED", of=None, ended="2026-03-01T16:00:00Z"))
    assert seen.view.last_success(NAMESPACE, "nightly") == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert seen.marked == [None] * 5


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        (make_condition("Scheduled", reason="Scheduled"), 1.0),
        (make_condition("Scheduled", "False", reason="InvalidSchedule"), 0.0),
        (make_condition("Scheduled", "False", reason="RunRefused"), 0.0),
        (make_condition("Scheduled", "False", reason="Suspended"), None),
        (make_condition("Ready"), None),
    ],
    ids=["good", "invalid", "refused", "suspended", "none"],
)
def test_prometheus_is_told_whose_schedules_fail(condition: Body, value: float | None) -> None:
    """By the replica that works; a Deployment that is suspended, has no schedules or is gone is not told of."""
    metrics = Metrics(queue_depth=lambda: 0, version="1")
    labels = {"namespace": NAMESPACE, "deployment": "main-nightly"}
    body = make_deployment(status={"conditions": [condition]})

    def told() -> float | None:
        return metrics.registry.get_sample_value("towpath_deployment_scheduled", labels)

    metrics.schedules.deployment_changed(None, body)
    assert told() is None
    metrics.start_counting()
    assert told() == value
    metrics.schedules.deployment_changed(body, None)
    assert told() is None


def test_lateness_is_from_the_time_that_was_due() -> None:
    """A run that was due half a minute ago is half a minute late; one of a clock that is ahead is on time."""
    metrics = Metrics(queue_depth=lambda: 0, version="1", clock=lambda: 1000.0)
    for second in (970, 1005):
        metrics.schedules.run_scheduled("n", "d", "s", datetime.fromtimestamp(second, UTC))
    labels = {"namespace": "n", "deployment": "d", "schedule": "s"}
    assert metrics.registry.get_sample_value("towpath_schedule_lateness_seconds_sum", labels) == 30
    assert metrics.registry.get_sample_value("towpath_schedule_lateness_seconds_count", labels) == 2
