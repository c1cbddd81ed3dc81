"""The function of a task, called away from the process of its flow run.

What it wants of the flow run (a number for a call, a task submitted, a place given up while it waits, a line logged) is
asked of the process that has the flow run.
"""

from __future__ import annotations

import itertools
import logging
import queue
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from towpath import loggers
from towpath.context import RunContext, current, enter, enter_claims, leave, leave_claims, tags
from towpath.engine.clock import SYSTEM
from towpath.engine.effects import Ended, Raised, Returned
from towpath.engine.interrupts import Stretch
from towpath.engine.parcels import dumps, dumps_call, dumps_error, loads
from towpath.engine.ports import Surroundings
from towpath.engine.scope import Scope
from towpath.engine.slots_afar import RemoteSlots
from towpath.engine.submitted import Submitted
from towpath.engine.task_execution import TaskExecution
from towpath.engine.threads import THREADS, Lane, here
from towpath.engine.wire import Sends
from towpath.errors import SerializationError
from towpath.futures import Future
from towpath.runners import TaskCall
from towpath.runs import FlowRun, TaskRun
from towpath.states import State, StateType

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from towpath.concurrency.port import Answer
    from towpath.events import Event
    from towpath.tasks import Task
    from towpath.telling.port import Origin, RecordedArtifact


class Worker:
    """Makes calls, one at a time, at the request of the process that has the flow run.

    Args:
        wire: the way there.
    """

    def __init__(self, wire: Sends) -> None:
        self.wire = wire
        self.jobs: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        """What is to be called; None: nothing any more."""
        self._tickets = itertools.count()
        self._answers: dict[int, queue.SimpleQueue[Any]] = {}
        self._futures: dict[int, Future[Any]] = {}
        self.slots = RemoteSlots(self)
        self.facts: tuple[Any, Any] = (None, None)
        """The flow and its run."""
        self.stretch = Stretch()
        self.lane: Lane = RemoteLane(self)
        """The place of the call that is made."""

    def on_call(self, data: bytes) -> None:
        """Run a task."""
        self.stretch = Stretch()
        self.jobs.put(data)

    def on_end(self, error: BaseException) -> None:
        """End the task that is running."""
        self.stretch.break_off(error)

    def on_answer(self, ticket: int, answer: Any) -> None:
        """Take an answer to a question."""
        self._answers.pop(ticket).put(answer)

    def on_slots(self, number: int, claim: int | None, answer: Answer) -> None:
        """Take what became of a wish for slots of a limit."""
        self.slots.tell(number, claim, answer)

    def on_ended(self, ticket: int, state: bytes) -> None:
        """Take note of the end of a task that was submitted here."""
        future = self._futures.pop(ticket)

        def complete() -> None:
            future.complete(loads(state))

        THREADS.start(complete)  # who waits for it may send something; this thread has to go on receiving

    def ask(self, name: str, *args: Any) -> Any:
        """Ask the main process, and wait for its answer."""
        ticket = next(self._tickets)
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers[ticket] = answer
        self.wire.send(name, ticket, *args)
        return answer.get()

    def submit(self, call: Submitted) -> None:
        """Have a task run by the task runner of the flow run."""
        run, execution = call.execution.run, call.execution
        assert isinstance(run, TaskRun)
        ticket = next(self._tickets)
        parts = (call.task, call.args, call.kwargs, execution.wait_for, run.tags, run.dynamic_key, run.id)
        try:
            data = dumps_call(run.task_name, lambda: run.parameters, parts)
        except SerializationError as error:
            call.future.complete(State(StateType.FAILED, message=str(error), data=error))
            return
        self._futures[ticket] = call.future
        self.wire.send("submit", ticket, data)

    def part(self) -> None:
        """End the task that is running, because the process of the flow run has gone; nobody will answer any more."""
        self.stretch.break_off(Ended("The process of the flow run has gone."))
        for answer in tuple(self._answers.values()):
            answer.put(None)
        self.slots.part()

    def make(self, data: bytes) -> None:
        """Make a call, and tell how it ended."""
        self.wire.send("reply", *self._run(data))

    def _run(self, data: bytes) -> tuple[str, bytes]:
        try:
            task, args, kwargs, run_id, facts, in_force, claims, ways = loads(data)
        except Exception as error:
            return "unfit", dumps_error(error)
        scope = RemoteScope(self)
        flow, flow_run = self.facts
        outer = RunContext(flow=flow, flow_run=flow_run, scope=scope, **ways)
        here.lane = self.lane
        token, held = enter(outer), enter_claims(claims)
        try:
            with tags(*in_force):
                return self._outcome(task, args, kwargs, run_id, facts, persists=outer.persists)
        finally:
            here.lane = None
            leave_claims(held)
            leave(token)

    def _outcome(
        self, task: Task[..., Any], args: Any, kwargs: Any, run_id: str, facts: dict[str, Any], *, persists: bool
    ) -> tuple[str, bytes]:
        try:
            execution = TaskExecution(task, args, kwargs, None, number=facts["dynamic_key"])
            execution.timeout_seconds = None
            execution.run.identify(run_id)
            execution.context.persists = persists
            for name, value in facts.items():
                setattr(execution.run, name, value)
            enter(execution.context)
            with self.stretch:
                event = execution.call()
        except BaseException as error:
            return "ended", dumps_error(self.stretch.cause(error))
        if isinstance(event, Raised):
            return "unfit" if event.unfit else "raised", dumps_error(event.error)
        assert isinstance(event, Returned), "no timeout was set"
        try:
            return "returned", dumps(event.value)
        except Exception as error:
            return "raised", dumps_error(
                SerializationError(
                    f"The value of type {type(event.value).__qualname__!r} that task {task.name!r} returned cannot be"
                    f" sent back from its worker process: {error}. Return plain data."
                )
            )


class RemoteScope(Scope):
    """The scope of a flow run that is in another process."""

    is_remote = True

    def __init__(self, worker: Worker) -> None:
        surroundings = Surroundings(
            SYSTEM.clock, SYSTEM.dice, recorder=Notes(worker), outlet=RemoteOutlet(worker), slots=worker.slots
        )
        super().__init__(None, surroundings)
        self.worker = worker

    def number(self, task_name: str) -> int:
        """Count the calls of a task, from 0."""
        return cast("int", self.worker.ask("number", task_name))

    def submit(self, call: TaskCall) -> None:
        """Hand a call to the task runner."""
        assert isinstance(call, Submitted)
        self.worker.submit(call)


class RemoteLane(Lane):
    """The place of the running task, counted in the main process."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(1)
        self._worker = worker

    def leave(self) -> None:
        """Give the place up while the task waits for others."""
        self._worker.wire.send("waits")

    def rejoin(self) -> None:
        """Take a place again."""
        self._worker.ask("rejoins")


class Notes:
    """Sends the record of what runs here to where the history is kept."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def enter(self, run: FlowRun | TaskRun, state: State[Any], now: float) -> None:
        """Take note that a run has entered a state, at `now` seconds since the epoch."""
        self._worker.wire.send("enter", _bare(run), _without_data(state), now)

    def leave(self, run: FlowRun, state: State[Any]) -> None:
        """Take note that a flow run has told a state of its own."""
        self._worker.wire.send("leave", _bare(run), _without_data(state))

    def flush(self) -> None:
        """Wait until all that was noted can be read by others."""
        self._worker.ask("flush")


class RemoteOutlet:
    """Sends what runs here tell to the process of the flow run, which knows where it goes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def artifact(self, artifact: RecordedArtifact) -> None:
        """Take an artifact."""
        self._worker.wire.send("tell", "artifact", artifact)

    def progress(self, artifact_id: UUID, progress: float, description: str | None, updated: datetime) -> None:
        """Take how far the work of a progress artifact is by now."""
        self._worker.wire.send("tell", "progress", artifact_id, progress, description, updated)

    def event(self, event: Event, origin: Origin) -> None:
        """Take an event."""
        self._worker.wire.send("tell", "event", event, origin)

    def latest(self, key: str) -> RecordedArtifact | None:
        """Give the latest version of an artifact."""
        answer = self._worker.ask("latest", key)
        if isinstance(answer, Exception):
            raise answer
        return cast("RecordedArtifact | None", answer)


class Lines(logging.Handler):
    """Sends what is logged here to the logging of the main process."""

    def __init__(self, wire: Sends) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, its message and traceback written out."""
        try:
            fields = loggers.fields_of(current()) | record.__dict__
            fields |= {"msg": record.getMessage(), "args": None, "exc_info": None}
            if record.exc_info:
                fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
            self._wire.send("line", fields)
        except Exception:
            self.handleError(record)


def _bare(run: FlowRun | TaskRun) -> FlowRun | TaskRun:
    """Give a run's facts without what may not travel: its arguments and its value."""
    if isinstance(run, FlowRun):
        return replace(run, parameters={}, state=None)
    flow_run = None if run.flow_run is None else replace(run.flow_run, parameters={}, state=None)
    bare = TaskRun(run.task_name, run.dynamic_key, flow_run, run.tags, dict)
    bare.identify(run.id)
    bare.name, bare.run_count = run.name, run.run_count
    return bare


def _without_data(state: State[Any]) -> State[Any]:
    return State(state.type, state.name, state.message, None, state.scheduled_time)
