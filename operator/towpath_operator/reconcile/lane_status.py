"""Decides what the status of a Queue or a ConcurrencyLimit says: whether it can be used, and how full it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from towpath.api.v1alpha1.concurrency_limit import MAX_HOLDERS
from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.bucket import Draught, draw
from towpath_operator.reconcile.claims import LIMITS, QUEUES, has_rate, is_suspended
from towpath_operator.reconcile.conditions import Condition, changes, condition, patch_of, with_conditions
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.reading import integer, mapping, moment
from towpath_operator.reconcile.ready import TYPE as READY
from towpath_operator.reconcile.resolve import check_template

#: How long the counts may lag behind: runs come and go faster than a status should be written.
COUNT_SECONDS: Final = 5.0


class Word(StrEnum):
    """Why the condition Ready is False."""

    SUSPENDED = "Suspended"  # a Queue lets nobody begin, or a ConcurrencyLimit limits nobody


@dataclass(frozen=True, slots=True)
class ObservedLane:
    """A Queue or a ConcurrencyLimit, and who has to do with it."""

    body: Body
    active: int = 0
    """Slots that are taken; of a Queue, runs at work."""
    waiting: int = 0
    """Runs that wait for slots, or whose code does."""
    holders: Sequence[tuple[str, int]] = ()
    """Names of the first that hold slots, and how many each."""
    lacking: Sequence[tuple[str, int]] = ()
    """Names of the runs whose code waits for slots, the first first, and for how many."""


def decide(plural: str, observed: ObservedLane, now: datetime) -> Decision:
    """Decide what should be done about a Queue or a ConcurrencyLimit; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: _decide(plural, observed, now))


def _decide(plural: str, observed: ObservedLane, now: datetime) -> Decision:
    body = observed.body
    if is_deleting(body):
        return Decision()
    wanted: dict[str, Any] = {
        "conditions": with_conditions(body, {READY: _ready(plural, body, now)}),
        "observedGeneration": integer(body, "metadata", "generation"),
    }
    drawn = Draught()
    if has_rate(body):
        drawn = draw(body, () if is_suspended(body) else observed.lacking, now)
        is_told = drawn.fields or not drawn.level  # in between it falls all the time: nothing to write for its own sake
        active = math.ceil(drawn.level) if is_told else integer(body, "status", "active") or 0
        observed = dataclasses.replace(observed, active=active, holders=())
    changed = changes(body, wanted | dict(drawn.fields))
    counted, wait = _counts(plural, observed, now, is_written=bool(changed))
    again = min((each for each in (wait, drawn.again_seconds) if each is not None), default=None)
    if not changed and not counted:
        return Decision(requeue_after=again)
    return Decision((patch_of(plural, body, changed | counted),), again, gives=drawn.gives)


def _ready(plural: str, body: Body, now: datetime) -> Condition:
    if is_suspended(body):
        said = "No more runs begin" if plural == QUEUES else "Nobody is limited"
        return condition(body, READY, Word.SUSPENDED, f"{said} until suspend is false.", now)
    problem = check_template(mapping(body, "spec")) if plural == QUEUES else None
    if problem is not None:
        return condition(body, READY, str(problem.reason), problem.message, now)
    return condition(body, READY, READY, "", now)


def _counts(
    plural: str, observed: ObservedLane, now: datetime, *, is_written: bool
) -> tuple[dict[str, Any], float | None]:
    """Give the counts, if they are to be written now; else the seconds until they are."""
    body = observed.body
    wanted: dict[str, Any] = {"active": observed.active, "waiting": observed.waiting}
    if plural == LIMITS:
        wanted["holders"] = [{"run": name, "slots": slots} for name, slots in observed.holders[:MAX_HOLDERS]] or None
    changed = changes(body, wanted)
    if not changed:
        return {}, None
    counted = moment(body, "status", "counted")
    if is_written or counted is None or not now - timedelta(seconds=COUNT_SECONDS) < counted <= now:
        return {**changed, "counted": rfc3339(now)}, None
    return {}, COUNT_SECONDS - (now - counted).total_seconds()
