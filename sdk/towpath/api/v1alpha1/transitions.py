"""How a FlowRun's status changes: one JSON Patch a transition, built here for the operator and for the run's own pod.

A patch never touches what its writer has not seen: it starts with the writer's `test` operations, and it writes whole
fields only. Whatever a run's code says, the texts in the patch fit the fields that they go into. Pure; times are
RFC 3339 strings or aware datetimes given by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from towpath import limits
from towpath.limits import cut
from towpath.states import StateType

__all__ = ["Op", "cut", "rfc3339", "state", "succeeded_condition", "transition"]

Op = dict[str, Any]

#: What belongs to one attempt and goes when the next one begins.
_OF_AN_ATTEMPT: Final = ("job", "pod", "startTime", "completionTime", "result", "error")
#: What only code that is at work has.
_OF_LIVE_CODE: Final = ("slotsWanted", "slotsGranted")


def rfc3339(moment: datetime) -> str:
    """Write an aware time as the API does: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def state(
    type_: StateType, now: datetime, *, name: str | None = None, reason: str | None = None, message: str | None = None
) -> dict[str, Any]:
    """Build `status.state`; the name is the type's own, capitalised, unless given."""
    built: dict[str, Any] = {
        "type": type_.value,
        "name": cut(name or type_.value.capitalize(), limits.STATE_NAME),
        "since": rfc3339(now),
    }
    if reason:
        built["reason"] = cut(reason, limits.REASON)
    if message:
        built["message"] = cut(message, limits.MESSAGE)
    return built


def succeeded_condition(new_state: Mapping[str, Any], previous: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Build the condition that `kubectl wait --for=condition=Succeeded` waits for.

    Args:
        new_state: made by `state`.
        previous: the conditions as last seen; the condition keeps its time while its status stays.
    """
    type_ = StateType(new_state["type"])
    status = "Unknown" if not type_.is_terminal else "True" if type_ is StateType.COMPLETED else "False"
    before = next((c for c in previous if c["type"] == "Succeeded"), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else new_state["since"]
    return {
        "type": "Succeeded",
        "status": status,
        "reason": cut(new_state.get("reason") or new_state["name"].replace(" ", ""), limits.REASON),
        "message": cut(new_state.get("message") or "", limits.CONDITION_MESSAGE),
        "lastTransitionTime": since,
    }


def transition(
    status: Mapping[str, Any],
    new_state: Mapping[str, Any],
    *,
    attempt: int,
    fields: Mapping[str, Any] | None = None,
    because: str | None = None,
) -> list[Op]:
    """Build the operations that bring a status into a new state, without the writer's own `test` operations.

    A new attempt begins without the old one's job, pod, times, result and error, and a run has a result or an error,
    never both: what has to go goes, unless `fields` says otherwise.

    Args:
        status: the status as last seen; empty if the run has none yet.
        new_state: made by `state`.
        attempt: the attempt that the new state belongs to; written if it is not the status's own. 0 if none has begun:
            then none is written.
        fields: further fields of the status to set, in the wire's names; a value of None removes the field.
        because: the reason that stays in the history, if not the state's own.
    """
    changes: dict[str, Any] = _consequences(status, new_state, attempt, fields or {})
    changes |= {key: _fitted(key, value) for key, value in (fields or {}).items()}
    changes["state"] = dict(new_state)
    entry = _history_entry(new_state, attempt, because or new_state.get("reason"))
    changes["history"] = [*status.get("history", ()), entry][-limits.HISTORY_LENGTH :]
    others = [c for c in status.get("conditions", ()) if c["type"] != "Succeeded"]
    changes["conditions"] = [*others, succeeded_condition(new_state, status.get("conditions", ()))]
    if not status:
        return [{"op": "add", "path": "/status", "value": {k: v for k, v in changes.items() if v is not None}}]
    ops: list[Op] = []
    for key, value in changes.items():
        if value is not None:
            ops.append({"op": "add", "path": f"/status/{key}", "value": value})
        elif key in status:
            ops.append({"op": "remove", "path": f"/status/{key}"})
    return ops


def _consequences(
    status: Mapping[str, Any], new_state: Mapping[str, Any], attempt: int, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what changes with the state without anybody asking for it; None removes."""
    type_ = StateType(new_state["type"])
    changes: dict[str, Any] = {}
    new_attempt = bool(attempt) and status.get("attempt") != attempt
    if new_attempt:
        changes |= dict.fromkeys(_OF_AN_ATTEMPT) | {"attempt": attempt}
    if type_ is StateType.RUNNING and (new_attempt or not status.get("startTime")):
        changes["startTime"] = new_state["since"]
    changes["completionTime"] = new_state["since"] if type_.is_terminal else None
    if type_ is not StateType.PAUSED:
        changes["pause"] = None
    if type_.is_terminal or new_attempt:
        changes |= dict.fromkeys(_OF_LIVE_CODE)
    if fields.get("result") is not None or type_ is StateType.COMPLETED:
        changes["error"] = None
    if fields.get("error") is not None:
        changes["result"] = None
    return changes


def _history_entry(new_state: Mapping[str, Any], attempt: int, reason: str | None) -> dict[str, Any]:
    entry = {"type": new_state["type"], "name": cut(new_state["name"], limits.HISTORY_NAME)}
    if reason:
        entry["reason"] = cut(reason, limits.REASON)
    return entry | {"at": new_state["since"], "attempt": attempt}


def _fitted(field: str, value: Any) -> Any:
    """Cut what is free text in a field of the status to what the field takes."""
    if field == "waitingFor" and value is not None:
        return cut(value, limits.WAITING_FOR)
    if field != "error" or value is None:
        return value
    error = dict(value)
    for key, limit in (("code", limits.REASON), ("message", limits.ERROR_MESSAGE), ("type", limits.ERROR_TYPE)):
        if error.get(key) is not None:
            error[key] = cut(error[key], limit)
    if error.get("traceback") is not None:
        error["traceback"] = limits.cut_front(error["traceback"], limits.ERROR_TRACEBACK)
    if len(error.get("exception") or "") > limits.ERROR_EXCEPTION:
        del error["exception"]  # half a pickle is none
    return error
