"""The condition Ready of Flows and Deployments: what it says, and that it is written only when it changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import make_deployment, make_flow
from tests.operator.reconcile.deciding import Body, now, status_after

from towpath_operator.reconcile import deployment, flow
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedDeployment, ObservedFlow

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}


def ready_of_flow(body: Body) -> tuple[Body, Body]:
    """Decide about a Flow; give its condition and the Flow with it."""
    return _ready(body, flow.decide(ObservedFlow(body), now))


def ready_of_deployment(body: Body, named: Body | None) -> tuple[Body, Body]:
    """Decide about a Deployment; give its condition and the Deployment with it."""
    return _ready(body, deployment.decide(ObservedDeployment(body, named), now))


def _ready(body: Body, decision: Decision) -> tuple[Body, Body]:
    assert decision.bug is None
    status = status_after(body, decision)
    (condition,) = status["conditions"]
    assert condition["observedGeneration"] == status["observedGeneration"] == body["metadata"]["generation"]
    return condition, body | {"status": status}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({}, "Ready", ""),
        ({"parameters": SCHEMA}, "Ready", ""),
        ({"parameters": {"type": "whole"}}, "InvalidSchema", "'whole'"),
        ({"parameters": {"$ref": "http://elsewhere/schema"}}, "InvalidSchema", "another document"),
        ({"template": {"spec": {"hostIPC": True}}}, "InvalidTemplate", "template.spec.hostIPC"),
        ({"template": {"sepc": {}}}, "InvalidTemplate", "sepc"),
        ({"image": ""}, "InvalidSpec", "image"),
        ({"command": ["x"]}, "InvalidSpec", "exactly one"),
    ],
    ids=["plain", "schema", "bad schema", "far schema", "host", "typo", "no image", "two codes"],
)
def test_a_flow_says_whether_it_can_be_run(spec: Body, reason: str, words: str) -> None:
    """True, or False with the reason that its runs would fail with, and what to do."""
    condition, _ = ready_of_flow(make_flow(spec=spec))

    assert (condition["status"], condition["reason"]) == ("True" if reason == "Ready" else "False", reason)
    assert words in condition["message"]


@pytest.mark.parametrize(
    ("parameters", "flow_spec", "reason", "words"),
    [
        ({"x": "5"}, {"parameters": SCHEMA}, "Ready", ""),
        ({"x": "five"}, {"parameters": SCHEMA}, "InvalidParameters", "x='five' must be a whole number"),
        ({}, {"parameters": {"type": 3}}, "InvalidSchema", "Flow 'main' cannot be run"),
        ({}, None, "FlowNotFound", "no Flow 'main'"),
    ],
    ids=["parameters still to come", "wrong parameter", "bad flow", "no flow"],
)
def test_a_deployment_says_whether_it_can_be_run(
    parameters: Body, flow_spec: Body | None, reason: str, words: str
) -> None:
    """Its parameters fit as far as they are given; a run may bring the rest."""
    named = None if flow_spec is None else make_flow(spec=flow_spec)
    condition, _ = ready_of_deployment(make_deployment(parameters=parameters), named)

    assert (condition["status"], condition["reason"]) == ("True" if reason == "Ready" else "False", reason)
    assert words in condition["message"]


def test_a_deployments_own_template_is_checked() -> None:
    """With the words that its runs would fail with."""
    condition, _ = ready_of_deployment(make_deployment(spec={"template": {"spec": {"hostPID": True}}}), make_flow())

    assert condition["reason"] == "InvalidTemplate"


def test_nothing_is_written_when_nothing_changes() -> None:
    """Deciding again gives nothing new, until the spec's generation moves on or the answer changes."""
    _, seen = ready_of_flow(make_flow())
    later = now + timedelta(hours=1)
    assert flow.decide(ObservedFlow(seen), later) == Decision()

    edited = seen | {"metadata": seen["metadata"] | {"generation": 2}}
    decision = flow.decide(ObservedFlow(edited), later)
    (condition,) = status_after(edited, decision)["conditions"]
    assert condition["observedGeneration"] == 2
    assert condition["lastTransitionTime"] == seen["status"]["conditions"][0]["lastTransitionTime"]

    broken = edited | {"spec": edited["spec"] | {"image": ""}}
    (condition,) = status_after(broken, flow.decide(ObservedFlow(broken), later))["conditions"]
    assert condition["lastTransitionTime"] != seen["status"]["conditions"][0]["lastTransitionTime"]


def test_conditions_of_others_stay() -> None:
    """Ready is the only one that the operator writes."""
    other = {"type": "Approved", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Yes"}
    body = make_flow(status={"conditions": [other]})
    decision = flow.decide(ObservedFlow(body), now)

    assert [c["type"] for c in status_after(body, decision)["conditions"]] == ["Approved", "Ready"]


def test_what_is_being_deleted_is_left_alone() -> None:
    """No write holds a deletion up."""
    gone: dict[str, Any] = {"deleted": "2026-03-01T12:00:00Z"}
    assert flow.decide(ObservedFlow(make_flow(**gone)), now) == Decision()
    assert deployment.decide(ObservedDeployment(make_deployment(**gone)), now) == Decision()
