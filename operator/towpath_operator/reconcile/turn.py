"""Whether it is a run's turn to begin, as the lanes say; and what that means for the run."""

from __future__ import annotations

from datetime import datetime

from towpath.api.v1alpha1.transitions import cut
from towpath.limits import WAITING_FOR
from towpath.states import AWAITING_SLOT, Reason, StateType
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.reading import text
from towpath_operator.reconcile.run import Run
from towpath_operator.reconcile.verdicts import Turn
from towpath_operator.reconcile.wish import Wish


def superseded(turn: Turn) -> Wish | None:
    """Tell whether a run is to be cancelled because a later one takes its place; derived, like every cancel."""
    return Wish(Reason.SUPERSEDED, turn.superseded) if turn.superseded else None


def wait(turn: Turn, run: Run, now: datetime, *, flow: str) -> Decision | None:
    """Decide about a run that would get its Job now; None: it may.

    Args:
        turn: what the lanes say.
        run: the run.
        now: the time.
        flow: name of its flow, so that a run that never begins is counted too.
    """
    if turn.goes:
        return None
    if turn.refused and not run.attempt:
        ended = run.becomes(
            StateType.CANCELLED,
            now,
            reason=Reason.LIMIT_REACHED,
            message=turn.refused,
            fields={"waitingFor": None, "retryAt": None, "flow": flow or None},
        )
        return Decision((ended,))
    waiting_for = cut(turn.waiting_for, WAITING_FOR)
    if text(run.status, "state", "name") != AWAITING_SLOT or run.state is not StateType.SCHEDULED:
        waits = run.becomes(
            StateType.SCHEDULED,
            now,
            name=AWAITING_SLOT,
            reason=Reason.AWAITING_SLOT,
            message=f"It is not the run's turn in {turn.lane} yet; status.waitingFor says where it stands.",
            fields={"waitingFor": waiting_for, "retryAt": None, "flow": flow or None},
        )
        return Decision((waits,), turn.again_seconds, waits=True)
    if text(run.status, "waitingFor") == waiting_for:
        return Decision(requeue_after=turn.again_seconds, waits=True)
    said = run.patch([{"op": "add", "path": "/status/waitingFor", "value": waiting_for}])
    return Decision((said,), turn.again_seconds, waits=True)
