"""Whether a run that has ended is to be tried again, because somebody asked for it; and what that does to its status.

The wish names the attempt that it is about (`spec.retryAfterAttempt`), so it is fulfilled once however often it is
looked at: as soon as the next attempt is written, it speaks of the past.
"""

from __future__ import annotations

from datetime import datetime

from towpath.states import Reason, StateType
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import Body, ObservedFlowRun
from towpath_operator.reconcile.reading import integer
from towpath_operator.reconcile.run import COUNTS, Run
from towpath_operator.reconcile.wish import wish_to_cancel


def retried(observed: ObservedFlowRun, run: Run, now: datetime) -> Decision | None:
    """Decide about a run in a terminal state whose next attempt is asked for; None: it is not, or cannot be."""
    if not is_to_be_tried_again(run, observed.parent):
        return None
    message = f"Attempt {run.attempt + 1} follows, as asked for by spec.retryAfterAttempt."
    begun = run.becomes(
        StateType.SCHEDULED,
        now,
        name="AwaitingRetry",
        reason=Reason.RETRY_BY_REQUEST,
        message=message,
        attempt=run.attempt + 1,
        fields=dict.fromkeys((*COUNTS, "retryAt", "infraFailures")),
    )
    return Decision((begun,))


def is_to_be_tried_again(run: Run, parent: Body | None) -> bool:
    """Tell whether the next attempt of a run in a terminal state is asked for, and can be.

    A run that completed has nothing to be tried again. One that is to be cancelled, or whose parent has ended, would be
    cancelled at once.

    Args:
        run: the run.
        parent: the FlowRun of the name that its spec.parent gives, if there is one.
    """
    after = integer(run.spec, "retryAfterAttempt")
    if after != run.attempt or run.state is StateType.COMPLETED:
        return False
    return wish_to_cancel(run, parent) is None
