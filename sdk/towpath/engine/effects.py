"""What the core and its drivers say to each other: the plan of a run, effects, events, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from towpath.errors import FlowSuspended
from towpath.states import State, StateType


class Ended(BaseException):
    """The work is to end now, in order: raised in user code by an interrupt, not by the code itself.

    A BaseException, so that `except Exception` in user code lets it pass while `finally` and `with` do their work.

    Args:
        message: why, in a sentence.
        cancelled: whether somebody asked for it; otherwise the run crashed.
    """

    def __init__(self, message: str = "The process was told to stop.", cancelled: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.cancelled = cancelled


class Lost(Ended):
    """What the work ran in has gone, and the work with it: a worker was killed.

    Nobody raises it in user code. Whoever asks for the result gets an ordinary exception.
    """


@dataclass(frozen=True, slots=True)
class Plan:
    """What the core has to know of a flow or task."""

    noun: Literal["Flow run", "Task run"]
    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter_factor: float = 0.0
    asks: bool = False
    """Whether a function decides if a failure is worth another try."""
    is_flow: bool = False
    """Flows wait for the work that they started, report how they go, and unfold a state that they return."""
    hooked: frozenset[StateType] = frozenset()
    """Kinds of state that have hooks."""
    is_limited: bool = False
    """Whether each try needs slots of limits before it begins."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Put the run into a state, as far as this process is concerned."""

    state: State[Any]
    due_in_seconds: float | None = None
    """When the state's scheduled time is, from now; None for a state that waits for nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the reporter of a flow run's state; user code waits for it."""

    state: State[Any]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Run the hooks that belong to a state; their errors are the driver's to log."""

    state: State[Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the retry condition about a failure. Event: an `Answer`."""

    state: State[Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, in seconds."""

    seconds: float


class How(Enum):
    """What becomes of the work that a run has started and not waited for."""

    FINISH = "finish"  # wait for all of it
    DROP = "drop"  # what has not begun never will; wait for the rest
    INTERRUPT = "interrupt"  # end all of it


@dataclass(frozen=True, slots=True)
class Settle:
    """Bring the work that the run has started to its end. Event: `Suspended` if some of it waits for somebody."""

    how: How
    reason: str = ""
    cancelled: bool = False


class Step(Enum):
    """Effects without particulars."""

    PREPARE = (
        "prepare"  # resolve what comes from other runs, bind and validate parameters. Event: READY, NotReady, Raised
    )
    ADMIT = "admit"  # wait for slots of limits. Event: READY, Raised
    CALL = "call"  # call user code once. Event: Returned, Raised, TimedOut


Effect: TypeAlias = Step | Enter | Report | Hooks | Ask | Sleep | Settle


@dataclass(frozen=True, slots=True)
class Returned:
    """User code returned; futures in the value are replaced by the states they ended in."""

    value: Any


@dataclass(frozen=True, slots=True)
class Concluded:
    """The run ends well, and how is not for the core to tell: the result is one that was kept, or is kept elsewhere."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Raised:
    """User code, or the preparation of its parameters, raised."""

    error: Exception
    unfit: bool = False
    """Whether the parameters or arguments were wrong: no user code has run, and trying again would not help."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """User code was ended because its time was up."""

    seconds: float
    stuck: bool = False
    """Whether it still sits in a call that Python cannot interrupt."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The run waits for somebody, and its process does not: user code was unwound, to begin anew when it is resumed."""

    error: FlowSuspended


@dataclass(frozen=True, slots=True)
class NotReady:
    """A run that this one needs did not complete."""

    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the retry condition said."""

    retry: bool


READY: Final = Answer(retry=True)
Event: TypeAlias = Returned | Concluded | Raised | TimedOut | Suspended | NotReady | Answer | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, and what a plain call of it answers with."""

    state: State[Any]
    error: BaseException | None = None
    """To be raised in the caller."""
    value: Any = None
    """To be returned to the caller if there is no error."""
    outside: bool = False
    """Whether the error came from outside user code: it is raised even in a caller that asked for the state only."""
