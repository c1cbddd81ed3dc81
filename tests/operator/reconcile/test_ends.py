"""Ends that a run cannot tell itself: state, reason, whose it is, and a sentence that helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import make_condition, make_pod
from tests.operator.reconcile.attempts import OWN, PLAIN, crash, job_of, observe, report, running_run
from tests.operator.reconcile.deciding import at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.decision import Decision, EmitEvent
from towpath_operator.specs.terms import Terms

SCHEDULED_FALSE = make_condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes are available")


ENDS: dict[str, tuple[Terms, Mapping[str, Any], tuple[str, str], str | None, str]] = {
    # terms, pod, state and reason, kind, words
    "own words": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("COMPLETED", "Succeeded")},
        ("COMPLETED", "Succeeded"),
        None,
        "own words",
    ),
    "own words of a failure": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("FAILED", "FlowFailed")},
        ("FAILED", "FlowFailed"),
        "User",
        "own words",
    ),
    "words of another attempt": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("COMPLETED", "Succeeded", attempt=2)},
        ("CRASHED", "NoReport"),
        "Infrastructure",
        "code 1",
    ),
    "told to stop, by nobody knows whom": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "termination_message": report("CRASHED", "Terminated", error=crash("Terminated")),
        },
        ("CRASHED", "Terminated"),
        "Infrastructure",
        "told to stop",
    ),
    "no report": (OWN, {"phase": "Failed", "exit_code": 7}, ("CRASHED", "NoReport"), "Infrastructure", "code 7"),
    "no report, a signal": (
        OWN,
        {"phase": "Failed", "exit_code": 139, "termination_message": "Fatal Python error"},
        ("CRASHED", "NoReport"),
        "Infrastructure",
        "139 (SIGSEGV)",
    ),
    "no report, no code": (
        OWN,
        {"phase": "Failed", "reason": "OutOfcpu", "message": "node out of cpu"},
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "node out of cpu",
    ),
    "out of memory": (
        OWN,
        {"phase": "Failed", "exit_code": 137, "exit_reason": "OOMKilled"},
        ("CRASHED", "OutOfMemory"),
        "Infrastructure",
        "resources.limits.memory",
    ),
    "plain, out of memory": (
        PLAIN,
        {"phase": "Failed", "exit_code": 137, "exit_reason": "OOMKilled"},
        ("CRASHED", "OutOfMemory"),
        "Infrastructure",
        "memory",
    ),
    "evicted": (
        OWN,
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.", "node": "n1"},
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "low on resource",
    ),
    "preempted": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "deleted": at(20),
            "conditions": [make_condition("DisruptionTarget", reason="PreemptionByScheduler", message="a higher one")],
        },
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "a higher one",
    ),
    "its node drained, as it said itself": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "deleted": at(20),
            "conditions": [make_condition("DisruptionTarget", reason="EvictionByEvictionAPI")],
            "termination_message": report("CRASHED", "Terminated", error=crash("Terminated")),
        },
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "EvictionByEvictionAPI",
    ),
    "its node lost": (
        OWN,
        {"phase": "Failed", "conditions": [make_condition("DisruptionTarget", reason="DeletionByPodGC")], "node": "n1"},
        ("CRASHED", "NodeLost"),
        "Infrastructure",
        "'n1'",
    ),
    "its node shut down": (
        OWN,
        {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown", "exit_code": 143},
        ("CRASHED", "NodeLost"),
        "Infrastructure",
        "imminent node shutdown",
    ),
    "pod deleted": (
        OWN,
        {"phase": "Failed", "exit_code": 137, "deleted": at(20)},
        ("CRASHED", "PodDeleted"),
        "Infrastructure",
        "deleted",
    ),
    "plain, pod deleted": (
        PLAIN,
        {"phase": "Failed", "exit_code": 143, "deleted": at(20)},
        ("CRASHED", "PodDeleted"),
        "Infrastructure",
        "deleted",
    ),
    "the image cannot start it": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 128,
            "exit_reason": "StartError",
            "termination_message": "exec: python: no such",
        },
        ("FAILED", "EntrypointNotFound"),
        "User",
        "exec: python: no such",
    ),
    "the node was interrupted": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 128,
            "exit_reason": "StartError",
            "termination_message": "failed to create shim task: context canceled: unknown",
        },
        ("CRASHED", "StartInterrupted"),
        "Infrastructure",
        "before any code of the flow ran",
    ),
    "the image has no towpath": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": "python: No module named towpath"},
        ("FAILED", "EntrypointNotFound"),
        "User",
        "Install towpath[cluster]",
    ),
    "plain, command not found": (
        PLAIN,
        {"phase": "Failed", "exit_code": 128, "exit_reason": "StartError", "termination_message": "exec: no such file"},
        ("FAILED", "EntrypointNotFound"),
        "User",
        "command",
    ),
    "plain, done": (PLAIN, {"phase": "Succeeded", "exit_code": 0}, ("COMPLETED", "Succeeded"), None, "code 0"),
    "plain, failed": (
        PLAIN,
        {"phase": "Failed", "exit_code": 3, "termination_message": "disk is full"},
        ("FAILED", "Exited"),
        "User",
        "disk is full",
    ),
    "its template's deadline": (
        OWN,
        {"phase": "Failed", "reason": "DeadlineExceeded", "exit_code": 143},
        ("FAILED", "DeadlineExceeded"),
        "User",
        "activeDeadlineSeconds",
    ),
}


@pytest.mark.parametrize(("terms", "pod", "state", "kind", "words"), ENDS.values(), ids=list(ENDS))
def test_how_a_pod_ended(
    terms: Terms, pod: Mapping[str, Any], state: tuple[str, str], kind: str | None, words: str
) -> None:
    """Each end has its state, its reason, whose it is, and a sentence that helps."""
    run = running_run()
    job = job_of(run, Terms(reports_itself=terms.reports_itself, infra_retries=0))
    decision = decide(observe(run, job, make_pod(job, **pod)), after=10)

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == state
    status = status_after(run, decision)
    assert words in (status["error"]["message"] if "error" in status else status["state"]["message"])
    assert status.get("error", {}).get("kind") == kind
    assert any(isinstance(action, EmitEvent) for action in decision.actions) == (kind is not None)
    assert decide(observe(run | {"status": status}, job, make_pod(job, **pod)), after=10).actions == ()


def test_a_failed_init_container_is_named() -> None:
    """The flow never started, and the message says which container is to blame."""
    run = running_run("PENDING")
    job = job_of(run, Terms(infra_retries=3))
    ended = {"terminated": {"exitCode": 2, "reason": "Error", "message": "no schema"}}
    pod = make_pod(job, phase="Failed", waiting="PodInitializing")
    pod["status"]["initContainerStatuses"] = [{"name": "migrate", "state": ended}]
    decision = decide(observe(run, job, pod))

    assert state_after(run, decision) == ("FAILED", "Exited")
    assert "'migrate'" in status_after(run, decision)["error"]["message"]


def test_the_jobs_deadline_is_the_runs_timeout() -> None:
    """If the operator was away and the Job's own deadline ended the pod, the run timed out."""
    run = running_run()
    why = make_condition("FailureTarget", reason="DeadlineExceeded")
    job = job_of(run, Terms(timeout_seconds=60), conditions=[why])
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=143, deleted=at(20))), after=10)

    assert state_after(run, decision) == ("FAILED", "TimedOut")


def test_the_report_travels_with_the_termination_message() -> None:
    """Result, error and counts of a report that could not be sent are written as they are."""
    run = running_run()
    job = job_of(run)
    said = report("COMPLETED", "Succeeded", result={"inline": "42", "size": 2}, tasks={"total": 2, "completed": 2})
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=1, termination_message=said)))

    status = status_after(run, decision)
    assert status["result"]["inline"] == "42"
    assert status["tasks"]["total"] == 2


@pytest.mark.parametrize(
    "said",
    [
        "",
        "not JSON",
        "[]",
        "3",
        '{"towpath": 1}',
        '{"towpath": 2, "attempt": 1, "state": {"type": "COMPLETED"}}',
        '{"towpath": 1, "attempt": 1, "state": {"type": "RUNNING"}}',
        '{"towpath": 1, "attempt": 1, "state": {"type": ["COMPLETED"]}}',
        '{"towpath": 1, "attempt": 1, "state": 1}',
        "[" * 3000,
    ],
)
def test_what_is_no_report_is_not_believed(said: str) -> None:
    """Anything a container may write is read without harm."""
    run = running_run()
    job = job_of(run, Terms(infra_retries=0))
    pod = make_pod(job, phase="Failed", exit_code=1, termination_message=said)

    assert state_after(run, decide(observe(run, job, pod))) == ("CRASHED", "NoReport")


def test_parts_of_a_report_that_the_api_server_would_refuse_are_left_out() -> None:
    """Else the end could never be written."""
    run = running_run()
    job = job_of(run)
    said = report("FAILED", "R" * 200, error={"kind": "Nobody"}, result={"inline": 3})
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=1, termination_message=said)))

    status = status_after(run, decision)
    assert status["error"]["kind"] == "User"
    assert "result" not in status


def test_a_process_that_says_it_reported_is_given_a_moment() -> None:
    """Exit 0 means reported: the report may be newer than what is seen, so the end waits three seconds."""
    run = running_run()
    job = job_of(run)
    pod = make_pod(job, phase="Succeeded", exit_code=0)

    assert decide(observe(run, job, pod), after=1) == Decision(requeue_after=2.0)
    decision = decide(observe(run, job, pod), after=3)
    assert status_after(run, decision)["state"]["reason"] == "AwaitingRetry"
