"""What becomes of a FlowRun's status when a run enters a state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import make_condition, make_state
from tests.json_patch import apply_patch

from towpath import limits
from towpath.api.v1alpha1 import FlowRunStatus
from towpath.api.v1alpha1.transitions import rfc3339, state, succeeded_condition, transition
from towpath.states import StateType

EARLIER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LATER = EARLIER + timedelta(seconds=90)
T0, T1 = rfc3339(EARLIER), rfc3339(LATER)

Status = dict[str, Any]


def after(
    status: Mapping[str, Any],
    type_: StateType,
    *,
    attempt: int = 1,
    now: datetime = LATER,
    fields: Mapping[str, Any] | None = None,
    **said: str,
) -> Status:
    """Give the status after the patch for a new state was applied, as the API server would apply it."""
    body = {"status": copy.deepcopy(dict(status))} if status else {}
    patch = transition(status, state(type_, now, **said), attempt=attempt, fields=fields)
    new: Status = apply_patch(body, patch)["status"]
    FlowRunStatus.model_validate(new)
    return new


def running(**fields: Any) -> Status:
    """Build the status of a run that runs since EARLIER."""
    status = after({}, StateType.PENDING, now=EARLIER, fields={"job": "run-1-1"})
    return after(status, StateType.RUNNING, now=EARLIER) | fields


def test_times_are_written_as_the_api_writes_them() -> None:
    """A time of any zone becomes UTC with microseconds."""
    zone = timezone(timedelta(hours=2))

    assert rfc3339(datetime(2026, 3, 1, 14, 0, 0, 5, tzinfo=zone)) == "2026-03-01T12:00:00.000005Z"


def test_a_state_has_its_types_name_unless_it_is_given_one() -> None:
    """Names are for people: the type's own by default, and what is not said is left out."""
    assert state(StateType.CANCELLING, EARLIER) == {"type": "CANCELLING", "name": "Cancelling", "since": T0}
    assert state(StateType.COMPLETED, EARLIER, name="Skipped", reason="Succeeded", message="nothing to do") == {
        "type": "COMPLETED",
        "name": "Skipped",
        "reason": "Succeeded",
        "message": "nothing to do",
        "since": T0,
    }


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        (type_, "True" if type_ is StateType.COMPLETED else "False" if type_.is_terminal else "Unknown")
        for type_ in StateType
    ],
    ids=str,
)
def test_succeeded_is_unknown_until_the_run_ends(type_: StateType, status: str) -> None:
    """`kubectl wait --for=condition=Succeeded` sees True for COMPLETED, False for the other ends, Unknown before."""
    assert succeeded_condition(state(type_, EARLIER))["status"] == status


def test_a_condition_says_why() -> None:
    """Its reason is the state's, or the state's name as one word; its message is the state's, perhaps shortened."""
    assert succeeded_condition(state(StateType.SCHEDULED, EARLIER, name="Awaiting Retry"))["reason"] == "AwaitingRetry"
    condition = succeeded_condition(state(StateType.FAILED, EARLIER, reason="FlowFailed", message="m" * 100))
    assert condition["reason"] == "FlowFailed"
    assert condition["message"] == "m" * (limits.CONDITION_MESSAGE - 3) + "…"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    """lastTransitionTime moves with the status, not with every state."""
    pending = succeeded_condition(state(StateType.PENDING, EARLIER))
    still = succeeded_condition(state(StateType.RUNNING, LATER), [pending])
    ended = succeeded_condition(state(StateType.FAILED, LATER), [pending])

    assert (still["status"], still["lastTransitionTime"]) == ("Unknown", T0)
    assert (ended["status"], ended["lastTransitionTime"]) == ("False", T1)


def test_the_first_state_makes_the_status() -> None:
    """A run without a status gets one whole, with what the caller sets and without what it removes."""
    patch = transition({}, state(StateType.PENDING, EARLIER), attempt=1, fields={"job": "run-1-1", "waitingFor": None})

    assert [(op["op"], op["path"]) for op in patch] == [("add", "/status")]
    assert patch[0]["value"] == {
        "attempt": 1,
        "state": make_state("PENDING", since=T0),
        "history": [{"type": "PENDING", "name": "Pending", "at": T0, "attempt": 1}],
        "conditions": [make_condition("Succeeded", "Unknown", reason="Pending", message="", since=T0)],
        "job": "run-1-1",
    }


def test_no_attempt_is_written_before_the_first() -> None:
    """A run that waits, or ends before any pod, has no attempt; its history says 0."""
    status = after({}, StateType.SCHEDULED, attempt=0, reason="WaitingForTime")

    assert "attempt" not in status
    assert status["history"][0]["attempt"] == 0


def test_the_callers_status_is_not_changed() -> None:
    """Building a patch leaves the status that was seen alone: it may be the operator's cache."""
    status = running()
    before = copy.deepcopy(status)

    transition(status, state(StateType.FAILED, LATER), attempt=1, fields={"error": {"message": "m" * 2000}})

    assert status == before


def test_a_run_starts_when_it_first_runs() -> None:
    """startTime is that of the attempt's first RUNNING; a retry in the same pod does not move it."""
    retried = after(after(running(), StateType.SCHEDULED, name="AwaitingRetry"), StateType.RUNNING, name="Retrying")

    assert retried["startTime"] == T0


@pytest.mark.parametrize("end", sorted(t for t in StateType if t.is_terminal), ids=str)
def test_a_run_has_ended_when_it_says_so(end: StateType) -> None:
    """completionTime comes with a terminal state, and with no other."""
    assert "completionTime" not in running()
    assert after(running(), end)["completionTime"] == T1


def test_a_writer_may_know_the_times_better() -> None:
    """The operator, which learns of an end late, may give the times itself."""
    status = after(running(), StateType.CRASHED, fields={"completionTime": T0})

    assert status["completionTime"] == T0


def test_a_new_attempt_begins_clean() -> None:
    """Nothing of the old attempt's job, pod, times, result and error is left, but history and counts are."""
    old = running(pod="run-1-1-abcde", infraFailures=0, tasks={"total": 3})
    crashed = after(
        old, StateType.CRASHED, fields={"error": {"code": "NodeLost", "kind": "Infrastructure", "message": "m"}}
    )
    new = after(
        crashed, StateType.SCHEDULED, attempt=2, name="AwaitingRetry", fields={"retryAt": T1, "infraFailures": 1}
    )

    assert new.keys() == {"state", "history", "conditions", "attempt", "retryAt", "infraFailures", "tasks"}
    assert new["attempt"] == 2
    assert [(entry["type"], entry["attempt"]) for entry in new["history"]] == [
        ("PENDING", 1),
        ("RUNNING", 1),
        ("CRASHED", 1),
        ("SCHEDULED", 2),
    ]


def test_a_new_attempt_may_keep_what_the_caller_sets() -> None:
    """The attempt's own Job, or the reason why there had to be another attempt, goes in with it."""
    error = {"code": "NodeLost", "kind": "Infrastructure", "message": "m"}
    new = after(running(), StateType.SCHEDULED, attempt=2, fields={"error": error, "job": "run-1-2"})

    assert (new["error"], new["job"]) == (error, "run-1-2")


def test_a_run_has_a_result_or_an_error() -> None:
    """Writing one removes the other, as the API server allows only one of them; completing removes the error."""
    error = {"code": "NodeLost", "kind": "Infrastructure", "message": "m"}

    assert "error" not in after(running(error=error), StateType.COMPLETED, fields={"result": {"inline": "1"}})
    assert "error" not in after(running(error=error), StateType.COMPLETED)
    assert "result" not in after(running(result={"inline": "1"}), StateType.FAILED, fields={"error": error})


def test_removing_what_is_not_there_is_no_operation() -> None:
    """JSON Patch refuses to remove an absent field, so that such an operation is never written."""
    patch = transition(running(), state(StateType.RUNNING, LATER), attempt=1, fields={"waitingFor": None, "job": None})

    assert [op["path"] for op in patch if op["op"] == "remove"] == ["/status/job"]


def test_conditions_of_others_stay() -> None:
    """Succeeded is replaced; any other condition is kept as it is."""
    other = make_condition("Suspended", "False", reason="Never", message="")
    status = after(running(conditions=[other]), StateType.COMPLETED)

    assert [c["type"] for c in status["conditions"]] == ["Suspended", "Succeeded"]
    assert status["conditions"][0] == other


def test_history_keeps_the_last_states() -> None:
    """However long a run lives, its history holds the newest entries, oldest first, and no more than it has room for."""
    status = running()
    for retry in range(40):
        status = after(status, StateType.RUNNING, now=EARLIER + timedelta(seconds=retry))

    times = [entry["at"] for entry in status["history"]]
    assert len(times) == limits.HISTORY_LENGTH
    assert times == sorted(times)
    assert times[-1] == rfc3339(EARLIER + timedelta(seconds=39))


def test_texts_are_cut_to_their_fields() -> None:
    """Whatever a writer sets, the message keeps its start and the traceback its end; an exception that is too large stays out."""
    error = {
        "code": "C" * 100,
        "kind": "User",
        "message": "M" * 5000,
        "type": "T" * 500,
        "traceback": "t" * 5000 + "the end",
        "exception": "e" * 7000,
    }
    status = after(running(), StateType.FAILED, fields={"error": error, "waitingFor": "w" * 500}, name="N" * 99)

    assert {key: len(value) for key, value in status["error"].items()} == {
        "code": limits.REASON - 2,  # the mark is one character, but three bytes
        "kind": 4,
        "message": limits.ERROR_MESSAGE - 2,
        "type": limits.ERROR_TYPE - 2,
        "traceback": limits.ERROR_TRACEBACK - 2,
    }
    assert status["error"]["traceback"].endswith("the end")
    assert status["waitingFor"].endswith("…")
    assert status["state"]["name"] == "N" * (limits.STATE_NAME - 3) + "…"


states = st.builds(
    state,
    st.sampled_from(StateType),
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    name=st.none() | st.text(min_size=1, max_size=80),
    reason=st.none() | st.text(min_size=1, max_size=40),
    message=st.none() | st.text(max_size=600),
)
errors = st.fixed_dictionaries(
    {
        "code": st.text(min_size=1),
        "kind": st.sampled_from(["User", "Infrastructure"]),
        "message": st.text(max_size=2000),
    },
    optional={"type": st.text(), "traceback": st.text(max_size=5000), "exception": st.text("aB+/", max_size=7000)},
)
field_sets = st.fixed_dictionaries(
    {},
    optional={
        "job": st.none() | st.just("run-1-1"),
        "pod": st.none() | st.just("run-1-1-abcde"),
        "waitingFor": st.none() | st.text(max_size=600),
        "retryAt": st.none() | st.just(T1),
        "infraFailures": st.integers(min_value=0, max_value=100),
    },
)
ends = st.one_of(
    st.just({}),
    st.builds(lambda error: {"error": error}, errors),
    st.builds(lambda text: {"result": {"inline": text}}, st.text("[]1,", max_size=100)),
)
steps = st.lists(st.tuples(states, st.integers(min_value=1, max_value=3), field_sets, ends), max_size=6)


@settings(deadline=None)  # a busy machine is no failure
@given(steps)
def test_every_patch_applies_and_makes_a_valid_status(way: list[tuple[Status, int, Status, Status]]) -> None:
    """Along any way through any states, each patch applies to the status it was made from, and gives what was asked for."""
    body: Status = {}
    for new_state, attempt, fields, end in way:
        asked = fields | end
        before = body.get("status", {})
        body = apply_patch(body, transition(before, new_state, attempt=attempt, fields=asked))
        status = body["status"]

        FlowRunStatus.model_validate(status)
        assert status["state"] == new_state
        assert status["attempt"] == attempt
        assert status["history"][-1]["at"] == new_state["since"]
        assert len(status["history"]) <= limits.HISTORY_LENGTH
        assert not ("result" in status and "error" in status)
        assert ("completionTime" in status) == StateType(new_state["type"]).is_terminal
        for field, value in asked.items():
            assert (field in status) == (value is not None)
