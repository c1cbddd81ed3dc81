"""What the tests of limits share: who is inside, who waits, and until when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from towpath.concurrency import list_limits

#: Seconds that anything may take on a busy machine.
PATIENCE: Final = 60.0


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def state() -> dict[str, tuple[float, int]]:
    """Give, for each limit, how many slots are taken, and how many wait."""
    return {limit.name: (limit.taken, len(limit.waiting)) for limit in list_limits()}


class Crowd:
    """Counts who is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self.most = self.times = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.times += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
