"""Decides what should be done about a FlowRun."""

from __future__ import annotations

from datetime import datetime

from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedFlowRun


def decide(observed: ObservedFlowRun, now: datetime) -> Decision:
    """Decide what should be done about a FlowRun; pure, and never raises: see `Decision.bug`."""
    return Decision()


def job_refused(observed: ObservedFlowRun, status_code: int, message: str, now: datetime) -> Decision:
    """Decide what should be done after the API server refused to create the run's Job.

    The shell calls this when `CreateJob` was answered with 400, 403 or 422 (never for 409, 429 or 5xx, which it
    retries), and applies the decision like any other. Creating with `fieldValidation=Strict` turns a misspelt field of
    a template into such a refusal instead of silence.

    Args:
        observed: what the refused decision was made from.
        status_code: the HTTP status.
        message: the API server's words.
        now: the time.
    """
    return Decision()
