"""What becomes of a call of a flow or task: run here and now, started beside the caller, or launched elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator
from typing import TYPE_CHECKING, Any, cast

from towpath import resolve, settings
from towpath.context import RunContext, current, current_tags, current_transaction
from towpath.engine.clock import SYSTEM
from towpath.engine.drive import drive, drive_async
from towpath.engine.effects import Ended, Ending
from towpath.engine.flow_execution import flow_execution
from towpath.engine.reports import authors_part
from towpath.engine.task_execution import TaskExecution
from towpath.engine.terminating import heeding_others
from towpath.errors import FlowRunCancelled, FlowSuspended, NestingTooDeep
from towpath.futures import Future, after
from towpath.history.wishes import WISHES
from towpath.origins import origin_of
from towpath.runs import FlowRun

if TYPE_CHECKING:
    from towpath.definitions import Definition
    from towpath.engine.execution import Execution
    from towpath.engine.submitted import Submitted
    from towpath.flows import Flow
    from towpath.tasks import Task


def call(definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a flow or task here and now; for an async one, give what does so when it is awaited."""
    if WISHES and (later := _heeded(definition, args, kwargs)) is not None:
        return later
    return_state, wait_for = _options(kwargs)
    outer = current() if definition.is_flow else None
    if definition.is_flow and _launches(definition, outer):
        from towpath.engine import launching

        flow = cast("Flow[..., Any]", definition)
        if definition.is_async:
            return launching.call_async(flow, args, kwargs, wait_for, return_state=return_state)
        future = launching.launch(flow, args, kwargs, wait_for, outer)
        return future.wait() if return_state else future.result()
    run = _execution(definition, args, kwargs, wait_for)
    is_top = definition.is_flow and outer is None
    if not definition.is_async:
        return _answer(_drive_top(run) if is_top else drive(run), return_state=return_state)
    coroutine = _call_async(run, return_state=return_state, is_top=is_top)
    return _Items(coroutine) if definition.is_generator and not return_state else coroutine


def submit(definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Start a flow or task beside the caller, and give a future, or the final state if that is asked for."""
    if WISHES:
        _heeded(definition, args, kwargs)
    return_state, wait_for = _options(kwargs)
    future: Future[Any]
    if definition.is_flow and _launches(definition, outer := current()):
        from towpath.engine import launching

        future = launching.launch(cast("Flow[..., Any]", definition), args, kwargs, wait_for, outer)
    else:
        if not definition.is_flow:
            cast("Task[..., Any]", definition).expect_fit(args, kwargs)
        from towpath.engine.submitted import Submitted

        future = _begin(Submitted(_execution(definition, args, kwargs, wait_for)))
    return future.wait() if return_state else future


def nested(flow: Flow[..., Any], outer: RunContext | None) -> FlowRun:
    """Make the facts of a flow run that begins where the caller stands.

    Raises:
        NestingTooDeep: there are too many runs above it.
    """
    parent = outer.flow_run if outer is not None else None
    if parent is None:
        return FlowRun(flow.name, flow_version=flow.version, tags=current_tags(), origin=origin_of(flow))
    if parent.depth + 1 > (deepest := settings.max_depth()):
        raise NestingTooDeep(
            f"Flow {flow.name!r} is called {parent.depth + 1} levels below the flow at the top; at most {deepest} are "
            "allowed. If that is no endless recursion, set TOWPATH_MAX_DEPTH."
        )
    run = FlowRun(
        flow.name,
        flow_version=flow.version,
        tags=current_tags(),
        attempt=parent.attempt,
        depth=parent.depth + 1,
        parent_id=parent.id,
        parent_name=parent.name,
        root_id=parent.root_id,
        identity=_identity(flow, outer, parent),
        deployment=parent.deployment,
    )
    if parent.attempt > 1 and outer is not None and outer.scope is not None and outer.scope.launcher is None:
        from towpath.pausing.here import recall

        recall(run)
    return run


def _heeded(definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wait, if the run that calls was asked to; if that has to be awaited, give what does so and calls then."""
    from towpath.pausing import heeding

    if not heeding.heed(definition):
        return None
    later = heeding.call_later(definition, args, kwargs)
    return _Items(later) if definition.is_generator else later


def _identity(flow: Flow[..., Any], outer: RunContext | None, parent: FlowRun) -> str:
    """Name a call by the run that makes it and its number there: the same when that run is tried again."""
    if outer is None or outer.scope is None:
        return ""
    return f"{parent.identity}/{flow.name}-{outer.scope.number(f'flow {flow.name}')}"


def task_execution(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, *, number: int | None = None
) -> TaskExecution:
    """Give the run of a task that is called where the caller stands; one that keeps its result, if that is wanted.

    Args:
        task: what is called.
        args: with what.
        kwargs: with what, by name.
        wait_for: what has to end before.
        number: which call of the task it is, where that has been counted; None: the next.
    """
    outer = current()
    persists = task.persists is None and (settings.persist_by_default() if outer is None else outer.persists)
    if persists or task.is_kept or current_transaction() is not None:
        from towpath.engine.kept_task import KeptTaskExecution

        return KeptTaskExecution(task, args, kwargs, wait_for, number=number)
    return TaskExecution(task, args, kwargs, wait_for, number=number)


def _options(kwargs: dict[str, Any]) -> tuple[bool, Any]:
    """Take the options of the call itself out of its keyword arguments."""
    if not kwargs:
        return False, None
    return bool(kwargs.pop("return_state", False)), kwargs.pop("wait_for", None)


def _launches(definition: Definition[..., Any], outer: RunContext | None) -> bool:
    flow = cast("Flow[..., Any]", definition)
    return not flow.inline and outer is not None and outer.scope is not None and outer.scope.launcher is not None


def _execution(
    definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Execution:
    outer = current()
    if outer is not None and outer.rehearsal is not None:
        return outer.rehearsal.execution(definition, args, kwargs, wait_for)
    if not definition.is_flow:
        return task_execution(cast("Task[..., Any]", definition), args, kwargs, wait_for)
    flow = cast("Flow[..., Any]", definition)
    surroundings = SYSTEM if outer is None or outer.scope is None else outer.scope.surroundings
    run = flow_execution(flow, nested(flow, outer), flow.signature.bind, surroundings, None)
    run.args, run.kwargs, run.wait_for = args, kwargs, wait_for
    return run


def _begin(work: Submitted) -> Future[Any]:
    run = work.execution
    work.scope.add(work.future, work)
    if run.wait_for is None and not resolve.has_futures(run.args, run.kwargs):
        work.start()
    else:
        after(resolve.pending(run.args, run.kwargs, run.wait_for), work.start)
    return work.future


def _answer(ending: Ending, *, return_state: bool) -> Any:
    if isinstance(ending.error, Ended) and ending.error.cancelled and current() is None:
        if return_state:
            return ending.state
        raise FlowRunCancelled(ending.error.message)  # nothing is to be unwound any more: what is left goes on
    if ending.error is not None and (not return_state or (ending.outside and not _ends_here(ending.error))):
        raise ending.error.with_traceback(authors_part(ending.error.__traceback__))
    return ending.state if return_state else ending.value


def _ends_here(error: BaseException) -> bool:
    """Tell whether it is of no concern to anybody above: nobody has called the flow run that is suspended."""
    return isinstance(error, FlowSuspended) and current() is None


async def _call_async(run: Execution, *, return_state: bool, is_top: bool) -> Any:
    return _answer(await (_drive_top_async(run) if is_top else drive_async(run)), return_state=return_state)


def _drive_top(run: Execution) -> Ending:
    with heeding_others(run):
        return drive(run)


async def _drive_top_async(run: Execution) -> Ending:
    with heeding_others(run):
        return await drive_async(run)


class _Items(Coroutine[Any, Any, list[Any]]):
    """A call of an async generator: awaited it gives a list, and `async for` goes through that."""

    def __init__(self, coroutine: Coroutine[Any, Any, list[Any]]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        return self._coroutine.__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in await self._coroutine:
            yield item

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()
