"""What waits for its time goes by the clock on the wall, even when that is set."""

from __future__ import annotations

import asyncio

import pytest
from tests.operator.runtime.clock import fake_time

from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.wall_clock import feel_steps
from towpath_operator.runtime.workqueue import WorkQueue


@pytest.mark.parametrize("step", [-7200.0, -1.0, 1.0, 86_400.0])
@fake_time
async def test_a_clock_that_is_set_is_noticed_once(step: float) -> None:
    """Ahead or back; and never a clock that goes as time does."""
    loop = asyncio.get_running_loop()
    set_by, noticed = 0.0, []
    feeling = asyncio.create_task(feel_steps(noticed.append, lambda: 1_700_000_000 + loop.time() + set_by))
    await asyncio.sleep(3600)
    assert noticed == []
    set_by = step
    await asyncio.sleep(3600)
    feeling.cancel()
    assert noticed == [pytest.approx(step)]


@fake_time
async def test_all_that_waits_for_its_time_is_looked_at() -> None:
    """Each key that has a timer is due, once, and its timer has gone."""
    queue: WorkQueue[str] = WorkQueue(Backoff(base=1.0, cap=8.0))
    for key, seconds in (("a", 3600.0), ("b", 60.0), ("c", None)):
        queue.set_timer(key, seconds)
    queue.ring_all()
    taken = []
    while len(queue):
        key = await queue.get()
        assert key
        taken.append(key)
        queue.done(key)
    assert sorted(taken) == ["a", "b"]
    await asyncio.sleep(7200)
    assert len(queue) == 0
