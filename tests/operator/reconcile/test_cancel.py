"""Cancelling: by request and by what became of the parent, at every stage of a run, and always within its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import job_name_of, make_flow, make_flowrun, make_job, make_pod, make_state
from tests.operator.reconcile.attempts import crash, job_of, report
from tests.operator.reconcile.deciding import at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.decision import ConfirmGone, Decision
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.specs.terms import Terms

Body = dict[str, Any]
PLAIN = Terms(reports_itself=False)


def run_in(state: str | None, *, since: str = at(-60), **more: Any) -> Body:
    """Build a run that is to be cancelled, in a state of its first attempt; None: nobody has looked at it yet."""
    if state is None:
        return make_flowrun(cancel=True, **more)
    run = make_flowrun(cancel=True, state=make_state(state, since=since), attempt=1, **more)
    if state != "SCHEDULED":
        run["status"]["job"] = job_name_of(run)
    return run


@pytest.mark.parametrize(
    "run",
    [
        run_in(None),
        run_in("SCHEDULED", status={"retryAt": at(60)}),
        run_in(None, spec={"scheduledTime": at(60)}),
        make_flowrun(
            cancel=True, state=make_state("PENDING", reason="FlowNotFound"), status={"waitingFor": "Flow main"}
        ),
    ],
    ids=["new", "awaiting its retry", "scheduled", "waiting for its flow"],
)
def test_a_run_without_a_pod_is_cancelled_at_once(run: Body) -> None:
    """No Job is made first, no Flow is needed, no time is waited for."""
    decision = decide(ObservedFlowRun(run))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == ("CANCELLED", "CancelledByRequest")
    status = status_after(run, decision)
    assert not status.keys() & {"waitingFor", "retryAt", "error"}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "PAUSED"])
def test_a_run_with_a_pod_is_told_to_stop(state: str) -> None:
    """CANCELLING is written before the Job is deleted, so that the process learns why it is told to stop."""
    run = run_in(state)
    job = job_of(run)
    pod = make_pod(job, phase="Running", running=True)
    decision = decide(ObservedFlowRun(run, job=job, pods=(pod,)))

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, decision) == ("CANCELLING", "CancelledByRequest")
    assert decision.requeue_after == 31.5


def test_a_job_whose_status_was_never_written_is_deleted_too() -> None:
    """A run cancelled between its Job and its status leaves no pod behind."""
    run = run_in(None)
    decision = decide(ObservedFlowRun(run, flow=make_flow(), job=make_job(run)))

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, decision)[0] == "CANCELLING"


def test_an_interrupted_cancel_goes_on() -> None:
    """CANCELLING with a Job still there: the operator was killed in between."""
    run = run_in("CANCELLING", since=at(-1))
    job = job_of(run)
    pod = make_pod(job, phase="Running", running=True)

    assert kinds(decide(ObservedFlowRun(run, job=job, pods=(pod,)))) == ["DeleteJob"]


def test_a_process_that_stops_in_time_is_waited_for() -> None:
    """While it may still report, nothing is written."""
    run = run_in("CANCELLING", since=at(-10))
    pod = make_pod(job_of(run), phase="Running", running=True, deleted=at(20))

    assert decide(ObservedFlowRun(run, pods=(pod,))) == Decision(requeue_after=21.5)


def test_a_cancel_is_bounded_by_the_grace_period() -> None:
    """Even if the pod never goes, as on a lost node, the run is CANCELLED two seconds after its grace at the latest."""
    run = run_in("CANCELLING", since=at(0))
    job = job_of(run, Terms(grace_seconds=5))
    pod = make_pod(job, phase="Running", running=True, deleted=at(5), annotations=job["metadata"]["annotations"])
    observed = ObservedFlowRun(run, pods=(pod,))

    assert decide(observed, after=6) == Decision(requeue_after=0.5)
    assert state_after(run, decide(observed, after=6.5)) == ("CANCELLED", "CancelledByRequest")


def test_a_run_is_cancelled_when_its_pod_is_gone() -> None:
    """No grace is waited for when nothing is left to wait for."""
    run = run_in("CANCELLING", since=at(-1))

    assert state_after(run, decide(ObservedFlowRun(run))) == ("CANCELLED", "CancelledByRequest")


@pytest.mark.parametrize(
    ("terms", "pod", "state"),
    [
        (
            Terms(),
            {"exit_code": 1, "termination_message": report("COMPLETED", "Succeeded")},
            ("COMPLETED", "Succeeded"),
        ),
        (Terms(), {"exit_code": 1, "termination_message": report("FAILED", "FlowFailed")}, ("FAILED", "FlowFailed")),
        (
            Terms(),
            {"exit_code": 143, "termination_message": report("CRASHED", "Terminated", error=crash("Terminated"))},
            ("CANCELLED", "CancelledByRequest"),
        ),
        (Terms(), {"exit_code": 137}, ("CANCELLED", "CancelledByRequest")),
        (Terms(), {"exit_code": 137, "exit_reason": "OOMKilled"}, ("CANCELLED", "CancelledByRequest")),
        (PLAIN, {"exit_code": 0, "deleted": at(60)}, ("COMPLETED", "Succeeded")),
        (PLAIN, {"exit_code": 0, "deleted": at(29)}, ("CANCELLED", "CancelledByRequest")),
        (PLAIN, {"exit_code": 143, "deleted": at(29)}, ("CANCELLED", "CancelledByRequest")),
        (PLAIN, {"exit_code": 3, "deleted": at(60)}, ("FAILED", "Exited")),
    ],
    ids=[
        "completed",
        "failed",
        "told to stop",
        "killed",
        "out of memory",
        "plain, done before",
        "plain, stopped in order",
        "plain, stopped",
        "plain, failed before",
    ],
)
def test_work_that_ended_before_it_heard_of_the_cancel_keeps_its_end(
    terms: Terms, pod: Mapping[str, Any], state: tuple[str, str]
) -> None:
    """Its own end counts; one that the cancel brought about is the cancel's, and is never retried."""
    run = run_in("CANCELLING", since=at(-1))
    job = job_of(run, terms)
    ended = make_pod(job, phase="Failed", **({"deleted": at(60)} | dict(pod)))
    decision = decide(ObservedFlowRun(run, job=job, pods=(ended,)), after=2)

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, decision) == state


def test_the_job_of_a_cancelled_run_does_not_stay() -> None:
    """Whoever wrote CANCELLED, the Job goes with it; so does an unfinished one of the attempt before."""
    run = run_in("CANCELLED")
    run["status"]["state"]["reason"] = "ParentEnded"
    job = job_of(run, conditions=["Failed"])

    assert kinds(decide(ObservedFlowRun(run, job=job))) == ["DeleteJob"]
    assert (
        decide(ObservedFlowRun(run, job=job | {"metadata": job["metadata"] | {"deletionTimestamp": at(0)}}))
        == Decision()
    )
    second = make_flowrun(cancel=True, state="SCHEDULED", attempt=2)
    assert kinds(decide(ObservedFlowRun(second, previous_job=make_job(second, attempt=1)))) == [
        "PatchStatus",
        "DeleteJob",
    ]


# ---- derived from the parent


def parent_in(state: str, **more: Any) -> Body:
    """Build a parent."""
    return make_flowrun("top", state=state, attempt=1, **more)


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "CRASHED", "CANCELLING"])
def test_a_child_goes_with_its_parent(state: str) -> None:
    """Nobody writes into the child's spec: its cancel is derived, and says why."""
    parent = parent_in(state)
    child = make_flowrun("child", parent=parent)
    decision = decide(ObservedFlowRun(child, flow=make_flow(), parent=parent))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(child, decision) == ("CANCELLED", "ParentEnded")
    assert "'top'" in status_after(child, decision)["state"]["message"]


def test_a_wish_goes_down_before_the_parent_has_even_noticed() -> None:
    """`spec.cancel` of the parent is enough, and so is its deletion."""
    for parent in (parent_in("RUNNING", cancel=True), parent_in("RUNNING", deleted=at(0))):
        child = make_flowrun("child", parent=parent)
        assert state_after(child, decide(ObservedFlowRun(child, parent=parent))) == ("CANCELLED", "ParentEnded")


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING", "PAUSED"])
def test_a_child_of_a_live_parent_goes_on(state: str) -> None:
    """Also while the parent awaits its next attempt, which will find the child again."""
    parent = parent_in(state)
    child = make_flowrun("child", parent=parent)

    assert "CreateJob" in kinds(decide(ObservedFlowRun(child, flow=make_flow(), parent=parent)))


def test_an_orphan_goes_on() -> None:
    """onParentEnd: Orphan."""
    parent = parent_in("FAILED")
    child = make_flowrun("child", parent=parent, spec={"onParentEnd": "Orphan"})

    for known in (parent, None):
        assert "CreateJob" in kinds(decide(ObservedFlowRun(child, flow=make_flow(), parent=known)))


@pytest.mark.parametrize("parent", [None, make_flowrun("top", uid="another")], ids=["gone", "another of that name"])
def test_a_parent_is_gone_only_if_the_api_says_so(parent: Body | None) -> None:
    """The store may see the child first: the API is asked before anything is done about it."""
    child = make_flowrun("child", parent=parent_in("RUNNING"))
    uid = child["spec"]["parent"]["uid"]
    confirm = ConfirmGone("flowruns", child["metadata"]["namespace"], "top", uid)

    waiting = decide(ObservedFlowRun(child, flow=make_flow(), parent=parent))
    assert waiting.actions[0] == confirm
    assert kinds(waiting) == ["ConfirmGone", "PatchStatus"]
    running = child | {"status": {"state": make_state("RUNNING"), "attempt": 1, "job": job_name_of(child)}}
    job = job_of(running)
    pod = make_pod(job, phase="Running", running=True)
    crashed = make_pod(job, phase="Failed", exit_code=137)
    for one in (pod, crashed):
        going = decide(ObservedFlowRun(running, parent=parent, job=job, pods=(one,)))
        assert going.actions[0] == confirm
        assert kinds(going) == ["ConfirmGone", "PatchStatus", "DeleteJob"]


def test_a_cancel_once_begun_is_never_taken_back() -> None:
    """A parent that is alive again, or a hand that wrote CANCELLING, changes nothing: it ends."""
    parent = parent_in("RUNNING")
    child = make_flowrun("child", parent=parent, attempt=1, state=make_state("CANCELLING", reason="ParentEnded"))

    assert state_after(child, decide(ObservedFlowRun(child, parent=parent))) == ("CANCELLED", "ParentEnded")
