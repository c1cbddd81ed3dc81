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
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from towpath.console.view import View
    from towpath.runs import FlowRun


class Progress:
    """The runs of this process, shown on its standard error while they go."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._view: View | None = None
        self._input: Callable[..., str] = builtins.input
        self._uncover: Callable[[], None] | None = None

    def enter(self, run: FlowRun) -> None:
        """Take note that a flow run has entered a state; most is known already."""
        view = self._view
        if run.parent_id is None and (view is None or run.id not in view.roots):
            if not is_watched():
                return
            with self._lock:
                view = self._begun()
                view.roots.add(run.id)
        if view is not None and run.root_id in view.roots:
            view.add(run)

    def leave(self, run: FlowRun) -> None:
        """Take note that a flow run has told its end; after that of the last at the top, the last drawing stays."""
        if self._view is None:
            return
        with self._lock:
            if (view := self._view) is None:
                return
            view.let_go(run)
            view.roots.discard(run.id)
            if view.roots:
                return
            self._put_away()
        view.close()

    def close(self) -> None:
        """Draw what is left to draw, and leave the terminal as it was."""
        with self._lock:
            view = self._view
            self._put_away()
        if view is not None:
            view.close()

    def give_way(self) -> None:
        """Draw no more while these runs go: somebody else writes to the terminal, a child process for one."""
        if (view := self._view) is not None:
            view.give_way()

    def forget(self) -> None:
        """Begin anew, as a forked process has to."""
        self._lock = threading.RLock()
        if self._view is not None:
            self._view.forget()
        self._put_away()

    def _begun(self) -> View:
        from towpath.console.streams import tell_of_children
        from towpath.console.view import View

        if self._view is None:
            self._view = View()
            self._input, builtins.input = builtins.input, self._ask  # debuggers ask by it too
            self._uncover = tell_of_children(self.give_way)
            self._view.start()
        return self._view

    def _put_away(self) -> None:
        self._view = None
        if builtins.input == self._ask:
            builtins.input = self._input
        if self._uncover is not None:
            self._uncover()
            self._uncover = None

    def _ask(self, prompt: Any = "", /) -> str:
        """Ask for input, on a terminal that nobody draws on any more."""
        self.give_way()
        return self._input(prompt)


def is_watched() -> bool:
    """Tell whether somebody may look at this process's standard error, and wants to see how runs go."""
    if not os.isatty(2):  # as in most processes: nothing has to be loaded to know
        return False
    from towpath import settings
    from towpath.console.looks import is_capable
    from towpath.console.streams import own_terminal
    from towpath.console.view import is_in_foreground

    try:
        return (
            (stream := own_terminal(sys.stderr, sys.__stderr__)) is not None
            and is_capable(stream)
            and settings.log_format() == "text"
            and settings.progress()
            and not _is_child_of_multiprocessing()
            and is_in_foreground(stream)
        )
    except ValueError:  # it is closed
        return False


def _is_child_of_multiprocessing() -> bool:
    module: Any = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


#: The one of this process.
PROGRESS: Final = Progress()
os.register_at_fork(before=PROGRESS.give_way, after_in_child=PROGRESS.forget)
atexit.register(PROGRESS.close)
