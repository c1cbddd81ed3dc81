"""Where limits are kept, for code that runs here: in the history file on one machine."""

from __future__ import annotations

import os

from towpath.concurrency.nowhere import Nowhere
from towpath.concurrency.port import Slots
from towpath.names import ENV_RUN

_IN_A_POD = (
    "This run is in a cluster, where Towpath keeps no limits yet: they hold among the runs of one machine only."
    " Bound what the flow does at once by its task runner, such as ThreadPoolTaskRunner(max_workers=4)."
)
_SWITCHED_OFF = (
    "Limits are kept in the history, which is switched off: TOWPATH_HISTORY is 'off'. Unset it, or name a file in it."
)


def slots() -> Slots:
    """Give the place where the limits are that hold here."""
    if os.environ.get(ENV_RUN):
        return Nowhere(_IN_A_POD)
    from towpath.history.place import history_file

    path = history_file()
    if path is None:
        return Nowhere(_SWITCHED_OFF)
    from towpath.concurrency.local import local_slots

    return local_slots(path)
