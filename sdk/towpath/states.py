"""States of runs and the one table that says which may follow which; shared by SDK, operator and CRD.

Types drive logic, names are for people: `Completed(name="Skipped")` is as completed as any other. The vocabulary is
Prefect's, so that authors need not learn a second one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
#: From each state to those that may follow within the same attempt. Staying is always allowed: a repeated report is harmless.
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
    # what the operator sees
    FLOW_NOT_FOUND = "FlowNotFound"  # flowRef names no Flow (yet)
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"  # deploymentRef names no Deployment (yet)
    INVALID_TEMPLATE = "InvalidTemplate"  # the pod template cannot be used, or the API server refused the Job
    WAITING_FOR_TIME = "WaitingForTime"  # scheduledTime lies ahead
    JOB_CREATED = "JobCreated"  # the attempt's Job exists; its pod has not reported yet
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
    NO_REPORT = "NoReport"  # the process exited without saying how the run ended
    EXITED = "Exited"  # a plain container exited with an error
    TERMINATED = "Terminated"  # the process was told to stop and nobody asked for a cancel
    AWAITING_RETRY = "AwaitingRetry"  # an infrastructure failure; the next attempt waits for its back-off
