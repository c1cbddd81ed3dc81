"""What the kinds share: configuration, bounded values, conditions, and what a kind tells the CRD generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: How many ConcurrencyLimits one run may name.
MAX_LIMITS: Final = 4

#: A free-form object that the API server keeps as it is, nulls included. Its values are declared unknown, not the
#: object itself: CEL compares unknown values whole, but takes two objects without declared fields for equal when only
#: the names of their keys differ.
AnyObject = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={"additionalProperties": {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}},
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Text = Annotated[str, Field(max_length=1024)]
#: An RFC 3339 time with its offset.
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
#: A time as `transitions.rfc3339` writes it: UTC, to the microsecond.
Moment = Annotated[str, Field(max_length=27, json_schema_extra={"format": "date-time"})]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Retries = Annotated[int, Field(ge=0, le=100)]
Generation = Annotated[int, Field(ge=0, le=10**12)]
Tag = Annotated[str, Field(min_length=1, max_length=63)]
Tags = Annotated[list[Tag], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
#: Slots of a limit; enough for whatever is counted in runs or tasks.
Slots = Annotated[int, Field(ge=0, le=1_000_000)]
#: Names of ConcurrencyLimits.
LimitNames = Annotated[list[Name], Field(max_length=MAX_LIMITS, json_schema_extra={"x-kubernetes-list-type": "set"})]


class Model(BaseModel):
    """Base of every part of a resource: camelCase on the wire; unknown fields, which the API server prunes, refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", use_attribute_docstrings=True
    )

    def wire(self) -> dict[str, Any]:
        """Give the part as it travels: camelCase, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL validation rule and the words with which the API server refuses what breaks it."""

    rule: str
    message: str
    field_path: str = ""
    """Field below the rule's place that the refusal names, such as `.parameters`; empty: the place itself."""
    reason: Literal["FieldValueInvalid", "FieldValueForbidden"] = "FieldValueInvalid"
    """Forbidden keeps the value out of the refusal."""

    def wire(self) -> dict[str, str]:
        """Give the rule as `x-kubernetes-validations` takes it."""
        built = {"rule": self.rule, "message": self.message}
        if self.field_path:
            built["fieldPath"] = self.field_path
        return built | ({"reason": self.reason} if self.reason != "FieldValueInvalid" else {})


def unchanged(field: str) -> str:
    """Write the CEL condition that a field of the rule's place, set or not, is what it was.

    `dyn` is what reaches a field whose type CEL does not know (`AnyObject`), and it keeps the estimated cost of
    comparing large objects within the API server's budget.
    """
    now, before = f"dyn(self).{field}", f"dyn(oldSelf).{field}"
    return f"has({now}) == has({before}) && (!has({now}) || {now} == {before})"


def name_rule(kind: str) -> Rule:
    """Make the rule that a resource's name can be the value of a label and a part of other names."""
    return Rule(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
        f"the name of a {kind} is at most 63 lower-case letters, digits and '-', the first and last of them no '-'",
        reason="FieldValueForbidden",
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; priority 1 shows with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Crd:
    """What a kind's CustomResourceDefinition says beside its schema."""

    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    rules: tuple[Rule, ...] = ()
    selectable_fields: tuple[str, ...] = ()


class Condition(Model):
    """One aspect of a resource's state, as Kubernetes writes them."""

    type: Annotated[str, Field(min_length=1, max_length=63)]
    """Aspect that the condition speaks of, such as Succeeded or Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether the aspect holds."""
    reason: Annotated[str, Field(max_length=63)]
    """Why, in one word for machines."""
    message: Text = ""
    """Why, in a sentence for people."""
    last_transition_time: Time
    """When the status last changed."""
    observed_generation: Generation | None = None
    """Generation of the spec that the condition speaks of."""


Conditions = Annotated[
    list[Condition],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class Resource(Model):
    """Base of the kinds; a subclass names itself, its spec, its status and its CRD."""

    crd: ClassVar[Crd]

    api_version: Literal["towpath.dev/v1alpha1"] = "towpath.dev/v1alpha1"
    metadata: dict[str, Any] = Field(default_factory=dict)
