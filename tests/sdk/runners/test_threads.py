"""What only the task runner on threads promises."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from towpath import ThreadPoolTaskRunner, flow, task
from towpath.errors import ConfigurationError


def test_no_more_at_once_than_workers() -> None:
    """`max_workers` bounds what goes on at a time; the setting does where it is not said."""
    lock = threading.Lock()
    now = most = 0

    @task
    def count(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        sum(range(2000))
        with lock:
            now -= 1

    flow(task_runner=ThreadPoolTaskRunner(max_workers=2))(lambda: count.map(range(100)).wait())()
    assert most <= 2


def test_without_a_bound_all_go_on_at_once() -> None:
    """Tasks may wait for each other in their own ways."""
    barrier = threading.Barrier(30)
    meet = task(lambda _: barrier.wait(60) >= 0)
    assert all(flow(lambda: meet.map(range(30)).result())())


def test_the_setting_bounds_runners_that_were_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """TOWPATH_MAX_WORKERS=1 makes tasks run one after the other."""
    monkeypatch.setenv("TOWPATH_MAX_WORKERS", "1")
    order: list[int] = []
    flow(lambda: task(order.append).map(range(30)).wait())()
    assert order == list(range(30))


@pytest.mark.parametrize("workers", [0, -1, True], ids=repr)
def test_a_pool_without_workers_is_refused(workers: Any) -> None:
    """At least one, or None for no limit."""
    with pytest.raises(ConfigurationError, match="max_workers"):
        ThreadPoolTaskRunner(max_workers=workers)


def test_runners_with_the_same_bound_are_equal() -> None:
    """So that options can be compared."""
    assert ThreadPoolTaskRunner(2) == ThreadPoolTaskRunner(2).duplicate()
    assert len({ThreadPoolTaskRunner(2), ThreadPoolTaskRunner(2), ThreadPoolTaskRunner()}) == 2
