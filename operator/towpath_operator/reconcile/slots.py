"""Writes into a run's status which slots of limits its code is granted, as the lanes say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from towpath_operator.reconcile.decision import Decision, PatchStatus
from towpath_operator.reconcile.run import Run


def with_grants(decision: Decision, run: Run, grants: Sequence[Mapping[str, Any]] | None) -> Decision:
    """Add to a decision what the run's code is granted, unless the status is written anyway: then it is the next.

    Args:
        decision: what is to be done besides.
        run: the run.
        grants: what `status.slotsGranted` is to say; None if it says so.
    """
    if grants is None or any(isinstance(action, PatchStatus) for action in decision.actions):
        return decision
    if grants:
        granted = run.patch([{"op": "add", "path": "/status/slotsGranted", "value": [dict(one) for one in grants]}])
    elif "slotsGranted" in run.status:
        granted = run.patch([{"op": "remove", "path": "/status/slotsGranted"}])
    else:
        return decision
    return dataclasses.replace(decision, actions=(*decision.actions, granted))
