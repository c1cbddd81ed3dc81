"""How long a run waits before it is tried again; pure, the dice are handed in.

@task(retries=3, retry_delay_seconds=10)                                  # 10, 10, 10
@task(retries=3, retry_delay_seconds=[1, 10])                             # 1, 10, 10
@task(retries=3, retry_delay_seconds=exponential_backoff(2))              # 2, 4, 8
@task(retries=3, retry_delay_seconds=10, retry_jitter_factor=0.5)         # each between 6 and 15, 10 or so on average
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from towpath.errors import ConfigurationError

DelaySpec: TypeAlias = float | Sequence[float] | Callable[[int], Sequence[float]]
"""Seconds; a list, whose last entry repeats; or a function from the number of retries to such a list."""

MAX_DELAYS: Final = 50


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Make delays that double: `backoff_factor` seconds, then twice that, then four times …

    Use: `@task(retries=5, retry_delay_seconds=exponential_backoff(10))`.

    Args:
        backoff_factor: first delay, in seconds.
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**i for i in range(min(retries, MAX_DELAYS))]

    return delays


def delays_of(spec: DelaySpec | None, retries: int) -> tuple[float, ...]:
    """Spell a delay specification out; an empty tuple means no delay.

    Raises:
        ConfigurationError: a delay is no finite, non-negative number, or there are more than 50.
    """
    if spec is None:
        return ()
    listed = spec(retries) if callable(spec) else spec
    delays = tuple(listed) if isinstance(listed, Sequence) else (listed,)
    if len(delays) > MAX_DELAYS:
        raise ConfigurationError(
            f"retry_delay_seconds has {len(delays)} entries; at most {MAX_DELAYS} are allowed. "
            "The last entry repeats, so a shorter list may say the same."
        )
    for delay in delays:
        if isinstance(delay, bool) or not isinstance(delay, (int, float)) or not 0 <= delay < math.inf:
            raise ConfigurationError(f"retry_delay_seconds must be seconds, 0 or more; got {delay!r}.")
    return tuple(float(delay) for delay in delays)


def delay_before(delays: Sequence[float], retry: int) -> float:
    """Give the delay before a retry, counted from 1; the last delay repeats."""
    return delays[min(retry, len(delays)) - 1] if delays else 0.0


def jittered(delay: float, factor: float, dice: Callable[[], float]) -> float:
    """Spread a delay, so that runs which failed together are not tried again together.

    Delays follow an exponential distribution that is cut off above at `delay * (1 + factor)`, and below so that `delay`
    stays in the middle of it.

    Args:
        delay: seconds.
        factor: 0 leaves the delay as it is.
        dice: gives a number from 0 up to 1, each as likely.
    """
    if factor <= 0 or delay <= 0:
        return delay
    highest = 1 + factor
    lowest = -math.log2(1 - 2**-highest)
    p_low, p_high = -math.expm1(-lowest), -math.expm1(-highest)
    drawn = -math.log1p(-(p_low + dice() * (p_high - p_low)))
    return delay * min(max(drawn, lowest), highest)
