"""How a run's own attempt stands towards its FlowRun, and what it may write there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from towpath.api.v1alpha1 import transitions
from towpath.cluster.port import Body
from towpath.states import TERMINAL, Reason, StateType


class Standing(Enum):
    """What the FlowRun says to one of its attempts."""

    EARLY = "early"  # the operator has not written this attempt yet: a matter of milliseconds
    OURS = "ours"
    CANCELLED = "cancelled"  # ours, and somebody wants it to end
    OVER = "over"  # another attempt has begun, or the run has ended: nothing is left to say


def standing(run: Body, uid: str, attempt: int) -> Standing:
    """Tell how an attempt stands.

    Args:
        run: the FlowRun as last seen.
        uid: of the run that the attempt belongs to; another run may have come under the same name.
        attempt: number of the attempt.
    """
    status = run.get("status") or {}
    current = status.get("attempt") or 0
    if run["metadata"]["uid"] != uid or current > attempt:
        return Standing.OVER
    if current < attempt:
        return Standing.EARLY
    type_ = (status.get("state") or {}).get("type")
    if type_ in TERMINAL:
        return Standing.OVER
    if wants_cancel(run):
        return Standing.CANCELLED
    return Standing.OURS


def wants_cancel(run: Body) -> bool:
    """Tell whether somebody wants the run to end: by its spec, or because of the runs above it."""
    state = (run.get("status") or {}).get("state") or {}
    deleted = "deletionTimestamp" in run["metadata"]
    return (
        bool(run["spec"].get("cancel")) or deleted or state.get("type") in (StateType.CANCELLING, StateType.CANCELLED)
    )


def is_killed(run: Body) -> bool:
    """Tell whether a run is cancelled without a grace period: by its spec, or because of one above it."""
    state, spec = (run.get("status") or {}).get("state") or {}, run["spec"]
    return state.get("reason") == Reason.CANCELLED_NOW or bool(spec.get("cancel") and spec.get("cancelMode") == "Now")


def cancel_reason(run: Body) -> Reason:
    """Tell why the run is being cancelled."""
    state = (run.get("status") or {}).get("state") or {}
    reason = state.get("reason")
    return Reason(reason) if reason in {Reason.PARENT_ENDED, Reason.CANCELLED_NOW} else Reason.CANCELLED_BY_REQUEST


def report(run: Body, attempt: int, new_state: Mapping[str, Any], fields: Mapping[str, Any]) -> list[transitions.Op]:
    """Build the patch that brings a run into a new state, if attempt and state are still what they were seen to be.

    Args:
        run: the FlowRun as last seen, at this attempt.
        attempt: number of the attempt.
        new_state: made by `transitions.state`.
        fields: further fields of the status, such as result and error.
    """
    status = run["status"]
    return as_seen(run, attempt) + transitions.transition(status, new_state, attempt=attempt, fields=fields)


def as_seen(run: Body, attempt: int) -> list[transitions.Op]:
    """Build the operations that hold a patch to an attempt of a run, and to the state that it was seen in.

    A state is known by its type and its time. The API server compares texts as they were written, escapes and all: a
    whole state with an umlaut or a `<` in its message differs from itself.

    Args:
        run: the FlowRun as last seen.
        attempt: number of the attempt.
    """
    state = (run.get("status") or {}).get("state") or {}
    tests: list[transitions.Op] = [{"op": "test", "path": "/status/attempt", "value": attempt}]
    told = [key for key in ("type", "since") if key in state]
    return tests + [{"op": "test", "path": f"/status/state/{key}", "value": state[key]} for key in told]
