"""The worker processes of a flow run."""

from __future__ import annotations

import threading
from typing import Any

from towpath.context import RunContext
from towpath.engine.jobs import Job, facts_of, outcome, packed
from towpath.engine.task_execution import TaskExecution
from towpath.engine.threads import Lane
from towpath.engine.workers import Process


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
            Lost: the process has died.
        """
        context = execution.context
        data = packed(execution)
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
        else:
            with self._lock:
                self._idle.append(process)
        return outcome(execution, kind, value)

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
                self._facts = facts_of(context)
            process = Process(self._facts)
            self._all.add(process)
            return process

    def _discard(self, process: Process) -> None:
        with self._lock:
            self._all.discard(process)
        process.hang_up()
        process.kill()
