"""Runs as the command line shows them: what a cluster's FlowRun and a history's record have in common.

`as_json` of them is what `--json` prints; its names stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any

from towpath.states import SUSPENDED, StateType


@dataclass(frozen=True, slots=True)
class SeenState:
    """A state that a run is or was in."""

    type: StateType
    name: str
    reason: str | None = None
    message: str | None = None
    since: datetime | None = None
    attempt: int | None = None

    @property
    def why(self) -> str:
        """Reason and message in a line; empty if the state says it all."""
        return ": ".join(part for part in (self.reason, self.message) if part)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of something there are, and how they ended."""

    total: int
    completed: int
    failed: int
    cached: int = 0
    """Those of the completed that took a kept result, as far as that is known."""
    failures: Sequence[str] = ()
    """Names of some that failed, as far as they are known."""

    @property
    def running(self) -> int:
        """Those that have not ended."""
        return self.total - self.completed - self.failed


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run did not complete."""

    message: str
    type: str | None = None
    kind: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a run returned: the value, if it travels as JSON and in place; else where it is."""

    serializer: str
    size: int | None = None
    value: Any = None
    ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What a run waits for, until somebody resumes it."""

    run: str
    """Name of the run that waits: itself, or one below it."""
    is_suspension: bool
    """Whether its process has ended meanwhile."""
    description: str | None = None
    until: datetime | None = None
    """When it is too late; None: never."""
    input: Mapping[str, Any] | None = None
    """JSON Schema of the input; None if none is wanted."""
    refused: str | None = None
    """Why the last input was refused by the run itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A flow run. Times are timezone-aware; what a place does not know is None."""

    id: str
    name: str
    flow: str | None
    """None as long as only its deployment is known."""
    state: SeenState
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    took_seconds: float | None = None
    """How long its code ran, where that was measured by a clock that never jumps."""
    parent_id: str | None = None
    parent: str | None = None
    """Name of the run that called it."""
    root: str | None = None
    """Name of the run at the top in a cluster, its id in a history."""
    deployment: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    attempt: int | None = None
    tasks: Counts | None = None
    children: Counts | None = None
    history: Sequence[SeenState] = ()
    """States it went through, oldest first; a cluster keeps the last 20."""
    error: Failure | None = None
    result: Result | None = None
    waiting_for: str | None = None
    pauses: Sequence[Pause] = ()
    """What it waits for, and those below it, until somebody resumes them."""
    holds: str | None = None
    """Slots of limits that it and its task runs have, in words."""
    job: str | None = None
    pod: str | None = None
    process: str | None = None
    """Where it runs on this machine, in words."""

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state.type.is_terminal

    def seconds(self, now: datetime) -> float | None:
        """Tell how long its code has run, or ran; None if it never did."""
        if self.took_seconds is not None:
            return self.took_seconds
        if self.started is None:
            return None
        stopped = self.state.since if self.state.name == SUSPENDED else None  # its process has gone
        return max(0.0, ((self.ended or stopped or now) - self.started).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """A task run; only a history knows them one by one."""

    name: str
    task: str
    state: SeenState
    seconds: float | None
    run_count: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs of a deployment are due."""

    name: str
    says: str
    """In words."""
    active: bool
    problem: str | None = None
    """Why it makes no runs, although it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment: a resource of a cluster, or what is served on this machine."""

    name: str
    flow: str
    ready: bool | None
    """Whether it can be run at once; None: nobody has said so yet."""
    message: str | None = None
    """Why not, or what else there is to say."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    created: datetime | None = None
    paused: bool = False
    """Whether its schedules make no runs, whatever each of them says."""
    schedules: Sequence[Schedule] = ()
    next_runs: Sequence[datetime] = ()
    """When its schedules will make runs, as far as somebody has said so."""
    description: str | None = None
    version: str | None = None
    takes: Mapping[str, Any] | None = None
    """JSON Schema of its flow's parameters, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log."""

    message: str
    """With the traceback below, if there is one."""
    time: datetime | None = None
    level: str | None = None
    task_run: str | None = None
    run: str | None = None


def as_json(value: Any) -> Any:
    """Give the JSON form: dataclasses as objects with all their fields, times as RFC 3339."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    return value
