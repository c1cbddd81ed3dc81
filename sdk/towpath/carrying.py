"""Functions that take the run they were made in along, into threads and processes that the author starts."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Generic, ParamSpec, TypeVar

from towpath.context import RunContext, current, enter
from towpath.runs import FlowRun, TaskRun

P = ParamSpec("P")
R = TypeVar("R")

#: What another process knows of a flow run.
_FACTS = ("flow_name", "name", "id", "flow_version", "parameters", "tags", "attempt", "deployment", "scheduled_time")


class Carried(Generic[P, R]):
    """A function that runs where it was made, wherever it is called; in another process, with what can travel.

    Args:
        fn: the function.
        context: where it runs; here by default.
    """

    __slots__ = ("_context", "_fn")

    def __init__(self, fn: Callable[P, R], context: Context | None = None) -> None:
        self._fn = fn
        self._context = copy_context() if context is None else context

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._context.copy().run(self._fn, *args, **kwargs)  # a copy, for several may call at a time

    def __reduce__(self) -> tuple[Any, ...]:
        run = self._context.run(current)
        flow_run, task_run = (None, None) if run is None else (run.flow_run, run.task_run)
        of_flow = None if flow_run is None else {name: getattr(flow_run, name) for name in _FACTS}
        of_task = None
        if task_run is not None:
            of_task = task_run.task_name, task_run.dynamic_key, task_run.tags, task_run.id, task_run.name
        return _arrived, (self._fn, of_flow, of_task)


def _arrived(fn: Callable[..., Any], of_flow: dict[str, Any] | None, of_task: tuple[Any, ...] | None) -> Any:
    context = Context()
    if of_flow is None and of_task is None:
        return Carried(fn, context)
    flow_run = None if of_flow is None else FlowRun(**of_flow)
    task_run = None
    if of_task is not None:
        task_name, number, tags, run_id, name = of_task
        task_run = TaskRun(task_name, number, flow_run, tags, dict)
        task_run.identify(run_id)
        task_run.name = name
    context.run(enter, RunContext(flow=None, flow_run=flow_run, scope=None, log_prints=False, task_run=task_run))
    return Carried(fn, context)
