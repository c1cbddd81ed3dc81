"""A FlowRun stays within its budget: 32 KiB, with the largest parameters and everything that its code can put into the status."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import make_flowrun
from tests.json_patch import apply_patch

from towpath import limits, names
from towpath.api.v1alpha1 import FlowRun, FlowRunStatus
from towpath.api.v1alpha1.transitions import state, transition
from towpath.states import StateType
from towpath_operator.crds import schema_of

NOW = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
LONGEST_NAME = "n" * 63
MICROSECONDS = "2026-12-31T23:59:59.999999Z"


def largest(schema: dict[str, Any]) -> Any:
    """Build the largest value that a schema lets through, as ASCII."""
    if "enum" in schema:
        return max(schema["enum"], key=len)
    match schema["type"]:
        case "object":
            return {name: largest(field) for name, field in schema["properties"].items()}
        case "array":
            return [largest(schema["items"])] * schema["maxItems"]
        case "integer":
            return schema["maximum"]
        case "string" if schema.get("format") == "date-time":
            return MICROSECONDS
        case "string":
            return "x" * schema["maxLength"]
    raise AssertionError(f"no largest value for {schema}")


def largest_child_run() -> dict[str, Any]:
    """Build a run under a parent, with the longest names, all labels and the largest parameters that a run may have."""
    parent = make_flowrun(LONGEST_NAME)
    labels = (
        names.LABEL_PARENT,
        names.LABEL_ROOT_RUN,
        names.LABEL_FLOW,
        names.LABEL_DEPLOYMENT,
        names.LABEL_MANAGED_BY,
    )
    room = names.MAX_PARAMETERS_BYTES - len('{"p":""}')
    return make_flowrun(
        LONGEST_NAME,
        namespace=LONGEST_NAME,
        parent=parent,
        labels=dict.fromkeys(labels, LONGEST_NAME),
        flow_ref=LONGEST_NAME,
        parameters={"p": "x" * room},
        spec={"parent": {"name": LONGEST_NAME, "uid": parent["metadata"]["uid"], "call": "c" * 10, "depth": 20}},
    )


def bytes_of(body: Any) -> int:
    """Count an object's bytes as the API server stores it."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return (
        len(text.encode()) + sum(5 * text.count(mark) for mark in "<>&") + 3 * len(re.findall("[\u2028\u2029]", text))
    )


@pytest.mark.parametrize(
    ("without", "nor"),
    [("error", "ref"), ("error", "inline"), ("result", None)],
    ids=["result in place", "result elsewhere", "error"],
)
def test_the_largest_flowrun_fits_its_budget(without: str, nor: str | None) -> None:
    """No status that the schema lets through takes a run with 10 KiB of parameters beyond 32 KiB."""
    status = largest(schema_of(FlowRun)["properties"]["status"])
    del status[without]
    if nor:
        del status["result"][nor]

    assert bytes_of({**largest_child_run(), "status": status}) <= limits.FLOWRUN_BYTES


awkward = st.sampled_from(["\x1b", "<", "&", "\u2028", "漢", "🙂", '"', "\ud800", "a"])
long_text = st.builds(
    lambda pattern, times: pattern * times, st.text(awkward, min_size=1, max_size=8), st.integers(1, 3000)
)


@given(st.tuples(*[long_text] * 8))
def test_no_text_takes_a_failed_run_beyond_its_budget(texts: tuple[str, ...]) -> None:
    """Control characters, other scripts and quotes, which take more bytes than they count, are cut by their bytes."""
    name, reason, message, code, description, kind, traceback, waiting_for = texts
    error = {"code": code, "kind": "User", "message": description, "type": kind, "traceback": traceback}
    body = largest_child_run()
    for attempt in range(1, 2 * limits.HISTORY_LENGTH):
        failed = state(StateType.FAILED, NOW, name=name, reason=reason, message=message)
        fields = {"error": error, "waitingFor": waiting_for}
        body = apply_patch(body, transition(body.get("status", {}), failed, attempt=attempt, fields=fields))

    FlowRunStatus.model_validate(body["status"])
    assert bytes_of(body) <= limits.FLOWRUN_BYTES
