"""Schedules by interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Final

from towpath.errors import ConfigurationError
from towpath.schedules.base import ANCHOR, Schedule
from towpath.schedules.wall_clock import instants, wall_before
from towpath.schedules.zones import zone_named

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interval(Schedule):
    """Due again and again, as long after each other as the interval says.

    Intervals shorter than a day go by time as it passes. Those of a day or more go by the clock on the wall: a run at 9
    in the morning stays at 9 when clocks are changed.

    Args:
        interval: at least a second, as a timedelta or in seconds.
        anchor_date: one of the times; those before it and after it follow. Monday, the 1st of January 2024, 00:00 by
            default. One without a zone is on the schedule's clock.
        timezone: where the clock hangs; that of `anchor_date`, or UTC, by default.

    Raises:
        ConfigurationError: a field cannot be understood.
    """

    interval: timedelta | float
    anchor_date: datetime | None = None
    timezone: str | None = None

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        object.__setattr__(self, "interval", _length(self.interval))
        zone_named(self.timezone)
        if self.anchor_date is not None and not isinstance(self.anchor_date, datetime):
            raise ConfigurationError(
                "A schedule's anchor_date must be a datetime, for example datetime(2026, 1, 31, 9, tzinfo=UTC); got"
                f" {self.anchor_date!r}."
            )

    def __str__(self) -> str:
        return f"{every(_length(self.interval))} from {self._anchor}"

    @property
    def _clock(self) -> tzinfo:
        if self.timezone is not None or self.anchor_date is None or self.anchor_date.tzinfo is None:
            return zone_named(self.timezone)
        return self.anchor_date.tzinfo

    @property
    def _anchor(self) -> datetime:
        """One of the times, on the schedule's clock."""
        anchor = self.anchor_date or ANCHOR
        return anchor.replace(tzinfo=self._clock) if anchor.tzinfo is None else anchor.astimezone(self._clock)

    def _times(self, moment: datetime) -> Iterator[datetime]:
        interval = _length(self.interval)
        if interval < _DAY:
            anchor = self._anchor.astimezone(UTC)
            return (anchor + n * interval for n in count((moment - anchor) // interval))
        start, anchor = wall_before(moment, self._clock), self._anchor.replace(tzinfo=None)
        walls = (anchor + n * interval for n in count((start - anchor) // interval))
        return instants(walls, self._clock, lambda length: not length % interval)


def every(length: timedelta) -> str:
    """Say how often that is: `every 15 min`, `every 1 d 2 h`."""
    rest, parts = length, []
    for unit, name in ((_DAY, "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        whole, rest = divmod(rest, unit)
        parts += [f"{whole} {name}"] if whole else []
    parts += [f"{rest.total_seconds():g} s"] if rest else []
    return f"every {' '.join(parts)}"


def _length(interval: object) -> timedelta:
    length: timedelta | None = None
    if isinstance(interval, timedelta):
        length = interval
    elif isinstance(interval, (int, float)) and not isinstance(interval, bool):
        try:
            length = timedelta(seconds=interval)
        except (OverflowError, ValueError):  # longer than the calendar, or not a number
            length = None
    if length is None or length < timedelta(seconds=1):
        raise ConfigurationError(
            "A schedule's interval must be at least one second, for example timedelta(minutes=10) or 600; got"
            f" {interval!r}."
        )
    return length
