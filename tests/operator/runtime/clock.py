"""Runs a test's coroutine: on a fake clock, or on the real one where real sockets are in play."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, cast

import looptime

P = ParamSpec("P")


def fake_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run the test on a clock that jumps to the next thing to happen: an hour's wait takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = cast("asyncio.AbstractEventLoop", looptime.new_event_loop(start=1000.0))
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_awaited(test(*args, **kwargs)))

    return run


def real_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run the test in an event loop; it is given half a minute."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(_awaited(test(*args, **kwargs)), 30))

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait until something has become so; the test's own limit ends the wait."""
    while not condition():  # noqa: ASYNC110 - whatever it is, nobody sets an event for it
        await asyncio.sleep(0.002)


async def _awaited(outcome: Awaitable[None]) -> None:
    await outcome
