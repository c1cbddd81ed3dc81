"""States: what they say, and what they give."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import states
from towpath.errors import FlowRunCancelled, FlowRunCrashed, FlowRunFailed, RunError, UnfinishedRun, UpstreamNotReady
from towpath.states import TERMINAL, State, StateType, aggregate, may_follow, states_in

FACTORIES = [
    (states.Scheduled, StateType.SCHEDULED, "Scheduled"),
    (states.AwaitingRetry, StateType.SCHEDULED, "AwaitingRetry"),
    (states.Pending, StateType.PENDING, "Pending"),
    (states.Running, StateType.RUNNING, "Running"),
    (states.Retrying, StateType.RUNNING, "Retrying"),
    (states.Completed, StateType.COMPLETED, "Completed"),
    (states.Failed, StateType.FAILED, "Failed"),
    (states.Crashed, StateType.CRASHED, "Crashed"),
    (states.Cancelling, StateType.CANCELLING, "Cancelling"),
    (states.Cancelled, StateType.CANCELLED, "Cancelled"),
    (states.Paused, StateType.PAUSED, "Paused"),
]


@pytest.mark.parametrize(("factory", "type_", "name"), FACTORIES, ids=[name for *_, name in FACTORIES])
def test_factories_make_states_that_no_run_has_entered(factory: Any, type_: StateType, name: str) -> None:
    """Each has its type, its name, the message given, and no time."""
    state = factory(message="why")
    assert (state.type, state.name, state.message, state.timestamp) == (type_, name, "why", None)


@pytest.mark.parametrize("type_", list(StateType))
def test_every_type_has_its_question(type_: StateType) -> None:
    """Exactly one `is_...` says yes, and `is_final` for the four ends."""
    state: State[Any] = State(type_)
    questions = {kind: getattr(state, f"is_{kind.value.lower()}")() for kind in StateType}
    assert [kind for kind, answer in questions.items() if answer] == [type_]
    assert state.is_final() is (type_ in TERMINAL)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (states.Completed(), "Completed()"),
        (states.Failed(message="no"), "Failed('no')"),
        (states.Completed(name="Skipped"), "Skipped(type=COMPLETED)"),
        (states.Completed(name="Skipped", message="no"), "Skipped('no', type=COMPLETED)"),
    ],
    ids=["plain", "message", "name", "both"],
)
def test_states_read_well(state: State[Any], text: str) -> None:
    """`str` is short, for log lines."""
    assert str(state) == text
    assert state.type.value in repr(state)


def test_a_completed_state_gives_its_value() -> None:
    """None is a value too."""
    assert states.Completed(data=5).result() == 5
    assert states.Completed().result() is None


ERROR = ValueError("own")


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (states.Failed(data=ERROR), ValueError, "own"),
        (states.Failed(message="why"), FlowRunFailed, "why"),
        (states.Failed(data="text"), FlowRunFailed, "text"),
        (states.Failed(), FlowRunFailed, "The run ended FAILED."),
        (states.Cancelled(message="asked"), FlowRunCancelled, "asked"),
        (states.Crashed(message="lost"), FlowRunCrashed, "lost"),
        (states.Crashed(data=KeyboardInterrupt("k")), KeyboardInterrupt, "k"),
        (states.Failed(data=states.Failed(data=ERROR)), ValueError, "own"),
        (states.Failed(data=[states.Completed(), states.Failed(data=ERROR)]), ValueError, "own"),
    ],
    ids=[
        "exception",
        "message",
        "text",
        "nothing",
        "cancelled",
        "crashed",
        "interrupted",
        "state within",
        "states within",
    ],
)
def test_other_ends_raise_their_exception(state: State[Any], error: type[BaseException], text: str) -> None:
    """The run's own exception if there is one, that of the first state within, else one of the kind of end, that says why."""
    with pytest.raises(error, match=text):
        state.result()
    left = state.result(raise_on_failure=False)
    assert left is state.data if state.data is not None else isinstance(left, error)


@pytest.mark.parametrize("make", [states.Failed, states.Cancelled, states.Crashed])
def test_what_a_run_left_that_did_not_complete_can_be_had(make: Any) -> None:
    """`Failed(data=rows_so_far)`: the data if nothing is to be raised, be it no exception."""
    assert make(data=[1, 2]).result(raise_on_failure=False) == [1, 2]
    with pytest.raises(RunError, match="not enough"):
        make(data=[1, 2], message="not enough").result()


def test_a_run_that_has_not_ended_has_no_result() -> None:
    """UnfinishedRun says to wait; NotReady says what was missing."""
    with pytest.raises(UnfinishedRun, match="RUNNING"):
        states.Running().result()
    with pytest.raises(UpstreamNotReady, match="load"):
        states.Pending(name="NotReady", message="load failed").result()


def test_times_are_stamped_by_whoever_enters() -> None:
    """A stamp is seconds since the epoch, and shows as an aware time; a copy is unstamped."""
    state = states.Running()
    state.stamp(0.5)
    assert state.timestamp == datetime(1970, 1, 1, 0, 0, 0, 500_000, UTC)
    assert state.copy().timestamp is None


def test_states_travel() -> None:
    """They can be pickled and copied, with their data."""
    state = states.Completed(data=[1], message="m")
    for other in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert (other.type, other.data, other.message) == (StateType.COMPLETED, [1], "m")


@given(st.lists(st.sampled_from(list(StateType)), min_size=1))
def test_aggregate_follows_the_order_of_weight(types: list[StateType]) -> None:
    """All completed is COMPLETED; else any cancelled, else any paused, else FAILED; the data is kept as it is."""
    members = [State[Any](type_) for type_ in types]
    joined = aggregate(members, members)
    if set(types) == {StateType.COMPLETED}:
        expected = StateType.COMPLETED
    elif StateType.CANCELLED in types:
        expected = StateType.CANCELLED
    elif StateType.PAUSED in types:
        expected = StateType.PAUSED
    else:
        expected = StateType.FAILED
    assert joined.type is expected
    assert joined.data is members


@pytest.mark.parametrize("value", [[], (), None, 5, "x", {"a": states.Failed()}, [states.Failed(), 1]], ids=repr)
def test_only_collections_of_nothing_but_states_count(value: Any) -> None:
    """A mixed, empty or keyed collection holds no states in this sense."""
    assert states_in(value) == ()


@given(st.lists(st.sampled_from(list(StateType)), max_size=8))
def test_ends_are_final(path: list[StateType]) -> None:
    """Along any path that the table allows, nothing but a repetition follows an end."""
    current: StateType | None = None
    for new in path:
        if not may_follow(current, new):
            continue
        assert current not in TERMINAL or new is current
        current = new
