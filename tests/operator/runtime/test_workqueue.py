"""The work queue on a fake clock: nothing lost, nothing twice at once, later means later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.operator.runtime.clock import fake_time

from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.workqueue import WorkQueue

STEADY = Backoff(base=1.0, cap=8.0, random=lambda: 1.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(queue: WorkQueue[str]) -> str | None:
    """Take a key, and finish with it at once."""
    key = await queue.get()
    if key is not None:
        queue.done(key)
    return key


@fake_time
async def test_a_key_waits_once() -> None:
    """A key that is added again while it waits is given out once."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


@fake_time
async def test_a_key_at_work_is_given_out_again_afterwards() -> None:
    """A key that is added while it is at work is worked on again, but not before that work is done."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    assert key == "a"
    queue.done("a")
    assert len(queue) == 1
    assert await take(queue) == "a"
    assert len(queue) == 0


@fake_time
async def test_a_key_rests_after_work() -> None:
    """Changes within the rest after a key's work are one look at its end, and a change after it is a look at once."""
    queue: WorkQueue[str] = WorkQueue(STEADY, rest=0.5)
    queue.add("a")
    assert await take(queue) == "a"
    began = now()
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert await take(queue) == "b"
    assert now() == began
    assert await take(queue) == "a"
    assert now() == began + 0.5
    assert len(queue) == 0
    await asyncio.sleep(2.0)
    queue.add("a")
    assert await take(queue) == "a"
    assert now() == began + 2.5


@fake_time
async def test_a_timer_rings_after_the_rest() -> None:
    """A timer that is due while its key rests is not lost."""
    queue: WorkQueue[str] = WorkQueue(STEADY, rest=0.5)
    queue.add("a")
    assert await take(queue) == "a"
    began = now()
    queue.set_timer("a", 0.1)
    assert await take(queue) == "a"
    assert now() == began + 0.5


@fake_time
async def test_many_workers_never_share_a_key() -> None:
    """However many workers take keys, no key is at work twice at the same time, and each change is seen."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    at_work: set[str] = set()
    done: list[str] = []

    async def worker() -> None:
        while (key := await queue.get()) is not None:
            assert key not in at_work
            at_work.add(key)
            await asyncio.sleep(0.3)
            at_work.remove(key)
            done.append(key)
            queue.done(key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(worker())
        for _ in range(10):
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        queue.stop()
    assert set(done) == {"a", "b"}
    assert 2 * 2 <= len(done) <= 2 * 6


@fake_time
async def test_timer() -> None:
    """A key whose timer was set comes when the time has come."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    began = now()
    queue.set_timer("late", 3600)
    queue.set_timer("early", 60)
    assert await take(queue) == "early"
    assert now() - began == pytest.approx(60)
    assert await take(queue) == "late"
    assert now() - began == pytest.approx(3600)


@pytest.mark.parametrize(("first", "second", "comes"), [(10, 20, 20), (20, 10, 10)], ids=["later", "sooner"])
@fake_time
async def test_the_latest_timer_wins(first: float, second: float, comes: float) -> None:
    """A key has one timer: setting it again replaces it, to a later time as well as to a sooner one."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    began = now()
    queue.set_timer("a", first)
    queue.set_timer("a", second)
    assert await take(queue) == "a"
    assert now() - began == pytest.approx(comes)
    await asyncio.sleep(100)
    assert len(queue) == 0


@pytest.mark.parametrize("how", ["none", "forget"])
@fake_time
async def test_a_timer_can_be_taken_back(how: str) -> None:
    """A key without a timer any more, or whose object is gone, does not come."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    queue.set_timer("a", 5)
    if how == "none":
        queue.set_timer("a", None)
    else:
        queue.forget("a")
    await asyncio.sleep(10)
    assert len(queue) == 0


@fake_time
async def test_failures_wait_longer_and_longer() -> None:
    """Delays double with each failure in a row, up to the cap, and start over after a success."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    assert [queue.failed("a") for _ in range(5)] == [1, 2, 4, 8, 8]
    assert queue.failed("b") == 1
    queue.succeeded("a")
    assert queue.failed("a") == 1


@fake_time
async def test_a_failure_waits_as_long_as_the_server_asks() -> None:
    """A Retry-After that is longer than the back-off is obeyed."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    began = now()
    assert queue.failed("a", at_least=30) == 30
    assert await take(queue) == "a"
    assert now() - began == pytest.approx(30)


@fake_time
async def test_stop() -> None:
    """After stopping, whoever waits and whoever asks later is told so, and what waited stays where it is."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.stop()
    queue.add("a")
    assert await asyncio.gather(*waiting) == [None, None, None]
    assert await queue.get() is None


@fake_time
async def test_a_cancelled_waiter_takes_no_key_along() -> None:
    """A worker that is cancelled while it waits leaves the key to the others."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    doomed = asyncio.create_task(queue.get())
    other = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("a")
    doomed.cancel()
    assert await other == "a"


@fake_time
async def test_thousands_of_timers_that_are_set_anew_keep_the_heap_small() -> None:
    """Timers that were replaced do not pile up."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    for round_ in range(1000):
        for key in ("a", "b"):
            queue.set_timer(key, 1000 + round_)
    assert len(queue._heap) < 200
    assert {await take(queue), await take(queue)} == {"a", "b"}


@fake_time
async def test_a_thousand_timers_cost_the_event_loop_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many Deployments, of as many times, and each is given out at its own."""
    loop, made = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    call_at = loop.call_at

    def counted(*arguments: Any, **more: Any) -> asyncio.TimerHandle:
        made.append(call_at(*arguments, **more))
        return made[-1]

    monkeypatch.setattr(loop, "call_at", counted)
    queue: WorkQueue[str] = WorkQueue(STEADY)
    began = now()
    for number in range(1000):
        queue.set_timer(f"deployment-{number}", 1000 + (number * 7) % 1000)
    assert sum(not handle.cancelled() for handle in made) == 1
    assert [await take(queue) for _ in range(3)] == ["deployment-0", "deployment-143", "deployment-286"]
    assert now() - began == pytest.approx(1002)
    queue.stop()


@fake_time
async def test_stuck_time_counts_from_the_last_progress() -> None:
    """Work that waits without any getting done is told in seconds; progress or an empty queue is zero or starts over."""
    queue: WorkQueue[str] = WorkQueue(STEADY)
    assert queue.stuck_seconds() == 0
    queue.add("a")
    queue.add("b")
    await asyncio.sleep(5)
    assert queue.stuck_seconds() == pytest.approx(5)
    key = await queue.get()
    await asyncio.sleep(5)
    assert queue.stuck_seconds() == pytest.approx(10)
    assert key is not None
    queue.done(key)
    await asyncio.sleep(2)
    assert queue.stuck_seconds() == pytest.approx(2)
    assert await take(queue) == "b"
    await asyncio.sleep(50)
    assert queue.stuck_seconds() == 0


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
def test_delays_stay_within_bounds(random: float) -> None:
    """A delay is between half of the doubled base and all of it, and never above the cap, however many failures."""
    backoff = Backoff(base=0.5, cap=30.0, random=lambda: random)
    for failures in (1, 2, 3, 6, 7, 100, 10_000):
        full = min(30.0, 0.5 * 2 ** min(failures - 1, 50))
        assert full / 2 <= backoff.delay(failures) <= full
