"""The life of a run: which effects follow which events, as examples and as laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.engine.core import ended_from_outside, life
from towpath.engine.effects import (
    READY,
    Answer,
    Ask,
    Effect,
    Ended,
    Ending,
    Enter,
    Event,
    Hooks,
    How,
    Lost,
    NotReady,
    Plan,
    Raised,
    Report,
    Returned,
    Settle,
    Sleep,
    Step,
    TimedOut,
)
from towpath.errors import FlowRunCrashed, FlowRunFailed, RunTimeout, UpstreamNotReady
from towpath.states import TERMINAL, Cancelled, Completed, Failed, Paused, State, StateType, may_follow

S = StateType
TASK = Plan("Task run")
FLOW = Plan("Flow run", is_flow=True)


def live(
    plan: Plan, answer: Callable[[Effect], Event], stop_at: int = 10_000, stop: BaseException | None = None
) -> tuple[list[Effect], Ending]:
    """Drive a life by a function from effects to events; before effect `stop_at` is answered, throw `stop` in."""
    run = life(plan, lambda: 0.5)
    effects = [next(run)]
    try:
        while True:
            if len(effects) == stop_at and stop is not None:
                effects.append(run.throw(stop))
            else:
                effects.append(run.send(answer(effects[-1])))
    except StopIteration as end:
        return effects, end.value


def answers(*calls: Event, prepare: Event = READY, retry: bool = True) -> Callable[[Effect], Event]:
    """Answer each Call by the next of `calls`, the last of which repeats."""
    left = list(calls)

    def answer(effect: Effect) -> Event:
        if effect is Step.PREPARE:
            return prepare
        if effect is Step.CALL:
            return left.pop(0) if len(left) > 1 else left[0]
        return Answer(retry) if isinstance(effect, Ask) else None

    return answer


def names_of(effects: list[Effect]) -> list[str]:
    """Name effects in short."""
    return [
        effect.name
        if isinstance(effect, Step)
        else f"{type(effect).__name__}:{getattr(effect, 'state', None) and effect.state.name}"
        if isinstance(effect, (Enter, Report, Hooks, Ask))
        else type(effect).__name__
        for effect in effects
    ]


def test_a_task_that_returns_goes_straight_through() -> None:
    """Prepared, RUNNING, called, COMPLETED; nothing is reported and nothing settled."""
    effects, ending = live(TASK, answers(Returned(42)))
    assert names_of(effects) == ["PREPARE", "Enter:Running", "CALL", "Enter:Completed"]
    assert (ending.state.type, ending.state.data, ending.value, ending.error) == (S.COMPLETED, 42, 42, None)


def test_a_flow_reports_running_before_user_code_and_its_end_after_hooks() -> None:
    """RUNNING is reported before the call; what the flow started is settled, then hooks, then the end is reported."""
    plan = Plan("Flow run", is_flow=True, hooked=frozenset({S.RUNNING, S.COMPLETED}))
    effects, _ = live(plan, answers(Returned(1)))
    assert names_of(effects) == [
        "PREPARE", "Enter:Running", "Report:Running", "Hooks:Running", "CALL", "Settle",
        "Enter:Completed", "Hooks:Completed", "Report:Completed",
    ]  # fmt: skip


def test_retries_wait_and_are_called_retrying() -> None:
    """A failure with retries left awaits its retry, sleeps the delay, and runs again under the name Retrying."""
    plan = Plan("Task run", retries=2, delays=(1.0, 5.0))
    effects, ending = live(plan, answers(Raised(ValueError("a")), Raised(ValueError("b")), Returned(3)))
    assert names_of(effects) == [
        "PREPARE", "Enter:Running", "CALL", "Enter:AwaitingRetry", "Sleep", "Enter:Retrying", "CALL",
        "Enter:AwaitingRetry", "Sleep", "Enter:Retrying", "CALL", "Enter:Completed",
    ]  # fmt: skip
    assert [effect.seconds for effect in effects if isinstance(effect, Sleep)] == [1.0, 5.0]
    waits = [effect for effect in effects if isinstance(effect, Enter) and effect.due_in_seconds is not None]
    assert [wait.state.message for wait in waits] == [
        "Task run encountered an exception: ValueError: a. Retry 1/2 in 1 s.",
        "Task run encountered an exception: ValueError: b. Retry 2/2 in 5 s.",
    ]
    assert ending.value == 3


def test_a_retry_without_delay_does_not_sleep() -> None:
    """No delay: no Sleep, but AwaitingRetry is still passed, so that the failure shows."""
    effects, _ = live(Plan("Task run", retries=1), answers(Raised(ValueError()), Returned(1)))
    assert "Sleep" not in names_of(effects)
    assert "Enter:AwaitingRetry" in names_of(effects)


def test_the_last_failure_is_the_end() -> None:
    """When retries are spent, the run has FAILED with the last exception, which a plain call raises."""
    errors = [ValueError("first"), ValueError("last")]
    effects, ending = live(Plan("Task run", retries=1), answers(*map(Raised, errors)))
    assert ending.error is errors[1]
    assert ending.state.data is errors[1]
    assert sum(effect is Step.CALL for effect in effects) == 2


def test_the_condition_decides_about_a_retry() -> None:
    """A condition that says no ends the run although retries are left."""
    plan = Plan("Task run", retries=5, asks=True)
    effects, ending = live(plan, answers(Raised(ValueError()), retry=False))
    assert ending.state.type is S.FAILED
    assert sum(effect is Step.CALL for effect in effects) == 1


def test_arguments_that_do_not_fit_are_not_tried_again() -> None:
    """A call that never reached user code fails the same way each time."""
    effects, ending = live(Plan("Task run", retries=5), answers(Raised(TypeError("missing x"), unfit=True)))
    assert sum(effect is Step.CALL for effect in effects) == 1
    assert ending.state.type is S.FAILED


def test_wrong_parameters_fail_a_flow_before_it_runs() -> None:
    """FAILED without RUNNING, reported, with the exception as data."""
    error = ValueError("Wrong parameters")
    effects, ending = live(FLOW, answers(Returned(0), prepare=Raised(error, unfit=True)))
    assert names_of(effects) == ["PREPARE", "Enter:Failed", "Report:Failed"]
    assert ending.error is error
    assert ending.state.message == "Wrong parameters"


def test_a_run_whose_upstream_failed_never_runs() -> None:
    """PENDING, named NotReady; a plain call raises UpstreamNotReady."""
    effects, ending = live(TASK, answers(Returned(0), prepare=NotReady("The run 'a' is FAILED.")))
    assert names_of(effects) == ["PREPARE", "Enter:NotReady"]
    assert ending.state.type is S.PENDING
    assert isinstance(ending.error, UpstreamNotReady)


@pytest.mark.parametrize(
    ("event", "name", "error"),
    [
        pytest.param(Raised(ValueError("x")), "Failed", ValueError, id="exception"),
        pytest.param(Raised(TimeoutError("x")), "TimedOut", TimeoutError, id="a TimeoutError of user code"),
        pytest.param(TimedOut(3), "TimedOut", RunTimeout, id="out of time"),
        pytest.param(TimedOut(3, stuck=True), "TimedOut", RunTimeout, id="out of time and stuck"),
    ],
)
def test_failures_are_named(event: Event, name: str, error: type[Exception]) -> None:
    """A failure is Failed or TimedOut by name, FAILED by type, and keeps its exception."""
    _, ending = live(TASK, answers(event))
    assert (ending.state.type, ending.state.name) == (S.FAILED, name)
    assert isinstance(ending.error, error)
    assert ending.state.data is ending.error


@pytest.mark.parametrize(
    ("event", "how"),
    [
        pytest.param(Returned(1), How.FINISH, id="returned: all that was started is waited for"),
        pytest.param(Raised(ValueError()), How.DROP, id="raised: what has not begun never does"),
        pytest.param(TimedOut(1), How.INTERRUPT, id="out of time: all is ended"),
    ],
)
def test_a_flow_settles_what_it_started(event: Event, how: How) -> None:
    """How it settles depends on how the try ended."""
    effects, _ = live(FLOW, answers(event))
    assert [effect.how for effect in effects if isinstance(effect, Settle)] == [how]


@pytest.mark.parametrize(
    ("error", "type_", "message"),
    [
        (KeyboardInterrupt(), S.CRASHED, "Flow run was interrupted from the keyboard."),
        (SystemExit(3), S.CRASHED, "Flow run was ended by a call of sys.exit(3)."),
        (Ended("Pod is going."), S.CRASHED, "Pod is going."),
        (Ended("Asked for.", cancelled=True), S.CANCELLED, "Asked for."),
        (GeneratorExit("odd"), S.CRASHED, "Flow run was ended by GeneratorExit: odd"),
    ],
    ids=["Ctrl-C", "sys.exit", "terminated", "cancelled", "anything else"],
)
def test_what_comes_from_outside_crashes_a_run_unless_it_was_asked_for(
    error: BaseException, type_: StateType, message: str
) -> None:
    """CRASHED or CANCELLED, with a sentence, and the exception goes on to the caller."""
    ending = ended_from_outside(FLOW, error)
    assert (ending.state.type, ending.state.message, ending.error, ending.outside) == (type_, message, error, True)


def test_work_that_was_lost_leaves_an_ordinary_exception() -> None:
    """CRASHED, too; but a flow may catch it as it catches a failure."""
    ending = ended_from_outside(TASK, Lost("The worker was killed."))
    assert (ending.state.type, ending.state.message, ending.outside) == (S.CRASHED, "The worker was killed.", False)
    with pytest.raises(FlowRunCrashed, match="killed"):
        ending.state.result()


def entered(state: State[Any]) -> State[Any]:
    """Make a state that a run has been in."""
    state.stamp(1.0)
    return state


A_DONE, A_FAILED, A_CANCELLED, A_PAUSED = Completed(), Failed(), Cancelled(), Paused()


@pytest.mark.parametrize(
    ("value", "type_", "name"),
    [
        pytest.param(None, S.COMPLETED, "Completed", id="nothing"),
        pytest.param([], S.COMPLETED, "Completed", id="an empty list"),
        pytest.param([entered(Failed()), 1], S.COMPLETED, "Completed", id="a mixed list"),
        pytest.param({"a": entered(Failed())}, S.COMPLETED, "Completed", id="a dictionary"),
        pytest.param(Completed(name="Skipped"), S.COMPLETED, "Skipped", id="a state of one's own"),
        pytest.param(Cancelled(), S.CANCELLED, "Cancelled", id="a cancelled state of one's own"),
        pytest.param(entered(Failed(name="Odd")), S.FAILED, "Failed", id="a run's state"),
        pytest.param([entered(Completed()), entered(Completed())], S.COMPLETED, "Completed", id="all completed"),
        pytest.param([entered(Completed()), entered(Failed())], S.FAILED, "Failed", id="one failed"),
        pytest.param((entered(Failed()), entered(Paused())), S.PAUSED, "Paused", id="paused before failed"),
        pytest.param(
            {entered(Paused()), entered(Cancelled()), entered(Failed())},
            S.CANCELLED,
            "Cancelled",
            id="cancelled before all",
        ),
        pytest.param([entered(State(S.CRASHED))], S.FAILED, "Failed", id="crashed counts as failed"),
        pytest.param([entered(State(S.PENDING, "NotReady"))], S.FAILED, "Failed", id="not ready counts as failed"),
    ],
)
@pytest.mark.parametrize("plan", [TASK, FLOW], ids=["task", "flow"])
def test_final_state_rules(plan: Plan, value: Any, type_: StateType, name: str) -> None:
    """What a run returns decides its state: Prefect's rules, for tasks and flows alike."""
    _, ending = live(plan, answers(Returned(value)))
    assert (ending.state.type, ending.state.name) == (type_, name)


def test_a_state_of_ones_own_is_copied() -> None:
    """A returned state may be a constant of the module: the engine never changes it."""
    mine = Completed(message="done", data=5)
    _, ending = live(TASK, answers(Returned(mine)))
    assert ending.state is not mine
    assert (ending.state.data, ending.state.message) == (5, "done")


def test_a_flow_that_returns_one_state_answers_with_its_value_or_exception() -> None:
    """`return Completed(data=5)` gives 5; `return Failed(message=...)` raises FlowRunFailed."""
    assert live(FLOW, answers(Returned(Completed(data=5))))[1].value == 5
    error = live(FLOW, answers(Returned(Failed(message="no stock"))))[1].error
    assert isinstance(error, FlowRunFailed)
    assert str(error) == "no stock"


def test_a_task_that_returns_a_failed_state_is_tried_again() -> None:
    """A returned Failed counts as a failure; when retries are spent, a plain call answers with that state."""
    mine = Failed(message="nope")
    effects, ending = live(Plan("Task run", retries=2), answers(Returned(mine)))
    assert sum(effect is Step.CALL for effect in effects) == 3
    assert ending.value is ending.state
    assert ending.error is None


EVENTS = st.one_of(
    st.integers().map(Returned),
    st.sampled_from([Completed(), Failed(), Cancelled(), Paused()]).map(lambda state: Returned(state.copy())),
    st.just(ValueError("v")).map(Raised),
    st.floats(0.1, 5).map(TimedOut),
)
PLANS = st.builds(
    Plan,
    noun=st.sampled_from(["Flow run", "Task run"]),
    retries=st.integers(0, 4),
    delays=st.lists(st.floats(0, 10), max_size=3).map(tuple),
    jitter_factor=st.floats(0, 2),
    asks=st.booleans(),
    is_flow=st.booleans(),
    hooked=st.frozensets(st.sampled_from([S.RUNNING, *sorted(TERMINAL)])),
)


@given(
    plan=PLANS,
    events=st.lists(EVENTS, min_size=1, max_size=6),
    stop_at=st.integers(1, 30),
    stop=st.sampled_from([None, KeyboardInterrupt(), Ended(cancelled=True), SystemExit()]),
    retry=st.booleans(),
)
def test_every_life_keeps_the_laws(
    plan: Plan, events: list[Event], stop_at: int, stop: BaseException | None, retry: bool
) -> None:
    """Whatever happens, when: states follow the table, tries are bounded, the end is entered once, last, and reported."""
    try:
        effects, ending = live(plan, answers(*events, retry=retry), stop_at, stop)
    except (KeyboardInterrupt, SystemExit, Ended):
        return  # thrown in while the end was on its way out already: it goes through
    states = [effect.state for effect in effects if isinstance(effect, Enter)]
    current: StateType | None = None
    for state in states:
        assert may_follow(current, state.type)
        current = state.type
    assert states[-1] is ending.state
    assert sum(effect is Step.CALL for effect in effects) <= plan.retries + 1
    assert all(state.type not in TERMINAL for state in states[:-1])
    reports = [effect.state for effect in effects if isinstance(effect, Report)]
    assert (not plan.is_flow and not reports) or reports[-1] is ending.state
    hooked = [effect.state for effect in effects if isinstance(effect, Hooks)]
    assert all(state.type in plan.hooked for state in hooked)
    if ending.state.type in plan.hooked:
        assert hooked[-1] is ending.state
