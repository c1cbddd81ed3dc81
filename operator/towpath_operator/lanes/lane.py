"""One lane: who holds its slots, and who waits for them, in order."""

from __future__ import annotations

import bisect
import sys
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from towpath_operator.reconcile.claims import Order

K = TypeVar("K", bound=Hashable)


class Lane(Generic[K]):
    """So many slots, those who hold one, and a line of those who wait for one.

    The free slots are offered to the first in the line, one each. Whoever is offered a slot in each of his lanes may
    have them all; until then what is offered to him is kept for him. So nobody is overtaken by who comes after him.

    What changes the lane gives those who are offered a slot by the change: nobody else has to be looked at for it.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        """How many slots there are; None: any number."""
        self.is_open = True
        """Whether anybody may have one."""
        self.taken = 0
        """Slots that code of runs takes, beside those of the runs themselves."""
        self.holders: dict[K, Order] = {}
        self._line: list[tuple[Order, K]] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    @property
    def free(self) -> int:
        """How many slots are free."""
        if not self.is_open:
            return 0
        return sys.maxsize if self.limit is None else max(0, self.limit - self.taken - len(self.holders))

    def ahead(self, order: Order, key: K) -> int:
        """Count those in the line who come before somebody, who may stand in it or not."""
        return bisect.bisect_left(self._line, (order, key))

    def orders(self) -> Iterator[Order]:
        """Give the places of those who wait, the first first."""
        return (order for order, _ in self._line)

    def line(self) -> tuple[K, ...]:
        """Give those who wait, the first first."""
        return tuple(key for _, key in self._line)

    def hold(self, key: K, order: Order) -> None:
        """Let somebody hold a slot, whether there is one or not: he has it already."""
        self.holders[key] = order

    def let_go(self, key: K) -> list[K]:
        """Take a slot back."""
        before = self.free
        del self.holders[key]
        return self._offered(before)

    def wait(self, key: K, order: Order) -> None:
        """Let somebody wait."""
        bisect.insort(self._line, (order, key))

    def leave(self, key: K, order: Order) -> list[K]:
        """Let somebody wait no more."""
        place = self.ahead(order, key)
        del self._line[place]
        free = self.free
        return [self._line[free - 1][1]] if place < free <= len(self._line) else []

    def begin(self, key: K, order: Order) -> None:
        """Let somebody hold a slot who waited for it."""
        del self._line[self.ahead(order, key)]
        self.hold(key, order)

    def change(self, limit: int | None, *, is_open: bool, taken: int) -> list[K]:
        """Change what there is to be had."""
        before = self.free
        self.limit, self.is_open, self.taken = limit, is_open, taken
        return self._offered(before)

    def _offered(self, before: int) -> list[K]:
        return [key for _, key in self._line[before : self.free]] if self.free > before else []
