"""Queue: a lane in which runs take their turn, with a limit, an order and a pod template of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from towpath.api.v1alpha1.common import (
    AnyObject,
    Column,
    Conditions,
    Crd,
    Generation,
    Model,
    Priority,
    Resource,
    Slots,
    Time,
    name_rule,
)


class QueueSpec(Model):
    """How many runs the queue lets work at once, and what it gives them."""

    limit: Slots | None = None
    """How many runs may be at work at once; any number by default."""
    priority: Priority | None = None
    """Added to the priority of each of its runs: of runs of several queues that wait for the same slots, those of the
    queue with the higher priority come first."""
    suspend: bool | None = None
    """True: no more runs begin; those at work go on."""
    template: AnyObject | None = None
    """Pod template below the flow's: what the queue's runs get unless flow, deployment or run say otherwise."""


class QueueStatus(Model):
    """How long the queue is, as it was a moment ago; it is counted from live runs, never from here."""

    conditions: Conditions | None = None
    """Ready says whether the queue lets runs begin."""
    active: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Runs at work."""
    waiting: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Runs that wait for their turn."""
    counted: Time | None = None
    """When the counts were written; for their own sake alone they are not written again within some seconds."""
    observed_generation: Generation | None = None
    """Generation of the spec that this status speaks of."""


class Queue(Resource):
    """A lane in which runs take their turn: by priority, and within it by age."""

    crd: ClassVar[Crd] = Crd(
        plural="queues",
        short_names=("fq",),
        columns=(
            Column("Limit", ".spec.limit", type="integer"),
            Column("Priority", ".spec.priority", type="integer"),
            Column("Suspended", ".spec.suspend", type="boolean"),
            Column("Active", ".status.active", type="integer"),
            Column("Waiting", ".status.waiting", type="integer"),
            Column("Problem", '.status.conditions[?(@.type=="Ready")].message', priority=1),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("Queue"),),
    )

    kind: Literal["Queue"] = "Queue"
    spec: QueueSpec
    status: QueueStatus | None = None
