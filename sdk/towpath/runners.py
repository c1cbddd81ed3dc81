"""What runs submitted tasks.

@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
def crawl(urls: list[str]) -> list[bytes]:
    return fetch.map(urls).result()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from towpath import settings
from towpath.engine.threads import Lane
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.engine.task_execution import Place
    from towpath.futures import Future
    from towpath.tasks import Task


class TaskCall(Protocol):
    """A submitted task whose upstream runs have ended. Call it, in whichever thread, and its future gets its end."""

    @property
    def task(self) -> Task[..., Any]:
        """What is called."""

    @property
    def args(self) -> tuple[Any, ...]:
        """With what; futures in it have ended."""

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """With what, by name."""

    @property
    def future(self) -> Future[Any]:
        """What waits for its end."""

    def take_to(self, place: Place) -> None:
        """Have the function called by `place`; the thread that makes the call drives the run and waits there."""

    def __call__(self) -> None: ...


class TaskRunner(Protocol):
    """Where submitted tasks run. A flow is given one; each of its runs uses a duplicate."""

    def duplicate(self) -> TaskRunner:
        """Give a fresh one for a flow run."""

    def submit(self, call: TaskCall) -> None:
        """Have the call made, and return at once."""

    def close(self) -> None:
        """Let go of everything; all calls have ended."""


class ThreadPoolTaskRunner:
    """Runs tasks in threads.

    A task that waits for another does not count against `max_workers` while it waits, so tasks may submit tasks and
    wait for them, however deep.

    Args:
        max_workers: how many tasks run at once; by default the setting TOWPATH_MAX_WORKERS, else as many as there are.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and (isinstance(max_workers, bool) or max_workers < 1):
            raise ConfigurationError(f"max_workers must be 1 or more, or None for no limit; got {max_workers!r}.")
        self.max_workers = max_workers
        self._lane: Lane | None = None

    @property
    def width(self) -> int | None:
        """How many tasks run at once; None: as many as there are."""
        return settings.max_workers() if self.max_workers is None else self.max_workers

    def duplicate(self) -> ThreadPoolTaskRunner:
        """Give a fresh one for a flow run."""
        return ThreadPoolTaskRunner(self.max_workers)

    def submit(self, call: TaskCall) -> None:
        """Have the call made in a thread, when there is room for it."""
        if self._lane is None:
            self._lane = Lane(self.width)
        self._lane.start(call)

    def close(self) -> None:
        """Do nothing: threads are shared, and go away by themselves."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ThreadPoolTaskRunner) and other.max_workers == self.max_workers

    def __hash__(self) -> int:
        return hash(self.max_workers)

    def __repr__(self) -> str:
        return f"ThreadPoolTaskRunner(max_workers={self.max_workers!r})"
