"""Reading recurrence texts of iCalendar: `FREQ=…`, or lines of DTSTART, RRULE, RDATE and EXDATE."""

from __future__ import annotations

import functools
import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from towpath.errors import ConfigurationError
from towpath.schedules.calendar_rules import Frequency, Rule

_LONGEST: Final = 6500
_PROPERTIES: Final = ("DTSTART", "RRULE", "RDATE", "EXDATE")
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
#: From the part's name to the field of Rule, the largest number, and whether it counts from the end too, not from 0.
_NUMBERS: Final = {
    "BYSECOND": ("seconds", 59, False),
    "BYMINUTE": ("minutes", 59, False),
    "BYHOUR": ("hours", 23, False),
    "BYMONTH": ("months", 12, False),
    "BYMONTHDAY": ("month_days", 31, True),
    "BYYEARDAY": ("year_days", 366, True),
    "BYWEEKNO": ("weeks", 53, True),
    "BYSETPOS": ("positions", 366, True),
}
_PARTS: Final = ("FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY", *_NUMBERS)


@dataclass(frozen=True, slots=True)
class Series:
    """Times on a wall clock in ascending order."""

    walls: Callable[[datetime], Iterator[datetime]]
    """Gives those not before a wall time."""
    repeats_after: Callable[[timedelta], bool]
    """Tells whether the series, moved by a length of time, is the same series."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What a recurrence text says: what is due in any of its series is due, once."""

    series: tuple[Series, ...]
    zone: tzinfo


@functools.lru_cache(maxsize=1024)
def parse(text: str, zone: tzinfo | None, anchor: datetime) -> Recurrence:
    """Understand a recurrence text.

    Args:
        text: the text.
        zone: of the schedule; None: that of DTSTART, or UTC.
        anchor: the wall time from which rules are counted that have no DTSTART.

    Raises:
        ConfigurationError: it cannot be understood, or is never due.
    """
    if len(text) > _LONGEST:
        raise ConfigurationError(f"A schedule's rrule has at most {_LONGEST} characters; this one has {len(text)}.")
    try:
        recurrence, first = _read(text, zone, anchor)
    except _Unreadable as error:
        raise ConfigurationError(
            f"The schedule rrule={text!r} is no recurrence rule: {error}. For example, 'FREQ=MONTHLY;BYDAY=-1FR;"
            "BYHOUR=17;BYMINUTE=0' is 17:00 on the last Friday of each month."
        ) from None
    if next(heapq.merge(*(one.walls(first) for one in recurrence.series)), None) is None:
        raise ConfigurationError(
            f"The schedule rrule={text!r} is never due. Check its days against its months, and its INTERVAL and UNTIL"
            " against where it begins."
        )
    return recurrence


class _Unreadable(Exception):
    """Says, as part of a sentence, what is wrong with a text."""


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    zone_name: str | None
    value: str


def _read(text: str, zone: tzinfo | None, anchor: datetime) -> tuple[Recurrence, datetime]:
    """Read a text; give also the wall time before which nothing of it is due."""
    lines = [_line(line) for line in text.splitlines() if line.strip()]
    starts = [line for line in lines if line.name == "DTSTART"]
    if len(starts) > 1:
        raise _Unreadable("it has more than one DTSTART")
    if zone is None:
        zone = _zone(starts[0].zone_name) if starts and starts[0].zone_name else UTC
    if starts:
        anchor = _times(starts[0], zone)[0]
    extra = sorted({time for line in lines if line.name == "RDATE" for time in _times(line, zone)})
    never = frozenset(time for line in lines if line.name == "EXDATE" for time in _times(line, zone))
    rules = [_rule(line.value, zone, anchor) for line in lines if line.name == "RRULE"]
    if not rules and not extra:
        raise _Unreadable("it has neither a rule nor an RDATE")
    series = [Series(functools.partial(_without, never, rule.walls), rule.repeats_after) for rule in rules]
    listed = functools.partial(_without, never, lambda start: (time for time in extra if time >= start))
    return Recurrence((*series, Series(listed, lambda _: False)), zone), min([anchor, *extra])


def _without(
    never: frozenset[datetime], walls: Callable[[datetime], Iterator[datetime]], start: datetime
) -> Iterator[datetime]:
    return (wall for wall in walls(start) if wall not in never)


def _line(line: str) -> _Line:
    """Take a line apart: its name, its TZID if it has one, its value."""
    head, colon, value = line.strip().partition(":")
    if not colon:
        head, value = "RRULE", head
    name, *options = head.split(";")
    zone_name = None
    for option in options:
        key, _, said = option.partition("=")
        if key.upper() == "TZID":
            zone_name = said
        elif option.upper() not in {"VALUE=DATE", "VALUE=DATE-TIME"}:
            raise _Unreadable(f"{option!r} cannot be used before the colon")
    if name.upper() not in _PROPERTIES:
        raise _Unreadable(f"{name!r} is none of {', '.join(_PROPERTIES)}")
    return _Line(name.upper(), zone_name, value)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _Unreadable(f"TZID={name} is not the name of a time zone") from None


def _times(line: _Line, zone: tzinfo) -> list[datetime]:
    """Read times such as 20260131T090000, and tell them by the schedule's clock."""
    own = _zone(line.zone_name) if line.zone_name else zone
    return [_time(one, own, zone) for one in line.value.split(",")]


def _time(text: str, own: tzinfo, zone: tzinfo) -> datetime:
    found = re.fullmatch(r"(\d{8})(?:T(\d{6})(Z?))?", text.strip().upper())
    try:
        day, clock, utc = found.groups() if found else ("", "", "")
        wall = datetime.strptime(day + (clock or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007 a wall time
    except ValueError:
        raise _Unreadable(f"{text!r} is no time such as 20260131T090000") from None
    if utc:
        own = UTC
    return wall if own == zone else wall.replace(tzinfo=own).astimezone(zone).replace(tzinfo=None)


def _rule(value: str, zone: tzinfo, anchor: datetime) -> Rule:
    parts = _parts(value)
    if parts.get("FREQ") not in Frequency.__members__:
        raise _Unreadable(f"its FREQ must be one of {', '.join(Frequency)}")
    frequency = Frequency(parts["FREQ"])
    fields: dict[str, Any] = {}
    for name, (field, largest, from_end) in _NUMBERS.items():
        if name in parts:
            fields[field] = _numbers(name, parts[name], largest, from_end)
    if "BYDAY" in parts:
        fields["weekdays"] = frozenset(_weekday(one, frequency) for one in parts["BYDAY"].split(","))
    if "positions" in fields and frequency.seconds:
        raise _Unreadable(f"BYSETPOS cannot be used with FREQ={frequency}; name the times by BYHOUR and BYMINUTE")
    if "WKST" in parts:
        if parts["WKST"] not in _WEEKDAYS:
            raise _Unreadable(f"its WKST must be one of {', '.join(_WEEKDAYS)}")
        fields["week_start"] = _WEEKDAYS.index(parts["WKST"])
    if not re.fullmatch(r"[1-9]\d{0,3}", parts.get("INTERVAL", "1")):
        raise _Unreadable("its INTERVAL must be a whole number from 1 to 9999")
    if "UNTIL" in parts:
        fields["until"] = _time(parts["UNTIL"], zone, zone)
        if "T" not in parts["UNTIL"]:
            fields["until"] += timedelta(days=1, seconds=-1)  # the whole of that day
    return Rule(frequency, anchor, interval=int(parts.get("INTERVAL", "1")), **fields)


def _parts(value: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in value.strip().rstrip(";").upper().split(";"):
        name, equals, said = part.partition("=")
        if not equals or not said:
            raise _Unreadable(f"{part!r} is not of the form NAME=VALUE")
        if name == "COUNT":
            raise _Unreadable("COUNT cannot be used, since it depends on when one begins to count; write UNTIL")
        if name not in _PARTS:
            raise _Unreadable(f"{name!r} is none of {', '.join(_PARTS)}")
        if name in parts:
            raise _Unreadable(f"it says {name} twice")
        parts[name] = said
    return parts


def _numbers(name: str, text: str, largest: int, from_end: bool) -> frozenset[int] | tuple[int, ...]:
    smallest = 1 if from_end or name == "BYMONTH" else 0
    numbers = set()
    for one in text.split(","):
        found = re.fullmatch(r"[+-]?\d{1,3}", one)
        number = int(one) if found else None
        size = abs(number) if number is not None and from_end else number
        if number is None or size is None or not smallest <= size <= largest:
            bounds = f"{smallest} to {largest}" + (f" or -{largest} to -{smallest}" if from_end else "")
            raise _Unreadable(f"its {name} {one!r} must be a whole number from {bounds}")
        numbers.add(number)
    return tuple(sorted(numbers)) if name in {"BYHOUR", "BYMINUTE", "BYSECOND"} else frozenset(numbers)


def _weekday(text: str, frequency: Frequency) -> tuple[int, int]:
    found = re.fullmatch(rf"([+-]?[1-9]\d?)?({'|'.join(_WEEKDAYS)})", text)
    if not found or abs(int(found[1] or 0)) > 53:
        raise _Unreadable(f"its BYDAY {text!r} must be one of {', '.join(_WEEKDAYS)}, or such as 1MO or -1FR")
    if found[1] and frequency not in {Frequency.MONTHLY, Frequency.YEARLY}:
        raise _Unreadable(f"its BYDAY {text!r} counts days of a month or year, which FREQ={frequency} does not have")
    return int(found[1] or 0), _WEEKDAYS.index(found[2])
