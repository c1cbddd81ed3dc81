"""What this process wants of limits and has of them, and what a turn at the file makes of that."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from towpath.concurrency.backlog import Backlog, count
from towpath.concurrency.desk import Desk
from towpath.concurrency.port import Admitted, Answer, Refused, Ticket, Waits
from towpath.concurrency.verdicts import verdict, warning

_CLOCK_SECONDS: Final = 1.0  # what the clocks of two processes may differ by
_BEHIND: Final = Waits("Others in the same process wait before it.")


class Dealer:
    """The wishes of this process; used by one thread.

    Args:
        token: of this process.
        is_alive: tells whether the process with a token is.
    """

    def __init__(self, token: int, is_alive: Callable[[int], bool]) -> None:
        self.token = token
        self._is_alive = is_alive
        self._new: list[Ticket] = []
        self._backlog = Backlog()
        self._waiting: dict[int, Ticket] = {}
        self._held: dict[int, Ticket] = {}

    @property
    def waits(self) -> bool:
        """Whether there are wishes that have not come true."""
        return bool(self._backlog or self._waiting)

    @property
    def has_work(self) -> bool:
        """Whether there is something to write."""
        return bool(self._backlog or self._leaving())

    def move(self, token: int, is_alive: Callable[[int], bool]) -> None:
        """Go by another token: what this process is known by has been taken away together with the file."""
        self.token, self._is_alive = token, is_alive

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish."""
        self._backlog.add(ticket)
        self._new.append(ticket)

    def sees_change(self, desk: Desk) -> bool:
        """Tell whether there is anything in the file that those who wait have to act on."""
        own = [desk.entries.get(number) for number in self._waiting]
        return (
            bool(desk.next().admitted)
            or any(entry is None or entry.held is not None for entry in own)
            or any(limit.at > desk.now + _CLOCK_SECONDS for limit in desk.limits.values())
            or bool(self._gone(desk))
        )

    def deal(self, connection: sqlite3.Connection) -> set[int]:
        """Write what is new, let those in whose turn it is, here or elsewhere, and tell those who are here.

        Returns:
            Tokens of other processes that have been given slots.
        """
        leaving = self._leaving()
        held = [ticket for number, ticket in self._held.items() if number not in leaving]
        taken: list[Ticket] = []
        try:
            with Desk.opened(connection, time.time) as desk:
                self._clear(desk, leaving)
                still = {number: ticket for number, ticket in self._waiting.items() if number not in leaving}
                turn = _Turn(self.token, desk, still)
                turn.admit()
                while fresh := list(
                    self._backlog.take(count(turn.waiting.values()), count([*held, *turn.held.values()]))
                ):
                    taken += fresh
                    turn.enter(fresh)
                    turn.admit()
                turn.close()
        except BaseException:
            self._backlog.put_back(taken)
            raise
        for number in leaving:
            self._held.pop(number, None)
        for ticket in turn.lost:
            self._backlog.add(ticket)  # the file was replaced by another
        self._waiting = turn.waiting
        self._held |= turn.held
        self._tell(turn)
        return turn.strangers

    def lose(self) -> None:
        """Let everybody in: the file has gone, and all limits with it."""
        tickets = [*self._backlog.clear(), *self._waiting.values()]
        self._new, self._waiting, self._held = [], {}, {}
        for ticket in tickets:
            ticket.tell(verdict(ticket.wish, {}) or Admitted())

    def refuse(self, error: Exception) -> None:
        """Give up what is wanted: the file cannot be used. What is in it goes when that has changed."""
        self._new = []
        for ticket in (*self._backlog.clear(), *self._waiting.values()):
            ticket.has_left = True
            ticket.tell(Refused(error))

    def _leaving(self) -> set[int]:
        return {number for kept in (self._held, self._waiting) for number, ticket in kept.items() if ticket.has_left}

    def _gone(self, desk: Desk) -> set[int]:
        others = {entry.process for entry in desk.entries.values()} - {self.token}
        return {process for process in others if not self._is_alive(process)}

    def _clear(self, desk: Desk, leaving: Collection[int]) -> None:
        """Take out what has been given up, or has no process any more."""
        desk.mend_clock()
        gone = self._gone(desk)
        for number in [number for number, entry in desk.entries.items() if entry.process in gone]:
            desk.remove(number, gives_back=False)
        for number in leaving:
            desk.remove(number, gives_back=True)

    def _tell(self, turn: _Turn) -> None:
        new, self._new = self._new, []
        for ticket, answer in turn.answers.items():
            ticket.tell(answer)
        for ticket in new:
            if ticket not in turn.answers and not ticket.has_left:
                ticket.tell(_BEHIND)


class _Turn:
    """What happens to the wishes of a process within one transaction."""

    def __init__(self, token: int, desk: Desk, waiting: Mapping[int, Ticket]) -> None:
        self._token = token
        self._desk = desk
        self._entered: set[int] = set()
        self.waiting = {number: ticket for number, ticket in waiting.items() if number in desk.entries}
        self.lost = [ticket for number, ticket in waiting.items() if number not in desk.entries]
        self.held: dict[int, Ticket] = {}
        self.answers: dict[Ticket, Answer] = {}
        self.strangers: set[int] = set()

    def enter(self, tickets: Iterable[Ticket]) -> None:
        """Put wishes into the file, but for those that can be answered at once."""
        for ticket in tickets:
            if (answer := verdict(ticket.wish, self._desk.limits)) is not None:
                self.answers[ticket] = answer
                continue
            number = self._desk.enter(ticket.wish, self._token, os.getpid())
            ticket.number = number
            self.waiting[number] = ticket
            self._entered.add(number)

    def admit(self) -> None:
        """Let those in whose turn it is, and see who of the own ones is in by now."""
        self.strangers |= {entry.process for entry in self._desk.admit()} - {self._token}
        for number in [number for number in self.waiting if self._desk.entries[number].held is not None]:
            ticket = self.waiting.pop(number)
            self.answers[ticket] = Admitted(warning(ticket.wish, self._desk.limits))
            if ticket.wish.keeps:
                self.held[number] = ticket
            else:
                self._desk.remove(number, gives_back=False)

    def close(self) -> None:
        """Say why the others have to wait."""
        for number in self._entered & self.waiting.keys():
            ticket = self.waiting[number]
            self.answers[ticket] = Waits(self._desk.why(number), warning(ticket.wish, self._desk.limits))
