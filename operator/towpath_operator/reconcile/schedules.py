"""Which runs the schedules of a Deployment are due for, and how far each schedule has been seen to.

Each schedule has a mark in the status, `seenUntil`: what was due up to there has its run, or was left out for good.
Runs are created first, under names made of deployment, schedule and time, and the mark is written after them. Killed in
between, the next operator looks from the old mark on, decides on the same runs, and is told that they exist.

- A schedule that is new, was edited or was suspended has no mark that speaks of it, and begins now: nobody wants the
  past of a schedule that did not exist then. A new Deployment's schedules begin with the Deployment; none is due before
  it was created.
- The clock may be set. A mark that is a little ahead of it waits until the clock has come up with it. One that is far
  ahead was written by a clock that was wrong: it is taken back, and what was made too early is found by its name.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from towpath.api.v1alpha1.deployment import NEXT_RUNS
from towpath.api.v1alpha1.transitions import cut
from towpath.errors import ConfigurationError
from towpath.schedules.resource import definition_of, schedule_of, written
from towpath_operator.reconcile.observed import ObservedDeployment
from towpath_operator.reconcile.reading import integer, mappings, moment, text, value

#: A run that is later than this was missed: no operator was there.
ON_TIME: Final = timedelta(seconds=60)
#: Of how many missed times runs are made, of each schedule.
MOST_MISSED: Final = 100
#: How many runs of a schedule are made at a time; the others follow at once, after the mark is written.
BATCH: Final = 10
#: How soon a run that the API server refused is tried again, in seconds.
REFUSED_SECONDS: Final = 30.0


class Policy(StrEnum):
    """What becomes of times that were missed: `spec.missedRunPolicy`."""

    SKIP = "Skip"
    LATEST = "Latest"
    ALL = "All"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of one schedule now."""

    entry: Mapping[str, Any]
    """What the spec says."""
    seen: Mapping[str, Any]
    """What the status is to say, after the runs have been made."""
    due: tuple[datetime, ...] = ()
    """Times for which runs are to be made."""
    missed: int = 0
    """How many times are left out for good; of very many at least so many."""
    coming: tuple[datetime, ...] = ()
    """The next times, none of which is due."""
    problem: str = ""
    """Why there are no runs, if somebody has to do something about it."""
    is_refused: bool = False
    """Whether the API server refuses the runs."""

    @property
    def name(self) -> str:
        """The schedule's name."""
        return text(self.entry, "name")


def outlooks(observed: ObservedDeployment, now: datetime) -> Sequence[Outlook]:
    """Say what becomes of each schedule that is not suspended, in the order of the spec."""
    body = observed.deployment
    if value(body, "spec", "suspend") is True:
        return ()
    known = {text(seen, "name"): seen for seen in mappings(body, "status", "schedules")}
    created = moment(body, "metadata", "creationTimestamp") or now
    is_new = integer(body, "metadata", "generation") == 1 and not known
    found: dict[str, Outlook] = {}
    for entry in mappings(body, "spec", "schedules"):
        name = text(entry, "name")
        if name and name not in found and entry.get("suspend") is not True:
            mark = _mark(entry, known.get(name, {}), now) or (created if is_new else now)
            found[name] = _outlook(observed, entry, known.get(name, {}), max(mark, created), now)
    return list(found.values())


def next_runs(found: Sequence[Outlook]) -> list[dict[str, str]]:
    """Give the first of the coming runs, of all schedules together, as the status says them."""
    coming = heapq.merge(*([(time, one.name) for time in one.coming] for one in found))
    return [{"time": written(time), "schedule": name} for time, name in islice(coming, NEXT_RUNS)]


def _mark(entry: Mapping[str, Any], known: Mapping[str, Any], now: datetime) -> datetime | None:
    """Tell up to when a schedule has been seen to; None: not as it is now."""
    if text(known, "definition") != definition_of(entry):
        return None
    mark = moment(known, "seenUntil")
    return now if mark is not None and mark > now + ON_TIME else mark


def _outlook(
    observed: ObservedDeployment, entry: Mapping[str, Any], known: Mapping[str, Any], mark: datetime, now: datetime
) -> Outlook:
    seen = {"name": text(entry, "name"), "definition": definition_of(entry), "seenUntil": written(mark)}
    if last := text(known, "lastScheduleTime"):
        seen["lastScheduleTime"] = last
    try:
        schedule = schedule_of(entry)
    except ConfigurationError as error:
        return Outlook(entry, seen | {"problem": cut(str(error))}, problem=str(error))
    if refusal := observed.refused.get(seen["name"]):
        later = tuple(schedule.next_times(now, NEXT_RUNS))
        return Outlook(entry, seen | {"problem": cut(refusal)}, coming=later, problem=refusal, is_refused=True)
    coming = schedule.next_times(mark, NEXT_RUNS)
    times = [time for time in coming if time <= now]
    if not times:
        return Outlook(entry, seen, coming=tuple(coming))
    are_all = True
    if len(times) == NEXT_RUNS:  # there may be more
        times, are_all = schedule.last_times(mark, now, MOST_MISSED)
    chosen = _chosen(times, observed.deployment, now)
    made = chosen[:BATCH]
    mark = times[-1] if len(made) == len(chosen) else made[-1]
    seen["seenUntil"] = written(mark)
    if made:
        seen["lastScheduleTime"] = written(made[-1])
    missed = sum(time <= mark for time in times) - len(made) + (not are_all)
    return Outlook(entry, seen, tuple(made), missed, tuple(schedule.next_times(now, NEXT_RUNS)))


def _chosen(times: Sequence[datetime], body: Mapping[str, Any], now: datetime) -> Sequence[datetime]:
    """Choose those of the times that are due for which runs are made."""
    policy = text(body, "spec", "missedRunPolicy") or Policy.LATEST
    seconds = integer(body, "spec", "startingDeadlineSeconds")
    if seconds is not None or policy == Policy.SKIP:
        deadline = ON_TIME if seconds is None else timedelta(seconds=seconds)
        times = [time for time in times if now - time <= deadline]
    if policy == Policy.LATEST:
        times = [time for time in times if now - time <= ON_TIME] or times[-1:]
    return times
