"""Limits of task runs by their tags: a limit named `tag:heavy` holds for those that are tagged "heavy".

A submitted task waits for its slots before it has a thread, so that ten thousand that wait are ten thousand rows in
memory and no more; any other waits where it is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final

from towpath.concurrency.place import slots
from towpath.concurrency.port import Answer, Waits, Wish
from towpath.concurrency.requests import Request, acquire, acquire_async, silence
from towpath.context import current_claims, enter_claims, leave_claims
from towpath.engine.effects import READY, Enter, Event, Raised
from towpath.errors import ConcurrencySlotAcquisitionError
from towpath.states import AWAITING_SLOT, State, StateType

if TYPE_CHECKING:
    from towpath.engine.task_execution import TaskExecution

PREFIX: Final = "tag:"
#: How old what is known of the limits of tags may be.
_FRESH_SECONDS: Final = 0.1
#: Flow runs of which it is remembered that their tasks were said to wait.
_REMEMBERED: Final = 1000

_looking = threading.Lock()
_limited: frozenset[str] = frozenset()
_look_at = 0.0
_told: Final[set[tuple[str | None, frozenset[str]]]] = set()


def gate_of(execution: TaskExecution, tags: frozenset[str]) -> Gate | None:
    """Give a task run's way through the limits of its tags; None if there are none for it."""
    if time.monotonic() >= _look_at:
        _look()
    if not _limited:
        return None
    names = _limited & {PREFIX + tag for tag in tags}
    return Gate(execution, names) if names else None


def look_again() -> None:
    """Forget what is known of the limits of tags: somebody has just changed them."""
    global _look_at
    _look_at = 0.0


def _look() -> None:
    global _limited, _look_at
    with _looking:
        if time.monotonic() >= _look_at:
            _limited = slots().tag_limits()
            _look_at = time.monotonic() + _FRESH_SECONDS


class Gate:
    """Where a task run waits for its slots, once for each try, and gives them back.

    Args:
        execution: the task run.
        names: of the limits.
    """

    __slots__ = ("_execution", "_lock", "_names", "_request", "_token", "_within")

    def __init__(self, execution: TaskExecution, names: frozenset[str]) -> None:
        self._execution = execution
        self._names = names
        self._within = current_claims()
        self._lock = threading.RLock()
        self._request: Request | None = None
        self._token: Token[frozenset[int]] | None = None

    def queue(self, begin: Callable[[], None]) -> None:
        """Wait for slots without a thread.

        Args:
            begin: called, from another thread, when they are there; or when they cannot be had, which `admit` tells.
        """
        scope = self._execution.context.scope
        request = self._new(None if scope is None else scope.width)

        def ring() -> None:
            with self._lock:
                if self._request is not request:  # the run has been given up
                    return
                try:
                    goes_on = request.is_admitted()
                except ConcurrencySlotAcquisitionError:
                    goes_on = True
            if goes_on:
                request.ring = silence
                begin()

        request.ring = ring
        request.ask()

    def admit(self) -> Event:
        """Wait in this thread until the run may begin."""
        try:
            acquire(self._request or self._new())
        except ConcurrencySlotAcquisitionError as error:
            return Raised(error)
        return self._in()

    async def admit_async(self) -> Event:
        """Wait in this event loop until the run may begin."""
        try:
            await acquire_async(self._request or self._new())
        except ConcurrencySlotAcquisitionError as error:
            return Raised(error)
        return self._in()

    def enter(self, state: State[Any], enter: Callable[[], None]) -> None:
        """Put the run into a state; in any but that it runs or waits for them, its slots are given back.

        Args:
            state: the state.
            enter: puts the run into it.
        """
        with self._lock:
            if state.type is StateType.RUNNING or state.name == AWAITING_SLOT:
                enter()
                return
            request, self._request = self._request, None
            try:
                enter()
            finally:
                if self._token is not None:
                    with suppress(ValueError):  # the run is ended from outside of its own context
                        leave_claims(self._token)
                    self._token = None
                if request is not None:
                    request.leave()

    def _new(self, abreast: int | None = None) -> Request:
        run = self._execution.run
        flow_run = run.flow_run
        wish = Wish(
            names=self._names,
            is_task=True,
            within=self._within,
            abreast=abreast,
            run_id=None if flow_run is None else flow_run.id,
            run=None if flow_run is None else flow_run.name,
            task_run=run.name,
        )
        self._request = _TagRequest(wish, self._execution)
        return self._request

    def _in(self) -> Event:
        request = self._request
        if request is not None and request.number is not None:
            self._token = enter_claims(self._within | {request.number})
        return READY


class _TagRequest(Request):
    """A wish for the slots of a task run's tags, whose waiting is a state of the run."""

    def __init__(self, wish: Wish, execution: TaskExecution) -> None:
        super().__init__(wish)
        self._execution = execution

    def on_answer(self, answer: Answer | None) -> None:
        """Put the run into the state of waiting; say so in the log once a flow run."""
        if not isinstance(answer, Waits):
            return
        state: State[Any] = State(StateType.SCHEDULED, AWAITING_SLOT, f"Waits for {self.wanted}. {answer.why}")
        self._execution.enter(Enter(state))
        if (told := (self.wish.run_id, self.wish.names)) not in _told:
            if len(_told) >= _REMEMBERED:
                _told.clear()
            _told.add(told)
            from towpath.loggers import run_logger

            run_logger(self._execution.context).info("Waits for %s. %s", self.wanted, answer.why)
