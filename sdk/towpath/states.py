"""States of runs and the one table that says which may follow which; shared by SDK, operator and CRD.

Types drive logic, names are for people: `Completed(name="Skipped")` is as completed as any other. The vocabulary is
Prefect's, so that authors need not learn a second one.

A `State` is what a flow author holds: `flow(..., return_state=True)`, `future.state`, the third argument of a hook. The
factories (`Completed(message=...)`, `Failed(...)`) make one that no run has entered yet; the engine stamps its time.
"""

# ruff: noqa: N802 the factories of states are named like the states
from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, cast

from towpath.errors import (
    FlowRunCancelled,
    FlowRunCrashed,
    FlowRunFailed,
    FlowSuspended,
    RunError,
    UnfinishedRun,
    UpstreamNotReady,
)

#: What `from towpath.states import *` gives a script.
__all__ = [
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateType",
]


class StateType(StrEnum):
    """What kind of state a run is in."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"

    @property
    def is_terminal(self) -> bool:
        """True for the four ends; an end is final within an attempt."""
        return self in TERMINAL


TERMINAL: Final = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED})

_S = StateType
_LIVE: Final = frozenset({_S.SCHEDULED, _S.PENDING, _S.RUNNING, _S.PAUSED, _S.CANCELLING})
#: From each state to those that may follow within the same attempt. Staying is allowed: a repeated report is harmless.
TRANSITIONS: Final[dict[StateType, frozenset[StateType]]] = {
    _S.SCHEDULED: _LIVE | TERMINAL,
    _S.PENDING: _LIVE | TERMINAL,
    _S.RUNNING: (_LIVE - {_S.PENDING}) | TERMINAL,  # back to SCHEDULED: awaiting a retry or a slot
    _S.PAUSED: (_LIVE - {_S.PENDING}) | TERMINAL,
    _S.CANCELLING: TERMINAL | {_S.CANCELLING},  # work that ended before it heard of the cancel keeps its own end
    **{end: frozenset({end}) for end in TERMINAL},
}


def may_follow(current: StateType | None, new: StateType) -> bool:
    """Tell whether `new` may follow `current` (None: no state yet) within one attempt."""
    return current is None or new in TRANSITIONS[current]


R = TypeVar("R")
_RUN_ERRORS: Final[dict[StateType, type[RunError]]] = {
    _S.FAILED: FlowRunFailed,
    _S.CANCELLED: FlowRunCancelled,
    _S.CRASHED: FlowRunCrashed,
}
NOT_READY: Final = "NotReady"
AWAITING_RETRY: Final = "AwaitingRetry"
AWAITING_SLOT: Final = "AwaitingConcurrencySlot"
CACHED: Final = "Cached"
ROLLED_BACK: Final = "RolledBack"
SUSPENDED: Final = "Suspended"
RESUMING: Final = "Resuming"


class State(Generic[R]):
    """Where a run stands: a type for logic, a name and a message for people, and the value or exception it ended with.

    Use:
        state = my_flow(return_state=True)
        if state.is_completed():
            print(state.result())

    Args:
        type: kind of state.
        name: for people; the type's own by default.
        message: a sentence.
        data: the value of a completed run, the exception of another.
        scheduled_time: when a SCHEDULED run is due.
    """

    __slots__ = ("_since", "data", "message", "name", "scheduled_time", "type")

    def __init__(
        self,
        type: StateType,
        name: str | None = None,
        message: str | None = None,
        data: R | BaseException | None = None,
        scheduled_time: datetime | None = None,
    ) -> None:
        self.type = type
        self.name = name or _NAMES[type]
        self.message = message
        self.data: Any = data
        self.scheduled_time = scheduled_time
        self._since: float | None = None

    @property
    def timestamp(self) -> datetime | None:
        """When a run entered the state; None for one that no run has entered."""
        return None if self._since is None else datetime.fromtimestamp(self._since, UTC)

    def stamp(self, since: float) -> None:
        """Note when a run entered the state, in seconds since the epoch."""
        self._since = since

    def copy(self) -> State[R]:
        """Give an equal state that no run has entered."""
        return State(self.type, self.name, self.message, self.data, self.scheduled_time)

    def is_scheduled(self) -> bool:
        """Whether the run waits for its time."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run is about to start, or cannot (`NotReady`)."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether user code runs."""
        return self.type is StateType.RUNNING

    def is_completed(self) -> bool:
        """Whether the run ended well."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """Whether the run's own code failed."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether what the run ran on failed it."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run ended because somebody asked for it."""
        return self.type is StateType.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the run is being ended because somebody asked for it."""
        return self.type is StateType.CANCELLING

    def is_paused(self) -> bool:
        """Whether the run waits for somebody to resume it."""
        return self.type is StateType.PAUSED

    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.type in TERMINAL

    def result(self, raise_on_failure: bool = True) -> R:
        """Give the run's value.

        Args:
            raise_on_failure: if False, nothing is raised for a run that did not complete: what it left is returned, its
                exception as a rule.

        Raises:
            BaseException: the run's own exception.
            RunError: the run did not complete and left no exception.
            UpstreamNotReady: the run never ran, because one that it needs did not complete.
            FlowSuspended: the run is suspended, in this process, and so is whoever needs it.
            UnfinishedRun: the run has not ended.
        """
        if self.type is StateType.COMPLETED:
            return cast("R", self.data)
        if self.type not in TERMINAL:
            if self.name == NOT_READY:
                raise UpstreamNotReady(self.message or "A run that this one needs did not complete.")
            if isinstance(self.data, FlowSuspended):
                raise self.data
            raise UnfinishedRun(f"The run is {self.type} and has no result yet. Wait for it first: `future.wait()`.")
        if raise_on_failure:
            raise self.error()
        return cast("R", self.left())

    def left(self) -> Any:
        """Give what a run left that ended otherwise than completed: its data, or an exception if there is none."""
        return self.error() if self.data is None else self.data

    async def aresult(self, raise_on_failure: bool = True) -> R:
        """Do as `result` does, in code that awaits."""
        return self.result(raise_on_failure)

    def error(self) -> BaseException:
        """Give the exception of a run that ended otherwise than completed; make one if it left none."""
        if isinstance(self.data, BaseException):
            return self.data
        for inner in [self.data] if isinstance(self.data, State) else states_in(self.data):
            if inner.is_final() and not inner.is_completed():
                return inner.error()
        said = self.data if isinstance(self.data, str) else self.message
        return _RUN_ERRORS.get(self.type, RunError)(said or f"The run ended {self.type}.")

    def __repr__(self) -> str:
        parts = [f"type={self.type}", *(f"{key}={value!r}" for key, value in self._told().items())]
        return f"{self.name}({', '.join(parts)})"

    def __str__(self) -> str:
        message = repr(self.message) if self.message else ""
        if self.name.upper() == self.type:
            return f"{self.name}({message})"
        return f"{self.name}({message}{', ' if message else ''}type={self.type})"

    def _told(self) -> dict[str, Any]:
        return {key: value for key in ("message", "data") if (value := getattr(self, key)) is not None}


_NAMES: Final = {kind: kind.value.capitalize() for kind in StateType}


def states_in(value: Any) -> tuple[State[Any], ...]:
    """Give the states of a non-empty list, tuple or set of nothing else; of anything else, none."""
    if isinstance(value, (list, tuple, set, frozenset)) and value and all(isinstance(item, State) for item in value):
        return tuple(value)
    return ()


def aggregate(states: Iterable[State[Any]], data: Any) -> State[Any]:
    """Join the states that a run returned into its own: cancelled before paused before failed.

    Args:
        states: at least one.
        data: what the run returned, kept as it is.
    """
    members = tuple(states)
    types = [state.type for state in members]
    if all(type_ is _S.COMPLETED for type_ in types):
        return State(_S.COMPLETED, message="All states completed.", data=data)
    for type_ in (_S.CANCELLED, _S.PAUSED, _S.FAILED):
        if type_ in types:
            return State(type_, message=f"{types.count(type_)}/{len(types)} states {type_.lower()}.", data=data)
    unfinished = len(types) - types.count(_S.COMPLETED)
    return State(_S.FAILED, message=f"{unfinished}/{len(types)} states are not completed.", data=data)


def Scheduled(
    *,
    name: str | None = None,
    message: str | None = None,
    data: Any = None,
    scheduled_time: datetime | None = None,
) -> State[Any]:
    """Make a SCHEDULED state, due at `scheduled_time`."""
    return State(_S.SCHEDULED, name, message, data, scheduled_time)


def AwaitingRetry(*, message: str | None = None, scheduled_time: datetime | None = None) -> State[Any]:
    """Make the SCHEDULED state of a run that is tried again at `scheduled_time`."""
    return State(_S.SCHEDULED, AWAITING_RETRY, message, None, scheduled_time)


def Pending(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a PENDING state."""
    return State(_S.PENDING, name, message, data)


def Running(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a RUNNING state."""
    return State(_S.RUNNING, name, message, data)


def Retrying(*, message: str | None = None) -> State[Any]:
    """Make the RUNNING state of a run's second and later tries."""
    return State(_S.RUNNING, "Retrying", message)


def Completed(*, name: str | None = None, message: str | None = None, data: R | None = None) -> State[R]:
    """Make a COMPLETED state; returned from a flow or task, it is how the run ends."""
    return State(_S.COMPLETED, name, message, data)


def Failed(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a FAILED state; returned from a task, it counts against the task's retries."""
    return State(_S.FAILED, name, message, data)


def Crashed(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a CRASHED state."""
    return State(_S.CRASHED, name, message, data)


def Cancelling(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a CANCELLING state."""
    return State(_S.CANCELLING, name, message, data)


def Cancelled(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a CANCELLED state."""
    return State(_S.CANCELLED, name, message, data)


def Paused(*, name: str | None = None, message: str | None = None, data: Any = None) -> State[Any]:
    """Make a PAUSED state."""
    return State(_S.PAUSED, name, message, data)


class Reason(StrEnum):
    """Why a run is in its state: one word for machines, alerts and dashboards; each has a sentence.

    Keep values stable: they are label values of metrics and part of the resources' status.
    """

    # ends and steps that the run reports itself
    SUCCEEDED = "Succeeded"  # the flow returned
    FLOW_FAILED = "FlowFailed"  # the flow raised, or returned a failed state
    TIMED_OUT = "TimedOut"  # the flow ran longer than its timeout
    INVALID_PARAMETERS = "InvalidParameters"  # parameters do not fit the flow's signature; no user code ran
    ENTRYPOINT_NOT_FOUND = "EntrypointNotFound"  # the image has no such module, file or function
    RESULT_TOO_LARGE = "ResultTooLarge"  # the flow returned, but its result fits nowhere: set result_storage
    CANCELLED_BY_REQUEST = "CancelledByRequest"  # spec.cancel was set
    PARENT_ENDED = "ParentEnded"  # the parent ended or was cancelled, and onParentEnd is Cancel
    AWAITING_INPUT = "AwaitingInput"  # the flow's code waits until somebody resumes the run
    PAUSED_BY_REQUEST = "PausedByRequest"  # spec.pause or spec.suspend was set, and the run heeded it
    # what the operator sees
    FLOW_NOT_FOUND = "FlowNotFound"  # flowRef names no Flow (yet)
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"  # deploymentRef names no Deployment (yet)
    INVALID_SPEC = "InvalidSpec"  # the spec cannot be understood; only possible where the API server's checks are off
    INVALID_SCHEMA = "InvalidSchema"  # the flow's parameter schema is no usable JSON Schema
    INVALID_TEMPLATE = "InvalidTemplate"  # the pod template cannot be used, or the API server refused the Job
    WAITING_FOR_TIME = "WaitingForTime"  # scheduledTime lies ahead
    JOB_REFUSED = "JobRefused"  # the API server does not allow the Job at present: a quota, or an admission policy
    JOB_CREATED = "JobCreated"  # the attempt's Job exists; its pod has not reported yet
    POD_REFUSED = "PodRefused"  # the Job cannot make its pod: a quota, or what the template names does not exist
    UNSCHEDULABLE = "Unschedulable"  # no node takes the pod
    IMAGE_PULL_FAILED = "ImagePullFailed"  # the image cannot be pulled
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"  # e.g. a Secret or ConfigMap that the pod needs is missing
    PENDING_TIMEOUT = "PendingTimeout"  # the pod did not start within pendingTimeoutSeconds
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # the Job's activeDeadlineSeconds ended the pod
    OUT_OF_MEMORY = "OutOfMemory"  # the container was killed for its memory use
    EVICTED = "Evicted"  # the kubelet or the scheduler took the pod away
    NODE_LOST = "NodeLost"  # the node with the pod is gone
    JOB_DELETED = "JobDeleted"  # somebody deleted the attempt's Job
    POD_DELETED = "PodDeleted"  # the pod vanished and nobody reported an end
    START_INTERRUPTED = "StartInterrupted"  # the node broke off while it started the container; no code ran
    NO_REPORT = "NoReport"  # the process exited without saying how the run ended
    EXITED = "Exited"  # a plain container exited with an error
    TERMINATED = "Terminated"  # the process was told to stop and nobody asked for a cancel
    AWAITING_RETRY = "AwaitingRetry"  # an infrastructure failure; the next attempt waits for its back-off
    RETRY_BY_REQUEST = "RetryByRequest"  # spec.retryAfterAttempt asked for one more attempt
    SUSPENDED_BY_REQUEST = "SuspendedByRequest"  # spec.suspend is set: the run does not begin
    RESUMED = "Resumed"  # a suspended run begins anew
    AWAITING_SLOT = "AwaitingConcurrencySlot"  # it is not the run's turn in a queue or limit that it is under
    LIMIT_REACHED = "ConcurrencyLimitReached"  # as many of its Deployment's runs as may; onConflict is CancelNew
    SUPERSEDED = "Superseded"  # a later run of its Deployment takes its place; onConflict is CancelRunning
    QUEUE_NOT_FOUND = "QueueNotFound"  # queue names no Queue (yet)
    LIMIT_NOT_FOUND = "ConcurrencyLimitNotFound"  # limits name a ConcurrencyLimit that does not exist (yet)
    CANCELLED_NOW = "CancelledNow"  # cancelled with cancelMode Now, here or above: killed without a grace period
