"""How the tests decide, and what they see of a decision: its actions by name, and the status it leads to."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from tests.builders import NOW
from tests.json_patch import apply_patch

from towpath.api.v1alpha1.flowrun_status import FlowRunStatus
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.decision import Decision, EmitEvent, PatchStatus, TellRetry
from towpath_operator.reconcile.observed import ObservedFlowRun

#: How many cases a search tries: always the same few, or as many new ones as the environment asks for.
CASES = os.environ.get("TOWPATH_CASES")

Body = dict[str, Any]
now = datetime.fromisoformat(NOW)


def searching(few: int) -> settings:
    """Settings of a search for a case that breaks a law.

    Args:
        few: how many cases are tried if nobody asks for more.
    """
    return settings(
        max_examples=int(CASES or few),
        derandomize=CASES is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def at(seconds: float) -> str:
    """Write the time so many seconds from now, as Kubernetes does."""
    return (now + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decide(observed: ObservedFlowRun, after: float = 0.0) -> Decision:
    """Decide so many seconds from now; nothing that was observed may be changed by it, and nothing may go wrong."""
    before = copy.deepcopy(observed)
    decision = flowrun.decide(observed, now + timedelta(seconds=after))
    if decision.bug is not None:
        raise decision.bug
    assert observed == before
    return decision


def kinds(decision: Decision) -> list[str]:
    """Give the names of a decision's actions, without what only tells."""
    return [type(action).__name__ for action in decision.actions if not isinstance(action, EmitEvent | TellRetry)]


def patches(decision: Decision) -> Iterator[PatchStatus]:
    """Give the status patches of a decision."""
    return (action for action in decision.actions if isinstance(action, PatchStatus))


def status_after(body: Mapping[str, Any], decision: Decision) -> Body:
    """Give the status that a decision leads to, checked as the API server would; the old one if it writes none."""
    for patch in patches(decision):
        assert patch.resource_version == body["metadata"]["resourceVersion"]
        body = apply_patch(body, patch.patch)
    status: Body = body.get("status") or {}
    if body["kind"] == "FlowRun" and status:
        FlowRunStatus.model_validate(status)
    return status


def state_after(body: Mapping[str, Any], decision: Decision) -> tuple[str, str]:
    """Give type and reason of the state that a decision leads to."""
    state = status_after(body, decision)["state"]
    return state["type"], state.get("reason", "")
