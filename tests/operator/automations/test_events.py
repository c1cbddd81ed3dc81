"""Which runs an automation looks at, what of them is an event, and what such an event is called."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import make_deployment, make_flowrun
from tests.operator.automations.deciding import CLEAN_UP, FAILED, NOON, at, make_automation, run_in

from towpath import names
from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.occurrences import (
    counts,
    deadline_of,
    definition_of,
    entries_after,
    flow_of,
    overdue,
    read,
    silence,
    time_of,
    transitions,
)

Body = dict[str, Any]
PARENT = make_flowrun("parent")
TAGGED = make_deployment("etl", flow_ref="load", spec={"tags": ["team-red"]})


@pytest.mark.parametrize(
    ("match", "run", "expected"),
    [
        ({}, run_in("FAILED"), True),
        ({}, run_in("FAILED", parent=PARENT), False),
        ({"subflows": True}, run_in("FAILED", parent=PARENT), True),
        ({"deployments": ["etl"]}, run_in("FAILED", parent=PARENT), True),
        ({"deployments": ["other", "etl"]}, run_in("FAILED"), True),
        ({"deployments": ["other"]}, run_in("FAILED"), False),
        ({"deployments": ["etl"]}, run_in("FAILED", deployment_ref=None, flow_ref="load"), False),
        ({"flows": ["load"]}, run_in("FAILED"), True),
        ({"flows": ["load"]}, run_in("FAILED", status={"flow": "store"}), False),
        ({"flows": ["store"]}, run_in("FAILED", deployment_ref=None, flow_ref="store"), True),
        ({"tags": ["team-red"]}, run_in("FAILED"), True),
        ({"tags": ["team-red", "nightly"]}, run_in("FAILED"), False),
        ({"tags": ["team-red", "nightly"]}, run_in("FAILED", spec={"tags": ["nightly"]}), True),
        ({"labels": {"team": "red"}}, run_in("FAILED", labels={"team": "red", "x": "y"}), True),
        ({"labels": {"team": "red"}}, run_in("FAILED"), False),
        ({"deployments": ["etl"], "tags": ["nightly"]}, run_in("FAILED"), False),
    ],
    ids=[
        "everything", "no subflows", "subflows", "a deployment's, called", "one of two", "another's", "of no deployment",
        "flow of deployment", "flow as resolved", "flow of run", "deployment's tag", "all tags", "both's tags", "labels",
        "no labels", "all of it",
    ],
)  # fmt: skip
def test_which_runs_count(match: Body, run: Body, expected: bool) -> None:
    """A run counts if all of match applies; one that a run has called only if it is named or asked for."""
    deployment = TAGGED if run["spec"].get("deploymentRef") else None
    assert counts(make_automation(match=match), run, deployment) is expected


def test_runs_of_automations_call_for_no_others() -> None:
    """A run that an automation made, or one below it, makes no automation run a deployment, or there would be no end."""
    made = names.automation_run_name("clean-up", "event", 0)
    for run in (
        run_in("FAILED", name=made, labels={names.LABEL_ROOT_RUN: made}),
        run_in("FAILED", parent=make_flowrun(made), labels={names.LABEL_ROOT_RUN: made}),
    ):
        assert counts(make_automation(match={"subflows": True}), run, None)
        assert not counts(make_automation(FAILED, CLEAN_UP, match={"subflows": True}), run, None)
    assert not names.is_automation_run("clean-up-auto-nightly")
    assert not names.is_automation_run("")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({"types": ["FAILED"]}, ["failed"]),
        ({"types": ["RUNNING", "FAILED"]}, ["running", "failed"]),
        ({"types": ["FAILED"], "reasons": ["OutOfMemory"]}, []),
        ({"types": ["FAILED"], "reasons": ["OutOfMemory", "Exited"]}, ["failed"]),
        ({"types": ["RUNNING"], "names": ["Retrying"]}, []),
        ({"types": ["RUNNING"], "names": ["Running"]}, ["running"]),
        ({"types": ["PAUSED"]}, []),
    ],
    ids=["one", "two", "other reason", "one of the reasons", "other name", "name", "none"],
)
def test_transitions(states: Body, expected: list[str]) -> None:
    """Entries of the history are events where type, name and reason are among the wanted ones."""
    run = run_in("PENDING", "RUNNING", "FAILED", message="No such file.")
    history = run["status"]["history"]
    found = list(transitions(make_automation({"states": states}), run, None, history, is_witnessed=True))
    assert [one.event for one in found] == expected
    assert all(one.run == "etl-1" and one.deployment == "etl" and one.attempt == 1 for one in found)
    assert [one.message for one in found if one.event == "failed"] == ["No such file."] * ("failed" in expected)
    assert not [one.message for one in found if one.event == "running" and one.message]


def test_ids() -> None:
    """An event's id is the same whoever finds it, begins with its time, and is another for another thing."""
    automation = make_automation({"states": {"types": ["FAILED", "RUNNING"]}})
    runs = [run_in("RUNNING", "FAILED"), run_in("RUNNING", "FAILED", name="etl-2"), run_in("RUNNING", since=9)]

    def ids(body: Body) -> list[str]:
        return [
            one.id for run in runs for one in transitions(body, run, None, run["status"]["history"], is_witnessed=False)
        ]

    assert ids(automation) == ids(automation)
    assert len(set(ids(automation))) == 5
    assert [time_of(id_) for id_ in ids(automation)] == [at(1), at(2), at(1), at(2), at(9)]
    assert set(ids(automation)).isdisjoint(ids(make_automation({"states": {"types": ["RUNNING"]}}, name="other")))
    assert time_of("nonsense") is None


def test_an_event_survives_the_status() -> None:
    """What a status keeps of an event is all that a message needs, cut to what there is room for."""
    run = run_in("FAILED", message="x" * 320)
    (event,) = transitions(make_automation(), run, None, run["status"]["history"], is_witnessed=False)
    again = read(event.wire())
    assert again.message.startswith("xxx")
    assert len(again.message.encode()) <= 256
    assert again.wire() == event.wire()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, run_in("PENDING", "RUNNING"), ["PENDING", "RUNNING"]),
        (run_in("PENDING"), run_in("PENDING"), []),
        (run_in("PENDING"), run_in("PENDING", "RUNNING", "FAILED"), ["RUNNING", "FAILED"]),
        (make_flowrun(), run_in("PENDING"), ["PENDING"]),
        (run_in("PENDING", "RUNNING"), run_in("RUNNING", "FAILED", since=2), ["FAILED"]),
        (run_in("PENDING"), make_flowrun(), []),
    ],
    ids=["first seen", "nothing new", "two at once", "had no status", "the oldest was dropped", "status is gone"],
)
def test_what_is_new_in_a_history(old: Body | None, new: Body, expected: list[str]) -> None:
    """What a run went through between two looks at it is found, however much that was."""
    assert [entry["type"] for entry in entries_after(old, new)] == expected


def _due(trigger: Body, run: Body) -> float | None:
    found = deadline_of(make_automation(trigger), run)
    return None if found is None else (found - NOON).total_seconds()


LATE = {"late": {"afterSeconds": 60}}
LONG = {"longRunning": {"afterSeconds": 60}}


@pytest.mark.parametrize(
    ("trigger", "run", "expected"),
    [
        (LATE, make_flowrun(created=NOON.isoformat()), 60),
        (LATE, run_in("PENDING"), 60),
        (LATE, run_in("SCHEDULED", spec={"scheduledTime": rfc3339(at(100))}), 160),
        (LATE, run_in("PENDING", "RUNNING"), None),
        (LATE, run_in("PENDING", "RUNNING", "SCHEDULED", status={"startTime": None}), None),
        (LATE, run_in("PENDING", "CANCELLED"), None),
        (LATE, run_in("PENDING", spec={"suspend": True}), None),
        (LONG, run_in("PENDING", "RUNNING"), 62),
        (LONG, run_in("PENDING", "RUNNING", "PAUSED"), None),
        (LONG, run_in("PENDING"), None),
        (FAILED, run_in("PENDING"), None),
    ],
    ids=[
        "no status", "pending", "scheduled", "runs", "awaits retry", "ended", "suspended", "running", "paused",
        "long pending", "counts states",
    ],
)  # fmt: skip
def test_deadlines(trigger: Body, run: Body, expected: float | None) -> None:
    """A run is late if it has never run, and runs long if it is RUNNING; what waits on purpose is neither."""
    assert _due(trigger, run) == expected


def test_overdue_and_silence() -> None:
    """Both are events of the time at which they became true, so that they have one id whoever finds them, and when."""
    automation, run = make_automation(LATE), run_in("PENDING", reason="Unschedulable")
    due = deadline_of(automation, run)
    assert due is not None
    event = overdue(automation, run, None, due)
    assert (event.event, event.at, event.run, event.reason) == ("late", at(60), "etl-1", "Unschedulable")
    quiet = silence(make_automation({"noSuccess": {"forSeconds": 600}}, match={"deployments": ["etl"]}), at(5))
    assert (quiet.event, quiet.at, quiet.deployment, quiet.run) == ("nosuccess", at(605), "etl", "")
    assert quiet.message == "No run has completed for 600 s, since 2026-03-01 12:00:05 UTC."


def test_flow_and_definition() -> None:
    """A run's flow is known from the deployment, too; only what an automation counts makes it another one."""
    assert flow_of(make_flowrun(deployment_ref="etl"), TAGGED) == "load"
    assert definition_of(make_automation()) == definition_of(make_automation(FAILED, CLEAN_UP, suspend=True))
    assert definition_of(make_automation()) != definition_of(make_automation(match={"subflows": True}))
