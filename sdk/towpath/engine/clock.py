"""The real clock, real dice, and the record of what runs on this machine."""

from __future__ import annotations

import threading
import time
from typing import Final

from towpath.console.progress import PROGRESS
from towpath.engine.ports import Surroundings
from towpath.engine.threads import block
from towpath.history.recorder import RECORDER


class SystemClock:
    """Time as it passes."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait in a thread, without holding a place of its task runner; an interrupt of the run ends the wait."""
        never = threading.Lock()
        never.acquire()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            block(never, left)

    async def sleep_async(self, seconds: float) -> None:
        """Wait in an event loop."""
        import asyncio

        await asyncio.sleep(seconds)


def throw_dice() -> float:
    """Give a number from 0 up to 1, each as likely."""
    import random

    return random.random()  # noqa: S311 it spreads retries


SYSTEM: Final = Surroundings(SystemClock(), throw_dice, recorder=RECORDER, screen=PROGRESS)
