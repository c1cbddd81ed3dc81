"""What the status of a Flow or Deployment says, and the one patch that writes what has changed of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towpath.api.v1alpha1.transitions import cut, rfc3339
from towpath_operator.reconcile.decision import PatchStatus
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, mappings, text

Condition = dict[str, Any]


def condition(body: Body, type_: str, reason: str, message: str, now: datetime) -> Condition:
    """Build a condition; it keeps the time of the one that is there as long as its status stays.

    Args:
        body: the object.
        type_: the aspect.
        reason: the aspect itself if it holds; else why not, in one word.
        message: why, in a sentence.
        now: the time.
    """
    before = next((found for found in mappings(body, "status", "conditions") if found.get("type") == type_), {})
    wanted: Condition = {
        "type": type_,
        "status": "True" if reason == type_ else "False",
        "reason": reason,
        "message": cut(message),
    }
    if (generation := integer(body, "metadata", "generation")) is not None:
        wanted["observedGeneration"] = generation
    same = before.get("status") == wanted["status"] and text(before, "lastTransitionTime")
    return wanted | {"lastTransitionTime": same or rfc3339(now)}


def with_conditions(body: Body, wanted: Mapping[str, Condition | None]) -> list[Condition]:
    """Give an object's conditions with these in place of those of the same types; None drops one."""
    found = {str(one.get("type")): dict(one) for one in mappings(body, "status", "conditions")}
    return [one for one in {**found, **wanted}.values() if one is not None]


def changes(body: Body, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of the wanted fields that the status does not have yet; None stands for a field that should not be."""
    status = mapping(body, "status")
    return {key: value for key, value in wanted.items() if status.get(key) != value}


def patch_of(plural: str, body: Body, fields: Mapping[str, Any]) -> PatchStatus:
    """Build the action that sets fields of the status, whole; None removes one that is there."""
    metadata = mapping(body, "metadata")
    patch: list[dict[str, Any]] = []
    if mapping(body, "status"):
        for key, value in fields.items():
            gone = value is None
            patch.append(
                {"op": "remove" if gone else "add", "path": f"/status/{key}"} | ({} if gone else {"value": value})
            )
    else:
        given = {key: value for key, value in fields.items() if value is not None}
        patch.append({"op": "add", "path": "/status", "value": given})
    return PatchStatus(
        plural, text(metadata, "namespace"), text(metadata, "name"), text(metadata, "resourceVersion"), tuple(patch)
    )
