"""Notes: what a run's own thread writes down for the writer, as it happens, and no more than that."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple, TypeAlias

from towpath.states import StateType


class TaskNote(NamedTuple):
    """A task run has entered a state."""

    id: str
    run_id: str
    """Id of the flow run; empty outside of any."""
    task: str
    name: str
    tags: frozenset[str]
    run_count: int
    type: StateType
    state: str
    message: str | None
    since: float
    """Seconds since the epoch."""
    moment: float
    """Seconds on a clock that never jumps."""


class FlowFacts(NamedTuple):
    """What does not change while a flow run runs."""

    flow: str
    flow_version: str | None
    parent_id: str | None
    root_id: str
    depth: int
    deployment: str | None
    tags: frozenset[str]
    parameters: str
    """JSON object."""
    parameters_whole: bool
    origin: str | None = None


class FlowNote(NamedTuple):
    """A flow run has entered a state."""

    id: str
    name: str
    facts: FlowFacts | None
    """None if an earlier note has them."""
    attempt: int
    run_count: int
    type: StateType
    state: str
    message: str | None
    since: float
    moment: float
    tasks_total: int
    tasks_completed: int
    tasks_failed: int


class LeftNote(NamedTuple):
    """This process is done with a flow run, whatever its state."""

    id: str


class LineNote(NamedTuple):
    """A flow run, or a task run in it, has logged a line."""

    run_id: str
    task_run: str | None
    level: int
    message: str
    time: float


class RowNote(NamedTuple):
    """Something else is told, an artifact or an event, by whoever knows its table."""

    statement: str
    """An `INSERT … VALUES`, to which rows are added; or any other statement."""
    values: tuple[Any, ...]
    complaint: str = ""
    """What the user is told if the statement finds nothing to change."""


class FlushNote(NamedTuple):
    """Somebody waits until all that was noted before is in the file, or cannot be."""

    done: threading.Lock
    """Held; the writer releases it."""
    stop: bool = False
    """Whether the writer is to end."""


Note: TypeAlias = TaskNote | FlowNote | LeftNote | LineNote | RowNote | FlushNote
