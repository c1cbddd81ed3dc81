"""Functions that are plain calls in synchronous code, and are awaited in asynchronous code: `await Variable.get(…)`.

So scripts run that were written for either. `aget` and the like are the same, typed for asynchronous code.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_ASYNCHRONOUS: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
#: Code within a function that is no function to those who read it.
_WITHIN: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"})


def either(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function give a coroutine where it is called by the code of an `async def`, which can await it.

    What such code calls, a synchronous task or any other function, cannot, and gets the value at once.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _is_asynchronous(sys._getframe(1)):  # noqa: SLF001 there is no other way to see who calls
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


def _is_asynchronous(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name in _WITHIN:
        frame = frame.f_back
    return frame is not None and bool(frame.f_code.co_flags & _ASYNCHRONOUS)
