"""The facts of a flow run and of a task run, as hooks, conditions, reporters and `towpath.runtime` see them."""

from __future__ import annotations

import _thread
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from towpath.slugs import new_id
from towpath.states import State, StateType

#: Failed task calls that a flow run knows by their names.
_NAMED: Final = 5


class TaskCounts:
    """How many task calls a flow run has made, and how they ended."""

    __slots__ = ("_lock", "cached", "completed", "failed", "failures", "total")

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self.total = 0
        self.completed = 0
        self.failed = 0
        self.cached = 0
        """Those of the completed that took a kept result."""
        self.failures: list[str] = []
        """Names of the first few that did not complete."""

    @property
    def running(self) -> int:
        """Calls that have not ended."""
        return self.total - self.completed - self.failed

    def begun(self) -> None:
        """Count a call."""
        with self._lock:
            self.total += 1

    def ended(self, completed: bool, name: str = "") -> None:
        """Count the end of a call that was counted before.

        Args:
            completed: whether it did.
            name: of the call, if it did not.
        """
        with self._lock:
            if completed:
                self.completed += 1
                return
            self.failed += 1
            if len(self.failures) < _NAMED and name not in self.failures:  # a flow that is tried again calls it again
                self.failures.append(name)

    def took_kept_result(self) -> None:
        """Count that a call took a kept result; its end is counted too."""
        with self._lock:
            self.cached += 1


class _Times:
    """What both kinds of run know about time."""

    __slots__ = ()
    started: float | None
    ended: float | None
    state: State[Any] | None

    @property
    def start_time(self) -> datetime | None:
        """When the run's code first began to run; None before."""
        return None if self.started is None else datetime.fromtimestamp(self.started, UTC)

    @property
    def end_time(self) -> datetime | None:
        """When the run ended; None before."""
        return None if self.ended is None else datetime.fromtimestamp(self.ended, UTC)

    @property
    def total_run_time(self) -> timedelta:
        """How long the run took from its first start, waits for retries included; zero before it has ended."""
        if self.started is None or self.ended is None:
            return timedelta()
        return timedelta(seconds=self.ended - self.started)

    @property
    def state_type(self) -> StateType | None:
        """Kind of the run's state."""
        return self.state.type if self.state else None

    @property
    def state_name(self) -> str | None:
        """Name of the run's state."""
        return self.state.name if self.state else None


@dataclass(slots=True, eq=False)
class FlowRun(_Times):
    """One execution of a flow, retries included; what an infrastructure retry starts anew is a further attempt."""

    flow_name: str
    name: str = ""
    """Two words of our own unless given; the flow's `flow_run_name` sets it only if it was not given."""
    id: str = field(default_factory=new_id)
    flow_version: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Bound and validated, once the run has begun."""
    tags: frozenset[str] = frozenset()
    attempt: int = 1
    """Number of the Job that runs it; 1 on a laptop."""
    depth: int = 0
    """How many runs are above it."""
    parent_id: str | None = None
    parent_name: str | None = None
    root_id: str = ""
    """Id of the run at the top of the tree; its own by default."""
    identity: str = ""
    """What stays the same when the run that calls this one in its process is tried again; its own id by default."""
    deployment: str | None = None
    origin: str | None = None
    """Where another process finds the flow, for a run that nobody has called: see `towpath.origins`."""
    scheduled_time: datetime | None = None
    run_count: int = 0
    """How often its code has been started in this attempt."""
    state: State[Any] | None = None
    started: float | None = None
    ended: float | None = None
    tasks: TaskCounts = field(default_factory=TaskCounts)

    @property
    def deployment_id(self) -> str | None:
        """What identifies the deployment that the run comes from: its name."""
        return self.deployment

    @property
    def expected_start_time(self) -> datetime | None:
        """When the run was due; of one that nobody had scheduled, when it began."""
        return self.scheduled_time or self.start_time

    def __post_init__(self) -> None:
        self.root_id = self.root_id or self.id
        self.identity = self.identity or self.id


class TaskRun(_Times):
    """One execution of a task, retries included."""

    __slots__ = (
        "_bind",
        "_id",
        "_name",
        "_parameters",
        "dynamic_key",
        "ended",
        "flow_run",
        "run_count",
        "started",
        "state",
        "tags",
        "task_name",
    )

    def __init__(
        self,
        task_name: str,
        dynamic_key: int,
        flow_run: FlowRun | None,
        tags: frozenset[str],
        bind: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.task_name = task_name
        self.dynamic_key = dynamic_key
        self.flow_run = flow_run
        self.tags = tags
        self.run_count = 0
        self.state: State[Any] | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self._bind: Callable[[], Mapping[str, Any]] | None = bind
        self._parameters: Mapping[str, Any] = {}
        self._id = ""
        self._name = ""

    @property
    def id(self) -> str:
        """Identifier, in the form of a UUID."""
        if not self._id:
            self._id = new_id()
        return self._id

    def identify(self, run_id: str) -> None:
        """Say which run this is, where it began in another process."""
        self._id = run_id

    @property
    def name(self) -> str:
        """The task's name and the number of the call in its flow run, unless `task_run_name` says otherwise."""
        return self._name or f"{self.task_name}-{self.dynamic_key}"

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def flow_run_id(self) -> str | None:
        """Id of the flow run that called the task; None outside of any."""
        return self.flow_run.id if self.flow_run else None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Arguments by name, defaults included."""
        if self._bind is not None:
            self._parameters = self._bind()
            self._bind = None
        return self._parameters

    def bind(self, bind: Callable[[], Mapping[str, Any]] | None) -> None:
        """Say how to get the arguments by name, should anybody ask; None lets go of them."""
        self._bind = bind
        self._parameters = {}
