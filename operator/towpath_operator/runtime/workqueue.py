"""What has to be looked at: keys, each at most once in the queue and at most once at work.

The shape is client-go's: a key that is added while it is at work is queued again when that work is done, so no change
is lost and none is handled twice at once. On top of it there is one timer a key (the latest wish to look again wins)
and one back-off a key, both on a single heap with a single timer of the event loop behind it. Changes come in bursts (a
Job, its pod, its pod's node, and the answers to our own writes, within some milliseconds): a key that was just worked
on rests for a moment, so that one look sees them all.

All times are the running event loop's, so that tests run on a fake one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

from towpath_operator.runtime.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys that are due, keys that will be, and how often a key has failed in a row.

    Args:
        backoff: delays of keys that fail.
        rest: seconds for which a key is not given out again after the work on it has ended.
    """

    def __init__(self, backoff: Backoff, *, rest: float = 0.0) -> None:
        self._backoff = backoff
        self._rest = rest
        self._ready: asyncio.Queue[K | None] = asyncio.Queue()
        self._queued: dict[K, float] = {}  # since when; in the order of the queue
        self._working: dict[K, float] = {}  # since when
        self._resting: set[K] = set()
        self._again: set[K] = set()  # added while at work or resting
        self._due: dict[K, float] = {}  # the one valid timer of a key; heap entries that differ are leftovers
        self._heap: list[tuple[float, int, K]] = []
        self._serial = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None
        self._failures: dict[K, int] = {}
        self._waiting = 0
        self._stopped = False
        self._last_done: float | None = None

    def __len__(self) -> int:
        """Count the keys that are due and wait for a worker."""
        return len(self._queued)

    def add(self, key: K) -> None:
        """Have a key looked at as soon as a worker is free, and the key has rested."""
        if key in self._working or key in self._resting:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)

    def set_timer(self, key: K, seconds: float | None) -> None:
        """Have a key looked at after so many seconds, instead of when any earlier timer said; None: no timer."""
        if seconds is None:
            self._due.pop(key, None)
            return
        self._due[key] = when = asyncio.get_running_loop().time() + seconds
        heapq.heappush(self._heap, (when, next(self._serial), key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._set_alarm()

    def ring_all(self) -> None:
        """Have every key that has a timer looked at now: what the timers were set for goes by a clock that was set."""
        for key in self._due:
            self.add(key)
        self._due.clear()

    def failed(self, key: K, *, at_least: float = 0.0) -> float:
        """Count a failure and have the key looked at after its back-off, or `at_least` seconds; give the delay."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.delay(failures), at_least)
        self.set_timer(key, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Drop a key's timer and failures: its object is gone."""
        self.succeeded(key)
        self.set_timer(key, None)

    async def get(self) -> K | None:
        """Wait for a key and take it; `done` must follow. None: the queue was stopped."""
        if self._stopped:
            return None
        self._waiting += 1
        try:
            key = await self._ready.get()
        finally:
            self._waiting -= 1
        if key is None or self._stopped:
            return None
        del self._queued[key]
        self._working[key] = asyncio.get_running_loop().time()
        return key

    def done(self, key: K) -> None:
        """Say that the work on a key has ended, well or not."""
        del self._working[key]
        self._last_done = asyncio.get_running_loop().time()
        self._resting.add(key)
        if self._rest:
            asyncio.get_running_loop().call_later(self._rest, self._has_rested, key)
        else:
            self._has_rested(key)

    def _has_rested(self, key: K) -> None:
        self._resting.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def stop(self) -> None:
        """Give out no more keys; whoever waits in `get` is told so."""
        self._stopped = True
        for _ in range(self._waiting):
            self._ready.put_nowait(None)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def stuck_seconds(self) -> float:
        """Tell for how long there has been work and none of it got done."""
        began = [next(iter(since.values())) for since in (self._queued, self._working) if since]
        if not began:
            return 0.0
        progress = min(began) if self._last_done is None else max(min(began), self._last_done)
        return asyncio.get_running_loop().time() - progress

    def _set_alarm(self) -> None:
        if not self._heap or self._stopped:
            return
        when = self._heap[0][0]
        if self._alarm is not None:
            if self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        assert self._alarm is not None
        # The loop fires timers a clock tick early: reading the clock alone could find the first not yet due.
        now = max(asyncio.get_running_loop().time(), self._alarm.when())
        self._alarm = None
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
        self._set_alarm()
