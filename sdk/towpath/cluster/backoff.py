"""How long to wait before trying again: doubling, capped, with jitter, so that a thousand pods do not knock in step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from `first_seconds` up to `most_seconds`."""

    first_seconds: float = 0.1
    most_seconds: float = 10.0

    def delay(self, failures: int, chance: float) -> float:
        """Give the seconds to wait after a failure.

        Args:
            failures: how many came before this one, from 0.
            chance: a random number in [0, 1); spreads the delay over its upper half.
        """
        whole = min(self.most_seconds, self.first_seconds * 2.0 ** min(failures, 32))
        return whole * (0.5 + chance / 2)
