"""Whether the operator is alive and ready, as the kubelet asks: not whether a server answers, but whether it works.

Alive means that each watch was heard of lately, that none was caught missing changes, that the event loop turns, and
that work gets done. All of that a restart can mend. What a restart cannot mend does not count: a process that has not
heard anything yet has nothing to win by starting again, so an API server that is away costs one restart and not a row
of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

#: Seconds without any progress while there is work.
_STUCK_SECONDS: Final = 120.0
#: Seconds by which the event loop may be late.
_LAG_SECONDS: Final = 5.0


class Health:
    """What is known of the operator's well-being.

    Args:
        stale_seconds: silence of a watch that counts as stale.
        stuck_seconds: tells for how long work has been waiting without progress.
        clock: seconds that never go back.
    """

    def __init__(
        self, *, stale_seconds: float, stuck_seconds: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stale_seconds = stale_seconds
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._heard: dict[tuple[str, str | None], float] = {}
        self._missed: dict[str, int] = {}
        self._lags: deque[float] = deque(maxlen=15)
        self._not_ready: str | None = "Starting."

    def heard(self, plural: str, namespace: str | None) -> None:
        """Note a sign of life of a kind's list or watch, in a namespace or (None) in all."""
        self._heard[plural, namespace] = self._clock()

    def missed(self, plural: str, count: int) -> None:
        """Note that a watch was open and did not tell of changes; it never recovers from that."""
        self._missed[plural] = self._missed.get(plural, 0) + count

    def ready(self) -> None:
        """Note that everything is known and work has begun."""
        self._not_ready = None

    def stopping(self) -> None:
        """Note that no more work is begun."""
        self._not_ready = "Stopping."

    async def feel_the_loop(self, interval: float = 1.0) -> NoReturn:
        """Measure for ever how late the event loop is."""
        while True:
            began = self._clock()
            await asyncio.sleep(interval)
            self._lags.append(max(0.0, self._clock() - began - interval))

    def illness(self) -> list[str]:
        """Give what is wrong so that only a restart helps, a sentence each; nothing: alive."""
        found = [
            f"The watch on {plural}{f' in {namespace}' if namespace else ''} was last heard {silence:.0f} s ago."
            for (plural, namespace), at in self._heard.items()
            if (silence := self._clock() - at) > self._stale_seconds
        ]
        found += [f"The watch on {plural} missed {count} changes." for plural, count in self._missed.items()]
        if self._lags and (lag := max(self._lags)) > _LAG_SECONDS:
            found.append(f"The event loop was {lag:.0f} s late.")
        if self._not_ready is None and (stuck := self._stuck_seconds()) > _STUCK_SECONDS:
            found.append(f"No object was worked on to its end for {stuck:.0f} s, though some wait for it.")
        return found

    def unreadiness(self) -> list[str]:
        """Give why the operator does not work (yet, or any more), a sentence each; nothing: ready."""
        return [self._not_ready] if self._not_ready else []
