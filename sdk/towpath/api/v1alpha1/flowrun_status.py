"""The facts of a run as the API server keeps them, and the rules that it holds every writer to.

A terminal state is final within its attempt and attempts never fall, so a dead attempt's late word cannot undo
anything. How long a text may be is for `towpath.limits` to say: the whole FlowRun has a budget.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from towpath import limits
from towpath.api.v1alpha1.common import Condition, Model, Moment, Rule, unchanged
from towpath.names import MAX_INLINE_RESULT_BYTES
from towpath.states import TERMINAL, StateType

Reason = Annotated[str, Field(min_length=1, max_length=limits.REASON)]
Attempt = Annotated[int, Field(ge=1, le=9_999)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]

_ENDS: Final = "[" + ", ".join(f"'{end}'" for end in sorted(TERMINAL)) + "]"
_NEW_ATTEMPT: Final = "self.?attempt.orValue(0) > oldSelf.?attempt.orValue(0)"
_WAS_LIVE: Final = f"!has(oldSelf.state) || !(oldSelf.state.type in {_ENDS})"


def _final(field: str) -> Rule:
    return Rule(
        f"{_WAS_LIVE} || {_NEW_ATTEMPT} || ({unchanged(field)})",
        f"the run has ended: its {field} is final within its attempt",
        field_path=f".{field}",
        reason="FieldValueForbidden",
    )


STATUS_RULES: Final = (
    Rule(
        "self.?attempt.orValue(0) >= oldSelf.?attempt.orValue(0)",
        "attempt never falls",
        field_path=".attempt",
        reason="FieldValueForbidden",
    ),
    Rule(
        "!has(oldSelf.state) || has(self.state)",
        "a run that has a state keeps one",
        field_path=".state",
        reason="FieldValueForbidden",
    ),
    _final("state"),
    _final("result"),
    _final("error"),
    Rule("!(has(self.result) && has(self.error))", "a run has a result or an error, not both"),
    Rule(
        "!has(self.pause) || self.?state.type.orValue('') == 'PAUSED' && !has(self.result) && !has(self.error)",
        "a pause goes with the state PAUSED, and without a result or an error",
        field_path=".pause",
    ),
)
RESULT_RULES: Final = (
    Rule("!(has(self.inline) && has(self.ref))", "a result is in place (inline) or elsewhere (ref), not both"),
)


class RunState(Model):
    """The state of a run at one moment."""

    type: StateType
    """Kind of state; drives all logic."""
    name: Annotated[str, Field(min_length=1, max_length=limits.STATE_NAME)]
    """Name for people; the type's own unless the flow chose another."""
    reason: Reason | None = None
    """Why, in one word for machines; docs/failures.md has each, and what to do."""
    message: Annotated[str, Field(max_length=limits.MESSAGE)] | None = None
    """Why, in a sentence for people."""
    since: Moment
    """When the run entered the state."""


class HistoryEntry(Model):
    """A state the run went through."""

    type: StateType
    """Kind of state."""
    name: Annotated[str, Field(max_length=limits.HISTORY_NAME)]
    """Name of the state."""
    reason: Reason | None = None
    """Why, in one word; for AwaitingRetry, what the attempt before ended as."""
    at: Moment
    """When the run entered it."""
    attempt: Annotated[int, Field(ge=0, le=9_999)] = 0
    """Attempt in which it did; 0 before the first."""


class RunCondition(Condition):
    """One aspect of a run's state, as Kubernetes writes them."""

    type: Annotated[str, Field(min_length=1, max_length=24)]
    """Aspect that the condition speaks of: Succeeded."""
    reason: Annotated[str, Field(max_length=limits.REASON)]
    """Why, in one word for machines."""
    message: Annotated[str, Field(max_length=limits.CONDITION_MESSAGE)] = ""
    """Why, in a sentence for people; the state has more of it."""
    last_transition_time: Moment
    """When the status last changed."""


class RunResult(Model):
    """What the run returned: in place when small, else where it is."""

    inline: Annotated[str, Field(max_length=MAX_INLINE_RESULT_BYTES)] | None = None
    """The serialised value itself."""
    ref: Annotated[str, Field(max_length=1024)] | None = None
    """URL of the stored value."""
    serializer: Literal["json", "pickle"] = "json"
    """How the value is serialised; a pickle in place is base64 of cloudpickle."""
    size: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """Bytes of the serialised value."""


class RunError(Model):
    """Why the run did not complete."""

    code: Reason
    """Reason in one word, as in state.reason; for PendingTimeout, what the pod waited for."""
    kind: Literal["User", "Infrastructure"]
    """Whose it is: the flow's own, or what it runs on; only the latter consumes infraRetries."""
    message: Annotated[str, Field(max_length=limits.ERROR_MESSAGE)]
    """What happened, in a sentence."""
    type: Annotated[str, Field(max_length=limits.ERROR_TYPE)] | None = None
    """Class of the exception, such as builtins.ValueError."""
    traceback: Annotated[str, Field(max_length=limits.ERROR_TRACEBACK)] | None = None
    """End of the traceback."""
    exception: Annotated[str, Field(max_length=limits.ERROR_EXCEPTION)] | None = None
    """The exception itself (base64 of cloudpickle), if small enough to travel to the parent."""


class RunPause(Model):
    """Where in its code a run waits for somebody."""

    key: Annotated[str, Field(min_length=1, max_length=limits.PAUSE_KEY)]
    """Which pause of the run it is; spec.answers speaks of it by this."""
    until: Moment | None = None
    """When it is too late, and the run FAILED as TimedOut; absent: never."""
    wanted: Annotated[str, Field(max_length=limits.PAUSE_WANTED)] | None = None
    """JSON Schema of the input, as JSON; absent if none is wanted."""
    description: Annotated[str, Field(max_length=limits.PAUSE_DESCRIPTION)] | None = None
    """What the author says of it, for whoever gives the input."""
    refused: Annotated[str, Field(max_length=limits.PAUSE_REFUSED)] | None = None
    """Why the run did not take the last input."""
    refused_input: Annotated[str, Field(max_length=limits.PAUSE_DIGEST)] | None = None
    """Digest of that input: only another one is looked at."""


class SlotCount(Model):
    """Slots of one ConcurrencyLimit, for tasks and other code of a run at work."""

    limit: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the ConcurrencyLimit."""
    slots: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """How many; of a limit with a rate, how many in all since the attempt began."""
    number: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """Number of the wish, which grows with each; a grant carries that of the wish that it answers."""


SlotCounts = Annotated[
    list[SlotCount],
    Field(
        max_length=limits.SLOT_LIMITS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["limit"]},
    ),
]


class Counts(Model):
    """How many of something are in which state."""

    total: Count = 0
    """All of them."""
    completed: Count = 0
    """Those that completed."""
    failed: Count = 0
    """Those that failed, crashed or were cancelled."""
    running: Count = 0
    """Those not ended."""
    cached: Count = 0
    """Those completed from a kept result."""


History = Annotated[
    list[HistoryEntry],
    Field(max_length=limits.HISTORY_LENGTH, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]
RunConditions = Annotated[
    list[RunCondition],
    Field(
        max_length=limits.CONDITIONS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class FlowRunStatus(Model):
    """The facts of a run."""

    state: RunState | None = None
    """Where the run stands."""
    history: History | None = None
    """The last states, oldest first."""
    conditions: RunConditions | None = None
    """Succeeded is Unknown until the run ends, then True or False."""
    attempt: Attempt | None = None
    """Number of the attempt; each is a Job. Another follows an infrastructure failure, a retry that was asked for, or a
    suspension."""
    job: Annotated[str, Field(max_length=63)] | None = None
    """Job of the attempt, set once it exists."""
    pod: Annotated[str, Field(max_length=63)] | None = None
    """Pod of the attempt."""
    flow: Annotated[str, Field(max_length=63)] | None = None
    """Name of the flow, as resolved."""
    revision: Annotated[str, Field(max_length=63)] | None = None
    """ControllerRevision that keeps what the first attempt was made of, for the later ones; absent if the run's own
    spec says it all."""
    start_time: Moment | None = None
    """When the current attempt began to run."""
    completion_time: Moment | None = None
    """When the run ended."""
    tasks: Counts | None = None
    """The run's task calls."""
    children: Counts | None = None
    """The runs that this one called."""
    result: Annotated[RunResult, Field(json_schema_extra={"x-rules": RESULT_RULES})] | None = None
    """What the run returned."""
    error: RunError | None = None
    """Why the run did not complete."""
    waiting_for: Annotated[str, Field(max_length=limits.WAITING_FOR)] | None = None
    """What the run waits for, if it waits."""
    pause: RunPause | None = None
    """Where in its code the run waits for somebody, while it does."""
    slots_wanted: SlotCounts | None = None
    """Slots that the code of the run wants; written by the run itself."""
    slots_granted: SlotCounts | None = None
    """Slots that it holds; written by the operator."""
    retry_at: Moment | None = None
    """When the next attempt starts, while the run awaits it."""
    infra_failures: Annotated[int, Field(ge=0, le=9_999)] | None = None
    """Infrastructure failures so far, counted against infraRetries."""
