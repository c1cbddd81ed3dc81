"""What the kinds share: model configuration, bounded strings, conditions, and how a kind tells the CRD generator about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: A free-form object that the API server keeps as it is.
AnyObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Text = Annotated[str, Field(max_length=1024)]
#: An RFC 3339 time in UTC, to the microsecond at most.
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Tag = Annotated[str, Field(min_length=1, max_length=63)]
Tags = Annotated[list[Tag], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})]


class Model(BaseModel):
    """Base of every part of a resource: camelCase on the wire, unknown fields refused as the API server would prune them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", use_attribute_docstrings=True)

    def wire(self) -> dict[str, Any]:
        """Give the part as it travels: camelCase, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL validation rule and the words with which the API server refuses what breaks it."""

    rule: str
    message: str

    def wire(self) -> dict[str, str]:
        """Give the rule as `x-kubernetes-validations` takes it."""
        return {"rule": self.rule, "message": self.message}


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

    type: Annotated[str, Field(max_length=63)]
    """Aspect that the condition speaks of, such as Succeeded or Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether the aspect holds."""
    reason: Annotated[str, Field(max_length=63)]
    """Why, in one word for machines."""
    message: Text = ""
    """Why, in a sentence for people."""
    last_transition_time: Time
    """When the status last changed."""
    observed_generation: int | None = Field(default=None, ge=0)
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
