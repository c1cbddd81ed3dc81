"""Slots of limits for what is called away from the process of its flow run: asked for there, whatever they are kept in.

A task in a worker holds slots as its flow run's process; what it has not given back when it ends, or its worker is
lost, is given back for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, cast

from towpath.concurrency.place import slots
from towpath.concurrency.port import Answer, LimitInUse, Refused, Slots, Ticket, Wish
from towpath.engine.wire import Sends
from towpath.errors import ConcurrencySlotAcquisitionError


class Asks(Protocol):
    """What a worker does to ask the process of the flow run."""

    wire: Sends

    def ask(self, name: str, *args: Any) -> Any:
        """Ask, and wait for the answer."""


class RemoteSlots:
    """The limits that hold where the flow run is, as a worker sees them.

    Args:
        worker: the worker.
    """

    def __init__(self, worker: Asks) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._count = 0

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish, and return at once."""
        with self._lock:
            self._count += 1
            number = self._count
            self._tickets[number] = ticket
        self._worker.wire.send("slots_asked", number, ticket.wish)

    def leave(self, ticket: Ticket) -> None:
        """Give back what a wish has been given, or give it up."""
        ticket.has_left = True
        with self._lock:
            number = next((number for number, each in self._tickets.items() if each is ticket), None)
            self._tickets.pop(number or 0, None)
        if number is not None:
            self._worker.wire.send("slots_left", number)

    def tell(self, number: int, claim: int | None, answer: Answer) -> None:
        """Take what became of a wish."""
        with self._lock:
            ticket = self._tickets.get(number)
        if ticket is not None:
            ticket.number = claim
            ticket.tell(answer)

    def part(self) -> None:
        """Refuse what is wanted: there is nobody any more to ask."""
        with self._lock:
            tickets, self._tickets = list(self._tickets.values()), {}
        for ticket in tickets:
            ticket.tell(Refused(ConcurrencySlotAcquisitionError("The process of the flow run has gone.")))

    def tag_limits(self) -> frozenset[str]:
        """Give the names of the limits of tags."""
        return cast("frozenset[str] | None", self._do("tag_limits")) or frozenset()

    def limits(self) -> list[LimitInUse]:
        """Give all limits by name, and who is at them."""
        return cast("list[LimitInUse]", self._do("limits"))

    def set(self, name: str, slots: int | None, decay: float | None, active: bool | None) -> None:
        """Make a limit, or change it."""
        self._do("set", name, slots, decay, active)

    def delete(self, name: str) -> bool:
        """Delete a limit."""
        return bool(self._do("delete", name))

    def _do(self, what: str, *args: Any) -> Any:
        answer = self._worker.ask("slots_do", what, *args)
        if isinstance(answer, Exception):
            raise answer
        return answer


class SlotsOnBehalf:
    """Asks for slots for a task in a worker.

    Args:
        wire: the way to the worker.
        start: has something done in a thread of its own.
    """

    def __init__(self, wire: Sends, start: Callable[[Callable[[], None]], None]) -> None:
        self._wire, self._start = wire, start
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[Slots, Ticket]] = {}

    def ask(self, number: int, wish: Wish) -> None:
        """Ask for what the task wants, and tell it what becomes of it."""

        def tell(answer: Answer) -> None:
            self._wire.send("slots", number, ticket.number, answer)

        place, ticket = slots(), Ticket(wish, tell)
        with self._lock:
            self._asked[number] = place, ticket
        place.ask(ticket)

    def leave(self, number: int) -> None:
        """Give back what a wish has been given, or give it up."""
        with self._lock:
            asked = self._asked.pop(number, None)
        if asked is not None:
            place, ticket = asked
            place.leave(ticket)

    def leave_all(self) -> None:
        """Give back all: the task has ended."""
        for number in tuple(self._asked):
            self.leave(number)

    def do(self, ticket: int, what: str, args: tuple[Any, ...]) -> None:
        """Do what may take a while, and answer."""

        def work() -> None:
            try:
                answer: Any = getattr(slots(), what)(*args)
            except Exception as error:
                answer = error
            self._wire.send("answer", ticket, answer)

        self._start(work)
