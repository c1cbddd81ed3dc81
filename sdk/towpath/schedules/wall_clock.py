"""From times on a wall clock to instants: what becomes of a schedule where clocks are changed.

A schedule says wall times, such as 02:30 every day. In a zone whose clocks are changed a wall time may not exist (the
gap when they go forward) or exist twice (the fold when they go back). Nothing may be skipped and nothing doubled:

- a time in a gap becomes the first instant after the gap: 02:30 becomes 03:00 of that day;
- a time in a fold counts when it comes first, and not again an hour later;
- unless the schedule repeats itself after exactly as long as the clocks are moved: then it goes on as if nothing had
  happened. A schedule for every 15 minutes, or for half past every hour, neither pauses for an hour nor has a run too
  many: it is the same schedule before and after.

Instants are given in UTC, because Python compares two times of the same zone by what the clock shows, and in a fold
that says nothing about which comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_NOTHING: Final = timedelta()
_SECOND: Final = timedelta(seconds=1)


def instants(walls: Iterable[datetime], zone: tzinfo, repeats_after: Callable[[timedelta], bool]) -> Iterator[datetime]:
    """Give the instants, in UTC and each later than the one before, of times on a wall clock.

    Args:
        walls: times without a zone, in ascending order.
        zone: where the clock hangs.
        repeats_after: tells whether the schedule, moved by a length of time, is the same schedule.
    """
    last = None
    again: deque[datetime] = deque()  # second passes of a fold, until their time has come
    for wall in walls:
        before, after = _offset(wall, zone, fold=0), _offset(wall, zone, fold=1)
        if before < after:
            if repeats_after(after - before):
                continue
            instant = _end_of_gap(wall, zone, before, after)
        else:
            instant = (wall - before).replace(tzinfo=UTC)
        while again and again[0] < instant:
            yield (last := again.popleft())
        if before > after and repeats_after(before - after):
            again.append((wall - after).replace(tzinfo=UTC))
        if last is None or instant > last:
            yield (last := instant)
    yield from again


def wall_before(instant: datetime, zone: tzinfo) -> datetime:
    """Give a time on the wall clock before which no wall time can still come after an instant."""
    wall = instant.astimezone(zone).replace(tzinfo=None)
    repeated = _offset(wall, zone, fold=0) - _offset(wall, zone, fold=1)
    return wall - max(repeated, _NOTHING)


def _offset(wall: datetime, zone: tzinfo, fold: int) -> timedelta:
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or _NOTHING


def _end_of_gap(wall: datetime, zone: tzinfo, before: timedelta, after: timedelta) -> datetime:
    """Find the instant at which clocks jump over a wall time: the only one in this stretch where the offset changes."""
    early, late = (wall - after).replace(tzinfo=UTC), (wall - before).replace(tzinfo=UTC)
    early, late = early.replace(microsecond=0), late.replace(microsecond=0)
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
