"""FlowRun: one execution of a flow, its state machine guarded by the API server itself.

Whoever writes, the CEL rules below hold: a terminal state is final within its attempt and attempts never fall, so a dead
attempt's late word cannot undo anything.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from towpath.api.v1alpha1.common import (
    AnyObject,
    Column,
    Conditions,
    Crd,
    Model,
    Name,
    Resource,
    Rule,
    Seconds,
    Tags,
    Text,
    Time,
)
from towpath.api.v1alpha1.flow import CODE_RULES, FlowSpec
from towpath.names import MAX_DEPTH
from towpath.states import TERMINAL, StateType

_TERMINAL_LIST = "[" + ", ".join(f"'{end}'" for end in sorted(TERMINAL)) + "]"

SPEC_RULES = (
    Rule(
        "[has(self.flowRef), has(self.deploymentRef), has(self.flow)].filter(x, x).size() == 1",
        "set exactly one of flowRef, deploymentRef and flow",
    ),
)
STATUS_RULES = (
    Rule(
        "!has(oldSelf.attempt) || (has(self.attempt) && self.attempt >= oldSelf.attempt)",
        "attempt never falls",
    ),
    Rule(
        f"!has(oldSelf.state) || !(oldSelf.state.type in {_TERMINAL_LIST})"
        " || (has(self.attempt) && has(oldSelf.attempt) && self.attempt > oldSelf.attempt)"
        " || (has(self.state) && self.state == oldSelf.state)",
        "a terminal state is final within its attempt",
    ),
)


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


class FlowRunSpec(Model):
    """What is to be run, with what, and what should happen to it."""

    flow_ref: Name | None = None
    """Name of the Flow to run."""
    deployment_ref: Name | None = None
    """Name of the Deployment to run."""
    flow: Annotated[FlowSpec, Field(json_schema_extra={"x-rules": CODE_RULES})] | None = None
    """The flow itself, written in place."""
    parameters: AnyObject | None = None
    """Values for the flow's parameters."""
    scheduled_time: Time | None = None
    """Not before this time; at once by default."""
    parent: ParentRef | None = None
    """The run that called this one; set by Towpath."""
    on_parent_end: Literal["Cancel", "Orphan"] = "Cancel"
    """Whether this run is cancelled when its parent ends before it."""
    cancel: bool | None = None
    """Set to true to cancel the run and every run below it; cannot be taken back."""
    tags: Tags | None = None
    """Tags, added to the deployment's."""
    template: AnyObject | None = None
    """Pod template merged over the flow's and the deployment's."""
    timeout_seconds: Seconds | None = None
    """Overrides the flow's timeoutSeconds."""
    pending_timeout_seconds: Seconds | None = None
    """How long an attempt may wait for its pod to run before it CRASHED as PendingTimeout; 600 by default."""
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    """Overrides the flow's retries."""
    infra_retries: Annotated[int, Field(ge=0, le=100)] | None = None
    """Overrides the flow's infraRetries."""
    result_storage: Annotated[str, Field(max_length=512)] | None = None
    """Where a result too large for the status goes: a path or any fsspec URL that the run and its readers reach."""


class RunState(Model):
    """The state of a run at one moment."""

    type: StateType
    """Kind of state; drives all logic."""
    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name for people; the type's own unless the flow chose another."""
    reason: Annotated[str, Field(max_length=63)] | None = None
    """Why, in one word for machines."""
    message: Text | None = None
    """Why, in a sentence for people."""
    since: Time
    """When the run entered the state."""


class HistoryEntry(Model):
    """A state the run went through."""

    type: StateType
    """Kind of state."""
    name: Annotated[str, Field(max_length=63)]
    """Name of the state."""
    reason: Annotated[str, Field(max_length=63)] | None = None
    """Why, in one word."""
    at: Time
    """When the run entered it."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """Attempt in which it did."""


class RunResult(Model):
    """What the run returned: in place when small, else where it is."""

    inline: Annotated[str, Field(max_length=24_000)] | None = None
    """The serialised value itself."""
    ref: Annotated[str, Field(max_length=1024)] | None = None
    """URL of the stored value."""
    serializer: Literal["json", "pickle"] = "json"
    """How the value is serialised; pickle is base64 of cloudpickle."""
    size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of the serialised value."""


class RunError(Model):
    """Why the run did not complete."""

    code: Annotated[str, Field(max_length=63)]
    """Reason in one word, as in state.reason."""
    kind: Literal["User", "Infrastructure"]
    """Whose it is: the flow's own, or what it runs on; only the latter consumes infraRetries."""
    message: Text
    """What happened, in a sentence."""
    type: Annotated[str, Field(max_length=256)] | None = None
    """Class of the exception, such as builtins.ValueError."""
    traceback: Annotated[str, Field(max_length=4096)] | None = None
    """End of the traceback."""
    exception: Annotated[str, Field(max_length=6144)] | None = None
    """The exception itself (base64 of cloudpickle), if small enough to travel to the parent."""


class Counts(Model):
    """How many of something are in which state."""

    total: Annotated[int, Field(ge=0)] = 0
    """All of them."""
    completed: Annotated[int, Field(ge=0)] = 0
    """Those that completed."""
    failed: Annotated[int, Field(ge=0)] = 0
    """Those that failed, crashed or were cancelled."""
    running: Annotated[int, Field(ge=0)] = 0
    """Those not ended."""
    cached: Annotated[int, Field(ge=0)] = 0
    """Those completed from a kept result."""


class FlowRunStatus(Model):
    """The facts of a run."""

    state: RunState | None = None
    """Where the run stands."""
    history: Annotated[list[HistoryEntry], Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "atomic"})] | None = None
    """The last states, oldest first."""
    conditions: Conditions | None = None
    """Succeeded is Unknown until the run ends, then True or False."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Number of the attempt, each a Job; grows with infraRetries."""
    job: Annotated[str, Field(max_length=63)] | None = None
    """Job of the attempt, set once it exists."""
    pod: Annotated[str, Field(max_length=253)] | None = None
    """Pod of the attempt."""
    flow: Annotated[str, Field(max_length=63)] | None = None
    """Name of the flow, as resolved."""
    start_time: Annotated[Time, Field()] | None = None
    """When the current attempt began to run."""
    completion_time: Annotated[Time, Field()] | None = None
    """When the run ended."""
    tasks: Counts | None = None
    """The run's task calls."""
    children: Counts | None = None
    """The runs that this one called."""
    result: RunResult | None = None
    """What the run returned."""
    error: RunError | None = None
    """Why the run did not complete."""
    waiting_for: Text | None = None
    """What the run waits for, if it waits."""
    retry_at: Annotated[Time, Field()] | None = None
    """When the next attempt starts, while the run awaits it."""
    infra_failures: Annotated[int, Field(ge=0)] | None = None
    """Infrastructure failures so far, counted against infraRetries."""


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
            Rule(
                "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
                "the name of a FlowRun is a DNS label: at most 63 lower-case letters, digits and '-'",
            ),
            Rule("!has(oldSelf.status) || has(self.status)", "status cannot be removed"),
            Rule(
                "oldSelf.spec == self.spec || (has(self.spec.cancel) && self.spec.cancel"
                " && (!has(oldSelf.spec.cancel) || !oldSelf.spec.cancel))",
                "spec is immutable, but for cancel, which can only be set to true",
            ),
        ),
        selectable_fields=(".status.state.type", ".spec.deploymentRef"),
    )

    kind: Literal["FlowRun"] = "FlowRun"
    spec: Annotated[FlowRunSpec, Field(json_schema_extra={"x-rules": SPEC_RULES})]
    status: Annotated[FlowRunStatus, Field(json_schema_extra={"x-rules": STATUS_RULES})] | None = None
