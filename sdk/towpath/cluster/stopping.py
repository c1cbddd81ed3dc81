"""SIGTERM: ends a run in order, within its grace period, and in any case.

The first signal asks why (a cancel, or something that took the pod), interrupts user code, and leaves hooks and report
the rest of the grace period. A second one, or the end of that period, ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final, Protocol

GRACE_SECONDS: Final = 25.0
TOLD_TO_STOP: Final = 128 + signal.SIGTERM


class Stoppable(Protocol):
    """A run that can be ended in order."""

    def stop(self) -> None:
        """End it; returns when user code has been interrupted, which may be a while before it ends."""
        ...

    def exit_code(self) -> int:
        """Give the code to exit with now."""
        ...


class Stopping:
    """Listens for SIGTERM from the moment it is made: as process 1 of a container Python would not even notice it.

    Args:
        grace_seconds: how long an orderly end may take.
        exit_now: ends the process.
    """

    def __init__(self, grace_seconds: float = GRACE_SECONDS, exit_now: Callable[[int], object] = os._exit) -> None:
        self.grace_seconds, self._exit_now = grace_seconds, exit_now
        self._run: Stoppable | None = None
        self._process = os.getpid()
        self._signals = 0
        self._begun = False
        self._guard = threading.RLock()  # a signal's handler may come while its own thread holds it
        self.previous = signal.signal(signal.SIGTERM, lambda *_: self.told())

    def watch_over(self, run: Stoppable) -> None:
        """From now on end this run; at once if the signal has come already."""
        self._run = run
        if self._signals:
            self._begin()

    def told(self) -> None:
        """Take note of a signal."""
        if os.getpid() != self._process:  # forked by user code: the run is not its business, and it just ends
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._signals += 1
        if self._signals > 1:
            self._exit_now(self._code())
        elif self._run is not None:
            self._begin()

    def heard(self, number: int) -> None:
        """Take note, in any thread, of a signal that the main thread in its blocking call may not notice for long."""
        if number == signal.SIGTERM:
            self._begin()

    def exit_within(self, seconds: float) -> None:
        """End the process after so long, whatever keeps it."""
        timer = threading.Timer(seconds, lambda: self._exit_now(self._code()))
        timer.daemon = True
        timer.start()

    def _begin(self) -> None:
        """Stop the run from another thread: asking the API is nothing to do in a signal handler."""
        with self._guard:
            if self._begun or self._run is None:
                return
            self._begun = True
        self.exit_within(self.grace_seconds)
        threading.Thread(target=self._run.stop, name="towpath-stop", daemon=True).start()

    def _code(self) -> int:
        return TOLD_TO_STOP if self._run is None else self._run.exit_code()
