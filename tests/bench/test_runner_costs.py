"""What task runners cost: one on Dask beside bare Dask, and many futures beside a few."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed
import pytest
from tests.bench.measure import microseconds, table

from towpath import DaskTaskRunner, TaskRunner, ThreadPoolTaskRunner, as_completed, flow, task

FEW, MANY = 2_000, 30_000


def echo(x: int) -> int:
    """Give the argument."""
    return x


tasked = task(echo)


@pytest.mark.timeout(300)
def test_a_task_on_dask_costs_little_more_than_dask(home: Path) -> None:
    """Recorded, with its states and its end in time: at most three times the CPU of Dask's own submit and result."""
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):

        def bare(times: int) -> None:
            for future in [client.submit(echo, i, pure=False) for i in range(times)]:
                future.result()

        @flow(task_runner=DaskTaskRunner(cluster=cluster))
        def ours(times: int) -> None:
            for future in [tasked.submit(i) for i in range(times)]:
                future.result()

        costs: dict[str, list[float]] = {"Dask: submit, result": [], "task on Dask: submit, result": []}
        for _ in range(3):
            bodies: list[Callable[[int], None]] = [bare, ours]
            for body, taken in zip(bodies, costs.values(), strict=True):
                begun = time.process_time()
                body(300)
                taken.append((time.process_time() - begun) / 300)
    unit, cost = (min(taken) for taken in costs.values())
    print(
        table(
            "Task runner on Dask, CPU each of the flow's process, scheduler included",
            ["what", "CPU", "in bare Dask"],
            [
                [what, microseconds(seconds), f"{seconds / unit:.2f}"]
                for what, seconds in zip(costs, (unit, cost), strict=True)
            ],
        )
    )
    assert cost <= 3 * unit


def cost_each(runner: TaskRunner, times: int) -> dict[str, float]:
    """Give CPU seconds a task of what one does with futures."""
    taken: dict[str, float] = {}

    @task
    def nests(x: int) -> int:
        return tasked.submit(x).result()

    @task
    def count(values: list[int]) -> int:
        return len(values)

    @flow(task_runner=runner)
    def main() -> None:
        steps: dict[str, Any] = {
            "map, as_completed": lambda: sum(1 for _ in as_completed(tasked.map(range(times)))),
            "map over one future": lambda: tasked.map([tasked.submit(1)] * times).result(),
            "fan in": lambda: count.submit([tasked.submit(i) for i in range(times)]).result(),
            "ten in a chain": lambda: chain(times),
            "nested": lambda: nests.map(range(times // 10)).result(),
            "left alone": lambda: [tasked.submit(i) for i in range(times)] and None,
        }
        for what, step in steps.items():
            begun = time.process_time()
            step()
            taken[what] = (time.process_time() - begun) / times

    main()
    return taken


def chain(times: int) -> None:
    """Submit tasks each of which needs the one before it, in chains of ten."""
    last: list[Any] = []
    for i in range(times // 10):
        future: Any = i
        for _ in range(10):
            future = tasked.submit(future)
        last.append(future)
    for future in last:
        future.result()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("runner", [ThreadPoolTaskRunner(), ThreadPoolTaskRunner(4)], ids=repr)
def test_many_futures_cost_no_more_each_than_a_few(home: Path, runner: TaskRunner) -> None:
    """Fifteen times as many, whatever is done with them: nothing takes longer the more there are."""
    few, many = cost_each(runner, FEW), cost_each(runner, MANY)
    print(
        table(
            f"Futures, CPU each, {runner!r}",
            ["what", f"of {FEW}", f"of {MANY}"],
            [[what, microseconds(few[what]), microseconds(many[what])] for what in few],
        )
    )
    slower = {what: many[what] / few[what] for what in few if many[what] > 8 * few[what]}
    assert not slower
