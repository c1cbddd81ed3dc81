"""What a decision is made of: a few actions, each idempotent or conditional, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create a Job; its name is deterministic, so one that exists and has the same owner is success."""

    namespace: str
    manifest: Mapping[str, Any]
    owner_uid: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete exactly this Job, and its pods in the background; one that is gone is success."""

    namespace: str
    name: str
    uid: str


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


Action: TypeAlias = CreateJob | DeleteJob | PatchStatus | EmitEvent


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in order; the first that fails ends the attempt to apply them, and the object is looked at again."""

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    """Seconds until the object should be looked at again even if nothing changes; None: only when something does."""
