"""Asking a run from outside to wait at its next call of a task or flow."""

from __future__ import annotations

from towpath.errors import PauseError
from towpath.pausing.here import steering
from towpath.pausing.port import Standing, Steering
from towpath.states import StateType


def ask(which: str, *, is_suspension: bool, book: Steering | None = None) -> Standing:
    """Ask a run to pause, or to be suspended, at its next call of a task or flow; gives the run.

    Its process hears of it within a second or so.

    Args:
        which: its id or name.
        is_suspension: whether its process is to end meanwhile.
        book: where it is steered; None: wherever it is found.

    Raises:
        NoSuchRun: there is none.
        PauseError: it has ended, waits already, or cannot be suspended.
    """
    if book is None:
        with steering(which) as found:
            return ask(which, is_suspension=is_suspension, book=found)
    standing = book.find(which)
    if standing.state.is_terminal:
        raise PauseError(f"Run {standing.name!r} cannot be paused: it has ended, {standing.state_name}.")
    if standing.state is StateType.PAUSED:
        raise PauseError(f"Run {standing.name!r} is {standing.state_name} already.")
    book.ask(standing.id, is_suspension=is_suspension)
    return standing
