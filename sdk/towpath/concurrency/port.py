"""What stands between those who want slots and the place where slots are kept.

Asking is one call that returns at once; what becomes of it is told later, from a thread of the place's own:

    ticket = Ticket(wish, tell)
    slots.ask(ticket)           # tell(Waits(…)), then tell(Admitted(…)); or either alone; or tell(Refused(…))
    slots.leave(ticket)         # whatever came of it: gives back what it has, or gives up

A thread, an event loop and a task run that has no thread yet wait in ways of their own for the same two words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted, and for whom."""

    names: frozenset[str]
    """Of the limits: slots of all of them, or none."""
    occupy: int = 1
    """Slots of each."""
    keeps: bool = True
    """Whether the slots are given back; those of a rate limit are not, they come free by themselves."""
    strict: bool = False
    """Whether a limit that does not exist is an error."""
    is_task: bool = False
    """Whether a task run wants them for its tags."""
    within: frozenset[int] = frozenset()
    """Numbers of the claims that the code round it holds."""
    abreast: int | None = None
    """How many of this kind the flow run could make use of at once, if that is known: more would keep slots idle."""
    run_id: str | None = None
    run: str | None = None
    """Name of the flow run."""
    task_run: str | None = None
    """Name of the task run."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The slots are taken, for this wish."""

    warning: str = ""
    """What has to be known of limits that limit nothing; empty if all do."""


@dataclass(frozen=True, slots=True)
class Waits:
    """The wish is in the queue."""

    why: str
    """In a sentence."""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The slots cannot be had."""

    error: Exception


Answer: TypeAlias = Admitted | Waits | Refused


class Ticket:
    """A wish on its way, from the asking to the giving back.

    Args:
        wish: what is wanted.
        tell: told what becomes of it, from any thread; returns at once, and raises nothing.
    """

    __slots__ = ("has_left", "number", "tell", "wish")

    def __init__(self, wish: Wish, tell: Callable[[Answer], None]) -> None:
        self.wish = wish
        self.tell = tell
        self.has_left = False
        """Whether nobody wants it any more."""
        self.number: int | None = None
        """Of its claim, where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who holds slots, or waits for them."""

    run: str | None
    """Name of the flow run; None outside of any."""
    run_id: str | None
    task_run: str | None
    """Name of the task run; None if the flow itself wants them."""
    process: int | None
    """Process id; None if it is in a pod."""
    occupy: int
    limits: Sequence[str]
    since: datetime | None = None
    """When it got them, or asked for them; None if that is not known."""

    def __str__(self) -> str:
        """Name it in a sentence: `task run 'load-3' of flow run 'witty-otter'`."""
        if self.run is None:
            return f"process {self.process}"
        flow_run = f"flow run {self.run!r}"
        return flow_run if self.task_run is None else f"task run {self.task_run!r} of {flow_run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitInUse:
    """A limit, and who is at it."""

    name: str
    slots: int
    slot_decay_per_second: float
    active: bool
    taken: float
    """Slots; of a limit that decays, with fractions."""
    holders: Sequence[Claimant]
    waiting: Sequence[Claimant]
    """In the order of the queue."""


class Slots(Protocol):
    """A place where limits and their slots are kept."""

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish, and return at once."""

    def leave(self, ticket: Ticket) -> None:
        """Give back what a wish has been given, or give it up; returns at once, and never fails."""

    def tag_limits(self) -> frozenset[str]:
        """Give the names of the limits of tags, `tag:` included; costs next to nothing, and may be a moment old."""

    def limits(self) -> list[LimitInUse]:
        """Give all limits by name, and who is at them.

        Raises:
            TowpathError: they cannot be had.
        """

    def set(self, name: str, slots: int | None, decay: float | None, active: bool | None, /) -> None:
        """Make a limit, or change it; what is None stays as it is, or gets its default.

        Raises:
            ConfigurationError: there is none of this name, and it is not said how many slots it has.
            TowpathError: it cannot be done.
        """

    def delete(self, name: str, /) -> bool:
        """Delete a limit; who waits for it waits no longer. Tells whether there was one.

        Raises:
            TowpathError: it cannot be done.
        """
