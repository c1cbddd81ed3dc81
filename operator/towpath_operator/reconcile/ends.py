"""Why an attempt ended, when its run did not say so in the status: read from what the container left, pod and Job.

The order is the order of trust: the process's own last words, then whoever took the pod away, then how the process
exited. Every end has a reason, tells whose it is, and what the reader can do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError

from towpath.api.v1alpha1.flowrun_status import Counts, RunError, RunResult
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.names import CONTAINER
from towpath.states import TERMINAL, Reason, StateType
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import flow_container, is_deleting
from towpath_operator.reconcile.reading import condition, integer, mapping, mappings, moment, text
from towpath_operator.specs.terms import Terms

Kind = Literal["User", "Infrastructure"]

#: Why a pod goes whose node is not there. That of the taint manager is not among them: a pod that it takes away is
#: ended by its kubelet, so the node is there, and was tainted; where no kubelet does so, the pod counts as lost.
_NODE_TOOK_IT: Final = frozenset({"DeletionByPodGC"})
#: Words of pod.status.reason by which the kubelet or the control plane says that it took the pod away.
_TAKEN: Final[Mapping[str, Reason]] = {
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.EVICTED,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "NodeAffinity": Reason.EVICTED,
    "Terminated": Reason.NODE_LOST,
    "Shutdown": Reason.NODE_LOST,
}
#: Reasons by which a kubelet says of a container that it ended, and that nobody saw how: the node was away meanwhile.
_UNSEEN: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
_NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun"})
#: Ends what a container runtime says of its own inside before it says what is wrong.
_RUNTIME_SAYS: Final = "unable to start container process: "
#: Words of a runtime that was interrupted, as by a kubelet or a daemon that ended: they are not about the image.
_INTERRUPTED: Final = ("context canceled", "context deadline exceeded", "ttrpc: closed", "transport is closing")
_SHELL_NOT_STARTED: Final = frozenset({126, 127})
_SIGNALS: Final[Mapping[int, str]] = {
    130: "SIGINT",
    134: "SIGABRT",
    137: "SIGKILL",
    139: "SIGSEGV",
    143: "SIGTERM",
}
_KILLED: Final = 137
_NO_PACKAGE: Final = "No module named 'towpath"
_NO_PACKAGE_PLAIN: Final = "No module named towpath"
_REPORTED: Final[Mapping[str, type[BaseModel]]] = {
    "result": RunResult,
    "error": RunError,
    "tasks": Counts,
    "children": Counts,
}
_OOM_KILLED: Final = "OOMKilled"
_OVER_DEADLINE: Final = "DeadlineExceeded"
_TAIL: Final = 600
#: What Kubernetes gives a pod that says nothing, in seconds.
_DEFAULT_GRACE: Final = 30


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended."""

    type: StateType
    reason: str
    message: str
    kind: Kind | None = None
    """Whose it is; None if nothing went wrong."""
    code: str | None = None
    """The error's code, if not the reason."""
    name: str | None = None
    """The state's name, if not the type's own."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the status, such as the result."""
    may_retry: bool = False
    """True if a new attempt may do better."""
    stopped_from_outside: bool = False
    """True if the process was told to stop: after a cancel, such an end is the cancel's."""

    def error(self) -> dict[str, Any] | None:
        """Give `status.error`."""
        if self.kind is None:
            return None
        own = self.fields.get("error")
        return own or {"code": self.code or self.reason, "kind": self.kind, "message": self.message}


def infrastructure(reason: Reason, message: str, *, stopped: bool = False) -> End:
    """Build an end that is not the flow's own, and that a new attempt may spare it."""
    return End(StateType.CRASHED, reason, message, kind="Infrastructure", may_retry=True, stopped_from_outside=stopped)


def timed_out(terms: Terms) -> End:
    """Build the end of a run that took longer than it may."""
    if terms.timeout_seconds is None:
        return End(
            StateType.FAILED,
            Reason.DEADLINE_EXCEEDED,
            "The pod ran longer than activeDeadlineSeconds of its template. Raise it, or set timeoutSeconds instead.",
            kind="User",
        )
    return End(
        StateType.FAILED,
        Reason.TIMED_OUT,
        f"The run took longer than its timeoutSeconds, {terms.timeout_seconds}. Raise it, or make the flow faster.",
        kind="User",
        name="TimedOut",
    )


def never_started(why: Reason, message: str, waited: str, *, may_retry: bool = False) -> End:
    """Build the end of an attempt whose pod did not start in time.

    Args:
        why: what it waited for.
        message: the same in a sentence.
        waited: a sentence that says for how long.
        may_retry: whether the node is at fault; where something is missing, a new pod would wait as long.
    """
    return End(
        StateType.CRASHED,
        Reason.PENDING_TIMEOUT,
        f"{waited} {message}",
        kind="Infrastructure",
        code=Reason.PENDING_TIMEOUT if why is Reason.JOB_CREATED else why,
        may_retry=may_retry,
        stopped_from_outside=True,
    )


def never_began(terms: Terms) -> End:
    """Build the end of an attempt whose process runs, and has not come as far as the flow in time."""
    return End(
        StateType.CRASHED,
        Reason.PENDING_TIMEOUT,
        f"The flow did not begin within pendingTimeoutSeconds, {terms.pending_timeout_seconds}, though its container"
        " runs: what it imports takes too long, or hangs. Raise pendingTimeoutSeconds, or import within the flow.",
        kind="Infrastructure",
        stopped_from_outside=True,
    )


def never_can_start(why: Reason, message: str) -> End:
    """Build the end of an attempt whose pod no waiting helps to start."""
    said = f"The pod can never start. {message}"
    return End(StateType.CRASHED, why, said, kind="Infrastructure", stopped_from_outside=True)


def of_pod(pod: Body, job: Body | None, attempt: int, terms: Terms) -> End:
    """Tell why an attempt ended whose container or pod has ended.

    Args:
        pod: the pod; its flow container has terminated, or its phase is Succeeded or Failed.
        job: the attempt's Job; None if it is gone.
        attempt: the attempt.
        terms: what was settled for it.
    """
    terminated = mapping(flow_container(pod), "state", "terminated")
    own = of_report(text(terminated, "message"), attempt)
    if own is not None and own.reason != Reason.TERMINATED:
        return own
    succeeded = integer(terminated, "exitCode") == 0 or text(pod, "status", "phase") == "Succeeded"
    if succeeded and not terms.reports_itself:
        return _completed(pod, terminated)
    return (
        _taken_away(pod)
        or _out_of_memory(pod, terminated)
        or _over_deadline(pod, job, terms)
        or _deleted(pod, job, terminated)
        or _unseen(pod, terminated)
        or own  # the process was told to stop, and nobody knows by whom
        or _not_started(pod, terminated, terms)
        or _init_container_failed(pod, terminated)
        or _exited(pod, terminated, terms)
    )


def of_job(job: Body, terms: Terms) -> End:
    """Tell why an attempt ended whose Job is finished and has no pod left."""
    if condition(job, "Complete") is not None and not terms.reports_itself:
        return End(StateType.COMPLETED, Reason.SUCCEEDED, "The container exited with code 0.")
    if job_failed_because(job) == _OVER_DEADLINE:
        return timed_out(terms)
    return pod_deleted()


def pod_deleted() -> End:
    """Build the end of an attempt whose pod vanished."""
    return infrastructure(
        Reason.POD_DELETED, "The pod was deleted, and nobody reported how the run ended.", stopped=True
    )


def job_deleted() -> End:
    """Build the end of an attempt whose Job vanished."""
    return infrastructure(
        Reason.JOB_DELETED,
        "The attempt's Job was deleted while the run was going on. To end a run, set spec.cancel instead.",
        stopped=True,
    )


def node_lost(pod: Body) -> End:
    """Build the end of an attempt whose pod cannot be asked any more."""
    node = text(pod, "spec", "nodeName") or "unknown"
    return infrastructure(
        Reason.NODE_LOST,
        f"The pod {text(pod, 'metadata', 'name')!r} does not answer any more: its node {node!r} seems to be lost.",
        stopped=True,
    )


def start_interrupted(pod: Body) -> End:
    """Build the end of an attempt whose pod was made in part, by a node that went away over it."""
    node = text(pod, "spec", "nodeName") or "unknown"
    return infrastructure(
        Reason.START_INTERRUPTED,
        f"The node {node!r} was interrupted while it started the pod, before any code of the flow ran, and does not go"
        " on with it.",
    )


def job_failed_because(job: Body) -> str:
    """Give the reason of a Job's failure, which is known a moment before it is final; empty if it has not failed."""
    failed = condition(job, "Failed") or condition(job, "FailureTarget")
    return text(failed, "reason")


def of_report(termination_message: str, attempt: int) -> End | None:
    """Read the process's own report from its termination message; None if it holds none of this attempt."""
    try:
        report = json.loads(termination_message)
    except (ValueError, RecursionError):
        return None
    state = mapping(report, "state")
    type_ = text(state, "type")
    if mapping(report).get("towpath") != 1 or mapping(report).get("attempt") != attempt or type_ not in TERMINAL:
        return None
    parts = {key: _valid(model, mapping(report, key)) for key, model in _REPORTED.items()}
    error = parts["error"]
    kind: Kind | None = None
    if error or type_ in {StateType.FAILED, StateType.CRASHED}:
        kind = error["kind"] if error else "User"
    is_infrastructure = type_ == StateType.CRASHED and kind == "Infrastructure"
    return End(
        StateType(type_),
        text(state, "reason") or type_.capitalize(),
        text(state, "message"),
        kind=kind,
        name=text(state, "name") or None,
        fields={key: part for key, part in parts.items() if part},
        may_retry=is_infrastructure,
        stopped_from_outside=is_infrastructure,
    )


def _valid(model: type[BaseModel], part: Mapping[str, Any]) -> dict[str, Any] | None:
    """Keep a part of a report only if the API server will take it: else no end could ever be written."""
    try:
        return model.model_validate(part).model_dump(mode="json", by_alias=True, exclude_none=True) if part else None
    except ValidationError:
        return None


def _completed(pod: Body, terminated: Mapping[str, Any]) -> End:
    return End(
        StateType.COMPLETED,
        Reason.SUCCEEDED,
        "The container exited with code 0.",
        fields=_times(terminated),
        stopped_from_outside=_was_stopped(pod, terminated),
    )


def _taken_away(pod: Body) -> End | None:
    disrupted = condition(pod, "DisruptionTarget")
    word = text(pod, "status", "reason")
    if disrupted is None and word not in _TAKEN:
        return None
    why = text(disrupted, "reason")
    reason = Reason.NODE_LOST if why in _NODE_TOOK_IT else _TAKEN.get(word, Reason.EVICTED)
    said = text(disrupted, "message") or text(pod, "status", "message")
    node = text(pod, "spec", "nodeName") or "unknown"
    return infrastructure(
        reason, f"The cluster took the pod away from node {node!r} ({why or word}). {said}".rstrip(), stopped=True
    )


def _out_of_memory(pod: Body, terminated: Mapping[str, Any]) -> End | None:
    name = CONTAINER
    if not terminated:  # one that had to do its work before
        before = mappings(pod, "status", "initContainerStatuses")
        killed = (one for one in before if mapping(one, "state", "terminated").get("reason") == _OOM_KILLED)
        name = text(next(killed, None), "name")
    elif text(terminated, "reason") != _OOM_KILLED:
        return None
    if not name:
        return None
    return infrastructure(
        Reason.OUT_OF_MEMORY,
        f"The container was killed because it used more memory than its limit. Raise resources.limits.memory of the"
        f" container {name!r} in the template, or let it use less.",
    )


def _over_deadline(pod: Body, job: Body | None, terms: Terms) -> End | None:
    over = (job is not None and job_failed_because(job) == _OVER_DEADLINE) or (
        text(pod, "status", "reason") == _OVER_DEADLINE
    )
    return timed_out(terms) if over else None


def _deleted(pod: Body, job: Body | None, terminated: Mapping[str, Any]) -> End | None:
    if not _was_stopped(pod, terminated):
        return None
    return job_deleted() if job is None or is_deleting(job) else pod_deleted()


def _was_stopped(pod: Body, terminated: Mapping[str, Any]) -> bool:
    """Tell whether the container ended only after its pod was told to go: then its exit code says nothing about it."""
    due = moment(pod, "metadata", "deletionTimestamp")
    if due is None:
        return False
    grace = integer(pod, "metadata", "deletionGracePeriodSeconds")
    if grace is None:
        grace = integer(pod, "spec", "terminationGracePeriodSeconds") or _DEFAULT_GRACE
    finished = moment(terminated, "finishedAt")
    return finished is None or finished >= due - timedelta(seconds=grace)


def _unseen(pod: Body, terminated: Mapping[str, Any]) -> End | None:
    """Tell that a container ended while its node was away, as in a restart: the exit code is made up."""
    before = [mapping(one, "state", "terminated") for one in mappings(pod, "status", "initContainerStatuses")]
    if not any(text(one, "reason") in _UNSEEN for one in ([terminated] if terminated else before)):
        return None
    node = text(pod, "spec", "nodeName") or "unknown"
    return infrastructure(
        Reason.NODE_LOST,
        f"The node {node!r} lost its containers while the run was going on, as in a restart, and nobody saw how they"
        " ended.",
    )


def _not_started(pod: Body, terminated: Mapping[str, Any], terms: Terms) -> End | None:
    exit_code, said = integer(terminated, "exitCode"), text(terminated, "message")
    lacks_package = terms.reports_itself and (_NO_PACKAGE in said or _NO_PACKAGE_PLAIN in said)
    if not (
        text(terminated, "reason") in _NOT_STARTED
        or (terms.reports_itself and exit_code in _SHELL_NOT_STARTED)
        or lacks_package
    ):
        return None
    if text(terminated, "reason") in _NOT_STARTED and any(words in said for words in _INTERRUPTED):
        message = (
            f"The node was interrupted while it started the container, before any code of the flow ran: {_tail(said)}"
        )
        return infrastructure(Reason.START_INTERRUPTED, message)
    image = text(flow_container(pod), "image")
    cure = (
        "Install towpath[cluster] in the image, so that `python -m towpath.engine` works there."
        if terms.reports_itself
        else "Correct the flow's command, or put what it names into the image."
    )
    return End(
        StateType.FAILED,
        Reason.ENTRYPOINT_NOT_FOUND,
        f"The image {image!r} cannot run the flow. {cure} {_tail(said.rpartition(_RUNTIME_SAYS)[2])}".rstrip(),
        kind="User",
    )


def _init_container_failed(pod: Body, terminated: Mapping[str, Any]) -> End | None:
    if terminated:
        return None
    for status in mappings(pod, "status", "initContainerStatuses"):
        ended = mapping(status, "state", "terminated")
        if integer(ended, "exitCode"):
            return End(
                StateType.FAILED,
                Reason.EXITED,
                f"The init container {text(status, 'name')!r} exited with code {integer(ended, 'exitCode')} before the"
                f" flow could start: {_tail(text(ended, 'message')) or 'it left no message'}",
                kind="User",
            )
    return None


def _exited(pod: Body, terminated: Mapping[str, Any], terms: Terms) -> End:
    exit_code, said = integer(terminated, "exitCode"), text(terminated, "message")
    if exit_code is None:
        why = text(pod, "status", "message") or text(pod, "status", "reason") or "nobody says why"
        return infrastructure(Reason.EVICTED, f"The pod failed before the flow's container had run: {why}")
    signal = f" ({_SIGNALS[exit_code]})" if exit_code in _SIGNALS else ""
    tail = f" Its last words: {_tail(said)}" if said else ""
    if exit_code == _KILLED:
        tail += " Nobody says who killed it: a probe of the template, or the kernel, for memory, do so without a word."
    if not terms.reports_itself:
        return End(
            StateType.FAILED,
            Reason.EXITED,
            f"The container exited with code {exit_code}{signal}.{tail}",
            kind="User",
            fields=_times(terminated),
        )
    return infrastructure(
        Reason.NO_REPORT,
        f"The process exited with code {exit_code}{signal} without saying how the run ended; something ended it from"
        f" inside (os._exit, a crash in native code) or outside.{tail}",
    )


def _times(terminated: Mapping[str, Any]) -> dict[str, Any]:
    """Give the run the container's own times, which are nearer the truth than when somebody looked."""
    times: dict[str, datetime | None] = {
        "startTime": moment(terminated, "startedAt"),
        "completionTime": moment(terminated, "finishedAt"),
    }
    return {key: rfc3339(at) for key, at in times.items() if at is not None}


def _tail(said: str) -> str:
    """Give the end of what a container said, where the error usually is."""
    text_ = said.strip()
    return text_ if len(text_) <= _TAIL else "…" + text_[-_TAIL:]
