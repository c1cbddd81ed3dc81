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
from towpath_operator.reconcile.verdicts import GOES, Turn
from towpath_operator.specs.revisions import Revision

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What Kubernetes said in a Warning about a Job or a pod."""

    reason: str
    """In one word, such as FailedMount."""
    message: str
    at: datetime
    """When it was said last."""


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
    revision: Revision | None = None
    """What was settled when its first Job was made; None before that, and where the run itself says it all."""
    queue: Body | None = None
    """The Queue that the run names, or its Deployment."""
    limits: Mapping[str, Body | None] = field(default_factory=dict)
    """The ConcurrencyLimits that the run and its Deployment name."""
    turn: Turn = GOES
    """What the lanes say."""
    grants: Sequence[Body] | None = None
    """What status.slotsGranted is to say; None if it says so."""
    complaints: Mapping[str, Complaint] | None = None
    """Complaints about Jobs and pods, by UID; None if nobody was asked: see `Decision.asks_why`."""
    policy: Policy = DEFAULT


@dataclass(frozen=True, slots=True)
class ObservedRevision:
    """A ControllerRevision of ours."""

    revision: Body
    runs: int = 0
    """How many FlowRuns name it."""


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


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, and that no other run takes along when it goes."""

    run: Body
    job: Body | None = None
    """The Job of its last attempt."""
    parent: Body | None = None
    """The run that called it, if that is there."""
    has_live_below: bool = False
    """Whether a run that would go with it has not ended."""
    is_awaited: bool = False
    """Whether an Automation has yet to write down what became of it."""


@dataclass(frozen=True, slots=True)
class ObservedHistory:
    """The runs of a Deployment, or those of none in a namespace, that have ended: each kind with the first to go first.

    The sequences may be long, and their items made when asked for: a decision looks at as few as it can.
    """

    deployment: Body | None = None
    """The Deployment; None if it does not exist, or the runs have none."""
    succeeded: Sequence[EndedRun] = ()
    """Those that COMPLETED, by the time of their end."""
    failed: Sequence[EndedRun] = ()
    """All others, by the time of their end."""
    by_own_ttl: Sequence[EndedRun] = ()
    """Those with a ttlSecondsAfterFinished of their own, by the time at which that is over; in neither of the above."""
    policy: Policy = DEFAULT
