"""FlowRuns as the command line shows them, and what `--json` says of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.builders import make_flowrun
from tests.sdk.cli.bodies_of_runs import body, seen

from towpath.cli.bodies import run_of
from towpath.cli.seen import Counts, Failure, Result, SeenState, as_json
from towpath.states import StateType

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_run_that_nobody_has_looked_at_is_new() -> None:
    """Before the operator has seen it, a run is SCHEDULED, named New."""
    assert run_of(make_flowrun("r")).state == SeenState(StateType.SCHEDULED, "New")


def test_all_that_a_body_says_is_there() -> None:
    """Parent, root, tags, counts, history, error and result come along."""
    full = body(
        "child",
        "FAILED",
        parent="top",
        root="top",
        reason="FlowFailed",
        flow="load",
        parameters={"x": 1},
        attempt=2,
        job="child-2",
        pod="child-2-x",
        startTime="2026-01-01T12:00:00.000000Z",
        completionTime="2026-01-01T12:00:02.500000Z",
        tasks={"total": 3, "completed": 1, "failed": 1, "running": 1},
        children={"total": 0},
        history=[{"type": "PENDING", "name": "Pending", "at": "2026-01-01T12:00:00Z", "attempt": 1}],
        error={"code": "FlowFailed", "kind": "User", "message": "no", "type": "builtins.ValueError"},
        waitingFor="nothing",
    )
    full["spec"] |= {"tags": ["a"], "deploymentRef": "nightly"}
    run = run_of(full)
    assert (run.parent, run.parent_id, run.root, run.deployment, run.tags) == ("top", "top", "top", "nightly", ("a",))
    assert (run.flow, run.parameters, run.attempt, run.job, run.pod) == ("load", {"x": 1}, 2, "child-2", "child-2-x")
    assert (run.tasks, run.children) == (Counts(3, 1, 1), Counts(0, 0, 0))
    assert run.tasks is not None
    assert run.tasks.running == 1
    assert run.history == (SeenState(StateType.PENDING, "Pending", since=START, attempt=1),)
    assert run.error == Failure("no", "builtins.ValueError", "User")
    assert run.seconds(START) == 2.5
    assert run.has_ended
    assert run.state.why == "FlowFailed"


@pytest.mark.parametrize(
    ("spec", "flow"),
    [
        ({"flowRef": "etl"}, "etl"),
        ({"flow": {"name": "load", "entrypoint": "a.py:b"}}, "load"),
        ({"flow": {"entrypoint": "a.py:b"}}, "b"),
        ({"flow": {"command": ["sh"]}}, None),
        ({"deploymentRef": "nightly"}, None),
    ],
)
def test_a_run_names_its_flow_as_soon_as_it_is_known(spec: dict[str, Any], flow: str | None) -> None:
    """Until the operator has resolved it, the spec says which flow it is, if it does."""
    made = body("r") | {"spec": spec}
    assert run_of(made).flow == flow
    assert run_of({**made, "status": {"flow": "resolved"}}).flow == "resolved"


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ({"serializer": "json", "inline": "[1]", "size": 3}, Result("json", 3, [1])),
        ({"serializer": "pickle", "inline": "gASV", "size": 9}, Result("pickle", 9)),
        ({"serializer": "json", "ref": "s3://x/y.json", "size": 90}, Result("json", 90, None, "s3://x/y.json")),
    ],
)
def test_results_in_place_are_read_if_they_are_json(written: dict[str, Any], result: Result) -> None:
    """A pickle is never opened: looking at a run runs no code of its."""
    assert seen("r", "COMPLETED", result=written).result == result


def test_a_run_takes_as_long_as_it_has_run_so_far() -> None:
    """Before its end, a run's time is counted until now; before its start, there is none."""
    assert seen("r").seconds(START) is None
    assert seen("r", "RUNNING", startTime="2026-01-01T12:00:00Z").seconds(START + timedelta(seconds=9)) == 9
    assert seen("r", "RUNNING", startTime="2026-01-01T12:00:00Z").seconds(START - timedelta(seconds=9)) == 0


def test_json_has_every_field_of_a_run_whatever_is_known() -> None:
    """Scripts need not ask whether a key is there: what is not known is null."""
    bare, full = as_json(seen("a")), as_json(seen("b", "COMPLETED", startTime="2026-01-01T12:00:00Z"))
    assert bare.keys() == full.keys()
    assert json.loads(json.dumps(full)) == full
    assert full["started"] == "2026-01-01T12:00:00+00:00"
    assert full["state"]["type"] == "COMPLETED"
    assert bare["result"] is None
