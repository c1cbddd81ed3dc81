"""A flow called in a flow that runs elsewhere: bound and validated here, run by the launcher."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from towpath import resolve
from towpath.context import RunContext, current, current_tags
from towpath.engine.calls import nested
from towpath.engine.effects import NotReady
from towpath.engine.ports import FlowCall
from towpath.engine.threads import THREADS
from towpath.futures import Future, after, arrive
from towpath.states import NOT_READY, State, StateType

if TYPE_CHECKING:
    from towpath.flows import Flow


def launch(
    flow: Flow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, outer: RunContext | None
) -> Future[Any]:
    """Have a flow run elsewhere, once what it waits for has ended.

    Parameters that do not fit, and what the launcher raises, are the future's exception.
    """
    assert outer is not None
    assert outer.scope is not None
    nested(flow, outer)
    waiting = resolve.pending(args, kwargs, wait_for)
    if not waiting:
        future = _launch(flow, args, kwargs, wait_for)
    else:
        future = Future()
        context = copy_context()

        def relay() -> None:
            context.run(_launch, flow, args, kwargs, wait_for).add_done_callback(pass_on)

        def pass_on(begun: Future[Any]) -> None:
            future.complete(begun.state)

        after(waiting, lambda: THREADS.start(relay))
    outer.scope.add(future, None)
    return future


async def call_async(
    flow: Flow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, *, return_state: bool
) -> Any:
    """Have a flow run elsewhere, and wait for it in an event loop."""
    import asyncio

    await arrive(resolve.pending(args, kwargs, wait_for))
    future = await asyncio.to_thread(launch, flow, args, kwargs, wait_for, current())
    await arrive([future])
    return future.state if return_state else future.result()


def _launch(flow: Flow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> Future[Any]:
    outer = current()
    assert outer is not None
    assert outer.flow_run is not None
    assert outer.scope is not None
    launcher = outer.scope.surroundings.launcher
    assert launcher is not None
    try:
        resolved = resolve.resolve_call(args, kwargs, wait_for)
        if isinstance(resolved, NotReady):
            return _ended(State(StateType.PENDING, NOT_READY, resolved.message))
        parameters = flow.signature.bind(*resolved)
        if flow.should_validate_parameters:
            parameters = flow.signature.validate(parameters)
        return launcher.launch(FlowCall(flow, parameters, outer.flow_run, current_tags()))
    except Exception as error:
        return _ended(State(StateType.FAILED, message=str(error), data=error))


def _ended(state: State[Any]) -> Future[Any]:
    future: Future[Any] = Future()
    future.complete(state)
    return future
