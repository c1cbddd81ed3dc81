"""Notices flow runs that begin in this process, and has them drawn while they go, if somebody watches.

A run that is over in half a second is not drawn at all, so it costs no more than a thread that waits, and that only at
a terminal. Everything else is told by the counters that each run keeps: what is drawn is read, never reported.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from towpath.states import StateType

if TYPE_CHECKING:
    from towpath.console.live import Picture
    from towpath.console.rows import Row, Tally
    from towpath.console.streams import HeldBack
    from towpath.runs import FlowRun, TaskCounts
    from towpath.states import State

#: How long a run has to go on before it is drawn.
DELAY_SECONDS: Final = 0.5
#: How often there is a look for what the program has printed, and how often times and counts are drawn anew.
_BEAT_SECONDS, _REDRAW_SECONDS = 0.1, 0.25
#: Drawing takes at most one part in so many of the time, however slow the terminal is.
_REST: Final = 25
#: Runs that have completed and are still kept as rows of their own.
_KEPT: Final = 200
_CLOSE_SECONDS: Final = 5.0


class Entry:
    """A run that is shown: while it goes, by its own facts; then by what they said last, so that those can go."""

    __slots__ = ("_began", "_run", "row")

    def __init__(self, run: FlowRun) -> None:
        self._run: FlowRun | None = run
        self._began = time.monotonic()
        self.row = self._look(run)

    def look(self) -> Row:
        """Give the row as it is now."""
        if self._run is not None:
            self.row = self._look(self._run)
        return self.row

    def let_go(self) -> None:
        """Keep the row as it is now."""
        self.look()
        self._run = None

    def _look(self, run: FlowRun) -> Row:
        from towpath.console.rows import Row

        state = run.state
        has_begun = run.started is not None
        return Row(
            id=run.id,
            parent_id=run.parent_id,
            name=run.name,
            flow=run.flow_name,
            type=state.type if state else StateType.PENDING,
            state=state.name if state else "Pending",
            seconds=time.monotonic() - self._began if has_begun else None,
            tasks=_tally(run.tasks),
            why=_why(state),
        )


class Progress:
    """The runs of this process, shown on its standard error while they go."""

    _input: Callable[..., str]
    """What asks for input, while it is covered."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process has to: what was shown is its parent's business."""
        if (held := getattr(self, "_held", None)) is not None:
            held.let_go()
        if builtins.input == self._ask:
            builtins.input = self._input
        self._lock = threading.RLock()  # a signal handler that prints may find it held by its own thread
        self._entries: dict[str, Entry] = {}
        self._roots: set[str] = set()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._held: HeldBack | None = None
        self._picture: Picture | None = None
        self._gave_way = False
        self._dropped = 0
        self._input = builtins.input

    def enter(self, run: FlowRun) -> None:
        """Take note that a flow run has entered a state; most is known already."""
        if run.parent_id is None and run.id not in self._roots:
            if not is_watched():
                return
            with self._lock:
                self._roots.add(run.id)
                self._begin()
        if self._roots and run.id not in self._entries:
            with self._lock:
                self._entries[run.id] = Entry(run)

    def leave(self, run: FlowRun) -> None:
        """Take note that a flow run has told its end; after that of the last at the top, the last drawing stays."""
        if not self._roots:
            return
        with self._lock:
            if (entry := self._entries.get(run.id)) is not None:
                entry.let_go()
            self._forget_some()
            self._roots.discard(run.id)
            if self._roots:
                return
        self.close()

    def close(self) -> None:
        """Draw what is left to draw, and leave the terminal as it was."""
        thread, self._thread = self._thread, None
        self._over.set()
        if builtins.input == self._ask:
            builtins.input = self._input
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_SECONDS)
        with self._lock:
            self._finish()
            self._entries.clear()
            self._roots.clear()

    def give_way(self) -> None:
        """Draw no more until these runs have ended: somebody else has the terminal now."""
        self._give_way("")

    def show(self) -> None:
        """Draw, with what the program has printed above; what draws itself gets the terminal to itself."""
        from towpath.console.streams import draws

        with self._lock:
            if self._held is None or self._picture is None:
                return
            above = self._held.take()
            if draws(above) or not _is_in_foreground(sys.stderr):
                self._give_way(above)
            else:
                self._picture.draw(self._rows(), above, dropped=self._dropped)

    def _ask(self, prompt: Any = "", /) -> str:
        self.give_way()
        return self._input(prompt)

    def _give_way(self, above: str) -> None:
        with self._lock:
            self._gave_way = True
            held, picture = self._held, self._picture
            self._held = self._picture = None
            if held is not None and picture is not None:
                text = above + held.let_go()
                with suppress(OSError):  # the terminal has gone
                    picture.erase(text)

    def _begin(self) -> None:
        if self._thread is not None:
            return
        self._over, self._gave_way, self._dropped = threading.Event(), False, 0
        self._input, builtins.input = builtins.input, self._ask  # debuggers ask by it too
        thread = threading.Thread(target=self._run, args=(self._over,), name="towpath-progress", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had any more, as at the very end of the process
            return
        self._thread = thread

    def _run(self, over: threading.Event) -> None:
        if over.wait(DELAY_SECONDS):
            return
        try:
            from towpath.console.live import Picture
        except ImportError:  # without rich, the log says it in plain lines
            return
        from towpath.console.streams import HeldBack

        with self._lock:
            if over.is_set() or self._gave_way:
                return
            self._picture = Picture(sys.stderr)
            self._held = HeldBack(_terminals(), self.show)
        try:
            self._draw_until(over)
        except Exception as error:  # whatever it is, it is no trouble of the runs
            self.give_way()
            from towpath.loggers import get_logger

            get_logger("towpath.console").debug("Runs are shown no more: %r", error)

    def _draw_until(self, over: threading.Event) -> None:
        drawn, pause = 0.0, 0.0
        while (held := self._held) is not None and not over.wait(max(_BEAT_SECONDS, pause)):
            began = time.monotonic()
            if began - drawn >= _REDRAW_SECONDS or held.waits:
                self.show()
                drawn = time.monotonic()
                pause = (drawn - began) * _REST

    def _finish(self) -> None:
        held, picture = self._held, self._picture
        self._held = self._picture = None
        if held is not None and picture is not None:
            text = held.let_go()
            with suppress(OSError):  # the terminal has gone
                picture.close(self._rows(), text, dropped=self._dropped)

    def _rows(self) -> list[Row]:
        return [entry.look() for entry in list(self._entries.values())]

    def _forget_some(self) -> None:
        """Drop the oldest runs that have completed, where there are too many: memory stays bounded."""
        if len(self._entries) <= 2 * _KEPT:
            return
        parents = {entry.row.parent_id for entry in self._entries.values()}
        done = [
            run_id
            for run_id, entry in self._entries.items()
            if entry.row.type is StateType.COMPLETED and run_id not in parents and run_id not in self._roots
        ]
        for run_id in done[:-_KEPT]:
            del self._entries[run_id]
            self._dropped += 1


def is_watched() -> bool:
    """Tell whether somebody may look at this process's standard error, and wants to see how runs go."""
    from towpath import settings
    from towpath.console.looks import is_capable

    try:
        return (
            (stream := _own_terminal(sys.stderr, sys.__stderr__)) is not None
            and is_capable(stream)
            and settings.log_format() == "text"
            and settings.progress()
            and not _is_child_of_multiprocessing()
            and _is_in_foreground(stream)
        )
    except (ValueError, OSError):  # it is closed
        return False


def _terminals() -> list[TextIO]:
    """Give the streams whose text would get in the way."""
    streams = (_own_terminal(sys.stdout, sys.__stdout__), _own_terminal(sys.stderr, sys.__stderr__))
    return [stream for stream in streams if stream is not None]


def _own_terminal(stream: TextIO | None, original: TextIO | None) -> TextIO | None:
    """Give a stream if it is a terminal; one that somebody has replaced, as notebooks and tests do, is not ours."""
    return stream if stream is not None and stream is original and stream.isatty() else None


def _is_in_foreground(stream: TextIO) -> bool:
    """Tell whether the terminal is this process's at present, and not that of a shell that has put it aside."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except AttributeError:  # a system without jobs
        return True
    except OSError:
        return False


def _is_child_of_multiprocessing() -> bool:
    module: Any = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


def _tally(counts: TaskCounts) -> Tally:
    from towpath.console.rows import Tally

    return Tally(counts.total, counts.completed, counts.failed, counts.cached, tuple(counts.failures))


def _why(state: State[Any] | None) -> str:
    """Say why a run waits or did not complete, in a line."""
    if state is None or not state.message or state.type in {StateType.COMPLETED, StateType.RUNNING}:
        return ""
    return state.message.splitlines()[0]


#: The one of this process.
PROGRESS: Final = Progress()
os.register_at_fork(after_in_child=PROGRESS.forget)
atexit.register(PROGRESS.close)
