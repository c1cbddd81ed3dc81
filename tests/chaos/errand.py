"""What goes on in the background of a round, and must not fail unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Errand(threading.Thread):
    """Something that is done in the background, of which it must be known whether it was."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._do, self._failed = do, list[Exception]()

    def run(self) -> None:
        """Do it."""
        try:
            self._do()
        except Exception as error:
            self._failed.append(error)

    def finish(self) -> None:
        """Wait for it; raises what it has raised."""
        self.join()
        for error in self._failed:
            raise error
