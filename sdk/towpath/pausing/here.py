"""Finds where pauses are kept: in a run's pod in its FlowRun, else on this machine in its history."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from towpath.errors import ConfigurationError, NoSuchRun, PauseError
from towpath.history.place import history_file
from towpath.names import ENV_RUN

if TYPE_CHECKING:
    from towpath.pausing.locally import LocalPauses
    from towpath.pausing.port import Messages, Steering, Waiting
    from towpath.runs import FlowRun


def pauses() -> Waiting:
    """Give where pauses of this process's runs are kept, open.

    Raises:
        PauseError: the history is switched off.
        HistoryError: the history cannot be opened for writing.
        ConfigurationError: this is a run's pod, and how to reach the cluster cannot be told.
    """
    if os.environ.get(ENV_RUN):
        from towpath.cluster.listening import pauses_of_process

        return pauses_of_process()
    return local_pauses()


def local_pauses() -> LocalPauses:
    """Give where pauses of this machine are kept, open.

    Raises:
        PauseError: the history is switched off.
        HistoryError: the history cannot be opened for writing.
    """
    global _open
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


@contextmanager
def steering(which: str) -> Iterator[Steering]:
    """Open where a run can be steered: a pod's own cluster, this machine if it knows the run, else the cluster.

    Args:
        which: id or name of the run.

    Raises:
        NoSuchRun: this machine does not know it, and no cluster is named.
        PauseError: the history is switched off, and no cluster is named.
        AmbiguousRun: there are several here.
    """
    if os.environ.get(ENV_RUN):
        from towpath.cluster.listening import steering_of_process

        with steering_of_process() as book:
            yield book
        return
    try:
        here = local_pauses()
        here.find(which)
    except (NoSuchRun, PauseError) as error:
        unknown = error
    else:
        yield here
        return
    from towpath.cluster.connect import connect
    from towpath.cluster.steering import steering_over

    try:
        cluster = connect()
    except ConfigurationError:
        raise unknown from None
    with steering_over(cluster) as book:
        yield book


def messages() -> Messages:
    """Give where messages between the runs of this machine are kept, open.

    Raises:
        PauseError: this is a run's pod, or the history is switched off.
        HistoryError: the history cannot be opened for writing.
    """
    if os.environ.get(ENV_RUN):
        raise PauseError(
            "Runs in a cluster cannot send each other input while they run; on one machine they can. Have the run wait"
            " for input (pause_flow_run, suspend_flow_run), call a flow or a deployment with parameters, or use a queue"
            " or a database of your own."
        )
    return local_pauses()


def recall(run: FlowRun) -> None:
    """Give a run that is called again the id and name under which it was suspended, if it was, on this machine."""
    if not os.environ.get(ENV_RUN) and history_file() is not None:
        local_pauses().recall(run)


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
