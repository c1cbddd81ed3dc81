"""What the core's effects mean for a task run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from towpath import resolve
from towpath.context import RunContext, current, current_tags
from towpath.engine.effects import READY, Enter, Event, NotReady, Raised
from towpath.engine.execution import Execution, plan_of, prints_logged, rendered
from towpath.engine.scope import OUTSIDE
from towpath.futures import Future
from towpath.runs import TaskRun
from towpath.states import TERMINAL, StateType

if TYPE_CHECKING:
    from towpath.concurrency.tags import Gate
    from towpath.tasks import Task

Place: TypeAlias = "Callable[[TaskExecution], Any]"
"""Calls a task's function somewhere, waits for it, gives its value or raises; sets `unfit` if that was impossible."""


class TaskExecution(Execution):
    """A task run."""

    __slots__ = ("gate", "place")
    definition: Task[..., Any]
    run: TaskRun
    gate: Gate | None
    """Where it waits for slots of the limits of its tags; None if there are none."""
    place: Place | None
    """Where user code is called; None: where the run is driven."""

    def __init__(
        self,
        task: Task[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        *,
        number: int | None = None,
    ) -> None:
        outer = current()
        scope = OUTSIDE if outer is None or outer.scope is None else outer.scope
        flow_run = None if outer is None else outer.flow_run
        self.definition = task
        self.plan = plan_of(task, is_flow=False)
        self.args, self.kwargs, self.wait_for = args, kwargs, wait_for
        self.surroundings = scope.surroundings
        self.stretch = None
        self.timeout_seconds = task.timeout_seconds
        self.unfit = False
        tags = current_tags() | task.tags if task.tags else current_tags()
        self.place = self.gate = None
        number = scope.number(task.name) if number is None else number
        self.run = TaskRun(task.name, number, flow_run, tags, partial(bound, task, args, kwargs))
        self.context = RunContext(
            flow=None if outer is None else outer.flow,
            flow_run=flow_run,
            scope=scope,
            log_prints=prints_logged(task.log_prints, outer),
            task=task,
            task_run=self.run,
            results=None if outer is None else outer.results,
        )
        if tags:
            self.tag(tags)
        if flow_run is not None:
            flow_run.tasks.begun()

    def tag(self, tags: frozenset[str]) -> None:
        """Say which tags the run has, before it begins."""
        from towpath.concurrency.tags import gate_of

        self.run.tags = tags
        self.gate = gate_of(self, tags)
        if self.gate is not None:
            self.plan = replace(self.plan, is_limited=True)

    def prepare(self) -> Event:
        """Resolve futures among the arguments."""
        if self.wait_for is not None or resolve.has_futures(self.args, self.kwargs):
            resolved = resolve.resolve_call(self.args, self.kwargs, self.wait_for)
            if isinstance(resolved, NotReady):
                return resolved
            self.args, self.kwargs = resolved
            self.run.bind(partial(bound, self.definition, self.args, self.kwargs))
        if self.definition.task_run_name is not None:
            try:
                self.run.name = rendered(self.definition.task_run_name, self.run.parameters, self.definition.fn)
            except Exception as error:
                return Raised(error)
        return READY

    def admit(self) -> Event:
        """Wait for slots of the limits of the run's tags, in this thread."""
        return READY if self.gate is None else self.gate.admit()

    async def admit_async(self) -> Event:
        """Wait for slots of the limits of the run's tags, in this event loop."""
        return READY if self.gate is None else await self.gate.admit_async()

    def enter(self, effect: Enter) -> None:
        """Put the run into a state, and count its end."""
        if self.gate is None:
            self._enter(effect)
        else:
            self.gate.enter(effect.state, partial(self._enter, effect))

    def _enter(self, effect: Enter) -> None:
        super().enter(effect)
        type_ = effect.state.type
        if self.run.flow_run is not None and (type_ in TERMINAL or type_ is StateType.PENDING):
            if type_ is StateType.COMPLETED:
                self.run.flow_run.tasks.ended(completed=True)
            else:
                self.run.flow_run.tasks.ended(completed=False, name=self.run.name)

    def release(self) -> None:
        """Let go of the arguments."""
        super().release()
        self.run.bind(None)

    def _value(self) -> Any:
        return super()._value() if self.place is None else self.place(self)

    def _may_hold_runs(self, value: Any) -> bool:
        if isinstance(value, (list, tuple, set, frozenset)):
            value = next(iter(value), None)
        return isinstance(value, Future)


def bound(task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a task's arguments by name, defaults included; nothing if they do not fit."""
    try:
        arguments = task.signature.bind(*args, **kwargs)
    except TypeError:
        return {}
    arguments.apply_defaults()
    return arguments.arguments
