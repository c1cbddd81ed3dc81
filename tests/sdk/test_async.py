"""Async flows and tasks: the same engine, awaited."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from towpath import allow_failure, flow, runtime, task
from towpath.errors import FlowRunFailed, ParameterError, RunTimeout, UpstreamNotReady
from towpath.states import Failed, State


@task
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def sync_double(x: int) -> int:
    return 2 * x


@task
async def fail() -> None:
    raise ValueError("no")


@flow
async def child(x: int) -> int:
    return await double(x) + 1


def run(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run an async flow made of a function."""
    return asyncio.run(flow(fn)(*args, **kwargs))


def test_awaited_calls() -> None:
    """Tasks, sync tasks and children within an async flow; values come back."""

    async def main(x: int) -> list[int]:
        return [await double(x), sync_double(x), await child(x), *await asyncio.gather(double(1), double(2), child(3))]

    assert run(main, "5") == [10, 10, 11, 2, 4, 7]


def test_futures_within_an_event_loop() -> None:
    """Submitted runs go on in threads; their futures are awaited, passed on, or asked for results."""

    async def main() -> list[Any]:
        future = double.submit(1)
        mapped = double.map([1, 2])
        return [
            await future,
            await double(future),
            await sync_double.submit(future),
            mapped.result(),
            await child.submit(2),
        ]  # type: ignore[arg-type]

    assert run(main) == [2, 4, 4, [2, 4], 5]


def test_exceptions_and_states() -> None:
    """Raised where awaited; a state on request; NotReady as for sync ones."""

    async def main() -> list[str]:
        with pytest.raises(ValueError, match="no"):
            await fail()
        bad = fail.submit()
        with pytest.raises(UpstreamNotReady):
            await double(bad)  # type: ignore[arg-type]
        seen = await task(tell)(allow_failure(bad))
        state = await fail(return_state=True)
        return [state.name, seen]

    async def tell(x: Any) -> str:
        return type(x).__name__

    assert run(main) == ["Failed", "ValueError"]
    with pytest.raises(ParameterError):
        asyncio.run(child("x"))  # type: ignore[call-overload]
    assert asyncio.run(child("x", return_state=True)).is_failed()


def test_a_returned_state_unfolds() -> None:
    """As in sync flows."""

    async def main() -> Any:
        return Failed(message="own")

    with pytest.raises(FlowRunFailed, match="own"):
        run(main)


def test_retries_do_not_block_the_loop(naps: list[float]) -> None:
    """Delays are awaited; the run's facts count on."""

    @task(retries=2, retry_delay_seconds=4)
    async def tried() -> int:
        if runtime.task_run.run_count < 3:
            raise ValueError
        return runtime.task_run.run_count

    assert asyncio.run(tried()) == 3
    assert naps == [4, 4]


def test_generators_give_lists() -> None:
    """Awaited a list; `async for` goes through it."""

    @flow
    async def stream(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def main() -> list[int]:
        return [i async for i in stream(2)] + await stream(1)  # type: ignore[attr-defined]

    assert asyncio.run(stream(3)) == [0, 1, 2]
    assert asyncio.run(main()) == [0, 1, 0]
    assert asyncio.run(stream(1, return_state=True)).result() == [0]


def test_context_is_the_awaiting_ones() -> None:
    """Each run sees itself; side by side they do not mix, and context variables of the caller are there."""
    variable = contextvars.ContextVar("variable", default="unset")

    @task
    async def who(i: int) -> tuple[int, str | None, str]:
        await asyncio.sleep(0)
        return i, runtime.task_run.name, variable.get()

    async def main() -> list[Any]:
        variable.set("set")
        return [*await asyncio.gather(*(who(i) for i in range(3))), runtime.task_run.name]

    assert run(main) == [(0, "who-0", "set"), (1, "who-1", "set"), (2, "who-2", "set"), None]


def test_timeouts_cancel() -> None:
    """A coroutine that runs too long is cancelled, its cleanup runs, and the run is TimedOut."""
    cleaned: list[str] = []

    @task(timeout_seconds=0.01)
    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append("task")

    @flow(timeout_seconds=0.01)
    async def main() -> None:
        await asyncio.sleep(10)

    with pytest.raises(RunTimeout, match=r"0\.01 s"):
        asyncio.run(slow())
    assert cleaned == ["task"]
    state = asyncio.run(main(return_state=True))
    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert slow.submit(return_state=True).name == "TimedOut"


def test_a_timeout_of_user_code_is_its_own() -> None:
    """A TimeoutError that the author's code raises comes out as it is."""
    own = TimeoutError("own")

    @task(timeout_seconds=10)
    async def late() -> None:
        raise own

    with pytest.raises(TimeoutError) as raised:
        asyncio.run(late())
    assert raised.value is own


def test_cancelling_the_asyncio_task_crashes_the_run() -> None:
    """Whoever cancels the coroutine gets CancelledError; the run is CRASHED, its hooks have run."""
    seen: list[State[Any]] = []

    @flow(on_crashed=[lambda _f, _r, state: seen.append(state)])
    async def main() -> None:
        await asyncio.sleep(10)

    async def cancel() -> None:
        started = asyncio.create_task(main())
        await asyncio.sleep(0)
        started.cancel()
        with pytest.raises(asyncio.CancelledError):
            await started

    asyncio.run(cancel())
    assert [state.type for state in seen] == ["CRASHED"]


def test_an_async_flow_waits_for_what_it_submitted() -> None:
    """Without blocking the event loop."""
    ended: list[int] = []

    async def main() -> None:
        task(ended.append).submit(1)
        task(ended.append).submit(2)

    run(main)
    assert sorted(ended) == [1, 2]


def test_tasks_left_behind_in_a_thread_are_cancelled() -> None:
    """The event loop of a worker thread is kept, what a finished task forgot in it is not."""
    left: list[asyncio.Task[None]] = []

    @task
    async def forgetful() -> None:
        left.append(asyncio.create_task(asyncio.sleep(10)))

    forgetful.submit().wait()
    double.submit(1).wait()
    assert left[0].cancelled()
