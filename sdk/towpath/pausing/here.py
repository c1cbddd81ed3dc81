"""Finds where pauses are kept: on one machine, in its history."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from towpath.errors import PauseError
from towpath.history.place import history_file
from towpath.names import ENV_RUN

if TYPE_CHECKING:
    from towpath.pausing.locally import LocalPauses
    from towpath.pausing.port import Pauses
    from towpath.runs import FlowRun


def pauses() -> Pauses:
    """Give where pauses of this machine are kept, open.

    Raises:
        PauseError: this is a run's pod, or the history is switched off.
        HistoryError: the history cannot be opened for writing.
    """
    global _open
    if os.environ.get(ENV_RUN):
        raise PauseError(
            "Runs in a cluster cannot be paused, suspended, resumed or sent input: that goes on one machine only."
            " There, make two deployments of the flow, and run the second when somebody has decided."
        )
    file = history_file()
    if file is None:
        raise PauseError(
            "The history is switched off: TOWPATH_HISTORY is 'off'. What runs wait for is kept in it: unset it, or name"
            " a file in it."
        )
    with _guard:
        if _open is None or _open.path != file or not file.exists():
            from towpath.pausing.locally import LocalPauses

            _kept.append(_open)
            _open = LocalPauses(file)
        return _open


def recall(run: FlowRun) -> None:
    """Give a run that is called again the id and name under which it was suspended, if it was, on this machine."""
    if not os.environ.get(ENV_RUN) and history_file() is not None:
        pauses().recall(run)


_open: LocalPauses | None = None
_kept: Final[
    list[LocalPauses | None]
] = []  # others may wait with it still; and a forked process must not close its parent's
_guard = threading.Lock()


def _forget() -> None:
    global _open, _guard
    _kept.append(_open)
    _open, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
