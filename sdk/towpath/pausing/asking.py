"""Asking a run from outside to wait at its next call of a task or flow."""

from __future__ import annotations

from towpath.errors import PauseError
from towpath.pausing.here import pauses
from towpath.pausing.port import Standing
from towpath.states import StateType


def ask(which: str, *, is_suspension: bool) -> Standing:
    """Ask a run to pause, or to be suspended, at its next call of a task or flow; gives the run.

    Its process hears of it within a second or so.

    Raises:
        NoSuchRun: there is none.
        PauseError: it has ended, waits already, or cannot be suspended.
    """
    book = pauses()
    standing = book.find(which)
    if standing.state.is_terminal:
        raise PauseError(f"Run {standing.name!r} cannot be paused: it has ended, {standing.state_name}.")
    if standing.state is StateType.PAUSED:
        raise PauseError(f"Run {standing.name!r} is {standing.state_name} already.")
    book.ask(standing.id, is_suspension=is_suspension)
    return standing
