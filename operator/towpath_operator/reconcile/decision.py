"""What a decision is made of: a few actions, each idempotent or conditional, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from towpath_operator.reconcile.automation_actions import AutomationAction


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create a Job; its name is deterministic, so one that exists and has the same owner is success."""

    namespace: str
    manifest: Mapping[str, Any]
    owner_uid: str
    revision: Mapping[str, Any] | None = None
    """The ControllerRevision that it was made of, for the run's later attempts; it comes first, if it is not there."""


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create the FlowRun of a schedule for a time; its name is deterministic, so one that exists is success."""

    namespace: str
    manifest: Mapping[str, Any]
    deployment: str
    schedule: str
    due: datetime


@dataclass(frozen=True, slots=True)
class TellMissed:
    """Count times of a schedule that get no run, for the metrics."""

    namespace: str
    deployment: str
    schedule: str
    count: int


@dataclass(frozen=True, slots=True)
class TellRetry:
    """Count a new attempt that follows an infrastructure failure, for the metrics."""

    namespace: str
    run: str
    reason: str
    """Why the attempt before ended."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete exactly this Job, and its pods in the background; one that is gone is success."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete exactly this FlowRun as it was observed, and what it owns in the background; one that is gone is success.

    One that changed meanwhile, to be tried again for example, is not deleted: the decision is stale.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class KillPod:
    """Delete exactly this pod, and give its process a second, whatever it was promised; one that is gone is success."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PatchRevision:
    """Apply a JSON Patch to a ControllerRevision's metadata, if it is still the version that was observed."""

    plural: ClassVar[str] = "controllerrevisions"
    namespace: str
    name: str
    resource_version: str
    patch: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DeleteRevision:
    """Delete exactly this ControllerRevision, if it is still the version that was observed."""

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Apply a JSON Patch to an object's status, on condition that it is still the version that was observed."""

    plural: str
    namespace: str
    name: str
    resource_version: str
    patch: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Tell people with `kubectl describe`: a Kubernetes Event on the object. Never needed for correctness."""

    regarding: Mapping[str, Any]
    """The object: apiVersion, kind, namespace, name, uid."""
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class ConfirmGone:
    """Ask the API itself (one GET) that this object is gone; if it is there, the store is behind: stop, and look again.

    Comes before what cannot be taken back once the store has been believed: the store may lag behind the API.
    """

    plural: str
    """One of jobs, flowruns."""
    namespace: str
    name: str
    uid: str | None = None
    """Which object; one of the same name with another UID counts as gone. None: any of that name."""


@dataclass(frozen=True, slots=True)
class ConfirmUnchanged:
    """Ask the API itself (one GET) that an object is still the version that was observed; if it is not: as above."""

    plural: str
    namespace: str
    name: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class ConfirmPodsEnded:
    """Ask the API itself (one LIST by label) that no pod of this Job is live; if one is, the store is behind: as above.

    A pod is live unless its phase is Succeeded or Failed.
    """

    namespace: str
    job_name: str


Action: TypeAlias = (
    CreateJob
    | CreateRun
    | DeleteJob
    | DeleteRun
    | KillPod
    | PatchStatus
    | PatchRevision
    | DeleteRevision
    | EmitEvent
    | ConfirmGone
    | ConfirmUnchanged
    | ConfirmPodsEnded
    | TellMissed
    | TellRetry
    | AutomationAction
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in order; the first that fails ends the attempt to apply them, and the object is looked at again."""

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    """Seconds until the object should be looked at again even if nothing changes; None: only when something does."""
    bug: Exception | None = None
    """What deciding raised, which it never should: there are no actions then; log it, and retry with back-off."""
    waits: bool = False
    """Whether the run stands in its lanes from now on, until it is decided about again."""
    gives: Mapping[str, int] = field(default_factory=dict)
    """Slots of a limit with a rate that the actions take, by the names of the runs whose code is to be granted them."""
    asks_why: bool = False
    """Whether what was observed does not say why the run waits: with complaints observed, more might be decided."""
