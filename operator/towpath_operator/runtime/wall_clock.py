"""Notices that the clock was set, or that the machine slept.

Timers go by time as it passes, but what they wait for goes by the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_LOOK_SECONDS: Final = 1.0
#: Less is what a clock is slowed down or sped up by when it is kept in order, or a look that came late.
_STEP_SECONDS: Final = 0.5


async def feel_steps(stepped: Callable[[float], None], clock: Callable[[], float] = time.time) -> None:
    """Look at the clock for ever.

    Args:
        stepped: called when it was set, with the seconds by which it went ahead; negative if it went back.
        clock: Unix time in seconds.
    """
    loop = asyncio.get_running_loop()
    ahead = clock() - loop.time()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        before, ahead = ahead, clock() - loop.time()
        if abs(ahead - before) > _STEP_SECONDS:
            stepped(ahead - before)
