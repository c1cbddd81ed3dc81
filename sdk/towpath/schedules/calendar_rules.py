"""Recurrence rules of iCalendar (RFC 5545, 3.3.10) as times on a wall clock.

Our own, although python-dateutil has them: it follows a rule that is never due (the 30th of February, a fifth time of a
day that has one) up to the year 9999, which takes minutes, and a resource that anybody may apply must not do that to an
operator. Here a rule is followed day by day, from any day, and given up when it has been silent for long enough. What
the two agree on is everything else, and tests hold it.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import product
from typing import Final

#: How many days of a rule's own periods are looked at before it counts as never due: more than 40 years of days.
_SILENCE: Final = 15_000
_DAY: Final = timedelta(days=1)
_END: Final = date(date.max.year, 1, 1).toordinal()


class Frequency(StrEnum):
    """How long a period of a rule is."""

    SECONDLY = "SECONDLY"
    MINUTELY = "MINUTELY"
    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"

    @property
    def seconds(self) -> int | None:
        """Length of a period that is shorter than a day; None for others."""
        return {Frequency.SECONDLY: 1, Frequency.MINUTELY: 60, Frequency.HOURLY: 3600}.get(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its periods, and which days and times of each are due. Empty sets restrict nothing."""

    frequency: Frequency
    anchor: datetime
    """First time that may be due; periods are counted from the one that it is in. Gives what the rule leaves open."""
    until: datetime | None = None
    """Last time that may be due."""
    interval: int = 1
    """Every how many periods."""
    week_start: int = 0
    """First day of a week: 0 is Monday."""
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    """Days of the month; -1 is the last."""
    year_days: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    """Weeks of the year; the first is the one with at least four days in it."""
    weekdays: frozenset[tuple[int, int]] = frozenset()
    """Pairs of n and a day, 0 being Monday: the n-th of the month or year, the n-th from its end, or all for 0."""
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: frozenset[int] = frozenset()
    """Which of a period's times are due; 1 is the first, -1 the last."""

    def __post_init__(self) -> None:
        """Take from the anchor what the rule leaves open."""
        unit, anchor = self.frequency.seconds or 86400, self.anchor
        if not (self.weeks or self.year_days or self.month_days or self.weekdays):
            if self.frequency is Frequency.WEEKLY:
                self._set(weekdays=frozenset({(0, anchor.weekday())}))
            elif self.frequency in {Frequency.MONTHLY, Frequency.YEARLY}:
                self._set(month_days=frozenset({anchor.day}))
                if self.frequency is Frequency.YEARLY and not self.months:
                    self._set(months=frozenset({anchor.month}))
        if not self.hours and unit > 3600:
            self._set(hours=(anchor.hour,))
        if not self.minutes and unit > 60:
            self._set(minutes=(anchor.minute,))
        if not self.seconds and unit > 1:
            self._set(seconds=(anchor.second,))

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def walls(self, start: datetime) -> Iterator[datetime]:
        """Give the times that are due and not before `start`, in ascending order."""
        start = max(start, self.anchor)
        silent = 0
        for first, length in self._periods(start.date()):
            if silent > _SILENCE:
                return
            silent += length
            for wall in self._due(first, length, start):
                if self.until is not None and wall > self.until:
                    return
                if wall >= start:
                    yield wall
                    silent = 0
            if self.until is not None and first > self.until.date():
                return

    def repeats_after(self, length: timedelta) -> bool:
        """Tell whether the times of day, moved by a length shorter than a day, are the same times."""
        unit = self.frequency.seconds
        if unit is None or self.hours or length >= _DAY or length % timedelta(seconds=1):
            return False
        seconds = length // timedelta(seconds=1)
        by_minutes = self.minutes and self.frequency is not Frequency.HOURLY
        by_seconds = self.seconds and self.frequency is Frequency.SECONDLY
        return not (
            seconds % (unit * self.interval) or (by_minutes and seconds % 3600) or (by_seconds and seconds % 60)
        )

    def _periods(self, start: date) -> Iterator[tuple[date, int]]:
        """Give first day and number of days of each period from the one that `start` is in."""
        anchor, step = self.anchor.date(), self.interval
        match self.frequency:
            case Frequency.YEARLY:
                for year in range(_latest(anchor.year, start.year, step), date.max.year, step):
                    yield date(year, 1, 1), 365 + calendar.isleap(year)
            case Frequency.MONTHLY:
                latest = _latest(anchor.year * 12 + anchor.month - 1, start.year * 12 + start.month - 1, step)
                for year, month in (divmod(index, 12) for index in range(latest, date.max.year * 12, step)):
                    yield date(year, month + 1, 1), calendar.monthrange(year, month + 1)[1]
            case Frequency.WEEKLY:
                week = anchor.toordinal() - (anchor.weekday() - self.week_start) % 7
                for day in range(_latest(week, start.toordinal(), 7 * step), _END, 7 * step):
                    yield date.fromordinal(day), 7
            case Frequency.DAILY:
                for day in range(_latest(anchor.toordinal(), start.toordinal(), step), _END, step):
                    yield date.fromordinal(day), 1
            case _:
                for day in range(start.toordinal(), _END):
                    yield date.fromordinal(day), 1

    def _due(self, first: date, length: int, start: datetime) -> Iterator[datetime]:
        days = (day for n in range(length) if self._fits(day := first + n * _DAY))
        if not self.positions:
            for day in days:
                earliest = start.hour if day == start.date() else 0
                yield from (datetime.combine(day, at) for at in self._times(day, earliest))
            return
        walls = [datetime.combine(day, at) for day in days for at in self._times(day, 0)]
        chosen = {position - 1 if position > 0 else len(walls) + position for position in self.positions}
        yield from (walls[index] for index in sorted(chosen) if 0 <= index < len(walls))

    def _times(self, day: date, earliest_hour: int) -> Iterator[time]:
        """Give the times of a day, from an hour on; in periods shorter than a day, those of each interval's."""
        unit = self.frequency.seconds
        before = (day - self.anchor.date()).days * 86400
        anchor = self.anchor.hour * 3600 + self.anchor.minute * 60 + self.anchor.second
        hours = (hour for hour in self.hours or range(24) if hour >= earliest_hour)
        for hour, minute, second in product(hours, self.minutes or range(60), self.seconds or range(60)):
            periods = 0
            if unit:
                periods = (before + hour * 3600 + minute * 60 + second) // unit - anchor // unit
            if not periods % self.interval:
                yield time(hour, minute, second)

    def _fits(self, day: date) -> bool:
        year_day, year = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
        month = calendar.monthrange(day.year, day.month)[1]
        return (
            (not self.months or day.month in self.months)
            and (not self.month_days or _is_nth(self.month_days, day.day, month))
            and (not self.year_days or _is_nth(self.year_days, year_day, year))
            and (not self.weeks or _is_nth(self.weeks, *self._week(day)))
            and (not self.weekdays or self._is_weekday(day))
        )

    def _is_weekday(self, day: date) -> bool:
        if (0, day.weekday()) in self.weekdays:
            return True
        if self.frequency is Frequency.MONTHLY or self.months:
            index, length = day.day, calendar.monthrange(day.year, day.month)[1]
        else:
            index, length = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
        from_start, from_end = (index - 1) // 7 + 1, -((length - index) // 7 + 1)
        return (from_start, day.weekday()) in self.weekdays or (from_end, day.weekday()) in self.weekdays

    def _week(self, day: date) -> tuple[int, int]:
        """Give the number of a day's week in the year that it belongs to, and how many weeks that year has."""
        first = day - (day.weekday() - self.week_start) % 7 * _DAY
        year = (first + 3 * _DAY).year  # the year that has at least four days of the week
        begin, end = self._first_week(year), self._first_week(year + 1)
        return (first - begin).days // 7 + 1, (end - begin).days // 7

    def _first_week(self, year: int) -> date:
        fourth = date(year, 1, 4)
        return fourth - (fourth.weekday() - self.week_start) % 7 * _DAY


def _is_nth(wanted: frozenset[int], index: int, length: int) -> bool:
    """Tell whether the index-th of so many is wanted, counted from the beginning or, below zero, from the end."""
    return index in wanted or index - length - 1 in wanted


def _latest(anchor: int, start: int, step: int) -> int:
    """Give the last of the steps from an anchor that is not after `start`."""
    return anchor + (start - anchor) // step * step
