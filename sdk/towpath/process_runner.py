"""The task runner on processes.

@flow(task_runner=ProcessPoolTaskRunner(max_workers=4))
def render(frames: list[Frame]) -> list[Image]:
    return draw.map(frames).result()
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from towpath import settings
from towpath.engine.threads import Lane
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.engine.pool import Pool
    from towpath.runners import TaskCall


class ProcessPoolTaskRunner:
    """Runs tasks in processes, so that they use all cores.

    A process starts with the first task that needs it, is used again within the flow run, and ends with it. Retries,
    timeouts, hooks and states of a task are the flow's process's affair; only its function is called elsewhere. So
    arguments and values have to be fit for travel, and what a task changes in memory stays in its process. A task that
    waits for tasks that it has submitted does not count against `max_workers`, but keeps its process.

    Args:
        max_workers: how many tasks run at once; by default the setting TOWPATH_MAX_WORKERS, else one for each core that
            this process may use.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and (isinstance(max_workers, bool) or max_workers < 1):
            raise ConfigurationError(f"max_workers must be 1 or more, or None for one per core; got {max_workers!r}.")
        self.max_workers = max_workers
        self._pool: Pool | None = None

    @property
    def width(self) -> int:
        """How many tasks run at once."""
        return self.max_workers or settings.max_workers() or _cores()

    def duplicate(self) -> ProcessPoolTaskRunner:
        """Give a fresh one for a flow run."""
        return ProcessPoolTaskRunner(self.max_workers)

    def submit(self, call: TaskCall) -> None:
        """Have the call made in a process, when there is room for it."""
        if self._pool is None:
            from towpath.engine.pool import Pool

            self._pool = Pool(Lane(self.width))
        call.take_to(self._pool.call)
        self._pool.lane.start(call)

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessPoolTaskRunner) and other.max_workers == self.max_workers

    def __hash__(self) -> int:
        return hash((ProcessPoolTaskRunner, self.max_workers))

    def __repr__(self) -> str:
        return f"ProcessPoolTaskRunner(max_workers={self.max_workers!r})"


def _cores() -> int:
    """Count the cores that this process may use; some systems only tell how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
