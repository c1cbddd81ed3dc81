"""What can be asked of a history, and what it answers with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Protocol, Self

from towpath.states import TERMINAL, StateType

#: How many runs or log lines are given unless somebody asks for more.
DEFAULT_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class RecordedState:
    """A state that a run was in."""

    type: StateType
    name: str
    message: str | None
    since: datetime
    """When the run entered it."""


@dataclass(frozen=True, slots=True)
class RecordedTally:
    """How the task runs of a flow run go."""

    total: int
    completed: int
    failed: int
    """Those that ended otherwise."""
    cached: int
    """Those of the completed that took a kept result."""
    failures: tuple[str, ...]
    """Names of the first few that failed."""


@dataclass(frozen=True, slots=True)
class RecordedProcess:
    """The process that a run was in last."""

    pid: int
    host: str
    towpath: str
    """Version of Towpath in it."""
    last_heard_of: datetime
    is_alive: bool


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A flow run."""

    id: str
    name: str
    flow: str
    flow_version: str | None
    parent_id: str | None
    root_id: str
    """Id of the run at the top of the tree; its own if it has no parent."""
    depth: int
    deployment: str | None
    parameters: Mapping[str, Any]
    """As JSON values; what is too large or has no form in JSON is described by a text."""
    parameters_are_whole: bool
    """Whether the parameters are exactly what the flow was given, so that it could be run with them again."""
    tags: frozenset[str]
    attempt: int
    run_count: int
    state: RecordedState
    created: datetime
    started: datetime | None
    ended: datetime | None
    seconds: float | None
    """How long it took from its first start, by a clock that never jumps; None before the end."""
    tasks_total: int
    tasks_completed: int
    tasks_failed: int
    process: RecordedProcess | None
    """None if nobody works on the run: it has ended, or waits without a process."""

    @property
    def is_live(self) -> bool:
        """Whether the run has not ended."""
        return self.state.type not in TERMINAL


@dataclass(frozen=True, slots=True)
class RecordedTask:
    """A task run."""

    id: str
    run_id: str | None
    """Id of the flow run; None for a task that was called outside of any."""
    task: str
    name: str
    tags: frozenset[str]
    run_count: int
    states: tuple[RecordedState, ...]
    """All, in order; of a task that was tried very often, the first and the latest."""
    started: datetime | None
    ended: datetime | None
    seconds: float | None
    """How long it took from its first start, by a clock that never jumps; None before the end."""

    @property
    def state(self) -> RecordedState:
        """Where it stands."""
        return self.states[-1]

    @property
    def retries(self) -> int:
        """How often it was tried again."""
        return max(0, self.run_count - 1)


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """A line of a run's log."""

    number: int
    """Grows with each line that is written to the history; ask for lines after it to follow a log."""
    run_id: str
    task_run: str | None
    """Name of the task run that logged it; None for the flow itself."""
    level: int
    """As in the logging module: 20 is INFO."""
    message: str
    """With the traceback below, if there is one."""
    time: datetime


class History(Protocol):
    """What ran, and how it went."""

    def runs(
        self,
        *,
        flow: str | None = None,
        states: Collection[StateType] | None = None,
        since: datetime | None = None,
        parent: str | None = None,
        top_level: bool = False,
        limit: int | None = DEFAULT_LIMIT,
    ) -> list[RecordedRun]:
        """Give runs, the newest first.

        Args:
            flow: of this flow only.
            states: in one of these states only.
            since: begun then or later; timezone-aware.
            parent: called by the run of this id only.
            top_level: only those that no other run has called.
            limit: at most so many; None for all.
        """

    def run(self, which: str) -> RecordedRun:
        """Give a run by its id, its name, or the first characters of either.

        Raises:
            NoSuchRun: there is none.
            AmbiguousRun: there are several; the message lists them.
        """

    def tree(self, run_id: str) -> list[RecordedRun]:
        """Give a run and all that is below it, each after the one that called it, otherwise in order of their start.

        Raises:
            NoSuchRun: there is no run of this id.
        """

    def states(self, run_id: str) -> list[RecordedState]:
        """Give the states that a flow run was in, in order."""

    def tasks(self, run_id: str | None, *, limit: int | None = None) -> list[RecordedTask]:
        """Give the task runs of a flow run, or those outside of any (None), in the order in which they began.

        Of a run that several processes took part in, those of one process stand together.
        """

    def tallies(self, run_ids: Collection[str]) -> dict[str, RecordedTally]:
        """Count the task runs of flow runs, also while those go on; a run that has none is left out."""

    def logs(
        self, run_ids: Sequence[str], *, after: int = 0, level: int = 0, limit: int | None = None
    ) -> list[RecordedLine]:
        """Give log lines of some flow runs and of their tasks, in order.

        Args:
            run_ids: such as the ids of a tree.
            after: only lines with a greater number than this.
            level: least level.
            limit: at most so many.
        """

    def delete(self, run_id: str) -> int:
        """Delete a run and all that is below it; gives the number of flow runs deleted.

        Raises:
            NoSuchRun: there is no run of this id.
            HistoryError: it, or a run below it, has not ended.
        """

    def prune(self, *, older_than: timedelta | None = None, keep: int | None = None) -> int:
        """Delete trees of runs that have ended; gives the number of flow runs deleted.

        Args:
            older_than: those that ended longer ago than this.
            keep: those beyond the newest so many trees.
        """

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
