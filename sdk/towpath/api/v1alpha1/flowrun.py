"""FlowRun: one execution of a flow, its state machine guarded by the API server itself.

What a run was created with never changes, whoever asks: its spec is immutable, but for wishes of what should happen to
it: to cancel it, to have it wait or go on, before others or after them, or to try it again.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from towpath import limits
from towpath.api.v1alpha1.common import (
    AnyObject,
    Column,
    Crd,
    LimitNames,
    Model,
    Name,
    Priority,
    Resource,
    Retries,
    Rule,
    Seconds,
    Tags,
    Time,
    name_rule,
    unchanged,
)
from towpath.api.v1alpha1.flow import CODE_RULES, FlowSpec
from towpath.api.v1alpha1.flowrun_status import STATUS_RULES, FlowRunStatus
from towpath.names import MAX_DEPTH


class ParentRef(Model):
    """The run that called this one."""

    name: Name
    """Name of the parent FlowRun, in the same namespace."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """UID of the parent FlowRun."""
    call: Annotated[str, Field(max_length=63)] = ""
    """Identity of the call in the parent, so that a retried parent finds this run again."""
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = 1
    """How many runs are above this one; bounded, as a guard against recursion."""


class PauseAnswer(Model):
    """What lets a run go on that waits at a pause of its code."""

    pause: Annotated[str, Field(min_length=1, max_length=limits.PAUSE_KEY)]
    """Key of the pause, as status.pause says it."""
    input: AnyObject | None = None
    """The input, if the pause wants one."""


Answers = Annotated[
    list[PauseAnswer],
    Field(
        max_length=limits.ANSWERS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["pause"]},
    ),
]


class FlowRunSpec(Model):
    """What is to be run, with what, and what should happen to it."""

    flow_ref: Name | None = None
    """Name of the Flow to run, in the same namespace."""
    deployment_ref: Name | None = None
    """Name of the Deployment to run, in the same namespace."""
    flow: Annotated[FlowSpec, Field(json_schema_extra={"x-rules": CODE_RULES})] | None = None
    """The flow itself, written in place."""
    parameters: AnyObject | None = None
    """Values for the flow's parameters, over the deployment's, name by name. `kubectl apply` leaves out those that are
    null; `kubectl create` and `kubectl apply --server-side` do not."""
    scheduled_time: Time | None = None
    """Not before this time; at once by default."""
    parent: ParentRef | None = None
    """The run that called this one; set by Towpath."""
    on_parent_end: Literal["Cancel", "Orphan"] = "Cancel"
    """Whether this run is cancelled when its parent ends before it."""
    cancel: bool | None = None
    """Set to true to cancel the run and every run below it; cannot be taken back."""
    cancel_mode: Literal["Graceful", "Now"] | None = None
    """How a cancelled run ends: Graceful, the default, gives it the pod's grace period for its hooks; Now kills it at
    once. It may become Now while a graceful end takes its time, and not be taken back."""
    pause: bool | None = None
    """True: the run waits, in its process, at its next call of a task or flow, until this is false."""
    suspend: bool | None = None
    """True: a run that has not begun does not begin; one that is at work ends its process at its next call of a task or
    flow, and begins anew, with what results it has kept, when this is false."""
    answers: Answers | None = None
    """What lets the run go on at the pauses in its code, by their keys; all of it as JSON at most 2 KiB."""
    retry_after_attempt: Annotated[int, Field(ge=0, le=9_999)] | None = None
    """Set to status.attempt (0 if there is none) once the run has failed, crashed or been cancelled by its own code:
    one more attempt follows, and what results the run has kept are used again."""
    limits: LimitNames | None = None
    """ConcurrencyLimits of which the run needs a slot, beside the deployment's."""
    queue: Name | None = None
    """Queue in which the run takes its turn; the deployment's by default."""
    priority: Priority | None = None
    """Among runs that wait for the same, those with a higher priority come first; the deployment's by default, else
    0. It may change while the run waits."""
    tags: Tags | None = None
    """Tags, added to the deployment's."""
    template: AnyObject | None = None
    """Pod template (metadata, spec), merged over the flow's and the deployment's."""
    timeout_seconds: Seconds | None = None
    """How many seconds the run may take before it ends FAILED as TimedOut; overrides flow and deployment."""
    pending_timeout_seconds: Seconds | None = None
    """How long an attempt may wait for its pod to run before it ends as PendingTimeout; 600 by default. Another
    attempt follows only where the node is at fault."""
    retries: Retries | None = None
    """How often the flow's own failure is retried within its pod; overrides flow and deployment."""
    infra_retries: Retries | None = None
    """How many new attempts follow failures that are not the flow's own; overrides flow and deployment."""
    result_storage: Annotated[str, Field(max_length=512)] | None = None
    """Where a result too large for the status goes: a path or any fsspec URL that the run and its readers reach."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """For how long after its end the run is kept, whatever its deployment's history says; 0: not at all. It may change
    as long as the run is there. Without it that history counts, and the operator's setting, which by default keeps
    runs for ever."""


#: What may be asked of a run that there is.
_WISHES: Final = (
    "cancel",
    "cancel_mode",
    "pause",
    "suspend",
    "answers",
    "priority",
    "retry_after_attempt",
    "ttl_seconds_after_finished",
)


def _immutable(field: str) -> Rule:
    return Rule(
        unchanged(field),
        "immutable: of a run's spec only cancel, cancelMode, pause, suspend, answers, priority, retryAfterAttempt and"
        " ttlSecondsAfterFinished may change; create another FlowRun",
        field_path=f".{field}",
        reason="FieldValueForbidden",
    )


SPEC_RULES: Final = (
    Rule(
        "[has(self.flowRef), has(self.deploymentRef), has(self.flow)].filter(x, x).size() == 1",
        "set exactly one of flowRef, deploymentRef and flow",
    ),
    Rule(
        "!oldSelf.?cancel.orValue(false) || self.?cancel.orValue(false)",
        "cancel cannot be taken back",
        field_path=".cancel",
        reason="FieldValueForbidden",
    ),
    Rule(
        "oldSelf.?cancelMode.orValue('Graceful') != 'Now' || self.?cancelMode.orValue('Graceful') == 'Now'",
        "cancelMode Now cannot be taken back",
        field_path=".cancelMode",
        reason="FieldValueForbidden",
    ),
    Rule(
        "self.?cancel.orValue(false)"
        " ? self.?retryAfterAttempt.orValue(-1) == oldSelf.?retryAfterAttempt.orValue(-1)"
        " : self.?retryAfterAttempt.orValue(-1) >= oldSelf.?retryAfterAttempt.orValue(-1)",
        "retryAfterAttempt never falls, and a cancelled run stays cancelled: create another FlowRun",
        field_path=".retryAfterAttempt",
        reason="FieldValueForbidden",
    ),
    *(_immutable(field.alias or name) for name, field in FlowRunSpec.model_fields.items() if name not in _WISHES),
)


class FlowRun(Resource):
    """One execution of a flow; each attempt of it is a Job."""

    crd: ClassVar[Crd] = Crd(
        plural="flowruns",
        short_names=("fr",),
        columns=(
            Column("Flow", ".status.flow"),
            Column("State", ".status.state.name"),
            Column("Reason", ".status.state.reason"),
            Column("Started", ".status.startTime", type="date"),
            Column("Ended", ".status.completionTime", type="date"),
            Column("Parent", ".spec.parent.name", priority=1),
            Column("Attempt", ".status.attempt", type="integer", priority=1),
            Column("Job", ".status.job", priority=1),
            Column("Message", ".status.state.message", priority=1),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(
            name_rule("FlowRun"),
            Rule("!has(oldSelf.status) || has(self.status)", "status cannot be removed", reason="FieldValueForbidden"),
            Rule(
                "self.spec.?retryAfterAttempt.orValue(0) <= self.?status.?attempt.orValue(0)",
                "retryAfterAttempt names an attempt that has not been yet: set it to status.attempt, or to 0"
                " without it",
                field_path=".spec.retryAfterAttempt",
                reason="FieldValueForbidden",
            ),
            Rule(
                "self.?status.?state.?type.orValue('') != 'COMPLETED'"
                " || self.spec.?retryAfterAttempt.orValue(-1) == oldSelf.spec.?retryAfterAttempt.orValue(-1)",
                "the run has completed, so there is nothing to try again: create another FlowRun",
                field_path=".spec.retryAfterAttempt",
                reason="FieldValueForbidden",
            ),
        ),
        selectable_fields=(".status.state.type", ".spec.deploymentRef"),
    )

    kind: Literal["FlowRun"] = "FlowRun"
    spec: Annotated[FlowRunSpec, Field(json_schema_extra={"x-rules": SPEC_RULES})]
    status: Annotated[FlowRunStatus, Field(json_schema_extra={"x-rules": STATUS_RULES})] | None = None
