"""Says once of a plain container that it cannot do as was wished: nothing in it listens.

The condition `Pausable` keeps it from being said again; it goes with the wish.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from towpath import limits
from towpath.api.v1alpha1.transitions import cut, rfc3339
from towpath_operator.reconcile.decision import Action
from towpath_operator.reconcile.reading import mappings, value
from towpath_operator.reconcile.run import Run

_TYPE: Final = "Pausable"
_REASON: Final = "PlainContainer"
_SAID: Final = "A plain container at work cannot be paused or suspended."


def unheeded(run: Run, now: datetime) -> tuple[Action, ...]:
    """Build what tells that a container at work does not wait, although somebody wishes it; nothing if that is told.

    Args:
        run: of a plain container that runs.
        now: the time.
    """
    is_wished = any(value(run.spec, wish) is True for wish in ("pause", "suspend"))
    conditions = mappings(run.status, "conditions")
    is_told = any(condition.get("type") == _TYPE for condition in conditions)
    if is_wished == is_told:
        return ()
    others = [condition for condition in conditions if condition.get("type") != _TYPE]
    if not is_wished:
        return (run.patch([{"op": "add", "path": "/status/conditions", "value": others}]),)
    told = {
        "type": _TYPE,
        "status": "False",
        "reason": _REASON,
        "message": cut(_SAID, limits.CONDITION_MESSAGE),
        "lastTransitionTime": rfc3339(now),
    }
    more = "It goes on. A flow that Towpath runs itself (entrypoint) can wait; this one can be cancelled."
    return (
        run.patch([{"op": "add", "path": "/status/conditions", "value": [*others, told]}]),
        run.event(_REASON, f"{_SAID} {more}"),
    )
