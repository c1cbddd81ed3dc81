"""Which of this process's runs somebody outside wants to wait: the writer hears of it, calls in the runs heed it."""

from __future__ import annotations

from typing import Final

#: From the id of a flow run to whether its process is to end meanwhile. Empty nearly always: a look costs nothing.
WISHES: Final[dict[str, bool]] = {}
