"""Automation: when runs do this, do that.

What an Automation has begun and not finished is in its status: that is how nothing is lost with the operator. How much
that may be is bounded here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from towpath.api.v1alpha1.common import (
    AnyObject,
    Column,
    Conditions,
    Crd,
    Generation,
    Model,
    Moment,
    Name,
    Resource,
    Rule,
    Seconds,
    Tags,
    Time,
    name_rule,
)
from towpath.states import StateType

#: How many actions an Automation may have.
MAX_ACTIONS: Final = 8
#: How many events wait in the status until all that is to be done about them is done; further ones wait outside.
MAX_PENDING: Final = 32
#: How many of the last events a status names, so that a restarted operator knows them again.
MAX_DEALT: Final = 256

TRIGGER_RULES: Final = (
    Rule(
        "[has(self.states), has(self.late), has(self.longRunning), has(self.noSuccess)].filter(x, x).size() == 1",
        "set exactly one of states, late, longRunning and noSuccess",
    ),
)
ACTION_RULES: Final = (
    Rule(
        "[has(self.webhook), has(self.runDeployment), has(self.cancel), has(self.suspend)].filter(x, x).size() == 1",
        "set exactly one of webhook, runDeployment, cancel and suspend",
    ),
)
WEBHOOK_RULES: Final = (
    Rule("has(self.url) != has(self.urlFrom)", "set exactly one of url and urlFrom"),
    Rule(
        "!has(self.url) || self.url.matches('^https?://[^/?#@]+([/?#].*)?$')",
        "a URL begins with https:// or http:// and a host, without a user or password",
        field_path=".url",
        reason="FieldValueForbidden",
    ),
    Rule(
        "!has(self.text) || self.?format.orValue('CloudEvents') != 'CloudEvents'",
        "text goes with the formats Slack, Teams and Text",
        field_path=".text",
    ),
    Rule(
        "!has(dyn(self).body) || !has(self.format) && !has(self.text)",
        "body stands for itself, without format and text",
    ),
    Rule("self.?format.orValue('') != 'Text' || has(self.text)", "the format Text needs a text", field_path=".format"),
)
HEADER_RULES: Final = (
    Rule("has(self.value) != has(self.secretKeyRef)", "set exactly one of value and secretKeyRef"),
    Rule(
        "!(self.name.lowerAscii() in ['host', 'content-length', 'content-type', 'transfer-encoding', 'connection',"
        " 'webhook-id', 'webhook-timestamp', 'webhook-signature', 'idempotency-key'])",
        "this header is set by Towpath",
        field_path=".name",
    ),
)
AUTOMATION_RULES: Final = (
    Rule(
        "!has(self.throttle) || self.actions.all(a, !has(a.cancel) && !has(a.suspend))",
        "with throttle many events become one: cancel and suspend, which are for each run, need an Automation of their"
        " own",
        field_path=".throttle",
    ),
    Rule(
        "!has(self.trigger.noSuccess) || self.actions.all(a, !has(a.cancel) && !(has(a.suspend) &&"
        " a.suspend.?target.orValue('Run') == 'Run'))",
        "noSuccess speaks of no run: there is none to cancel or suspend",
        field_path=".actions",
    ),
    Rule(
        "!has(self.trigger.noSuccess) || self.actions.all(a, !has(a.suspend)) ||"
        " self.?match.?deployments.orValue([]).size() == 1",
        "with noSuccess, suspend needs match.deployments with one name",
        field_path=".actions",
    ),
)

#: A text with placeholders such as {{ run.name }}.
Template = Annotated[str, Field(min_length=1, max_length=2048)]


class StatesTrigger(Model):
    """A run enters a state."""

    types: Annotated[
        list[StateType], Field(min_length=1, max_length=9, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Kinds of state, such as FAILED and CRASHED; also those that are no end, such as RUNNING and PAUSED."""
    names: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=64)]],
            Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Only states of these names, such as AwaitingRetry; any by default."""
    reasons: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=64)]],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Only states with these reasons, such as OutOfMemory; any by default."""


class AfterTrigger(Model):
    """Something has taken so long."""

    after_seconds: Seconds
    """For how many seconds; it is an event once they have passed, and the run is still as it was."""


class ForTrigger(Model):
    """Nothing has happened for so long."""

    for_seconds: Annotated[int, Field(ge=10, le=31_536_000)]
    """For how many seconds, at least 10; one event for each silence, and another after the next success."""


class Trigger(Model):
    """What has to happen; exactly one of these."""

    states: StatesTrigger | None = None
    """A run enters one of these states."""
    late: AfterTrigger | None = None
    """A run has not begun to run so long after its scheduledTime, or after it was created without one."""
    long_running: AfterTrigger | None = None
    """An attempt of a run has been RUNNING for so long."""
    no_success: ForTrigger | None = None
    """No run COMPLETED for so long, counted from the last that did, at the earliest from when the Automation began."""


class Match(Model):
    """Which runs count: those to which all of this applies. Empty: all runs of the namespace that no run has called."""

    deployments: (
        Annotated[list[Name], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})] | None
    ) = None
    """Runs of one of these Deployments, also those that another run has made of them."""
    flows: Annotated[list[Name], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})] | None = (
        None
    )
    """Runs of one of these flows."""
    tags: Tags | None = None
    """Runs with all of these tags, their Deployment's included."""
    labels: AnyObject | None = None
    """Runs with all of these labels; the values are texts."""
    subflows: bool | None = None
    """True: also runs that other runs have called; their failures mostly fail their parents too."""


class SecretKeyRef(Model):
    """A value in a Secret of the same namespace, which the operator must be allowed to read."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Which of its keys; blanks and line ends round the value are dropped."""


class UrlSource(Model):
    """Where a URL that is itself a secret comes from."""

    secret_key_ref: SecretKeyRef
    """The key of a Secret."""


class Header(Model):
    """A header of a request."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[-A-Za-z0-9]+$")]
    """Name of the header; those that Towpath sets itself, such as Content-Type, are refused."""
    value: Annotated[str, Field(max_length=1024, pattern=r"^[ -~]*$")] | None = None
    """What it says, if everybody may know it."""
    secret_key_ref: SecretKeyRef | None = None
    """Where a value that is a secret comes from."""


Headers = Annotated[
    list[Annotated[Header, Field(json_schema_extra={"x-rules": HEADER_RULES})]],
    Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]


class Webhook(Model):
    """A POST to a URL, repeated until it is taken, for a day at most."""

    url: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Where to, with https:// or http://, if everybody may know it."""
    url_from: UrlSource | None = None
    """Where to, if the URL is a secret, as those of Slack and Teams are."""
    format: Literal["CloudEvents", "Slack", "Teams", "Text"] | None = None
    """What is sent: a CloudEvent as JSON, by default; a message for Slack or Teams; or text as it is."""
    text: Template | None = None
    """What Slack, Teams or Text says, with placeholders such as {{ run.name }}; the first two have one of their own."""
    body: AnyObject | None = None
    """Another JSON object to send, with placeholders in its texts."""
    headers: Headers | None = None
    """Further headers, such as Authorization."""
    signing_secret_ref: SecretKeyRef | None = None
    """With it, requests are signed as Standard Webhooks says: webhook-id, webhook-timestamp, webhook-signature."""


class RunDeployment(Model):
    """A run of a Deployment of the same namespace."""

    name: Name
    """Name of the Deployment."""
    parameters: AnyObject | None = None
    """Over the Deployment's parameters, name by name; texts may hold placeholders such as {{ run.name }}."""


class CancelRun(Model):
    """The run, and every run below it, is cancelled."""

    mode: Literal["Graceful", "Now"] | None = None
    """How, as cancelMode of a run says it; Graceful by default."""


class SuspendRun(Model):
    """The run is suspended, or its Deployment."""

    target: Literal["Run", "Deployment"] | None = None
    """Run, the default, or Deployment: then its schedules make no more runs until somebody sets suspend to false."""


class Action(Model):
    """Something to do; exactly one of these."""

    webhook: Annotated[Webhook, Field(json_schema_extra={"x-rules": WEBHOOK_RULES})] | None = None
    """Send a message to a URL."""
    run_deployment: RunDeployment | None = None
    """Make a run of a Deployment: once for each event."""
    cancel: CancelRun | None = None
    """Cancel the run, unless it has ended."""
    suspend: SuspendRun | None = None
    """Suspend the run, unless it has ended, or its Deployment."""


Actions = Annotated[
    list[Annotated[Action, Field(json_schema_extra={"x-rules": ACTION_RULES})]],
    Field(min_length=1, max_length=MAX_ACTIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]


class Throttle(Model):
    """How often at most something is done."""

    seconds: Seconds
    """So many seconds at least lie between two events; what happens meanwhile comes with the next, and is counted."""


class AutomationSpec(Model):
    """What has to happen to which runs, and what is done about it."""

    trigger: Annotated[Trigger, Field(json_schema_extra={"x-rules": TRIGGER_RULES})]
    """What has to happen."""
    match: Match | None = None
    """Which runs count; by default all of the namespace that no other run has called."""
    actions: Actions
    """What is done about it: all of it, none waits for another."""
    throttle: Throttle | None = None
    """With it, many events become one."""
    suspend: bool | None = None
    """True: nothing counts and nothing is done. When it goes on it begins anew; what had waited to be sent is sent."""


class Left(Model):
    """What is still to be done about an event."""

    action: Annotated[int, Field(ge=0, le=MAX_ACTIONS)]
    """Which of spec.actions, counted from 0."""
    attempts: Annotated[int, Field(ge=0, le=100_000)] = 0
    """How often it was tried."""
    next_at: Moment | None = None
    """When it is tried again."""
    last_error: Annotated[str, Field(max_length=256)] | None = None
    """Why it did not work."""


class PendingEvent(Model):
    """An event about which not all is done."""

    id: Annotated[str, Field(min_length=1, max_length=48)]
    """The same for the same event, whoever looks; receivers know doubles by it."""
    event: Annotated[str, Field(min_length=1, max_length=24)]
    """What happened: the type of a state in small letters, late, longrunning, nosuccess or test."""
    at: Moment
    """When."""
    taken: Moment
    """When it was taken in."""
    run: Annotated[str, Field(max_length=63)] | None = None
    """Name of the FlowRun."""
    uid: Annotated[str, Field(max_length=64)] | None = None
    """UID of the FlowRun."""
    flow: Annotated[str, Field(max_length=63)] | None = None
    """Name of its flow."""
    deployment: Annotated[str, Field(max_length=63)] | None = None
    """Name of its Deployment."""
    attempt: Annotated[int, Field(ge=0, le=9_999)] = 0
    """Its attempt."""
    type: Annotated[str, Field(max_length=24)] | None = None
    """Kind of state that it was in."""
    name: Annotated[str, Field(max_length=64)] | None = None
    """Name of the state."""
    reason: Annotated[str, Field(max_length=64)] | None = None
    """Why it was in it, in one word."""
    message: Annotated[str, Field(max_length=256)] | None = None
    """Why, in a sentence."""
    count: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """How many events it stands for."""
    left: Annotated[list[Left], Field(max_length=MAX_ACTIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"})]
    """What is still to be done."""


Total = Annotated[int, Field(ge=0, le=10**12)]


class AutomationStatus(Model):
    """What happened so far, and what is left to do."""

    conditions: Conditions | None = None
    """Ready says whether the Automation looks, and whether what it should do can be done."""
    definition: Annotated[str, Field(max_length=16)] | None = None
    """Hash of trigger and match; an Automation in which they were edited begins anew."""
    began: Moment | None = None
    """What happened before does not count."""
    look_from: Moment | None = None
    """What happened up to then has been seen to; and so have the events in dealt."""
    dealt: (
        Annotated[
            list[Annotated[str, Field(max_length=48)]],
            Field(max_length=MAX_DEALT, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Ids of events after lookFrom that have been taken in."""
    pending: (
        Annotated[
            list[PendingEvent],
            Field(max_length=MAX_PENDING, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Events about which not all is done."""
    waiting: Total | None = None
    """How many events are still being dealt with: the length of pending."""
    triggered: Total | None = None
    """How many events there were."""
    delivered: Total | None = None
    """How many actions were done."""
    failed: Total | None = None
    """How many actions were given up."""
    last_triggered: Time | None = None
    """When it was triggered last."""
    last_delivered: Time | None = None
    """When an action was done last."""
    last_success: Moment | None = None
    """With noSuccess: when a run COMPLETED last, to within a tenth of forSeconds."""
    last_error: Annotated[str, Field(max_length=256)] | None = None
    """Why the last action that did not work did not; gone when one has worked since."""
    tested: Annotated[str, Field(max_length=64)] | None = None
    """The last test that was asked for, as the annotation towpath.dev/test says it."""
    written: Moment | None = None
    """When events were last written; under load that is done once a second."""
    observed_generation: Generation | None = None
    """Generation of the spec that this status speaks of."""


class Automation(Resource):
    """When runs do this, do that: tell somebody, run a deployment, cancel, suspend."""

    crd: ClassVar[Crd] = Crd(
        plural="automations",
        short_names=("fauto",),
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            Column("Triggered", ".status.triggered", type="integer"),
            Column("Done", ".status.delivered", type="integer"),
            Column("Failed", ".status.failed", type="integer"),
            Column("Waiting", ".status.waiting", type="integer"),
            Column("Last", ".status.lastTriggered", type="date"),
            Column("Problem", '.status.conditions[?(@.type=="Ready")].message', priority=1),
            Column("Error", ".status.lastError", priority=1),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("Automation"),),
    )

    kind: Literal["Automation"] = "Automation"
    spec: Annotated[AutomationSpec, Field(json_schema_extra={"x-rules": AUTOMATION_RULES})]
    status: AutomationStatus | None = None
