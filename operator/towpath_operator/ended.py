"""Runs that have ended, in the order in which they are to go: kept up to date with each change.

Ten thousand of them must not be walked through whenever one more ends. So each group, the runs of a Deployment or those
of none in a namespace, has its runs sorted, and a decision looks at the first of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple, TypeAlias, overload

from towpath import states
from towpath.states import StateType
from towpath_operator.reconcile.history import ended_at, is_taken_along, over_at, own_ttl
from towpath_operator.reconcile.observed import Body, EndedRun
from towpath_operator.reconcile.reading import text

Group: TypeAlias = tuple[str, str]
"""Namespace, and name of the Deployment; empty for runs of none."""


class Order(Enum):
    """By what a run that has ended is to go."""

    SUCCEEDED = auto()
    """The time of its end, beside others that COMPLETED."""
    FAILED = auto()
    """The time of its end, beside others that did not."""
    OWN_TTL = auto()
    """When the time is over that it gives itself."""


class _Seat(NamedTuple):
    group: Group
    order: Order
    entry: tuple[datetime, str]


class EndedRuns:
    """The runs that have ended and that nothing else takes along, by group and order."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Group, Order], list[tuple[datetime, str]]] = {}

    def changed(self, old: Body | None, new: Body | None) -> Group | None:
        """Note how a run changed, None for not being there; give the group that has to be looked at, if one has to."""
        before, after = (None if run is None else _seat_of(run) for run in (old, new))
        if before != after:
            if before is not None:
                entries = self._entries[before.group, before.order]
                del entries[bisect_left(entries, before.entry)]
                if not entries:
                    del self._entries[before.group, before.order]
            if after is not None:
                insort(self._entries.setdefault((after.group, after.order), []), after.entry)
        return after.group if after is not None else None

    def of(self, group: Group, order: Order, look_up: Callable[[str], EndedRun]) -> Sequence[EndedRun]:
        """Give the runs of a group in an order, the first to go first; each is looked up when it is asked for."""
        return _Lazy(self._entries.get((group, order), ()), look_up)


class _Lazy(Sequence[EndedRun]):
    def __init__(self, entries: Sequence[tuple[datetime, str]], look_up: Callable[[str], EndedRun]) -> None:
        self._entries = entries
        self._look_up = look_up

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> EndedRun: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EndedRun]: ...
    def __getitem__(self, index: int | slice) -> EndedRun | Sequence[EndedRun]:
        if isinstance(index, slice):
            return _Lazy(self._entries[index], self._look_up)
        return self._look_up(self._entries[index][1])


def _seat_of(run: Body) -> _Seat | None:
    state = text(run, "status", "state", "type")
    if state not in states.TERMINAL or text(run, "metadata", "deletionTimestamp") or is_taken_along(run):
        return None
    end, ttl = ended_at(run), own_ttl(run)
    if end is None:
        return None
    name = text(run, "metadata", "name")
    group = (text(run, "metadata", "namespace"), text(run, "spec", "deploymentRef"))
    if ttl is not None:
        return _Seat(group, Order.OWN_TTL, (over_at(end, ttl), name))
    return _Seat(group, Order.SUCCEEDED if state == StateType.COMPLETED else Order.FAILED, (end, name))
