"""Which runs that have ended are removed now, and when to look again.

Runs go by their own `ttlSecondsAfterFinished`, else by their Deployment's `history`, else by the operator's setting. A
run takes along what it called, so only runs that nothing else takes along are looked at. One stays, however old, while
it is still needed: by itself, to be tried again; by a run below it, which may be deleted with it; by the run that
called it, for its result; by its schedule, as the sign that its time was seen to; by its Deployment, until that has
written down the success; by Automations, until they have written down what became of it.

Whoever keeps a record elsewhere puts a finalizer on runs, as for any object in Kubernetes: what is removed here stays
until the finalizer is taken off, and is not counted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from towpath import names
from towpath.states import StateType
from towpath_operator.reconcile.again import is_to_be_tried_again
from towpath_operator.reconcile.decision import Decision, DeleteRun
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body, EndedRun, ObservedHistory
from towpath_operator.reconcile.pods import is_finished
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text
from towpath_operator.reconcile.run import Run

#: How many runs are removed at a time, and how many seconds later the next of them are.
BATCH: Final = 20
BATCH_SECONDS: Final = 1.0
#: How soon a run that has to go and is still needed is looked at again, in seconds.
NEEDED_SECONDS: Final = 10.0


def decide(observed: ObservedHistory, now: datetime) -> Decision:
    """Decide which runs of a Deployment, or of none, are removed; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: _decide(observed, now))


def own_ttl(run: Body) -> int | None:
    """Give for how many seconds a run is kept by its own word."""
    return integer(run, "spec", "ttlSecondsAfterFinished")


def ended_at(run: Body) -> datetime | None:
    """Tell when a run ended that has."""
    return moment(run, "status", "completionTime") or moment(run, "status", "state", "since")


def over_at(end: datetime, seconds: int) -> datetime:
    """Tell when a run has been kept for so many seconds after its end, whatever that is said to be."""
    try:
        return end + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def is_taken_along(run: Body) -> bool:
    """Tell whether a run goes with the run that called it."""
    return any(text(owner, "kind") == "FlowRun" for owner in mappings(run, "metadata", "ownerReferences"))


def _decide(observed: ObservedHistory, now: datetime) -> Decision:
    history = mapping(observed.deployment, "spec", "history")
    ttl = integer(history, "ttlSeconds") or observed.policy.run_ttl_seconds or None
    removed: list[DeleteRun] = []
    waits: list[float] = []
    for runs, limit, common_ttl in (
        (observed.succeeded, integer(history, "succeeded"), ttl),
        (observed.failed, integer(history, "failed"), ttl),
        (observed.by_own_ttl, None, None),
    ):
        for ended, wait in _out_of_date(runs, limit, common_ttl, now):
            if wait > 0:
                waits.append(wait)
            elif _is_needed(ended, observed.deployment):
                waits.append(NEEDED_SECONDS)
            elif len(removed) == BATCH:
                return Decision(tuple(removed), BATCH_SECONDS)
            else:
                removed.append(_remove(ended.run))
    return Decision(tuple(removed), min(waits, default=None))


def _out_of_date(
    runs: Sequence[EndedRun], limit: int | None, common_ttl: int | None, now: datetime
) -> Iterator[tuple[EndedRun, float]]:
    """Give the runs that have to go, and the first that has to later, each with the seconds until then."""
    too_many = len(runs) - limit if limit is not None else 0
    for position, ended in enumerate(runs):
        own = own_ttl(ended.run)
        ttl, end = common_ttl if own is None else own, ended_at(ended.run)
        if position < too_many:
            yield ended, 0.0
        elif ttl is None or end is None:
            return
        else:
            wait = (over_at(end, ttl) - now).total_seconds()
            yield ended, max(wait, 0.0)
            if wait > 0:
                return


def _is_needed(ended: EndedRun, deployment: Body | None) -> bool:
    run = Run.of(ended.run)
    return (
        ended.has_live_below
        or (ended.job is not None and not is_finished(ended.job))
        or ended.parent is not None
        or ended.is_awaited
        or is_to_be_tried_again(run, None)
        or (deployment is not None and _is_news(run, ended.run, deployment))
    )


def _is_news(run: Run, body: Body, deployment: Body) -> bool:
    """Tell whether the Deployment's status does not say yet what is known from the run alone."""
    if run.state is StateType.COMPLETED:
        told, end = moment(deployment, "status", "lastSucceeded"), ended_at(body)
        if end is not None and (told is None or told < end):
            return True
    schedule, due = text(body, "metadata", "labels", names.LABEL_SCHEDULE), moment(run.spec, "scheduledTime")
    mark = next((one for one in mappings(deployment, "status", "schedules") if text(one, "name") == schedule), {})
    seen = moment(mark, "seenUntil")
    return due is not None and seen is not None and seen < due


def _remove(run: Body) -> DeleteRun:
    return DeleteRun(
        namespace=text(run, "metadata", "namespace"),
        name=text(run, "metadata", "name"),
        uid=text(run, "metadata", "uid"),
        resource_version=text(run, "metadata", "resourceVersion"),
    )
