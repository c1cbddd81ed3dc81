"""Wishes of this process that are not in the file yet.

A flow may start ten thousand tasks whose tag has ten slots. In the file the first few of them are enough: their turn
comes as soon as it would for all of them, each change of the queue stays cheap, and between several processes the turn
goes round instead of being the first one's for an hour.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from towpath.concurrency.port import Ticket

#: Wishes of one kind that wait in the file.
WINDOW: Final = 16
Kind: TypeAlias = tuple[frozenset[str], int, bool, frozenset[int], str | None]


class Backlog:
    """Wishes in the order in which they were made, by kind."""

    def __init__(self) -> None:
        self._queues: dict[Kind, deque[Ticket]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, ticket: Ticket) -> None:
        """Put a wish at the end."""
        self._queues.setdefault(kind_of(ticket), deque()).append(ticket)

    def put_back(self, tickets: Iterable[Ticket]) -> None:
        """Put wishes that were taken back to where they were."""
        for ticket in reversed(list(tickets)):
            self._queues.setdefault(kind_of(ticket), deque()).appendleft(ticket)

    def take(self, waiting: Mapping[Kind, int], held: Mapping[Kind, int]) -> Iterator[Ticket]:
        """Take wishes out that may go into the file.

        Args:
            waiting: how many of each kind wait there.
            held: how many of each kind have their slots.
        """
        for kind, queue in list(self._queues.items()):
            room = WINDOW - waiting.get(kind, 0)
            if (abreast := queue[0].wish.abreast) is not None:
                room = min(room, abreast - waiting.get(kind, 0) - held.get(kind, 0))
            while queue and (room > 0 or queue[0].has_left):
                ticket = queue.popleft()
                if not ticket.has_left:
                    room -= 1
                    yield ticket
            if not queue:
                del self._queues[kind]

    def clear(self) -> list[Ticket]:
        """Take all out."""
        queues, self._queues = self._queues, {}
        return [ticket for queue in queues.values() for ticket in queue]


def kind_of(ticket: Ticket) -> Kind:
    """Give what makes two wishes the same."""
    wish = ticket.wish
    return wish.names, wish.occupy, wish.is_task, wish.within, wish.run_id


def count(tickets: Iterable[Ticket]) -> Counter[Kind]:
    """Count wishes by kind."""
    return Counter(map(kind_of, tickets))
