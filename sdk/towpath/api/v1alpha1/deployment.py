"""Deployment: a Flow with parameters and settings of its own, ready to be run by name."""

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
    Seconds,
    Tags,
    name_rule,
)


class DeploymentSpec(Model):
    """Which flow, with what; a run by deploymentRef takes all of it unless it says otherwise."""

    flow_ref: Name
    """Name of the Flow in the same namespace."""
    parameters: AnyObject | None = None
    """Values for the flow's parameters; those of a run go over them, name by name."""
    tags: Tags | None = None
    """Tags of every run."""
    template: AnyObject | None = None
    """Pod template merged over the Flow's."""
    timeout_seconds: Seconds | None = None
    """Overrides the Flow's timeoutSeconds."""
    pending_timeout_seconds: Seconds | None = None
    """How long an attempt may wait for its pod to run before it CRASHED as PendingTimeout; 600 by default."""
    retries: Retries | None = None
    """Overrides the Flow's retries."""
    infra_retries: Retries | None = None
    """Overrides the Flow's infraRetries."""
    result_storage: Annotated[str, Field(max_length=512)] | None = None
    """Where results too large for the status go: a path or any fsspec URL that the run and its readers reach."""


class DeploymentStatus(Model):
    """What the operator knows of a Deployment."""

    conditions: Conditions | None = None
    """Ready says whether the Deployment can be run."""
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
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
        rules=(name_rule("Deployment"),),
        selectable_fields=(".spec.flowRef",),
    )

    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec
    status: DeploymentStatus | None = None
