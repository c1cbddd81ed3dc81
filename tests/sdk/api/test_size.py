"""A FlowRun stays within its budget: 32 KiB, with the largest parameters and everything that its code can put into the status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.json_patch import apply_patch
from tests.largest import bytes_of, largest_child_run, largest_status

from towpath import limits
from towpath.api.v1alpha1 import FlowRunStatus
from towpath.api.v1alpha1.transitions import state, transition
from towpath.states import StateType

NOW = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("ending", ["inline", "ref", "error", "pause"])
def test_the_largest_flowrun_fits_its_budget(ending: Literal["inline", "ref", "error", "pause"]) -> None:
    """No status that the schema lets through takes a run with 10 KiB of parameters beyond 32 KiB."""
    assert bytes_of({**largest_child_run(), "status": largest_status(ending)}) <= limits.FLOWRUN_BYTES


awkward = st.sampled_from(["\x1b", "<", "&", "\u2028", "漢", "🙂", '"', "\ud800", "a"])
long_text = st.builds(
    lambda pattern, times: pattern * times, st.text(awkward, min_size=1, max_size=8), st.integers(1, 3000)
)


@settings(max_examples=50, deadline=None)  # a busy machine is no failure
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
