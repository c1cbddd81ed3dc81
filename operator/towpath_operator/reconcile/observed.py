"""What is known of one object at one moment: all that a decision about it may depend on, beside the time.

Bodies are as the API gave them, without managedFields; they may be stale, and they may be odd: anybody can write to the
API. Deciding takes them as they are and never changes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from towpath_operator.reconcile.policy import DEFAULT, Policy

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ObservedFlowRun:
    """A FlowRun and what it depends on; None or empty where there is nothing."""

    run: Body
    flow: Body | None = None
    """The Flow that flowRef names, or that the Deployment names."""
    deployment: Body | None = None
    """The Deployment that deploymentRef names."""
    parent: Body | None = None
    """The FlowRun of the name that spec.parent gives; not necessarily of that UID."""
    job: Body | None = None
    """The Job of the current attempt (of the first if none has begun), by its deterministic name."""
    pods: Sequence[Body] = ()
    """That Job's pods, in no order."""
    previous_job: Body | None = None
    """The Job of the attempt before."""
    previous_pods: Sequence[Body] = ()
    """The pods of the attempt before."""
    policy: Policy = DEFAULT


@dataclass(frozen=True, slots=True)
class ObservedFlow:
    """A Flow."""

    flow: Body
    policy: Policy = DEFAULT


@dataclass(frozen=True, slots=True)
class ObservedDeployment:
    """A Deployment, the Flow it names, if that exists, and how its runs stand."""

    deployment: Body
    flow: Body | None = None
    active: int = 0
    """How many of its runs have not ended."""
    last_success: datetime | None = None
    """When one of them COMPLETED last, as far as it is known."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """What the API server has just said against the runs of schedules, by their names."""
    policy: Policy = DEFAULT
