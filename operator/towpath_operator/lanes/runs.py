"""A run that has not ended, as the lanes know it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeVar

from towpath_operator.observe import Key
from towpath_operator.reconcile.claims import Order

K = TypeVar("K", bound=Hashable)
NO_LANES: Final[frozenset[Key]] = frozenset()


class Stand(Enum):
    """How a run stands to the slots that it needs."""

    APART = auto()
    WAITS = auto()
    HOLDS = auto()


@dataclass(slots=True)
class StandingRun:
    """A run that has not ended."""

    key: Key
    uid: str
    parent: tuple[Key, str] | None
    """Key and UID of the run that called it."""
    deployment: str
    tags: frozenset[str]
    named: frozenset[Key] = NO_LANES
    """Lanes that it is under."""
    lent: frozenset[Key] = NO_LANES
    """Lanes in which a run above it holds a slot."""
    counted: frozenset[Key] = NO_LANES
    """Lanes in which it stands itself: those that it is under and that nobody lends it."""
    order: Order = field(default=Order(0, 0.0, ""))
    stand: Stand = Stand.APART


def discard(index: defaultdict[K, set[Key]], value: K, key: Key) -> None:
    """Take a key out of an index, and the value with it if it was the last."""
    found = index.get(value)
    if found is not None:
        found.discard(key)
        if not found:
            del index[value]
