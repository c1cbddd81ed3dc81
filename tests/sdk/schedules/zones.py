"""Clock changes, found in the zone data that the machine has."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

ZONES = tuple(sorted(available_timezones() - {"Factory", "localtime"}))
FROM, UNTIL = datetime(1935, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
_STEP = timedelta(days=16)  # no zone has kept a time for less


@dataclass(frozen=True)
class Change:
    """Clocks of a zone are moved."""

    zone: ZoneInfo
    at: datetime
    """First instant with the new offset."""
    before: timedelta
    after: timedelta

    @property
    def forward(self) -> timedelta:
        """How far clocks are moved; below zero, they are moved back."""
        return self.after - self.before

    @property
    def wall(self) -> datetime:
        """What the clock would show, had it not been moved."""
        return (self.at + self.before).replace(tzinfo=None)


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    """Give a zone's offset at an instant."""
    return at.astimezone(zone).utcoffset() or timedelta()


def changes(zone: ZoneInfo, start: datetime = FROM, end: datetime = UNTIL) -> Iterator[Change]:
    """Give the changes of a zone's clocks in a stretch of time."""
    at, before = start, offset(zone, start)
    while at < end:
        after = offset(zone, at + _STEP)
        if after != before:
            early, late = at, at + _STEP
            while late - early > timedelta(seconds=1):
                middle = early + (late - early) // timedelta(seconds=2) * timedelta(seconds=1)
                early, late = (middle, late) if offset(zone, middle) == before else (early, middle)
            yield Change(zone, late, before, after)
        at, before = at + _STEP, after


def _data(name: str) -> bytes:
    """Give what is known of a zone; the same for zones of which only the name differs."""
    for folder in TZPATH:
        if (file := Path(folder, name)).is_file():
            return file.read_bytes()
    return files("tzdata").joinpath("zoneinfo", name).read_bytes()


@functools.cache
def a_century_of_changes() -> tuple[Change, ...]:
    """Give one change of each kind that a hundred years of zone data hold: how far, and at what time of day."""
    kinds: dict[tuple[object, ...], Change] = {}
    for name in {_data(name): name for name in ZONES}.values():
        for change in changes(ZoneInfo(name)):
            kinds.setdefault((change.forward, change.wall.time()), change)
    return tuple(kinds.values())
