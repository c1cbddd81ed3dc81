"""Schedules by recurrence rule."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from towpath.errors import ConfigurationError
from towpath.schedules.base import ANCHOR, Schedule
from towpath.schedules.recurrence import Recurrence, parse
from towpath.schedules.wall_clock import instants, wall_before
from towpath.schedules.zones import zone_named


@dataclass(frozen=True, slots=True)
class RRule(Schedule):
    """Due when the clock on the wall fits a recurrence rule of iCalendar (RFC 5545).

    Args:
        rrule: `FREQ=…`, or several lines: `DTSTART:…`, one or more `RRULE:…`, `RDATE:…`, `EXDATE:…`. Without DTSTART a
            rule begins on Monday, the 1st of January 2024, 00:00. COUNT is refused: write UNTIL.
        timezone: where the clock hangs; the zone of DTSTART, or UTC, by default.

    Raises:
        ConfigurationError: the rule or the zone cannot be understood, or is never due.
    """

    rrule: str
    timezone: str | None = None

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if not isinstance(self.rrule, str) or not self.rrule.strip():
            raise ConfigurationError(
                f"A schedule's rrule must be a text, for example 'FREQ=DAILY;BYHOUR=9;BYMINUTE=0'; got {self.rrule!r}."
            )
        _ = self._recurrence

    def __str__(self) -> str:
        return f"rrule {self.rrule!r} ({self.timezone or 'UTC'})"

    @property
    def _recurrence(self) -> Recurrence:
        return parse(self.rrule, None if self.timezone is None else zone_named(self.timezone), ANCHOR)

    def _times(self, moment: datetime) -> Iterator[datetime]:
        recurrence = self._recurrence
        start = wall_before(moment, recurrence.zone)
        merged = heapq.merge(*(instants(s.walls(start), recurrence.zone, s.repeats_after) for s in recurrence.series))
        last = None
        for due in merged:
            if due != last:
                yield (last := due)
