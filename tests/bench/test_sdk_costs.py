"""What the SDK costs its author: the import, and each call of a task or a flow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.bench.measure import loop_cpu, microseconds, milliseconds, peak_memory, process_cpu, table

from towpath import flow, task


def test_the_import_costs_less_than_three_bare_interpreters() -> None:
    """`from towpath import flow, task`: at most 40 ms where a bare interpreter takes 15, and at most 20 MiB in all."""
    bare, ours = process_cpu("pass"), process_cpu("from towpath import flow, task")
    memory = peak_memory("from towpath import flow, task")

    print(
        table(
            "Import, CPU of the whole process",
            ["what", "CPU", "in bare interpreters", "memory"],
            [
                ["python -c pass", milliseconds(bare), "1.0", f"{peak_memory('pass') / 2**20:.1f} MiB"],
                [
                    "from towpath import flow, task",
                    milliseconds(ours),
                    f"{ours / bare:.1f}",
                    f"{memory / 2**20:.1f} MiB",
                ],
            ],
        )
    )
    assert ours - bare <= 40 / 15 * bare
    assert memory <= 20 * 2**20


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep the runs' log lines out of the measurement."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_a_task_call_costs_a_few_hand_overs_to_a_thread_pool() -> None:
    """A call ≤ 100 µs and a submit ≤ 200 µs where a bare thread pool's submit and result take 20 µs."""

    def plain(x: int) -> int:
        return x

    tasked = task(plain)

    @flow
    def calls(times: int) -> None:
        for i in range(times):
            tasked(i)

    @flow
    def submits(times: int) -> None:
        for future in [tasked.submit(i) for i in range(times)]:
            future.result()

    @flow
    def child() -> None:
        pass

    @flow
    def nests(times: int) -> None:
        for _ in range(times):
            child()

    def pool(times: int) -> None:
        with ThreadPoolExecutor(4) as executor:
            for future in [executor.submit(plain, i) for i in range(times)]:
                future.result()

    def bare(times: int) -> None:
        for i in range(times):
            plain(i)

    unit = loop_cpu(pool, 2000)
    costs = {
        "plain function": loop_cpu(bare, 20000),
        "thread pool: submit, result": unit,
        "task call": loop_cpu(calls, 2000),
        "task submit, result": loop_cpu(submits, 2000),
        "flow in a flow, in process": loop_cpu(nests, 200),
    }
    print(
        table(
            "Calls, CPU each",
            ["what", "CPU", "in pool hand-overs"],
            [[what, microseconds(cost), f"{cost / unit:.2f}"] for what, cost in costs.items()],
        )
    )
    assert costs["task call"] <= 5 * unit
    assert costs["task submit, result"] <= 10 * unit
    assert costs["flow in a flow, in process"] <= 100 * unit
