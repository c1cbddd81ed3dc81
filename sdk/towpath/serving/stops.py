"""Processes that were asked to end, and are ended at once if they have not by the end of their grace period."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

#: Processes end themselves when their grace period is over; this much later somebody else does it.
_MARGIN_SECONDS: Final = 2.0


class Ending(Protocol):
    """A process that may be ended."""

    def stop(self) -> None:
        """Ask it to end in order."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    @property
    def exit_code(self) -> int | None:
        """None while it is there."""
        ...


class Stranger:
    """A run's process that another server has started.

    Args:
        pid: its id.
        is_alive: tells whether the process that had this id then is there still.
    """

    def __init__(self, pid: int, is_alive: Callable[[], bool]) -> None:
        self._pid, self._is_alive = pid, is_alive

    def stop(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    @property
    def exit_code(self) -> int | None:
        """None while it is there; how it ended is not known."""
        return None if self._is_alive() else 0

    def _send(self, number: int) -> None:
        if self._is_alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, number)


class Stops:
    """What was asked to end, by the id of its run.

    Args:
        grace_seconds: how long an orderly end may take.
        monotonic: seconds on a clock that never jumps.
    """

    def __init__(self, grace_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._monotonic = grace_seconds + _MARGIN_SECONDS, monotonic
        self._ending: dict[str, tuple[Ending, float]] = {}

    def stop(self, run_id: str, process: Ending) -> None:
        """Ask a process to end, once."""
        if run_id not in self._ending:
            self._ending[run_id] = process, self._monotonic() + self._seconds
            process.stop()

    def turn(self) -> float | None:
        """End those whose time is over; give the seconds until that of the next is, if there is one."""
        now = self._monotonic()
        self._ending = {run_id: one for run_id, one in self._ending.items() if one[0].exit_code is None}
        for process, deadline in self._ending.values():
            if deadline <= now:
                process.kill()
        return min((deadline - now for _, deadline in self._ending.values() if deadline > now), default=None)
