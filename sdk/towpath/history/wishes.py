"""What somebody outside wants of this process's runs: the writer hears of it, and the runs heed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: From the id of a flow run that is to wait to whether its process is to end meanwhile; calls in the run heed it. Empty
#: nearly always: a look costs nothing.
WISHES: Final[dict[str, bool]] = {}

#: Stands in `WISHES` for every flow run of the process: in a pod, they are all one.
ANY: Final = ""

#: From the id of a flow run that nobody has called to what cancels it, from whatever thread.
ENDINGS: Final[dict[str, Callable[[], None]]] = {}


@contextmanager
def endable(run_id: str, end: Callable[[], None]) -> Iterator[None]:
    """Have a flow run ended when somebody outside wants that.

    Args:
        run_id: its id.
        end: cancels it, from whatever thread.
    """
    ENDINGS[run_id] = end
    try:
        yield
    finally:
        ENDINGS.pop(run_id, None)
