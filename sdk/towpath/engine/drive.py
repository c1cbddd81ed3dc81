"""Driving a run: the core says what is to happen, an execution makes it happen, and two loops stand between them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from towpath.context import enter, leave
from towpath.engine import core
from towpath.engine.clock import SYSTEM
from towpath.engine.effects import Ask, Effect, Ending, Enter, Event, Hooks, Report, Settle, Sleep, Step
from towpath.engine.execution import Execution
from towpath.engine.flow_execution import flow_execution
from towpath.engine.ports import Surroundings
from towpath.engine.steps import settled, settled_async
from towpath.history.wishes import endable
from towpath.retries import delays_of

if TYPE_CHECKING:
    from towpath.engine.interrupts import Interrupt
    from towpath.engine.ports import Clock, Launcher, Recorder, Reporter, Screen
    from towpath.flows import Flow
    from towpath.runs import FlowRun
    from towpath.states import State
    from towpath.stores import StorageLike


def run_flow(
    flow: Flow[..., Any],
    parameters: Mapping[str, Any],
    *,
    run: FlowRun,
    reporter: Reporter | None = None,
    launcher: Launcher | None = None,
    clock: Clock | None = None,
    retries: int | None = None,
    timeout_seconds: float | None = None,
    interrupt: Interrupt | None = None,
    recorder: Recorder | None = None,
    screen: Screen | None = None,
    result_storage: StorageLike | None = None,
    keeps_result: bool = True,
) -> State[Any]:
    """Run a flow to its end in this thread, be it sync or async, and give the final state.

    Whatever user code raises, KeyboardInterrupt and SystemExit included, ends up in the state's `data`; only what the
    reporter raises comes out.

    Args:
        flow: what to run.
        parameters: values by name, as they travelled.
        run: its facts, kept up to date; a name that it brings is kept.
        reporter: told of each state before it counts.
        launcher: runs flows called in the flow elsewhere; None: in this process.
        clock: the real one by default.
        retries: instead of the flow's own.
        timeout_seconds: instead of the flow's own.
        interrupt: ends the run from outside.
        recorder: keeps the record of this machine; None: somebody else does.
        screen: shows the run to a person; None: nobody watches.
        result_storage: where results are kept, instead of what the flow says.
        keeps_result: whether the flow's own result is for this process to keep; a reporter may do so.
    """
    surroundings = Surroundings(clock or SYSTEM.clock, SYSTEM.dice, launcher, recorder, screen)
    execution = flow_execution(
        flow,
        run,
        lambda *_: flow.signature.bind_names(parameters),
        surroundings,
        reporter,
        result_storage=result_storage,
        keeps_result=keeps_result,
    )
    if retries is not None:
        delays = delays_of(flow.retry_delay_seconds, retries)
        execution.plan = replace(execution.plan, retries=retries, delays=delays)
    if timeout_seconds is not None:
        execution.timeout_seconds = timeout_seconds
    execution.stretch = interrupt
    with nullcontext() if interrupt is None else endable(run.id, interrupt.cancel):
        if flow.is_async:
            from towpath.engine.loops import run_anywhere

            return run_anywhere(drive_async(execution)).state
        return drive(execution).state


def drive(run: Execution) -> Ending:
    """Drive a run in this thread until it has ended."""
    life = core.life(run.plan, run.surroundings.dice)
    event: Event = None
    error: BaseException | None = None
    token = enter(run.context)
    try:
        while True:
            try:
                effect = life.send(event) if error is None else life.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            event = error = None
            if isinstance(effect, Enter):
                run.enter(effect)
            elif isinstance(effect, Report):
                run.report(effect.state)
            else:
                try:
                    if run.stretch is None or isinstance(effect, Hooks):
                        event = _do(run, effect)
                    else:
                        with run.stretch:
                            event = _do(run, effect)
                except BaseException as caught:
                    error = run.cause(caught)
    finally:
        leave(token)


async def drive_async(run: Execution) -> Ending:
    """Drive a run in this event loop until it has ended."""
    life = core.life(run.plan, run.surroundings.dice)
    event: Event = None
    error: BaseException | None = None
    if run.stretch is not None:
        run.stretch.in_loop()
    token = enter(run.context)
    try:
        while True:
            try:
                effect = life.send(event) if error is None else life.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            event = error = None
            if isinstance(effect, Enter):
                run.enter(effect)
            elif isinstance(effect, Report):
                run.report(effect.state)
            else:
                try:
                    if run.stretch is None or isinstance(effect, Hooks):
                        event = await _do_async(run, effect)
                    else:
                        with run.stretch:
                            event = await _do_async(run, effect)
                except BaseException as caught:
                    error = run.cause(caught)
    finally:
        leave(token)


def _do(run: Execution, effect: Effect) -> Event:
    match effect:
        case Step.CALL:
            return run.call()
        case Step.PREPARE:
            return run.prepare()
        case Step.ADMIT:
            return run.admit()
        case Hooks(state):
            settled(run.hooks(state))
        case Ask(state):
            return settled(run.ask(state))
        case Sleep(seconds):
            run.surroundings.clock.sleep(seconds)
        case Settle():
            return run.settle(effect)
    return None


async def _do_async(run: Execution, effect: Effect) -> Event:
    match effect:
        case Step.CALL:
            return await run.call_async()
        case Step.PREPARE:
            return await run.prepare_async()
        case Step.ADMIT:
            return await run.admit_async()
        case Hooks(state):
            await settled_async(run.hooks(state))
        case Ask(state):
            return await settled_async(run.ask(state))
        case Sleep(seconds):
            await run.surroundings.clock.sleep_async(seconds)
        case Settle():
            return await run.settle_async(effect)
    return None
