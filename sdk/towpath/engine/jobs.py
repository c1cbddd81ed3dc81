"""A task whose function is called elsewhere, as the process of its flow run sees it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from towpath.context import RunContext, current_claims, current_tags, enter, leave
from towpath.engine.calls import task_execution
from towpath.engine.effects import Lost
from towpath.engine.interrupts import OutOfTime
from towpath.engine.parcels import dumps, dumps_call, loads
from towpath.engine.scope import OUTSIDE, Scope
from towpath.engine.slots_afar import SlotsOnBehalf
from towpath.engine.submitted import Submitted
from towpath.engine.task_execution import TaskExecution
from towpath.engine.threads import THREADS, Lane, block, here
from towpath.engine.wire import Sends
from towpath.errors import SerializationError
from towpath.futures import Future
from towpath.runs import FlowRun, TaskRun
from towpath.states import TERMINAL, State, StateType

if TYPE_CHECKING:
    from towpath.concurrency.port import Wish

#: How long a task that was told to end may take for its `finally` blocks before nobody waits for it. Whoever waits for
#: one whose time is up does so for a second.
_GRACE_SECONDS: Final = 2.0
_LATE_SECONDS: Final = 0.5


def packed(execution: TaskExecution) -> bytes:
    """Write down the call of a task's function, and the run that it belongs to.

    Raises:
        SerializationError: something in it cannot travel; the execution is marked as unfit.
    """
    task, run, context = execution.definition, execution.run, execution.context
    names = ("name", "run_count", "dynamic_key", "started", "tags")
    facts = {name: getattr(run, name) for name in names}
    ways = {"log_prints": context.log_prints, "persists": context.persists, "results": context.results}
    parts = (task, execution.args, execution.kwargs, run.id, facts, current_tags(), current_claims(), ways)
    try:
        return dumps_call(task.name, lambda: run.parameters, parts)
    except SerializationError:
        execution.unfit = True
        raise


def outcome(execution: TaskExecution, kind: str, value: Any) -> Any:
    """Give what the function returned, or raise what it raised.

    Raises:
        Lost: what it ran in has gone.
    """
    if kind == "lost":
        raise Lost(f"The worker of the task run {execution.run.name!r} {value}")
    answer = loads(value)
    if kind == "returned":
        return answer
    execution.unfit = kind == "unfit"
    raise answer


def facts_of(context: RunContext) -> bytes:
    """Write down the flow and its run for the workers, as far as they can travel: a task seldom asks for them."""
    flow_run = context.flow_run
    facts: bytes | None = None
    if flow_run is not None:
        flow_run = replace(flow_run, state=State(StateType.RUNNING))
        for flow, parameters in (
            (context.flow, flow_run.parameters),
            (None, flow_run.parameters),
            (None, {}),
        ):
            with suppress(Exception):
                facts = dumps((flow, replace(flow_run, parameters=parameters)))
                break
    return dumps((None, None)) if facts is None else facts


class Job:
    """A call in a worker, and what is done on its behalf in this process.

    Args:
        context: of the task run.
        lane: where it holds a place.
    """

    def __init__(self, context: RunContext, lane: Lane) -> None:
        self.run_context = context
        self.done = Lock()
        self.done.acquire()
        self.reply: tuple[str, Any] | None = None
        self._lane = lane
        self._lock = Lock()
        self._is_away = False
        self._nested: deque[Callable[[], None]] | None = None
        self._context: Context = copy_context()

    def answer(self, kind: str, value: Any) -> None:
        """Take the end of the call; only the first counts."""
        if self.reply is None:
            self.reply = (kind, value)
            with suppress(RuntimeError):  # whoever waited has been told to end, and does not wait any more
                self.done.release()

    def submit(self, parts: tuple[Any, ...]) -> Future[Any]:
        """Submit a task on the call's behalf; it gets its turn before what was submitted from outside."""
        task, args, kwargs, wait_for, tags, number, run_id = parts

        def make() -> Submitted:
            execution = task_execution(task, args, kwargs, wait_for, number=number)
            execution.run.identify(run_id)
            execution.tag(tags)
            return Submitted(execution)

        call = self._context.run(make)
        here.lane, here.nested = self._lane, self._nested
        try:
            call.scope.add(call.future, call)
            call.start()
        finally:
            self._nested = here.nested
            here.lane = here.nested = None
        return call.future

    def leave(self) -> None:
        """Give its place up while it waits."""
        with self._lock:
            self._is_away = True
            self._lane.leave()

    def rejoin(self) -> None:
        """Take a place again, if it has none."""
        with self._lock:
            if self._is_away:
                self._lane.rejoin()
                self._is_away = False


class Counterpart:
    """What a worker speaks with: gives it calls to make, and does here what their code asks for.

    Args:
        wire: the way to the worker.
    """

    def __init__(self, wire: Sends) -> None:
        self.wire = wire
        self.job: Job | None = None
        self._slots = SlotsOnBehalf(wire, THREADS.start)

    def run(self, job: Job, data: bytes) -> tuple[str, Any]:
        """Have a call made and wait for it; if the wait is ended, so is the call."""
        self.job = job
        self.wire.send("call", data)
        try:
            while job.reply is None:
                block(job.done, keep_place=True)
        except BaseException as error:
            self.wire.send("end", error)
            job.done.acquire(timeout=_LATE_SECONDS if isinstance(error, OutOfTime) else _GRACE_SECONDS)
            raise
        finally:
            self._slots.leave_all()
        return job.reply

    def on_reply(self, kind: str, value: bytes) -> None:
        """Take the end of the call."""
        self._current.answer(kind, value)

    def on_number(self, ticket: int, task_name: str) -> None:
        """Count a call that the task makes."""
        self.wire.send("answer", ticket, self._scope.number(task_name))

    def on_submit(self, ticket: int, data: bytes) -> None:
        """Submit what the task submits."""

        def tell(future: Future[Any]) -> None:
            try:
                state = dumps(future.state)
            except Exception:
                state = dumps(State(future.state.type, future.state.name, future.state.message))
            self.wire.send("ended", ticket, state)

        try:
            future = self._current.submit(loads(data))
        except Exception as error:  # something in it cannot be had here
            future = Future()
            future.complete(State(StateType.FAILED, message=f"The task could not be submitted: {error}", data=error))
        future.add_done_callback(tell)

    def on_waits(self) -> None:
        """Give the task's place to another, while it waits."""
        self._current.leave()

    def on_rejoins(self, ticket: int) -> None:
        """Give the task a place again; that may take a while."""
        job = self._current

        def rejoin() -> None:
            job.rejoin()
            self.wire.send("answer", ticket, None)

        THREADS.start(rejoin)

    def on_enter(self, run: FlowRun | TaskRun, state: State[Any], now: float) -> None:
        """Record the state of a run that the task has called in its own process, and count it."""
        if (recorder := self._scope.surroundings.recorder) is not None:
            recorder.enter(run, state, now)
        flow_run = self._current.run_context.flow_run
        if isinstance(run, TaskRun) and flow_run is not None and run.flow_run_id == flow_run.id:
            if state.type is StateType.RUNNING and run.run_count == 1:
                flow_run.tasks.begun()
            elif state.type in TERMINAL and run.run_count:
                flow_run.tasks.ended(completed=state.type is StateType.COMPLETED)

    def on_leave(self, run: FlowRun, state: State[Any]) -> None:
        """Record that a flow run in the worker has told a state."""
        if (recorder := self._scope.surroundings.recorder) is not None:
            recorder.leave(run, state)

    def on_tell(self, what: str, *told: Any) -> None:
        """Take an artifact or an event of the task's to where those of its flow run go."""
        from towpath.telling.outlets import outlet

        token = enter(self._current.run_context)
        try:
            getattr(outlet(), what)(*told)
        finally:
            leave(token)

    def on_flush(self, ticket: int) -> None:
        """Wait until others can read what the task has told; that may take a while."""
        recorder = self._scope.surroundings.recorder

        def flush() -> None:
            if recorder is not None:
                recorder.flush()
            self.wire.send("answer", ticket, None)

        THREADS.start(flush)

    def on_latest(self, ticket: int, key: str) -> None:
        """Let the task read an artifact; that may take a while."""

        def read() -> None:
            from towpath.telling.outlets import outlet

            try:
                answer: Any = outlet().latest(key)
            except Exception as error:
                answer = error
            self.wire.send("answer", ticket, answer)

        THREADS.start(read)

    def on_slots_asked(self, number: int, wish: Wish) -> None:
        """Ask for slots of limits for the task."""
        self._slots.ask(number, wish)

    def on_slots_left(self, number: int) -> None:
        """Give back slots that the task has no use for any more."""
        self._slots.leave(number)

    def on_slots_do(self, ticket: int, what: str, *args: Any) -> None:
        """Let the task look at limits, or change them; that may take a while."""
        self._slots.do(ticket, what, args)

    def on_line(self, fields: dict[str, Any]) -> None:
        """Log a line of the worker's here."""
        record = logging.makeLogRecord(fields)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)

    @property
    def _current(self) -> Job:
        assert self.job is not None, "a worker speaks of what it was given to do"
        return self.job

    @property
    def _scope(self) -> Scope:
        return self._current.run_context.scope or OUTSIDE
