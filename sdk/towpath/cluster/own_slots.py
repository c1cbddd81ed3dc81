"""The slots of the run that this process is an attempt of: one place for all who ask in it."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Final

from towpath.concurrency.nowhere import Nowhere
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.cluster.slots import ClusterSlots
    from towpath.concurrency.port import Slots

_IN_A_HELPER: Final = (
    "This process was started by the code of a run in a cluster, and slots are counted in the process of the run's flow"
    " alone. Ask for them there, or in a task: tasks in process pools and on Dask ask there by themselves."
)
_WITHOUT_ACCESS: Final = (
    "A container with a command of its own has no access to the Kubernetes API unless its pod template gives it some:"
    " serviceAccountName: towpath-runner, automountServiceAccountToken: true."
)
_of_process: ClusterSlots | None = None
_making = threading.RLock()
_is_forked = False


def slots_of_process() -> Slots:
    """Give the limits for the run that this process is an attempt of, if it may ask for slots for it."""
    global _of_process
    with _making:
        if _of_process is None:
            made = Nowhere(_IN_A_HELPER) if _is_forked else _made()
            if isinstance(made, Nowhere):
                return made
            _of_process = made
        return _of_process


def close_slots() -> None:
    """Give back what this process has, if it ever asked for anything."""
    if _of_process is not None:
        _of_process.close()


def _made() -> ClusterSlots | Nowhere:
    from towpath.cluster.launcher import launcher_of_process
    from towpath.cluster.own_watch import own_watch
    from towpath.cluster.slots import ClusterSlots

    if (launcher := launcher_of_process()) is not None:
        if launcher.process != os.getpid():
            return Nowhere(_IN_A_HELPER)
        return ClusterSlots(launcher.cluster, launcher.own, own_watch())
    from towpath.cluster.connect import connect
    from towpath.cluster.own import own_run

    own = own_run(os.environ)
    if own is None or own.entrypoint:  # the run has its engine elsewhere, and slots are counted there
        return Nowhere(_IN_A_HELPER)
    try:
        cluster = connect(namespace=own.namespace or None)
    except ConfigurationError:
        return Nowhere(_WITHOUT_ACCESS)
    atexit.register(close_slots)
    return ClusterSlots(cluster, own, own_watch())


def _after_fork() -> None:
    global _making, _of_process, _is_forked
    _making, _of_process, _is_forked = threading.RLock(), None, True


os.register_at_fork(after_in_child=_after_fork)
