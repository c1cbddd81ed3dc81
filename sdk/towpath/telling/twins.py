"""Functions that are plain calls in synchronous code, and are awaited in asynchronous code: `await Variable.get(…)`.

So scripts run that were written for either. `aget` and the like are the same, typed for asynchronous code.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from towpath.context import current

P = ParamSpec("P")
T = TypeVar("T")


def either(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function give a coroutine where it is called by asynchronous code."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _is_awaited():
            return function(*args, **kwargs)
        in_loop: Any = awaited(function)(*args, **kwargs)
        return in_loop  # type: ignore[no-any-return]

    return call


def awaited(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Give a function's twin for asynchronous code; it may take its time, and the event loop goes on meanwhile."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    return call


def _is_awaited() -> bool:
    """Tell whether the code that calls is asynchronous, and not a synchronous task or flow that such code calls."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    context = current()
    definition = None if context is None else context.task or context.flow
    return definition is None or definition.is_async
