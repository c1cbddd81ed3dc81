"""Running coroutines where there is no event loop to await them in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar, cast

from towpath.engine.threads import THREADS, block, here

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread, where no event loop runs.

    In a thread of ours the loop is kept for the next coroutine, which spares most of the price; as with `asyncio.run`,
    tasks that the coroutine leaves behind are cancelled.
    """
    if not here.ours:
        return asyncio.run(coroutine)
    if here.runner is None:
        here.runner = asyncio.Runner()
    runner = here.runner
    try:
        return runner.run(coroutine, context=copy_context())
    finally:
        if left := asyncio.all_tasks(runner.get_loop()):
            runner.run(_cancel(left))


def run_anywhere(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable in synchronous code; where an event loop runs in this thread, by another thread."""
    coroutine = _wrapped(awaitable)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run(coroutine)
    return cast("T", _Errand(coroutine, copy_context()).result())


class _Errand:
    """A coroutine that another thread runs for this one."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> None:
        self._coroutine = coroutine
        self._context = context
        self._value: Any = None
        self._error: BaseException | None = None
        self._done = threading.Lock()

    def result(self) -> Any:
        self._done.acquire()
        THREADS.start(self._run)
        while not block(self._done):
            continue  # an interrupt is about to be raised
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._context.run(run, self._coroutine)
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()


async def _wrapped(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
