"""ConcurrencyLimit: a named number of slots, shared by runs and by the tasks of runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from towpath.api.v1alpha1.common import (
    Column,
    Conditions,
    Crd,
    Generation,
    Model,
    Name,
    Resource,
    Rule,
    Slots,
    Tag,
    Time,
    name_rule,
)

LIMIT_RULES = (
    Rule("!has(self.appliesTo) || has(self.tag)", "appliesTo goes with tag", field_path=".appliesTo"),
    Rule(
        "!has(self.slotDecayPerSecond) || !(self.?appliesTo.orValue('') == 'Runs')",
        "a rate is for tasks and other code of runs, not for runs",
        field_path=".slotDecayPerSecond",
    ),
)
#: How many holders a status names; the others are counted.
MAX_HOLDERS: Final = 20


class ConcurrencyLimitSpec(Model):
    """How many slots there are, and whose they are."""

    limit: Slots
    """How many slots there are; 0 lets nobody in."""
    tag: Tag | None = None
    """With a tag, everything that carries it needs a slot, and nothing has to name the limit."""
    applies_to: Literal["Tasks", "Runs"] | None = None
    """With a tag: whether it speaks of tasks, as by default, or of runs."""
    slot_decay_per_second: (
        Annotated[str, Field(max_length=16, pattern=r"^([0-9]{1,6}(\.[0-9]{1,6})?|\.[0-9]{1,6})$")] | None
    ) = None
    """A rate, such as "0.5": so many slots come free again each second, whoever took them; nobody gives one back. "0"
    is no rate."""
    suspend: bool | None = None
    """True: the limit lets everybody in."""


class SlotHolder(Model):
    """A run that holds slots, itself or for its tasks."""

    run: Name
    """Name of the FlowRun."""
    slots: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """How many."""


class ConcurrencyLimitStatus(Model):
    """Who holds slots and how many wait, as it was a moment ago; it is counted from live runs, never from here."""

    conditions: Conditions | None = None
    """Ready says whether the limit can be understood."""
    active: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Slots that are taken."""
    waiting: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Runs that wait for slots, or whose tasks do."""
    holders: (
        Annotated[
            list[SlotHolder], Field(max_length=MAX_HOLDERS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
        ]
        | None
    ) = None
    """The first of those who hold slots."""
    taken_at: Time | None = None
    """With a rate: when the slots were as full as takenMillis says."""
    taken_millis: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """With a rate: thousandths of slots that had not come free again at takenAt."""
    counted: Time | None = None
    """When the counts were written; for their own sake alone they are not written again within some seconds."""
    observed_generation: Generation | None = None
    """Generation of the spec that this status speaks of."""


class ConcurrencyLimit(Resource):
    """A number of slots, for runs that name it, for code that asks for it by name, or for all that carries a tag."""

    crd: ClassVar[Crd] = Crd(
        plural="concurrencylimits",
        short_names=("climit",),
        columns=(
            Column("Limit", ".spec.limit", type="integer"),
            Column("Tag", ".spec.tag"),
            Column("Rate", ".spec.slotDecayPerSecond"),
            Column("Active", ".status.active", type="integer"),
            Column("Waiting", ".status.waiting", type="integer"),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("ConcurrencyLimit"),),
    )

    kind: Literal["ConcurrencyLimit"] = "ConcurrencyLimit"
    spec: Annotated[ConcurrencyLimitSpec, Field(json_schema_extra={"x-rules": LIMIT_RULES})]
    status: ConcurrencyLimitStatus | None = None
