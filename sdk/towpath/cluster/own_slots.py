"""The slots of the run that this process is an attempt of: one place for all who ask in it."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.cluster.slots import ClusterSlots

_of_process: ClusterSlots | None = None
_making = threading.RLock()
_is_forked = False


def slots_of_process() -> ClusterSlots | None:
    """Give the limits for the run that this process is an attempt of; None if it is only a helper of such a process.

    Raises:
        ConfigurationError: its environment does not say how to reach the cluster.
    """
    global _of_process
    with _making:
        if _of_process is None and not _is_forked:
            _of_process = _made()
        return _of_process


def close_slots() -> None:
    """Give back what this process has, if it ever asked for anything."""
    if _of_process is not None:
        _of_process.close()


def _made() -> ClusterSlots | None:
    from towpath.cluster.launcher import launcher_of_process
    from towpath.cluster.own_watch import own_watch
    from towpath.cluster.slots import ClusterSlots

    if (launcher := launcher_of_process()) is not None:
        if launcher.process != os.getpid():
            return None
        return ClusterSlots(launcher.cluster, launcher.own, own_watch())
    from towpath.cluster.connect import connect
    from towpath.cluster.own import own_run

    own = own_run(os.environ)
    if own is None or own.entrypoint:  # the run has its engine elsewhere, and slots are counted there
        return None
    atexit.register(close_slots)
    return ClusterSlots(connect(namespace=own.namespace or None), own, own_watch())


def _after_fork() -> None:
    global _making, _of_process, _is_forked
    _making, _of_process, _is_forked = threading.RLock(), None, True


os.register_at_fork(after_in_child=_after_fork)
