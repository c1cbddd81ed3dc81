"""What the core makes of a run that is unwound by a suspension."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.engine.core import life
from towpath.engine.effects import (
    READY,
    Concluded,
    Effect,
    Ended,
    Ending,
    Enter,
    Event,
    How,
    Plan,
    Raised,
    Report,
    Returned,
    Settle,
    Step,
    Suspended,
)
from towpath.errors import FlowSuspended
from towpath.states import Completed, StateType

FLOW = Plan("Flow run", retries=2, is_flow=True)
TASK = Plan("Task run", retries=2)
SUSPENSION = FlowSuspended("To resume: towpath runs resume witty-otter.")


def live(plan: Plan, call: Callable[[], Event], left: Event = None) -> tuple[list[Effect], Ending]:
    """Drive a life: `call` is user code, `left` what settling comes upon."""
    run = life(plan, lambda: 0.5)
    effects = [next(run)]
    try:
        while True:
            effect = effects[-1]
            if effect is Step.CALL:
                try:
                    event = call()
                except BaseException as error:
                    effects.append(run.throw(error))
                    continue
                effects.append(run.send(event))
            else:
                event = READY if effect is Step.PREPARE else left if isinstance(effect, Settle) else None
                effects.append(run.send(event))
    except StopIteration as end:
        return effects, end.value


def suspend() -> Event:
    """Be user code that suspends itself."""
    raise SUSPENSION


@pytest.mark.parametrize("plan", [FLOW, TASK], ids=["flow", "task"])
def test_a_suspension_ends_the_try_and_is_no_failure(plan: Plan) -> None:
    """It is PAUSED, not tried again, and goes on to whoever called it."""
    effects, ending = live(plan, suspend)
    assert (ending.state.type, ending.state.name) == (StateType.PAUSED, "Suspended")
    assert ending.error is SUSPENSION
    assert ending.outside
    assert effects.count(Step.CALL) == 1
    assert isinstance(effects[-1], Report if plan.is_flow else Enter)


def test_what_was_begun_before_is_waited_for() -> None:
    """Submitted tasks come to their own end."""
    effects, _ = live(FLOW, suspend)
    assert [effect.how for effect in effects if isinstance(effect, Settle)] == [How.FINISH]


@given(
    st.sampled_from([Returned(1), Concluded(Ending(Completed())), Raised(LookupError("no"))]),
    st.sampled_from([None, Suspended(SUSPENSION)]),
)
def test_a_flow_is_suspended_with_what_it_has_begun(event: Event, left: Event) -> None:
    """If it returned; one that failed has failed."""
    _, ending = live(Plan("Flow run", is_flow=True), lambda: event, left)
    if isinstance(event, Raised):
        assert ending.state.type is StateType.FAILED
    else:
        assert ending.state.type is (StateType.COMPLETED if left is None else StateType.PAUSED)


def test_an_end_from_outside_goes_over_a_suspension() -> None:
    """Who cancels a run while what it has begun is waited for, cancels it."""
    run = life(FLOW, lambda: 0.5)
    effect = next(run)
    while effect is not Step.CALL:
        effect = run.send(READY if effect is Step.PREPARE else None)
    effect = run.throw(SUSPENSION)
    assert isinstance(effect, Settle)
    effect = run.throw(Ended("Enough.", cancelled=True))
    assert effect == Settle(How.INTERRUPT, "Enough.", cancelled=True)
    entered = run.send(None)
    assert isinstance(entered, Enter)
    assert entered.state.type is StateType.CANCELLED
