"""Where pauses, the answers to them, wishes from outside and messages between runs are kept: what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from towpath.futures import Future
    from towpath.runs import FlowRun
    from towpath.states import State, StateType

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A place in a flow's code at which a run waits for somebody, or has waited."""

    run_id: str
    identity: str
    """What stays the same of the run when it is tried again."""
    key: str
    """Which of the run's pauses it is."""
    is_suspension: bool
    """Whether the run's process ends meanwhile."""
    wanted: Mapping[str, Any] | None = None
    """JSON Schema of the input, an object; None if none is wanted."""
    description: str | None = None
    """What the author says of it, for whoever gives the input."""
    since: datetime
    until: datetime | None = None
    """When it is too late; None: never."""
    refused: str | None = None
    """Why the run itself did not take the last input."""
    answer: Mapping[str, Any] | None = None
    """The input; None without one."""
    is_answered: bool = False
    is_asked_for: bool = False
    """Whether somebody outside wants the run to wait, and not its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run, as far as pausing and beginning again go."""

    id: str
    name: str
    state: StateType
    state_name: str
    has_process: bool
    """Whether a process works on it."""
    pauses: Sequence[Pause] = ()
    """What it, and those below it, wait for now."""
    names: Mapping[str, str]
    """The names of the runs that do, by their ids."""
    why_not_again: str | None = None
    """Why no process could begin it anew, in a sentence; None if one could."""
    origin: Mapping[str, Any] | None = None
    """Where its flow came from (`towpath.origins`), for whoever begins it anew; None if a server does, or nobody."""


class StillUnwinding(Exception):
    """The process of a run that is being suspended has not ended with it yet; it will in a moment."""


class Next(Enum):
    """What becomes of a run that was resumed, or is to be tried again."""

    GOES_ON = "goes on"
    """Its process has waited."""
    IS_STARTED = "is started"
    """A server starts it; if none is there, as soon as one is."""
    TO_BE_STARTED = "to be started"
    """Whoever asked starts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that was resumed, or is to be tried again."""

    then: Next
    run_id: str
    """Of the run that goes on or begins anew: the one that was meant, or the one above it whose process it is in."""
    name: str
    verdict: Future[str] | None = None
    """Of a run that goes on: ends when it has taken the answer, with "", or refused it, with why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run that this process has taken, to begin it anew."""

    run_id: str
    name: str
    parameters: Mapping[str, Any]
    tags: frozenset[str]
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Input that was sent to a run while it runs."""

    number: int
    """Grows with each that is sent."""
    key: str
    """Begins with the prefix that says what kind of input it is."""
    value: Any
    """A JSON value."""
    sender: str | None


class Waiting(Protocol):
    """The side of the run."""

    def enter(self, pause: Pause) -> Pause:
        """Have a run wait; gives the pause as it is, which may have been answered before.

        Raises:
            PauseError: the run is to be suspended, and no process could begin it anew.
        """
        ...

    def tell(self, pause: Pause, state: State[Any]) -> None:
        """Tell whoever else should know that a run stands in a state at a pause: PAUSED, or RUNNING after that."""
        ...

    def answered(self, pause: Pause) -> Future[Pause]:
        """Give a future that ends with the pause as it is when it has been answered."""
        ...

    def refuse(self, pause: Pause, why: str) -> None:
        """Have the run wait on: its own check found the answer wrong."""
        ...

    def recall(self, run: FlowRun) -> None:
        """Give a run that is called again the id and name under which it was suspended, if it was."""
        ...

    def heed(self, run_id: str) -> bool:
        """Take back the wish that a run may wait; tell whether there was one."""
        ...


class Steering(Protocol):
    """The side of whoever steers a run."""

    def find(self, which: str) -> Standing:
        """Give a run by its id or name.

        Raises:
            NoSuchRun: there is none.
            AmbiguousRun: there are several.
        """
        ...

    def ask(self, run_id: str, *, is_suspension: bool) -> None:
        """Note the wish that a run may wait at its next call of a task or flow."""
        ...

    def answer(self, pause: Pause, answer: Mapping[str, Any] | None) -> Begun:
        """Answer a pause: one who tries does, the others are too late.

        Raises:
            NotPausedError: it has been answered, or the run has gone on or ended otherwise.
            StillUnwinding: nothing has changed; try again.
        """
        ...

    def begin_anew(self, run_id: str) -> Begun:
        """Have a run begin anew: one that ended otherwise than well, or is suspended without anything to answer.

        Raises:
            PauseError: it cannot be, as it stands.
        """
        ...


class Beginning(Protocol):
    """The side of a process that begins runs anew."""

    def find(self, which: str) -> Standing:
        """Give a run by its id or name."""
        ...

    def take(self, run_id: str) -> Taken | None:
        """Take a run that is to begin anew, for this process; None if another was faster."""
        ...

    def give_up(self, run_id: str, why: str) -> None:
        """Give a run that this process took, and could not begin, an end."""
        ...


class Messages(Protocol):
    """What runs send each other."""

    def send(self, run_id: str, prefix: str, value: Any, sender: str | None) -> None:
        """Send a JSON value to a run.

        Raises:
            NoSuchRun: there is none of this id.
        """
        ...

    def received(self, run_id: str, prefix: str, *, after: int, besides: Collection[str]) -> Message | None:
        """Give the first message of a kind to a run.

        Args:
            run_id: of the run.
            prefix: what the message's key begins with.
            after: only those with a greater number.
            besides: none of these keys.
        """
        ...

    def expect(self, look: Callable[[], T | None]) -> Future[T]:
        """Give a future that ends with what a look gives, as soon as it gives something."""
        ...
