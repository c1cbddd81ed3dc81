"""Decides about a run that has ended: its state is final, and what is left of it goes."""

from __future__ import annotations

from datetime import datetime

from towpath.states import Reason, StateType
from towpath_operator.reconcile.again import retried
from towpath_operator.reconcile.closing import kill_pods, remove_job, stop_job
from towpath_operator.reconcile.decision import Action, Decision
from towpath_operator.reconcile.observed import Body, ObservedFlowRun
from towpath_operator.reconcile.pods import is_deleting, is_finished, owned_job
from towpath_operator.reconcile.reading import integer, moment, value
from towpath_operator.reconcile.run import Run

_BY_CANCEL = frozenset({Reason.CANCELLED_BY_REQUEST, Reason.CANCELLED_NOW, Reason.PARENT_ENDED, Reason.SUPERSEDED})


def decide(observed: ObservedFlowRun, run: Run, now: datetime) -> Decision:
    """Decide about a run in a terminal state."""
    if (again := retried(observed, run, now)) is not None:
        return again
    job = owned_job(run, observed.job)
    previous: tuple[Action, ...] = stop_job(run, observed.previous_job)
    if run.reason == Reason.CANCELLED_NOW:
        previous += kill_pods(run, observed.pods)
    if job is None or is_deleting(job):
        return Decision(previous)
    if run.state is StateType.CANCELLED and (run.reason in _BY_CANCEL or value(run.spec, "cancel") is True):
        return Decision((*previous, *remove_job(run, job)))
    left = _seconds_left(observed, run, job, now)
    if left is None:
        return Decision(previous)
    if left > 0:
        return Decision(previous, left)
    return Decision((*previous, *remove_job(run, job)))


def _seconds_left(observed: ObservedFlowRun, run: Run, job: Body, now: datetime) -> float | None:
    """Give the seconds after which the Job has to be removed; None if it goes by itself."""
    policy = observed.policy
    if not is_finished(job):  # the process reported its end, but does not go
        allowed: float = policy.grace_seconds
    elif (integer(job, "spec", "ttlSecondsAfterFinished") or 0) > policy.job_ttl_seconds:
        allowed = policy.job_ttl_seconds
    else:
        return None
    ended = moment(run.status, "completionTime") or run.since or now
    return (ended - now).total_seconds() + allowed
