"""The condition Ready, by which a Flow or Deployment says whether it can be run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towpath.api.v1alpha1.transitions import cut, rfc3339
from towpath_operator.reconcile.decision import Decision, PatchStatus
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import integer, mapping, mappings, text

TYPE = "Ready"


def say_ready(plural: str, body: Body, problem: Problem | None, now: datetime) -> Decision:
    """Write the condition Ready, unless it says already what it should.

    Args:
        plural: the object's kind.
        body: the object.
        problem: why it cannot be run; None if it can.
        now: the time.
    """
    if is_deleting(body):
        return Decision()
    generation = integer(body, "metadata", "generation")
    conditions = list(mappings(body, "status", "conditions"))
    before = next((found for found in conditions if found.get("type") == TYPE), {})
    wanted: dict[str, Any] = {
        "type": TYPE,
        "status": "False" if problem else "True",
        "reason": str(problem.reason) if problem else TYPE,
        "message": cut(problem.message) if problem else "",
    }
    if generation is not None:
        wanted["observedGeneration"] = generation
    if _says(before, wanted) and integer(body, "status", "observedGeneration") == generation:
        return Decision()
    same = before.get("status") == wanted["status"] and text(before, "lastTransitionTime")
    wanted["lastTransitionTime"] = same or rfc3339(now)
    status: dict[str, Any] = {"conditions": [*(found for found in conditions if found.get("type") != TYPE), wanted]}
    if generation is not None:
        status["observedGeneration"] = generation
    return Decision((_patch(plural, body, status),))


def _says(condition: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(condition.get(key) == value for key, value in wanted.items())


def _patch(plural: str, body: Body, fields: Mapping[str, Any]) -> PatchStatus:
    if mapping(body, "status"):
        patch = tuple({"op": "add", "path": f"/status/{key}", "value": value} for key, value in fields.items())
    else:
        patch = ({"op": "add", "path": "/status", "value": dict(fields)},)
    metadata = mapping(body, "metadata")
    return PatchStatus(
        plural, text(metadata, "namespace"), text(metadata, "name"), text(metadata, "resourceVersion"), patch
    )
