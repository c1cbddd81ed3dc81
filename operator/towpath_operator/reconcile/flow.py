"""Decides what should be done about a Flow."""

from __future__ import annotations

from datetime import datetime

from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedFlow


def decide(observed: ObservedFlow, now: datetime) -> Decision:
    """Decide what should be done about a Flow; pure, and never raises: see `Decision.bug`."""
    return Decision()
