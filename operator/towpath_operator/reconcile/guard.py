"""Keeps a mistake in deciding from stopping anything but the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from towpath_operator.reconcile.decision import Decision

#: When to look again after deciding went wrong, if whoever applies decisions has no back-off of its own.
BUG_SECONDS: Final = 60.0


def guarded(decide: Callable[[], Decision]) -> Decision:
    """Turn whatever deciding raises into a decision: one odd object must not stop the others."""
    try:
        return decide()
    except Exception as error:
        return Decision(requeue_after=BUG_SECONDS, bug=error)
