"""The condition Ready, by which a Flow or Deployment says whether it can be run."""

from __future__ import annotations

from datetime import datetime

from towpath_operator.reconcile.conditions import Condition, changes, condition, patch_of, with_conditions
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import integer

TYPE = "Ready"


def ready(body: Body, problem: Problem | None, now: datetime) -> Condition:
    """Build the condition.

    Args:
        body: the object.
        problem: why it cannot be run; None if it can.
        now: the time.
    """
    if problem is None:
        return condition(body, TYPE, TYPE, "", now)
    return condition(body, TYPE, str(problem.reason), problem.message, now)


def say_ready(plural: str, body: Body, problem: Problem | None, now: datetime) -> Decision:
    """Write the condition, unless it says already what it should.

    Args:
        plural: the object's kind.
        body: the object.
        problem: why it cannot be run; None if it can.
        now: the time.
    """
    if is_deleting(body):
        return Decision()
    conditions = with_conditions(body, {TYPE: ready(body, problem, now)})
    wanted = {"conditions": conditions, "observedGeneration": integer(body, "metadata", "generation")}
    changed = changes(body, wanted)
    return Decision((patch_of(plural, body, changed),)) if changed else Decision()
