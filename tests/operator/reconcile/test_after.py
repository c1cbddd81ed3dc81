"""A run that has ended: its state is final, and what is left of it goes when it should."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import job_name_of, make_flow, make_flowrun, make_job, make_pod, make_state
from tests.operator.reconcile.deciding import at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedFlowRun


def ended(state: str = "COMPLETED", attempt: int = 1) -> dict[str, Any]:
    """Build a run that has just ended."""
    run = make_flowrun(state=make_state(state, since=at(0)), attempt=attempt, status={"completionTime": at(0)})
    run["status"]["job"] = job_name_of(run, attempt)
    return run


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CRASHED"])
def test_a_finished_job_stays_until_its_own_ttl(state: str) -> None:
    """Its log can be read for a while; nobody has to remember it."""
    run = ended(state)
    job = make_job(run, conditions=["Complete"], spec={"ttlSecondsAfterFinished": 600})

    assert decide(ObservedFlowRun(run, job=job), after=9999) == Decision()


def test_the_job_of_a_plain_container_goes_as_soon_as_any_other() -> None:
    """Its own TTL is long, for an operator that is away; the operator that has seen the end removes it."""
    run = ended()
    job = make_job(run, conditions=["Complete"], spec={"ttlSecondsAfterFinished": 86_400})

    assert decide(ObservedFlowRun(run, job=job)) == Decision(requeue_after=600.0)
    assert kinds(decide(ObservedFlowRun(run, job=job), after=600)) == ["DeleteJob"]


def test_a_process_that_does_not_go_after_its_end_is_ended() -> None:
    """It has the grace period, then the Job is deleted; the state stays as it is."""
    run = ended()
    job = make_job(run)
    observed = ObservedFlowRun(run, job=job, pods=(make_pod(job, phase="Running", running=True),))

    assert decide(observed) == Decision(requeue_after=30.0)
    assert kinds(decide(observed, after=30)) == ["DeleteJob"]


def test_an_unfinished_job_of_the_attempt_before_does_not_stay() -> None:
    """Such as one on a lost node, when the last attempt ended before it."""
    run = ended("FAILED", attempt=2)

    assert kinds(decide(ObservedFlowRun(run, previous_job=make_job(run, attempt=1)))) == ["DeleteJob"]
    over = make_job(run, attempt=1, conditions=["Failed"])
    assert decide(ObservedFlowRun(run, previous_job=over)) == Decision()


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED"])
@pytest.mark.parametrize("attempt", [0, 2])
def test_one_more_attempt_follows_when_it_is_asked_for(state: str, attempt: int) -> None:
    """Nothing of the last one stays but the history; the wish is fulfilled once, and infrastructure has all its tries."""
    run = ended(state, attempt=attempt)
    run["status"] |= {
        "infraFailures": 2,
        "tasks": {"total": 3},
        "error": {"code": "X", "kind": "User", "message": "no"},
    }
    if not attempt:
        del run["status"]["attempt"], run["status"]["job"]
    run["spec"]["retryAfterAttempt"] = attempt

    decision = decide(ObservedFlowRun(run))
    status = status_after(run, decision)

    assert state_after(run, decision) == ("SCHEDULED", "RetryByRequest")
    assert status["attempt"] == attempt + 1
    assert not {"job", "error", "tasks", "infraFailures", "completionTime"} & status.keys()
    tried = run | {"status": status}
    assert kinds(decide(ObservedFlowRun(tried, flow=make_flow()))) == [
        *(["ConfirmPodsEnded"] if attempt else []),
        "CreateJob",
        "PatchStatus",
    ]


@pytest.mark.parametrize(
    ("state", "wish", "spec"),
    [
        ("COMPLETED", 1, {}),
        ("FAILED", 0, {}),
        ("FAILED", 7, {}),
        ("CANCELLED", 1, {"cancel": True}),
        ("FAILED", 1, {"parent": {"name": "top", "uid": "uid-top"}}),
    ],
    ids=[
        "it completed",
        "an earlier attempt was meant",
        "a later attempt was meant",
        "it is cancelled",
        "its parent is gone",
    ],
)
def test_a_retry_that_makes_no_sense_is_none(state: str, wish: int, spec: dict[str, Any]) -> None:
    """The state stays final."""
    run = ended(state)
    run["spec"] |= {"retryAfterAttempt": wish, **spec}
    assert kinds(decide(ObservedFlowRun(run))) == []


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
def test_a_terminal_state_is_never_written_over(state: str) -> None:
    """Whatever is asked or seen afterwards."""
    parent = make_flowrun("top", state="FAILED", attempt=1)
    run = ended(state)
    run["spec"] |= {"cancel": True, "parent": {"name": "top", "uid": parent["metadata"]["uid"]}}
    job = make_job(run)
    pods = (make_pod(job, phase="Failed", exit_code=1),)
    for observed in (ObservedFlowRun(run, parent=parent, job=job, pods=pods), ObservedFlowRun(run)):
        for after in (0, 9999):
            assert "PatchStatus" not in kinds(decide(observed, after=after))
