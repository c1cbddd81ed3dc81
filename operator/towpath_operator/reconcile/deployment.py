"""Decides what should be done about a Deployment."""

from __future__ import annotations

from datetime import datetime

from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedDeployment


def decide(observed: ObservedDeployment, now: datetime) -> Decision:
    """Decide what should be done about a Deployment; pure, and never raises: see `Decision.bug`."""
    return Decision()
