"""What all schedules have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final

from towpath.errors import ConfigurationError
from towpath.names import digest

#: Where intervals and rules without a beginning of their own are counted from: a Monday, on the schedule's wall clock.
ANCHOR: Final = datetime(2024, 1, 1)  # noqa: DTZ001 a wall time
_FIRST_LOOK: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What all schedules have: when they are due, and how runs that they make differ."""

    active: bool = True
    """Whether it makes runs."""
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Over the deployment's, name by name."""
    slug: str | None = None
    """Name of the schedule within its deployment; from its definition by default."""

    def __post_init__(self) -> None:
        if not isinstance(self.active, bool):
            raise ConfigurationError(f"A schedule's active must be True or False; got {self.active!r}.")
        if self.slug is not None and (not isinstance(self.slug, str) or not self.slug.strip()):
            raise ConfigurationError(f"A schedule's slug must be a text such as 'every-morning'; got {self.slug!r}.")
        parameters = {} if self.parameters is None else self.parameters
        if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
            raise ConfigurationError(
                f"A schedule's parameters must be values by name, for example {{'day': 'monday'}}; got {parameters!r}."
            )
        object.__setattr__(self, "parameters", dict(parameters))

    @property
    def key(self) -> str:
        """What tells this schedule from the others of its deployment: the slug, or a hash of what it says."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in {"active", "slug"}}
        return self.slug or digest(type(self).__name__, json.dumps(said, sort_keys=True, default=str))

    def times_after(self, after: datetime) -> Iterator[datetime]:
        """Give the times at which runs are due later than `after`, in UTC, one by one.

        Raises:
            ValueError: `after` has no zone.
        """
        if after.tzinfo is None:
            raise ValueError(f"A schedule is asked for times after an instant, which {after!r} is not: give it a zone.")
        moment = after.astimezone(UTC)
        times = self._times(moment)
        while True:
            try:
                due = next(times)
            except (StopIteration, OverflowError):  # it has an end, or the calendar has
                return
            if due > moment:
                yield due

    def next_times(self, after: datetime, n: int) -> list[datetime]:
        """Give the next `n` times later than `after`, in UTC; fewer if the schedule ends."""
        return list(islice(self.times_after(after), n))

    def times_between(self, after: datetime, until: datetime) -> list[datetime]:
        """Give the times later than `after` and not later than `until`, in UTC.

        Stretches that meet share no time and lose none: what is due at `until` belongs to the stretch that ends there.
        """
        if until.tzinfo is None:
            raise ValueError(f"A schedule is asked for times until an instant, which {until!r} is not: give it a zone.")
        return list(takewhile(lambda due: due <= until, self.times_after(after)))

    def last_times(self, after: datetime, until: datetime, n: int) -> tuple[list[datetime], bool]:
        """Give the last `n` times of such a stretch, however many there are, and whether they are all.

        Looks back further and further, because a stretch of a year may hold thirty million of them.
        """
        look = _FIRST_LOOK
        while True:
            reaches_back = until - after <= look
            times = self.times_between(after if reaches_back else until - look, until)
            if reaches_back or len(times) >= n:
                return times[-n:], reaches_back and len(times) <= n
            look *= 2

    def _times(self, moment: datetime) -> Iterator[datetime]:
        """Give times in ascending order, beginning not later than at the first after a moment."""
        raise NotImplementedError
