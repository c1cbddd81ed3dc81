"""The worker processes of a flow run."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

from towpath.context import RunContext, current_tags
from towpath.engine.effects import Ended
from towpath.engine.parcels import dumps, dumps_call, loads
from towpath.engine.task_execution import TaskExecution
from towpath.engine.threads import Lane
from towpath.engine.workers import Job, Process
from towpath.errors import SerializationError
from towpath.states import State, StateType


class Pool:
    """The processes of one flow run: as many as have been needed at once.

    Args:
        lane: counts how many tasks run at a time.
    """

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._lock = threading.Lock()
        self._all: set[Process] = set()
        self._idle: list[Process] = []
        self._facts: bytes | None = None

    def call(self, execution: TaskExecution) -> Any:
        """Call a task's function in a process, and give its value or raise its exception.

        Raises:
            Ended: the process has died.
        """
        task, run = execution.definition, execution.run
        names = ("name", "run_count", "dynamic_key", "started", "tags")
        facts = {name: getattr(run, name) for name in names}
        context = execution.context
        ways = {"log_prints": context.log_prints, "persists": context.persists, "results": context.results}
        parts = (task, execution.args, execution.kwargs, run.id, facts, current_tags(), ways)
        try:
            data = dumps_call(task.name, lambda: run.parameters, parts)
        except SerializationError:
            execution.unfit = True
            raise
        process = self._take(context)
        job = Job(context, self.lane)
        try:
            kind, value = process.run(job, data)
        except BaseException:
            self._discard(process)
            raise
        finally:
            job.rejoin()
        if kind == "lost":
            self._discard(process)
            raise Ended(f"The worker process of the task run {run.name!r} {value}")
        with self._lock:
            self._idle.append(process)
        answer = loads(value)
        if kind == "returned":
            return answer
        execution.unfit = kind == "unfit"
        raise answer

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            processes, self._all = self._all, set()
        for process in processes:
            process.hang_up()
        for process in processes:
            process.end()

    def _take(self, context: RunContext) -> Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if not process.is_lost:
                    return process
                self._all.discard(process)
            if self._facts is None:
                self._facts = _facts_of(context)
            process = Process(self._facts)
            self._all.add(process)
            return process

    def _discard(self, process: Process) -> None:
        with self._lock:
            self._all.discard(process)
        process.hang_up()
        process.kill()


def _facts_of(context: RunContext) -> bytes:
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
