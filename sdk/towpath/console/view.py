"""One drawing, from the first run at the top to the end of the last: a thread that looks at runs and draws them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
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
#: Runs that have ended and are still kept as rows of their own.
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
        return Row(
            id=run.id,
            parent_id=run.parent_id,
            name=run.name,
            flow=run.flow_name,
            type=state.type if state else StateType.PENDING,
            state=state.name if state else "Pending",
            seconds=None if run.started is None else time.monotonic() - self._began,
            tasks=_tally(run.tasks),
            why=_why(state),
        )


class View:
    """The drawing on this process's standard error, and what is drawn."""

    def __init__(self) -> None:
        self.roots: set[str] = set()
        """Ids of the runs at the top that go on."""
        self._entries: dict[str, Entry] = {}
        self._dropped: Counter[StateType] = Counter()
        self._lock = threading.RLock()  # a signal handler that prints may find it held by its own thread
        self._over = threading.Event()
        self._gave_way = False
        self._held: HeldBack | None = None
        self._picture: Picture | None = None
        self._thread = threading.Thread(target=self._run, name="towpath-progress", daemon=True)

    def start(self) -> None:
        """Begin to draw, in a while."""
        with suppress(RuntimeError):  # no thread can be had any more, as at the very end of the process
            self._thread.start()

    def add(self, run: FlowRun) -> None:
        """Show a run, from now on; it may be shown already."""
        if run.id not in self._entries:
            with self._lock:
                self._entries[run.id] = Entry(run)

    def let_go(self, run: FlowRun) -> None:
        """Take note that a run has ended."""
        with self._lock:
            if (entry := self._entries.get(run.id)) is not None:
                entry.let_go()
            self._drop()

    def close(self) -> None:
        """Draw for the last time, and leave the terminal as it was."""
        self._over.set()
        try:
            if self._thread.is_alive() and self._thread is not threading.current_thread():
                self._thread.join(_CLOSE_SECONDS)
        finally:
            with self._lock:
                self._gave_way = True
                held, picture = self._take_down()
                if held is not None and picture is not None:
                    text = held.let_go()
                    with suppress(OSError):  # the terminal has gone
                        picture.close(self._rows(), text, dropped=self._dropped)

    def give_way(self, above: str = "") -> None:
        """Draw no more: somebody else has the terminal now. What was held back is written first."""
        with self._lock:
            self._gave_way = True
            held, picture = self._take_down()
            if held is not None and picture is not None:
                text = above + held.let_go()
                with suppress(OSError):  # the terminal has gone
                    picture.erase(text)

    def forget(self) -> None:
        """Let the streams go, in a forked process: what was to be drawn is its parent's business."""
        if self._held is not None:
            self._held.let_go()

    def _take_down(self) -> tuple[HeldBack | None, Picture | None]:
        there = self._held, self._picture
        self._held = self._picture = None
        return there

    def _run(self) -> None:
        if self._over.wait(DELAY_SECONDS):
            return
        try:
            from towpath.console.live import Picture
        except ImportError:  # without rich, the log says it in plain lines
            return
        try:
            with self._lock:
                if self._gave_way:
                    return
                from towpath.console.streams import HeldBack, terminals

                self._picture = Picture(sys.stderr)
                self._held = HeldBack(terminals(), self._draw)
            self._draw_until_over()
        except Exception as error:  # whatever it is, it is no trouble of the runs
            self.give_way()
            from towpath.loggers import get_logger

            get_logger("towpath.console").debug("Runs are shown no more: %r", error)

    def _draw_until_over(self) -> None:
        drawn, pause = 0.0, 0.0
        while (held := self._held) is not None and not self._over.wait(max(_BEAT_SECONDS, pause)):
            began = time.monotonic()
            if began - drawn >= _REDRAW_SECONDS or held.waits:
                self._draw()
                drawn = time.monotonic()
                pause = (drawn - began) * _REST

    def _draw(self) -> None:
        """Draw, with what the program has printed above; what draws itself gets the terminal to itself."""
        from towpath.console.streams import draws

        with self._lock:
            if self._held is None or self._picture is None:
                return
            above = self._held.take()
            if draws(above) or not is_in_foreground(sys.stderr):
                self.give_way(above)
            else:
                self._picture.draw(self._rows(), above, dropped=self._dropped)

    def _rows(self) -> list[Row]:
        return [entry.look() for entry in self._entries.values()]

    def _drop(self) -> None:
        """Drop the oldest runs that have ended, where there are too many: memory stays bounded."""
        if len(self._entries) <= 2 * _KEPT:
            return
        parents = {entry.row.parent_id for entry in self._entries.values()}
        ended = [
            run_id
            for run_id, entry in self._entries.items()
            if entry.row.type.is_terminal and run_id not in parents and run_id not in self.roots
        ]
        for run_id in ended[:-_KEPT]:
            self._dropped[self._entries.pop(run_id).row.type] += 1


def is_in_foreground(stream: TextIO) -> bool:
    """Tell whether a terminal is this process's at present, and not that of a shell that has put it aside."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except AttributeError:  # a system without jobs
        return True
    except OSError:
        return False


def _tally(counts: TaskCounts) -> Tally:
    from towpath.console.rows import Tally

    return Tally(counts.total, counts.completed, counts.failed, counts.cached, tuple(counts.failures))


def _why(state: State[Any] | None) -> str:
    """Say why a run waits or did not complete, in a line."""
    if state is None or not state.message or state.type in {StateType.COMPLETED, StateType.RUNNING}:
        return ""
    return state.message.splitlines()[0]
