"""What each call of a task or a flow costs when it is recorded, beside rows that are written by hand with SQLite."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.bench import bare
from tests.bench.budgets import AWAIT, CALL, EMPTY_FLOW, MAP, OWN_ROWS, RECORD, SUBFLOW, SUBMIT, THREE_ROWS
from tests.bench.measure import against, exceeded, side_by_side, walls

from towpath import flow, task
from towpath.history import open_history
from towpath.history.recorder import RECORDER
from towpath.runs import TaskRun
from towpath.states import AWAITING_RETRY, State, StateType

TIMES = 5000
STATES = "a task's three states, recorded"
POOL = "thread pool alone: submit, result"
BUDGETS = {
    STATES: RECORD,
    "call": CALL,
    "submit": SUBMIT,
    "map": MAP,
    "await": AWAIT,
    "empty flow": EMPTY_FLOW,
    "subflow": SUBFLOW,
}


@task
def same(x: int) -> int:
    return x


@task
async def same_async(x: int) -> int:
    return x


@flow
def calls(times: int) -> None:
    for number in range(times):
        same(number)


@flow
def submits(times: int) -> None:
    for future in [same.submit(number) for number in range(times)]:
        future.result()


@flow
def maps(times: int) -> None:
    same.map(range(times)).result()


@flow
async def awaits(times: int) -> None:
    for number in range(times):
        await same_async(number)


@flow
def empty() -> None:
    pass


def record(times: int) -> None:
    """Record three states of so many tasks, as the engine tells them, until all is in the file."""
    for number in range(times):
        run = TaskRun("add", number, None, frozenset(), dict)
        for type_, name in (
            (StateType.RUNNING, None),
            (StateType.SCHEDULED, AWAITING_RETRY),
            (StateType.COMPLETED, None),
        ):
            RECORDER.enter(run, State(type_, name), time.time())
    RECORDER.flush()


def test_a_task_recorded_costs_about_as_much_as_its_rows(home: Path, tmp_path: Path) -> None:
    """Call ≤ 100 µs, submit and map ≤ 200, await ≤ 150 where three bare rows take 28; three states alone ≤ 40."""
    costs = side_by_side(
        {
            THREE_ROWS: (bare.rows(tmp_path / "a.db", own_transactions=False), TIMES),
            OWN_ROWS: (bare.rows(tmp_path / "b.db", own_transactions=True), TIMES // 10),
            POOL: (bare.pool, TIMES),
            STATES: (record, TIMES),
            "call": (calls, TIMES),
            "submit": (submits, TIMES),
            "map": (maps, TIMES),
            "await": (lambda times: asyncio.run(awaits(times)), TIMES),
        },
        BUDGETS,
    )
    print(against("Calls recorded, CPU of all threads", BUDGETS, costs))
    with open_history(home / "history.db") as history:
        for name in ("calls", "submits", "maps", "awaits"):
            runs = history.runs(flow=name)
            assert len(runs) > 5
            assert {run.tasks_completed for run in runs} == {TIMES}
    assert exceeded(BUDGETS, costs) == []


def test_a_flow_costs_about_as_much_as_one_small_transaction(home: Path, tmp_path: Path) -> None:
    """At the top, begun and ended and in the file, ≤ 3 ms; in a flow ≤ 2 ms, where three rows for themselves take 0.15."""
    write = bare.rows(tmp_path / "b.db", own_transactions=True)
    took: dict[str, float] = {}

    @flow
    def above() -> None:
        took.update(walls({OWN_ROWS: lambda: write(1), "subflow": empty}))

    took.update(walls({OWN_ROWS: lambda: write(1), "empty flow": empty}))
    own = took[OWN_ROWS]
    above()
    print(against("Flows recorded, wall, the best tenth", BUDGETS, took))
    with open_history(home / "history.db") as history:
        assert len(history.runs(flow="empty", limit=None)) == 600
    assert took["empty flow"] <= EMPTY_FLOW.allowed(own)
    assert took["subflow"] <= SUBFLOW.allowed(took[OWN_ROWS])
