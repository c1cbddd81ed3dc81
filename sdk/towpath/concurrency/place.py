"""Where limits are kept, for code that runs here: in the history file on one machine, or in the cluster of a pod."""

from __future__ import annotations

import os

from towpath.concurrency.nowhere import Nowhere
from towpath.concurrency.port import Slots
from towpath.context import current
from towpath.names import ENV_RUN

_SWITCHED_OFF = (
    "Limits are kept in the history, which is switched off: TOWPATH_HISTORY is 'off'. Unset it, or name a file in it."
)


def slots() -> Slots:
    """Give the place where the limits are that hold here."""
    context = current()
    if context is not None and context.scope is not None and (given := context.scope.surroundings.slots) is not None:
        return given
    if os.environ.get(ENV_RUN):
        from towpath.cluster.own_slots import slots_of_process

        return slots_of_process()
    from towpath.history.place import history_file

    path = history_file()
    if path is None:
        return Nowhere(_SWITCHED_OFF)
    from towpath.concurrency.local import local_slots

    return local_slots(path)
