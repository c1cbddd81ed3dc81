"""How the tests let schedules be decided on, and what they see of a decision."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import make_deployment, make_flow
from tests.json_patch import apply_patch

from towpath.api.v1alpha1.deployment import DeploymentStatus
from towpath_operator.reconcile import deployment
from towpath_operator.reconcile.decision import CreateRun, Decision, PatchStatus, TellMissed
from towpath_operator.reconcile.observed import ObservedDeployment

Body = dict[str, Any]
#: Noon on a Sunday.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURLY: Body = {"name": "hourly", "cron": "0 * * * *"}


def at(hour: int, minute: int = 0, second: float = 0, *, day: int = 1) -> datetime:
    """Give a time of that day, or of one near it."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) + timedelta(seconds=second)


def scheduled(*schedules: Body, created: datetime = NOON, **arguments: Any) -> Body:
    """Build a Deployment with schedules; further arguments are fields of its spec."""
    name = arguments.pop("name", "nightly")
    spec = {"schedules": [dict(schedule) for schedule in schedules], **arguments}
    return make_deployment(name, spec=spec, created=created.isoformat())


def edited(body: Body, **spec: Any) -> Body:
    """Give the Deployment with other fields in its spec, as after `kubectl apply`; None takes one away."""
    merged = {key: value for key, value in (body["spec"] | spec).items() if value is not None}
    return body | {"spec": merged, "metadata": body["metadata"] | {"generation": body["metadata"]["generation"] + 1}}


def decide(
    body: Body, now: datetime, *, flow: Body | None = None, refused: Mapping[str, str] | None = None, **observed: Any
) -> Decision:
    """Decide; nothing that was observed may be changed by it, and nothing may go wrong."""
    seen = ObservedDeployment(body, flow or make_flow(), refused=refused or {}, **observed)
    before = copy.deepcopy(seen)
    decision = deployment.decide(seen, now)
    if decision.bug is not None:
        raise decision.bug
    assert seen == before
    assert decision.requeue_after is None or decision.requeue_after > 0
    return decision


def after(body: Body, decision: Decision) -> Body:
    """Give the Deployment that a decision leads to, its status checked as the API server would."""
    for action in decision.actions:
        if isinstance(action, PatchStatus):
            body = apply_patch(body, action.patch)
    DeploymentStatus.model_validate(body.get("status") or {})
    return body


def settled(body: Body, now: datetime, **observed: Any) -> Body:
    """Let an operator look at a Deployment, and give it as it is then."""
    return after(body, decide(body, now, **observed))


def runs(decision: Decision) -> list[CreateRun]:
    """Give the runs that a decision makes."""
    return [action for action in decision.actions if isinstance(action, CreateRun)]


def due(decision: Decision) -> list[datetime]:
    """Give the times for which a decision makes runs."""
    return [run.due for run in runs(decision)]


def missed(decision: Decision) -> dict[str, int]:
    """Give how many times are left out, by schedule."""
    return {action.schedule: action.count for action in decision.actions if isinstance(action, TellMissed)}


def made_by_and_by(body: Body, moments: Sequence[datetime]) -> list[datetime]:
    """Let an operator look at these moments, as often as it has something to do; give the times of its runs."""
    made: list[datetime] = []
    for now in moments:
        while due(decision := decide(body, now)):
            made += due(decision)
            body = after(body, decision)
        body = after(body, decision)
    return made


def scheduled_condition(body: Body) -> tuple[str, str, str]:
    """Give status, reason and message of the condition Scheduled."""
    found = next(one for one in body["status"]["conditions"] if one["type"] == "Scheduled")
    return found["status"], found["reason"], found["message"]
