"""Histories made up for the tests of the judge: each as short as what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.history import Body, Write

from towpath import names

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Give a time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def written(seconds: float) -> str:
    """Write that time as the API does."""
    return f"{at(seconds):%Y-%m-%dT%H:%M:%SZ}"


def run(
    name: str, state: str = "", attempt: int = 1, *, version: int = 1, spec: Body | None = None, **labels: str
) -> dict[str, Any]:
    """Make a FlowRun; its UID is its name."""
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": dict(labels)}
    status = {"attempt": attempt, "state": {"type": state}} if state else {}
    return {"metadata": metadata, "spec": dict(spec or {}), "status": status}


def tick(due: float, *, version: int = 1, suffix: str = "") -> dict[str, Any]:
    """Make a run of the schedule `ticks` of the Deployment `d`."""
    labels = {names.LABEL_DEPLOYMENT: "d", names.LABEL_SCHEDULE: "ticks"}
    made = run(f"d-{due}{suffix}", "COMPLETED", version=version, spec={"scheduledTime": written(due)})
    made["metadata"]["labels"] = labels
    return made


def deployment(every: int = 2, **spec: Any) -> dict[str, Any]:
    """Make the Deployment `d` as of noon."""
    metadata = {"name": "d", "uid": "d", "resourceVersion": "1", "creationTimestamp": written(0)}
    return {"metadata": metadata, "spec": {"schedules": [{"name": "ticks", "intervalSeconds": every}], **spec}}


def job(name: str, of: str, attempt: int = 1, *, uid: str = "", over: bool = True) -> dict[str, Any]:
    """Make a Job of a run's attempt."""
    labels = {names.LABEL_RUN_UID: of, names.LABEL_ATTEMPT: str(attempt)}
    conditions = [{"type": "Complete", "status": "True"}] if over else []
    metadata = {"name": name, "uid": uid or name, "resourceVersion": "1", "labels": labels}
    return {"metadata": metadata, "status": {"conditions": conditions}}


def pod(name: str, of: str, phase: str = "Pending", *, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """Make a pod of a run."""
    labels = {names.LABEL_RUN_UID: of}
    whole = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels, **metadata}
    return {"metadata": whole, "status": {"phase": phase}}


def lease(holder: str, *, acquired: float, renewed: float | None = None) -> dict[str, Any]:
    """Make a Lease."""
    renewed = acquired if renewed is None else renewed
    spec = {"holderIdentity": holder, "acquireTime": written(acquired), "renewTime": written(renewed)}
    return {"metadata": {"name": "lease", "uid": "lease", "resourceVersion": "1"}, "spec": spec}


def wrote(
    body: Mapping[str, Any],
    plural: str,
    seconds: float = 0.0,
    *,
    verb: str = "patch",
    code: int = 200,
    by: str = "",
    sent: float | None = None,
) -> Write:
    """Make a write, received at a time and answered a hundredth of a second later."""
    writer = f"operator={by} sent={at(seconds if sent is None else sent).timestamp():.3f}" if by else "kubelet/v1.34"
    name = body["metadata"]["name"]
    return Write(verb, plural, name, code, writer, at(seconds), at(seconds + 0.01), body)
