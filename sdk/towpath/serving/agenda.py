"""Which times of schedules are due. Pure.

A schedule has a mark: up to there, what was due has become runs, or was left out for good. Whoever looks later looks
from the mark on, so that nothing is doubled, and nothing lost however long nobody looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from towpath.schedules import Schedule

#: A run that is later than this was missed: nobody served, or the machine slept.
MISSED_AFTER: Final = timedelta(seconds=15)
#: Of how many missed times runs are made at once, of each schedule.
MOST_MISSED: Final = 100


class MissedRuns(StrEnum):
    """What becomes of times that were due while nobody served."""

    ALL = "all"
    """Each gets its run; of very many, the latest."""
    LATEST = "latest"
    """The last of them gets a run."""
    SKIP = "skip"
    """None does."""


@dataclass(frozen=True, slots=True)
class Due:
    """What of a schedule is due."""

    times: tuple[datetime, ...]
    """To be run, in order."""
    left_out: bool
    """Whether other times, which were missed, are not."""


def due(schedule: Schedule, mark: datetime, now: datetime, missed: MissedRuns) -> Due:
    """Tell which times of a schedule are to be run now.

    Args:
        schedule: which.
        mark: times up to here have been seen to.
        now: times up to here are due.
        missed: what becomes of times that were missed.
    """
    times, are_all = schedule.last_times(mark, now, MOST_MISSED)
    chosen = times
    if missed is MissedRuns.SKIP:
        chosen = [time for time in times if time >= now - MISSED_AFTER]
    elif missed is MissedRuns.LATEST:
        chosen = times[-1:]
    return Due(tuple(chosen), not are_all or len(chosen) < len(times))
