"""Deployments of any shape: a decision is always made, can always be applied, and is not made again."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import make_flow
from tests.json_patch import apply_patch
from tests.operator.reconcile.deciding import searching
from tests.operator.reconcile.test_odd_bodies import JUNK, places
from tests.operator.schedules.deciding import HOURLY, NOON, Body, edited, scheduled, settled

from towpath_operator.reconcile import deployment
from towpath_operator.reconcile.decision import PatchStatus
from towpath_operator.reconcile.observed import ObservedDeployment


def whole() -> Body:
    """Build a Deployment that has all that one can have."""
    every = {"name": "every", "intervalSeconds": 600, "anchor": "2026-03-01T00:00:00Z", "parameters": {"x": 1}}
    rule = {"name": "rule", "rrule": "FREQ=HOURLY", "timezone": "Europe/Oslo", "suspend": False}
    wrong = {"name": "wrong", "cron": "0 25 * * *", "dayOr": True}
    body = scheduled(HOURLY, every, rule, wrong, missedRunPolicy="All", startingDeadlineSeconds=9000, suspend=False)
    return edited(settled(body, NOON), parameters={"y": 2})


@searching(120)
@given(data=st.data())
def test_a_decision_is_always_made(data: st.DataObject) -> None:
    """With anything in place of anything: no bug, and what is decided on changes the status as the API would."""
    body = whole()
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([path for path in places(body) if path[0] in {"spec", "status"}]))
        place: Any = body
        for key in path:
            place = place[key]
        place[last] = data.draw(JUNK)
    now = NOON + timedelta(hours=2)
    before = copy.deepcopy(body)

    for _ in range(20):
        decision = deployment.decide(ObservedDeployment(body, make_flow(), active=3, last_success=NOON), now)
        if decision.bug is not None:
            raise decision.bug
        assert decision.requeue_after is None or decision.requeue_after > 0
        patches = [action for action in decision.actions if isinstance(action, PatchStatus)]
        if not patches:
            break
        body = apply_patch(body, patches[0].patch)
    else:
        raise AssertionError("there is always something to write")
    assert before["spec"] == body["spec"]
