"""Takes note of what runs do, in their own threads: a tuple into a queue, a microsecond or two.

The engine calls `RECORDER` at each state of a run on this machine. The first note starts the writer; where the history
is comes from the environment, which is looked at again whenever a run begins that nobody has called.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from towpath.history.notes import FlowFacts, FlowNote, LeftNote, LineNote, Note, RowNote, TaskNote
from towpath.names import ENV_RUN
from towpath.runs import FlowRun, TaskRun
from towpath.states import AWAITING_RETRY, StateType

if TYPE_CHECKING:
    from pathlib import Path

    from towpath.history.writer import Writer
    from towpath.states import State

#: Notes that may wait for the writer; whoever writes more waits for it. So memory stays bounded, and so does what a
#: SIGKILL may cost: while others wait, the writer has the interpreter to itself and is done in a few milliseconds.
WAITING_NOTES: Final = 1000
#: How long the end of a run, or of the process, waits for a disk.
FLUSH_SECONDS: Final = 20.0
_FORK_SECONDS: Final = 2.0


class Recorder:
    """Where this process's runs are recorded; at most one file at a time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process has to: the thread lives on in the parent only."""
        self._lock = threading.RLock()  # a signal handler that logs may find it held by the very thread that it runs in
        self._writer: Writer | None = None
        self._is_off = False
        self._put: Callable[[Note], None] = self._begin
        self._waiting: Callable[[], int] = int
        self._forking: Writer | None = None

    def enter(self, run: FlowRun | TaskRun, state: State[Any], now: float) -> None:
        """Take note that a run has entered a state.

        Args:
            run: the run, its state and counts brought up to date.
            state: the state.
            now: seconds since the epoch.
        """
        if isinstance(run, FlowRun):
            self._enter_flow(run, state, now)
            return
        if self._is_off:
            return
        flow_run = run.flow_run
        self._put(
            TaskNote(
                run.id,
                "" if flow_run is None else flow_run.id,
                run.task_name,
                run.name,
                run.tags,
                run.run_count,
                state.type,
                state.name,
                state.message,
                now,
                time.monotonic(),
            )
        )
        if self._waiting() > WAITING_NOTES:
            self.flush()

    def leave(self, run: FlowRun, state: State[Any]) -> None:
        """Take note that a flow run has told how it goes; after the last word of one that nobody has called, wait until
        everything is written.

        Args:
            run: the run.
            state: what it has told.
        """
        if self._is_off or state.type is StateType.RUNNING or state.name == AWAITING_RETRY:
            return
        self._put(LeftNote(run.id))
        if run.parent_id is None:
            self.flush()

    def line(self, run_id: str, task_run: str | None, level: int, message: str, at: float) -> None:
        """Take note of a line of a run's log."""
        if self._is_off:
            return
        self._put(LineNote(run_id, task_run, level, message, at))
        if self._waiting() > WAITING_NOTES:
            self.flush()

    def tell(self, note: RowNote) -> None:
        """Take note of something that a run, or code outside of any, tells beside states and log lines."""
        if self._is_off:
            return
        self._put(note)
        if self._waiting() > WAITING_NOTES:
            self.flush()

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all that was noted is in the file, or cannot be."""
        writer = self._writer
        if writer is not None and threading.current_thread() is not writer.thread:
            writer.flush(seconds)

    def close(self) -> None:
        """Write everything, and let go of the file; a later note opens it again."""
        with self._lock:
            writer, self._writer = self._writer, None
            self._put, self._waiting, self._is_off = self._begin, int, False
        if writer is not None:
            writer.flush(FLUSH_SECONDS, stop=True)

    def before_fork(self) -> None:
        """Keep SQLite quiet while the process forks; the child would find its locks taken for ever."""
        writer = self._writer
        if writer is not None and writer.at_work.acquire(timeout=_FORK_SECONDS):
            self._forking = writer

    def after_fork(self) -> None:
        """Let the parent's writer go on."""
        if self._forking is not None:
            self._forking.at_work.release()
            self._forking = None

    def _enter_flow(self, run: FlowRun, state: State[Any], now: float) -> None:
        is_first = run.run_count <= 1 and state.name != AWAITING_RETRY
        if is_first and run.parent_id is None:
            self._look_again()
        if self._is_off:
            return
        self._put(
            FlowNote(
                run.id,
                run.name,
                _facts(run) if is_first else None,
                run.attempt,
                run.run_count,
                state.type,
                state.name,
                state.message,
                now,
                time.monotonic(),
                run.tasks.total,
                run.tasks.completed,
                run.tasks.failed,
            )
        )

    def _look_again(self) -> None:
        """Go to another file, or to none, if the environment says so by now."""
        place = _place()
        if self._is_off:
            if place is not None:
                self.close()
        elif self._writer is not None and place != self._writer.path:
            self.close()

    def _begin(self, note: Note) -> None:
        with self._lock:
            if self._writer is None and not self._is_off:
                self._open()
            put = self._put
        put(note)

    def _open(self) -> None:
        place = _place()
        if place is None:
            self._is_off, self._put = True, _drop
            return
        from towpath.history.lines import keep_lines, warn
        from towpath.history.writer import Writer

        keep_lines(self)
        if self._writer is not None:
            return
        writer = Writer(place, warn)
        try:
            writer.thread.start()
        except RuntimeError:  # no thread can be had any more, as at the very end of the process
            self._put = _drop
            return
        self._writer, self._put, self._waiting = writer, writer.notes.put, writer.notes.qsize
        if _is_child_of_multiprocessing():
            from multiprocessing.util import Finalize

            Finalize(None, self.close, exitpriority=0)


def _facts(run: FlowRun) -> FlowFacts:
    from towpath.history.described import described

    parameters, whole = described(run.parameters)
    return FlowFacts(
        run.flow_name,
        run.flow_version,
        run.parent_id,
        run.root_id,
        run.depth,
        run.deployment,
        run.tags,
        parameters,
        whole,
        run.origin,
    )


def _place() -> Path | None:
    """Tell where to record; nowhere in a run's pod, because there the cluster keeps the record."""
    if os.environ.get(ENV_RUN):
        return None
    from towpath.history.place import history_file

    try:
        return history_file()
    except OSError as error:
        from towpath.history.lines import warn

        warn(f"Runs are not recorded: {error.strerror}. Give TOWPATH_HISTORY or TOWPATH_HOME as a whole path.")
        return None


def _drop(note: Note) -> None:
    """Take a note nowhere."""


def _is_child_of_multiprocessing() -> bool:
    """Tell whether this process ends as forked children of multiprocessing do: without a word to atexit."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


#: The one of this process.
RECORDER: Final = Recorder()
os.register_at_fork(before=RECORDER.before_fork, after_in_parent=RECORDER.after_fork, after_in_child=RECORDER.forget)
# Whatever waits for work at the end of the process has to be registered later than this, because it is called earlier.
atexit.register(RECORDER.close)
