"""Work that is written once for synchronous and asynchronous code: a generator of what may have to be awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[Awaitable[Any], Any, T]


def settled(steps: Steps[T]) -> T:
    """Go, in synchronous code, through steps that may have to await something."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaitable = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        from towpath.engine.loops import run_anywhere

        answer = error = None
        try:
            answer = run_anywhere(awaitable)
        except BaseException as caught:
            error = caught


async def settled_async(steps: Steps[T]) -> T:
    """Go through steps that may have to await something."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaitable = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answer = error = None
        try:
            answer = await awaitable
        except BaseException as caught:
            error = caught
