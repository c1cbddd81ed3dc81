"""Deployment: a Flow with parameters and settings of its own, ready to be run by name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from towpath.api.v1alpha1.common import (
    AnyObject,
    Column,
    Conditions,
    Crd,
    Generation,
    LimitNames,
    Model,
    Name,
    Priority,
    Resource,
    Retries,
    Rule,
    Seconds,
    Tags,
    Text,
    Time,
    name_rule,
)

#: How many schedules a Deployment may have.
MAX_SCHEDULES: Final = 20
#: Of how many coming runs a Deployment's status tells.
NEXT_RUNS: Final = 5

SCHEDULE_RULES: Final = (
    Rule(
        "[has(self.cron), has(self.intervalSeconds), has(self.rrule)].filter(x, x).size() == 1",
        "set exactly one of cron, intervalSeconds and rrule",
    ),
    Rule("!has(self.dayOr) || has(self.cron)", "dayOr goes with cron", field_path=".dayOr"),
    Rule("!has(self.anchor) || has(self.intervalSeconds)", "anchor goes with intervalSeconds", field_path=".anchor"),
    Rule(
        r"!has(self.cron) || self.cron.matches('^\\s*(@[A-Za-z]+|\\S+(\\s+\\S+){4})\\s*$')",
        "a cron expression has five fields: minute, hour, day of month, month, day of week; such as '0 9 * * MON-FRI',"
        " or is one of @hourly, @daily, @weekly, @monthly, @yearly",
        field_path=".cron",
    ),
    Rule(
        "!has(self.rrule) || self.rrule.matches('(?i)(FREQ=|RDATE)')",
        "an rrule says how often (FREQ=...), such as 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0', or lists times"
        " (RDATE:...)",
        field_path=".rrule",
    ),
)


class ScheduleSpec(Model):
    """When runs are due, and what they are given beside the Deployment's own parameters."""

    name: Name
    """Name of the schedule within its Deployment; under another name it is another schedule."""
    cron: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Cron expression of five fields, or a nickname such as @daily; L, LW, 5L and MON#2 are understood."""
    day_or: bool | None = None
    """With a cron that restricts the day of the month and the day of the week: true, the default, if one of them has to
    fit, false if both."""
    interval_seconds: Annotated[int, Field(ge=1, le=3_153_600_000)] | None = None
    """Time between runs; below a day by time as it passes, from a day on by the clock on the wall."""
    anchor: Time | None = None
    """With intervalSeconds: one of the times, from which the others are counted, both ways; Monday, 2024-01-01, by
    default."""
    rrule: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Recurrence rule of iCalendar, or lines of DTSTART, RRULE, RDATE and EXDATE; COUNT is refused, write UNTIL."""
    timezone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Time zone of the clock that it goes by, such as Europe/Berlin; UTC by default."""
    parameters: AnyObject | None = None
    """What its runs are given, over the Deployment's parameters, name by name."""
    suspend: bool | None = None
    """True: no runs. What was due meanwhile is left out when it goes on."""


Schedules = Annotated[
    list[Annotated[ScheduleSpec, Field(json_schema_extra={"x-rules": SCHEDULE_RULES})]],
    Field(
        max_length=MAX_SCHEDULES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


class ConcurrencySpec(Model):
    """How many runs of a Deployment may be at work at once."""

    limit: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many runs may be at work."""
    on_conflict: Literal["Enqueue", "CancelNew", "CancelRunning"] = "Enqueue"
    """What becomes of one run more. Enqueue: it waits for its turn. CancelNew: it is cancelled. CancelRunning: the
    oldest that is at work is cancelled, and it takes the place."""


class HistorySpec(Model):
    """Which runs of a Deployment are kept once they have ended; what is not said keeps all of them. A run goes when one
    of these says so, with all that it called. Runs that other runs called go with those, and do not count; nor do runs
    with a ttlSecondsAfterFinished of their own."""

    succeeded: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """How many that COMPLETED are kept, the latest."""
    failed: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """How many that FAILED, CRASHED or were CANCELLED are kept, the latest."""
    ttl_seconds: Seconds | None = None
    """For how many seconds after its end a run is kept; without it the operator's setting counts."""


class DeploymentSpec(Model):
    """Which flow, with what; a run by deploymentRef takes all of it unless it says otherwise."""

    flow_ref: Name
    """Name of the Flow in the same namespace."""
    parameters: AnyObject | None = None
    """Values for the flow's parameters; those of a run go over them, name by name."""
    schedules: Schedules | None = None
    """When runs are made; each time of each schedule makes one run."""
    suspend: bool | None = None
    """True: no schedule makes runs. Runs that are there go on, and others can be made by hand."""
    missed_run_policy: Literal["Skip", "Latest", "All"] | None = None
    """What becomes of times that passed while no operator was there to see them: Skip makes no run for what is more
    than startingDeadlineSeconds (60 by default) late; Latest, the default, one for the last of them; All one for each,
    at most the latest 100 of a schedule."""
    starting_deadline_seconds: Seconds | None = None
    """How late a schedule's run may be made at all; with Latest and All there is no limit by default."""
    concurrency: ConcurrencySpec | None = None
    """How many runs may be at work at once; any number by default."""
    limits: LimitNames | None = None
    """ConcurrencyLimits of which every run needs a slot."""
    queue: Name | None = None
    """Queue in which every run takes its turn."""
    priority: Priority | None = None
    """Among runs that wait for the same, those with a higher priority come first; 0 by default."""
    history: HistorySpec | None = None
    """Which runs are kept once they have ended; all by default."""
    tags: Tags | None = None
    """Tags of every run."""
    template: AnyObject | None = None
    """Pod template (metadata, spec), merged over the Flow's."""
    timeout_seconds: Seconds | None = None
    """How many seconds a run may take before it ends FAILED as TimedOut; overrides the Flow's."""
    pending_timeout_seconds: Seconds | None = None
    """How long an attempt may wait for its pod to run before it ends as PendingTimeout; 600 by default. Another
    attempt follows only where the node is at fault."""
    retries: Retries | None = None
    """How often the flow's own failure is retried within its pod; overrides the Flow's."""
    infra_retries: Retries | None = None
    """How many new attempts follow failures that are not the flow's own, such as a lost node; overrides the Flow's."""
    result_storage: Annotated[str, Field(max_length=512)] | None = None
    """Where results too large for the status go: a path or any fsspec URL that the run and its readers reach."""


class NextRun(Model):
    """A run that a schedule is going to make."""

    time: Time
    """When it is due."""
    schedule: Name
    """Name of the schedule."""


class ScheduleStatus(Model):
    """How far a schedule has been seen to; this is what keeps a restarted operator from losing a time."""

    name: Name
    """Name of the schedule."""
    definition: Annotated[str, Field(max_length=16)]
    """Hash of what the schedule says about when it is due; an edited schedule begins anew."""
    seen_until: Time
    """What was due up to then has its run, or was left out for good."""
    last_schedule_time: Time | None = None
    """The last time for which a run was made."""
    problem: Text | None = None
    """Why it makes no runs: it cannot be understood, or the API server refuses them."""


class DeploymentStatus(Model):
    """What the operator knows of a Deployment."""

    conditions: Conditions | None = None
    """Ready says whether the Deployment can be run, Scheduled whether its schedules make runs."""
    active: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Runs of the Deployment that have not ended."""
    last_succeeded: Time | None = None
    """When a run COMPLETED last."""
    counted: Time | None = None
    """When active and lastSucceeded were written; for their own sake alone they are not written again within 10 s."""
    last_scheduled: Time | None = None
    """The last time for which a schedule made a run."""
    next_runs: (
        Annotated[list[NextRun], Field(max_length=NEXT_RUNS, json_schema_extra={"x-kubernetes-list-type": "atomic"})]
        | None
    ) = None
    """Runs that the schedules are going to make next, of all schedules together."""
    schedules: (
        Annotated[
            list[ScheduleStatus],
            Field(
                max_length=MAX_SCHEDULES,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
        ]
        | None
    ) = None
    """How far each schedule has been seen to; one that is suspended is not among them."""
    observed_generation: Generation | None = None
    """Generation of the spec that this status speaks of."""


class Deployment(Resource):
    """A Flow with parameters and settings of its own, ready to be run by name."""

    crd: ClassVar[Crd] = Crd(
        plural="deployments",
        short_names=("fdep",),
        columns=(
            Column("Flow", ".spec.flowRef"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            Column("Scheduled", '.status.conditions[?(@.type=="Scheduled")].reason'),
            Column("Active", ".status.active", type="integer"),
            Column("Last Run", ".status.lastScheduled", type="date"),
            Column("Next Run", ".status.nextRuns[0].time"),  # as a date, kubectl would show a coming time as invalid
            Column("Last Success", ".status.lastSucceeded", type="date", priority=1),
            Column("Problem", '.status.conditions[?(@.type=="Scheduled")].message', priority=1),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("Deployment"),),
        selectable_fields=(".spec.flowRef",),
    )

    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec
    status: DeploymentStatus | None = None
