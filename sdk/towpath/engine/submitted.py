"""A run that goes on in a thread of its own, beside the one that started it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from towpath import resolve
from towpath.context import current
from towpath.engine.core import told
from towpath.engine.drive import drive, drive_async
from towpath.engine.effects import Ended, Enter, NotReady
from towpath.engine.interrupts import CANCELLED, Stretch
from towpath.engine.scope import OUTSIDE, Scope
from towpath.engine.threads import THREADS, here
from towpath.futures import Future
from towpath.history.wishes import endable
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.engine.execution import Execution
    from towpath.engine.task_execution import Place, TaskExecution
    from towpath.tasks import Task


class Submitted:
    """A submitted task or flow: call it in a thread to run it."""

    __slots__ = ("_begun", "_context", "_is_driven", "execution", "future", "scope")

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        execution.stretch = Stretch()
        self.future: Future[Any] = Future(execution.run)
        outer = current()
        self.scope: Scope = OUTSIDE if outer is None or outer.scope is None else outer.scope
        self._begun = threading.Lock()
        self._context = copy_context()
        self._is_driven = not execution.definition.is_async  # else awaited

    @property
    def task(self) -> Task[..., Any]:
        """What is called."""
        return cast("Task[..., Any]", self.execution.definition)

    @property
    def args(self) -> tuple[Any, ...]:
        """With what."""
        return self.execution.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """With what, by name."""
        return self.execution.kwargs

    def take_to(self, place: Place) -> None:
        """Have the function called there, while the run itself is driven here."""
        cast("TaskExecution", self.execution).place = place
        self._is_driven = True

    def start(self) -> None:
        """Have it run in a thread: a task in a place of the task runner, a flow in none."""
        if self.execution.definition.is_flow:
            THREADS.start(self)
            return
        gate = cast("TaskExecution", self.execution).gate
        if gate is None or self.scope.is_remote or self._has_no_use():
            self.scope.submit(self)
        else:
            gate.queue(partial(self.scope.submit, self))

    def _has_no_use(self) -> bool:
        """Tell whether it will end before it begins, as a run that it needs did not complete."""
        execution = self.execution
        return isinstance(resolve.resolve_call(execution.args, execution.kwargs, execution.wait_for), NotReady)

    def drop(self, reason: str) -> bool:
        """See to it that a run which has not begun never does; tell whether that was so."""
        if not self._begun.acquire(blocking=False):
            return False
        state: State[Any] = State(StateType.CANCELLED, message=reason)
        self.execution.enter(Enter(state))
        self.future.complete(state)
        return True

    def break_off(self, error: BaseException) -> None:
        """End it where it is."""
        assert self.execution.stretch is not None
        self.execution.stretch.break_off(error)

    def __call__(self) -> None:
        if self.scope.closed:
            self.drop(self.scope.closed)
        if not self._begun.acquire(blocking=False):
            return
        state: State[Any]
        try:
            state = self._context.run(self._run)
        except BaseException as error:  # an interrupt in the very last moment
            state = State(StateType.CRASHED, message=f"The run was ended by {told(error)}", data=error)
        here.stretch = None
        self.future.complete(state)
        self.execution.release()

    def _run(self) -> State[Any]:
        if not self.execution.definition.is_flow:
            return self._drive()
        with endable(self.execution.run.id, self._cancel):
            return self._drive()

    def _cancel(self) -> None:
        self.break_off(Ended(CANCELLED, True))

    def _drive(self) -> State[Any]:
        if self._is_driven:
            return drive(self.execution).state
        from towpath.engine.loops import run

        return run(drive_async(self.execution)).state
