"""Flow: code that can be run, with the image that holds it and the schema of its parameters."""

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
    Name,
    Resource,
    Retries,
    Rule,
    Seconds,
    name_rule,
)

Command = Annotated[
    list[Annotated[str, Field(max_length=4096)]],
    Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]

#: Holds wherever a flow's code is described.
CODE_RULES = (
    Rule(
        "has(self.entrypoint) != has(self.command)",
        "set exactly one of entrypoint (a Towpath flow such as 'pkg.mod:fn' or 'path/file.py:fn')"
        " and command (any container)",
    ),
)


class FlowSpec(Model):
    """What runs, and how its pod looks unless a deployment or run says otherwise."""

    name: Name | None = None
    """Name of the flow in labels and metrics; by default the Flow resource's name, or the entrypoint's function."""
    image: Annotated[str, Field(min_length=1, max_length=512)]
    """Container image that holds the flow's code, and the towpath package if entrypoint is set."""
    entrypoint: Annotated[str, Field(min_length=3, max_length=512, pattern=r"^[^:]+:[^:]+$")] | None = None
    """Where the flow is: pkg.mod:fn or path/file.py:fn, the path relative to the image's working directory."""
    command: Command | None = None
    """Command of a plain container that knows nothing of Towpath: exit code 0 is COMPLETED, any other FAILED."""
    parameters: AnyObject | None = None
    """JSON Schema of the flow's parameters, as made from its signature; a run's are checked before its pod starts."""
    description: Annotated[str, Field(max_length=4096)] | None = None
    """What the flow does, for people."""
    template: AnyObject | None = None
    """Pod template (metadata, spec) merged over the default pod; its container named flow runs the flow."""
    timeout_seconds: Seconds | None = None
    """How long one run of the flow may take before it ends FAILED as TimedOut; any time by default."""
    retries: Retries | None = None
    """How often the flow's own failure is retried within its pod; by default as its decorator says."""
    infra_retries: Retries | None = None
    """How many new attempts, each a new Job, follow failures that are not the flow's own, such as a lost node; 3 by
    default."""


class FlowStatus(Model):
    """What the operator knows of a Flow."""

    conditions: Conditions | None = None
    """Ready says whether the Flow can be run."""
    observed_generation: Generation | None = None
    """Generation of the spec that this status speaks of."""


class Flow(Resource):
    """Code that can be run: an image, an entrypoint or command, and the schema of its parameters."""

    crd: ClassVar[Crd] = Crd(
        plural="flows",
        short_names=("fl",),
        columns=(
            Column("Image", ".spec.image"),
            Column("Entrypoint", ".spec.entrypoint"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("Flow"),),
    )

    kind: Literal["Flow"] = "Flow"
    spec: Annotated[FlowSpec, Field(json_schema_extra={"x-rules": CODE_RULES})]
    status: FlowStatus | None = None
