"""What a run says, itself or by its Deployment, about whose turn it is: queue, limits, tags, priority; and its place.

One word for all who have to agree: what resolves a run, and the lanes in which it stands.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from towpath.states import AWAITING_SLOT, SUSPENDED, TERMINAL, Reason, StateType
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, moment, text, texts, value

QUEUES: Final = "queues"
LIMITS: Final = "concurrencylimits"
_AT_WORK: Final = frozenset({StateType.RUNNING, StateType.PAUSED})


class Order(NamedTuple):
    """Where a run stands among others; the least comes first. The same in every lane: that is why none can lock up."""

    priority: int
    """The negated priority: the highest comes first."""
    since: float
    """When it was made, or due if that is later, in seconds since the epoch."""
    name: str


def queue_of(run: Body, deployment: Body | None) -> str:
    """Give the name of the Queue in which a run takes its turn; empty if there is none."""
    return text(run, "spec", "queue") or text(deployment, "spec", "queue")


def limits_of(run: Body, deployment: Body | None) -> tuple[str, ...]:
    """Give the names of the ConcurrencyLimits of which a run needs a slot."""
    return tuple(dict.fromkeys([*texts(deployment, "spec", "limits"), *texts(run, "spec", "limits")]))


def tags_of(run: Body, deployment: Body | None) -> frozenset[str]:
    """Give a run's tags."""
    return frozenset(texts(deployment, "spec", "tags")) | frozenset(texts(run, "spec", "tags"))


def order_of(run: Body, deployment: Body | None, queue: Body | None) -> Order:
    """Give a run's place among those that wait."""
    own = integer(run, "spec", "priority")
    if own is None:
        own = integer(deployment, "spec", "priority") or 0
    priority = own + (integer(queue, "spec", "priority") or 0)
    times = (moment(run, "metadata", "creationTimestamp"), moment(run, "spec", "scheduledTime"))
    since = max((time.timestamp() for time in times if time is not None), default=0.0)
    return Order(-priority, since, text(run, "metadata", "name"))


def tag_of_runs(limit: Body | None) -> str:
    """Give the tag whose every run needs a slot of a ConcurrencyLimit; empty if it is not for runs by tag."""
    return text(limit, "spec", "tag") if text(limit, "spec", "appliesTo") == "Runs" else ""


def has_rate(limit: Body | None) -> bool:
    """Tell whether slots of a ConcurrencyLimit are taken at a rate; one of 0 is none, as on one machine."""
    return bool(text(limit, "spec", "slotDecayPerSecond").strip("0."))


def is_over(run: Body | None) -> bool:
    """Tell whether a run has ended, or is not there."""
    return run is None or text(run, "status", "state", "type") in TERMINAL


def is_at_work(run: Body, *, has_job: bool) -> bool:
    """Tell whether a run that has not ended holds its slots.

    It does from the moment its Job exists, and between attempts after a failure of what it runs on. One that is
    suspended, that resumes, or that is tried again by request holds nothing until its next Job is made.

    Args:
        run: the FlowRun.
        has_job: whether the Job of its attempt exists; it may, and the status not say so yet.
    """
    state = mapping(run, "status", "state")
    if state.get("type") == StateType.PAUSED and state.get("name") == SUSPENDED:
        return False
    if text(run, "status", "job") or has_job or state.get("type") in _AT_WORK:
        return True
    return state.get("type") == StateType.SCHEDULED and state.get("reason") == Reason.AWAITING_RETRY


def says_it_waits(run: Body) -> bool:
    """Tell whether a run's status says that it waits for a slot; one that is being deleted waits for nothing."""
    state = mapping(run, "status", "state")
    waits = state.get("type") == StateType.SCHEDULED and state.get("name") == AWAITING_SLOT
    return waits and not text(run, "metadata", "deletionTimestamp")


def is_suspended(body: Body | None) -> bool:
    """Tell whether a Queue lets nobody begin, or a ConcurrencyLimit everybody."""
    return value(body, "spec", "suspend") is True
