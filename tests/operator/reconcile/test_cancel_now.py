"""`cancelMode: Now`: the pods are killed, of the run and of all below it, also after they were asked to end in order."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import job_name_of, make_flowrun, make_pod, make_state
from tests.operator.reconcile.attempts import job_of
from tests.operator.reconcile.deciding import Body, at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.closing import KILL_SECONDS
from towpath_operator.reconcile.decision import Decision, KillPod
from towpath_operator.reconcile.observed import ObservedFlowRun

NOW = {"cancel": True, "cancelMode": "Now"}


def at_work(state: Body | None = None, **more: Any) -> ObservedFlowRun:
    """Observe a run whose pod runs."""
    run = make_flowrun(state=state or make_state("RUNNING", since=at(-60)), attempt=1, **more)
    run["status"] |= {"job": job_name_of(run), "startTime": at(-60)}
    job = job_of(run)
    return ObservedFlowRun(run, job=job, pods=(make_pod(job, phase="Running", running=True),))


def killed(decision: Decision) -> list[str]:
    return [action.name for action in decision.actions if isinstance(action, KillPod)]


def test_the_pod_is_killed_with_its_job() -> None:
    """CANCELLING is written first, as with any cancel; the pod is killed before it could be told to end in order."""
    observed = at_work(spec=NOW)
    decision = decide(observed)
    assert kinds(decision) == ["PatchStatus", "KillPod", "DeleteJob"]
    assert killed(decision) == [observed.pods[0]["metadata"]["name"]]
    assert state_after(observed.run, decision) == ("CANCELLING", "CancelledNow")
    assert decision.requeue_after is not None
    assert decision.requeue_after <= KILL_SECONDS + 2


def test_who_was_told_to_end_in_order_is_killed() -> None:
    """The state says so anew, once, and the pod's grace period is shortened, once."""
    since = make_state("CANCELLING", since=at(-5), reason="CancelledByRequest")
    observed = at_work(since, spec=NOW)
    observed.pods[0]["metadata"] |= {"deletionTimestamp": at(600), "deletionGracePeriodSeconds": 600}
    decision = decide(observed)
    assert (state_after(observed.run, decision), len(killed(decision))) == (("CANCELLING", "CancelledNow"), 1)
    told = {**observed.run, "status": status_after(observed.run, decision)}
    observed.pods[0]["metadata"] |= {"deletionTimestamp": at(1), "deletionGracePeriodSeconds": KILL_SECONDS}
    again = decide(ObservedFlowRun(told, job=observed.job, pods=observed.pods), after=0.5)
    assert kinds(again) == ["DeleteJob"], "until it is seen to go"


def test_a_pod_that_does_not_go_keeps_no_run_from_its_end() -> None:
    """Its node may be gone: the run is CANCELLED within seconds all the same."""
    since = make_state("CANCELLING", since=at(-60), reason="CancelledNow")
    observed = at_work(since, spec=NOW)
    assert state_after(observed.run, decide(observed)) == ("CANCELLED", "CancelledNow")


@pytest.mark.parametrize(
    "parent",
    [
        make_flowrun("parent", state=make_state("CANCELLED", reason="CancelledByRequest"), spec=NOW),
        make_flowrun("parent", state=make_state("CANCELLING", reason="CancelledNow")),
        make_flowrun("parent", state=make_state("CANCELLED", reason="CancelledNow")),
    ],
    ids=["by its spec", "being killed", "killed"],
)
def test_runs_below_a_killed_run_are_killed(parent: Body) -> None:
    """Unless they are orphans; the reason is what passes it on."""
    below = at_work(parent=parent)
    decision = decide(ObservedFlowRun(below.run, parent=parent, job=below.job, pods=below.pods))
    assert state_after(below.run, decision) == ("CANCELLING", "CancelledNow")
    assert len(killed(decision)) == 1
    orphan = at_work(parent=parent, spec={"onParentEnd": "Orphan"})
    assert decide(ObservedFlowRun(orphan.run, parent=parent, job=orphan.job, pods=orphan.pods)).actions == ()


def test_a_pod_that_shows_up_late_is_killed_too() -> None:
    """The store may learn of it after the run has ended."""
    observed = at_work(make_state("CANCELLED", since=at(-5), reason="CancelledNow"), spec=NOW)
    assert len(killed(decide(ObservedFlowRun(observed.run, pods=observed.pods)))) == 1


def test_now_without_a_cancel_is_no_wish() -> None:
    """It says how, not that."""
    assert decide(at_work(spec={"cancelMode": "Now"})).actions == ()
