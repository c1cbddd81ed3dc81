"""The work that one try of a flow run has started: its submitted tasks and its children, until all have ended."""

from __future__ import annotations

import atexit
import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from towpath.engine.clock import SYSTEM
from towpath.engine.effects import Ended, How, Settle, Suspended
from towpath.errors import FlowSuspended
from towpath.futures import Future, arrive
from towpath.runners import TaskCall, TaskRunner, ThreadPoolTaskRunner
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.engine.ports import Launcher, Surroundings

#: How long work that was told to end may take to do so before nobody waits for it any longer.
GRACE_SECONDS: Final = 5.0


class Started(Protocol):
    """Work that goes on in this process."""

    def drop(self, reason: str) -> bool:
        """See to it that work which has not begun never does; tell whether that was so."""

    def break_off(self, error: BaseException) -> None:
        """End it, if it has begun."""


class Scope:
    """What a try of a flow run has started.

    Args:
        task_runner: makes the runner of submitted tasks, when the first is submitted.
        surroundings: handed on to what is called.
    """

    is_remote = False
    """Whether what is submitted here begins in another process."""

    def __init__(self, task_runner: TaskRunner | type[TaskRunner] | None, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._task_runner = task_runner
        self._runner: TaskRunner | None = None
        self._open: dict[Future[Any], Started | None] = {}
        self._numbers: dict[str, Iterator[int]] = {}
        self.closed = ""
        """Why nothing further may begin, once that is so."""
        self.suspended: Suspended | None = None
        """Whether some of it was suspended."""

    @property
    def launcher(self) -> Launcher | None:
        """What runs children elsewhere; None: they run in this process."""
        return self.surroundings.launcher

    @property
    def width(self) -> int | None:
        """How many submitted tasks run at once, where the task runner says it; None: any number."""
        return getattr(self._made_runner(), "width", None)

    def number(self, task_name: str) -> int:
        """Count the calls of a task, from 0."""
        return next(self._numbers.setdefault(task_name, itertools.count()))

    def add(self, future: Future[Any], work: Started | None) -> None:
        """Keep watch over work until its future has an end.

        Args:
            future: what has been started, or waits for what it needs.
            work: the work itself; None for a run that goes on elsewhere.
        """
        self._open[future] = work
        future.told_first(self._forget)
        if self.closed and work is not None:
            work.drop(self.closed)

    def submit(self, call: TaskCall) -> None:
        """Hand a call to the task runner."""
        self._made_runner().submit(call)

    def settle(self, how: Settle) -> None:
        """Bring all that was started to its end, in synchronous code."""
        deadline = self._begin_to_settle(how)
        while left := tuple(self._open):
            for future in left:
                future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if deadline is not None and time.monotonic() >= deadline:
                self._abandon(how)
        self._close()

    async def settle_async(self, how: Settle) -> None:
        """Bring all that was started to its end, in an event loop."""
        if self._open:
            import asyncio

            deadline = self._begin_to_settle(how)
            while left := tuple(self._open):
                try:
                    async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                        await arrive(left)
                except TimeoutError:
                    self._abandon(how)
        self._close()

    def _made_runner(self) -> TaskRunner:
        if self._runner is None:
            chosen = self._task_runner or ThreadPoolTaskRunner()
            self._runner = chosen() if isinstance(chosen, type) else chosen.duplicate()
        return self._runner

    def _begin_to_settle(self, how: Settle) -> float | None:
        if how.how is How.FINISH:
            return None
        self.closed = how.reason or "The flow run ended before this began."
        for future, work in tuple(self._open.items()):
            if work is None:
                self._forget(future)  # it goes on elsewhere, and ends there as its parent's end demands
            elif not work.drop(self.closed) and how.how is How.INTERRUPT:
                work.break_off(Ended(self.closed, how.cancelled))
        return time.monotonic() + GRACE_SECONDS if how.how is How.INTERRUPT else None

    def _abandon(self, how: Settle) -> None:
        for future in tuple(self._open):
            message = f"{how.reason} It did not end within {GRACE_SECONDS:g} s of being told to."
            future.complete(State(StateType.CRASHED, message=message))

    def _forget(self, future: Future[Any]) -> None:
        self._open.pop(future, None)
        state = future.state
        if state.type is StateType.PAUSED and isinstance(state.data, FlowSuspended):
            self.suspended = Suspended(state.data)

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None


#: Where tasks and flows belong that are submitted outside of any flow; the process waits for them before it exits.
OUTSIDE: Final = Scope(None, SYSTEM)
atexit.register(OUTSIDE.settle, Settle(How.FINISH))
