"""The models read what the API server gives and write what it takes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.builders import Body, make_condition, make_deployment, make_flow, make_flowrun, make_state

from towpath import limits
from towpath.api.v1alpha1 import KINDS, FlowRun, FlowSpec, Resource
from towpath.states import Reason

MODELS: dict[str, type[Resource]] = {kind.__name__: kind for kind in KINDS}
BODIES = {
    "flow": make_flow(spec={"parameters": {"properties": {"x": {"default": None}}}}),
    "plain container": make_flow(command=["true"]),
    "deployment": make_deployment(
        parameters={"x": 1}, status={"conditions": [make_condition("Ready", reason="Ready", message="")]}
    ),
    "run": make_flowrun(parameters={"x": [None, 1.5], "nothing": None}, spec={"scheduledTime": "2026-03-01T12:00:00Z"}),
    "child run": make_flowrun(parent=make_flowrun("parent"), cancel=True),
    "ended run": make_flowrun(
        state=make_state("FAILED", reason=Reason.FLOW_FAILED, message="m"),
        attempt=1,
        job="run-1-1",
        status={"error": {"code": "FlowFailed", "kind": "User", "message": "m"}},
    ),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_is_read_is_written_again(body: Body) -> None:
    """A resource goes through its model unchanged: nothing is lost, and nothing but what was there comes out."""
    assert MODELS[body["kind"]].model_validate(body).wire() == body


def test_a_model_is_written_in_the_wires_names() -> None:
    """Python's names inside, camelCase outside, and nothing about what is unset."""
    spec = FlowSpec(image="flows:1", entrypoint="a:b", timeout_seconds=5)

    assert spec.wire() == {"image": "flows:1", "entrypoint": "a:b", "timeoutSeconds": 5}


def test_an_unknown_field_is_refused() -> None:
    """A misspelt field is an error here as it is for kubectl, not silence."""
    with pytest.raises(ValidationError, match="paramters"):
        FlowRun.model_validate(make_flowrun(spec={"paramters": {}}))


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_fits_its_field(reason: Reason) -> None:
    """A reason is never cut: alerts and dashboards compare it."""
    assert len(reason) <= limits.REASON
