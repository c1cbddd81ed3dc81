"""The life of a run as a pure generator: effects go out, events come in. One for flows and tasks, sync and async.

    life = core.life(plan, dice)
    effect = next(life)                  # Prepare
    effect = life.send(READY)            # Enter(RUNNING)
    effect = life.send(None)             # Call
    effect = life.send(Returned(42))     # …
    life.throw(KeyboardInterrupt())      # whatever ends the work from outside is thrown in, at any effect
    StopIteration.value                  # the Ending

It reads no clock, throws no dice of its own and does no I/O, so that every rule of a run's life can be tested as a law.
What fails in a `Report` is not thrown in: a run that cannot tell how it goes is left where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from towpath.engine.effects import (
    READY,
    Answer,
    Ask,
    Concluded,
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
    Suspended,
    TimedOut,
)
from towpath.errors import FlowSuspended, RunTimeout, UpstreamNotReady
from towpath.retries import delay_before, jittered
from towpath.states import AWAITING_RETRY, NOT_READY, SUSPENDED, State, StateType, aggregate, states_in

_S = StateType
Life: TypeAlias = Generator[Effect, Event, Ending]


def life(plan: Plan, dice: Callable[[], float]) -> Life:
    """Live a run's life.

    Args:
        plan: what is run.
        dice: gives a number from 0 up to 1, for jitter.
    """
    try:
        event = yield Step.PREPARE
        ending = (yield from _tries(plan, dice)) if event is READY else unready(plan, event)
    except GeneratorExit:
        raise
    except BaseException as error:
        ending = ended_from_outside(plan, error)
        if plan.is_flow:
            yield Settle(How.INTERRUPT, ending.state.message or "", ending.state.type is _S.CANCELLED)
    yield Enter(ending.state)
    hasty: BaseException | None = None
    if ending.state.type in plan.hooked:
        try:
            yield Hooks(ending.state)
        except (KeyboardInterrupt, SystemExit) as error:
            hasty = error
    if plan.is_flow:
        yield Report(ending.state)
    if hasty is not None:
        raise hasty
    return ending


def _tries(plan: Plan, dice: Callable[[], float]) -> Generator[Effect, Event, Ending]:
    retry = 0
    while True:
        if plan.is_limited and (event := (yield Step.ADMIT)) is not READY:
            return unready(plan, event)
        running: State[Any] = State(_S.RUNNING, "Retrying" if retry else "Running")
        yield Enter(running)
        if plan.is_flow:
            yield Report(running)
        if _S.RUNNING in plan.hooked:
            yield Hooks(running)
        try:
            event = yield Step.CALL
        except FlowSuspended as error:
            event = Suspended(error)
        ending = end_of(plan, event)
        if plan.is_flow:
            left = yield _settling(event, ending)
            if isinstance(left, Suspended) and isinstance(event, (Returned, Concluded)):
                ending = end_of(plan, left)  # a part of it waits for somebody, so all of it does
        unfit = isinstance(event, Raised) and event.unfit
        if ending.state.type is not _S.FAILED or retry >= plan.retries or unfit:
            return ending
        if plan.asks:
            answer = yield Ask(ending.state)
            if not (isinstance(answer, Answer) and answer.retry):
                return ending
        retry += 1
        delay = jittered(delay_before(plan.delays, retry), plan.jitter_factor, dice)
        when = f"in {delay:.3g} s" if delay else "now"
        message = f"{(ending.state.message or 'The run failed').rstrip('.')}. Retry {retry}/{plan.retries} {when}."
        waiting: State[Any] = State(_S.SCHEDULED, AWAITING_RETRY, message)
        yield Enter(waiting, due_in_seconds=delay)
        if plan.is_flow:
            yield Report(waiting)
        if delay:
            yield Sleep(delay)


def unready(plan: Plan, event: Event) -> Ending:
    """End a run whose preparation did not succeed; no user code has run."""
    if isinstance(event, NotReady):
        return Ending(State(_S.PENDING, NOT_READY, event.message), UpstreamNotReady(event.message))
    assert isinstance(event, Raised), f"{event!r} is no answer to Prepare"
    message = str(event.error) if event.unfit else f"{plan.noun} could not start: {told(event.error)}"
    return Ending(State(_S.FAILED, message=message, data=event.error), event.error)


def end_of(plan: Plan, event: Event) -> Ending:
    """Tell how a run ends whose code returned, raised, or ran out of time."""
    match event:
        case Returned(value):
            return _end_of_value(plan, value)
        case Concluded(ending):
            return ending
        case Raised(error):
            name = "TimedOut" if isinstance(error, TimeoutError) else None
            message = f"{plan.noun} encountered an exception: {told(error)}"
            return Ending(State(_S.FAILED, name, message, error), error)
        case TimedOut(seconds, stuck):
            message = f"{plan.noun} exceeded its timeout of {seconds:g} s."
            if stuck:
                message += " It is still in a call that Python cannot interrupt, and ends when that call returns."
            late = RunTimeout(message)
            return Ending(State(_S.FAILED, "TimedOut", message, late), late)
        case Suspended(suspended):
            return Ending(State(_S.PAUSED, SUSPENDED, str(suspended), suspended), suspended, outside=True)
    raise AssertionError(f"{event!r} is no answer to Call")


def ended_from_outside(plan: Plan, error: BaseException) -> Ending:
    """End a run whose work was ended by something other than its own code: it crashed, unless that was asked for."""
    match error:
        case Lost(message=message):
            crashed: State[Any] = State(_S.CRASHED, message=message)
            return Ending(crashed, crashed.error())
        case Ended(message=message, cancelled=cancelled):
            type_ = _S.CANCELLED if cancelled else _S.CRASHED
        case KeyboardInterrupt():
            type_, message = _S.CRASHED, f"{plan.noun} was interrupted from the keyboard."
        case SystemExit(code=code):
            type_, message = (
                _S.CRASHED,
                f"{plan.noun} was ended by a call of sys.exit({'' if code is None else repr(code)}).",
            )
        case _:
            type_, message = _S.CRASHED, f"{plan.noun} was ended by {told(error)}"
    return Ending(State(type_, message=message, data=error), error, outside=True)


def told(error: BaseException) -> str:
    """Name an exception in a sentence: `ValueError: no such row`."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _end_of_value(plan: Plan, value: Any) -> Ending:
    """Apply the final-state rules to what a run returned."""
    if isinstance(value, State):
        state = value.copy() if value.timestamp is None else aggregate([value], value)
        if plan.is_flow:
            return _ending_of_flow(state)
        return Ending(state, value=state)
    if members := states_in(value):
        return Ending(aggregate(members, value), value=value)
    return Ending(State(_S.COMPLETED, data=value), value=value)


def _ending_of_flow(state: State[Any]) -> Ending:
    """A flow that returned one state answers a plain call with that state's value, or its exception."""
    if state.type is _S.COMPLETED:
        return Ending(state, value=state.data)
    if not state.is_final():
        return Ending(state, value=state)
    if state.data is None:
        state.data = state.error()
    return Ending(state, state.error())


def _settling(event: Event, ending: Ending) -> Settle:
    if isinstance(event, TimedOut):
        return Settle(How.INTERRUPT, ending.state.message or "")
    return Settle(How.FINISH if isinstance(event, (Returned, Concluded, Suspended)) else How.DROP)
