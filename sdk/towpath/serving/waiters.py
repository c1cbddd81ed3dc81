"""Waiting for the ends of runs that are in other processes of this machine, for all threads of this one."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from towpath.cluster.ended import Valueless, state_of
from towpath.errors import FlowRunCrashed, HistoryError, MissingResult
from towpath.futures import Future
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.serving.book import Book

#: How often the book is looked at: SQLite has no watch, and a look at a file that has not changed takes microseconds.
LOOK_SECONDS: Final = 0.01
#: How often it is looked at whether the processes of runs that are waited for are there still.
_ALIVE_SECONDS: Final = 1.0


class Waiters:
    """Completes futures when runs have ended, from one thread that is there while somebody waits.

    Args:
        book: where ends are written down.
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._guard = threading.Lock()
        self._waiting: defaultdict[str, list[Future[Any]]] = defaultdict(list)
        self._thread: threading.Thread | None = None

    def expect(self, run_id: str) -> Future[Any]:
        """Give a future that ends with a run."""
        future: Future[Any] = Future()
        with self._guard:
            self._waiting[run_id].append(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="towpath-ends", daemon=True)
                self._thread.start()
        return future

    def _watch(self) -> None:
        looked = -_ALIVE_SECONDS
        known: set[str] = set()
        while True:
            with self._guard:
                waiting = set(self._waiting)
                if not waiting:
                    self._thread = None
                    return
            try:
                if self.book.has_changed() or waiting - known or time.monotonic() - looked >= _ALIVE_SECONDS:
                    if time.monotonic() - looked >= _ALIVE_SECONDS:
                        self.book.bury(waiting, datetime.now(UTC))
                        looked = time.monotonic()
                    self._tell(waiting)
                known = waiting
            except HistoryError as error:
                self._give_up(error)
            time.sleep(LOOK_SECONDS)

    def _tell(self, waiting: set[str]) -> None:
        outcomes = self.book.outcomes(waiting)
        gone = waiting - self.book.known(waiting) if len(outcomes) < len(waiting) else set()
        for run_id, outcome in outcomes.items():
            self._complete(run_id, state_of_outcome(outcome, self.book.name_of(run_id)))
        for run_id in gone:
            deleted = FlowRunCrashed(f"Flow run {run_id!r} was deleted before it ended.")
            self._complete(run_id, State(StateType.CRASHED, "Deleted", str(deleted), deleted))

    def _give_up(self, error: HistoryError) -> None:
        with self._guard:
            waiting = list(self._waiting)
        for run_id in waiting:
            self._complete(run_id, State(StateType.CRASHED, None, str(error), error))

    def _complete(self, run_id: str, state: State[Any]) -> None:
        with self._guard:
            futures = self._waiting.pop(run_id, [])
        for future in futures:
            future.complete(state)


class LocalRun:
    """A run of a deployment that is served on this machine, as whoever ordered it sees it.

    Args:
        waiters: of the history file.
        run_id: of the run.
        name: of the run.
    """

    def __init__(self, waiters: Waiters, run_id: str, name: str) -> None:
        self._waiters = waiters
        self.id, self.name = run_id, name

    def look(self) -> State[Any]:
        """Give the state that the run is in now."""
        book = self._waiters.book
        if (outcome := book.outcomes([self.id]).get(self.id)) is not None:
            return state_of_outcome(outcome, self.name)
        return book.state_of(self.id) or State(StateType.CRASHED, "Deleted", "The run was deleted before it ended.")

    def end(self) -> Future[Any]:
        """Give a future that ends with the run."""
        return self._waiters.expect(self.id)


def state_of_outcome(outcome: Mapping[str, Any], name: str) -> State[Any]:
    """Make the state of a run from what the book has of its end: with its value, or its exception."""
    if (untold := outcome.get("untold")) is not None:
        written = outcome["state"]
        missing = MissingResult(f"Flow run {name!r} completed, but what it returned was not kept: {untold}")
        state: State[Any] = Valueless(StateType(written["type"]), written["name"], written.get("message"), missing)
        state.stamp(datetime.fromisoformat(written["since"]).timestamp())
        return state
    return state_of({"metadata": {"name": name}, "status": outcome})
