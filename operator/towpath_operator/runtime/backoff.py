"""How long to wait after a failure: doubling, capped, and never the same for two at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: `base`, twice that, and so on up to `cap`, each shortened by up to half at random.

    Half stays fixed so that a delay is never next to nothing; the rest keeps many waiters from coming back together.
    """

    base: float
    cap: float
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Give the delay after so many failures in a row, counted from 1."""
        full = min(self.cap, self.base * 2.0 ** min(failures - 1, 32))
        return full * (0.5 + 0.5 * self.random())
