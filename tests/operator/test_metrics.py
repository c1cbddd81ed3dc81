"""Metrics: exact names, bounded labels, counted once."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.builders import make_condition, make_deployment, make_flow, make_flowrun, make_state

from towpath.states import Reason
from towpath_operator.lanes.lanes import Figures
from towpath_operator.metrics import Metrics, pending_since, reason_of
from towpath_operator.observe import Key

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
RUN = ("namespace", "flow", "deployment")
#: What the chart's alerts and dashboards rely on.
PROMISED = {
    "towpath_flowruns": ("gauge", *RUN, "state"),
    "towpath_flowruns_finished_total": ("counter", *RUN, "state", "reason"),
    "towpath_flowruns_removed_total": ("counter", *RUN),
    "towpath_flowrun_duration_seconds": ("histogram", *RUN, "state"),
    "towpath_flowrun_start_latency_seconds": ("histogram", *RUN),
    "towpath_flowruns_oldest_pending_timestamp_seconds": ("gauge", *RUN),
    "towpath_flowrun_last_success_timestamp_seconds": ("gauge", *RUN),
    "towpath_flowrun_infra_retries_total": ("counter", *RUN, "reason"),
    "towpath_flowrun_slot_wait_seconds": ("histogram", *RUN),
    "towpath_queue_runs": ("gauge", "namespace", "queue", "state"),
    "towpath_queue_oldest_waiting_timestamp_seconds": ("gauge", "namespace", "queue"),
    "towpath_concurrency_limit_slots": ("gauge", "namespace", "limit", "state"),
    "towpath_schedule_lateness_seconds": ("histogram", "namespace", "deployment", "schedule"),
    "towpath_schedule_missed_total": ("counter", "namespace", "deployment", "schedule"),
    "towpath_deployment_scheduled": ("gauge", "namespace", "deployment"),
    "towpath_automation_triggered_total": ("counter", "namespace", "automation"),
    "towpath_automation_oldest_waiting_timestamp_seconds": ("gauge", "namespace", "automation"),
    "towpath_automation_actions_total": ("counter", "namespace", "automation", "outcome"),
    "towpath_automation_deliveries_total": ("counter", "namespace", "automation", "outcome"),
    "towpath_automation_delivery_lag_seconds": ("histogram", "namespace", "automation"),
    "towpath_admission_reviews_total": ("counter", "kind", "answer"),
    "towpath_admission_review_seconds": ("histogram",),
    "towpath_operator_reconcile_duration_seconds": ("histogram", "kind"),
    "towpath_operator_reconcile_errors_total": ("counter", "kind"),
    "towpath_operator_queue_depth": ("gauge",),
    "towpath_operator_api_requests_total": ("counter", "verb", "resource", "code"),
    "towpath_operator_api_request_duration_seconds": ("histogram", "verb", "resource"),
    "towpath_operator_watch_last_event_timestamp_seconds": ("gauge", "resource"),
    "towpath_operator_leader": ("gauge",),
    "towpath_operator_info": ("gauge", "version"),
}
LANES = (
    Figures(Key("queues", "team-a", "nightly"), limit=2, active=2, waiting=5, oldest=1600.0),
    Figures(Key("concurrencylimits", "team-a", "db"), limit=3, active=1, waiting=0, oldest=None),
)
LABELS = {"namespace": "team-a", "flow": "etl", "deployment": "nightly"}


def make_run(state: str | None = None, reason: str | None = None, name: str = "run-1", **status: Any) -> dict[str, Any]:
    """Build a run of the flow etl by the deployment nightly."""
    if state:
        status["state"] = make_state(state, reason=reason)
    return make_flowrun(name, deployment_ref="nightly", status={"flow": "etl", **status})


class Fixture:
    """Metrics over a list of runs."""

    def __init__(self, *, counting: bool = True) -> None:
        self.metrics = Metrics(queue_depth=lambda: 3, version="1.2.3", clock=lambda: 1700.0)
        if counting:
            self.metrics.start_counting()

    def value(self, name: str, labels: dict[str, str] | None = None) -> float | None:
        return self.metrics.registry.get_sample_value(name, LABELS if labels is None else labels)


def exercised() -> Fixture:
    """Give metrics of which each has a sample."""
    fixture = Fixture()
    metrics = fixture.metrics
    metrics.run_changed(None, make_run("PENDING", "JobCreated", name="waits"))
    metrics.run_retried(make_run("SCHEDULED", "AwaitingRetry", infraFailures=1), "OutOfMemory")
    times = {"startTime": "2026-03-01T12:00:00Z", "completionTime": "2026-03-01T12:00:30Z"}
    metrics.run_changed(make_run(), make_run("COMPLETED", "Succeeded", **times))
    metrics.run_removed(make_run("COMPLETED", "Succeeded", **times))
    metrics.lanes.ask(lambda: LANES)
    metrics.run_changed(make_run("SCHEDULED", "AwaitingConcurrencySlot"), make_run("PENDING", "JobCreated"))
    metrics.schedules.run_scheduled("team-a", "nightly", "early", datetime(1970, 1, 1, tzinfo=UTC))
    metrics.schedules.runs_missed("team-a", "nightly", "early", 2)
    scheduled = make_condition("Scheduled")
    metrics.schedules.deployment_changed(None, make_deployment(status={"conditions": [scheduled]}))
    waiting = {"status": {"pending": [{"taken": "2026-03-01T12:00:00Z"}]}}
    metrics.automations.changed(None, {"metadata": {"namespace": "team-a", "name": "tell"}} | waiting)
    metrics.automations.triggered("team-a", "tell", 1)
    metrics.automations.over("team-a", "tell", "done", 1)
    metrics.automations.attempted("team-a", "tell", "delivered")
    metrics.automations.delivered("team-a", "tell", 0.2)
    metrics.admission.reviewed("FlowRun", "refused", 0.001)
    metrics.reconciled("FlowRun", 0.01)
    metrics.reconcile_failed("FlowRun")
    metrics.api_request("create", "jobs", "201", 0.01)
    metrics.heard("jobs")
    return fixture


def test_the_promised_metrics_are_there() -> None:
    """Each metric has the promised name, type and labels, and there are no others."""
    text = generate_latest(exercised().metrics.registry).decode()
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert types == {name: kind for name, (kind, *_) in PROMISED.items()}
    for name, (kind, *labels) in PROMISED.items():
        sample = f"{name}_bucket" if kind == "histogram" else name
        found = re.search(rf"^{sample}(?:{{(.*)}})? ", text, re.MULTILINE)
        assert found, name
        assert set(re.findall(r"(\w+)=", found[1] or "")) - {"le"} == set(labels), name


@pytest.mark.parametrize("name", PROMISED)
def test_each_metric_is_documented(name: str) -> None:
    """The reference has a row for each metric, with its type and labels."""
    kind, *labels = PROMISED[name]
    assert f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} |" in REFERENCE.read_text()


def test_the_reference_has_nothing_else() -> None:
    """A metric that is gone is gone from the reference too."""
    assert set(re.findall(r"^\| `(towpath_\w+)`", REFERENCE.read_text(), re.MULTILINE)) == set(PROMISED)


def test_runs_are_counted_by_state() -> None:
    """The gauge is what exists: a run counts in its latest state, one that nobody has looked at as SCHEDULED."""
    fixture = Fixture()
    for name, state in (("a", "RUNNING"), ("b", "RUNNING"), ("c", "COMPLETED"), ("d", None)):
        fixture.metrics.run_changed(None, make_run(state, name=name))
    assert fixture.value("towpath_flowruns", LABELS | {"state": "RUNNING"}) == 2
    assert fixture.value("towpath_flowruns", LABELS | {"state": "COMPLETED"}) == 1
    assert fixture.value("towpath_flowruns", LABELS | {"state": "SCHEDULED"}) == 1
    fixture.metrics.run_changed(make_run("RUNNING", name="a"), make_run("COMPLETED", name="a"))
    fixture.metrics.run_changed(make_run("RUNNING", name="b"), None)
    assert fixture.value("towpath_flowruns", LABELS | {"state": "RUNNING"}) is None
    assert fixture.value("towpath_flowruns", LABELS | {"state": "COMPLETED"}) == 2


def test_the_oldest_pending_run_counts_since_it_became_pending() -> None:
    """A new reason for waiting does not start the wait anew; an earlier attempt's wait does not count."""

    def entry(type_: str, minute: int, attempt: int) -> dict[str, Any]:
        return {"type": type_, "name": type_, "at": f"2026-03-01T12:{minute:02}:00Z", "attempt": attempt}

    history = [
        entry("PENDING", 0, 1),
        entry("SCHEDULED", 1, 2),
        entry("PENDING", 2, 2),
        entry("PENDING", 3, 2),
    ]
    run = make_run("PENDING", "Unschedulable", attempt=2, history=history)
    since = pending_since(run)
    assert since
    assert since.isoformat() == "2026-03-01T12:02:00+00:00"
    fixture, other = Fixture(), make_run("PENDING", "JobCreated", name="since-noon")
    fixture.metrics.run_changed(None, run)
    fixture.metrics.run_changed(None, other)
    assert fixture.value("towpath_flowruns_oldest_pending_timestamp_seconds") == since.timestamp() - 120
    fixture.metrics.run_changed(other, None)
    assert fixture.value("towpath_flowruns_oldest_pending_timestamp_seconds") == since.timestamp()
    fixture.metrics.run_changed(run, make_run("RUNNING"))
    assert fixture.value("towpath_flowruns_oldest_pending_timestamp_seconds") is None


def test_an_end_is_counted_once() -> None:
    """The step to an end counts with its reason and duration; what is written afterwards does not count again."""
    fixture = Fixture()
    times = {"startTime": "2026-03-01T12:00:00Z", "completionTime": "2026-03-01T12:00:42Z"}
    running, ended = make_run("RUNNING", startTime=times["startTime"]), make_run("FAILED", "FlowFailed", **times)
    fixture.metrics.run_changed(running, ended)
    fixture.metrics.run_changed(ended, ended)
    end = LABELS | {"state": "FAILED"}
    assert fixture.value("towpath_flowruns_finished_total", end | {"reason": "FlowFailed"}) == 1
    assert fixture.value("towpath_flowrun_duration_seconds_count", end) == 1
    assert fixture.value("towpath_flowrun_duration_seconds_sum", end) == 42
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") is None


def test_an_end_without_a_start_has_no_duration() -> None:
    """A run that never ran is counted as ended, and not as one of no seconds."""
    fixture = Fixture()
    ended = make_run("FAILED", "InvalidParameters", completionTime="2026-03-01T12:00:42Z")
    fixture.metrics.run_changed(make_run(), ended)
    end = LABELS | {"state": "FAILED"}
    assert fixture.value("towpath_flowruns_finished_total", end | {"reason": "InvalidParameters"}) == 1
    assert fixture.value("towpath_flowrun_duration_seconds_count", end) is None


def test_how_full_queues_and_limits_are() -> None:
    """Runs at work and runs that wait of a queue; slots that there are and that are taken of a limit."""
    fixture = Fixture()
    fixture.metrics.lanes.ask(lambda: LANES)
    queue, limit = {"namespace": "team-a", "queue": "nightly"}, {"namespace": "team-a", "limit": "db"}

    assert fixture.value("towpath_queue_runs", queue | {"state": "active"}) == 2
    assert fixture.value("towpath_queue_runs", queue | {"state": "waiting"}) == 5
    assert fixture.value("towpath_queue_oldest_waiting_timestamp_seconds", queue) == 1600
    assert fixture.value("towpath_concurrency_limit_slots", limit | {"state": "limit"}) == 3
    assert fixture.value("towpath_concurrency_limit_slots", limit | {"state": "active"}) == 1


def test_how_long_a_run_waited_for_its_turn() -> None:
    """From the state that says so until its Job was made; a run that was cancelled had no turn."""
    fixture = Fixture()
    waits, begins = make_run("SCHEDULED", "AwaitingConcurrencySlot"), make_run("PENDING", "JobCreated")
    begins["status"]["state"]["since"] = "2026-03-01T12:00:07Z"
    fixture.metrics.run_changed(waits, begins)
    fixture.metrics.run_changed(waits, make_run("CANCELLED", "CancelledByRequest"))

    assert fixture.value("towpath_flowrun_slot_wait_seconds_sum") == 7
    assert fixture.value("towpath_flowrun_slot_wait_seconds_count") == 1


def test_what_had_ended_before_the_operator_came_is_not_counted() -> None:
    """Runs that are listed at the start add to no counter; the last success is known from them all the same."""
    fixture = Fixture(counting=False)
    times = {"startTime": "2026-03-01T12:00:00Z", "completionTime": "2026-03-01T12:00:42Z"}
    fixture.metrics.run_changed(None, make_run("COMPLETED", "Succeeded", **times))
    fixture.metrics.start_counting()
    end = LABELS | {"state": "COMPLETED"}
    assert fixture.value("towpath_flowruns_finished_total", end | {"reason": "Succeeded"}) is None
    assert fixture.value("towpath_flowrun_start_latency_seconds_count") is None
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") == 1772366442


def test_a_replica_that_stands_by_tells_nothing_about_runs() -> None:
    """They would be counted twice; when it works, it tells of all that it has seen meanwhile."""
    fixture = Fixture(counting=False)
    fixture.metrics.run_changed(None, make_run("PENDING", "JobCreated"))
    fixture.metrics.run_changed(None, make_run("COMPLETED", "Succeeded", completionTime="2026-03-01T12:00:42Z"))
    told = {sample.name for family in fixture.metrics.registry.collect() for sample in family.samples}
    assert not [name for name in told if name.startswith("towpath_flowrun")]
    assert fixture.value("towpath_operator_leader", {}) == 0
    fixture.metrics.start_counting()
    assert fixture.value("towpath_operator_leader", {}) == 1
    assert fixture.value("towpath_flowruns", LABELS | {"state": "PENDING"}) == 1
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") == 1772366442


def test_a_run_that_came_and_ended_in_a_gap_of_the_watch_is_counted() -> None:
    """A run that is first seen ended, while the operator runs, ended while it ran."""
    fixture = Fixture()
    fixture.metrics.run_changed(None, make_run("CRASHED", "OutOfMemory"))
    end = LABELS | {"state": "CRASHED", "reason": "OutOfMemory"}
    assert fixture.value("towpath_flowruns_finished_total", end) == 1


def test_the_last_success_never_goes_back() -> None:
    """A run that completed earlier but is seen later does not hide a newer success."""
    fixture = Fixture()
    for minute in (5, 3):
        fixture.metrics.run_changed(None, make_run("COMPLETED", completionTime=f"2026-03-01T12:0{minute}:00Z"))
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") == 1772366700


@pytest.mark.parametrize(
    ("scheduled", "seconds"),
    [(None, 62), ("2026-03-01T11:59:50Z", 12), ("2026-03-01T11:00:00Z", 62)],
    ids=["from creation", "from its scheduled time", "from creation, if the scheduled time was before"],
)
def test_start_latency(scheduled: str | None, seconds: float) -> None:
    """The latency runs from when the run could have started until it did, and is observed once."""
    fixture = Fixture()
    run = make_run("RUNNING", startTime="2026-03-01T12:00:02Z")
    run["metadata"]["creationTimestamp"] = "2026-03-01T11:59:00Z"
    run["spec"]["scheduledTime"] = scheduled
    fixture.metrics.run_changed(make_run("PENDING"), run)
    fixture.metrics.run_changed(run, make_run("COMPLETED", startTime="2026-03-01T12:00:02Z"))
    second = make_run("RUNNING", startTime="2026-03-01T12:30:00Z")  # a second attempt
    fixture.metrics.run_changed(run, second)
    assert fixture.value("towpath_flowrun_start_latency_seconds_count") == 1
    assert fixture.value("towpath_flowrun_start_latency_seconds_sum") == seconds


def test_infra_retries_are_counted_with_their_reason() -> None:
    """Each infrastructure failure that leads to another attempt counts, by what had failed."""
    fixture = Fixture()
    fixture.metrics.run_retried(make_run("SCHEDULED", "AwaitingRetry", infraFailures=1), "OutOfMemory")
    fixture.metrics.run_retried(make_run("SCHEDULED", "AwaitingRetry", infraFailures=2), "MyOwnWord-4711")
    assert fixture.value("towpath_flowrun_infra_retries_total", LABELS | {"reason": "Other"}) == 1
    assert fixture.value("towpath_flowrun_infra_retries_total", LABELS | {"reason": "OutOfMemory"}) == 1


def test_the_last_success_outlives_its_run() -> None:
    """A Deployment's status says when a run COMPLETED last, after the run itself has been removed; a later run wins."""
    fixture = Fixture(counting=False)
    fixture.metrics.deployment_listed(
        make_deployment("nightly", status={"lastSucceeded": "2026-03-01T12:00:00Z"}), make_flow("etl")
    )
    fixture.metrics.deployment_listed(
        make_deployment("nightly", status={"lastSucceeded": "2026-03-02T12:00:00Z"}), None
    )
    fixture.metrics.start_counting()
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") == 1772366400
    fixture.metrics.run_changed(None, make_run("COMPLETED", completionTime="2026-03-01T12:00:30Z"))
    assert fixture.value("towpath_flowrun_last_success_timestamp_seconds") == 1772366430


@pytest.mark.parametrize("reason", [*Reason, None, "MyOwnWord-4711"])
def test_reasons_are_bounded(reason: str | None) -> None:
    """A reason that is not one of ours, as any flow may write, is Other: labels must not grow."""
    run = make_run("FAILED", reason)
    assert reason_of(run, "status", "state", "reason") == (reason if reason in set(Reason) else "Other")


def test_labels_of_a_run_that_nobody_has_resolved() -> None:
    """Before the flow is known the label says what the run's own label says, or nothing."""
    fixture = Fixture()
    fixture.metrics.run_changed(None, make_flowrun(flow_ref="etl", status={}, labels={"towpath.dev/flow": "etl"}))
    labels = {"namespace": "team-a", "flow": "etl", "deployment": "", "state": "SCHEDULED"}
    assert fixture.value("towpath_flowruns", labels) == 1


@pytest.mark.parametrize(
    "odd", [{}, {"state": "x"}, {"state": {"type": "LATER"}}, {"history": 7}, {"startTime": "soon"}]
)
def test_odd_bodies_harm_nothing(odd: dict[str, Any]) -> None:
    """A status of any shape is counted somewhere and raises nothing."""
    fixture = Fixture()
    fixture.metrics.run_changed(None, make_flowrun(status=odd))
    assert b"towpath_flowruns{" in generate_latest(fixture.metrics.registry)


def test_the_operators_own_metrics() -> None:
    """Requests, reconciles, errors, the queue and signs of life are told as they are."""
    fixture = exercised()
    request = {"verb": "create", "resource": "jobs"}
    assert fixture.value("towpath_operator_api_requests_total", request | {"code": "201"}) == 1
    assert fixture.value("towpath_operator_api_request_duration_seconds_count", request) == 1
    assert fixture.value("towpath_operator_reconcile_duration_seconds_count", {"kind": "FlowRun"}) == 1
    assert fixture.value("towpath_operator_reconcile_errors_total", {"kind": "FlowRun"}) == 1
    assert fixture.value("towpath_operator_queue_depth", {}) == 3
    assert fixture.value("towpath_operator_watch_last_event_timestamp_seconds", {"resource": "jobs"}) == 1700
    assert fixture.value("towpath_operator_info", {"version": "1.2.3"}) == 1
