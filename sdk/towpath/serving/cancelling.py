"""Ending a run that is in another process of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from towpath.errors import HistoryError
from towpath.history.place import history_file
from towpath.serving.bell import ring
from towpath.serving.book import Book
from towpath.serving.orders import cancelled
from towpath.serving.stops import Stranger


def cancel(run_id: str, history: Path | None = None) -> bool:
    """Ask for the end of a run; it ends CANCELLED, if it is of a served deployment within its grace period.

    A run that has not begun, and any that is suspended, is CANCELLED when this returns. Runs that it waits for end with
    it. One that goes on in a process that no server has started is ended by that, which hears of it within a second.

    Args:
        run_id: id of the run.
        history: path of the history file; that of this user by default.

    Returns:
        Whether there was anything to end: False if there is no such run, if it had ended, or if another run has called
        it in the same process, with which alone it ends.

    Raises:
        HistoryError: the history cannot be used.
    """
    file = history or history_file()
    if file is None:
        raise HistoryError("The history is switched off: TOWPATH_HISTORY is 'off'. Unset it, or name a file in it.")
    with Book(file) as book:
        now = datetime.now(UTC)
        order = book.want_cancelled(run_id, now)
        if order is None:
            return book.end_suspended(run_id, now) or book.wish_ended(run_id, now)
        if order.server is not None and ring(file, order.server):
            return True
        if order.process is None or order.pid is None:
            book.end(run_id, cancelled(order), now)
            return True
        token = order.process  # its server has gone: it ends itself when its grace period is over
        Stranger(order.pid, lambda: book.alive.is_alive(token)).stop()
        return True
