"""How the tests let automations be decided about, and what they see of a decision."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import make_flowrun, make_metadata
from tests.json_patch import apply_patch

from towpath.api.v1alpha1 import Automation
from towpath.api.v1alpha1.automation import AutomationStatus
from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile import automation
from towpath_operator.reconcile.automation_observed import ObservedAutomation
from towpath_operator.reconcile.decision import Decision, PatchStatus

Body = dict[str, Any]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED: Body = {"states": {"types": ["FAILED", "CRASHED"]}}
HOOK: Body = {"webhook": {"url": "https://hooks.example.com/in"}}
CLEAN_UP: Body = {"runDeployment": {"name": "clean-up"}}


def at(seconds: float) -> datetime:
    """Give a time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def make_automation(
    trigger: Mapping[str, Any] = FAILED,
    *actions: Mapping[str, Any],
    name: str = "tell",
    status: Mapping[str, Any] | None = None,
    created: datetime = NOON,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Body:
    """Build an Automation as the API server would take it; without actions it calls a webhook."""
    metadata = make_metadata("Automation", name, created=created.isoformat(), annotations=annotations)
    body: Body = {"apiVersion": "towpath.dev/v1alpha1", "kind": "Automation", "metadata": metadata}
    body["spec"] = {"trigger": dict(trigger), "actions": [dict(action) for action in actions or (HOOK,)], **spec}
    Automation.model_validate(body)
    return body | ({"status": dict(status)} if status else {})


def run_in(
    *states: str, name: str = "etl-1", since: float = 1, message: str = "", reason: str = "Exited", **arguments: Any
) -> Body:
    """Build a run that went through states, a second apart; the first begins at `since`."""
    history = [
        {"type": state, "name": state.capitalize(), "reason": reason, "at": rfc3339(at(since + n)), "attempt": 1}
        for n, state in enumerate(states)
    ]
    last = history[-1]
    state = {key: last[key] for key in ("type", "name", "reason")} | {"since": last["at"]}
    status: Body = {"state": state | ({"message": message} if message else {}), "history": history, "attempt": 1}
    if "RUNNING" in states:
        status["startTime"] = history[states.index("RUNNING")]["at"]
    if last["type"] == "COMPLETED":
        status["completionTime"] = last["at"]
    arguments.setdefault("deployment_ref", "etl")
    arguments.setdefault("created", NOON.isoformat())
    return make_flowrun(name, status=status | arguments.pop("status", {}), **arguments)


def decide(body: Mapping[str, Any], now: datetime, **observed: Any) -> Decision:
    """Decide; nothing that was observed may be changed by it, and nothing may go wrong."""
    seen = ObservedAutomation(body, **observed)
    before = copy.deepcopy(seen)
    decision = automation.decide(seen, now)
    if decision.bug is not None:
        raise decision.bug
    assert seen == before
    assert decision.requeue_after is None or decision.requeue_after >= 0
    return decision


def after(body: Mapping[str, Any], decision: Decision) -> Body:
    """Give the Automation that a decision leads to, its status checked as the API server would."""
    result = dict(body)
    for patch in of(decision, PatchStatus):
        result = apply_patch(result, patch.patch)
        AutomationStatus.model_validate(result["status"])
    return result


def of(decision: Decision, kind: type[Any]) -> Sequence[Any]:
    """Give the actions of a kind."""
    return [action for action in decision.actions if isinstance(action, kind)]


def begun(body: Body, **observed: Any) -> Body:
    """Give an Automation that the operator has begun with."""
    return after(body, decide(body, at(0), **observed))


def ready_of(body: Mapping[str, Any]) -> Body:
    """Give the condition Ready."""
    (found,) = [one for one in body["status"]["conditions"] if one["type"] == "Ready"]
    return dict(found)
