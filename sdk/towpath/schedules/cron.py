"""Schedules by cron expression."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from towpath.errors import ConfigurationError
from towpath.schedules.base import ANCHOR, Schedule
from towpath.schedules.wall_clock import instants, wall_before
from towpath.schedules.zones import zone_named

_DAY: Final = timedelta(days=1)
_CRON_FIELDS: Final = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class Cron(Schedule):
    """Due when the clock on the wall fits a cron expression.

    Args:
        cron: minute, hour, day of month, month and day of week, or a nickname such as `@daily`. Beside `*`, lists,
            ranges and steps: names of months and days, `L` (last day of the month), `LW` (its last weekday), `5L` (last
            Friday), `MON#2` (second Monday); 0 and 7 are Sunday.
        timezone: where the clock hangs; UTC by default.
        day_or: with both days restricted, which is to say that neither begins with `*`: whether one of them has to fit,
            as cron has it, or both.

    Raises:
        ConfigurationError: the expression or the zone cannot be understood, or there is no such day.
    """

    cron: str
    timezone: str | None = None
    day_or: bool = True

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        zone_named(self.timezone)
        if not isinstance(self.cron, str):
            raise ConfigurationError(_not_cron(self.cron, "it must be a text of five fields"))
        if wrong := _what_is_wrong(self.cron):
            raise ConfigurationError(_not_cron(self.cron, wrong))
        from cronsim import CronSimError

        try:
            due = next(self._walls(ANCHOR), None)
        except CronSimError:  # of some days it knows without looking for them that they do not exist
            due = None
        if due is None:
            raise ConfigurationError(
                f"The schedule cron={self.cron!r} is never due: there is no such day. Check its day of month, month and"
                " day of week."
            )

    def __str__(self) -> str:
        return f"cron {self.cron!r} ({self.timezone or 'UTC'})"

    def _times(self, moment: datetime) -> Iterator[datetime]:
        zone = zone_named(self.timezone)
        unchanged = functools.cache(self._repeats_after)
        return instants(self._walls(wall_before(moment, zone)), zone, unchanged)

    def _walls(self, start: datetime) -> Iterator[datetime]:
        from cronsim import CronSim

        walls = CronSim(" ".join(_fields_of(self.cron)), start - timedelta(seconds=1))
        if not self.day_or:
            walls.day_and = True
        return walls

    def _repeats_after(self, length: timedelta) -> bool:
        """Tell whether the times of day, and the days if it takes whole ones, are the same so much later."""
        minutes, rest = divmod(length, timedelta(minutes=1))
        if rest or (length >= _DAY and _fields_of(self.cron)[2:] != ["*", "*", "*"]):
            return False
        from cronsim import CronSim

        parsed = CronSim(" ".join(_fields_of(self.cron)), ANCHOR)
        day = {hour * 60 + minute for hour in parsed.hours for minute in parsed.minutes}
        return {(minute + minutes) % (24 * 60) for minute in day} == day


def _fields_of(cron: str) -> list[str]:
    return _NICKNAMES.get(cron.strip().lower(), cron).split()


def _what_is_wrong(cron: str) -> str | None:
    """Say which part of a cron expression cannot be read, if there is one."""
    from cronsim import CronSim, CronSimError

    parts = _fields_of(cron)
    if cron.lstrip().startswith("@") and cron.strip().lower() not in _NICKNAMES:
        return f"the names for one are {', '.join(_NICKNAMES)}"
    if len(parts) != len(_CRON_FIELDS):
        have = "1 field" if len(parts) == 1 else f"{len(parts)} fields"
        return f"it has {have}, and needs five: {', '.join(_CRON_FIELDS)}"
    for index, (name, takes) in enumerate(_CRON_FIELDS.items()):
        try:
            CronSim(" ".join("*" if n != index else part for n, part in enumerate(parts)), ANCHOR)
        except (CronSimError, AssertionError, ValueError, TypeError):
            return f"its {name} {parts[index]!r} is not {takes}, nor a list, a range or a step of them"
    return None


def _not_cron(cron: object, why: str) -> str:
    return (
        f"The schedule cron={cron!r} is no cron expression: {why}. For example, '*/15 9-17 * * MON-FRI' is every"
        " quarter of an hour from 9 to 17:45 on weekdays."
    )
