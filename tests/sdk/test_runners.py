"""What every task runner promises; and the one on threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from towpath import TaskRunner, ThreadPoolTaskRunner, flow, task
from towpath.errors import ConfigurationError

RUNNERS: list[TaskRunner] = [
    ThreadPoolTaskRunner(),
    ThreadPoolTaskRunner(max_workers=1),
    ThreadPoolTaskRunner(max_workers=4),
]


@task
def double(x: int) -> int:
    return 2 * x


@task
def fail() -> None:
    raise ValueError("no")


@task
def fib(n: int) -> int:
    if n < 2:
        return n
    first, second = fib.submit(n - 1), fib.submit(n - 2)
    return first.result() + second.result()


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
class TestEveryRunner:
    """The contract."""

    def test_values_come_back(self, runner: TaskRunner) -> None:
        """Whatever the number of tasks."""
        assert flow(task_runner=runner)(lambda: double.map(range(50)).result())() == [2 * i for i in range(50)]

    def test_exceptions_come_back(self, runner: TaskRunner) -> None:
        """As the task raised them."""
        with pytest.raises(ValueError, match="no"):
            flow(task_runner=runner)(lambda: fail.submit().result())()

    def test_chains_and_fans(self, runner: TaskRunner) -> None:
        """A task that depends on others begins after them."""

        @flow(task_runner=runner)
        def main() -> int:
            future = double.submit(1)
            for _ in range(20):
                future = double.submit(future)  # type: ignore[arg-type]
            fan = double.map([future] * 3)
            return task(sum).submit(fan).result()

        assert main() == 3 * 2**22

    def test_tasks_that_submit_and_wait_do_not_deadlock(self, runner: TaskRunner) -> None:
        """Also where the runner is full."""
        assert flow(task_runner=runner)(lambda: fib.submit(9).result())() == 34

    def test_one_run_does_not_disturb_the_next(self, runner: TaskRunner) -> None:
        """Each run has a duplicate of its own."""
        made = flow(task_runner=runner)(lambda: double.map([1, 2]).result())
        assert made() == made() == [2, 4]


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
    meet = task(lambda _: barrier.wait(20) >= 0)
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
