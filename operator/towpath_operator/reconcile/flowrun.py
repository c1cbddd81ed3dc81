"""Decides what should be done about a FlowRun.

The way of a run is in docs/architecture.md. A run that has ended is `after`'s; one that is suspended is `suspended`'s;
one whose attempt has a Job is `attempt`'s; any other is `start`'s. Whatever the operator was doing when it stopped,
what it left behind is one of the four, so there is nothing to recover.
"""

from __future__ import annotations

from datetime import datetime

from towpath.states import TERMINAL
from towpath_operator.reconcile import after, attempt, start, suspended
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.run import Run
from towpath_operator.reconcile.slots import with_grants
from towpath_operator.reconcile.turn import superseded
from towpath_operator.reconcile.wish import wish_to_cancel


def decide(observed: ObservedFlowRun, now: datetime) -> Decision:
    """Decide what should be done about a FlowRun; pure, and never raises: see `Decision.bug`.

    Deciding again on what its actions lead to gives nothing new.
    """
    return guarded(lambda: _decide(observed, now))


def job_refused(observed: ObservedFlowRun, status_code: int, message: str, now: datetime) -> Decision:
    """Decide what should be done after the API server refused to create the run's Job.

    The shell calls this when `CreateJob` was answered with 400, 403 or 422, or with 500 for want of a webhook's answer
    (never for 409, 429 or another 5xx, which it retries), and applies the decision like any other. Creating with
    `fieldValidation=Strict` turns a misspelt field of a template into such a refusal instead of silence.

    Args:
        observed: what the refused decision was made from.
        status_code: the HTTP status.
        message: the API server's words.
        now: the time.
    """
    return guarded(lambda: start.refused(observed, Run.of(observed.run), status_code, message, now))


def _decide(observed: ObservedFlowRun, now: datetime) -> Decision:
    run = Run.of(observed.run)
    if is_deleting(observed.run):
        return Decision()  # Job and children are owned by it, and are collected with it
    if run.state in TERMINAL:
        return after.decide(observed, run, now)
    wish = wish_to_cancel(run, observed.parent) or superseded(observed.turn)
    if suspended.is_suspended(run):
        return suspended.decide(observed, run, wish, now)
    if attempt.has_begun(observed, run):
        return with_grants(attempt.decide(observed, run, wish, now), run, observed.grants)
    return start.decide(observed, run, wish, now)
