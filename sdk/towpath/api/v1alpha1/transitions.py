"""How a FlowRun's status changes: one JSON Patch a transition, built here for the operator and for the run's own pod.

A patch never touches what its writer has not seen: it starts with the writer's `test` operations, and it writes whole
fields only. Pure; times are RFC 3339 strings or aware datetimes given by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from towpath.states import StateType

HISTORY_LENGTH: Final = 20
MESSAGE_LENGTH: Final = 1024
Op = dict[str, Any]


def rfc3339(moment: datetime) -> str:
    """Write an aware time as the API does: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def cut(text: str, limit: int = MESSAGE_LENGTH) -> str:
    """Shorten a text to what its field takes, and show that it was."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def state(type_: StateType, now: datetime, *, name: str | None = None, reason: str | None = None, message: str | None = None) -> dict[str, Any]:
    """Build `status.state`; the name is the type's own, capitalised, unless given."""
    built: dict[str, Any] = {"type": type_.value, "name": (name or type_.value.capitalize())[:63], "since": rfc3339(now)}
    if reason:
        built["reason"] = reason
    if message:
        built["message"] = cut(message)
    return built


def succeeded_condition(new_state: Mapping[str, Any], previous: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Build the condition that `kubectl wait --for=condition=Succeeded` waits for; it keeps its time while its status stays."""
    type_ = StateType(new_state["type"])
    status = "Unknown" if not type_.is_terminal else "True" if type_ is StateType.COMPLETED else "False"
    before = next((c for c in previous if c["type"] == "Succeeded"), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else new_state["since"]
    return {
        "type": "Succeeded",
        "status": status,
        "reason": new_state.get("reason") or new_state["name"].replace(" ", ""),
        "message": new_state.get("message") or "",
        "lastTransitionTime": since,
    }


def transition(status: Mapping[str, Any], new_state: Mapping[str, Any], *, attempt: int, fields: Mapping[str, Any] | None = None) -> list[Op]:
    """Build the operations that bring a status into a new state, without the writer's own `test` operations.

    Args:
        status: the status as last seen; empty if the run has none yet.
        new_state: made by `state`.
        attempt: the attempt that the new state belongs to; written if it is not the status's own. 0 if none has begun:
            then none is written.
        fields: further fields of the status to set; a value of None removes the field.
    """
    changes: dict[str, Any] = dict(fields or {})
    entry = {k: new_state[k] for k in ("type", "name", "reason") if k in new_state} | {"at": new_state["since"], "attempt": attempt}
    changes["state"] = dict(new_state)
    changes["history"] = [*status.get("history", ()), entry][-HISTORY_LENGTH:]
    others = [c for c in status.get("conditions", ()) if c["type"] != "Succeeded"]
    changes["conditions"] = [*others, succeeded_condition(new_state, status.get("conditions", ()))]
    type_ = StateType(new_state["type"])
    if type_ is StateType.RUNNING and "startTime" not in changes and not (status.get("startTime") and status.get("attempt") == attempt):
        changes["startTime"] = new_state["since"]
    if type_.is_terminal and "completionTime" not in changes:
        changes["completionTime"] = new_state["since"]
    if attempt and status.get("attempt") != attempt:
        changes["attempt"] = attempt
    if not status:
        return [{"op": "add", "path": "/status", "value": {k: v for k, v in changes.items() if v is not None}}]
    ops: list[Op] = []
    for key, value in changes.items():
        if value is not None:
            ops.append({"op": "add", "path": f"/status/{key}", "value": value})
        elif key in status:
            ops.append({"op": "remove", "path": f"/status/{key}"})
    return ops
