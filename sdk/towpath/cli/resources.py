"""Flows and Deployments of a cluster as the command line reads them. Pure."""

from __future__ import annotations

from towpath.cluster.port import Body


def ready_of(body: Body) -> tuple[bool | None, str | None]:
    """Tell whether a Flow or Deployment can be run, and why not; None: the operator has not said so yet."""
    status = body.get("status") or {}
    if status.get("observedGeneration") != body["metadata"].get("generation"):
        return None, None
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            return condition["status"] == "True", condition.get("message") or None
    return None, None
