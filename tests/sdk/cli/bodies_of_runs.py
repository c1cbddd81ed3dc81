"""Builders of runs, as bodies and as the command line sees them."""

from __future__ import annotations

from typing import Any

from towpath import names
from towpath.cli.bodies import run_of
from towpath.cli.seen import Run

Body = dict[str, Any]


def body(
    name: str, state: str | None = None, *, parent: str | None = None, root: str | None = None, **status: Any
) -> Body:
    """Build the body of a FlowRun; its UID is its name."""
    reason = status.pop("reason", None)
    made: Body = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {"name": name, "uid": name, "creationTimestamp": status.pop("created", "2026-01-01T12:00:00Z")},
        "spec": {"flowRef": status.pop("flow", "etl"), "parameters": status.pop("parameters", {})},
    }
    if root:
        made["metadata"]["labels"] = {names.LABEL_ROOT_RUN: root}
    if parent:
        made["spec"]["parent"] = {"name": parent, "uid": parent}
    if state:
        told = {"type": state, "name": state.capitalize(), "since": "2026-01-01T12:00:01.000000Z"}
        made["status"] = {"state": told | ({"reason": reason} if reason else {}), **status}
    return made


def seen(name: str, state: str | None = None, **more: Any) -> Run:
    """Build a run as the command line sees it."""
    return run_of(body(name, state, **more))
